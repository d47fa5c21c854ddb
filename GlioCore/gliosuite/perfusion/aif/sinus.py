"""The venous sinus whose curve scales an AIF (of DCE, and of DSC as venous output function): sagittal, straight or transverse; automatic.

A sinus is much wider than an artery of the brain, so that its voxels hold little else, and its blood entered the slab long ago. After the
first passes it carries what the arteries carry.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...errors import InputError
from .arteries import Candidates, among_highest, candidates, first_moment

# Chosen, as `find_sinus` says what they are for.
LATER_S = (1.5, 20.0)  # than the arteries
_TALL, _TALL_ENOUGH = 0.85, 0.6  # of the highest such; and for the usual signal before the bolus
_SIGNAL_BEFORE = (0.7, 1.5)  # of the usual one, as in `arteries`
_NEAR_MM = 25.0  # a stretch of one sinus
_MOST, _LEAST = 12, 5  # voxels
_LEAST_AGREEMENT = 0.97  # correlation with the median curve
TAIL_S = 120.0  # in which the curves of vessels are nearly the same and smooth


@dataclass(frozen=True)
class Sinus:
    """Voxels of a sinus.

    Attributes
    ----------
    voxels
        Boolean (z, y, x).
    quality
        ``voxels``; ``peak`` and ``tail`` (mean of the last two minutes) of their mean, in the curves' unit; ``later_s`` than the arteries;
        ``agreement``, the lowest correlation of one of them with their mean; ``neighbours``, the mean share of the 26 around each that are
        vein as well.
    why_not
        Why it is not good enough to scale an AIF by, or "".
    """

    voxels: np.ndarray
    quality: dict[str, float]
    why_not: str = ""


def find_sinus(
    curves: np.ndarray,
    region: np.ndarray,
    spacing_mm: tuple[float, float, float],
    times_s: np.ndarray,
    arrival: int,
    artery: np.ndarray,
    saturates: bool = False,
    before: np.ndarray | None = None,
) -> Sinus | None:
    """Find a sinus: late, tall, wide; deterministic.

    Of the same candidates that arteries are sought among, those whose first moment is 1.5 to 20 s later than that of the arteries and that
    are at least 0.85 of the highest such are vein. The one with the tallest surroundings is the middle, and of the others within 25 mm the
    12 with the largest area under their curve are taken; of these, those go that are unlike the rest.

    Parameters
    ----------
    curves
        (n, t) of the voxels of `region` (z, y, x); concentration, ΔR2*, or rise of the signal.
    spacing_mm
        Of the grid, (x, y, z).
    artery
        Curve (t,) of the arteries, in the same unit.
    saturates
        As in `arteries.find_arteries`.
    before
        Signal (n,) before the bolus: below 0.7 or above 1.5 times the vein's median, it is bone, or fresh blood. None where the curves are
        no signal.

    Returns
    -------
    Sinus or None
        None where nothing is late and tall.
    """
    try:
        found = candidates(curves, times_s, arrival, saturates, vein=True)
    except InputError:
        # Where no vessel stands out of the noise, an artery that is given needs no vein.
        return None
    later = found.moment - first_moment(artery, times_s, arrival)
    rows = _vein_rows(found, later, before)
    if not rows.size:
        return None
    where = np.argwhere(region)[found.index[rows]]
    height = np.zeros(region.shape)
    height[tuple(where.T)] = found.peak[rows]
    around = ndimage.uniform_filter(height, 3, mode="constant")[tuple(where.T)]
    share = ndimage.uniform_filter((height > 0) * 1.0, 3, mode="constant")[tuple(where.T)]
    middle = where[int(np.argmax(around))]
    distance = np.linalg.norm((where - middle) * np.array(spacing_mm[::-1]), axis=1)
    near = np.flatnonzero(distance <= _NEAR_MM)
    # Of one vein's voxels, the purest rise most, over the series as a whole (a single frame would choose by its noise).
    area = found.curves[rows[near]].sum(axis=1)
    chosen = near[np.argsort(-area, kind="stable")][:_MOST]
    # Where a head moves, what was vein at its edge is not any more: the others outvote it.
    together = _correlation(found.curves[rows[chosen]], np.median(found.curves[rows[chosen]], axis=0))
    chosen = chosen[together >= min(_LEAST_AGREEMENT, np.median(together))]
    mean = found.curves[rows[chosen]].mean(axis=0)
    voxels = np.zeros(region.shape, bool)
    voxels[tuple(where[chosen].T)] = True
    quality = {
        "voxels": int(chosen.size),
        "peak": float(mean.max()),
        "tail": tail(mean, times_s),
        "later_s": float(np.median(later[rows[chosen]])),
        "agreement": float(_correlation(found.curves[rows[chosen]], mean).min()),
        "neighbours": float((27.0 * share[chosen].mean() - 1.0) / 26.0),
    }
    return Sinus(voxels, quality, _why_not(chosen.size, quality["agreement"]))


def _vein_rows(found: Candidates, later_s: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Candidates that are late and tall, and whose signal before the bolus is the usual one; none where there are fewer than five."""
    late = found.good & (later_s >= LATER_S[0]) & (later_s <= LATER_S[1])
    if late.sum() < _LEAST:
        return np.empty(0, np.int64)
    if before is not None:
        level = before[found.index]
        usual = np.median(level[late & (found.peak >= _TALL_ENOUGH * among_highest(found.peak[late], _LEAST))])
        alike = late & (level >= _SIGNAL_BEFORE[0] * usual) & (level <= _SIGNAL_BEFORE[1] * usual)
        late = alike if alike.sum() >= _LEAST else late
    return np.flatnonzero(late & (found.peak >= _TALL * among_highest(found.peak[late], _LEAST)))


def _why_not(size: int, agreement: float) -> str:
    if size < _LEAST:
        return f"only {size} voxels were found, and at least {_LEAST} are needed"
    if agreement < _LEAST_AGREEMENT:
        return f"its voxels do not agree (correlation down to {agreement:.2f}, at least {_LEAST_AGREEMENT} is needed)"
    return ""


def _correlation(curves: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return curves @ mean / np.linalg.norm(curves, axis=1) / np.linalg.norm(mean)


def tail(curve: np.ndarray, times_s: np.ndarray) -> float:
    """Mean of the last two minutes of a curve (t,)."""
    return float(curve[times_s > times_s[-1] - TAIL_S].mean())
