"""Resampling of an image under an affine movement in three passes, each along one axis: a third of the time of one pass in 3-D.

Catmull and Smith, SIGGRAPH 1980: solved for one source coordinate after the other, the movement splits into three that each change one
coordinate. Every axis is interpolated once, by cubic B-splines, as in three dimensions.
"""

import numpy as np

from ...compute.compiled import compiled, worthwhile
from . import kernels
from .splines import TO_SPLINE, filtered


def resample_affine(values: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """``values[matrix @ index + offset]`` for every index of the array.

    Parameters
    ----------
    values
        Image (z, y, x).
    matrix, offset
        (3, 3) and (3,), from an index of the result to one of `values`, in array order; rotations of less than 45 degrees.

    Returns
    -------
    numpy.ndarray
        float32 (z, y, x); beyond the edge the nearest voxel is repeated.
    """
    result = np.asarray(values, np.float32)
    for axis in range(3):
        # This axis' source coordinate, by result coordinates up to this axis and source coordinates beyond it.
        here, beyond = slice(axis + 1), slice(axis + 1, 3)
        back = np.linalg.solve(matrix[beyond, beyond].T, matrix[axis, beyond])
        row = np.concatenate([matrix[axis, here] - back @ matrix[beyond, here], back])
        result = _along(result, axis, row, float(offset[axis] - back @ offset[beyond]))
    return result


def _along(values: np.ndarray, axis: int, row: np.ndarray, shift: float) -> np.ndarray:
    """Values interpolated along one axis at the coordinate ``row @ index + shift``."""
    n = values.shape[axis]
    if n == 1:
        return values
    spline = filtered(values, TO_SPLINE, axis)
    result = np.empty(values.shape, np.float32)
    if worthwhile(values.size, repeated=True):
        compiled(kernels).read_along(spline, row, shift, axis, result)
        return result
    spline = np.pad(spline, [(1, 2) if a == axis else (0, 0) for a in range(3)], mode="reflect")
    indices = np.ogrid[tuple(slice(k) for k in values.shape)]
    at = np.clip(sum(c * i for c, i in zip(row, indices)) + shift, 0, n - 1)
    whole = at.astype(np.intp)
    f = (at - whole).astype(np.float32)
    step = spline.strides[axis] // spline.itemsize
    base = whole * step
    for a, i in enumerate(indices):
        if a != axis:
            base += i * (spline.strides[a] // spline.itemsize)
    flat, g = spline.ravel(), 1 - f
    # The cubic B-spline's four values at the fraction f.
    weights = (g * g * g, 4 - 3 * f * f * (1 + g), 4 - 3 * g * g * (1 + f), f * f * f)
    result[:] = 0
    for weight in weights:
        result += weight * flat.take(base)
        base += step
    return result / 6
