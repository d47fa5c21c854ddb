"""Numbers over regions and the tests that the papers use, each once."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product
from typing import Any

import numpy as np
from scipy.ndimage import find_objects, uniform_filter

from ..compute import each
from ..steps import silent

HOTTEST = 0.05
HOTSPOT_CC = 0.1
_BINS = 50


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
    inside = values[region]
    defined = inside[np.isfinite(inside)].astype(np.float64)
    size = float(inside.size * np.prod(spacing_mm) / 1000.0), int(defined.size), int(inside.size - defined.size)
    if defined.size == 0:
        return RegionStatistics(*size, *[float("nan")] * 13)
    low, *percentiles, high = np.percentile(defined, [0, 5, 10, 25, 75, 90, 95, 100])
    count = max(1, round(HOTTEST * defined.size))
    hottest = np.partition(defined, defined.size - count)[-count:].mean()
    numbers = (defined.mean(), defined.std(), np.median(defined), low, high, *percentiles, hottest)
    return RegionStatistics(*size, *(float(v) for v in numbers), hotspot(values, region, spacing_mm))


def hotspot(
    values: np.ndarray, region: np.ndarray, spacing_mm: Sequence[float], volume_cc: float = HOTSPOT_CC
) -> float:
    """Highest mean of `values` over a box of `volume_cc`, half of it at least in the region; see `RegionStatistics`."""
    found = find_objects(region.astype(np.int8))
    if not found:
        return float("nan")
    edge = 10.0 * volume_cc ** (1 / 3)
    box = tuple(max(1, round(edge / s)) for s in reversed(spacing_mm))
    around = tuple((n, n) for n in box)
    part = np.where(region[found[0]], values[found[0]], np.nan)
    defined = np.pad(np.isfinite(part), around)
    filled = np.where(defined, np.pad(part, around), 0.0).astype(np.float64)
    share = uniform_filter(defined.astype(np.float64), box, mode="constant")
    enough = share >= 0.5 - 1e-9
    if not enough.any():
        return float("nan")
    return float((uniform_filter(filled, box, mode="constant")[enough] / share[enough]).max())


def statistics_table(
    maps: Mapping[str, np.ndarray],
    units: Mapping[str, str],
    regions: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows for a spreadsheet: one row per map and region; a number that is not defined is an empty cell."""
    # A region's box is found once, and holds all that counts of a map.
    boxes = {n: found[0] if (found := find_objects(m.astype(np.int8))) else (slice(0),) * 3 for n, m in regions.items()}

    def row(pair: tuple[str, str]) -> list[Any]:
        name, region = pair
        box = boxes[region]
        numbers = astuple(region_statistics(maps[name][box], regions[region][box], spacing_mm))
        cells = ["" if np.isnan(v) else v if isinstance(v, int) else f"{v:.6g}" for v in numbers]
        return [name, units.get(name, ""), region, *cells]

    rows = each(row, list(product(maps, regions)), silent, "regions")
    return ["map", "unit", "region", *STATISTICS], rows


def histogram_table(
    maps: Mapping[str, np.ndarray], units: Mapping[str, str], regions: Mapping[str, np.ndarray]
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows for a spreadsheet: one row per map and bin, one column of voxel counts per region, ready to plot side by side.

    A map's 50 bins are the same for all regions: equal ones between the 0.5th and 99.5th percentiles of all regions together. The first
    row of a map has no lower edge and counts what lies below, the last no upper edge.
    """
    rows: list[list[Any]] = []
    for name, values in maps.items():
        inside = {r: v[np.isfinite(v)].astype(np.float64) for r, v in ((r, values[m]) for r, m in regions.items())}
        pooled = np.concatenate([*inside.values(), np.zeros(0)])
        if not pooled.size:
            continue
        low, high = np.percentile(pooled, [0.5, 99.5])
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
        counts = {r: np.histogram(v, [-np.inf, *edges, np.inf])[0] for r, v in inside.items()}
        texts = ["", *(f"{e:.6g}" for e in edges), ""]
        for i, (lower, upper) in enumerate(zip(texts, texts[1:])):
            rows.append([name, units.get(name, ""), lower, upper, *(int(c[i]) for c in counts.values())])
    return ["map", "unit", "lower", "upper", *regions], rows


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
