"""From a table to a model: rows that can be used, Cox's model or a LASSO, the score, groups of risk, and what a reader must know."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, option
from ...statistics.survival import KaplanMeier, kaplan_meier
from ...steps import Progress, silent
from .cox import EVENTS_EACH, Cox, fit_cox
from .lasso import Choice, choose, folds_of
from .model import RiskScore
from .settings import SurvivalSettings
from .table import Covariate, Table

_PROPORTIONAL = 0.05  # P of the test below which hazards are said not to be proportional
_SHOWN = 6  # columns in a sentence
_MOST_GROUPS = 6  # curves in a picture; chosen


@dataclass(frozen=True)
class Patients:
    """Rows that can be analysed.

    Attributes
    ----------
    table
        These rows alone.
    times, events
        (n,).
    rows
        (n,) their place in the table that was given.
    left_out
        How many rows were left out for what; a row may lack more than one thing.
    """

    table: Table
    times: np.ndarray
    events: np.ndarray
    rows: np.ndarray
    left_out: dict[str, int]


@dataclass(frozen=True)
class Group:
    """Patients whose curve is drawn together."""

    name: str
    times: np.ndarray
    events: np.ndarray

    def curve(self) -> KaplanMeier:
        """Kaplan and Meier's."""
        return kaplan_meier(self.times, self.events)


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes
    ----------
    patients, covariates
        What it was fitted to.
    cox
        None with LASSO.
    without
        Models without a column, by its name.
    choice
        The LASSO's; None without.
    score
        None where the LASSO chose nothing.
    values
        (n,) the score of the patients; empty where there is none.
    groups
        Of risk: low, high; empty where the score does not part the patients.
    by_category
        Of `SurvivalSettings.group`.
    notes
        What a reader must know.
    """

    patients: Patients
    covariates: tuple[Covariate, ...]
    cox: Cox | None
    without: dict[str, Cox]
    choice: Choice | None
    score: RiskScore | None
    values: np.ndarray
    groups: tuple[Group, ...]
    by_category: tuple[Group, ...]
    notes: list[str]


def patients(table: Table, time: str, event: str, columns: Sequence[str], event_value: str | None = None) -> Patients:
    """The rows that have a time above 0, a known end and no gap in `columns`; what is left out is warned of.

    Raises
    ------
    InputError
        If a time is negative, fewer than two rows are left, or none of them has the event.
    """
    if time == event or {time, event} & set(columns):
        raise InputError("time, event and covariates must be different columns")
    t, e = table.numbers(time), table.events(event, event_value)
    negative = np.flatnonzero(t < 0)
    if negative.size:
        raise InputError(
            f"{table.name}: {time} is negative ({t[negative[0]]:g}) in {table.where(list(negative))}; correct it, or empty the cell to "
            "leave the row out"
        )
    lacks = {
        f"{c} missing": np.array([not cell for cell in table.cells(c)]) for c in dict.fromkeys((time, event, *columns))
    }
    lacks[f"{time} 0"] = t == 0
    left_out = {what: int(rows.sum()) for what, rows in lacks.items() if rows.any()}
    rows = np.flatnonzero(~np.any(list(lacks.values()), axis=0))
    listed = ", ".join(f"{what} in {n}" for what, n in list(left_out.items())[:_SHOWN])
    listed += f" and {len(left_out) - _SHOWN} more columns" if len(left_out) > _SHOWN else ""
    if rows.size < 2:
        why = f" ({listed})" if listed else ""
        raise InputError(
            f"{rows.size} of {len(table)} rows of {table.name} have all that is needed; 2 at least are{why}"
        )
    if left_out:
        warnings.warn(f"{len(table) - rows.size} of {len(table)} rows are left out: {listed}", stacklevel=2)
    if not e[rows].any():
        raise InputError(f"{table.name}: none of {rows.size} rows has the event ({event}), so there is nothing to fit")
    return Patients(table.kept(rows), t[rows], e[rows].astype(bool), rows, left_out)


def fit(
    table: Table,
    time: str,
    event: str,
    columns: Sequence[str],
    settings: SurvivalSettings | None = None,
    progress: Progress = silent,
) -> Fit:
    """Fit a model to a table.

    Parameters
    ----------
    columns
        Of the covariates; patterns such as ``CE_*`` stand for all that match.

    Raises
    ------
    InputError
        See `patients`, `Table.covariates`, `fit_cox`, `lasso.choose`.
    """
    settings = settings or SurvivalSettings()
    columns = table.matching(columns)
    found = patients(table, time, event, columns, settings.event_value)
    covariates = tuple(found.table.covariates(columns, settings.categories, dict(settings.references)))
    x, t, e = found.table.design(covariates), found.times, found.events
    notes = table.remarks(covariates)
    cox, choice, without = None, None, {}
    if settings.lasso:
        choice = choose(t, e, x, folds_of(e, settings.folds, settings.seed), progress)
        score = _chosen(choice, settings.penalty, covariates, x)
    else:
        if EVENTS_EACH * len(covariates) > e.sum():
            notes.append(
                f"{int(e.sum())} events for {len(covariates)} covariates are fewer than {EVENTS_EACH} each: coefficients and intervals are "
                "unreliable"
            )
        cox = fit_cox(t, e, x, [c.name for c in covariates])
        without = {c: _without(c, covariates, t, e, x) for c in settings.without}
        score = RiskScore(covariates, cox.coef * x.std(axis=0), x.mean(axis=0), x.std(axis=0), None)
        failing = [n for n, p in zip(cox.names, cox.proportional[0]) if p < _PROPORTIONAL]
        if failing:
            notes.append(
                f"hazards are not proportional for {', '.join(failing)} (Schoenfeld residuals, P < {_PROPORTIONAL:g}): such a hazard ratio "
                "is an average over time"
            )
    values = score.of(found.table.design(score.covariates)) if score else np.empty(0)
    groups: tuple[Group, ...] = ()
    if score and np.ptp(values) > 0:
        score = score.cut_at(median_cut(values))
        groups = halves(score, values, t, e)
    by_category = categories(found, settings.group) if settings.group else ()
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return Fit(found, covariates, cox, without, choice, score, values, groups, by_category, notes)


def _without(column: str, covariates: Sequence[Covariate], t: np.ndarray, e: np.ndarray, x: np.ndarray) -> Cox:
    kept = [j for j, c in enumerate(covariates) if c.column != column]
    if len(kept) == len(covariates):
        raise InputError(f"{column!r} is not among the covariates ({option('--without')})")
    if not kept:
        raise InputError(f"without {column!r} no covariate is left ({option('--without')})")
    return fit_cox(t, e, x[:, kept], [covariates[j].name for j in kept])


def _chosen(choice: Choice, penalty: str, covariates: Sequence[Covariate], x: np.ndarray) -> RiskScore | None:
    """The score of the covariates that the LASSO left; None where there is none."""
    b = choice.path.coefficients[choice.at(penalty)]
    kept = np.flatnonzero(b)
    mean, sd = x[:, kept].mean(axis=0), x[:, kept].std(axis=0)
    return RiskScore(tuple(covariates[int(j)] for j in kept), b[kept] * sd, mean, sd, None) if kept.size else None


def median_cut(values: np.ndarray) -> float:
    """The median of scores (n,), or the largest value below it where no score is above it."""
    cut = float(np.median(values))
    return cut if (values > cut).any() else float(values[values < cut].max())


def halves(score: RiskScore, values: np.ndarray, times: np.ndarray, events: np.ndarray) -> tuple[Group, ...]:
    """Patients of low and high risk; empty where all are of one."""
    high = values > score.cut
    if high.all() or not high.any():
        return ()
    return tuple(Group(n, times[w], events[w]) for n, w in (("low risk", ~high), ("high risk", high)))


def categories(found: Patients, column: str) -> tuple[Group, ...]:
    """Patients by the categories of a column.

    Raises
    ------
    InputError
        If it has too few or too many for a picture.
    """
    cells = np.array(found.table.categories(column))
    names = sorted({str(c) for c in cells if c})
    if not 2 <= len(names) <= _MOST_GROUPS:
        raise InputError(
            f"{found.table.name}: {column} has {len(names)} different values; curves of 2 to {_MOST_GROUPS} can be drawn "
            f"({option('--group')})"
        )
    return tuple(Group(f"{column} {n}", found.times[cells == n], found.events[cells == n]) for n in names)
