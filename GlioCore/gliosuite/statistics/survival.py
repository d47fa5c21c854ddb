"""Times to an event: Kaplan and Meier's curve, log-rank test and Harrell's C."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from ..errors import InputError
from .agreement import Estimate


@dataclass(frozen=True)
class KaplanMeier:
    """Kaplan and Meier's estimate of the share without the event.

    Attributes
    ----------
    times, at_risk, events
        (m,) the distinct times, rising, events or not; how many were still followed at each, and how many had the event then.
    survival, low, high
        (m,) share without the event just after each, and its pointwise interval.
    median
        First time at which half or fewer are left, and where the interval's ends reach a half; infinite where they never do.
    """

    times: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median: Estimate


def kaplan_meier(times: ArrayLike, events: ArrayLike, level: float = 0.95) -> KaplanMeier:
    """Kaplan and Meier's curve of (n,) times; its interval is Greenwood's on the scale log(-log).

    References
    ----------
    Kaplan EL, Meier P, J Am Stat Assoc 1958;53:457; Kalbfleisch JD, Prentice RL, The Statistical Analysis of Failure Time Data, 1980;
    median's interval: Brookmeyer R, Crowley J, Biometrics 1982;38:29.
    """
    t, e = np.asarray(times, np.float64), np.asarray(events, bool)
    moments, index = np.unique(t, return_inverse=True)
    left = np.bincount(index, minlength=moments.size)
    died = np.bincount(index, e, minlength=moments.size).astype(int)
    at_risk = left[::-1].cumsum()[::-1]
    survival = np.cumprod(1 - died / at_risk)
    z = float(stats.norm.ppf(1 - (1 - level) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = z * np.sqrt(np.cumsum(died / (at_risk * (at_risk - died)))) / np.abs(np.log(survival))
        low, high = (np.where(survival == 1, 1.0, survival ** np.exp(s * half)) for s in (1, -1))
    # At 0 the curve's variance is not known; the curve ends there.
    low, high = (np.where(survival == 0, 0.0, v) for v in (low, high))
    reached = [_reaches_half(moments, v) for v in (survival, low, high)]
    median = Estimate(reached[0], reached[1], reached[2], level)
    return KaplanMeier(moments, at_risk, died, survival, low, high, median)


def _reaches_half(times: np.ndarray, share: np.ndarray) -> float:
    below = np.flatnonzero(share <= 0.5 + 1e-12)
    return float(times[below[0]]) if below.size else float("inf")


def log_rank(times: ArrayLike, events: ArrayLike, group: ArrayLike) -> float:
    """P value of the log-rank test between two groups or more; 1 where no event came while two of them were followed.

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
    # The differences add up to 0, so that one group says nothing of its own; nor does one of which nobody was left at the first event.
    followed = np.flatnonzero(np.diag(variance) > 0)[:-1]
    if not followed.size:
        return 1.0
    difference = (observed - expected)[followed]
    statistic = float(difference @ np.linalg.solve(variance[np.ix_(followed, followed)], difference))
    return float(stats.chi2.sf(statistic, followed.size))


