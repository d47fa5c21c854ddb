"""The level of an artery after its first pass, from ordinary tissue.

An artery fills few voxels, and half a millimetre of movement, or the interpolation that takes it back, changes their signal by several
percent for good. In the first pass that is little beside the bolus; after it, a quarter of the concentration or more, which passes for
leakage in all of the brain, for a longer transit, and for another relation of R2* to concentration. Thousands of voxels of tissue see the
same blood and do not move as one. So what the artery's concentration must be multiplied with after the first pass is fitted to their mean
curve.
"""

import numpy as np
from scipy import optimize, special

from ..kinetics import convolve_sampled
from .leakage import perfused_voxels

_ENDS = 0.8  # of the highest concentration, below which the first pass has ended; chosen, recirculation lies below
_NODES_S = (0.0, 8.0, 18.0, 33.0)  # after that end; between them and the end of the series the logarithm of the factor is linear; chosen
_FACTOR_SD = 0.4  # of that logarithm; chosen: movements change the late level by up to half
_MTT_S, _MTT_SD = 4.5, 0.3  # of tissue's mean curve, and the SD of its logarithm; chosen, normal brain
_DELAY_S, _DELAY_SD_S = 1.0, 1.0  # of the same; chosen
_SHAPE = 1.5  # as in `vascular`
_LEVEL_SD = 0.03
_RISEN = 0.1
_LOWEST = 0.01  # of the peak: chosen, what a concentration cannot fall below before it is multiplied
_MIDDLE = (20.0, 80.0)  # percentiles of the late level over the first pass: ordinary tissue, leaks and vessels being at the ends; chosen
_FEW = 200  # voxels; chosen: fewer may all be leaky
_STEP_S = 0.25
_MISFIT = 0.03  # of the mean curve's peak; chosen: what one residue function leaves of it


def usual_tissue(curves: np.ndarray, n_baseline: int, passing: np.ndarray) -> np.ndarray | None:
    """Mean ΔR2* (t,) of perfused curves (n, t) with the usual late level for their first pass (frames `passing`); None with too few."""
    perfused = perfused_voxels(curves, n_baseline)
    some = curves[perfused].astype(np.float64)
    if len(some) < _FEW:
        return None
    area = some[:, passing].mean(axis=1)
    late = np.flatnonzero(passing)[-1] + 1
    ratio = some[:, late:].mean(axis=1) / np.maximum(area, 1e-12)
    low, high = np.percentile(ratio, _MIDDLE)
    return some[(ratio >= low) & (ratio <= high)].mean(axis=0)


def levelled(concentration: np.ndarray, tissue: np.ndarray, dt_s: float) -> np.ndarray:
    """An artery's concentration (t,), multiplied after its first pass with what the mean ΔR2* of tissue (t,) asks for."""
    peak = int(np.argmax(concentration))
    below = np.flatnonzero(concentration[peak:] < _ENDS * concentration[peak])
    if not below.size:
        return concentration
    frames = dt_s * np.arange(concentration.size)
    end = frames[peak + int(below[0])]
    nodes = end + np.array([n for n in _NODES_S if end + n < frames[-1]] + [frames[-1] - end])
    if nodes.size < 3:
        return concentration
    fine = np.arange(0.0, frames[-1] + _STEP_S / 2, _STEP_S)
    positive = np.where(frames > end, np.maximum(concentration, _LOWEST * concentration[peak]), concentration)
    scale = float(tissue.max())
    since = max(int(np.argmax(concentration > _RISEN * concentration[peak])) - 3, 0)

    def factor(logarithms: np.ndarray) -> np.ndarray:
        return np.exp(np.interp(frames, nodes, np.append(0.0, logarithms), left=0.0))

    def residual(p: np.ndarray) -> np.ndarray:
        mtt, delay = np.exp(p[1]), p[2]
        artery = np.interp(fine, frames, positive * factor(p[4:]))
        through = convolve_sampled(artery, special.gammaincc(_SHAPE, _SHAPE * fine / mtt) / mtt, _STEP_S).ravel()
        vessel = np.interp(frames - delay, fine, through, left=0.0)
        return np.concatenate(
            [
                ((np.exp(p[0]) * vessel + scale * p[3] - tissue) / (_MISFIT * scale))[since:],
                [p[3] / _LEVEL_SD, (p[1] - np.log(_MTT_S)) / _MTT_SD, (delay - _DELAY_S) / _DELAY_SD_S],
                p[4:] / _FACTOR_SD,
            ]
        )

    guess = np.concatenate(
        [[np.log(tissue.sum() / concentration.sum()), np.log(_MTT_S), _DELAY_S], np.zeros(nodes.size)]
    )
    found = optimize.least_squares(residual, guess)
    return positive * factor(found.x[4:])
