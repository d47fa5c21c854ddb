"""Even samples convolved with exponentials, exactly between samples: what `kinetics.convolve` gives, without a loop over the samples."""

import numpy as np

from ..kinetics import segment_weights

_NOTHING = 1e-16  # of a sample: what is left of it after so long is rounding


def decaying(curves: np.ndarray, step_s: float, rate: np.ndarray | float) -> np.ndarray:
    """Convolve curves with ``exp(-rate t)``, in their unit times s.

    The recursion ``y_j = d y_(j-1) + x_j`` is summed in ever longer strides; scipy's filter would take a second to be imported.

    Parameters
    ----------
    curves
        (..., m), every `step_s`; 0 before the first sample.
    rate
        1/s; of any shape that is broadcast with that of `curves` less its last axis.
    """
    early, late, decay = segment_weights(np.asarray(rate, np.float64)[..., None] * step_s)
    steps = step_s * (early * curves[..., :-1] + late * curves[..., 1:])
    result = np.concatenate([np.zeros_like(steps[..., :1]), steps], axis=-1)
    stride = 1
    while stride < result.shape[-1] and float(np.max(decay)) > _NOTHING:
        result[..., stride:] += decay * result[..., :-stride]
        stride, decay = 2 * stride, decay**2
    return result


def dispersed(curves: np.ndarray, step_s: float, tau_s: float) -> np.ndarray:
    """Curves (..., m) convolved with an exponential of area 1 and the mean `tau_s`; themselves where that is 0."""
    return curves if tau_s <= 0 else decaying(curves, step_s, 1.0 / tau_s) / tau_s


def read(curves: np.ndarray, step_s: float, times_s: np.ndarray) -> np.ndarray:
    """Curves (..., m) at any times (t,) after their first sample: linear, and constant beyond the ends."""
    x = np.clip(times_s / step_s, 0.0, curves.shape[-1] - 1.0)
    index = np.minimum(x.astype(np.int64), curves.shape[-1] - 2)
    part = x - index
    return curves[..., index] * (1.0 - part) + curves[..., index + 1] * part
