"""What an artery's voxels do not say of their blood: the top of a bolus that takes all their signal, and the level after it.

At the top of a narrow bolus an artery has lost nearly all of its signal. What is left is noise, the error of what its voxels share with
tissue, and the floor of a magnitude; its logarithm may be wrong by a factor. The flanks are known well. So a gamma variate (Thompson HK et
al., Circ Res 1964;14:502) is fitted to the first pass, in which frames count as far as they are known, and each frame becomes the mean of
what was measured and of the gamma variate, weighted by how well each is known.

An artery fills few voxels, and half a millimetre of movement, or the interpolation that takes it back, changes their signal by several
percent for good. In the first pass that is little beside the bolus; after it, it is a quarter of the concentration and more, which passes
for leakage in all of the brain, for a longer transit, and for another relation of R2* to concentration. Thousands of voxels of tissue see
the same blood and do not move as one. So what the artery's concentration must be multiplied with after its peak is fitted to their mean.
"""

import numpy as np
from scipy import optimize, special

from ...aif import PureCurve
from ...kinetics import convolve_sampled
from ..leakage.corrections import perfused_voxels
from ..leakage.vascular import SHAPE
from .concentration import blood_concentration, blood_dr2star

# The first pass is fitted from so many frames before its ΔR2* is this much of the highest to the first below: chosen, between a narrow
# bolus' number of frames and recirculation.
_HIGH, _FOOT = 0.45, 2
_LEAST_FRAMES = 6  # parameters and two; chosen
_SHARE_SD = 0.03  # of the share of blood; chosen: shares of the same voxels by other frames differ by so much
_FORM_SD = 0.04  # of a gamma variate's concentration over its peak, in the fit; chosen, about what it leaves of population curves
_TRUST_SD = 0.06  # the same beside what was measured; chosen: at the top, where it is used, it is worse than on average
_ALPHA = (2.0, 60.0)  # of the gamma variate; chosen, from a long tail to a normal curve

_TOP = 0.8  # of the highest concentration, below which the level may change; chosen
_NODES_S = (
    0.0,
    8.0,
    18.0,
    33.0,
)  # after that; between them and the series' end the factor's logarithm is linear; chosen
_FACTOR_SD = 0.4  # of that logarithm; chosen: movements change late levels by up to half
_MTT_S, _MTT_LOG_SD = 4.5, 0.3  # of tissue's mean curve; chosen, normal brain
_DELAY_S, _DELAY_SD_S = 1.0, 1.0  # of the same; chosen
_OFFSET_SD = 0.03  # of the mean curve's baseline over its peak; chosen, what a movement before the bolus leaves
_MISFIT = 0.03  # of that peak; chosen: what one residue function leaves of a mean over tissues
_RISEN, _BEFORE = (
    0.1,
    3,
)  # the fit to tissue starts so many frames before this share of the highest concentration; chosen
_LOWEST = 0.01  # of the peak: chosen, what a concentration cannot fall below before it is multiplied
_USUAL = (20.0, 80.0)  # percentiles of the late level over the first pass: chosen, leaks and vessels lie at the ends
_LEAST_VOXELS = 200  # chosen: fewer may all be leaky
_STEP_S = 0.25  # of convolutions; chosen, a tenth of a first pass's width


def topped(pure: PureCurve, times_s: np.ndarray, te_s: float, relation: str = "quadratic") -> np.ndarray:
    """ΔR2* (t,) in 1/s of blood whose signal may fall into its noise; see the module, and `concentration` for `relation`."""
    noise = pure.noise
    seen = np.maximum(pure.signal, noise)
    result = -np.log(seen) / te_s
    top = int(np.argmax(result))
    high = result > _HIGH * result[top]
    start, end = top, top
    while start > 0 and high[start - 1]:
        start -= 1
    while end < result.size - 1 and high[end + 1]:
        end += 1
    frames = slice(max(start - _FOOT, 0), end + 2)
    t = times_s[frames]
    if t.size < _LEAST_FRAMES:
        return result
    measured_sd = (np.hypot(noise, _SHARE_SD * pure.lost) / seen / te_s)[frames]
    concentration = blood_concentration(result[frames], relation)
    peak = float(concentration.max())
    sd = np.hypot(measured_sd / _slope(concentration, relation), _FORM_SD * peak)
    low, high_end = (
        np.array([np.log(peak) + s, e, np.log(a), np.log(w)])
        for s, e, a, w in ((-1.0, t[0], _ALPHA[0], 0.02), (1.0, t[-1], _ALPHA[1], 20.0))
    )
    guess = np.array([np.log(peak), times_s[top], np.log(9.0), np.log((t[-1] - t[0]) / 15.0)])
    found = optimize.least_squares(
        lambda p: (_gamma_variate(p, t) - concentration) / sd,
        np.clip(guess, low + 1e-6, high_end - 1e-6),
        bounds=(low, high_end),
    )
    form = _gamma_variate(found.x, t)
    form_sd = _TRUST_SD * peak * _slope(form, relation)
    weight = form_sd**2 / (measured_sd**2 + form_sd**2)
    result[frames] = weight * result[frames] + (1.0 - weight) * blood_dr2star(form, relation)
    return result


