"""The search for arterial voxels (DCE and DSC) in a whole brain in 3-D: our own, and two published ones; all deterministic.

All look at the same candidates: the tallest curves whose bolus passes, that stand out of their noise, and that have no plateau in place
of a peak. What is an artery among them is then decided by rules (``own``), or by clusters of curves (``mouridsen``, ``peruzzo``).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ...curves import noise_sd
from ...errors import InputError, option
from ..settings import AIF_SEARCHES

_FIRST_PASS_S = 35.0  # from the arrival; chosen, the recirculation included
_TALLEST_FRACTION, _TALLEST = (
    0.02,
    (300, 2000),
)  # of all curves, within these numbers; chosen, the arteries of a head are among them
_PEAK_OVER_NOISE, _SECOND_OVER_NOISE = (
    5.0,
    4.0,
)  # of the highest frame and the one after it; chosen, chance gives none such
_TISSUE = 0.5  # of the third highest peak: chosen, what is lower is tissue, or a voxel shared with it
_SHORT_FRAME_S, _LASTS = (
    2.0,
    0.5,
)  # a bolus lasts several frames so short: a neighbour of the peak has at least half of it
# Our own search; chosen, as `by_rules` says what they are for.
_REFERENCE = 5  # early, or tall, is measured from the fifth such curve: a few may be outliers
_EARLY_S = 1.5  # after the earliest: veins are some 3 s later and more
_TALL = 0.85  # of the tallest early ones; also of the factor by which the signal rises
_TALL_ENOUGH = 0.8  # whose signal before the bolus is the usual one
_DARK = 0.6  # of the median signal before the bolus
_SIGNAL_BEFORE = (0.7, 1.5)  # of the usual one
_SMOOTHEST = 0.75  # of the curves: also Mouridsen's
_LEAST_AGREEMENT = 0.9  # correlation with the median curve
# Mouridsen's search: number of clusters (his), and voxels that make one (chosen, fewer are outliers).
_CLUSTERS, _LEAST_CLUSTER = 5, 3
# Peruzzo's search (his): peaks that differ less than this are distinguished by their time, and the numbers of voxels at which it stops.
_SAME_PEAK, _CLUSTER_SIZE = 0.04, (4, 6)
# What may follow the first pass, relative to it (median and highest frame), by whether the curves
# saturate. A DCE signal saturates in blood: its bolus is flattened. Chosen.
_AFTER = {False: (0.35, 0.6), True: (0.6, 0.85)}
# The same in a large vein's signal, which is flattened more and followed by more: 0.44 to 0.74 in pure voxels of simulated patients 0-59.
_AFTER_VEIN = (0.8, 0.95)
# Width at 95 % of the height over that at half height above which a peak is a plateau (see `is_clipped`).
_PLATEAU = {False: 0.5, True: 0.75}


@dataclass(frozen=True)
class Candidates:
    """Tall curves and what they look like.

    Attributes
    ----------
    index
        (n,) into all curves.
    curves
        (n, t) float64.
    peak, noise, rough, moment, width
        (n,): height of the first pass and SD of the baseline in the curves' unit, SD of the noise outside the first pass over the
        peak, first moment and width of the first pass (s).
    good
        Boolean (n,): not rejected.
    rejected
        How many were rejected, by reason.
    """

    index: np.ndarray
    curves: np.ndarray
    peak: np.ndarray
    noise: np.ndarray
    rough: np.ndarray
    moment: np.ndarray
    width: np.ndarray
    good: np.ndarray
    rejected: dict[str, int]


def find_arteries(
    curves: np.ndarray,
    times_s: np.ndarray,
    arrival: int,
    n_voxels: int = 20,
    before: np.ndarray | None = None,
    search: str = "own",
    saturates: bool = False,
) -> tuple[np.ndarray, dict[str, float]]:
    """Choose arterial voxels among curves that rise with contrast agent; deterministic.

    Parameters
    ----------
    curves
        (n, t) concentration, ΔR2*, or rise of the signal; not finite ones are left out.
    times_s
        (t,) s.
    arrival
        First frame of the bolus.
    n_voxels
        How many voxels the search ``"own"`` takes at most.
    before
        Signal (n,) before the bolus. Curves where it is below 0.7 or above 1.5 times that of the early, tall ones are left out: mostly
        bone or air with a little of an artery, or blood that flows in fresh. None where the curves are no signal.
    search
        ``"own"``, ``"mouridsen"`` or ``"peruzzo"``; see `by_rules`, `by_k_means`, `by_hierarchy`.
    saturates
        Whether the curves are the rise of a signal that saturates (DCE) instead of concentrations.

    Returns
    -------
    index, quality
        Indices into `curves`, best first. Of their mean: ``peak``, ``first_moment_s``, ``width_s``; ``score``, the mean sum of their robust
        z-scores among the candidates; ``agreement``, the lowest correlation of one of them with their mean; ``candidates``, and how many of
        those were rejected for ``noise``, as ``low``, as ``clipped``, or for their signal ``before``.

    Raises
    ------
    InputError
        If no curve qualifies or the search is not known.
    """
    if search not in AIF_SEARCHES:
        raise InputError(f"AIF search {search!r} is not known; choose from {', '.join(AIF_SEARCHES)}")
    found = candidates(curves, times_s, arrival, saturates)
    rejected = found.rejected
    if search == "own":
        chosen, by_signal = by_rules(found, n_voxels, before, saturates)
        rejected = rejected | by_signal
    elif search == "mouridsen":
        chosen = by_k_means(found, times_s, arrival)
    else:
        chosen = by_hierarchy(found, times_s, arrival)
    return found.index[chosen], _quality(found, chosen, times_s, arrival) | rejected


def first_pass(times_s: np.ndarray, arrival: int) -> np.ndarray:
    """Frames (t,) from the one before the arrival to 35 s after it."""
    return (times_s >= times_s[max(arrival - 1, 0)]) & (times_s <= times_s[arrival] + _FIRST_PASS_S)


def candidates(
    curves: np.ndarray, times_s: np.ndarray, arrival: int, saturates: bool = False, vein: bool = False
) -> Candidates:
    """The tallest 2 % of the curves (300 to 2000) whose bolus passes, and what is wrong with some of them.

    Rejected are peaks below five times the baseline's noise, those below half of the third highest (tissue, or a voxel shared with it), and
    those with a plateau (clipped), unless fewer than three are left.

    Raises
    ------
    InputError
        If none is left.
    """
    window = first_pass(times_s, arrival)
    after = _AFTER_VEIN if vein and saturates else _AFTER[saturates]
    index, peak = _tallest(curves, window, arrival, after, float(np.median(np.diff(times_s))))
    some = curves[index].astype(np.float64)
    noise = noise_sd(some[:, : max(arrival, 5)])
    noise = np.maximum(noise, np.median(noise))  # a few baseline frames can look quiet by chance
    t, pass_ = times_s[window], np.maximum(some[:, window], 0.0)
    # Roughness is judged outside the first pass: inside it, a sharp bolus would pass for noise.
    rough = noise_sd(some[:, ~window]) / np.maximum(peak, 1e-12)
    # A first pass is more than one high frame: its second highest counts as well.
    second = np.sort(pass_, axis=1)[:, -2]
    good = (peak > _PEAK_OVER_NOISE * noise) & (second > _SECOND_OVER_NOISE * noise) & (peak > 0)
    rejected = {"noise": int((~good).sum())}
    if not vein and good.any():
        tall = peak >= _TISSUE * among_highest(peak[good], 3)
        rejected["low"] = int((good & ~tall).sum())
        good &= tall
    unclipped = good & ~is_clipped(some, times_s, _PLATEAU[saturates])
    rejected["clipped"] = int((good & ~unclipped).sum()) if unclipped.sum() >= 3 else 0
    good = unclipped if unclipped.sum() >= 3 else good
    if not good.any():
        raise InputError(
            "no arterial curve was found automatically: no voxel has a first pass above five times its noise; give the AIF as a "
            f"mask or a table ({option('--aif')})"
        )
    moment = (pass_ * t).sum(axis=1) / np.maximum(pass_.sum(axis=1), 1e-12)
    first = max(arrival - 1, 0)
    width = peak_width(some[:, first:], times_s[first:], 0.5)
    return Candidates(index, some, peak, noise, rough, moment, width, good, rejected)


def by_rules(
    found: Candidates, n_voxels: int, before: np.ndarray | None = None, saturates: bool = False
) -> tuple[np.ndarray, dict[str, int]]:
    """Our own search: rules in the order in which they separate arteries from the rest; indices into the candidates, best first.

    Then how many were rejected for their signal before the bolus (``before``), where that was looked at.

    *Early* comes first, because veins are as tall and wider vessels: the bolus' first moment may be at most 1.5 s later than that of the
    earliest curves. The roughest quarter is dropped. *Tall* comes next, because early curves that are lower are mixed with tissue: at least
    0.85 of the tallest early ones. The rest are scored by the sum of their robust z-scores (high, early, narrow, smooth), and of the best,
    those that agree with the median curve are taken.
    """
    good, peak = found.good.copy(), found.peak
    rejected: dict[str, int] = {}
    if before is not None and not saturates:
        # Edges of bone and air with a little of an artery in them are early and tall where the head moves, and decide what counts as that.
        bright = good & (before[found.index] >= _DARK * np.median(before))
        good = bright if bright.sum() >= 3 else good
    good &= found.moment <= -among_highest(-found.moment[good], _REFERENCE) + _EARLY_S
    if good.sum() > 8:
        good &= found.rough <= np.quantile(found.rough[good], _SMOOTHEST)
    if before is not None and not saturates:
        level = before[found.index]
        usual = np.median(level[good & (peak >= _TALL_ENOUGH * among_highest(peak[good], _REFERENCE))])
        alike = good & (level >= _SIGNAL_BEFORE[0] * usual) & (level <= _SIGNAL_BEFORE[1] * usual)
        rejected["before"] = int((good & ~alike).sum()) if alike.sum() >= 3 else 0
        good = alike if alike.sum() >= 3 else good
    good &= peak >= _TALL * among_highest(peak[good], _REFERENCE)
    if before is not None and saturates:
        # Fresh blood is bright before the bolus, and so is tissue that shares the voxel: both rise by a smaller factor.
        factor = peak / np.maximum(before[found.index], 1e-12)
        alike = good & (factor >= _TALL * among_highest(factor[good], _REFERENCE))
        rejected["before"] = int((good & ~alike).sum())
        good = alike
    score = _scores(found, good)
    order = np.flatnonzero(good)[np.argsort(-score[good], kind="stable")][: 2 * n_voxels]
    shapes = found.curves[order] / np.linalg.norm(found.curves[order], axis=1, keepdims=True)
    middle = np.median(shapes, axis=0)
    agreement = shapes @ (middle / max(np.linalg.norm(middle), 1e-12))
    return order[agreement >= min(_LEAST_AGREEMENT, np.median(agreement))][:n_voxels], rejected


def by_k_means(found: Candidates, times_s: np.ndarray, arrival: int) -> np.ndarray:
    """The cluster analysis of Mouridsen et al. 2006 (Magn Reson Med 55:524): indices into the candidates, all of the final cluster.

    A quarter of the curves, the roughest, is dropped. The rest are scaled to unit area and sorted into five clusters by k-means; the one
    whose mean has the earliest first moment (of those of at least three voxels) is sorted into five again, and the earliest of those is
    the final one. The published search starts from random means; here they are those of five groups of equal size by first moment, so
    that the result is the same every time. It keeps the tenth of the curves of a slice with the largest areas; in a whole head that tenth
    is mostly vein and scalp, and the candidates take its place.
    """
    from scipy.cluster.vq import kmeans2

    kept = np.flatnonzero(found.good)
    rough = (np.diff(found.curves[kept], 2, axis=1) ** 2).sum(axis=1) / found.peak[kept] ** 2
    kept = kept[rough <= np.quantile(rough, _SMOOTHEST)]
    for _ in range(2):
        if kept.size < 2 * _CLUSTERS:
            break
        area = np.trapezoid(found.curves[kept], times_s, axis=1)
        shapes = found.curves[kept] / np.where(area > 0, area, np.inf)[:, None]
        order = np.argsort(found.moment[kept], kind="stable")
        means = np.array([shapes[part].mean(axis=0) for part in np.array_split(order, _CLUSTERS)])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="One of the clusters is empty")
            _, label = kmeans2(shapes, means, iter=100, minit="matrix")
        large = [k for k in range(_CLUSTERS) if (label == k).sum() >= _LEAST_CLUSTER]
        if not large:
            break
        moments = [first_moment(shapes[label == k].mean(axis=0), times_s, arrival) for k in large]
        kept = kept[label == large[int(np.argmin(moments))]]
    return _best_first(found, kept)


def by_hierarchy(found: Candidates, times_s: np.ndarray, arrival: int) -> np.ndarray:
    """The hierarchical search of Peruzzo et al. 2011 (Comput Methods Programs Biomed 104:e148): indices into the candidates.

    Curves whose area is among the lowest 40 %, whose peak is among the latest 40 %, or that are among the roughest 5 % are dropped. The
    rest are split in two by Ward's method again and again, keeping the part with the higher peak (where both are within 4 %, the earlier
    one), until at most six voxels are left; a part of fewer than four gives way to the other. The published search looks within an ellipse
    in one slice, this one at the candidates of the whole head.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    kept = np.flatnonzero(found.good)
    window = first_pass(times_s, arrival)
    area = found.curves[kept][:, window].sum(axis=1)
    latest = times_s[np.argmax(np.where(window, found.curves[kept], -np.inf), axis=1)]
    usable = (
        (area >= np.quantile(area, 0.4))
        & (latest <= np.quantile(latest, 0.6))
        & (found.rough[kept] <= np.quantile(found.rough[kept], 0.95))
    )
    kept = kept[usable] if usable.sum() >= 2 else kept
    while kept.size > _CLUSTER_SIZE[1]:
        label = fcluster(linkage(found.curves[kept], "ward"), 2, "maxclust")
        parts = [kept[label == k] for k in (1, 2) if (label == k).sum() >= _CLUSTER_SIZE[0]]
        if not parts or parts[0].size == kept.size:
            break
        means = [found.curves[p].mean(axis=0) for p in parts]
        heights = np.array([m[window].max() for m in means])
        if np.ptp(heights) <= _SAME_PEAK * heights.max():
            kept = parts[int(np.argmin([first_moment(m, times_s, arrival) for m in means]))]
        else:
            kept = parts[int(np.argmax(heights))]
    return _best_first(found, kept)


