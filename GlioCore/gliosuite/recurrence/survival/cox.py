"""Cox's regression, its proportional-hazards test, and what makes one impossible; the fit itself is lifelines'."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ...errors import InputError, require
from ...statistics.agreement import Estimate
from ...statistics.survival import harrell_c

EVENTS_EACH = (
    10  # events per covariate below which coefficients are unreliable (Peduzzi P et al., J Clin Epidemiol 1995;48:1503)
)
_MONOTONE_SD = (
    10.0  # standard error of a coefficient per SD of its covariate, from which on the likelihood has no maximum; chosen
)


@dataclass(frozen=True)
class Cox:
    """A fitted model.

    Attributes
    ----------
    names
        Of the covariates.
    coef, se, p
        (p,) log hazard ratio of one unit, its standard error, and Wald's P value.
    ratio
        (p,) hazard ratios with their intervals.
    log_likelihood
        Partial, Efron's.
    score
        (n,) linear predictor of each case, 0 at the covariates' means.
    concordance
        Harrell's C of the cases it was fitted to.
    proportional
        P values of the test that hazards are proportional, a covariate each, and of all together.
    """

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    p: np.ndarray
    ratio: tuple[Estimate, ...]
    log_likelihood: float
    score: np.ndarray
    concordance: Estimate
    proportional: tuple[np.ndarray, float]


def fit_cox(times: np.ndarray, events: np.ndarray, x: np.ndarray, names: Sequence[str], level: float = 0.95) -> Cox:
    """Fit Cox's model, ties by Efron.

    Parameters
    ----------
    times, events
        (n,) times above 0, and whether each ended in the event.
    x
        (n, p) covariates, finite.
    level
        Of intervals.

    Raises
    ------
    InputError
        If lifelines is missing, a covariate is constant or follows from others, there are fewer events than covariates, or the
        likelihood has no maximum.

    References
    ----------
    Cox DR, J R Stat Soc B 1972;34:187; Efron B, J Am Stat Assoc 1977;72:557.
    """
    require("lifelines", "Cox regression")
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    t, e, raw = np.asarray(times, np.float64), np.asarray(events, bool), np.asarray(x, np.float64)
    check_covariates(e, raw, names)
    mean, sd = raw.mean(axis=0), raw.std(axis=0)
    z = (raw - mean) / sd
    # Scaled, so that units of the covariates do not bear on where lifelines stops; columns by number, since names may be any text.
    columns = list(range(len(names)))
    table = pd.DataFrame(z, columns=columns).assign(time=t, event=e)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = CoxPHFitter(alpha=1 - level).fit(table, "time", "event")
            residuals = found.compute_residuals(table, "schoenfeld")
    except (ConvergenceError, np.linalg.LinAlgError) as error:
        raise InputError(f"the Cox model could not be fitted: {_monotone(names)}") from error
    coef, se = found.params_[columns].to_numpy(), found.standard_errors_[columns].to_numpy()
    score = z @ coef
    concordance = harrell_c(t, e, score, level)
    stopped = any("failed to converge" in str(w.message) for w in said)
    # Where every pair is in the right order, larger coefficients are always better.
    endless = [n for n, s in zip(names, se) if stopped or concordance.value == 1 or not s < _MONOTONE_SD]
    if endless:
        raise InputError(f"the Cox model could not be fitted: {_monotone(endless)}")
    covariance = found.variance_matrix_.loc[columns, columns].to_numpy()
    half = float(stats.norm.ppf(1 - (1 - level) / 2)) * se
    with np.errstate(over="ignore"):  # of one unit, where the unit is far too large
        ends = np.exp(np.stack([coef, coef - half, coef + half]) / sd).T
    ratio = tuple(Estimate(float(value), float(low), float(high), level) for value, low, high in ends)
    return Cox(
        tuple(names),
        coef / sd,
        se / sd,
        2 * stats.norm.sf(np.abs(coef / se)),
        ratio,
        float(found.log_likelihood_),
        score,
        concordance,
        _proportional(t, e, residuals, covariance),
    )


def check_covariates(events: np.ndarray, x: np.ndarray, names: Sequence[str]) -> None:
    """Refuse what no Cox model can be fitted to.

    Raises
    ------
    InputError
        One sentence that names the covariate and what to do.
    """
    died = int(events.sum())
    if died < max(2, x.shape[1]):
        plural = "s" if died != 1 else ""
        raise InputError(
            f"{died} event{plural} for {x.shape[1]} covariates; at least as many events as covariates, and 2, are needed"
        )
    for name, values in zip(names, x.T):
        if values.std() <= 1e-10 * np.abs(values).max():
            raise InputError(
                f"{name} is {values[0]:g} in all {values.size} rows, which tells nobody apart; leave it out"
            )
    basis = np.ones((x.shape[0], 1))
    for name, values in zip(names, ((x - x.mean(axis=0)) / x.std(axis=0)).T):
        rest = values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
        if np.sqrt((rest**2).mean()) < 1e-6:
            raise InputError(
                f"{name} follows from the other covariates (it is a sum of multiples of them); leave one of them out"
            )
        basis = np.column_stack([basis, values])
    for name, values in zip(names, x.T):
        levels = np.unique(values)
        without = [v for v in levels if not events[values == v].any()]
        if levels.size == 2 and without:
            n = int((values == without[0]).sum())
            raise InputError(
                f"none of the {n} rows with {name} = {without[0]:g} has the event, so that its hazard ratio has no finite estimate; "
                "join it with another category, or leave it out"
            )


def _monotone(names: Sequence[str]) -> str:
    return (
        f"its likelihood has no maximum along {', '.join(names)} (a covariate, or several together, part those with the event from "
        "the others, or nearly follow from each other); leave one out, or join rare categories"
    )


def _proportional(
    times: np.ndarray, events: np.ndarray, residuals: Any, covariance: np.ndarray
) -> tuple[np.ndarray, float]:
    """Grambsch and Therneau's test of Schoenfeld residuals against Kaplan and Meier's curve just before each event; NaN if all are at once.

    References
    ----------
    Grambsch PM, Therneau TM, Biometrika 1994;81:515.
    """
    from ...statistics.survival import kaplan_meier

    curve = kaplan_meier(times, events)
    r = residuals.sort_index()
    before = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.times, times[r.index.to_numpy()])]
    g = before - before.mean()
    if not g.any():
        return np.full(len(covariance), np.nan), float("nan")
    pull = g @ r.to_numpy()
    scale = len(g) / float((g**2).sum())
    turned = covariance @ pull
    each = stats.chi2.sf(turned**2 * scale / np.diag(covariance), 1)
    return each, float(stats.chi2.sf(float(pull @ turned) * scale, len(pull)))
