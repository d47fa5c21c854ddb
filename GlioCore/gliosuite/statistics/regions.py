"""Numbers over regions and the tests that the papers use, each once."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from ..compute import each
from ..steps import silent

HOTTEST = 0.05  # chosen, because a twentieth of a lesion of 1 cc still averages 50 voxels of 1 mm
HOTSPOT_CC = 0.1  # chosen, because hot-spot ROIs drawn by readers have about this size
_BINS = 50  # chosen, because a bin then holds some tens of voxels of a small lesion and is narrower than any peak


@dataclass(frozen=True)
class RegionStatistics:
    """What a map holds inside a region; undefined voxels (NaN) are left out and counted.

    Attributes
    ----------
    volume_cc
        Of the region, undefined voxels included.
    n
        Voxels with a value.
    n_undefined
        Voxels of the region without one.
    mean, sd, median, min, max, p5, p10, p25, p75, p90, p95
        In the map's unit, SD over the voxels of the region; NaN where `n` is 0.
    hottest_mean
        Mean of the highest 5 % of the values, at least one: no single voxel decides it, wherever the high values lie.
    hotspot
        Highest mean over a box of 0.1 cc (edges of 4.6 mm, to the nearest number of voxels) of which at least half lies in the region
        and has a value: a reader's small hot-spot ROI, found by trying every place. NaN where the region is too small for one.
    """

    volume_cc: float
    n: int
    n_undefined: int
    mean: float
    sd: float
    median: float
    min: float
    max: float
    p5: float
    p10: float
    p25: float
    p75: float
    p90: float
    p95: float
    hottest_mean: float
    hotspot: float


STATISTICS = tuple(f.name for f in fields(RegionStatistics))


def region_statistics(
    values: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)
) -> RegionStatistics:
    """Statistics of `values` (z, y, x) inside the boolean `region` (z, y, x); `spacing_mm` is that of the voxels (x, y, z)."""
    return _region_statistics(values, region, spacing_mm, None)


def _region_statistics(
    values: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float], share: np.ndarray | None
) -> RegionStatistics:
    """`region_statistics`; `share` says how many voxels of the region a hot spot has in each place, where the region has no other box."""
    inside = values[region]
    defined = inside[np.isfinite(inside)].astype(np.float64)
    size = float(inside.size * np.prod(spacing_mm) / 1000.0), int(defined.size), int(inside.size - defined.size)
    if defined.size == 0:
        return RegionStatistics(*size, *[float("nan")] * 13)
    mean, sd = defined.mean(), defined.std()
    defined.sort()
    low, *percentiles, high = np.percentile(defined, [0, 5, 10, 25, 75, 90, 95, 100])
    count = max(1, round(HOTTEST * defined.size))
    hottest = defined[-count:].mean()
    if share is None:
        spot = hotspot(values, region, spacing_mm)
    else:
        box, counts = _hotspot_box(spacing_mm), region
        if size[2]:
            counts = region & np.isfinite(values)
            share = _box_sums(counts.astype(np.int32), box)
        spot = _hottest(np.where(counts, values, 0.0), share, box)
    numbers = (mean, sd, np.median(defined), low, high, *percentiles, hottest, spot)
    return RegionStatistics(*size, *(float(v) for v in numbers))


def hotspot(
    values: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float], volume_cc: float = HOTSPOT_CC
) -> float:
    """Highest mean of `values` over a box of `volume_cc`, half of it at least in the region; see `RegionStatistics`."""
    found = find_objects(region.astype(np.int8))
    if not found:
        return float("nan")
    part = np.where(region[found[0]], values[found[0]], np.nan)
    defined = np.isfinite(part)
    box = _hotspot_box(spacing_mm, volume_cc)
    return _hottest(np.where(defined, part, 0.0), _box_sums(defined.astype(np.int32), box), box)


def _hotspot_box(spacing_mm: Sequence[float], volume_cc: float = HOTSPOT_CC) -> tuple[int, ...]:
    """The hot spot's box in voxels (z, y, x)."""
    return tuple(max(1, round(10.0 * volume_cc ** (1 / 3) / s)) for s in reversed(spacing_mm))


def _hottest(filled: np.ndarray, share: np.ndarray, box: Sequence[int]) -> float:
    """Highest mean over the places of a box; `filled` is 0 where nothing counts, `share` says how many voxels do in each place."""
    enough = 2 * share >= np.prod(box)
    if not enough.any():
        return float("nan")
    total = _box_sums(filled.astype(np.float64), box)
    return float((total[enough] / share[enough]).max())