def first_moment(curve: np.ndarray, times_s: np.ndarray, arrival: int) -> float:
    """First moment (s) of a curve's first pass."""
    window = first_pass(times_s, arrival)
    part = np.maximum(curve[window], 0.0)
    return float((part * times_s[window]).sum() / max(part.sum(), 1e-12))


def _scores(found: Candidates, among: np.ndarray) -> np.ndarray:
    """Sum of robust z-scores: high, early, narrow, smooth."""
    return _z(found.peak, among) - _z(found.moment, among) - _z(found.width, among) - 0.5 * _z(found.rough, among)


def _best_first(found: Candidates, chosen: np.ndarray) -> np.ndarray:
    return chosen[np.argsort(-_scores(found, found.good)[chosen], kind="stable")]


def _quality(found: Candidates, chosen: np.ndarray, times_s: np.ndarray, arrival: int) -> dict[str, float]:
    mean = found.curves[chosen].mean(axis=0)
    first = max(arrival - 1, 0)
    together = found.curves[chosen] @ mean / np.linalg.norm(found.curves[chosen], axis=1) / np.linalg.norm(mean)
    return {
        "peak": float(mean[first_pass(times_s, arrival)].max()),
        "first_moment_s": first_moment(mean, times_s, arrival),
        "width_s": float(peak_width(mean[first:], times_s[first:], 0.5)),
        "score": float(_scores(found, found.good)[chosen].mean()),
        "agreement": float(together.min()),
        "candidates": int(found.index.size),
    }


