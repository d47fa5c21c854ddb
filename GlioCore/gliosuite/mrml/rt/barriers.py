"""Barriers of margins as segments: taken from a folder or a segmentation, or placed by registration in a step of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...images import Grid, boolean, read_image, suffix, write_image
from .. import process
from ..process import Job, abandon
from ..segments import mask_from_segment, segmentation_from_masks
from ..volumes import grid_of, image_from_node, place_beside, unique_name
from .choices import FOLDER, NONE

if TYPE_CHECKING:
    from ...rt.barriers import BarrierMasks

_SOURCE = "GlioSuite.BarrierSource"  # attribute of a segmentation that a step made
_LESION = ("cel", "t2l", "cavity")


def barriers(request: Any, grid: Grid) -> "BarrierMasks | None":
    """The barriers of a `request.TargetsRequest` on a grid; None where there are none.

    Raises
    ------
    InputError
        If the folder or segmentation is not chosen or holds no barrier, or one that is not known.
    """
    from ...rt.barriers import read_barriers

    if request.barriers == NONE:
        return None
    if request.barriers == FOLDER:
        if not request.barriers_folder:
            raise InputError("no folder of barriers is chosen; masks named falx, tentorium, ventricles ... are needed")
        return read_barriers(request.barriers_folder, grid, request.through)
    if request.barriers_node is None:
        raise InputError(
            "no segmentation of barriers is chosen; segments named falx, tentorium, ventricles ... are needed"
        )
    return _from_segments(request.barriers_node, grid, request.through)


def _from_segments(node: Any, grid: Grid, through: tuple[str, ...]) -> "BarrierMasks":
    from ...rt.barriers import NAMES, BarrierMasks

    segments = node.GetSegmentation()
    masks = {}
    for i in range(segments.GetNumberOfSegments()):
        identifier = segments.GetNthSegmentID(i)
        name = segments.GetSegment(identifier).GetName().strip().lower()
        if name in masks:
            raise InputError(f"{node.GetName()} holds the barrier {name} twice; one segment is needed")
        if name not in NAMES:
            raise InputError(
                f"segment {name} of {node.GetName()} is no barrier that is known; the names are {', '.join(NAMES)}"
            )
        masks[name] = mask_from_segment(node, identifier, grid)
    if not masks:
        raise InputError(f"{node.GetName()} holds no barrier; segments named {', '.join(NAMES)} are needed")
    missing = [n for n in through if n not in masks]
    if missing:
        raise InputError(f"a way through the {missing[0]} is asked for, but {node.GetName()} has no segment of it")
    return BarrierMasks(masks, node.GetAttribute(_SOURCE) or "masks given", through)


def start(request: Any) -> Job:
    """Write image, brain and lesion of a request for ``gliosuite barriers``; `finish` or `abandon` removes them.

    Raises
    ------
    InputError
        If reference or brain is missing.
    """
    if request.reference is None:
        raise InputError("no reference image is chosen; the template is registered to it")
    if "brain" not in request.segments:
        raise InputError("no brain segment is chosen; the template is registered inside the brain")
    grid = grid_of(request.reference)

    def arguments(folder: Path) -> list[str]:
        write_image(image_from_node(request.reference), folder / "image.nii")
        wanted = {r: request.segments[r] for r in ("brain", *_LESION) if r in request.segments}
        masks = {region: mask_from_segment(node, segment, grid) for region, (node, segment) in wanted.items()}
        write_image(masks["brain"], folder / "brain.nii")
        words = ["barriers", "--image", str(folder / "image.nii"), "--brain", str(folder / "brain.nii")]
        parts = [boolean(masks[r]) for r in _LESION if r in masks]
        if parts:
            write_image(grid.image(np.any(parts, axis=0)), folder / "lesion.nii")
            words += ["--lesion", str(folder / "lesion.nii")]
        return [*words, "--out", str(folder / "out")]

    return process.begun(request, arguments)


def finish(job: Job, summary: dict[str, Any]) -> Any:
    """What a step placed as a segmentation node, to be looked at and corrected."""
    try:
        masks = {p.name.removesuffix(suffix(p)): read_image(p) for p in sorted((job.folder / "out").iterdir())}
        node = segmentation_from_masks(masks, job.request.reference, unique_name("Barriers"))
        node.SetAttribute(_SOURCE, f"{summary['source']}, as the segmentation has it")
        place_beside(node, job.request.reference)
        return node
    finally:
        abandon(job)


def place(request: Any, run: Any = process.run) -> Any:
    """Place barriers, waiting for the step: for batch use; a panel starts the step itself and stays alive."""
    job = start(request)
    try:
        summary = run(job.arguments)
    except BaseException:
        abandon(job)
        raise
    return finish(job, summary)
