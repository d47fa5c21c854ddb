"""Contralateral normal-appearing white matter, to which blood volume and flow are related."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...errors import InputError, option
from ...images import Grid, boolean, resample_mask, signed_distance

MIN_VOXELS = 200  # chosen: the mean over fewer depends on which they are
_FROM_SURFACE_MM = 8.0  # leaves cortex and its vessels out
_FROM_LESION_MM = 10.0  # chosen: clear of what a mask of the lesion misses
_WHITE_MATTER = (10.0, 40.0)  # percentiles of blood volume in the region: white matter has less than grey


@dataclass(frozen=True)
class Reference:
    """A reference region as booleans (z, y, x), or None where none was found, and the sentence that says so."""

    mask: np.ndarray | None
    note: str


def given_nawm(mask: sitk.Image, grid: Grid, cbv: np.ndarray, fitted: np.ndarray) -> Reference:
    """The user's region on the series' grid, where blood volume is known.

    Raises
    ------
    InputError
        If no voxel of it was fitted.
    """
    region = boolean(resample_mask(mask, grid)) & fitted & np.isfinite(cbv)
    if not region.any():
        raise InputError(
            f"the normal white matter mask ({option('--nawm')}) has no fitted voxel; one inside the fitted mask is needed"
        )
    return _described(region, cbv, "normal white matter as given")


def find_nawm(brain: sitk.Image, lesion: sitk.Image, grid: Grid, cbv: np.ndarray, fitted: np.ndarray) -> Reference:
    """White-matter-like voxels of the hemisphere that mirrors the lesion.

    The mid-sagittal plane goes through the brain's centre, across the patient's left-right axis. Of the other hemisphere, voxels more than
    8 mm below the brain's surface and 10 mm away from the lesion are taken; the 5 % with the highest blood volume (vessels) are dropped,
    and those between its 10th and 40th percentile, as in white matter, are kept (by the mean over neighbours). At least 200 voxels are
    needed. (Only the lesion's levels would hold more or less grey matter from lesion to lesion, and the reference would change with it by
    up to 15 % in simulated patients.)
    """
    brain, lesion = resample_mask(brain, grid), resample_mask(lesion, grid)
    head, tumour = boolean(brain), boolean(lesion)
    if not head.any() or not tumour.any():
        return Reference(None, "no ncbv and ncbf: the brain or lesion mask does not overlap the series")
    from_surface = sitk.GetArrayFromImage(signed_distance(brain)) < -_FROM_SURFACE_MM
    from_lesion = sitk.GetArrayFromImage(signed_distance(lesion)) > _FROM_LESION_MM
    x = _axis(grid, 0)
    side = (x - x[head].mean()) * (x[tumour].mean() - x[head].mean()) < 0
    region = side & from_surface & from_lesion & fitted & np.isfinite(cbv) & (np.nan_to_num(cbv) > 0)
    if region.sum() >= MIN_VOXELS:
        # Chosen by the mean over neighbours: by a voxel's own value, those would be taken that noise has made low.
        level = _smooth(cbv, region)
        below = region & (level <= np.percentile(level[region], 95))
        low, high = np.percentile(level[below], _WHITE_MATTER)
        chosen = below & (level >= low) & (level <= high)
        if chosen.sum() >= MIN_VOXELS:
            return _described(chosen, cbv, "normal white matter found automatically opposite the lesion")
    return Reference(
        None, f"no ncbv and ncbf: fewer than {MIN_VOXELS} voxels of normal white matter opposite the lesion"
    )


def _smooth(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean over the 27 neighbours that lie in a region."""
    weight = ndimage.uniform_filter(where.astype(np.float64), 3, mode="constant")
    total = ndimage.uniform_filter(np.where(where, values, 0.0).astype(np.float64), 3, mode="constant")
    return total / np.maximum(weight, 1e-9)


def _axis(grid: Grid, axis: int) -> np.ndarray:
    """Patient coordinate (mm, LPS) of every voxel (z, y, x)."""
    matrix = np.reshape(grid.direction, (3, 3)) * grid.spacing
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return grid.origin[axis] + matrix[axis, 0] * i + matrix[axis, 1] * j + matrix[axis, 2] * k


def _described(region: np.ndarray, cbv: np.ndarray, what: str) -> Reference:
    mean, sd = float(cbv[region].mean()), float(cbv[region].std())
    return Reference(
        region,
        f"{what}: {int(region.sum())} voxels, cbv {mean:.3g} +- {sd:.2g} ml/100ml (CV {100 * sd / max(abs(mean), 1e-12):.0f} %)",
    )
