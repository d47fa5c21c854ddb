"""Comparisons of groups and proportions, each test once: SciPy's where it has them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError
from .agreement import Estimate


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided P value of the exact McNemar test: paired yes-or-no results (n,) of two methods."""
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.shape != b.shape:
        raise InputError(f"{a.size} and {b.size} results are given; pairs are needed")
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def proportion(hits: int, n: int, level: float = 0.95) -> Estimate:
    """A proportion with its exact interval (Clopper CJ, Pearson ES, Biometrika 1934;26:404)."""
    if n < 1 or not 0 <= hits <= n:
        raise InputError(f"{hits} of {n} is no proportion")
    interval = stats.binomtest(hits, n).proportion_ci(level, "exact")
    return Estimate(hits / n, float(interval.low), float(interval.high), level)


def wilcoxon(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided P value of Wilcoxon's signed-rank test of pairs (n,), exact with zeros left out, ties and all.

    Up to 20 pairs all signs are counted; beyond that the distribution is SciPy's: exact without ties, else normal.
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    difference = difference[difference != 0]
    if not difference.size:
        return 1.0
    if difference.size <= _ALL_SIGNS:
        ranks = stats.rankdata(np.abs(difference))
        found = ranks[difference > 0].sum()
        # Doubled ranks are whole numbers, ties or not: the distribution of their sums, one rank at a time.
        counts = np.ones(1)
        for rank in np.round(2 * ranks).astype(int):
            longer = np.zeros(counts.size + rank)
            longer[: counts.size] += counts
            longer[rank:] += counts
            counts = longer
        share = counts / counts.sum()
        at = round(2 * found)
        return float(min(1.0, 2 * min(share[: at + 1].sum(), share[at:].sum())))
    return float(stats.wilcoxon(difference).pvalue)


_ALL_SIGNS = 20  # pairs


def holm(p: ArrayLike) -> np.ndarray:
    """P values (n,) of several tests, corrected for their number (Holm S, Scand J Stat 1979;6:65)."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)), 1)
    return corrected


def t_test(first: ArrayLike, second: ArrayLike, equal_variances: bool = False, paired: bool = False) -> float:
    """Two-sided P value of Welch's t-test; Student's where variances are taken for equal, that of pairs where values are paired."""
    if paired:
        return float(stats.ttest_rel(first, second).pvalue)
    return float(stats.ttest_ind(first, second, equal_var=equal_variances).pvalue)


def mann_whitney(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided P value of the Mann-Whitney U test: exact for small samples without ties, else normal, ties and continuity corrected."""
    return float(stats.mannwhitneyu(first, second).pvalue)


def fisher(table: ArrayLike) -> float:
    """Two-sided P value of Fisher's exact test of a 2 x 2 table."""
    return float(stats.fisher_exact(np.asarray(table)).pvalue)


def chi_square(table: ArrayLike, correction: bool = True) -> float:
    """P value of the chi-square test of independence; with Yates' correction where the table is 2 x 2."""
    return float(stats.chi2_contingency(np.asarray(table), correction=correction).pvalue)


def anova(*groups: ArrayLike) -> float:
    """P value of one-way analysis of variance."""
    return float(stats.f_oneway(*groups).pvalue)


def mancova(outcomes: ArrayLike, group: Sequence[object], covariates: ArrayLike | None = None) -> float:
    """P value of Pillai's trace for a group effect on several outcomes, covariates taken into account.

    Parameters
    ----------
    outcomes
        (n, p).
    group
        (n,) labels of two or more groups.
    covariates
        (n, c), or None for a MANOVA.

    References
    ----------
    Pillai KCS, Ann Math Stat 1955;26:117; its approximate F as in R's ``summary.manova``.
    """
    y = np.asarray(outcomes, np.float64)
    labels, index = np.unique(np.asarray(group), return_inverse=True)
    n, p = y.shape
    rest = [np.ones((n, 1))] + ([] if covariates is None else [np.asarray(covariates, np.float64).reshape(n, -1)])
    without = np.concatenate(rest, axis=1)
    effects = np.eye(len(labels))[index][:, 1:]
    full = np.concatenate([without, effects], axis=1)
    if len(labels) < 2 or n - full.shape[1] < p:
        raise InputError(f"{n} cases in {len(labels)} groups are too few for {p} outcomes")
    error, total = (_residual_products(y, x) for x in (full, without))
    values = np.linalg.eigvals(np.linalg.solve(total, total - error)).real
    pillai, q, v = float(values.sum()), effects.shape[1], n - full.shape[1]
    s, m, k = min(p, q), (abs(p - q) - 1) / 2, (v - p - 1) / 2
    first, second = s * (2 * m + s + 1), s * (2 * k + s + 1)
    return float(stats.f.sf((2 * k + s + 1) / (2 * m + s + 1) * pillai / (s - pillai), first, second))


def _residual_products(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return rest.T @ rest


def normality(values: ArrayLike) -> tuple[float, float]:
    """P values of the Kolmogorov-Smirnov test against a normal distribution of the sample's mean and SD, and of D'Agostino and Pearson's.

    The first is the classical one, which is conservative where mean and SD are the sample's own.
    """
    x = np.asarray(values, np.float64)
    return float(stats.kstest(x, "norm", (x.mean(), x.std(ddof=1))).pvalue), float(stats.normaltest(x).pvalue)


def bootstrap(
    cases: Sequence[ArrayLike],
    statistic: Callable[..., float],
    seed: int,
    n: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """A statistic of cases with its percentile interval over `n` draws with replacement; deterministic.

    Parameters
    ----------
    cases
        Arrays (n, ...) whose rows are drawn together.
    """
    arrays = [np.asarray(v) for v in cases]
    rng, size = np.random.default_rng(seed), len(arrays[0])
    drawn = []
    for _ in range(n):
        rows = rng.integers(0, size, size)
        drawn.append(statistic(*(v[rows] for v in arrays)))
    low, high = np.nanquantile(drawn, ((1 - level) / 2, 1 - (1 - level) / 2))
    return Estimate(float(statistic(*arrays)), float(low), float(high), level)
