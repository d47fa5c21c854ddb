"""A score applied to another table, and how well it tells there."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, option
from ...statistics.survival import harrell_c
from .fit import halves, median_cut, patients
from .model import RiskScore
from .output import draw_groups, groups_record, write_curves
from .table import Covariate, Table

_NO_Z = 20.0  # what no z-score reaches; chosen


@dataclass(frozen=True)
class Scored:
    """Scores of the rows of a table.

    Attributes
    ----------
    score
        With the scaler and the cut that were taken.
    values
        (n,), NaN where an input is missing.
    notes
        What a reader must know.
    """

    score: RiskScore
    values: np.ndarray
    notes: list[str]

    def record(self) -> dict[str, Any]:
        """What survival.json says."""
        known = self.values[np.isfinite(self.values)]
        high = int((known > self.score.cut).sum())
        return {
            "n": known.size,
            "without_score": self.values.size - known.size,
            "cut": self.score.cut,
            "low": known.size - high,
            "high": high,
            "notes": self.notes,
        }


def scored(table: Table, score: RiskScore, scale: str | None = None) -> Scored:
    """Score the rows of a table.

    Parameters
    ----------
    scale
        Of a score that brings no scaler: ``"table"`` (means and SDs of this table) or ``"zscored"``.

    Raises
    ------
    InputError
        If a column is missing, no row can be scored, or the scaler is missing.
    """
    x = table.design([_spelt(table, c) for c in score.covariates])
    notes = table.remarks(score.covariates)
    if score.mean is None and scale == "table":
        score = score.scaled(x)
        notes.append("means and SDs are those of this table: scores of two tables cannot be compared")
    elif score.mean is None and scale == "zscored":
        score = score.unscaled()
        largest = float(np.nanmax(np.abs(x), initial=0))
        if largest > _NO_Z:
            raise InputError(
                f"the largest value is {largest:g}, which no z-score is; let the means and SDs of this table be taken "
                f"({option('--scale')} table)"
            )
    elif score.mean is not None:
        notes += score.cautions(x)
    values = score.of(x)
    gone = int(np.isnan(values).sum())
    if gone == values.size:
        raise InputError(f"no row of {table.name} has all of {', '.join(c.name for c in score.covariates)}")
    if gone:
        lacking = {c.column: int(np.isnan(v).sum()) for c, v in zip(score.covariates, x.T)}
        listed = ", ".join(f"{n} in {k}" for n, k in lacking.items() if k)
        notes.append(f"{gone} of {values.size} rows have no score: missing are {listed}")
    if score.cut is None:
        score = score.cut_at(median_cut(values[np.isfinite(values)]))
        notes.append("the cut between low and high risk is the median of this table")
    return Scored(score, values, notes)


def _spelt(table: Table, covariate: Covariate) -> Covariate:
    """The covariate with the column's name as the table spells it: ``wavelet-LHH`` is ``wavelet_LHH``."""
    same = [c for c in table.columns if c.replace("-", "_") == covariate.column.replace("-", "_")]
    return replace(covariate, column=same[0]) if covariate.column not in table.columns and len(same) == 1 else covariate


def judged(
    made: Scored, table: Table, time: str, event: str, event_value: str | None, unit: str | None, folder: Path
) -> dict[str, Any]:
    """How well a score tells where times and events are known; draws the curves of low and high risk."""
    found = patients(table, time, event, [], event_value)
    known = np.isfinite(made.values[found.rows])
    t, e, values = found.times[known], found.events[known], made.values[found.rows][known]
    c = harrell_c(t, e, values)
    record: dict[str, Any] = {
        "events": int(e.sum()),
        "concordance": c.value,
        "concordance_interval": [c.low, c.high],
        "unit": unit,
    }
    groups = halves(made.score, values, t, e)
    if groups:
        record["risk_groups"] = groups_record(groups)
        write_curves(groups, folder / "kaplan_meier.csv")
        draw_groups(groups, time, unit, folder / "kaplan_meier.png")
    return record
