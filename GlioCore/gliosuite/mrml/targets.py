"""What GlioRT does with nodes: segments become target volumes in a segmentation node, a comparison, and an RT structure set."""

import json
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import plain
from ..images import volume_cc
from . import barriers
from .segments import mask_from_segment, refuse_shared, segmentation_from_masks
from .volumes import grid_of, place_beside, unique_name

# The structures that targets are made of, and how each is called and typed in the structure set.
_ROIS = {
    "brain": ("Brain", "ORGAN"),
    "cel": ("GTV_CEL", "GTV"),
    "t2l": ("GTV_T2L", "GTV"),
    "cavity": ("Cavity", "CAVITY"),
}
REGIONS = (*_ROIS, "progression")
_CALLED = {"cel": "enhancing lesion (CEL)", "t2l": "T2 lesion (T2L)"}  # other regions are called as they are
_PREVIEW = "Margin preview"
_TARGETS = "GlioSuite.Targets"  # attribute of a segmentation that `compute` makes: how its targets were made, as JSON
_REFERENCE = "GlioSuite.Reference"  # its reference to the volume on whose grid they are drawn; to a structure's node: GlioSuite.cel ...


@dataclass
class TargetsRequest:
    """Which targets to compute, from which segments.

    Parameters
    ----------
    reference
        Volume node on whose grid the targets are drawn.
    schemes
        Names of schemes (``gliosuite.rt.ctv``).
    segments
        Region (`REGIONS`) to ``(segmentation node, segment id)``; with ``progression`` the targets are compared.
    barriers
        What margins go round (`barriers.CHOICES`): ``none``, ``folder`` (masks of `barriers_folder`), ``segmentation`` (segments of
        `barriers_node`) or ``by registration``.
    through
        Of brainstem and chiasm, those that stop no margin.
    name
        Name of the segmentation node that is made.
    """

    reference: Any
    schemes: tuple[str, ...]
    segments: dict[str, tuple[Any, str]] = field(default_factory=dict)
    barriers: str = "none"
    barriers_folder: str = ""
    barriers_node: Any = None
    through: tuple[str, ...] = ()
    name: str = "Target volumes"


@dataclass
class TargetsResult:
    """The node with one segment per target, how each was made, and a table of volumes or, with a progression, of the comparison."""

    segmentation: Any
    names: list[str]
    described: dict[str, str]
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def schemes() -> list[tuple[str, str, str, str]]:
    """The margin schemes as rows of name, GTV, margin and dose; phases of one scheme stand behind each other."""
    from ..rt.targets import schemes as table

    rows = []
    for scheme in table.schemes().values():
        if any(target.margin_mm is None for target in scheme.targets):
            continue  # the scheme that takes a probability belongs to GlioRecurrence
        gtvs = [" + ".join(role if role == "cavity" else role.upper() for role in t.gtv) for t in scheme.targets]
        margins = [f"{t.margin_mm:g}" for t in scheme.targets]
        rows.append(
            (scheme.name, "; ".join(gtvs), "; ".join(margins), "; ".join(t.dose or "-" for t in scheme.targets))
        )
    return rows


def compute(request: TargetsRequest) -> TargetsResult:
    """Target volumes as segments on the reference's grid, with their volumes; compared where a progression is given.

    Raises
    ------
    InputError
        If the reference, the brain, or a structure that a scheme needs is missing, empty or elsewhere.

    Warns
    -----
    UserWarning
        What a scheme did without, and what was cut off.
    """
    from ..rt.compare import TITLES, comparison_table
    from ..rt.targets import Structures, target_volumes

    if request.reference is None:
        raise InputError("no reference image is chosen; a volume on whose grid the targets are drawn is needed")
    if "brain" not in request.segments:
        raise InputError("no brain segment is chosen; targets stay inside the brain")
    refuse_shared({_CALLED.get(region, region): segment for region, segment in request.segments.items()})
    request = replace(request, name=unique_name(request.name))
    grid = grid_of(request.reference)
    masks = {region: mask_from_segment(*segment, grid) for region, segment in request.segments.items()}
    progression = masks.pop("progression", None)
    structures = Structures(masks["brain"], masks.get("cel"), masks.get("t2l"), masks.get("cavity"))
    if request.barriers == "by registration":
        request = replace(request, barriers="segmentation", barriers_node=barriers.place(request))
    walls = barriers.barriers(request, grid)
    made = [target_volumes(name, structures, grid, barriers=walls) for name in request.schemes]
    ctvs: dict[str, Any] = {}
    described: dict[str, str] = {}
    for volumes in made:
        for note in volumes.notes:
            warnings.warn(f"{volumes.scheme.name}: {note}", stacklevel=2)
        for target in volumes.targets:
            ctvs[target.rule.ctv_name] = target.ctv
            described[target.rule.ctv_name] = volumes.said(target)
    segmentation = segmentation_from_masks(ctvs, request.reference, request.name)
    place_beside(segmentation, request.reference)
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    if progression is None:
        columns = ("target", "CTV (cc)", "rule")
        rows = [(name, volume_cc(mask), described[name]) for name, mask in ctvs.items()]
    else:
        columns = ("target", *TITLES.values())
        compared = comparison_table(ctvs, progression, masks["brain"])
        rows = [(row["name"], *(float(row[key]) for key in TITLES)) for row in compared]
    result = TargetsResult(segmentation, list(ctvs), described, columns, rows)
    _remember(result, request)
    return result