def _box_sums(values: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Sums over a box in every place where it meets the array (z, y, x)."""
    values = np.pad(values, [(n - 1, n - 1) for n in box])
    for axis, n in enumerate(box):
        along = lambda a, start, stop, axis=axis: a[(slice(None),) * axis + (slice(start, stop),)]
        # Windows of 1, 2, 4, ... voxels, each from two of the one before; those that make up n are put together.
        window, width, done = values, 1, 0
        total = np.zeros(0)
        while True:
            if n & width:
                length = values.shape[axis] - done - width + 1
                here = along(window, done, done + length)
                total = along(total, 0, length) + here if done else here
                done += width
            if done == n:
                break
            window = along(window, 0, window.shape[axis] - width) + along(window, width, None)
            width *= 2
        values = total
    return values


def statistics_table(
    maps: Mapping[str, np.ndarray],
    units: Mapping[str, str],
    regions: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    drafts: Container[str] = (),
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows for a spreadsheet: one row per map and region; a number that is not defined is an empty cell.

    Those of the regions that are `drafts`, which nobody has looked at, are called so in the last column.
    """
    # A region's box and the places of a hot spot in it are found once, for all maps that are defined everywhere in it.
    parts = {n: (b, m[b]) for n, m in regions.items() for b in find_objects(m.astype(np.int8)) or [(slice(0),) * 3]}
    spot = _hotspot_box(spacing_mm)
    shares = {n: _box_sums(m.astype(np.int32), spot) for n, (_, m) in parts.items()}

    def row(pair: tuple[str, str]) -> list[Any]:
        name, region = pair
        box, inside = parts[region]
        numbers = astuple(_region_statistics(maps[name][box], inside, spacing_mm, shares[region]))
        cells = ["" if np.isnan(v) else v if isinstance(v, int) else f"{v:.6g}" for v in numbers]
        return [name, units.get(name, ""), region, *cells, "DRAFT" if region in drafts else ""]

    rows = each(row, list(product(maps, regions)), silent, "regions")
    return ["map", "unit", "region", *STATISTICS, "draft"], rows


def histogram_table(
    maps: Mapping[str, np.ndarray], units: Mapping[str, str], regions: Mapping[str, np.ndarray]
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows for a spreadsheet: one row per map and bin, one column of voxel counts per region, ready to plot side by side.

    A map's 50 bins are the same for all regions: equal ones between the 0.5th and 99.5th percentiles of all regions together. The first
    row of a map has no lower edge and counts what lies below, the last no upper edge.
    """

    def rows(name: str) -> list[list[Any]]:
        values = maps[name]
        inside = {r: v[np.isfinite(v)].astype(np.float64) for r, v in ((r, values[m]) for r, m in regions.items())}
        pooled = np.concatenate([*inside.values(), np.zeros(0)])
        if not pooled.size:
            return []
        low, high = np.percentile(pooled, [0.5, 99.5])
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
        counts = {r: np.histogram(v, [-np.inf, *edges, np.inf])[0] for r, v in inside.items()}
        texts = ["", *(f"{e:.6g}" for e in edges), ""]
        return [
            [name, units.get(name, ""), lower, upper, *(int(c[i]) for c in counts.values())]
            for i, (lower, upper) in enumerate(zip(texts, texts[1:]))
        ]

    found = each(rows, list(maps), silent, "histograms")
    return ["map", "unit", "lower", "upper", *regions], [row for of_map in found for row in of_map]


def icc21(ratings: np.ndarray) -> float:
    """Intraclass correlation ICC(2,1): two-way random effects, absolute agreement, one rating.

    Parameters
    ----------
    ratings
        (subjects, raters), at least two of each.

    Returns
    -------
    float
        NaN where a rating is not finite or nothing varies.

    References
    ----------
    Shrout PE, Fleiss JL. Psychol Bull 1979;86:420.
    """
    x = np.asarray(ratings, np.float64)
    n, k = x.shape
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    raters = n * ((columns - mean) ** 2).sum() / (k - 1)
    error = ((x - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (k - 1))
    total = between + (k - 1) * error + k * (raters - error) / n
    return float((between - error) / total) if total > 0 else float("nan")
