"""Noise of the signal (DCE): how large it is, what a magnitude makes of it, and what it does to concentrations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..compute import blocks
from ..curves import noise_sd
from .signal import Spgr

# Chosen: the signal loses or gains half a percent there, which is less than noise leaves of any baseline.
FLOOR_SNR = 10.0
_LEAST_SLOPE = 1e-3  # of that without contrast agent: with T2* decay, a signal at its highest would have none
_BLOCK = 2048


@dataclass(frozen=True)
class SignalNoise:
    """How noise of a spoiled gradient echo signal, and of its mean before contrast, becomes an error of concentration.

    With ``S = S0 f(C)``, noise of a frame moves the concentration by ``dC/dS = 1 / (S0 f'(C))``, and an error of S0, which all frames share,
    by ``dC/dS0 = -f(C) / (S0 f'(C))``. The noise itself, over S0, is that which the residual of the fit shows.

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
