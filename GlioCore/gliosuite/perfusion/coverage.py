"""Whether a mask leaves out what it should not: the voxels that enhance most."""

import numpy as np
from scipy import ndimage

from ..curves import Bolus
from ..errors import option
from ..images import Series

# All chosen. What enhances most: voxels that change by a share of what the top half percent of all voxels do, and by so many percent of
# their own signal, so that no ghost in the air counts, with most of those around them in the slice: no single vessel, no noise.
_TOP, _OF_TOP, _OWN = 0.005, 0.3, 0.1
_AROUND = 6 / 9
_LEAST_CC = 0.5  # less is not worth a word
# An automatic mask should have them all: a share outside above which it is said, and a part that is all outside, beyond the voxels at the
# mask's edge (up to 1.7 cc in simulated patients 7301, 7302, 7411 and 7412). One that a user drew may leave out scalp and nose; but where
# next to nothing of them is inside, nor makes up the mask, it is beside what enhances.
_AUTOMATIC, _PART_CC, _GIVEN, _MASK = 0.2, 3.0, 0.95, 0.1


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
    # A bolus of DSC passes; what a movement darkens stays dark.
    change = np.maximum(peak - before, late - before) if rising else np.minimum(before, late) - peak
    change = np.where(np.isfinite(change) & (before >= 0), change, 0.0)
    count = max(1, round(_TOP * change.size))
    top = float(np.partition(change.ravel(), -count)[-count:].mean())
    most = (change > _OF_TOP * top) & (change > _OWN * before)
    most &= ndimage.uniform_filter(most.astype(np.float32), (1, 3, 3), mode="constant") >= _AROUND - 1e-3
    cc = series.grid.voxel_cc
    outside = most & ~ndimage.binary_dilation(inside, np.ones((1, 3, 3), bool))
    total, out = int(most.sum()) * cc, int(outside.sum()) * cc
    share = out / max(total, cc)
    if out < _LEAST_CC:
        return []
    labels, _ = ndimage.label(outside)
    largest = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    if given and (share <= _GIVEN or (most & inside).sum() > _MASK * inside.sum()):
        return []
    if not given and share <= _AUTOMATIC and largest.sum() * cc < _PART_CC:
        return []
    middle = np.array(ndimage.center_of_mass(largest))[::-1]
    x, y, z = series.grid.blank().TransformContinuousIndexToPhysicalPoint(middle.tolist())
    return [
        f"the {'given' if given else 'automatic'} mask leaves out {100 * share:.0f} % of what enhances most ({out:.1f} of {total:.1f} cc; "
        f"the largest part, {largest.sum() * cc:.1f} cc, is around R,A,S {-x:.0f},{-y:.0f},{z:.0f} mm): look at it, and give another "
        f"mask ({option('--mask')}) if that is wanted"
    ]
