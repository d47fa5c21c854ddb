"""Numbers over regions and the tests that the papers use, each once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RegionStatistics:
    """What a map holds inside a region; undefined voxels (NaN) are left out and counted.

    Attributes
    ----------
    n
        Voxels with a value.
    n_undefined
        Voxels of the region without one.
    mean, sd, median, p5, p25, p75, p95
        In the map's unit; NaN where `n` is 0.
    """

    n: int
    n_undefined: int
    mean: float
    sd: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float


def region_statistics(values: np.ndarray, region: np.ndarray) -> RegionStatistics:
    """Statistics of `values` (z, y, x) inside the boolean `region` (z, y, x)."""
    inside = values[region]
    defined = inside[np.isfinite(inside)].astype(np.float64)
    if defined.size == 0:
        return RegionStatistics(0, int(inside.size), *[float("nan")] * 7)
    p5, p25, median, p75, p95 = np.percentile(defined, [5, 25, 50, 75, 95])
    return RegionStatistics(
        int(defined.size),
        int(inside.size - defined.size),
        *(float(v) for v in (defined.mean(), defined.std(), median, p5, p25, p75, p95)),
    )


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
