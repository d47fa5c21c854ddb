"""Target volumes among each other, where there is no progression to compare with: overlaps, and who covers what."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import SimpleITK as sitk

from ...errors import InputError
from ...images import Grid, as_grid, boolean, resample_mask
from .distances import edge_distances, surface_dice

TOLERANCE_MM = 2.0  # chosen: about what two physicians' outlines of one target differ by; the measure is Nikolov 2021's
# Column -> what it is, for tables.
PAIR_TITLES = {
    "first_cc": "first (cc)",
    "second_cc": "second (cc)",
    "both_cc": "both (cc)",
    "only_first_cc": "only first (cc)",
    "only_second_cc": "only second (cc)",
    "dice": "Dice",
    "surface_dice": f"surface Dice at {TOLERANCE_MM:g} mm",
    "surface_mean_mm": "mean surface distance (mm)",
    "hd95_mm": "HD95 (mm)",
}
_MOST = 8  # bits of the difference map's uint8 labels


@dataclass(frozen=True)
class Share:
    """What one combination of target volumes covers and no other: its label in the map, and its volume."""

    label: int
    covered_by: tuple[str, ...]
    volume_cc: float


def agreement_table(
    ctvs: Mapping[str, sitk.Image], like: sitk.Image | Grid, brain: sitk.Image | None = None
) -> list[dict[str, float | str]]:
    """Every pair of target volumes, one row each.

    Parameters
    ----------
    ctvs
        Name to mask, on any grid; carried to that of `like`. At least two.
    brain
        Where it is given, what lies outside it does not count.

    Returns
    -------
    list of dict
        ``first``, ``second`` and the keys of `PAIR_TITLES`; volumes in cc, distances in mm, NaN where undefined.

    Raises
    ------
    InputError
        If there are fewer than two, or one of them is empty on that grid.
    """
    grid = as_grid(like)
    masks = _carried(ctvs, grid, brain)
    rows = []
    for first, second in combinations(masks, 2):
        a, b = masks[first], masks[second]
        both = int((a & b).sum())
        mean, hd95 = edge_distances(a, b, grid)
        values = (
            a.sum() * grid.voxel_cc,
            b.sum() * grid.voxel_cc,
            both * grid.voxel_cc,
            (a.sum() - both) * grid.voxel_cc,
            (b.sum() - both) * grid.voxel_cc,
            2 * both / (a.sum() + b.sum()),
            surface_dice(a, b, grid, TOLERANCE_MM),
            mean,
            hd95,
        )
        rows.append({"first": first, "second": second} | {k: float(v) for k, v in zip(PAIR_TITLES, values)})
    return rows


def difference_map(
    ctvs: Mapping[str, sitk.Image], like: sitk.Image | Grid, brain: sitk.Image | None = None
) -> tuple[sitk.Image, tuple[Share, ...]]:
    """Which target volumes cover each voxel: the i-th one (from 0) adds 2**i to the label, so 0 is none and the highest label is all.

    Returns
    -------
    tuple
        Label map (uint8) on the grid of `like`, and one `Share` per label that occurs, in rising order.

    Raises
    ------
    InputError
        If there are fewer than two target volumes or more than eight, or one of them is empty on that grid.
    """
    grid = as_grid(like)
    masks = _carried(ctvs, grid, brain)
    if len(masks) > _MOST:
        raise InputError(f"{len(masks)} target volumes were given; a difference map holds at most {_MOST}")
    labels = np.zeros(grid.shape, np.uint8)
    for i, mask in enumerate(masks.values()):
        labels |= mask.astype(np.uint8) << i
    counts = np.bincount(labels.ravel())
    shares = tuple(
        Share(label, tuple(n for i, n in enumerate(masks) if label >> i & 1), float(counts[label]) * grid.voxel_cc)
        for label in np.flatnonzero(counts).tolist()
        if label
    )
    return grid.image(labels), shares


def _carried(ctvs: Mapping[str, sitk.Image], grid: Grid, brain: sitk.Image | None) -> dict[str, np.ndarray]:
    if len(ctvs) < 2:
        raise InputError("one target volume was given; at least two are needed to be compared with each other")
    inside = None if brain is None else boolean(resample_mask(brain, grid))
    masks = {}
    for name, mask in ctvs.items():
        carried = boolean(resample_mask(mask, grid))
        masks[name] = carried.copy() if inside is None else carried & inside
        if not masks[name].any():
            where = "on the grid of the comparison" if inside is None else "inside the brain"
            raise InputError(f"{name} has no voxel {where}; masks of one patient in one position are needed")
    return masks