def harrell_c(
    times: ArrayLike, events: ArrayLike, risk: ArrayLike, level: float = 0.95, within: ArrayLike | None = None
) -> Estimate:
    """Share of comparable pairs in which the higher risk has the earlier event (ties of risk count half), with its interval.

    A pair is comparable where the earlier of its times is an event, or where both times are equal and one of them alone is one. The
    variance is that of the infinitesimal jackknife, as in R's ``survival::concordance``, and the interval normal in log odds of C; its
    ends are NaN where C is 0 or 1.

    Parameters
    ----------
    times, events, risk
        (n,) each.
    within
        (n,) labels: only pairs of one label are compared. None: all pairs.

    References
    ----------
    Harrell FE et al., Stat Med 1996;15:361; Therneau T, Atkinson E, vignette "Concordance" of R's survival.
    """
    t, e, x = np.asarray(times, np.float64), np.asarray(events, bool), np.asarray(risk, np.float64)
    label = np.zeros(t.size) if within is None else np.unique(np.asarray(within), return_inverse=True)[1]
    # Of each case, summed over the others: pairs in which it is one, and the share of them in which the risk agrees.
    pairs_of, agreement_of = np.zeros(t.size), np.zeros(t.size)
    for rows in np.array_split(np.arange(t.size), 1 + t.size * t.size // _PAIRS_AT_ONCE):
        first = e[rows, None] & ((t[rows, None] < t) | ((t[rows, None] == t) & ~e)) & (label[rows, None] == label)
        agreed = np.where(x[rows, None] > x, 1.0, np.where(x[rows, None] == x, 0.5, 0.0)) * first
        for total, part in ((pairs_of, first), (agreement_of, agreed)):
            total += part.sum(axis=0)
            total[rows] += part.sum(axis=1)
    pairs = float(pairs_of.sum()) / 2
    if not pairs:
        raise InputError("no pair of cases can be compared: an event before another case's time is needed")
    value = float(agreement_of.sum()) / 2 / pairs
    influence = (agreement_of - value * pairs_of) / pairs
    if not 0 < value < 1:
        return Estimate(value, float("nan"), float("nan"), level)
    # On the scale of log odds: a normal interval of C itself covers too seldom in few cases, the more so the higher C is.
    half = float(stats.norm.ppf(1 - (1 - level) / 2) * np.sqrt((influence**2).sum())) / (value * (1 - value))
    low, high = (float(special.expit(special.logit(value) + s * half)) for s in (-1, 1))
    return Estimate(value, low, high, level)


_PAIRS_AT_ONCE = 4_000_000  # of cases held in memory; chosen


@dataclass(frozen=True)
class Cut:
    """The value above which cases are of the other group, chosen so that two groups' times differ most.

    Attributes
    ----------
    value
        Of the cut.
    p
        That chance parts any of the cuts that were tried so much: by permutation, so that the choice is paid for.
    tried
        Number of cuts.
    """

    value: float
    p: float
    tried: int


def best_cut(
    values: ArrayLike, times: ArrayLike, events: ArrayLike, seed: int, least: float = 0.1, draws: int = 2000
) -> Cut:
    """The cut of values (n,) with the largest standardised log-rank statistic, at least a share `least` of the cases on either side.

    Raises
    ------
    InputError
        If the values leave no cut.

    References
    ----------
    Lausen B, Schumacher M, Biometrics 1992;48:73; Hothorn T, Lausen B, Comput Stat Data Anal 2003;43:121.
    """
    x, t, e = np.asarray(values, np.float64), np.asarray(times, np.float64), np.asarray(events, bool)
    order = np.argsort(x, kind="stable")
    n, ranked = x.size, x[order]
    below = np.arange(1, n)
    last = ranked[1:] > ranked[:-1]  # cases of one value stay together
    below = below[last & (below >= least * n) & (n - below >= least * n)]
    if not below.size:
        raise InputError(f"the {n} values leave no cut with {100 * least:.0f} % of the cases on either side")
    # A case's log-rank score: whether it had the event, less what was expected of it while it was followed (Nelson and Aalen).
    moments, index = np.unique(t, return_inverse=True)
    at_risk = np.bincount(index, minlength=moments.size)[::-1].cumsum()[::-1]
    hazard = np.cumsum(np.bincount(index, e, minlength=moments.size) / at_risk)
    score = (e - hazard[index])[order]
    score = score - score.mean()
    scale = np.sqrt(below * (n - below) / n * score.var(ddof=1))
    if not score.any():
        raise InputError("all cases have one time, so that no cut parts them")
    strength = np.abs(np.cumsum(score)[below - 1]) / scale
    best = int(strength.argmax())
    rng = np.random.default_rng(seed)
    chance = [float((np.abs(np.cumsum(rng.permutation(score))[below - 1]) / scale).max()) for _ in range(draws)]
    p = (1 + int((np.array(chance) >= strength[best]).sum())) / (1 + draws)
    at = below[best]
    return Cut(float(ranked[at - 1]), p, int(below.size))
