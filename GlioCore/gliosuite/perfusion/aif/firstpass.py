"""The first pass of an artery whose signal falls into its noise (DSC): a gamma variate takes over where the signal says little.

At the top of a narrow bolus an artery has lost nearly all of its signal. What is left there is noise, what its voxels share with tissue, and
the floor of a magnitude, and its logarithm may be wrong by a factor. The flanks are known well. So a gamma variate is fitted to the whole
first pass as signals, where noise is the same at all levels; how much of the voxels is blood is fitted too, near what the voxels say. Each
frame is then the mean of what was measured and of the gamma variate, weighted by how well each is known.
"""

from collections.abc import Callable

import numpy as np

_ENDS = 0.45  # of the highest ΔR2*, to which it falls where the fit ends: chosen, recirculation lies below
_FOOT = 2  # frames before the first above the same level, with which the fit starts; chosen, with the arrival in them
_SHARE_SD = 0.03  # of the share of blood; chosen: shares of the same voxels, taken at other frames, differ by so much
_FORM_SD = 0.04  # of the gamma variate's concentration, relative; chosen: about what it leaves of population curves
_TRUST = 0.06
_LEAST_FRAMES = 6  # parameters and one; chosen


def first_pass_of(
    lost: np.ndarray,
    tissue: np.ndarray,
    times_s: np.ndarray,
    noise: float,
    floor: float,
    decay: Callable[[np.ndarray], np.ndarray],
    te_s: float,
) -> np.ndarray:
    """ΔR2* (t,) in 1/s of blood.

    Parameters
    ----------
    lost
        (t,): what voxels of blood alone have lost of their signal against ordinary tissue, over the signal before the bolus.
    tissue
        (t,): signal of ordinary tissue over that before the bolus.
    noise, floor
        SD of `lost`, and the mean magnitude of no signal.
    decay
        ΔR2* of blood with a concentration (mM).
    """
    from scipy.optimize import least_squares

    seen = np.maximum(tissue - lost, noise)
    result = -np.log(seen) / te_s
    top = int(np.argmax(result[:-1]))
    high = result > _ENDS * result[top]
    start, end = top, top
    while start > 0 and high[start - 1]:
        start -= 1
    while end < result.size - 1 and high[end + 1]:
        end += 1
    frames = slice(max(start - _FOOT, 0), end + 2)
    t = times_s[frames]
    if t.size < _LEAST_FRAMES:
        return result
    by_signal = (np.hypot(noise, _SHARE_SD * lost) / seen / te_s)[frames]
    table = np.linspace(0.0, 40.0, 4001)
    concentration = np.interp(result[frames], decay(table), table)
    steep = np.interp(concentration, table, np.gradient(decay(table), table))
    peak = concentration.max()

    def form(p: np.ndarray) -> np.ndarray:
        alpha, beta = np.exp(p[2]), np.exp(p[3])
        x = np.maximum((t - p[1]) / (alpha * beta) + 1.0, 1e-9)
        return np.exp(p[0] + alpha * (np.log(x) + 1.0 - x))

    sd = np.hypot(by_signal / steep, _FORM_SD * peak)
    guess = np.array([np.log(peak), times_s[top], np.log(9.0), np.log(max((t[-1] - t[0]) / 15.0, 0.1))])
    low, high = np.array([-5.0, t[0], np.log(2.0), -4.0]), np.array([5.0, t[-1], np.log(60.0), 3.0])
    fit = least_squares(lambda p: (form(p) - concentration) / sd, np.clip(guess, low + 1e-6, high - 1e-6), bounds=(low, high))
    model = decay(form(fit.x))
    by_form = _TRUST * peak * np.interp(form(fit.x), table, np.gradient(decay(table), table))
    weight = by_form**2 / (by_signal**2 + by_form**2)
    result[frames] = weight * result[frames] + (1.0 - weight) * model
    return result
