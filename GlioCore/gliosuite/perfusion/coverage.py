"""Whether a mask leaves out what it should not: the voxels that enhance most."""

import numpy as np
from scipy import ndimage

from ..curves import Bolus
from ..images import Series

# All chosen. What enhances most: voxels that change by a share of what the top half percent of all voxels do, and by so many percent of
# their own signal, so that no ghost in the air counts, with most of those around them in the slice: no single vessel, no noise.
_TOP, _OF_TOP, _OWN = 0.005, 0.3, 0.1
_AROUND = 6 / 9
_LEAST_CC = 0.5  # less is not worth a word
# The share of them outside above which it is said: an automatic mask should have them all; one that a user drew may leave out scalp and
# nose, but where next to nothing of them is inside, nor makes up the mask, it is beside what enhances.
_AUTOMATIC, _GIVEN, _MASK = 0.2, 0.95, 0.1


def left_outside(series: Series, inside: np.ndarray, bolus: Bolus, rising: bool, given: bool) -> list[str]:
    """A sentence where a mask (z, y, x) leaves out what enhances most; none where it does not.

    Parameters
    ----------
    bolus
        In frames of `series`.
    rising
        Whether contrast agent raises the signal.
    given
        Whether the mask is the user's; else it was found automatically.
    """
    before = series.frames[bolus.steady : bolus.arrival].mean(axis=0)
    late = series.frames[-max(3, series.n_times // 4) :].mean(axis=0)
    peak = series.frames[bolus.peak - 1 : bolus.peak + 2].mean(axis=0)
    change = np.maximum(peak - before, late - before) if rising else before - peak
    change = np.where(np.isfinite(change) & (before >= 0), change, 0.0)
    count = max(1, round(_TOP * change.size))
    top = float(np.partition(change.ravel(), -count)[-count:].mean())
    most = (change > _OF_TOP * top) & (change > _OWN * before)
    most &= ndimage.uniform_filter(most.astype(np.float32), (1, 3, 3), mode="constant") >= _AROUND - 1e-3
    outside = most & ~inside
    total, out = int(most.sum()), int(outside.sum())
    share = out / max(total, 1)
    if out * series.grid.voxel_cc < _LEAST_CC:
        return []
    if share <= (_GIVEN if given else _AUTOMATIC) or (given and (most & inside).sum() > _MASK * inside.sum()):
        return []
    labels, _ = ndimage.label(outside)
    largest = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    middle = np.array(ndimage.center_of_mass(largest))[::-1]
    x, y, z = series.grid.blank().TransformContinuousIndexToPhysicalPoint(middle.tolist())
    cc = series.grid.voxel_cc
    return [
        f"the {'given' if given else 'automatic'} mask leaves out {100 * share:.0f} % of what enhances most ({out * cc:.1f} of "
        f"{total * cc:.1f} cc; the largest part around R,A,S {-x:.0f},{-y:.0f},{z:.0f} mm): look at it, and give another mask (--mask) if "
        "that is wanted"
    ]
