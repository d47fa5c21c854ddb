"""Settings of survival analysis. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ...errors import InputError, option
from ...settings import check, setting

UNITS = ("days", "weeks", "months", "years")
PUBLISHED = ("shim2021",)  # scores of papers, by name
SHIPPED = "pattern-risk"  # the score that travels with the library, fitted to simulated patients


@dataclass(frozen=True)
class SurvivalSettings:
    """How a table is analysed.

    Parameters
    ----------
    event_value
        The cell of the event's column that means the event; None: it is told from words.
    categories
        Columns of numbers that stand for categories.
    references
        Category that the others of its column are compared with, by column.
    unit
        Of the times; None: what the column's name says.
    group
        A column of categories whose curves are drawn too.
    without
        Columns, each of which is left out of a model of its own.
    lasso, penalty, folds, seed
        Whether covariates are chosen by LASSO; which penalty; how it is cross-validated.
    """

    event_value: str | None = setting(
        None,
        "the cell of the event column that means the event (default: told from words such as 1, yes, dead)",
        metavar="TEXT",
    )
    categories: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    unit: str | None = setting(
        None, "unit of the times, for axes and sentences (default: what the column's name says)", choices=UNITS
    )
    group: str | None = setting(None, "also draw the curves of the categories of this column", metavar="COL")
    without: tuple[str, ...] = ()
    lasso: bool = setting(
        False,
        "choose covariates by Cox-LASSO and make a score of them, as glmnet does: for many covariates, such as radiomic features",
    )
    penalty: str = setting(
        "min",
        "min: the penalty of the smallest cross-validated deviance (lambda.min); 1se: the largest within one standard error of it "
        "(lambda.1se), of fewer covariates",
        title="the penalty",
        choices=("min", "1se"),
    )
    folds: int = setting(10, "folds of the cross-validation", low=3, high=100, needed="3 to 100 are needed")
    seed: int = setting(1, "seed of the folds", low=0, needed="0 or more is needed")

    def __post_init__(self) -> None:
        check(self, "penalty", "folds", "seed")
        if self.unit is not None:
            check(self, "unit")
        if self.lasso and self.without:
            raise InputError(
                f"{option('--without')} is for Cox's model; with {option('--lasso')} the covariates are chosen by the data"
            )


def unit_of(column: str) -> str | None:
    """The unit that a column's name says, e.g. of ``os_days``."""
    return next(
        (u for u in UNITS if u[:-1] in column.casefold() or (u == "months" and "mths" in column.casefold())), None
    )
