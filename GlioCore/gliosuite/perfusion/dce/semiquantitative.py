"""Maps that need no AIF and no model: areas under the curve, slopes, peak."""

import numpy as np

NAMES = ("iauc60", "iauc90", "wash_in", "wash_out", "ttp", "max_enhancement")
_BLOCK = 32768  # curves at a time, which bounds the memory


def semiquantitative(curves_mM: np.ndarray, times_s: np.ndarray, arrival: int) -> dict[str, np.ndarray]:
    """Semi-quantitative parameters of concentration curves.

    Time counts from the frame before the agent arrives in the series, the same one for all voxels. ``iauc60`` and ``iauc90`` are the
    areas under the curve over the 60 and 90 s from there (trapezoids, the last one cut at the end of the window).
    ``max_enhancement`` is the highest concentration from arrival on, ``ttp`` when it is reached, ``wash_in`` the mean slope up to it, and
    ``wash_out`` the mean slope from it to the last frame (below 0 where the agent washes out).

    Parameters
    ----------
    curves_mM
        (n, t) in mM.
    times_s
        (t,) in s.
    arrival
        First frame with contrast agent.

    Returns
    -------
    dict
        float32 (n,) by the names of `NAMES`; NaN where a curve is not finite, where the series ends before the window does, and for
        ``wash_out`` where the peak is the last frame.

    References
    ----------
    Evelhoch JL, J Magn Reson Imaging 1999;10:254 (initial area under the curve).
    """
    times = np.asarray(times_s, np.float64)
    first = max(arrival - 1, 0)
    since = times[first:] - times[first]
    result = {name: np.full(curves_mM.shape[0], np.nan, np.float32) for name in NAMES}
    weights = {name: _window(since, float(name[4:])) for name in ("iauc60", "iauc90") if since[-1] >= float(name[4:])}
    for i in range(0, curves_mM.shape[0], _BLOCK):
        rows = slice(i, i + _BLOCK)
        curves = np.asarray(curves_mM[rows, first:], np.float64)
        known = np.asarray(np.isfinite(curves).all(axis=1))
        curves = np.where(known[:, None], curves, 0.0)
        peak = 1 + np.argmax(curves[:, 1:], axis=1)
        index = np.arange(peak.size)
        top, when = curves[index, peak], since[peak]
        left = since[-1] - when
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "max_enhancement": top,
                "ttp": when,
                "wash_in": 60.0 * (top - curves[:, 0]) / when,
                "wash_out": np.where(left > 0, 60.0 * (curves[:, -1] - top) / left, np.nan),
            } | {name: curves @ w for name, w in weights.items()}
        for name, value in values.items():
            result[name][rows] = np.where(known, value, np.nan)
    return result


def _window(since: np.ndarray, length: float) -> np.ndarray:
    """Weights of the frames whose sum is the integral of straight lines between them from 0 to `length`."""
    weights = np.zeros(since.size)
    for j in range(since.size - 1):
        step = since[j + 1] - since[j]
        part = min(max(length - since[j], 0.0), step)
        # Up to `part` into this step the line has the mean value that stands half way there.
        weights[j] += part * (1.0 - 0.5 * part / step)
        weights[j + 1] += part * 0.5 * part / step
    return weights
