"""Cox regression with the LASSO: the path and the choice of its penalty by cross-validation, as R's glmnet makes them.

The objective is -l(b) / n + lambda * sum |b_j| on features scaled to variance 1, where l is Breslow's partial log-likelihood of n cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, option
from ...steps import Progress, silent

# glmnet's own: how many penalties, how far below the largest the last lies with more cases than features or fewer, and when a path ends.
_PENALTIES, _LEAST, _LEAST_WIDE = 100, 1e-4, 0.01
_NO_MORE, _OVER, _ALL = 1e-3, 5, 0.99
_EXACT = 1e-9  # of a step, in SD of the features
_STEPS, _CHANGES = 100, 10
_FLAT = 1e-9  # of the largest curvature
_HALVINGS = 30
_LEAST_HAZARD = 1e-200  # of the largest, so that no mean over the cases at risk is 0 by 0


@dataclass(frozen=True)
class Path:
    """Coefficients along falling penalties.

    Attributes
    ----------
    penalties
        (m,) lambda.
    coefficients
        (m, p), in the units of the features.
    explained
        (m,) share of the deviance of a model without features.
    """

    penalties: np.ndarray
    coefficients: np.ndarray
    explained: np.ndarray

    def at(self, penalties: np.ndarray) -> np.ndarray:
        """Coefficients (k, p) at other penalties, linear between those of the path and held beyond its ends."""
        rising = self.penalties[::-1]
        return np.stack([np.interp(penalties, rising, c[::-1]) for c in self.coefficients.T], axis=1)


@dataclass(frozen=True)
class Choice:
    """A path and what cross-validation made of it.

    Attributes
    ----------
    path
        On all cases.
    deviance, sd
        (m,) Mean partial deviance of an event that was left out, and the mean's standard deviation over folds.
    smallest, sparsest
        Index of the penalty of the smallest mean (lambda.min), and of the largest within one standard deviation of it (lambda.1se).
    fold, held_out
        (n,) of each case, and (n, m) its linear predictors by the fold's path that was made without it.
    """

    path: Path
    deviance: np.ndarray
    sd: np.ndarray
    smallest: int
    sparsest: int
    fold: np.ndarray
    held_out: np.ndarray

    def at(self, penalty: str) -> int:
        """Index of the penalty ``"min"`` or ``"1se"``."""
        return self.smallest if penalty == "min" else self.sparsest


class _Likelihood:
    """Breslow's partial log-likelihood of cases, divided by their number."""

    def __init__(self, times: np.ndarray, events: np.ndarray, x: np.ndarray) -> None:
        order = np.argsort(times, kind="stable")
        t, e, self.x = times[order], events[order], x[order]
        self.n = t.size
        self.events = e.astype(np.float64)
        moments, first = np.unique(t, return_index=True)
        where = np.searchsorted(moments, t)
        died = np.bincount(where, e, minlength=moments.size)
        # Times with an event: the first case at risk, how many died, and how many such times each case has lived to.
        self.first, self.died = first[died > 0], died[died > 0]
        self.lived = np.searchsorted(self.first, first[where], side="right")
        saturated = -float((self.died * np.log(self.died)).sum())
        self.null_deviance = 2 * (saturated - self.value(np.zeros(self.n)) * self.n)
        self.saturated = saturated

    def value(self, eta: np.ndarray) -> float:
        """At linear predictors (n,)."""
        return float(self.events @ eta - self.died @ self._log_risk(eta)) / self.n

    def deviance(self, eta: np.ndarray) -> float:
        """Twice what is missing to the saturated model, all cases."""
        return 2 * (self.saturated - self.value(eta) * self.n)

    def _log_risk(self, eta: np.ndarray) -> np.ndarray:
        """Logarithm of the hazards of all at risk at each time with an event; where risks lie far apart, hazards themselves end at 0."""
        return np.logaddexp.accumulate(eta[::-1])[::-1][self.first]

    def expected(self, eta: np.ndarray) -> np.ndarray:
        """How many events each case was to have until its time, (n,)."""
        until = np.logaddexp.accumulate(np.log(self.died) - self._log_risk(eta))
        return np.exp(eta + np.concatenate([[-np.inf], until])[self.lived])

    def gradient(self, eta: np.ndarray) -> np.ndarray:
        """Its derivative by each coefficient (p,)."""
        return (self.events - self.expected(eta)) @ self.x / self.n

    def curvature(self, eta: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Minus the second derivative by some coefficients, (k, k)."""
        x = self.x[:, columns]
        hazard = np.maximum(np.exp(eta - eta.max()), _LEAST_HAZARD)
        sums = lambda values: values[::-1].cumsum(axis=0)[::-1][self.first]
        mean = sums(hazard[:, None] * x) / sums(hazard)[:, None]
        return ((x.T * self.expected(eta)) @ x - (mean.T * self.died) @ mean) / self.n


def path(times: np.ndarray, events: np.ndarray, x: np.ndarray) -> Path:
    """The LASSO's path along glmnet's penalties, which end early where they explain no more.

    Parameters
    ----------
    times, events
        (n,).
    x
        (n, p) features in any units; a feature that is the same in all cases gets 0.

    Raises
    ------
    InputError
        If no case has an event, or no feature tells cases apart.
    """
    t, e = np.asarray(times, np.float64), np.asarray(events, bool)
    raw = np.asarray(x, np.float64)
    sd = raw.std(axis=0)
    used = np.flatnonzero(sd > 1e-10 * np.maximum(np.abs(raw).max(axis=0), 1e-300))
    if not e.any() or not used.size:
        raise InputError("a LASSO needs events and features that differ between cases; there are none")
    likelihood = _Likelihood(t, e, (raw[:, used] - raw[:, used].mean(axis=0)) / sd[used])
    n, p = likelihood.x.shape
    largest = float(np.abs(likelihood.gradient(np.zeros(n))).max())
    least = _LEAST if raw.shape[0] >= raw.shape[1] else _LEAST_WIDE
    penalties = largest * least ** (np.arange(_PENALTIES) / (_PENALTIES - 1))
    found, explained = [], []
    b, before = np.zeros(p), largest
    for penalty in penalties:
        b = _solve(likelihood, b, float(penalty), before)
        before = float(penalty)
        found.append(b)
        explained.append(1 - likelihood.deviance(likelihood.x @ b) / likelihood.null_deviance)
        if len(found) < _OVER:
            continue
        if explained[-1] - explained[-_OVER] < _NO_MORE * explained[-1] or explained[-1] > _ALL:
            break
    coefficients = np.zeros((len(found), raw.shape[1]))
    coefficients[:, used] = np.array(found) / sd[used]
    return Path(penalties[: len(found)], coefficients, np.array(explained))


def _solve(likelihood: _Likelihood, start: np.ndarray, penalty: float, before: float) -> np.ndarray:
    """Coefficients at one penalty, from those at the larger one `before`: Newton steps on the features that matter."""
    b = start.copy()
    # Coefficients that sum up to more cost more than all that they could explain.
    most = likelihood.null_deviance / (2 * likelihood.n * penalty)
    eta = likelihood.x @ b
    score = likelihood.gradient(eta)
    # Features whose score is smaller stay at 0 but for rare cases, which are looked for at the end (Tibshirani 2012).
    working = (np.abs(score) >= 2 * penalty - before) | (b != 0)
    while True:
        columns = np.flatnonzero(working)
        for _ in range(_STEPS if columns.size else 0):
            curvature = likelihood.curvature(eta, columns)
            # Flat directions have an end too; where the steps end does not depend on it.
            curvature += max(_FLAT * float(np.diag(curvature).max()), 1e-12) * np.eye(columns.size)
            target = _penalised(curvature, curvature @ b[columns] + score[columns], b[columns], penalty)
            step = target.clip(-most, most) - b[columns]
            b = _step(likelihood, b, columns, step, penalty)
            eta = likelihood.x @ b
            score = likelihood.gradient(eta)
            if np.abs(step).max() < _EXACT:
                break
        missed = (np.abs(score) > penalty * (1 + 1e-9)) & ~working
        if not missed.any():
            return b
        working |= missed


def _step(likelihood: _Likelihood, b: np.ndarray, columns: np.ndarray, step: np.ndarray, penalty: float) -> np.ndarray:
    """`b` after as much of a step as lowers the objective."""
    objective = lambda v: penalty * float(np.abs(v).sum()) - likelihood.value(likelihood.x @ v)
    now, share = objective(b), 1.0
    for _ in range(_HALVINGS):
        tried = b.copy()
        tried[columns] += share * step
        if objective(tried) <= now + 1e-14:
            return tried
        share /= 2
    return b


def _penalised(curvature: np.ndarray, linear: np.ndarray, start: np.ndarray, penalty: float) -> np.ndarray:
    """The minimum of b'Cb / 2 - linear'b + penalty * sum |b|, by feature-sign search.

    References
    ----------
    Lee H et al., Efficient sparse coding algorithms, NIPS 2006.
    """
    b, signs = start.copy(), np.sign(start)
    for _ in range(_CHANGES * b.size):
        kept = np.flatnonzero(signs)
        target = b.copy()
        target[kept] = np.linalg.solve(curvature[np.ix_(kept, kept)], linear[kept] - penalty * signs[kept])
        # Up to where the first of them would change its sign, which then is 0.
        wrong = kept[target[kept] * signs[kept] <= 0]
        if wrong.size:
            gone = b[wrong] - target[wrong]
            share = np.divide(b[wrong], gone, out=np.zeros(wrong.size), where=gone != 0)
            first = wrong[int(np.argmin(share))]
            b += float(share.min()) * (target - b)
            b[first] = signs[first] = 0
            continue
        b = target
        score = np.where(signs == 0, linear - curvature @ b, 0)
        most = int(np.abs(score).argmax())
        if abs(score[most]) <= penalty * (1 + 1e-12):
            break
        signs[most] = np.sign(score[most])
    return b


def folds_of(events: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each case (n,), events and others shared out evenly."""
    rng = np.random.default_rng([seed, 3])
    e = np.asarray(events, bool)
    order = np.concatenate([rng.permutation(np.flatnonzero(e)), rng.permutation(np.flatnonzero(~e))])
    fold = np.empty(e.size, int)
    fold[order] = np.arange(e.size) % folds
    return fold


def choose(
    times: np.ndarray, events: np.ndarray, x: np.ndarray, fold: Sequence[int] | np.ndarray, progress: Progress = silent
) -> Choice:
    """Cross-validate a path as ``cv.glmnet`` does: a fold's deviance is that of all cases less that of the others.

    Parameters
    ----------
    fold
        (n,) of each case, from 0.

    References
    ----------
    Simon N et al., J Stat Softw 2011;39(5); van Houwelingen HC et al., Stat Med 2006;25:3201.
    """
    t, e, raw, f = np.asarray(times, float), np.asarray(events, bool), np.asarray(x, float), np.asarray(fold)
    names = np.unique(f)
    if min(int(e[f == k].sum()) for k in names) == 0:
        raise InputError(
            f"{int(e.sum())} events cannot be shared out over {names.size} folds; fewer are needed ({option('--folds')})"
        )
    progress(0.0, "path")
    whole = path(t, e, raw)
    every = _Likelihood(t, e, raw)
    rows, weights = [], []
    held_out = np.empty((t.size, whole.penalties.size))
    for i, k in enumerate(names):
        progress((i + 1) / (names.size + 1), f"fold {i + 1} of {names.size}")
        others = f != k
        coefficients = path(t[others], e[others], raw[others]).at(whole.penalties)
        part = _Likelihood(t[others], e[others], raw[others])
        held_out[~others] = raw[~others] @ coefficients.T
        gone = [every.deviance(every.x @ b) - part.deviance(part.x @ b) for b in coefficients]
        weights.append(float(e[f == k].sum()))
        rows.append(np.array(gone) / weights[-1])
    table, weight = np.array(rows), np.array(weights) / sum(weights)
    mean = weight @ table
    sd = np.sqrt(weight @ (table - mean) ** 2 / (names.size - 1))
    smallest = int(np.argmin(mean))
    sparsest = int(np.flatnonzero(mean <= mean[smallest] + sd[smallest])[0])
    progress(1.0, "chosen")
    return Choice(whole, mean, sd, smallest, sparsest, f, held_out)
