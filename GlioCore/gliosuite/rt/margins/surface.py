"""The surface of a mask, between its voxels, and distances from it."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

# The mask is smoothed by 0.7 of its longest voxel edge, at least 1 mm: less leaves the voxels' steps standing (+1 to +3 % of volume), and
# what more would take away from thin parts is given back by the level, which keeps the volume.
_SMOOTHING = 0.7
_LEAST_MM = 1.0
_STEP_MM = 1.5  # chosen: the surface is sampled at least this finely, so that its smoothing of 1 mm or more is resolved


@dataclass(frozen=True)
class Surface:
    """A mask's surface as a cloud of points.

    Attributes
    ----------
    points
        (n, 3) mm from the first voxel's centre, in array order (z, y, x).
    tree
        The same points, to be searched.
    off_mm
        How far a point of the surface lies at most from the nearest voxel centre of the mask, and of what is not the mask.
    """

    points: np.ndarray
    tree: cKDTree
    off_mm: tuple[float, float]

    @classmethod
    def of(cls, mask: np.ndarray, spacing: np.ndarray, cell_mm: float = 0.0) -> "Surface":
        """The surface of a boolean mask (z, y, x) that has voxels.

        Parameters
        ----------
        spacing
            mm, in array order.
        cell_mm
            Keep one point per cell of this size: seen from 3 mm and more, 0.7 mm change a distance by less than 0.02 mm. 0 keeps all.
        """
        points = surface_points(mask, spacing)
        if cell_mm:
            cell = np.floor((points - points.min(axis=0)) / cell_mm).astype(np.int64)
            size = cell.max(axis=0) + 1
            flat = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
            points = points[np.unique(flat, return_index=True)[1]]
        box = box_round(mask, np.full(3, 2), pad=True)
        centres = [(np.argwhere(m) + [b.start for b in box]) * spacing for m in _rims(cut(mask, box))]
        away = [float(cKDTree(c).query(points)[0].max()) for c in centres]
        return cls(points, cKDTree(points), (away[0], away[1]))

    def distance(self, index: np.ndarray, spacing: np.ndarray) -> np.ndarray:
        """Distance in mm from voxels (n, 3; z, y, x) to the nearest point of the surface."""
        return self.tree.query(index * spacing, workers=2)[0]

    def nearest(self, index: np.ndarray, spacing: np.ndarray) -> np.ndarray:
        """The nearest point of the surface (n, 3; mm as `points`) to each voxel."""
        return self.points[self.tree.query(index * spacing, workers=2)[1]]


def surface_points(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Points on the surface of a mask, between the voxels.

    The mask is smoothed, sampled finely, and cut at the level whose inside has the mask's volume, so that a rounded edge does not cost
    volume. Parts too small to survive the smoothing keep their voxel faces.

    Parameters
    ----------
    mask
        Boolean (z, y, x).
    spacing
        mm, in array order (z, y, x).

    Returns
    -------
    numpy.ndarray
        (n, 3) in mm from the first voxel's centre, in array order.
    """
    sigma = max(_LEAST_MM, _SMOOTHING * float(spacing.max())) / spacing
    box = box_round(mask, np.ceil(3 * sigma).astype(int) + 1, pad=True)
    start = np.array([b.start for b in box])
    part = cut(mask, box)
    smooth = ndimage.gaussian_filter(part.astype(np.float32), sigma, mode="constant", truncate=3.0)
    finer = np.ceil(spacing / _STEP_MM).astype(int)
    fine = smooth
    if finer.max() > 1:
        fine = ndimage.zoom(smooth, finer, order=3, mode="nearest", grid_mode=True, prefilter=True)
    level = _volume_level(fine, float(part.sum()) * float(np.prod(finer)))
    step = spacing / finer
    points = [_crossings(fine, level) * step + (step - spacing) / 2]
    labels, count = ndimage.label(part, np.ones((3, 3, 3)))
    lost = np.flatnonzero(ndimage.maximum(smooth, labels, np.arange(1, count + 1)) <= level) + 1
    if lost.size:
        points.append(_crossings(np.isin(labels, lost).astype(np.float32), 0.5) * spacing)
    return np.concatenate(points) + start * spacing


def box_round(mask: np.ndarray, margin: np.ndarray, pad: bool = False) -> tuple[slice, ...]:
    """The box of a mask and `margin` voxels round it; with `pad` it may reach beyond the array."""
    box = []
    for axis, m in enumerate(margin):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(hit[0] - m), int(hit[-1] + 1 + m)
        box.append(slice(low, high) if pad else slice(max(0, low), min(mask.shape[axis], high)))
    return tuple(box)


def cut(mask: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """The part of a mask in a box that may reach beyond the array; nothing is there."""
    result = np.zeros([b.stop - b.start for b in box], bool)
    inner = tuple(slice(max(b.start, 0), min(b.stop, n)) for b, n in zip(box, mask.shape))
    result[tuple(slice(i.start - b.start, i.stop - b.start) for i, b in zip(inner, box))] = mask[inner]
    return result


def centre_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance in mm (float32) to the nearest voxel centre of the mask, 0 on it."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(s) for s in spacing[::-1]])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distance), 0)


def _rims(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of the mask beside others, and the others beside it, corners included."""
    cube = np.ones((3, 3, 3), bool)
    return mask & ~ndimage.binary_erosion(mask, cube), ndimage.binary_dilation(mask, cube) & ~mask


def _volume_level(values: np.ndarray, voxels: float) -> float:
    """The level whose inside has a volume of `voxels`; voxels that the level cuts count by the share that lies above it."""
    band = (values > 0.01) & (values < 0.99)
    above = float((values >= 0.99).sum())
    slope = sum(np.abs(g[band]) for g in np.gradient(values))
    slope = np.maximum(slope, 1e-3)
    u = values[band]
    low, high = 0.02, 0.98
    for _ in range(20):
        level = (low + high) / 2
        volume = above + float(np.clip((u - level) / slope + 0.5, 0, 1).sum())
        low, high = (level, high) if volume > voxels else (low, level)
    return (low + high) / 2


def _crossings(values: np.ndarray, level: float) -> np.ndarray:
    """Where `values` cross `level` along the lattice's edges, by linear interpolation; (n, 3) in voxels."""
    above = values > level
    points = []
    for axis in range(3):
        first = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        where = np.nonzero(above[first] != above[second])
        a, b = values[first][where], values[second][where]
        at = np.stack(where, axis=1).astype(float)
        at[:, axis] += (level - a) / (b - a)
        points.append(at)
    return np.concatenate(points)
