"""Partial volume of arterial voxels (DSC): blood's own ΔR2* from voxels that hold an artery and something else.

Signals add up in a voxel, ΔR2* does not: where the blood's signal falls to a tenth, one twentieth of tissue in the voxel takes a fifth off
the peak. The mean of the voxels' ΔR2* is therefore too low, by more the higher the bolus is. What each voxel's signal lost over the first
pass is one common curve times the share of it that is blood, so the shares are known up to a common factor; and that factor is known where
some of the voxels hold hardly anything else.
"""

from dataclasses import dataclass

import numpy as np

# The mean of so many of the highest shares, over what noise adds to it, is taken for pure blood. Chosen on 30 simulated patients after
# motion correction (7101-7110, 33000-33014 and five that were hard): where the head has moved, few voxels are still pure, and seven tenths
# of the way from the lowest to the highest, which was taken before, is too low by up to 15 %.
_PURE, _LIFTED = 3, 1.013
_STEEP = 0.5  # of what is lost at most: chosen, frames above it tell the shares, and a change of level by a movement counts little there
_STILL = 3  # frames at least between two moves; chosen
_MOVED = (
    0.6  # of the variance before the bolus: chosen, noise alone leaves .8 and more when two means take the place of one
)
_UNLIKE = 2.5  # times the usual misfit: chosen, the voxel held something else that changed
_SLIGHT = 0.01  # of the signal: chosen, a misfit that does not matter
_LEAST = 3  # voxels: chosen, of fewer the mean is as good
_BRIGHT = 0.3  # of the median before the bolus: chosen, darker voxels are bone or air


@dataclass(frozen=True)
class PureCurve:
    """Blood's signal (t,) over that before the bolus, what it has lost against tissue's (t,), and the SD of both; the share of blood in
    each voxel used (m,), relative to the pure ones.
    """

    signal: np.ndarray
    lost: np.ndarray
    noise: float
    shares: np.ndarray


def tissue_signal(signal: np.ndarray, n_baseline: int) -> np.ndarray:
    """Signal (t,) of ordinary tissue over that before the bolus: the median of all curves (n, t) that are not dark."""
    before = signal[:, :n_baseline].mean(axis=1)
    usual = np.isfinite(signal).all(axis=1) & (before > _BRIGHT * np.median(before))
    curve = np.median(signal[usual] / before[usual, None], axis=0).astype(np.float64)
    return curve / curve[:n_baseline].mean()


def pure_curve(signal: np.ndarray, tissue: np.ndarray, n_baseline: int, first_pass: np.ndarray) -> PureCurve | None:
    """The signal of the blood in arterial voxels. The last frame before the bolus, which may hold some of it, is not part of the baseline,
    nor is what comes before a sudden move of the head.

    Parameters
    ----------
    signal
        (n, t) of voxels that hold the same artery's blood, and differ in how much of it.
    tissue
        (t,) signal of what else they hold, over that before the bolus.
    first_pass
        Boolean (t,): frames in which the shares are estimated, where much is lost.

    Returns
    -------
    PureCurve or None
        None with fewer than three voxels, or where their signals do not fall together.
    """
    if len(signal) < _LEAST:
        return None
    still = slice(_last_move(signal[:, : n_baseline - 1]), max(n_baseline - 1, 1))
    relative = signal / signal[:, still].mean(axis=1, keepdims=True)
    tissue = tissue / tissue[still].mean()
    lost = tissue - relative
    mean = np.where(first_pass, lost.mean(axis=0), 0.0)
    steep = mean > _STEEP * mean.max()
    shares, apart = _common(lost[:, steep])
    alike = apart <= max(_UNLIKE * np.median(apart), _SLIGHT)
    if alike.sum() >= _LEAST and not alike.all():
        relative, lost = relative[alike], lost[alike]
        shares, _ = _common(lost[:, steep])
    if (shares <= 0).any():
        return None
    shares = _LIFTED * shares / np.sort(shares)[-_PURE:].mean()
    weight = float(shares @ shares)
    pooled = shares @ lost / weight
    noise = float(np.median(relative[:, still].std(axis=1)) / np.sqrt(weight))
    return PureCurve(tissue - pooled, pooled, noise, shares)


def _last_move(before: np.ndarray) -> int:
    """First frame after the last sudden move in signals (n, t) before the bolus, which changes their levels; 0 without one."""
    start = 0
    while before.shape[1] - start >= 2 * _STILL:
        some = before[:, start:]
        ends = range(_STILL, some.shape[1] - _STILL + 1)
        apart = [_variation(some[:, :k]) + _variation(some[:, k:]) for k in ends]
        if min(apart) > _MOVED * _variation(some):
            break
        start += ends[int(np.argmin(apart))]
    return start


def _variation(signal: np.ndarray) -> float:
    """Sum of squares of curves (n, t) about the mean of each."""
    return float(((signal - signal.mean(axis=1, keepdims=True)) ** 2).sum())


def _common(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of one common curve each of the curves (n, t) is, and the SD of the rest (n,)."""
    left, sizes, right = np.linalg.svd(curves, full_matrices=False)
    rest = curves - sizes[0] * np.outer(left[:, 0], right[0])
    return left[:, 0] * np.sign(left[:, 0].sum()), rest.std(axis=1)
