"""What became of patients, from a table beside their results: treatment, time to progression, survival."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..survival.table import read_table

_ID = ("id", "case", "case_id", "patient", "patient_id")


@dataclass(frozen=True)
class Outcomes:
    """Of patients in one order; each attribute is None where it is not known of all.

    Attributes
    ----------
    treatment
        (n,) texts: what patients are parted into arms by.
    pfs_days, pfs_event, os_days, os_event
        (n,) times to progression and death, in days, and whether they came (else the last follow-up); events are taken for come where the
        table says nothing of them.
    """

    treatment: list[str] | None = None
    pfs_days: np.ndarray | None = None
    pfs_event: np.ndarray | None = None
    os_days: np.ndarray | None = None
    os_event: np.ndarray | None = None

    def times(self, kind: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Days and events of ``pfs`` or ``os``; None where not known."""
        days, event = getattr(self, f"{kind}_days"), getattr(self, f"{kind}_event")
        return None if days is None else (days, np.ones(days.size, bool) if event is None else event)


def read_outcomes(path: str | Path, names: Sequence[str]) -> Outcomes:
    """Outcomes of the patients of these names from a CSV table, such as ``outcomes.csv`` of ``gliosuite simulate``.

    Parameters
    ----------
    names
        Of the patients' results folders, as the table's column ``id`` (or case, patient) has them. Other columns bear the names of
        `Outcomes`; a column with a gap for one of these patients counts as unknown.

    Raises
    ------
    InputError
        If the table has no such column, or a patient stands in no row or in two.
    """
    table = read_table(path)
    column = next((c for c in table.columns if c.casefold() in _ID), None)
    if column is None:
        raise InputError(f"{table.name} has no column id, which names the patients as their results folders are named")
    ids = table.cells(column)
    for name in names:
        if ids.count(name) != 1:
            raise InputError(f"{table.name} has {ids.count(name)} rows whose {column} is {name!r}; one is needed")
    own = table.kept(np.array([ids.index(n) for n in names]))
    known = lambda c: c in own.columns and all(own.cells(c))
    days = {c: own.numbers(c) for c in ("pfs_days", "os_days") if known(c)}
    for c, values in days.items():
        if (values < 0).any():
            raise InputError(f"{table.name}: {c} is below 0 in {own.where(np.flatnonzero(values < 0).tolist())}")
    events = {c: own.events(c).astype(bool) for c in ("pfs_event", "os_event") if known(c)}
    return Outcomes(own.categories("treatment") if known("treatment") else None, **days, **events)
