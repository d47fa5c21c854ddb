"""Noise of the signal (DCE): how large it is, what a magnitude makes of it, and what it does to concentrations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .signal import Spgr

_LEAST_SLOPE = 1e-3  # of that without contrast agent: with T2* decay, a signal at its highest would have none
_FEW = 10  # frames outside the first pass; chosen: with fewer, the whole curve shows the noise
_FIRST_PASS = 8  # frames from the arrival on; chosen, 30 s and more of a series with frames of 4 s and more
_KOAY_STEPS = 20  # of a fixed point that comes closer with each
_ENOUGH = 5000  # curves: chosen, they know the noise to a thousandth


@dataclass(frozen=True)
class SignalNoise:
    """How noise of a spoiled gradient echo signal, and of its mean before contrast, becomes an error of concentration.

    With ``S = S0 f(C)``, noise of a frame moves the concentration by ``dC/dS = 1 / (S0 f'(C))``, and an error of S0, which all frames
    share, by ``dC/dS0 = -f(C) / (S0 f'(C))``. The noise itself, over S0, is what the residual of the fit shows.

    Parameters
    ----------
    acquisition
        Of the series.
    t10_s, flip_angle_deg
        T1 before contrast in s and actual flip angle in degrees, (n,) each.
    n_baseline
        S0 is the mean of so many frames.
    """

    acquisition: Spgr
    t10_s: np.ndarray
    flip_angle_deg: np.ndarray
    n_baseline: int

    @classmethod
    def of(
        cls, acquisition: Spgr, t10_s: ArrayLike, flip_angle_deg: ArrayLike, n_baseline: int, count: int
    ) -> "SignalNoise":
        """Of `count` curves, whose T1 and flip angle may be the same."""
        t10, flip = (np.broadcast_to(np.asarray(v, np.float64), (count,)) for v in (t10_s, flip_angle_deg))
        return cls(acquisition, t10, flip, n_baseline)

    def gains(self, xp: Any, put: Any, rows: np.ndarray, concentration: Any) -> tuple[Any, Any]:
        """``S0 dC/dS`` and ``-S0 dC/dS0`` of curves at `rows`: mM per noise over S0, (n, t) like `concentration` in mM.

        Parameters
        ----------
        put
            Brings numpy arrays to the namespace `xp` of `concentration`.
        """
        one = self.acquisition
        r10 = put(1.0 / self.t10_s[rows])[:, None]
        cosine = put(np.cos(np.deg2rad(self.flip_angle_deg[rows])))[:, None]
        decay = (one.te_s or 0.0) * (one.r2star or 0.0)

        def signal_and_slope(c: Any) -> tuple[Any, Any]:
            """Signal without sin(a) M0, and the slope of its logarithm over concentration."""
            e1 = xp.exp(-one.tr_s * (r10 + one.r1 * c))
            signal = (1.0 - e1) / (1.0 - cosine * e1)
            slope = one.tr_s * one.r1 * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1)) - decay
            return signal * xp.exp(-decay * c), slope

        signal, slope = signal_and_slope(xp.clip(concentration, 0.0, None))
        before, steepest = signal_and_slope(0.0 * concentration[:, :1])
        by_baseline = 1.0 / xp.maximum(slope, _LEAST_SLOPE * xp.abs(steepest))
        return by_baseline * before / signal, by_baseline


def magnitude_noise(curves: np.ndarray, n_baseline: int) -> float:
    """SD of the noise in real and imaginary channel, from the frame-to-frame noise of magnitude curves (n, t).

    The noise of a magnitude is smaller than that of its channels where there is little signal: Koay's factor relates them, from the curve's
    own mean square. The median over the curves.

    References
    ----------
    Koay CG, Basser PJ, J Magn Reson 2006;179:317.
    """
    some = np.asarray(curves[:: max(1, curves.shape[0] // _ENOUGH)], np.float64)
    some = some[(some**2).mean(axis=1) > 0]
    if not len(some):
        return 0.0
    quiet = some[:, n_baseline + _FIRST_PASS :]
    if quiet.shape[1] < _FEW:
        quiet = some
    # Of the same frames: a curve's baseline may lie nearer to the floor than what comes after.
    square = (quiet**2).mean(axis=1)
    bends = np.diff(quiet, 2)
    variance = (bends**2).mean(axis=1) / 6.0 / _median_of_bends(bends.shape[1])
    channel = float(np.median(variance))
    for _ in range(_KOAY_STEPS):
        snr = np.sqrt(np.maximum(square / max(channel, 1e-300) - 2.0, 0.0))
        channel = float(np.median(variance / _koay(snr)))
    return float(np.sqrt(channel))


def _median_of_bends(count: int) -> float:
    """Median over mean of the mean square of `count` neighbouring second differences of white noise.

    Neighbours are correlated, so that it is skewed more than that of as many independent ones: the chi-squared variable with its first
    three moments has ``(sum of l^2)^3 / (sum of l^3)^2`` degrees of freedom, l being the eigenvalues of their covariance
    (Imhof JP, Biometrika 1961;48:419), and Wilson and Hilferty's median.
    """
    bend = np.diff(np.eye(count + 2), 2, axis=0)
    values = np.linalg.eigvalsh(bend @ bend.T)
    first, second, third = (float((values**k).sum()) for k in (1, 2, 3))
    freedom = second**3 / third**2
    median = freedom * (1.0 - 2.0 / (9.0 * freedom)) ** 3
    return 1.0 + (median - freedom) * third / second / first


def _koay(snr: np.ndarray) -> np.ndarray:
    """Variance of a magnitude over that of its channels, at a ratio of signal to noise of one channel."""
    from scipy.special import i0e, i1e

    square = snr**2
    mean = (2.0 + square) * i0e(square / 4.0) + square * i1e(square / 4.0)
    return 2.0 + square - np.pi / 8.0 * mean**2