def _gamma_variate(p: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Concentration (t,): logarithm of the peak, its time (s), logarithms of alpha and beta (s)."""
    alpha, beta = np.exp(p[2]), np.exp(p[3])
    x = np.maximum((times_s - p[1]) / (alpha * beta) + 1.0, 1e-9)
    return np.exp(p[0] + alpha * (np.log(x) + 1.0 - x))


def _slope(concentration: np.ndarray, relation: str) -> np.ndarray:
    """How fast blood's ΔR2* rises with concentration, 1/(mM s)."""
    step = 1e-3
    return (blood_dr2star(concentration + step, relation) - blood_dr2star(concentration, relation)) / step


def usual_tissue(curves: np.ndarray, n_baseline: int, passing: np.ndarray) -> np.ndarray | None:
    """Mean ΔR2* (t,) of perfused curves (n, t) whose late level is usual for their first pass (frames `passing`); None with too few."""
    some = curves[perfused_voxels(curves, n_baseline)].astype(np.float64)
    late = int(np.flatnonzero(passing)[-1]) + 1
    if len(some) < _LEAST_VOXELS or late >= some.shape[1]:
        return None
    ratio = some[:, late:].mean(axis=1) / np.maximum(some[:, passing].mean(axis=1), 1e-12)
    low, high = np.percentile(ratio, _USUAL)
    return some[(ratio >= low) & (ratio <= high)].mean(axis=0)


def levelled(concentration: np.ndarray, tissue: np.ndarray, dt_s: float) -> np.ndarray:
    """An artery's concentration (t,), multiplied after its peak with what the mean ΔR2* of tissue (t,) asks for; see the module."""
    peak = int(np.argmax(concentration))
    below = np.flatnonzero(concentration[peak:] < _TOP * concentration[peak])
    frames = dt_s * np.arange(concentration.size)
    start = frames[peak + int(below[0])] if below.size else frames[-1]
    nodes = np.array([start + n for n in _NODES_S if start + n < frames[-1]] + [frames[-1]])
    if nodes.size <= 2:
        return concentration
    fine = np.arange(0.0, frames[-1] + _STEP_S / 2, _STEP_S)
    positive = np.where(frames > start, np.maximum(concentration, _LOWEST * concentration[peak]), concentration)
    scale = float(tissue.max())
    since = max(int(np.argmax(concentration > _RISEN * concentration[peak])) - _BEFORE, 0)

    def factor(logarithms: np.ndarray) -> np.ndarray:
        return np.exp(np.interp(frames, nodes, np.append(0.0, logarithms), left=0.0))

    def residual(p: np.ndarray) -> np.ndarray:
        log_k, log_mtt, delay, offset, *level = p
        artery = np.interp(fine, frames, positive * factor(np.array(level)))
        remaining = special.gammaincc(SHAPE, SHAPE * fine / np.exp(log_mtt)) / np.exp(log_mtt)
        through = convolve_sampled(artery, remaining, _STEP_S)
        vessel = np.interp(frames - delay, fine, through, left=0.0)
        rest = (np.exp(log_k) * vessel + scale * offset - tissue)[since:] / (_MISFIT * scale)
        transit = [(log_mtt - np.log(_MTT_S)) / _MTT_LOG_SD, (delay - _DELAY_S) / _DELAY_SD_S, offset / _OFFSET_SD]
        return np.concatenate([rest, transit, np.array(level) / _FACTOR_SD])

    guess = [np.log(tissue.sum() / concentration.sum()), np.log(_MTT_S), _DELAY_S, 0.0]
    found = optimize.least_squares(residual, np.concatenate([guess, np.zeros(nodes.size - 1)]))
    return positive * factor(found.x[4:])
