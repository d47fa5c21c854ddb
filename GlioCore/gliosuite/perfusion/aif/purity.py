"""Partial volume of arterial voxels (DSC): blood's own ΔR2* from voxels that hold an artery and something else.

Signals add up in a voxel, ΔR2* does not: where the blood's signal falls to a tenth, one twentieth of tissue in the voxel takes a fifth off
the peak. The mean of the voxels' ΔR2* is therefore too low, by more the higher the bolus is. What each voxel's signal lost over the first
pass is one common curve times the share of it that is blood, so the shares are known up to a common factor; and that factor is known where
some of the voxels hold hardly anything else.
"""

from dataclasses import dataclass

import numpy as np

from .firstpass import first_pass_of

# Which of the shares, from the lowest (0) to the highest (1), is taken for pure blood. Chosen on simulated patients 0-59, among which 0.65
# to 0.75 do about equally well: higher ones follow voxels whose level a movement has changed.
_PURE, _LIFTED = 3, 1.013
_UNLIKE = 2.5  # times the usual misfit: chosen, the voxel held something else that changed
_SLIGHT = 0.01  # of the signal: chosen, a misfit that does not matter
_RECENT = 3
_MOVED = 0.6
_STEEP = 0.5
_LEAST = 3  # voxels: chosen, of fewer the mean is as good
_BRIGHT = 0.3  # of the median before the bolus: chosen, darker voxels are bone or air


@dataclass(frozen=True)
class PureCurve:
    """ΔR2* (t,) of blood in 1/s, and the share of blood in the signal of each voxel used (m,), relative to the pure ones."""

    dr2star: np.ndarray
    shares: np.ndarray


def tissue_signal(signal: np.ndarray, n_baseline: int) -> np.ndarray:
    """Signal (t,) of ordinary tissue over that before the bolus: the median of all curves (n, t) that are not dark."""
    before = signal[:, :n_baseline].mean(axis=1)
    usual = np.isfinite(signal).all(axis=1) & (before > _BRIGHT * np.median(before))
    curve = np.median(signal[usual] / before[usual, None], axis=0).astype(np.float64)
    return curve / curve[:n_baseline].mean()


def pure_curve(
    signal: np.ndarray, tissue: np.ndarray, te_s: float, n_baseline: int, first_pass: np.ndarray, times_s: np.ndarray
) -> PureCurve | None:
    """The ΔR2* of the blood in arterial voxels.

    Parameters
    ----------
    signal
        (n, t) of voxels that hold the same artery's blood, and differ in how much of it.
    tissue
        (t,) signal of what else they hold, over that before the bolus.
    first_pass
        Boolean (t,): frames that the shares are estimated from.

    Returns
    -------
    PureCurve or None
        None with fewer than three voxels, or where their signals do not fall together.
    """
    if len(signal) < _LEAST:
        return None
    recent = slice(_last_move(signal[:, : n_baseline - 1]), max(n_baseline - 1, 1))
    relative = signal / signal[:, recent].mean(axis=1, keepdims=True)
    tissue = tissue / tissue[recent].mean()
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
    noise = float(np.median(relative[:, recent].std(axis=1)))
    pooled = shares @ lost / (shares @ shares)
    from ..dsc.arterial import blood_dr2star
    return PureCurve(first_pass_of(pooled, tissue, times_s, noise / np.sqrt(shares @ shares), noise, blood_dr2star, te_s), shares)


def _common(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of one common curve each of the curves (n, t) is, and the SD of the rest (n,)."""
    left, sizes, right = np.linalg.svd(curves, full_matrices=False)
    rest = curves - sizes[0] * np.outer(left[:, 0], right[0])
    return left[:, 0] * np.sign(left[:, 0].sum()), rest.std(axis=1)


def _last_move(before: np.ndarray) -> int:
    """First frame after the head's last sudden move in signals (n, t) before the bolus, which changes their levels; 0 without one."""
    start, count = 0, before.shape[1]
    while count - start >= 2 * _RECENT:
        some = before[:, start:]
        parts = [(some[:, :k], some[:, k:]) for k in range(_RECENT, some.shape[1] - _RECENT + 1)]
        left = [sum(((p - p.mean(axis=1, keepdims=True)) ** 2).sum() for p in pair) for pair in parts]
        if min(left) > _MOVED * ((some - some.mean(axis=1, keepdims=True)) ** 2).sum():
            break
        start += _RECENT + int(np.argmin(left))
    return start