def _tallest(
    curves: np.ndarray, window: np.ndarray, arrival: int, most_after: tuple[float, float], frame_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """The 2 % of curves (300 to 2000) with the highest first pass, tallest first, and its height."""
    finite = np.flatnonzero(np.isfinite(curves).all(axis=1))
    some = curves if finite.size == len(curves) else curves[finite]
    first, last = np.flatnonzero(window)[[0, -1]]
    passing, rest = some[:, first : last + 1], some[:, last + 1 :]
    baseline = some[:, : max(arrival, 1)]
    before = baseline.mean(axis=1)
    peak = passing.max(axis=1) - before
    count = int(np.clip(round(_TALLEST_FRACTION * finite.size), *_TALLEST))
    rows = np.arange(finite.size)
    if frame_s <= _SHORT_FRAME_S:
        # A bolus takes several such frames. What is high in one alone moved within that frame, often out of the images.
        two_frames = np.minimum(passing[:, 1:], passing[:, :-1]).max(axis=1) - before
        rows = _where_any(two_frames >= _LASTS * peak, rows)
    # Voxels of air or bone inside a mask have a signal near 0 and so the tallest "curves" of all: they must not crowd the arteries out.
    if baseline.shape[1] >= 4:
        own = np.diff(baseline[rows], axis=1).std(axis=1) / np.sqrt(2.0)
        usual = float(np.median(own))
        rows = _where_any((own <= 4.0 * usual) & (peak[rows] > 5.0 * np.maximum(own, usual)), rows)
    tall = rows[np.argsort(-peak[rows], kind="stable")]
    if rest.shape[1] >= 5:
        # A bolus passes. At edges, a head that has moved changes the signal for good, or frame by frame. Far below its baseline
        # afterwards, a voxel holds leaked agent whose T1 effect outweighs the bolus.
        tall = _where_any(rest[tall].max(axis=1) - before[tall] <= most_after[1] * peak[tall], tall)
        found: list[np.ndarray] = []
        # Medians are dear: only as many are taken, from the tallest down, as are needed.
        for part in np.split(tall, range(count, tall.size, count)):
            level = np.median(rest[part], axis=1) - before[part]
            found.append(part[np.abs(level) <= most_after[0] * peak[part]])
            if sum(map(len, found)) >= count:
                break
        passed = np.concatenate(found)
        tall = passed if passed.size else tall
    tall = tall[:count]
    return finite[tall], peak[tall]


def _where_any(keep: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows (n,) to keep (n,); all of them where none is."""
    return rows[keep] if keep.any() else rows


def among_highest(values: np.ndarray, number: int) -> float:
    """The `number`-th highest value, or the lowest where there are fewer."""
    return float(np.sort(values)[-min(number, values.size)])


def is_clipped(curves: np.ndarray, times_s: np.ndarray, plateau: float = 0.5) -> np.ndarray:
    """Whether a bolus (t,), or each of some (n, t), has a plateau in place of a peak (signal floor): booleans () or (n,).

    It is judged by its width at 95 % against that at half height. The ratio is 0.27 for a Gaussian and 0.62 for one clipped at 70 %; it is
    judged where at least four frames lie above half height.
    """
    half = peak_width(curves, times_s, 0.5)
    frame = float(np.median(np.diff(times_s)))
    judged = (curves.max(axis=-1) > 0) & (half >= 4 * frame)
    return judged & (peak_width(curves, times_s, 0.95) > plateau * half)


def peak_width(curves: np.ndarray, times_s: np.ndarray, level: float) -> np.ndarray:
    """Width (s) of the highest peak of a curve (t,), or of each of some (n, t), at a fraction of its height, by linear interpolation."""
    frame = np.arange(times_s.size)
    peak = np.argmax(curves, axis=-1)[..., None]
    limit = level * np.take_along_axis(curves, peak, -1)
    low = ~(curves > limit)

    def edge(outside: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Where a curve falls to the limit between the last frame above it and the first one that is not; at the series' end before it."""
        there = (outside >= 0) & (outside < frame.size)
        outside = np.where(there, outside, inside)
        top, end = (np.take_along_axis(curves, at, -1) for at in (inside, outside))
        share = (top - limit) / np.maximum(top - end, 1e-12)
        return np.where(there, times_s[inside] + share * (times_s[outside] - times_s[inside]), times_s[inside])

    after = np.where(low & (frame > peak), frame, frame.size).min(axis=-1, keepdims=True)
    before = np.where(low & (frame < peak), frame, -1).max(axis=-1, keepdims=True)
    return (edge(after, after - 1) - edge(before, before + 1))[..., 0]


def _z(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    middle = np.median(values[among])
    spread = 1.4826 * np.median(np.abs(values[among] - middle))
    return np.clip((values - middle) / max(spread, 1e-6 * max(abs(middle), 1e-6)), -4.0, 4.0)
