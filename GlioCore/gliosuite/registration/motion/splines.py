"""Images as cubic B-splines: their coefficients, and their values at moved points; by compiled kernels where numba is installed."""

import numpy as np
from scipy import ndimage

from ...compute.compiled import compiled, worthwhile
from . import kernels

# The filter that turns samples into coefficients: sqrt(3) (sqrt(3) - 2)^|k| (Unser, IEEE Signal Proc Mag 1999;16(6):22), cut off where it
# has fallen to 2e-6.
_RADIUS = 10
_POLE = np.sqrt(3) - 2
_EDGE = 0.01  # voxels beyond the outermost centres that still count as inside
TO_SPLINE = _POLE ** np.abs(np.arange(-_RADIUS, _RADIUS + 1))
TO_SPLINE /= TO_SPLINE.sum()


def gaussian(sd: float) -> np.ndarray:
    """Taps of a Gaussian filter of SD `sd` (in samples), cut off at three SDs."""
    k = np.arange(-int(3 * sd + 0.5), int(3 * sd + 0.5) + 1)
    taps = np.exp(-0.5 * np.square(k / sd))
    return taps / taps.sum()


def filtered(values: np.ndarray, taps: np.ndarray, axis: int, step: int = 1) -> np.ndarray:
    """Every `step`-th value of an image (z, y, x) filtered along one axis by symmetric taps (2 r + 1,); float32, mirrored at its edges."""
    if not worthwhile(values.size, repeated=True):
        found = ndimage.convolve1d(values, taps, axis, np.float32, mode="mirror")
        return found[(slice(None),) * axis + (slice(None, None, step),)]
    n, r = values.shape[axis], len(taps) // 2
    at = np.abs(np.arange(-r, n + r)) % max(2 * n - 2, 1)
    at = np.where(at < n, at, 2 * n - 2 - at)
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    shape = (int(np.prod(before)), -(-n // step), int(np.prod(after)))
    result = np.empty(shape, np.float32)
    rows = np.ascontiguousarray(values, np.float32).reshape(shape[0], n, shape[2])
    compiled(kernels).filter_rows(rows, at, taps.astype(np.float32), step, result)
    return result.reshape(*before, shape[1], *after)


def spline_at(
    coefficients: np.ndarray, points: np.ndarray, matrix: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The cubic B-spline with coefficients (z, y, x; float32), mirrored at its edges, at ``matrix @ point + offset`` for points (n, 3).

    Returns
    -------
    tuple
        Values (n,), and which of them lie in the image.
    """
    if worthwhile(len(points), repeated=True):
        values, inside = np.empty(len(points)), np.empty(len(points), bool)
        compiled(kernels).read_cubic(coefficients, points, matrix, offset, _EDGE, values, inside)
        return values, inside
    index = matrix @ points.T + offset[:, None]
    top = np.array(coefficients.shape)[:, None] - 1
    inside = np.asarray(((index >= -_EDGE) & (index <= top + _EDGE)).all(axis=0))
    found = ndimage.map_coordinates(coefficients, index, order=3, prefilter=False, mode="mirror", output=np.float64)
    return found, inside


def coefficients_of(values: np.ndarray) -> np.ndarray:
    """Coefficients (z, y, x; float32) of the cubic B-spline through an image."""
    for axis, n in enumerate(values.shape):
        if n > 1:
            values = filtered(values, TO_SPLINE, axis)
    return values
