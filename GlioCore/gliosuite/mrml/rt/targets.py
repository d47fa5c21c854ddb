"""Target volumes from segments, as segments: by margin schemes and from a probability, and the margin that is tried out."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
import slicer.util

from ...errors import InputError
from ...files import plain
from ...images import boolean, volume_cc
from ..segments import mask_from_segment, refuse_shared, segmentation_from_masks
from ..volumes import grid_of, place_beside, unique_name
from . import barriers, comparison, prediction
from .choices import PLACED, SEGMENTS
from .matching import TITLES, match_segments, with_necrosis
from .request import TargetsRequest, TargetsResult, critical_of, drafted_roles, structures_of

_LESION = ("cel", "t2l", "cavity", "necrosis")
_PREVIEW = "Margin preview"
_TARGETS = "GlioSuite.Targets"  # attribute of a segmentation that `compute` makes: how its targets were made, as JSON
_REFERENCE = "GlioSuite.Reference"  # its reference to the volume on whose grid they are drawn; to a structure's node: GlioSuite.cel ...


@dataclass(frozen=True)
class SchemeRow:
    """A margin scheme as a person reads it; `gtvs`, `margins` and `doses` have an entry for each of its targets."""

    name: str
    title: str
    gtvs: tuple[str, ...]
    margins: tuple[str, ...]
    doses: tuple[str, ...]
    targets: tuple[str, ...]
    source: str


def schemes() -> list[SchemeRow]:
    """The margin schemes."""
    from ...rt.targets import schemes as table

    return [
        SchemeRow(
            scheme.name,
            scheme.title,
            tuple(spoken(t.gtv) for t in scheme.targets),
            tuple(f"{t.margin_mm:g} mm" for t in scheme.targets),
            tuple((t.dose or "-") for t in scheme.targets),
            tuple(t.ctv_name for t in scheme.targets),
            f"{scheme.year}; {scheme.source}",
        )
        for scheme in table.schemes().values()
        if all(t.margin_mm is not None for t in scheme.targets)
    ]


def gtvs() -> list[tuple[str, ...]]:
    """The different GTVs that schemes put margins round, as roles."""
    from ...rt.targets import schemes as table

    found = [t.gtv for scheme in table.schemes().values() for t in scheme.targets if t.margin_mm is not None]
    return list(dict.fromkeys(found))


def spoken(roles: Sequence[str]) -> str:
    """Roles as a table names them: ``CEL + cavity + T2L``."""
    return " + ".join(role.upper() if role in ("cel", "t2l") else role for role in roles)


def _ready(request: TargetsRequest) -> None:
    """Refuse a request that names no reference or no brain, or one segment twice."""
    if request.reference is None:
        raise InputError("no reference image is chosen; a volume on whose grid the targets are drawn is needed")
    if "brain" not in request.segments:
        raise InputError("no brain segment is chosen; targets stay inside the brain")
    refuse_shared({TITLES[role]: segment for role, segment in request.segments.items()})


def compute(request: TargetsRequest) -> TargetsResult:
    """Target volumes as segments on the reference's grid, with their volumes; compared where a progression is given.

    Raises
    ------
    InputError
        If nothing is asked for, or the reference, the brain, or a structure that a scheme needs is missing, empty or elsewhere.

    Warns
    -----
    UserWarning
        What a scheme did without, and what was cut off.
    """
    from ...rt.targets import drawn_once, target_volumes

    _ready(request)
    if not request.schemes and request.prediction is None:
        raise InputError("no scheme is ticked and no probability is chosen; one of them at least is needed")
    request = replace(request, name=unique_name(request.name))
    grid = grid_of(request.reference)
    structures = structures_of(request, grid)
    progression = None
    if "progression" in request.segments:
        progression = mask_from_segment(*request.segments["progression"], grid)
    if request.barriers == PLACED:
        request = replace(request, barriers=SEGMENTS, barriers_node=barriers.place(request))
    walls, ptv_mm = barriers.barriers(request, grid), request.ptv_mm or None
    made = [target_volumes(name, structures, grid, barriers=walls, ptv_mm=ptv_mm) for name in request.schemes]
    if request.prediction is not None:
        cut = prediction.options(request.prediction)
        made.append(target_volumes(prediction.SCHEME, structures, grid, barriers=walls, ptv_mm=ptv_mm, **cut))
    ctvs: dict[str, Any] = {}
    ptvs: dict[str, Any] = {}
    rests: list[str] = []
    drafts: list[str] = []
    drafted = drafted_roles(request)
    described: dict[str, str] = {}
    for volumes in made:
        for note in volumes.notes:
            warnings.warn(f"{volumes.scheme.title}: {note}", stacklevel=2)
    drawn, same = drawn_once(made)
    for note in same:
        if note.startswith("CTV"):  # as all names of CTVs do; GTVs are not drawn here
            warnings.warn(note, stacklevel=2)
    for one in drawn:
        if one.interpreted_type == "CTV":
            ctvs[one.name], described[one.name] = one.mask, one.rule
    for target in (t for volumes in made for t in volumes.targets if t.rule.ctv_name in ctvs):
        if set(drafted) & {*with_necrosis(target.rule.gtv, request.segments)}:
            drafts += [target.rule.ctv_name, target.rule.ptv_name]
        if target.rule.rest_of:
            rests.append(target.rule.ctv_name)
        if target.ptv is not None:
            ptvs[target.rule.ptv_name] = target.ptv
            described[target.rule.ptv_name] = f"{target.rule.ctv_name} + {request.ptv_mm:g} mm"
    segmentation = segmentation_from_masks(ctvs | ptvs, request.reference, request.name)
    place_beside(segmentation, request.reference)
    keys, rows = comparison.table(ctvs, rests, progression, structures.brain)
    kinds = dict.fromkeys(ctvs, "CTV") | dict.fromkeys(ptvs, "PTV")
    lesions = [TITLES[role] for role in drafted if role in _LESION]
    if lesions:
        warnings.warn(f"targets rest on drafts that no person has checked: {', '.join(lesions)}", stacklevel=2)
    result = TargetsResult(segmentation, kinds, described, keys, rows, [name for name in drafts if name in kinds])
    _remember(result, request)
    return result


def _remember(result: TargetsResult, request: TargetsRequest) -> None:
    """Keep with the targets' node what an export needs, so that a scene that is loaded again has it."""
    node = result.segmentation
    record = {
        "kinds": result.kinds,
        "described": result.described,
        "keys": result.keys,
        "rows": result.rows,
        "drafts": result.drafts,
        "schemes": request.schemes,
        "segments": {role: identifier for role, (_, identifier) in request.segments.items()},
    }
    node.SetAttribute(_TARGETS, json.dumps(plain(record)))
    node.SetNodeReferenceID(_REFERENCE, request.reference.GetID())
    for role, (owner, _) in request.segments.items():
        node.SetNodeReferenceID(f"GlioSuite.{role}", owner.GetID())


