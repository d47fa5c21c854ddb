"""How well readings of the same thing agree: intraclass correlation, Bland and Altman's limits, Pearson's correlation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes
    ----------
    value, low, high
        Estimate and ends of the interval.
    level
        Of the interval, e.g. .95.
    """

    value: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Limits:
    """Bland and Altman's limits of agreement.

    Attributes
    ----------
    bias, sd
        Mean and SD of the differences.
    low, high
        Limits between which 95 % of differences lie where they are normal.
    """

    bias: Estimate
    sd: float
    low: Estimate
    high: Estimate


def icc(ratings: ArrayLike, level: float = 0.95) -> Estimate:
    """ICC(2,1): two-way random effects, absolute agreement, single reading.

    Parameters
    ----------
    ratings
        (n subjects, k readers), no value missing.
    level
        Of the interval.

    Raises
    ------
    InputError
        If there are fewer than two subjects or readers, or values that are not finite.

    References
    ----------
    Shrout PE, Fleiss JL, Psychol Bull 1979;86:420; interval of McGraw KO, Wong SP, Psychol Methods 1996;1:30.
    """
    x = _finite(ratings, 2, "ratings")
    n, k = x.shape
    if n < 2 or k < 2:
        raise InputError(f"{n} subjects and {k} readers are given; two of each at least are needed")
    rows, columns, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * float(((rows - grand) ** 2).sum()) / (n - 1)
    readers = n * float(((columns - grand) ** 2).sum()) / (k - 1)
    rest = float(((x - rows[:, None] - columns + grand) ** 2).sum()) / ((n - 1) * (k - 1))
    value = (between - rest) / (between + (k - 1) * rest + k * (readers - rest) / n)
    if rest == 0 and readers == 0:
        return Estimate(1.0, 1.0, 1.0, level)
    ratio = readers / rest if rest > 0 else np.inf
    top = (k - 1) * (n - 1) * (k * value * ratio + n * (1 + (k - 1) * value) - k * value) ** 2
    freedom = top / ((n - 1) * (k * value * ratio) ** 2 + (n * (1 + (k - 1) * value) - k * value) ** 2)
    tail = 1 - (1 - level) / 2
    upper, lower = stats.f.ppf(tail, n - 1, freedom), stats.f.ppf(tail, freedom, n - 1)
    spread = k * readers + (k * n - k - n) * rest
    low = n * (between - upper * rest) / (upper * spread + n * between)
    high = n * (lower * between - rest) / (spread + n * lower * between)
    return Estimate(float(value), float(low), float(high), level)


def bland_altman(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Limits:
    """Bias and limits of agreement of paired readings (n,), as `first` minus `second`, each with its interval.

    References
    ----------
    Bland JM, Altman DG, Stat Methods Med Res 1999;8:135.
    """
    a, b = _paired(first, second, 3)
    difference = a - b
    n, bias, sd = a.size, float(difference.mean()), float(difference.std(ddof=1))
    t, z = float(stats.t.ppf(1 - (1 - level) / 2, n - 1)), float(stats.norm.ppf(0.975))
    of_bias = t * sd / np.sqrt(n)
    of_limit = t * sd * np.sqrt(1 / n + z**2 / (2 * (n - 1)))
    around = lambda value, half: Estimate(float(value), float(value - half), float(value + half), level)
    return Limits(around(bias, of_bias), sd, around(bias - z * sd, of_limit), around(bias + z * sd, of_limit))


def pearson(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> tuple[Estimate, float]:
    """Pearson's correlation of paired values (n,) with Fisher's interval, and its two-sided P value."""
    a, b = _paired(first, second, 4)
    found = stats.pearsonr(a, b)
    interval = found.confidence_interval(level)
    return Estimate(float(found.statistic), float(interval.low), float(interval.high), level), float(found.pvalue)


def _finite(values: ArrayLike, dimensions: int, name: str) -> np.ndarray:
    x = np.asarray(values, np.float64)
    if x.ndim != dimensions:
        raise InputError(f"{name} have {x.ndim} dimensions; {dimensions} are needed")
    if not np.isfinite(x).all():
        raise InputError(f"{int((~np.isfinite(x)).sum())} of the {name} are not finite; leave such cases out")
    return x


def _paired(first: ArrayLike, second: ArrayLike, least: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = _finite(first, 1, "values"), _finite(second, 1, "values")
    if a.size != b.size or a.size < least:
        raise InputError(f"{a.size} and {b.size} values are given; {least} pairs at least are needed")
    return a, b
