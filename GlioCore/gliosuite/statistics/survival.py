"""Times to an event: log-rank test and Harrell's C."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..errors import InputError
from .agreement import Estimate


def log_rank(times: ArrayLike, events: ArrayLike, group: ArrayLike) -> float:
    """P value of the log-rank test between two groups or more.

    Parameters
    ----------
    times, events
        (n,), and whether each ended in the event (else it was censored).
    group
        (n,) labels.

    References
    ----------
    Mantel N, Cancer Chemother Rep 1966;50:163.
    """
    t, e = np.asarray(times, np.float64), np.asarray(events, bool)
    labels, index = np.unique(np.asarray(group), return_inverse=True)
    if len(labels) < 2:
        raise InputError("all cases are of one group; two at least are needed")
    members = np.eye(len(labels))[index]
    observed, expected = members[e].sum(axis=0), np.zeros(len(labels))
    variance = np.zeros((len(labels), len(labels)))
    for moment in np.unique(t[e]):
        risk = members[t >= moment].sum(axis=0)
        died, at_risk = float((e & (t == moment)).sum()), float(risk.sum())
        share = risk / at_risk
        expected += died * share
        if at_risk > 1:
            variance += died * (at_risk - died) / (at_risk - 1) * (np.diag(share) - np.outer(share, share))
    # The differences add up to 0, so that one group says nothing of its own.
    difference = (observed - expected)[:-1]
    statistic = float(difference @ np.linalg.solve(variance[:-1, :-1], difference))
    return float(stats.chi2.sf(statistic, len(labels) - 1))


def harrell_c(times: ArrayLike, events: ArrayLike, risk: ArrayLike, level: float = 0.95) -> Estimate:
    """Share of comparable pairs in which the higher risk has the earlier event (ties of risk count half), with its interval.

    A pair is comparable where the earlier of its times is an event, or where both times are equal and one of them alone is one. The
    variance is that of the infinitesimal jackknife, as in R's ``survival::concordance``.

    Parameters
    ----------
    times, events, risk
        (n,) each.

    References
    ----------
    Harrell FE et al., Stat Med 1996;15:361; Therneau T, Atkinson E, vignette "Concordance" of R's survival.
    """
    t, e, x = np.asarray(times, np.float64), np.asarray(events, bool), np.asarray(risk, np.float64)
    earlier = e[:, None] & ((t[:, None] < t) | ((t[:, None] == t) & ~e))
    agreement = np.where(x[:, None] > x, 1.0, np.where(x[:, None] == x, 0.5, 0.0)) * earlier
    pairs = float(earlier.sum())
    if not pairs:
        raise InputError("no pair of cases can be compared: an event before another case's time is needed")
    value = float(agreement.sum()) / pairs
    influence = (
        agreement.sum(axis=0) + agreement.sum(axis=1) - value * (earlier.sum(axis=0) + earlier.sum(axis=1))
    ) / pairs
    half = float(stats.norm.ppf(1 - (1 - level) / 2) * np.sqrt((influence**2).sum()))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0), level)
