"""How target volumes met the progression, over patients: shares, subgroups, arms, survival (Tran 2025)."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ...statistics.groups import mann_whitney, proportion
from ...statistics.survival import kaplan_meier, log_rank
from ..inputs import Inputs
from .forest import early
from .outcomes import Outcomes

MARGIN_MM = 20.0  # of RTOG
MISSED = 0.13  # share of the lesion at progression (Tran 2025)
PLACES = ("within T2L", "to 2 cm", "beyond 2 cm")
_SEEN_CC = 0.52  # what counts as progression beyond a distance: a ball of 10 mm, the least that RANO measures; chosen
_OF_GROUPS = ("sensitivity", "specificity", "pcc")


def place(patient: Inputs) -> dict[str, Any]:
    """Where a patient's progression lies: the farthest of `PLACES` from the T2 lesion in which .52 cc of new lesion are.

    Returns
    -------
    dict
        ``place``; ``beyond_2cm_cc``, how much lies there; and ``farthest_mm`` from the T2 lesion.
    """
    assert patient.target is not None
    new, away = patient.target & ~patient.masks["t2l"], patient.away("t2l")
    outside, beyond = (float((new & (away > mm)).sum()) * patient.grid.voxel_cc for mm in (0, MARGIN_MM))
    where = PLACES[2] if beyond >= _SEEN_CC else PLACES[1] if outside >= _SEEN_CC else PLACES[0]
    return {"place": where, "beyond_2cm_cc": beyond, "farthest_mm": float(away[new].max()) if new.any() else 0.0}


def evaluation(
    rows: Sequence[dict[str, Any]], patients: Sequence[Inputs], model: str, outcomes: Outcomes | None = None
) -> dict[str, Any]:
    """What follows from the rows of a comparison of target volumes.

    Parameters
    ----------
    rows
        Of each patient (his number under ``patient``) and target volume (``ctv``), with ``sensitivity specificity pcc normal_brain_cc``.
    model
        The target volume that the others are held against.

    Returns
    -------
    dict
        ``better_than``: in how many patients the model's PCC is higher; ``missed_more_than_13_percent``; ``normal_brain_spared_cc`` by
        the model (mean, SD); ``progression`` by place; with outcomes ``early_and_late``, ``arms`` and ``survival``.
    """
    names = list(dict.fromkeys(r["ctv"] for r in rows))
    of = lambda ctv, column: np.array([r[column] for r in rows if r["ctv"] == ctv])
    others = [n for n in names if n != model and " at " not in n]
    n = len(patients)
    found: dict[str, Any] = {
        "better_than": {o: _share(of(model, "pcc") > of(o, "pcc")) for o in others},
        "missed_more_than_13_percent": {c: _share(of(c, "sensitivity") < 1 - MISSED) for c in names},
        "normal_brain_spared_cc": {
            o: _mean_sd(of(o, "normal_brain_cc") - of(model, "normal_brain_cc")) for o in others
        },
    }
    places = [place(p)["place"] for p in patients]
    found["progression"] = {"all": _counted(places)}
    if outcomes is None:
        return found
    measures = {c: of(model, c) for c in _OF_GROUPS}
    if outcomes.pfs_days is not None and n > 1:
        before = early(outcomes.pfs_days)
        found["early_and_late"] = {"median_days": float(np.median(outcomes.pfs_days))} | _groups(
            {"early": before, "late": ~before}, measures
        )
    arms = [] if outcomes.treatment is None else sorted(set(outcomes.treatment))
    members = {a: np.array([t == a for t in outcomes.treatment or ()]) for a in arms}
    if len(arms) > 1:
        found["progression"] |= {a: _counted([p for p, m in zip(places, members[a]) if m]) for a in arms}
        found["arms"] = _groups(members, measures)
    found["survival"] = {
        kind: _survival(*times, members) for kind in ("pfs", "os") if (times := outcomes.times(kind)) is not None
    }
    return found


def _share(hits: np.ndarray) -> dict[str, Any]:
    e = proportion(int(hits.sum()), hits.size)
    return {"patients": int(hits.sum()), "of": hits.size, "share": e.value, "low": e.low, "high": e.high}


def _mean_sd(values: np.ndarray) -> list[float]:
    return [float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else float("nan")]


def _counted(places: Sequence[str]) -> dict[str, Any]:
    return {p: {"patients": places.count(p), "share": places.count(p) / len(places)} for p in PLACES}


def _groups(members: dict[str, np.ndarray], measures: dict[str, np.ndarray]) -> dict[str, Any]:
    """Mean and SD by group, and Mann and Whitney's test between each two."""
    members = {g: m for g, m in members.items() if m.any()}
    return {
        "mean_and_sd": {
            g: {"patients": int(m.sum())} | {c: _mean_sd(v[m]) for c, v in measures.items()} for g, m in members.items()
        },
        "p_mann_whitney": {
            f"{c}, {one} and {two}": mann_whitney(v[members[one]], v[members[two]])
            for c, v in measures.items()
            for one, two in combinations(members, 2)
        },
    }


def _survival(days: np.ndarray, events: np.ndarray, members: dict[str, np.ndarray]) -> dict[str, Any]:
    """Medians with intervals, of all and by arm, and log-rank tests of all arms and of each two."""
    medians, tests = {}, {}
    for name, m in {"all": np.ones(days.size, bool), **members}.items():
        e = kaplan_meier(days[m], events[m]).median
        medians[name] = {"patients": int(m.sum()), "median_days": e.value, "low": e.low, "high": e.high}
    if len(members) > 1:
        label = np.array([next(a for a, m in members.items() if m[i]) for i in range(days.size)])
        tests["all arms"] = log_rank(days, events, label)
        for one, two in combinations(members, 2):
            m = members[one] | members[two]
            tests[f"{one} and {two}"] = log_rank(days[m], events[m], label[m])
    return {"median": medians, "p_log_rank": tests}
