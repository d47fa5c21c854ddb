"""Drafts of lesions by plain rules on intensities: for a start, to be looked at and corrected by a person.

Every rule works on intensities relative to normal brain nearby, so that scanner, coil and normalisation do not matter. The constants
are multiples of normal brain's own spread or sizes in mm, chosen from what they mean (stated beside them), not from test cases.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid, array, box_around

# Hysteresis in robust SD of normal brain: a lesion starts where 1 in 700 normal voxels would lie by chance and grows to where 1 in 40 would
# (de Boer et al. 2009 cut FLAIR at 2.3 SD above grey matter).
SEED_SD, GROW_SD = 3.0, 2.0
# Oedema fades out: it goes on to 1.5 SD, but ends where it falls to a fifth of its peak within 10 mm, which is the blur of a sharp edge.
_FLAIR_GROW_SD, _FLAIR_EDGE, _FLAIR_PEAK_MM = 1.5, 0.2, 10.0
_CLEAR = 0.1  # chosen: part of a lesion's volume; on real images half of it is clear, of what a coil brightens 1 in 50
_SMOOTH_MM = 0.7  # noise; far below the size of a lesion
_THIN_MM = 2.0  # vessels, dura and the bright lining of ventricles are thinner than twice this
MIN_CC = 0.1  # 1/10 cc: smaller enhancing foci are below what RANO calls measurable, smaller T2 foci are not glioma


@dataclass(frozen=True)
class Relative:
    """An image relative to normal brain tissue nearby.

    Parameters
    ----------
    level
        (z, y, x) float32: about 1 in normal tissue, about 0 in CSF.
    z
        Distance from normal tissue in its robust SDs.
    normal
        Boolean: voxels taken as normal tissue.
    """

    level: np.ndarray
    z: np.ndarray
    normal: np.ndarray


def relative(image: sitk.Image, brain: np.ndarray) -> Relative:
    """Divide by the intensity of normal brain nearby (within about 3 cm), learned without what deviates.

    Intensities count from the darkest of the brain (CSF on T1 and FLAIR), so that normalised images with negative values work too.
    """
    grid = Grid.of(image)
    sigma = [_SMOOTH_MM / s for s in grid.spacing[::-1]]
    # Nothing is learned outside the brain: its box is enough, with what the smoothing at its edge reaches.
    box = _around(brain, grid, 4.0 * _SMOOTH_MM + max(grid.spacing))
    values = array(image)[box]
    inside = brain[box] & np.isfinite(values)
    # Smoothed inside the brain alone: the background would darken what enhances along the surface.
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    values = ndimage.gaussian_filter(np.where(inside, values, 0.0), sigma) / np.maximum(weight, 1e-3)
    dark = float(np.percentile(values[inside], 1))
    values = np.where(inside, values - dark, 0.0).astype(np.float32)
    level = np.maximum(values / max(float(np.median(values[inside])), 1e-9), 0.0)
    field = np.ones_like(level)
    for _ in range(3):
        inner = (level / field)[inside]
        inner = inner[inner > 0.5]  # CSF is no tissue
        centre = float(np.median(inner))
        spread = max(1.4826 * float(np.median(np.abs(inner - centre))), 0.02)
        normal = inside & (np.abs(level / field - centre) < 2.5 * spread)
        field = _local_mean(level, normal, box, grid)
    level = level / field
    # The peak of the histogram and the spread above it: below it lie CSF, sulci and, on T1, grey matter, which say nothing about what is
    # too bright.
    counts, edges = np.histogram(level[inside], 200, (0.5, 1.5))
    centre = float(edges[ndimage.gaussian_filter1d(counts.astype(float), 4.0).argmax()] + 0.0025)
    above = level[inside & (level > centre)] - centre
    spread = max(float(np.percentile(above, 68.27)), 0.02)

    def placed(part: np.ndarray) -> np.ndarray:
        result = np.zeros(grid.shape, part.dtype)
        result[box] = part
        return result

    z = np.where(inside, (level - centre) / spread, 0.0)
    return Relative(placed(level.astype(np.float32)), placed(z.astype(np.float32)), placed(normal))


def _local_mean(values: np.ndarray, where: np.ndarray, box: tuple[slice, ...], grid: Grid) -> np.ndarray:
    """Mean of `values` over `where`, both in `box` of `grid`, within about 3 cm, computed every 4 mm and interpolated."""
    step = [max(round(4.0 / s), 1) for s in grid.spacing[::-1]]
    sigma = [30.0 / (s * n) for s, n in zip(grid.spacing[::-1], step)]
    # Every `step`-th voxel of the whole image, counted from its corner; beyond the box there is nothing to be averaged.
    first = [-(-b.start // s) for b, s in zip(box, step)]
    near = tuple(slice(f * s - b.start, None, s) for f, b, s in zip(first, box, step))
    there = tuple(slice(f, f + n) for f, n in zip(first, where[near].shape))
    count = np.zeros([-(-n // s) for n, s in zip(grid.shape, step)], np.float32)
    total = np.zeros_like(count)
    count[there], total[there] = where[near], np.where(where[near], values[near], 0.0)
    weight, total = ndimage.gaussian_filter(count, sigma), ndimage.gaussian_filter(total, sigma)
    mean = total / np.maximum(weight, 1e-6)
    mean = np.where(weight > 1e-3, mean, np.median(mean[weight > 1e-3]))
    at = [np.arange(b.start, b.start + n, dtype=np.float32) / s for b, n, s in zip(box, values.shape, step)]
    rows = ndimage.map_coordinates(mean, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    return np.maximum(rows, 0.05)


# ------------------------------------------------------------------------------------------------------------------ what bounds


def ball(grid: Grid, radius_mm: float) -> np.ndarray:
    """A ball of `radius_mm` as a structuring element (z, y, x); at least the centre voxel."""
    reach = [int(radius_mm / s) for s in grid.spacing[::-1]]
    z, y, x = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    dz, dy, dx = grid.spacing[::-1]
    return (z * dz) ** 2 + (y * dy) ** 2 + (x * dx) ** 2 <= radius_mm**2 + 1e-6


def dilate(mask: np.ndarray, grid: Grid, radius_mm: float) -> np.ndarray:
    """Voxels within `radius_mm` of the mask."""
    result = np.zeros_like(mask)
    if mask.any():
        box = _around(mask, grid, radius_mm)
        result[box] = ndimage.distance_transform_edt(~mask[box], sampling=grid.spacing[::-1]) <= radius_mm
    return result


def _around(mask: np.ndarray, grid: Grid, margin_mm: float) -> tuple[slice, ...]:
    """The box of a mask, which is not empty, and `margin_mm` around it, one voxel at least: distances are needed nowhere else."""
    return box_around(mask, [int(np.ceil(margin_mm / s)) + 1 for s in grid.spacing[::-1]])


def depth_below(mask: np.ndarray, grid: Grid) -> np.ndarray:
    """How far inside the mask each voxel lies, in mm; 0 outside. What the image cuts off ends there."""
    result = np.zeros(mask.shape)
    if mask.any():
        box = _around(mask, grid, 0.0)
        padded = np.pad(mask[box], 1)
        result[box] = ndimage.distance_transform_edt(padded, sampling=grid.spacing[::-1])[1:-1, 1:-1, 1:-1]
    return result


def opened(mask: np.ndarray, grid: Grid, radius_mm: float) -> np.ndarray:
    """What of the mask is thicker than twice `radius_mm`, with its own outline given back."""
    core = depth_below(mask, grid) > radius_mm
    return mask & dilate(core, grid, radius_mm + 1.5 * min(grid.spacing))


def hysteresis(z: np.ndarray, where: np.ndarray, seed: float = SEED_SD, grow: float = GROW_SD) -> np.ndarray:
    """Connected voxels above `grow` that hold at least one above `seed`."""
    labels, n = ndimage.label(where & (z > grow))
    kept = np.zeros(n + 1, bool)
    kept[np.unique(labels[where & (z > seed)])] = True
    kept[0] = False
    return kept[labels]


def peak(values: np.ndarray, grid: Grid, reach_mm: float) -> np.ndarray:
    """The highest of `values` (0 where they do not count), smoothed over 1 mm, within a cube of `reach_mm` to each side."""
    result = np.zeros_like(values)
    if values.any():
        box = _around(values > 0, grid, reach_mm)
        smooth = ndimage.gaussian_filter(values[box], [1.0 / s for s in grid.spacing[::-1]])
        result[box] = ndimage.maximum_filter(smooth, [2 * int(reach_mm / s) + 1 for s in grid.spacing[::-1]])
    return result


def parts(mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Connected parts (26 neighbours): labels, and the volume in cc of each (index 0: background, 0 cc)."""
    labels, n = ndimage.label(mask, np.ones((3, 3, 3)))
    volume = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_cc
    volume[0] = 0.0
    return labels, volume


