"""How far two structures' surfaces lie apart, and which share of them agrees within a tolerance."""

import numpy as np
from scipy import ndimage

from ...images import Grid


def edge_distances(a: np.ndarray, b: np.ndarray, grid: Grid) -> tuple[float, float]:
    """Mean surface distance (both ways) and HD95 (the larger of both ways) in mm, between centres of edge voxels.

    NaN where one of the masks (z, y, x) is empty.
    """
    if not a.any() or not b.any():
        return float("nan"), float("nan")
    a, b = _cropped(a, b)
    edge = lambda m: m & ~ndimage.binary_erosion(m)
    edge_a, edge_b = edge(a), edge(b)
    distance = lambda m: ndimage.distance_transform_edt(~m, sampling=grid.spacing[::-1])
    there, back = distance(edge_b)[edge_a], distance(edge_a)[edge_b]
    mean = (there.sum() + back.sum()) / (there.size + back.size)
    return float(mean), float(max(np.percentile(there, 95), np.percentile(back, 95)))


def surface_dice(a: np.ndarray, b: np.ndarray, grid: Grid, tolerance_mm: float) -> float:
    """Which share of both surfaces' area lies within a tolerance of the other surface (Nikolov 2021); NaN where both are empty.

    A surface is sampled at the corners between eight voxels of which some are inside; each sample stands for the area that the gradient of
    the mask there amounts to, so that large voxels and slanted surfaces count for what they are.

    Parameters
    ----------
    a, b
        Boolean (z, y, x) on `grid`.
    tolerance_mm
        Distance between surfaces that still counts as agreement.
    """
    if not a.any() or not b.any():
        return float("nan") if not a.any() and not b.any() else 0.0
    a, b = _cropped(a, b)
    area_a, area_b = (surface_area(m, grid) for m in (a, b))
    near = lambda area: ndimage.distance_transform_edt(area == 0, sampling=grid.spacing[::-1]) <= tolerance_mm
    agreed = area_a[near(area_b)].sum() + area_b[near(area_a)].sum()
    return float(agreed / (area_a.sum() + area_b.sum()))


def surface_area(mask: np.ndarray, grid: Grid) -> np.ndarray:
    """Surface area in mm2 that each corner between eight voxels stands for (shape of the mask less one): gradient times volume."""
    inside = mask.astype(np.float32)
    gradients = []
    for axis, step in enumerate(grid.spacing[::-1]):
        slope = np.diff(inside, axis=axis) / step
        for other in {0, 1, 2} - {axis}:
            slope = 0.5 * (
                np.take(slope, range(1, slope.shape[other]), other)
                + np.take(slope, range(slope.shape[other] - 1), other)
            )
        gradients.append(slope)
    return np.sqrt(sum(g**2 for g in gradients)) * float(np.prod(grid.spacing))


def _cropped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks in the box that holds them, with one empty voxel all round."""
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    return np.pad(a[box], 1), np.pad(b[box], 1)
