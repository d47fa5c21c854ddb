"""Deconvolution of DSC curves by their AIF: residue function, flow and the time of its maximum, for all voxels at once.

The AIF is discretised with the weights 1/6, 4/6, 1/6 (Ostergaard 1996). The block-circulant methods double the length, so that a tissue
that is earlier than the AIF wraps to the end and the flow does not depend on the delay; a circulant matrix is diagonal in Fourier space,
where cutting singular values is leaving out frequencies, both halves of a pair together.

The residue function is continuous and its samples seldom hit its top, so flow and time of the maximum are both read from the parabola
through the highest sample and its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....compute import CPU, Device, back

CIRCULANT = ("osvd", "csvd")  # doubled length: the flow does not depend on the delay
OSCILLATION = 0.065  # oscillation index that oSVD allows (Wu O et al., Magn Reson Med 2003;50:164)
# Fraction of the largest singular value below which is cut: Wu 2003 for cSVD; the same is chosen for sSVD.
THRESHOLD = {"csvd": 0.1, "ssvd": 0.1}
# A frequency in which the AIF has less than this share of its strength is noise in any measured AIF. Without noise, oSVD would keep it, and
# the flow would change by a quarter with delays of parts of a frame.
_LEAST = 0.02
_N_WEIGHTS = 40  # of Tikhonov's L-curve; more move the flow by less than 0.1 %


@dataclass(frozen=True)
class Residue:
    """Height of the flow-scaled residue function (n,) in 1/s, and the time of its maximum in s; float32, NaN where undefined.

    `sse` and `kept`, where asked for: the sum of squared residuals of the curve, and how many singular values were kept.
    """

    height: np.ndarray
    tmax_s: np.ndarray
    sse: np.ndarray | None = None
    kept: np.ndarray | None = None


def deconvolve(
    curves: np.ndarray,
    dt_s: float,
    aif: np.ndarray,
    method: str = "osvd",
    device: Device = CPU,
    nuisance: np.ndarray | None = None,
) -> Residue:
    """Deconvolve curves (n, t) by an AIF (t,), both in the same unit, sampled every `dt_s`.

    Parameters
    ----------
    curves
        On `device`, or a numpy array.
    aif
        0 before its arrival: noise there would count as agent.
    method
        ``"osvd"``: block-circulant, cut per voxel until the residue oscillates little (Wu 2003); ``"csvd"``: block-circulant with a fixed
        cut; ``"ssvd"``: lower triangular with a fixed cut (Ostergaard 1996; its flow falls with the delay); ``"tikhonov"``: lower
        triangular with the corner of the L-curve per voxel.
    nuisance
        (t, m) orthonormal, with ``"osvd"``: the residuals are wanted too, without what these explain of them.
    """
    xp = device.xp
    n, count = curves.shape
    aif = np.asarray(aif, np.float64)
    dtype = "float64" if method == "tikhonov" else "float32"  # a corner is a second derivative
    operator = (_fourier if method in CIRCULANT else _singular)(aif, dt_s, lambda a: device.put(a, dtype))
    solve = {"osvd": _least_oscillating, "csvd": _cut, "ssvd": _cut, "tikhonov": _l_curve}[method]
    heights, times, errors, numbers = [], [], [], []
    again = None if nuisance is None else device.put(_forward(aif, dt_s), dtype)
    free = None if nuisance is None else device.put(nuisance, dtype)
    for i in range(0, n, device.block):
        y = device.put(curves[i : i + device.block], dtype)
        finite = xp.isfinite(y).all(axis=1)
        # A curve that is not finite must not make its neighbours in a product so.
        y = xp.where(finite[:, None], y, xp.zeros_like(y))
        residue, kept = solve(y, operator, THRESHOLD.get(method, 0.0), xp)
        height, frame = _summit(residue, method in CIRCULANT, count, xp)
        heights.append(np.where(back(finite), back(height), np.nan))
        times.append(np.where(back(finite), dt_s * back(frame), np.nan))
        if again is not None and free is not None:
            rest = y - residue @ again
            rest = rest - (rest @ free) @ free.T
            errors.append(np.where(back(finite), back((rest**2).sum(axis=1)), np.nan))
            numbers.append(back(kept))
    whole = lambda parts: np.concatenate(parts or [np.empty(0)]).astype(np.float32)
    if nuisance is None:
        return Residue(whole(heights), whole(times))
    return Residue(whole(heights), whole(times), whole(errors), whole(numbers))


@dataclass(frozen=True)
class _Operator:
    """A convolution with the AIF taken apart: ``coefficients = curve @ analysis``, ``residue = coefficients / values @ synthesis``.

    Singular values fall; `analysis` (t, k), `values` (k,), `synthesis` (k, length).
    """

    analysis: Any
    values: np.ndarray
    synthesis: Any
    inverse: Any


def _smooth(aif: np.ndarray, dt_s: float) -> np.ndarray:
    padded = np.concatenate([[0.0], aif, [0.0, 0.0]])
    return dt_s * (padded[:-2] + 4.0 * padded[1:-1] + padded[2:]) / 6.0


def _fourier(aif: np.ndarray, dt_s: float, put: Callable[[np.ndarray], Any]) -> _Operator:
    """The block-circulant operator; its singular vectors are cosines and sines, in pairs of one frequency and phase."""
    count = aif.size
    length = 2 * count
    spectrum = np.fft.rfft(_smooth(aif, dt_s), length)
    order = np.argsort(-np.abs(spectrum), kind="stable")
    order = order[np.abs(spectrum[order]) >= _LEAST * np.abs(spectrum).max()]
    angle = 2.0 * np.pi / length * np.outer(order, np.arange(length))
    phase = np.angle(spectrum[order])[:, None]
    # Frequency 0 and the highest one are not paired: their cosine weighs half, and their sine is 0.
    single = np.where((order == 0) | (order == count), 1.0, 2.0)[:, None] / length
    waves = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    turned = np.stack([np.cos(angle + phase), -np.sin(angle + phase)], axis=1)
    analysis = np.ascontiguousarray(turned.reshape(-1, length)[:, :count].T)
    values = np.repeat(np.abs(spectrum[order]), 2)
    synthesis = (single[:, None] * waves).reshape(-1, length)
    return _Operator(put(analysis), values, put(synthesis), put(1.0 / values))


def _forward(aif: np.ndarray, dt_s: float) -> np.ndarray:
    """What a residue function (2 t,) on the circle is multiplied with to get a curve: (2 t, t)."""
    length = 2 * aif.size
    smooth = np.zeros(length)
    smooth[: aif.size + 1] = _smooth(aif, dt_s)
    return smooth[np.subtract.outer(np.arange(aif.size), np.arange(length)) % length].T


def _singular(aif: np.ndarray, dt_s: float, put: Callable[[np.ndarray], Any]) -> _Operator:
    smooth = _smooth(aif, dt_s)
    lag = np.subtract.outer(np.arange(aif.size), np.arange(aif.size))
    left, values, right = np.linalg.svd(np.where(lag >= 0, smooth[np.maximum(lag, 0)], 0.0))
    kept = values > 1e-9 * values[0]
    left, values, right = left[:, kept], values[kept], right[kept]
    return _Operator(put(left), values, put(right), put(1.0 / values))


def _cut(y: Any, operator: _Operator, threshold: float, xp: Any) -> tuple[Any, None]:
    keep = int((operator.values >= threshold * operator.values[0]).sum())
    return y @ ((operator.analysis[:, :keep] * operator.inverse[:keep]) @ operator.synthesis[:keep]), None


def _least_oscillating(y: Any, operator: _Operator, threshold: float, xp: Any) -> tuple[Any, Any]:
    """Per voxel the residue with the most frequencies whose oscillation index is allowed, the strongest one alone where none is; and how
    many singular values that keeps.

    Frequencies are added strongest first. As the index rises with their number but for small dips, the number is found by doubling and
    halving, each step one product for all voxels.
    """
    scaled = (y @ operator.analysis) * operator.inverse
    waves = operator.synthesis
    bends = waves[:, 2:] - 2.0 * waves[:, 1:-1] + waves[:, :-2]
    limit = OSCILLATION * waves.shape[1]
    pairs = waves.shape[0] // 2

    def calm(parts: Any) -> Any:
        """Whether residues with these coefficients oscillate little enough."""
        columns = parts.shape[1]
        top = xp.amax(parts @ waves[:columns], axis=1)
        return xp.abs(parts @ bends[:columns]).sum(axis=1) < limit * top

    result, kept = xp.zeros_like(scaled[:, :1] * waves[0]), xp.zeros_like(scaled[:, 0])
    rank = xp.cumsum(xp.ones_like(scaled[0]), 0)
    rank = xp.floor((rank + 1.0) / 2.0)  # 1, 1, 2, 2, ...: the number of the frequency
    rows, number = xp.cumsum(xp.ones_like(scaled[:, 0], dtype=xp.int64), 0) - 1, 1
    while rows.shape[0]:
        # Those that are calm with `number` frequencies and not with twice as many are done here; the others go on.
        more = min(2 * number, pairs)
        good = calm(scaled[rows, : 2 * more]) if more > number else calm(scaled[rows, :2]) & False
        some, rows = rows[~good], rows[good]
        parts = scaled[some, : 2 * more]
        low = number * xp.ones_like(parts[:, :1])
        step = more - number
        while step > 1:
            step = (step + 1) // 2
            middle = xp.clip(low + step, 1, more)
            low = xp.where(calm(parts * (rank[: 2 * more] <= middle))[:, None] & (middle < more), middle, low)
        result[some] = (parts * (rank[: 2 * more] <= low)) @ waves[: 2 * more]
        kept[some] = 2.0 * low[:, 0]
        number = more
    return result, kept


def _l_curve(y: Any, operator: _Operator, threshold: float, xp: Any) -> tuple[Any, None]:
    """Tikhonov's residue at the corner (largest curvature) of each voxel's L-curve; two matrix products give all curves."""
    values = operator.values
    weights = np.geomspace(0.005, 1.0, _N_WEIGHTS) * values[0]
    step = float(np.log(weights[1] / weights[0]))
    factor = values[:, None] ** 2 / (values[:, None] ** 2 + weights[None, :] ** 2)
    like = operator.inverse
    tables = [_as(like, (1.0 - factor) ** 2, xp), _as(like, (factor / values[:, None]) ** 2, xp)]
    beta = y @ operator.analysis
    rest, size = (0.5 * xp.log((beta**2) @ table + 1e-35) for table in tables)
    slope = lambda x: (x[:, 2:] - x[:, :-2]) / (2.0 * step)
    d_rest, d_size = slope(rest), slope(size)
    dd_rest, dd_size = slope(d_rest), slope(d_size)
    d_rest, d_size = d_rest[:, 1:-1], d_size[:, 1:-1]
    curvature = (d_rest * dd_size - dd_rest * d_size) / ((d_rest**2 + d_size**2) ** 1.5 + 1e-30)
    top, shift = _vertex(curvature, False, xp)[:2]
    weight = float(weights[2]) * xp.exp(step * (top + shift))
    singular = 1.0 / like
    return (beta * (singular / (singular**2 + weight[:, None] ** 2))) @ operator.synthesis, None


def _as(like: Any, values: np.ndarray, xp: Any) -> Any:
    """`values` with the type and place of `like`."""
    return values.astype(like.dtype) if xp is np else xp.as_tensor(values, dtype=like.dtype, device=like.device)


def _vertex(curves: Any, circulant: bool, xp: Any) -> tuple[Any, Any, Any]:
    """Index of each curve's maximum; how far the vertex of the parabola through it and its neighbours is from there, half a sample at
    most; and the height of that vertex.
    """
    length = curves.shape[1]
    top = xp.argmax(curves, axis=1)
    at = lambda i: (
        xp.take_along_axis(curves, i[:, None], 1)[:, 0] if xp is np else xp.gather(curves, 1, i[:, None])[:, 0]
    )
    near = (lambda k: (top + k) % length) if circulant else (lambda k: xp.clip(top + k, 0, length - 1))
    before, here, after = at(near(-1)), at(top), at(near(1))
    bend = before - 2.0 * here + after
    inside = bend < 0 if circulant else (bend < 0) & (top > 0) & (top < length - 1)
    shift = xp.where(inside, 0.5 * (before - after) / xp.where(inside, bend, -xp.ones_like(bend)), 0.0 * bend)
    return top, shift, here - 0.25 * (before - after) * shift


def _summit(residue: Any, circulant: bool, count: int, xp: Any) -> tuple[Any, Any]:
    """Height of the residue's maximum, and where it lies in frames; the second half of a circle is negative."""
    top, shift, height = _vertex(residue, circulant, xp)
    frame = top + shift
    return height, xp.where(frame > count, frame - residue.shape[1], frame) if circulant else frame
