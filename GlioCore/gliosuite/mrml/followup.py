"""A later visit in the scene: put onto the earlier one by ``gliosuite progression``, looked at, and what progressed drawn on it."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json, write_json
from ..images import Grid, boolean, non_enhancing, read_image, write_image
from . import checkerboard, drafts
from .layout import show_alone, side_by_side
from .process import Job, abandon, begun
from .segments import appearance, is_drafted, mask_from_segment, segment_called, segmentation_from_masks
from .segments import edit as open_editor
from .volumes import grid_of, image_from_node, node_from_image, place_beside, seen_image, unique_name

IMAGES = ("t1c", "flair")  # of either visit; T1c is needed
_MASKS = ("brain", "cel", "t2l", "necrosis", "cavity")
_RECORD = "GlioSuite.Followup"  # attribute of a later T1c that `finish` makes: how good its registration is, as JSON
_EARLIER, _FLAIR, _LATER = "GlioSuite.Earlier", "GlioSuite.LaterFlair", "GlioSuite.Later"  # its references
_PROGRESSION = {
    "cel": "progression_cel",
    "t2l": "progression_t2l",
}  # regions, by what a draft of the later visit calls them


@dataclass(frozen=True)
class FollowupRequest:
    """Which visits are brought together.

    Parameters
    ----------
    earlier, later
        Role of `IMAGES` to volume node, each visit's images in one position; T1c is needed of both.
    segments
        Role to ``(segmentation node, segment id)``, of the earlier visit: tumour and cavity are left out where the visits are compared.
    """

    earlier: Mapping[str, Any]
    later: Mapping[str, Any]
    segments: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Followup:
    """Volume nodes of the later visit where the earlier one shows the same place, and what is known of the registration.

    `quality` is that of ``progression.json``.
    """

    t1c: Any
    flair: Any
    earlier: Any
    quality: dict[str, Any]


def start(request: FollowupRequest) -> Job:
    """Write both visits as a case for ``gliosuite progression``; `finish` or `abandon` removes it.

    Raises
    ------
    InputError
        If a T1c is missing, or both visits are given by the same image.
    """
    for visit, images in (("earlier", request.earlier), ("later", request.later)):
        if images.get("t1c") is None:
            raise InputError(f"no T1c of the {visit} visit is chosen; T1c of both visits is needed")
    shared = [n.GetName() for n in request.later.values() if any(n is e for e in request.earlier.values())]
    if shared:
        raise InputError(f"{shared[0]} is chosen for both visits; an image of each is needed")

    def arguments(folder: Path) -> list[str]:
        case = folder / "case"
        case.mkdir()

        def written(images: Mapping[str, Any], name: str) -> dict[str, Any]:
            for role, node in images.items():
                write_image(seen_image(node), case / f"{name}{role}.nii")
            return {role: {"path": f"{name}{role}.nii"} for role in images}

        said: dict[str, Any] = {"id": "visits", "images": written(request.earlier, ""), "masks": {}}
        grid = Grid.of(seen_image(request.earlier["t1c"]))
        for role, segment in request.segments.items():
            if role in _MASKS:
                write_image(mask_from_segment(*segment, grid), case / f"mask_{role}.nii")
                said["masks"][role] = f"mask_{role}.nii"
        said["followup"] = {"images": written(request.later, "later_")}
        write_json(case / "case.json", said)
        # The earlier T1c's own grid: what is drawn on the later image is drawn on that one.
        return ["progression", str(case), "--spacing-mm", "0", "--out", str(folder / "out")]

    return begun(request, arguments)


def finish(job: Job, _summary: dict[str, Any]) -> Followup:
    """The later visit's images on the earlier T1c's grid, new volumes beside it."""
    request, folder = job.request, job.folder / "out"
    try:
        quality = read_json(folder / "progression.json")["quality"]
        found = {role: read_image(folder / f"followup_{role}.nii.gz") for role in request.later}
    finally:
        abandon(job)
    earlier, nodes = request.earlier["t1c"], {}
    for role, image in found.items():
        node = node_from_image(image, unique_name(f"{request.later[role].GetName()} on {earlier.GetName()}"))
        place_beside(node, earlier)
        nodes[role] = node
    later = nodes["t1c"]
    later.SetAttribute(_RECORD, json.dumps(quality))
    later.SetNodeReferenceID(_EARLIER, earlier.GetID())
    if "flair" in nodes:
        later.SetNodeReferenceID(_FLAIR, nodes["flair"].GetID())
    return Followup(later, nodes.get("flair"), earlier, quality)


def recall(node: Any) -> Followup | None:
    """What `finish` gave when it made a volume, also in another session; None for another node."""
    text = None if node is None else node.GetAttribute(_RECORD)
    if text is None or node.GetNodeReference(_EARLIER) is None:
        return None
    return Followup(node, node.GetNodeReference(_FLAIR), node.GetNodeReference(_EARLIER), json.loads(text))


def show_checkerboard(found: Followup) -> Any:
    """Both visits in squares of either."""
    return checkerboard.show(image_from_node(found.earlier), image_from_node(found.t1c), found.t1c.GetName())


def show_both(found: Followup) -> None:
    """Both visits in views beside each other, at the same place and moving together."""
    side_by_side(found.earlier, found.t1c)


def start_drafts(found: Followup) -> Job:
    """The job that drafts the later visit's lesions; `finish_drafts` or `abandon` removes its files."""
    images = {"t1c": found.t1c} | ({"flair": found.flair} if found.flair is not None else {})
    return drafts.start(drafts.DraftRequest(images, post_operative=True))


