"""What registration looks at: coarse images, their foreground, and how much one image says about another (Mattes mutual information)."""

import numpy as np
import SimpleITK as sitk

from ..images import Grid, array, boolean, resample

_CLIP_PERCENT = (0.5, 99.5)  # a few very bright vessels would otherwise leave the brain two or three of the 50 bins


def clean(image: sitk.Image) -> sitk.Image:
    """The image as float32 with what is not finite set to 0."""
    image = sitk.Cast(image, sitk.sitkFloat32)
    values = sitk.GetArrayViewFromImage(image)
    return image if np.isfinite(values).all() else Grid.of(image).image(np.nan_to_num(values, posinf=0.0, neginf=0.0))


def coarse(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image on an isotropic grid of `spacing_mm`, averaged along each axis as far as that axis was finer."""
    grid = Grid.of(image)
    factors = [max(1, min(int(spacing_mm / s + 0.01), n)) for s, n in zip(grid.spacing, grid.size)]
    if max(factors) > 1:
        # Blocks that the field of view cuts off are completed by repeating its edge.
        image = sitk.ZeroFluxNeumannPad(image, [0] * 3, [-n % f for n, f in zip(grid.size, factors)])
        image = sitk.BinShrink(image, factors)
    for axis, factor in enumerate(factors):
        if (
            image.GetSize()[axis] >= 4 and factor > 1
        ):  # a block average alone leaves steps that the climb would stumble over
            image = sitk.RecursiveGaussian(
                image, 0.5 * image.GetSpacing()[axis], False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    return resample(image, grid.isotropic(spacing_mm))


def foreground(image: sitk.Image, spacing_mm: float = 4.0) -> sitk.Image:
    """The head (or, in a skull-stripped image, the brain) as uint8 on a coarse isotropic grid.

    Where a fifth of the voxels or more share the lowest value the image was masked before, and everything else is foreground;
    otherwise Otsu's threshold divides head from air. The largest piece is closed and its holes are filled.
    """
    values = array(image)
    lowest = values.min()
    small = coarse(image, spacing_mm)
    if np.mean(values == lowest) >= 0.2:
        share = coarse(Grid.of(image).image((values > lowest).astype(np.float32)), spacing_mm)
        mask = share > 0.5
    else:
        top = float(np.percentile(sitk.GetArrayViewFromImage(small), 98))
        mask = sitk.OtsuThreshold(sitk.Clamp(small, upperBound=top), 0, 1, 128)
    mask = sitk.BinaryMorphologicalClosing(sitk.ConstantPad(sitk.Cast(mask, sitk.sitkUInt8), [3] * 3, [3] * 3), [3] * 3)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.BinaryFillhole(mask)))
    mask = sitk.Crop(sitk.Cast(pieces == 1, sitk.sitkUInt8), [3] * 3, [3] * 3)
    return mask if boolean(mask).any() else mask + 1  # one value everywhere: all of it


def unit(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Intensities scaled to 0-1 between the percentiles of the voxels `inside`, clipped."""
    low, high = np.percentile(values[inside], _CLIP_PERCENT)
    return np.clip((values - low) / max(float(high - low), 1e-12), 0.0, 1.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x * x + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0))


def _cubic_slope(x: np.ndarray) -> np.ndarray:
    a = np.abs(x)
    return np.sign(x) * np.where(a < 1, 1.5 * a * a - 2 * a, np.where(a < 2, -((2 - a) ** 2) / 2, 0.0))


def mutual_information(fixed: np.ndarray, moving: np.ndarray, bins: int = 50) -> tuple[float, np.ndarray]:
    """Mattes mutual information of paired intensities and its gradient by the moving ones.

    Parameters
    ----------
    fixed, moving
        Intensities (n,) between 0 and 1.
    bins
        Bins of the joint histogram; the fixed image has a box window, the moving one a cubic B-spline (Mattes 2003, IEEE TMI 22:120).

    Returns
    -------
    tuple
        Mutual information in nats, and its derivative (n,) by each moving intensity.
    """
    row, position, first, p = _joint(fixed, moving, bins)
    some = p > 1e-14
    slope = np.zeros_like(p)
    slope[some] = np.log(p[some] / np.broadcast_to(p.sum(0, keepdims=True), p.shape)[some])
    slope = slope.ravel()
    gradient = np.zeros(moving.shape)
    for k in range(4):
        gradient += _cubic_slope(position - first - k) * slope[row + first + k]
    return _information(p), gradient * (bins - 5) / max(fixed.size, 1)


