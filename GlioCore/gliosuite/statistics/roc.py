"""How well a score tells two classes apart: area under the ROC curve, and the comparison of two on the same cases (DeLong)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError
from .agreement import Estimate


def auc(labels: ArrayLike, scores: ArrayLike, level: float = 0.95, within: ArrayLike | None = None) -> Estimate:
    """Area under the ROC curve with DeLong's interval, cut off at 0 and 1; ties count half.

    Parameters
    ----------
    labels, scores
        (n,); labels are true where the higher score is expected.
    within
        (n,) the fold of each case: only cases of one fold are compared, as held-out scores of different models must be.

    Raises
    ------
    InputError
        If a class has fewer than two cases, or a score is not finite.

    References
    ----------
    DeLong ER et al., Biometrics 1988;44:837; computed by ranks (Sun X, Xu W, IEEE Signal Process Lett 2014;21:1389).
    """
    value, covariance = _areas(labels, [scores], within)
    half = float(stats.norm.ppf(1 - (1 - level) / 2) * np.sqrt(covariance[0, 0]))
    return Estimate(float(value[0]), max(float(value[0]) - half, 0.0), min(float(value[0]) + half, 1.0), level)


def compare_aucs(labels: ArrayLike, first: ArrayLike, second: ArrayLike, within: ArrayLike | None = None) -> float:
    """Two-sided P value that two scores of the same cases have equal areas (DeLong's test for paired curves); 1 where they are equal.

    `within` is that of `auc`.
    """
    value, covariance = _areas(labels, [first, second], within)
    difference = float(value[0] - value[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if difference == 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(difference) / np.sqrt(max(variance, 1e-300))))


def _areas(labels: ArrayLike, scores: list[ArrayLike], within: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """As `_delong`; over folds, the mean by the pairs of each, whose areas do not hang on each other's cases."""
    if within is None:
        return _delong(labels, scores)
    y, fold = np.asarray(labels, bool), np.asarray(within)
    inside = [fold == k for k in np.unique(fold)]
    pairs = np.array([y[w].sum() * (~y[w]).sum() for w in inside], float)
    found = [_delong(y[w], [np.asarray(one)[w] for one in scores]) for w in inside]
    weight = pairs / pairs.sum()
    value = np.sum([w * v for w, (v, _) in zip(weight, found)], axis=0)
    return value, np.sum([w**2 * c for w, (_, c) in zip(weight, found)], axis=0)


def _delong(labels: ArrayLike, scores: list[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Areas (m,) of scores and their covariance (m, m)."""
    positive = np.asarray(labels, bool)
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise InputError(f"{m} cases are positive and {n} negative; two of each at least are needed")
    areas, of_positive, of_negative = [], [], []
    for one in scores:
        values = np.asarray(one, np.float64)
        if values.shape != positive.shape or not np.isfinite(values).all():
            raise InputError("one finite score per case is needed")
        together = stats.rankdata(values)
        alone, others = stats.rankdata(values[positive]), stats.rankdata(values[~positive])
        areas.append((together[positive].sum() - m * (m + 1) / 2) / (m * n))
        of_positive.append((together[positive] - alone) / n)
        of_negative.append(1.0 - (together[~positive] - others) / m)
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return np.array(areas), covariance