def _remember(result: TargetsResult, request: TargetsRequest) -> None:
    """Keep with the targets' node what an export needs, so that a scene that is loaded again has it."""
    node = result.segmentation
    record = {
        "names": result.names,
        "described": result.described,
        "columns": result.columns,
        "rows": result.rows,
        "schemes": request.schemes,
        "segments": {region: identifier for region, (_, identifier) in request.segments.items()},
    }
    node.SetAttribute(_TARGETS, json.dumps(plain(record)))
    node.SetNodeReferenceID(_REFERENCE, request.reference.GetID())
    for region, (owner, _) in request.segments.items():
        node.SetNodeReferenceID(f"GlioSuite.{region}", owner.GetID())


def recall(node: Any) -> tuple[TargetsResult, TargetsRequest] | None:
    """What `compute` gave and was asked for when it made a segmentation node, also in another session; None for another node.

    Structures whose node is gone are left out.
    """
    text = None if node is None else node.GetAttribute(_TARGETS)
    if text is None:
        return None
    record = json.loads(text)
    owners = {region: node.GetNodeReference(f"GlioSuite.{region}") for region in record["segments"]}
    segments = {r: (owners[r], identifier) for r, identifier in record["segments"].items() if owners[r] is not None}
    request = TargetsRequest(node.GetNodeReference(_REFERENCE), tuple(record["schemes"]), segments)
    rows = [tuple(row) for row in record["rows"]]
    return TargetsResult(node, record["names"], record["described"], tuple(record["columns"]), rows), request


def preview(
    reference: Any, lesion: tuple[Any, str], brain: tuple[Any, str] | None, margin_mm: float, node: Any = None
) -> Any:
    """A straight margin round one segment, inside the brain where that is chosen, as the one segment of a node.

    Parameters
    ----------
    reference
        Volume node on whose grid it is drawn.
    lesion, brain
        ``(segmentation node, segment id)``.
    margin_mm
        0 or more, from the lesion's surface.
    node
        The segmentation node of an earlier preview, which is drawn anew; None for a new one.

    Returns
    -------
    vtkMRMLSegmentationNode, float
        The node, and the volume in cc.
    """
    from ..rt.margins import expand

    refuse_shared({"lesion": lesion, "brain": brain})
    grid = grid_of(reference)
    mask = expand(mask_from_segment(*lesion, grid), margin_mm)
    if brain is not None:
        mask = mask * mask_from_segment(*brain, grid)
    segment = lesion[0].GetSegmentation().GetSegment(lesion[1]).GetName()
    if node is not None:
        node.GetSegmentation().RemoveAllSegments()
    made = segmentation_from_masks({f"{segment} + {margin_mm:g} mm": mask}, reference, unique_name(_PREVIEW), node)
    if node is None:
        place_beside(made, reference)
    return made, volume_cc(mask)


def export(
    result: TargetsResult, request: TargetsRequest, series_dir: str, path: str, allow_derived: bool = False
) -> tuple[Any, ...]:
    """Write targets and the structures they come from as an RT structure set on the original DICOM series.

    What is written are the segments as they are now, so that a physician's corrections go along. `allow_derived` takes a series that is
    marked as a reformat or a secondary copy.

    Raises
    ------
    InputError
        If no folder or file is chosen, a segment is gone or empty, or the series is unfit; then nothing is written.

    Warns
    -----
    UserWarning
        What the pre-flight list has to say: an old MR, thick slices, holes.
    """
    from ..rt.rtstruct import Roi, export_rtstruct
    from ..rt.rtstruct.export import SAID

    if request.reference is None:
        raise InputError("the image that the targets were drawn on is gone from the scene; compute the targets again")
    if not series_dir:
        raise InputError("no DICOM series is chosen; the folder of the original series is needed")
    if not path:
        raise InputError("no file is chosen for the RT structure set; a name that ends in .dcm is needed")
    grid = grid_of(request.reference)
    segments = result.segmentation.GetSegmentation()
    rois = []
    for name in result.names:
        identifier = segments.GetSegmentIdBySegmentName(name)
        if not identifier:
            raise InputError(
                f"{result.segmentation.GetName()} has no segment {name} any more; compute the targets again"
            )
        color = tuple(round(255 * c) for c in segments.GetSegment(identifier).GetColor())
        mask = mask_from_segment(result.segmentation, identifier, grid)
        rois.append(Roi(name, mask, "CTV", color, result.described[name]))
    for region, (node, identifier) in request.segments.items():
        if region not in _ROIS:  # the progression was seen later: it is no structure of a plan
            continue
        name, kind = _ROIS[region]
        color = tuple(round(255 * c) for c in node.GetSegmentation().GetSegment(identifier).GetColor())
        rois.append(Roi(name, mask_from_segment(node, identifier, grid), kind, color, "", "MANUAL"))
    exported = export_rtstruct(Path(path), Path(series_dir), rois, allow_derived=allow_derived, timed=True)
    for finding in exported.findings:
        if finding.level == "warning" and finding.check not in SAID:  # of these the export warns itself
            warnings.warn(finding.sentence, stacklevel=2)
    return exported.rois