def information_of(fixed: np.ndarray, moving: np.ndarray, bins: int = 50) -> float:
    """`mutual_information` without its gradient."""
    return _information(_joint(fixed, moving, bins)[3])


def _joint(fixed: np.ndarray, moving: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The joint histogram (bins, bins), after each pair's row in it, place along the row in bins, and first bin of its window."""
    row = np.clip((fixed * (bins - 1) + 0.5).astype(np.int64), 0, bins - 1) * bins
    position = moving * (bins - 5) + 2  # two bins of padding on both sides hold the window's tails
    first = np.floor(position).astype(np.int64) - 1
    joint = np.zeros(bins * bins)
    for k in range(4):
        joint += np.bincount(row + first + k, weights=_cubic(position - first - k), minlength=bins * bins)
    return row, position, first, joint.reshape(bins, bins) / max(fixed.size, 1)


def _information(p: np.ndarray) -> float:
    """Mutual information in nats of a joint histogram whose sum is 1."""
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    some = p > 1e-14
    return float((p[some] * np.log(p[some] / product[some])).sum())


def interpolate(values: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trilinear interpolation of `values` (z, y, x) at `index` (3, n) in voxels, with its exact derivative.

    Returns
    -------
    tuple
        Values (n,), derivatives (3, n) per voxel, and a boolean (n,) that is False outside the grid (there the nearest edge counts).
    """
    v, f, inside = _corners(values, index)
    line = [v[i] + (v[i + 1] - v[i]) * f[2] for i in (0, 2, 4, 6)]
    line_x = [v[i + 1] - v[i] for i in (0, 2, 4, 6)]
    plane = [line[i] + (line[i + 1] - line[i]) * f[1] for i in (0, 2)]
    plane_y = [line[i + 1] - line[i] for i in (0, 2)]
    plane_x = [line_x[i] + (line_x[i + 1] - line_x[i]) * f[1] for i in (0, 2)]
    slope = np.stack(
        [
            plane[1] - plane[0],
            plane_y[0] + (plane_y[1] - plane_y[0]) * f[0],
            plane_x[0] + (plane_x[1] - plane_x[0]) * f[0],
        ]
    )
    top = np.asarray(values.shape)[:, None] - 1
    return plane[0] + (plane[1] - plane[0]) * f[0], slope * ((index >= 0) & (index <= top)), inside


def interpolated(values: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`interpolate` without the derivatives."""
    v, f, inside = _corners(values, index)
    line = [v[i] + (v[i + 1] - v[i]) * f[2] for i in (0, 2, 4, 6)]
    plane = [line[i] + (line[i + 1] - line[i]) * f[1] for i in (0, 2)]
    return plane[0] + (plane[1] - plane[0]) * f[0], inside


def _corners(values: np.ndarray, index: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The eight values (n,) around each place, x fastest, how far (3, n) it lies between them, and whether it is inside the grid."""
    top = np.asarray(values.shape)[:, None] - 1
    inside = np.asarray(((index >= 0) & (index <= top)).all(0))
    held = np.clip(index, 0, np.maximum(top - 1e-9, 0))
    corner = np.minimum(held.astype(np.int64), np.maximum(top - 1, 0))
    step = [values.shape[1] * values.shape[2], values.shape[2], 1]
    step = [s if n > 1 else 0 for s, n in zip(step, values.shape)]  # an axis of one voxel has no neighbour
    base = corner[0] * step[0] + corner[1] * step[1] + corner[2] * step[2]
    flat = values.ravel()
    v = [flat[base + dz * step[0] + dy * step[1] + dx] for dz in (0, 1) for dy in (0, 1) for dx in (0, step[2])]
    return v, held - corner, inside


def positions(grid: Grid, mask: np.ndarray) -> np.ndarray:
    """Positions (n, 3) in mm (LPS) of the voxels of the boolean `mask` (z, y, x)."""
    index = np.argwhere(mask)[:, ::-1]
    return index @ (np.reshape(grid.direction, (3, 3)) * grid.spacing).T + grid.origin


def indices(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Voxel indices (3, n) in array order (z, y, x) of positions (n, 3)."""
    matrix = np.linalg.inv(np.reshape(grid.direction, (3, 3)) * grid.spacing)
    return ((points - np.asarray(grid.origin)) @ matrix.T).T[::-1]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice coefficient of two boolean arrays."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 0.0
