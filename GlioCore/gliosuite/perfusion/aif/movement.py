"""Movements of the head during a DCE series: when it moved at once, and what a vessel's voxels lose, estimated from those around them.

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
# Spread of the differences along the head's edge over its usual one: what is a move, outside the bolus and in it, and what may be one. As
# the bolus passes, some vessels fill while others empty, and that is up to 2.9 in simulated patients 0-59 (3.5 in one); else it is 1.4. A
# move of a millimetre is 4 to 10, and 1.4 to 2.3 once it was corrected and is only blur.
_MOVED, _MOVED_IN_BOLUS, _PERHAPS = 1.6, 3.7, 1.3
_MOST_PERHAPS = 4  # each costs a fit
_LEAST_EDGE = 50  # voxels; chosen, fewer give no percentiles


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


def sudden_moves(frames: np.ndarray, mask: np.ndarray, passing: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Frames (of t, z, y, x) before which the head moved at once, and those before which it may have, likeliest first.

    Along the edge of `mask` a move makes some voxels brighter and others darker, contrast agent only the one or the other. So the
    smaller of the two spreads (of the differences between neighbouring frames, 5th and 95th percentile about the median) is compared with
    its usual size; in the first pass, in the frames `passing` (t,), when that happens to vessels as well, it must be larger.
    """
    square = np.ones((1, 3, 3))
    edge = ndimage.binary_dilation(mask, square) & ~ndimage.binary_erosion(mask, square)
    if edge.sum() < _LEAST_EDGE:
        return (), ()
    difference = np.diff(frames[:, edge], axis=0)
    low, middle, high = np.percentile(difference, [5, 50, 95], axis=1)
    spread = np.minimum(middle - low, high - middle)
    limit = np.where(passing[1:], _MOVED_IN_BOLUS, _MOVED)
    ratio = spread / np.median(spread)
    perhaps = np.flatnonzero((ratio > _PERHAPS) & (ratio <= limit))
    likeliest = perhaps[np.argsort(-ratio[perhaps], kind="stable")][:_MOST_PERHAPS]
    return tuple(int(i) + 1 for i in np.flatnonzero(ratio > limit)), tuple(int(i) + 1 for i in likeliest)


def _mean(series: Series, voxels: np.ndarray) -> np.ndarray:
    curves = series.curves(voxels)
    return curves[np.isfinite(curves).all(axis=1)].mean(axis=0).astype(np.float64)