def share(labels: np.ndarray, n: int, region: np.ndarray) -> np.ndarray:
    """Part (0-1) of each of `n` labels' voxels that lie in `region`."""
    total = np.bincount(labels.ravel(), minlength=n)
    return np.bincount(labels[region], minlength=n) / np.maximum(total, 1)


# -------------------------------------------------------------------------------------------------------------------- drafts


def dark(t1: Relative | None, flair: Relative | None, brain: np.ndarray, below: float = 0.5) -> np.ndarray:
    """Voxels that are on all that is given darker than `below` (0 CSF, 1 tissue): CSF-like at one half."""
    result = brain.copy()
    for scan in (t1, flair):
        if scan is not None:
            result &= scan.level < below
    return result


def ventricles(fluid: np.ndarray, atlas: np.ndarray, brain: np.ndarray, grid: Grid) -> np.ndarray:
    """CSF that hangs together with the template's ventricles and lies within 10 mm of them and 8 mm below the brain's surface."""
    depth = depth_below(brain, grid)
    near = fluid & dilate(atlas, grid, 10.0) & (depth > 8.0)
    labels, volume = parts(opened(near, grid, 1.0), grid)
    return (share(labels, len(volume), atlas) * volume > 0.2)[labels]


def t2_candidates(flair: Relative, brain: np.ndarray, grid: Grid) -> np.ndarray:
    """FLAIR hyperintensity thicker than the bright lining of ventricles and cortex."""
    depth = depth_below(brain, grid)
    bright = hysteresis(np.where(depth > 3.0, flair.z, np.minimum(flair.z, SEED_SD)), brain, grow=_FLAIR_GROW_SD)
    bright &= flair.z > _FLAIR_EDGE * peak(np.where(bright, flair.z, 0.0), grid, _FLAIR_PEAK_MM)
    return opened(ndimage.binary_fill_holes(bright), grid, _THIN_MM)