def first_segmentation() -> Any:
    """The scene's first segmentation that holds a structure and is not made of targets, or None."""
    found = (n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if not n.GetAttribute(_TARGETS))
    return next((n for n in found if match_segments(n)), None)


def recall(node: Any) -> tuple[TargetsResult, TargetsRequest] | None:
    """What `compute` gave and was asked for when it made a segmentation node, also in another session; None for another node.

    Structures whose node is gone are left out.
    """
    text = None if node is None else node.GetAttribute(_TARGETS)
    if text is None:
        return None
    record = json.loads(text)
    owners = {role: node.GetNodeReference(f"GlioSuite.{role}") for role in record["segments"]}
    segments = {r: (owners[r], identifier) for r, identifier in record["segments"].items() if owners[r] is not None}
    request = TargetsRequest(node.GetNodeReference(_REFERENCE), tuple(record["schemes"]), segments)
    rows = [tuple(float("nan") if v is None else v for v in row) for row in record["rows"]]
    return TargetsResult(
        node, record["kinds"], record["described"], tuple(record["keys"]), rows, record["drafts"]
    ), request


@dataclass(frozen=True)
class Preview:
    """A margin that was drawn: the segmentation node, the volume in cc, and round which of the roles and barriers it goes."""

    segmentation: Any
    volume_cc: float
    roles: tuple[str, ...]
    barriers: tuple[str, ...]


def preview(request: TargetsRequest, roles: Sequence[str], margin_mm: float, node: Any = None) -> Preview:
    """A margin round some structures together, inside the brain and round barriers where these are chosen, as the one segment of a node.

    Parameters
    ----------
    request
        Reference, segments, critical structures and barriers. Barriers that are yet to be placed stop nothing here.
    roles
        What it goes round; those that no segment is chosen for are left out.
    margin_mm
        0 or more, from the surface.
    node
        The segmentation node of an earlier preview, which is drawn anew; None for a new one.

    Raises
    ------
    InputError
        If the reference, the brain or all of the structures are missing, or one of them is unfit.
    """
    from ...rt.margins import expand

    _ready(request)
    there = with_necrosis(roles, request.segments)
    if not there:
        raise InputError(f"no segment is chosen for {spoken(roles)}; the margin needs something to go round")
    grid = grid_of(request.reference)
    brain = mask_from_segment(*request.segments["brain"], grid)
    parts = [boolean(mask_from_segment(*request.segments[role], grid)) for role in there]
    walls = None if request.barriers == PLACED else barriers.barriers(request, grid)
    lesion = grid.image(np.any(parts, axis=0) & boolean(brain))
    mask = expand(lesion, margin_mm, walls.barriers(brain, margin_mm) if walls is not None else None) * brain
    for critical in critical_of(request, grid):
        mask *= 1 - critical
    if node is not None:
        node.GetSegmentation().RemoveAllSegments()
    name = f"{spoken(there)} + {margin_mm:g} mm"
    made = segmentation_from_masks({name: mask}, request.reference, unique_name(_PREVIEW), node)
    if node is None:
        place_beside(made, request.reference)
    return Preview(made, volume_cc(mask), there, tuple(walls.rules) if walls is not None else ())
