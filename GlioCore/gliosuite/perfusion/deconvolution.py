"""Deconvolution of DSC curves by their AIF: residue function, flow and the time of its maximum, for all voxels at once.

The AIF is discretised with the weights 1/6, 4/6, 1/6 (Ostergaard 1996). The block-circulant methods double the length, so that a tissue
that is earlier than the AIF wraps to the end and the flow does not depend on the delay.
"""

from dataclasses import dataclass

import numpy as np

METHODS = ("osvd", "csvd", "ssvd", "tikhonov")
CIRCULANT = ("osvd", "csvd")  # doubled length: the flow does not depend on the delay
OSCILLATION = 0.065  # oscillation index that oSVD allows
THRESHOLD = {"csvd": 0.1, "ssvd": 0.1}  # fraction of the largest singular value below which is cut
_OSVD_STEPS = np.arange(0.0, 0.96, 0.03)
_BLOCK = 8192


@dataclass(frozen=True)
class Residue:
    """Height of the flow-scaled residue function (n,) in 1/s, and the time of its maximum in s; float64, NaN where undefined."""

    height: np.ndarray
    tmax_s: np.ndarray


def deconvolve(curves: np.ndarray, dt_s: float, aif: np.ndarray, method: str = "osvd") -> Residue:
    """Deconvolve curves (n, t) by an AIF (t,), both in the same unit, sampled every `dt_s`.

    Parameters
    ----------
    method
        ``"osvd"``: block-circulant, cut per voxel until the residue oscillates little (Wu 2003); ``"csvd"``: block-circulant with a fixed
        cut; ``"ssvd"``: lower triangular with a fixed cut (Ostergaard 1996; its flow falls with the delay); ``"tikhonov"``:
        block-circulant with the corner of the L-curve per voxel.
    """
    n, count = curves.shape
    matrix = _convolution_matrix(np.asarray(aif, np.float64), dt_s, circulant=method in CIRCULANT)
    left, values, right = np.linalg.svd(matrix)
    # The curve fills the first half of the doubled time axis, so only these rows of the left vectors matter.
    left = left[:count]
    height, tmax = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(0, n, _BLOCK):
        block = np.asarray(curves[i : i + _BLOCK], np.float64)
        rows = np.flatnonzero(np.isfinite(block).all(axis=1))
        if not rows.size:
            continue
        y = block[rows]
        if method == "osvd":
            residue = _least_oscillating(y, left, values, right)
        elif method == "tikhonov":
            residue = _l_curve(y, left, values, right)
        else:
            keep = values >= THRESHOLD[method] * values[0]
            residue = y @ ((left[:, keep] / values[keep]) @ right[keep])
        top = np.argmax(residue, axis=1)
        height[i + rows] = residue[np.arange(rows.size), top]
        tmax[i + rows] = dt_s * _vertex(residue, top, circulant=method in CIRCULANT, count=count)
    return Residue(height, tmax)


def _convolution_matrix(aif: np.ndarray, dt_s: float, circulant: bool) -> np.ndarray:
    count = aif.size
    padded = np.concatenate([[0.0], aif, np.zeros(count + 1)])
    smooth = dt_s * (padded[:-2] + 4.0 * padded[1:-1] + padded[2:]) / 6.0
    if not circulant:
        lag = np.subtract.outer(np.arange(count), np.arange(count))
        return np.where(lag >= 0, smooth[np.maximum(lag, 0)], 0.0)
    column = smooth[: 2 * count]
    lag = np.subtract.outer(np.arange(2 * count), np.arange(2 * count)) % (2 * count)
    return column[lag]


def _least_oscillating(y: np.ndarray, left: np.ndarray, values: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Per voxel the residue with the lowest cut whose oscillation index is allowed; the highest cut where none is."""
    result = np.empty((y.shape[0], right.shape[0]))
    open_rows = np.arange(y.shape[0])
    before = -1
    for cut in _OSVD_STEPS:
        keep = values >= max(cut, 1e-10) * values[0]
        last = cut == _OSVD_STEPS[-1]
        if keep.sum() == before and not last:
            continue  # this cut removes nothing more
        before = keep.sum()
        residue = y[open_rows] @ ((left[:, keep] / values[keep]) @ right[keep])
        result[open_rows] = residue
        bend = np.abs(residue[:, 2:] - 2.0 * residue[:, 1:-1] + residue[:, :-2]).sum(axis=1)
        index = bend / (residue.shape[1] * np.maximum(residue.max(axis=1), 1e-30))
        open_rows = open_rows[index >= OSCILLATION]
        if not open_rows.size:
            break
    return result


def _l_curve(y: np.ndarray, left: np.ndarray, values: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Tikhonov's residue at the corner (largest curvature) of each voxel's L-curve; two matrix products give all curves."""
    weights = np.geomspace(0.005, 1.0, 40) * values[0]
    factor = values[:, None] ** 2 / (values[:, None] ** 2 + weights[None, :] ** 2)
    beta = y @ left
    rest = np.log(np.maximum((beta**2) @ (1.0 - factor) ** 2, 1e-300)) / 2.0
    size = np.log(np.maximum((beta**2) @ (factor / values[:, None]) ** 2, 1e-300)) / 2.0
    step = np.log(weights[1] / weights[0])
    d_rest, d_size = np.gradient(rest, step, axis=1), np.gradient(size, step, axis=1)
    dd_rest, dd_size = np.gradient(d_rest, step, axis=1), np.gradient(d_size, step, axis=1)
    curvature = (d_rest * dd_size - dd_rest * d_size) / np.maximum((d_rest**2 + d_size**2) ** 1.5, 1e-30)
    corner = np.argmax(curvature[:, 2:-2], axis=1) + 2
    return (beta * (factor[:, corner].T / values)) @ right


def _vertex(residue: np.ndarray, top: np.ndarray, circulant: bool, count: int) -> np.ndarray:
    """Position of the maximum in frames, by a parabola through it and its neighbours; the second half of a circle is negative."""
    rows, length = np.arange(residue.shape[0]), residue.shape[1]
    neighbour = (lambda i: i % length) if circulant else (lambda i: np.clip(i, 0, length - 1))
    before, here, after = (residue[rows, neighbour(top + k)] for k in (-1, 0, 1))
    bend = before - 2.0 * here + after
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, 0.5 * (before - after) / bend, 0.0)
    position = top + np.clip(shift, -0.5, 0.5)
    return np.where(position > count, position - length, position) if circulant else np.maximum(position, 0.0)
