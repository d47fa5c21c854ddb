"""From a table to patients: who is asked about, what the outcome is, and features without a gap."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, option
from ..survival.table import Table
from .settings import FEATURES, RECURRENT, PatternSettings

_SHOWN = 3  # columns in a sentence


@dataclass(frozen=True)
class Patients:
    """Rows that a model can be trained on.

    Attributes
    ----------
    rows
        (n,) places in the table.
    names
        Of the features.
    x
        (n, p) features, all known.
    y
        (n,) boolean: whether the patient has the outcome.
    said
        Who they are, in a few words.
    """

    rows: np.ndarray
    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    said: str


def patients(table: Table, outcome: str, columns: Sequence[str], settings: PatternSettings) -> Patients:
    """The rows of a table that a model is trained on; what is left out is warned of.

    Parameters
    ----------
    outcome
        Column that says whether a patient has it.
    columns
        Names of features, and patterns such as ``CE_*``.

    Raises
    ------
    InputError
        If a column is missing or holds no numbers, or it cannot be told who recurred.
    """
    names = tuple(table.matching(columns or FEATURES))
    if outcome in names or set(settings.recurrence) & set(names):
        raise InputError(
            f"{outcome if outcome in names else settings.recurrence[0]} is an outcome and cannot be a feature"
        )
    y = table.events(outcome, settings.positive)
    wanted = np.isfinite(y)
    said = "all patients"
    if settings.patients == RECURRENT:
        wanted &= _recurred(table, settings)
        said = "patients who recurred"
    x = features(table, names)
    known = np.isfinite(x).all(axis=1)
    if (wanted & ~known).any():
        lacking = [n for n, v in zip(names, x[wanted].T) if np.isnan(v).any()]
        more = f" and {len(lacking) - _SHOWN} more columns" if len(lacking) > _SHOWN else ""
        warnings.warn(
            f"{int((wanted & ~known).sum())} of {int(wanted.sum())} rows are left out: a feature is missing "
            f"({', '.join(lacking[:_SHOWN])}{more})",
            stacklevel=2,
        )
    rows = np.flatnonzero(wanted & known)
    if rows.size < len(table):
        said += f" ({rows.size} of {len(table)} rows)"
    moving = np.ptp(x[rows], axis=0) > 0 if rows.size else np.zeros(len(names), bool)
    if not moving.all() and rows.size:
        warnings.warn(f"{int((~moving).sum())} features have one value in all rows and are left out", stacklevel=2)
    kept = tuple(n for n, m in zip(names, moving) if m)
    return Patients(rows, kept, x[rows][:, moving], y[rows].astype(bool), said)


def _recurred(table: Table, settings: PatternSettings) -> np.ndarray:
    missing = [c for c in settings.recurrence if c not in table.columns]
    if missing:
        raise InputError(
            f"{table.name} has no column {missing[0]!r}, so it cannot be told who recurred; name the columns that say so "
            f"({option('--recurrence')}), or take all rows ({option('--patients')} all)"
        )
    return np.nan_to_num([table.events(c) for c in settings.recurrence]).any(axis=0)


def features(table: Table, names: Sequence[str]) -> np.ndarray:
    """Features (n, p) of a table by name, NaN in gaps; ``wavelet-LHH`` is ``wavelet_LHH``.

    Raises
    ------
    InputError
        If columns are missing, or hold no numbers.
    """
    spelt = {c.replace("-", "_"): c for c in table.columns}
    found = [n if n in table.columns else spelt.get(n.replace("-", "_")) for n in names]
    gone = [n for n, f in zip(names, found) if f is None]
    if gone:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        raise InputError(
            f"{table.name} lacks {len(gone)} of {len(names)} features: {', '.join(gone[:_SHOWN])}{more}; radiomic features are written by "
            "`gliosuite radiomics`"
        )
    return np.stack([table.numbers(f) for f in found if f is not None], axis=1)