def abnormal_side(candidates: np.ndarray, asymmetry: np.ndarray, grid: Grid) -> np.ndarray:
    """Of FLAIR hyperintensity, the parts that can be glioma: not there on the other side, and not small beside the largest."""
    labels, volume = parts(candidates, grid)
    kept = (volume > MIN_CC) & (share(labels, len(volume), asymmetry > 1.0) > 0.5)
    if kept.any():
        kept &= volume > 0.05 * volume[kept].max()
    return kept[labels]


def closed(mask: np.ndarray, grid: Grid, radius_mm: float) -> np.ndarray:
    """Morphological closing by a ball of `radius_mm`."""
    if not mask.any():
        return mask.copy()
    reach = [int(radius_mm / s) + 2 for s in grid.spacing[::-1]]
    found = [(int(i.min()), int(i.max()) + 1) for i in np.nonzero(mask)]
    inner = tuple(slice(a, b) for a, b in found)
    small = np.pad(mask[inner], [(r, r) for r in reach])
    outside = ~dilate(small, grid, radius_mm)
    small |= ~dilate(outside, grid, radius_mm)
    result = mask.copy()
    result[inner] = small[tuple(slice(r, n - r) for r, n in zip(reach, small.shape))]
    return result


def enclosed(rim: np.ndarray, fluid: np.ndarray, grid: Grid) -> np.ndarray:
    """What a rim encloses: holes on slices along two of the three axes, gaps of 6 mm closed, and fluid within gaps of 24 mm.

    A rim is often open where the lesion meets the brain's surface; fluid inside it is known by its intensity as well, so that wider gaps
    are allowed for it.
    """
    if not rim.any():
        return rim.copy()
    tight = closed(rim, grid, 3.0)
    votes = np.zeros(rim.shape, np.uint8)
    for axis in range(3):
        for index in np.flatnonzero(tight.any(axis=tuple(a for a in range(3) if a != axis))):
            at = tuple(index if a == axis else slice(None) for a in range(3))
            votes[at] += ndimage.binary_fill_holes(tight[at])
    return ((votes >= 2) | (closed(rim, grid, 12.0) & fluid)) & ~rim


def lined(rim: np.ndarray, fluid: np.ndarray, brain: np.ndarray, grid: Grid) -> np.ndarray:
    """Fluid thicker than sulci (6 mm) whose wall, but for where it meets the brain's surface, is rim over more than half."""
    labels, volume = parts(opened(fluid, grid, 3.0), grid)
    body = labels > 0
    wall = body & ~ndimage.binary_erosion(body) & ndimage.binary_erosion(brain, iterations=2)
    return ((volume > MIN_CC) & (share(np.where(wall, labels, 0), len(volume), dilate(rim, grid, 3.0)) > 0.5))[labels]


def t2_lesion(
    candidates: np.ndarray, core: np.ndarray, asymmetry: np.ndarray, clear: np.ndarray, grid: Grid
) -> np.ndarray:
    """Of FLAIR hyperintensity, what belongs to the lesion.

    Parts at the enhancing core, and large ones that the other side does not have and that are `clear` (above `SEED_SD`) in some of their
    volume: what a coil brightens is one-sided too, but hardly ever reaches that.
    """
    labels, volume = parts(candidates, grid)
    at_core = np.zeros(len(volume), bool)
    at_core[np.unique(labels[dilate(core, grid, 3.0)])] = True
    one_sided = share(labels, len(volume), asymmetry > 1.0) > 0.5
    distinct = share(labels, len(volume), clear) > _CLEAR
    kept = (volume > MIN_CC) & (at_core | ((volume > 2.0) & one_sided & distinct))
    kept[0] = False
    if kept.any():
        kept &= at_core | (volume > 0.1 * volume[kept].max())
    return ndimage.binary_fill_holes(kept[labels] | core)
