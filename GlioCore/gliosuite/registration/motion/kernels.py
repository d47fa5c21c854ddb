"""Kernels of motion correction: cubic B-splines read at moved points, and filters along one axis. `splines` takes them where numba is."""

import numpy as np

from ...compute.compiled import inlined, kernel


@inlined
def fold(i: int, n: int) -> int:
    """Where index `i` lies in an axis of `n` that goes on as in a mirror."""
    if n == 1:
        return 0
    i = abs(i) % (2 * n - 2)
    return i if i < n else 2 * n - 2 - i


@kernel
def read_cubic(
    coefficients: np.ndarray,
    points: np.ndarray,
    matrix: np.ndarray,
    offset: np.ndarray,
    edge: float,
    values: np.ndarray,
    inside: np.ndarray,
) -> None:
    """``values[i]`` = the cubic B-spline with these coefficients (z, y, x; float32) at ``matrix @ points[i] + offset`` (indices z, y, x).

    `inside` says which of these lie in the image, or beyond it by `edge` at most.
    """
    nz, ny, nx = coefficients.shape
    for i in range(points.shape[0]):
        a, b, c = points[i, 0], points[i, 1], points[i, 2]
        z = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + offset[0]
        y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + offset[1]
        x = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + offset[2]
        inside[i] = -edge <= z <= nz - 1 + edge and -edge <= y <= ny - 1 + edge and -edge <= x <= nx - 1 + edge
        kz, ky, kx = np.floor(z), np.floor(y), np.floor(x)
        f = x - kx
        g = 1.0 - f
        w0, w1, w2, w3 = g * g * g, 4 - 3 * f * f * (1 + g), 4 - 3 * g * g * (1 + f), f * f * f
        fy, fz = y - ky, z - kz
        z0, y0, x0 = int(kz) - 1, int(ky) - 1, int(kx) - 1
        within = x0 >= 0 and x0 + 3 < nx
        x1, x2, x3 = x0 + 1, x0 + 2, x0 + 3
        if not within:
            x0, x1, x2, x3 = fold(x0, nx), fold(x1, nx), fold(x2, nx), fold(x3, nx)
        total = 0.0
        for p in range(4):
            zi = z0 + p
            if zi < 0 or zi >= nz:
                zi = fold(zi, nz)
            plane = 0.0
            for q in range(4):
                yi = y0 + q
                if yi < 0 or yi >= ny:
                    yi = fold(yi, ny)
                line = (
                    w0 * coefficients[zi, yi, x0]
                    + w1 * coefficients[zi, yi, x1]
                    + w2 * coefficients[zi, yi, x2]
                    + w3 * coefficients[zi, yi, x3]
                )
                plane += cubic_weight(fy, q) * line
            total += cubic_weight(fz, p) * plane
        values[i] = total / 216.0


@inlined
def cubic_weight(f: float, k: int) -> float:
    """Six times the weight of the `k`-th of the four values about a place at the fraction `f` after the second."""
    g = 1.0 - f
    if k == 0:
        return g * g * g
    if k == 1:
        return 4 - 3 * f * f * (1 + g)
    if k == 2:
        return 4 - 3 * g * g * (1 + f)
    return f * f * f


@kernel
def filter_rows(values: np.ndarray, at: np.ndarray, taps: np.ndarray, step: int, result: np.ndarray) -> None:
    """``result[a, j, b]`` = sum over m of ``taps[m] * values[a, at[j * step + m], b]``; everything float32 but the indices `at`."""
    length = taps.size
    padded, whole = np.empty(at.size, np.float32), np.empty(at.size - length + 1, np.float32)
    for a in range(result.shape[0]):
        if result.shape[2] > 1:
            for j in range(result.shape[1]):
                out = result[a, j]
                out[:] = 0
                for m in range(length):
                    row, weight = values[a, at[j * step + m]], taps[m]
                    for b in range(out.size):
                        out[b] += weight * row[b]
        else:
            for i in range(at.size):
                padded[i] = values[a, at[i], 0]
            whole[:] = 0
            for m in range(length):
                weight = taps[m]
                for i in range(whole.size):
                    whole[i] += weight * padded[i + m]
            for j in range(result.shape[1]):
                result[a, j, 0] = whole[j * step]


@kernel
def read_along(spline: np.ndarray, row: np.ndarray, shift: float, axis: int, result: np.ndarray) -> None:
    """``result[z, y, x]`` = the cubic B-spline along one axis, with these coefficients, at ``row @ (z, y, x) + shift``, kept inside."""
    nz, ny, nx = result.shape
    n = result.shape[axis]
    for z in range(nz):
        for y in range(ny):
            start = row[0] * z + row[1] * y + shift
            for x in range(nx):
                at = min(max(start + row[2] * x, 0.0), n - 1.0)
                k = min(int(at), n - 2)
                f = np.float32(at - k)
                g = np.float32(1) - f
                below, above = (k - 1 if k > 0 else 1), (k + 2 if k + 2 < n else n - 2)
                if axis == 0:
                    c0, c1, c2, c3 = spline[below, y, x], spline[k, y, x], spline[k + 1, y, x], spline[above, y, x]
                elif axis == 1:
                    c0, c1, c2, c3 = spline[z, below, x], spline[z, k, x], spline[z, k + 1, x], spline[z, above, x]
                else:
                    c0, c1, c2, c3 = spline[z, y, below], spline[z, y, k], spline[z, y, k + 1], spline[z, y, above]
                ff, gg = f * f, g * g
                result[z, y, x] = (
                    g * gg * c0 + (4 - 3 * ff * (1 + g)) * c1 + (4 - 3 * gg * (1 + f)) * c2 + f * ff * c3
                ) / np.float32(6)
