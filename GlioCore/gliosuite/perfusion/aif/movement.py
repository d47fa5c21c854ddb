"""What a vessel's voxels lose when the head moves (DCE), estimated from the voxels around them.

The purest voxels of a vessel can only lose by a movement, and by the interpolation that takes it back: half a millimetre takes 5 to 20 % of
an artery out of them. Near the highest signal that there is, one percent of it is ten percent of the concentration. But what leaves those
voxels is found in their neighbours, and the sum over all of them stays.
"""

import numpy as np
from scipy import ndimage

from ...images import Series
from .arteries import first_pass

_FRAMES = 5  # of the running median: chosen, a step stays a step and single frames go
_RISEN = 0.3  # of the highest rise of the neighbourhood: chosen, below it there is too little signal to compare


def vessel_signal(series: Series, voxels: np.ndarray, times_s: np.ndarray, n_baseline: int) -> np.ndarray:
    """Mean signal (t,) of a vessel's voxels, brought to the level of its first pass.

    The level is the rise of their mean over that of the voxels with those that share a face or an edge with them, a running median of five
    frames.

    Parameters
    ----------
    series
        In steady state.
    voxels
        Boolean (z, y, x).
    n_baseline
        Frames before the bolus.
    """
    signal = _mean(series, voxels)
    around = _mean(series, ndimage.binary_dilation(voxels, ndimage.generate_binary_structure(3, 2)))
    before = signal[:n_baseline].mean()
    rise, wide = signal - before, around - around[:n_baseline].mean()
    passing = first_pass(times_s, n_baseline)
    known = np.flatnonzero((wide > _RISEN * wide[passing].max()) & (rise > 0) & (np.arange(rise.size) > n_baseline))
    if known.size < 2 * _FRAMES:
        return signal
    level = ndimage.median_filter(rise[known] / wide[known], _FRAMES, mode="nearest")
    end = np.flatnonzero(passing)[-1]
    level = np.interp(np.arange(rise.size), known, level)
    # Within the first pass what is around fills later than the vessel, and that is no movement.
    level = np.where(np.arange(rise.size) > end, level / np.median(level[end - _FRAMES + 2 : end + 2]), 1.0)
    return before + rise / level


def _mean(series: Series, voxels: np.ndarray) -> np.ndarray:
    curves = series.curves(voxels)
    return curves[np.isfinite(curves).all(axis=1)].mean(axis=0).astype(np.float64)
