"""Target volumes held against a progression or each other: the table, the map of a difference, and where to look."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer

from ...errors import InputError
from ...images import array, boolean, signed_distance, volume_cc
from ..display import show_map
from ..layout import side_by_side
from ..segments import mask_from_segment, segment_called
from ..volumes import grid_of, node_from_image, place_beside
from .request import TargetsRequest, TargetsResult

_SURFACE, _FAINT, _FILL = 0.3, 0.1, 0.25  # opacities, chosen: what lies within, and the image below, are seen
DIFFERENCE = "ctv_difference"  # quantity of the map
_AMONG = {  # against the first CTV, where there is no progression
    "ctv_cc": "CTV (cc)",
    "only_second_cc": "beyond the first CTV (cc)",
    "only_first_cc": "only in the first CTV (cc)",
    "dice": "Dice with the first CTV",
    "surface_dice": "surface Dice at 2 mm with the first CTV",
    "hd95_mm": "HD95 to the first CTV (mm)",
}
# Heads of the columns that a narrow table has room for.
_SHORT = {
    "name": "target",
    "ctv_cc": "cc",
    "sensitivity": "sens.",
    "missed_cc": "missed",
    "normal_brain_cc": "normal",
    "pcc": "PCC",
    "only_second_cc": "beyond",
    "only_first_cc": "less",
    "dice": "Dice",
    "hd95_mm": "HD95",
}
_SHOWN = (
    ("name", "ctv_cc", "sensitivity", "missed_cc", "normal_brain_cc", "pcc"),
    ("name", "ctv_cc", "only_second_cc", "only_first_cc", "dice", "hd95_mm"),
)


def titles(keys: Sequence[str]) -> dict[str, str]:
    """Key of a column to what it is."""
    from ...rt.compare import TITLES

    against = TITLES if "sensitivity" in keys else _AMONG
    return {key: "target" if key == "name" else against[key] for key in keys}


def short(keys: Sequence[str]) -> dict[str, str]:
    """Those keys that a narrow table has room for, to their heads."""
    return {key: _SHORT[key] for key in _SHOWN["sensitivity" not in keys] if key in keys}


def table(
    ctvs: Mapping[str, Any], rests: Sequence[str], progression: Any, brain: Any
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Keys of columns, and a row for each CTV: against the progression, else against the first CTV.

    Parameters
    ----------
    ctvs
        Name to mask.
    rests
        Those that are what another leaves over for a lower dose: of them the volume alone is told.
    progression
        Mask, or None.
    brain
        Mask; what lies outside does not count.
    """
    from ...rt.compare import TITLES, agreement_table, comparison_table

    compared = {name: mask for name, mask in ctvs.items() if name not in rests}
    if progression is not None:
        keys = ("name", *TITLES)
        found = {str(row["name"]): row for row in comparison_table(compared, progression, brain)}
    else:
        keys = ("name", *_AMONG)
        first = next(iter(compared))
        pairs = agreement_table(compared, brain, brain) if len(compared) > 1 else []
        found = {str(row["second"]): row for row in pairs if row["first"] == first}
    rows = []
    for name, mask in ctvs.items():
        values = {"ctv_cc": volume_cc(mask), **found.get(name, {}), "name": name}
        rows.append(tuple(values.get(key, float("nan")) for key in keys))
    return keys, rows


def difference(result: TargetsResult, first: str, second: str, reference: Any, node: Any = None) -> Any:
    """The map of how far one target reaches beyond another, shown with a diverging colour map.

    Parameters
    ----------
    first, second
        Names of targets.
    reference
        Volume node on whose grid they lie.
    node
        The map of an earlier call, which is filled anew; None for a new one.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        In mm: above 0 where the first covers what the second does not, and how far beyond its surface; below 0 the
        other way round; 0 elsewhere.

    Raises
    ------
    InputError
        If one of them is gone, or both are the same.
    """
    if first == second:
        raise InputError(f"{first} is chosen twice; a difference is between two targets")
    grid = grid_of(reference)
    a, b = (mask_of(result, name, grid) for name in (first, second))
    inside_a, inside_b = boolean(a), boolean(b)
    values = np.zeros(grid.shape, np.float32)
    for only, other, sign in ((inside_a & ~inside_b, b, 1.0), (inside_b & ~inside_a, a, -1.0)):
        if only.any():
            # From the voxel's centre to the surface: above 0 outside.
            values[only] = sign * np.maximum(array(signed_distance(other))[only], 1e-3)
    name = f"{first} beyond {second}"
    made = node_from_image(grid.image(values), name, node)
    made.SetName(name)
    show_map(made, DIFFERENCE)
    if node is None:
        place_beside(made, reference)
    return made


def mask_of(result: TargetsResult, name: str, grid: Any) -> Any:
    """A target as it is now, with a person's corrections.

    Raises
    ------
    InputError
        If its segment is gone.
    """
    return mask_from_segment(result.segmentation, segment_of(result, name), grid)


def segment_of(result: TargetsResult, name: str) -> str:
    """The identifier of a target's segment.

    Raises
    ------
    InputError
        If it is gone.
    """
    identifier = segment_called(result.segmentation, name)
    if not identifier:
        raise InputError(f"{result.segmentation.GetName()} has no segment {name} any more; compute the targets again")
    return identifier


def colors(result: TargetsResult, names: Sequence[str]) -> list[tuple[float, float, float]]:
    """The colours (0-1) of targets' contours; white for one whose segment is gone."""
    segments = result.segmentation.GetSegmentation()
    found = [segments.GetSegment(segment_called(result.segmentation, name)) for name in names]
    return [segment.GetColor() if segment is not None else (1.0, 1.0, 1.0) for segment in found]


def go_to(result: TargetsResult, name: str, fill: bool = True) -> None:
    """Go to the middle of a target in all slice views, and fill it lightly there where that is wanted; the others stay outlines."""
    wanted = segment_of(result, name)
    node = result.segmentation
    center = node.GetSegmentCenterRAS(wanted)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    display = node.GetDisplayNode()
    display.SetAllSegmentsVisibility2DFill(False)
    display.SetSegmentVisibility(wanted, True)
    display.SetSegmentVisibility2DFill(wanted, fill)
    display.SetSegmentOpacity2DFill(wanted, _FILL)


def show(result: TargetsResult, request: TargetsRequest, other: Any, three_d: bool) -> None:
    """The targets' contours on two images beside each other, and in a 3D view with their structures where that is wanted.

    Parameters
    ----------
    request
        What the targets were made from: its reference is the first image.
    other
        Volume node, e.g. the FLAIR; None shows the first in both views.
    """
    node = result.segmentation
    node.GetDisplayNode().SetVisibility(True)
    node.GetDisplayNode().SetVisibility3D(three_d)
    if three_d:
        node.CreateClosedSurfaceRepresentation()
        node.GetDisplayNode().SetOpacity3D(_SURFACE)
        for role, (owner, identifier) in request.segments.items():
            owner.CreateClosedSurfaceRepresentation()
            owner.GetDisplayNode().SetSegmentOpacity3D(identifier, _FAINT if role == "brain" else 1.0)
    side_by_side(request.reference, other, three_d)