def finish_drafts(job: Job, summary: dict[str, Any], found: Followup, into: Any = None) -> tuple[Any, list[str]]:
    """The segmentation with the later visit's lesions as drafts of the progression, and the names of their segments.

    `into` is the segmentation that is drawn in already, or None for a new one.
    """
    folder, grid = job.folder / "out", grid_of(found.earlier)
    masks, kept = {}, []
    try:
        for name, region in _PROGRESSION.items():
            if summary["sources"].get(name) != "draft" or not summary["volumes_cc"][name]:
                continue
            if _drawn(into, region, grid):
                kept.append(_title(region))
            else:
                masks[region] = read_image(folder / f"{name}.nii.gz")
    finally:
        abandon(job)
    if kept:
        warnings.warn(f"{' and '.join(kept)} of {into.GetName()} was drawn by hand and stays", stacklevel=2)
    node = segmentation_from_masks(masks, found.earlier, unique_name("Progression"), into)
    _belongs(node, found)
    segments = node.GetSegmentation()
    return node, [segments.GetSegment(segment_called(node, _title(region))).GetName() for region in masks]


def _drawn(segmentation: Any, region: str, grid: Grid) -> bool:
    """Whether a person has drawn a region: a segment that is neither a draft nor empty."""
    identifier = "" if segmentation is None else segment_called(segmentation, _title(region))
    if not identifier or is_drafted(segmentation, identifier):
        return False
    try:
        mask_from_segment(segmentation, identifier, grid)
    except InputError:
        return False
    return True


def _belongs(node: Any, found: Followup) -> None:
    if node.GetNodeReference(_LATER) is None:
        place_beside(node, found.earlier)
    node.SetNodeReferenceID(_LATER, found.t1c.GetID())


def edit(found: Followup, segmentation: Any = None, segments: Mapping[str, tuple[Any, str]] | None = None) -> Any:
    """Make the Segment Editor ready to draw what enhances at progression on the later T1c; returns the segmentation.

    No map lies over the image meanwhile: who labels must not see what the label is to be predicted from (Yoon 2024).

    Parameters
    ----------
    segmentation
        To draw in; None for a new one.
    segments
        Of the earlier visit, ``t2l`` at least: one can only draw inside the lesion that did not enhance then. Everywhere where None.

    Raises
    ------
    InputError
        If there is no T2 lesion to draw inside.
    """
    grid = grid_of(found.earlier)
    blank = grid.image(np.zeros(grid.shape, np.uint8))
    masks: dict[str, Any] = {}
    if segments is not None:
        if "t2l" not in segments:
            raise InputError(
                "there is no T2 lesion of the earlier visit, inside which to draw; choose it, or draw everywhere"
            )
        carried = {
            r: boolean(mask_from_segment(*segments[r], grid))
            for r in ("t2l", "cel", "necrosis", "cavity")
            if r in segments
        }
        masks["nel"] = grid.image(non_enhancing(carried))
    title = _title("progression_cel")
    if segmentation is None or not segment_called(segmentation, title):
        masks["progression_cel"] = blank
    node = segmentation_from_masks(masks, found.earlier, unique_name("Progression"), segmentation)
    _belongs(node, found)
    show_alone(found.t1c)
    inside_nel = "" if segments is None else segment_called(node, _title("nel"))
    open_editor(node, found.t1c, segment_called(node, title), inside_nel)
    return node


def _title(region: str) -> str:
    return appearance(region, "#000000")[0]
