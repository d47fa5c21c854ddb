"""Habitats of a cohort: a row a patient, ADC by pattern, EGFR, and survival with patterns beside clinical predictors.

After Yun et al. 2023: Cox's models of volumes and shares, C by cross-validation, and the cut of one pattern's volume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...statistics.agreement import Estimate, pearson
from ...statistics.groups import anova, mancova
from ...statistics.survival import Cut, best_cut, harrell_c, log_rank
from ..survival.cox import fit_cox
from ..survival.fit import Patients, patients
from ..survival.lasso import folds_of
from ..survival.table import Table
from .curves import REGIONS
from .model import Pattern
from .output import names_of

_UNITS = {
    "_cc": 10.0,
    "_adc": 1e-3,
}  # of hazard ratios, by the end of a column; 10 cc are Yun's unit, 10,000 voxels of 1 mm
_LEAST = 3  # patients of a comparison
_DRAWS = 200  # of the interval of the gain in C; chosen, two models are fitted in each


@dataclass(frozen=True)
class Survival:
    """How well patterns tell who has the event earlier.

    Attributes
    ----------
    univariable
        By column: the Cox model of it alone (``hr``, its interval, ``p``), or why there is none.
    combined
        The Cox model of clinical predictors and patterns, likewise by covariate.
    concordance
        Harrell's C, each patient's risk by the model of the folds that it is not in: ``clinical``, ``patterns``, ``combined``. Pairs of
        all folds count: within folds a tenth of them would be left.
    gain
        C of combined less that of clinical, paired; in its interval the models are fitted anew.
    """

    univariable: dict[str, Any]
    combined: dict[str, Any]
    concordance: dict[str, Estimate]
    gain: Estimate | None


def row_of(record: Mapping[str, Any]) -> dict[str, float | str]:
    """The columns of one patient, of what habitats.json says: volume, share and ADC of each pattern, and mean ADC of CEL and NEL."""
    row: dict[str, float | str] = {}
    for p in record["patterns"]:
        adc = p.get("adc_mm2_s")
        row |= {f"{p['pattern']}_cc": p["cc"], f"{p['pattern']}_percent": "" if p["percent"] is None else p["percent"]}
        row[f"{p['pattern']}_adc"] = "" if adc is None else adc
    for region in REGIONS:
        known = [
            (p["voxels"], p["adc_mm2_s"]) for p in record["patterns"] if p["region"] == region and p.get("adc_mm2_s")
        ]
        row[f"{region}_adc"] = float(np.average([a for _, a in known], weights=[n for n, _ in known])) if known else ""
    return row


def columns_of(patterns: Sequence[Pattern], region: str, quantity: str) -> list[str]:
    """Columns of the patterns of a region: ``cc``, ``percent`` or ``adc``."""
    return [f"{n}_{quantity}" for v, n in names_of(tuple(patterns)).items() if patterns[v - 1].region == region]


def adc_by_pattern(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """ADC of patterns, each patient's mean: the analysis of variance, and how ADC goes with what curves show, CEL and NEL apart."""
    found: dict[str, Any] = {}
    for region in REGIONS:
        rows = [p for r in records for p in r["patterns"] if p["region"] == region and p.get("adc_mm2_s")]
        groups = {
            n: [p["adc_mm2_s"] for p in rows if p["pattern"] == n] for n in dict.fromkeys(p["pattern"] for p in rows)
        }
        compared = [g for g in groups.values() if len(g) >= _LEAST]
        entry: dict[str, Any] = {n: {"patients": len(g), "mean": float(np.mean(g))} for n, g in groups.items()}
        out: dict[str, Any] = {"patterns": entry, "anova_p": anova(*compared) if len(compared) > 1 else None}
        for name in ("baseline", "drop", "drop_speed_per_s"):
            pairs = [(p["adc_mm2_s"], p[name]) for p in rows if p.get(name) is not None]
            if len(pairs) > _LEAST:
                r, p_value = pearson(*np.array(pairs).T)
                out[f"correlation_with_{name}"] = {"r": r.value, "interval": [r.low, r.high], "p": p_value}
        found[region] = out
    return found


def shares_by_group(table: Table, group: str, patterns: Sequence[Pattern]) -> dict[str, float | None]:
    """P values of Pillai's trace: whether groups of a column differ in the shares of the patterns, CEL and NEL apart.

    Shares add up to 100 %, so that the last pattern's is left out. None where there are too few patients.
    """
    found: dict[str, float | None] = {}
    labels = np.array(table.cells(group))
    for region in REGIONS:
        columns = columns_of(patterns, region, "percent")[:-1]
        values = np.column_stack([table.numbers(c) for c in columns]) if columns else np.empty((len(table), 0))
        known = (labels != "") & np.isfinite(values).all(axis=1)
        try:
            found[region] = mancova(values[known], labels[known].tolist()) if columns else None
        except (InputError, np.linalg.LinAlgError):
            found[region] = None
    return found


def survival(
    table: Table,
    time: str,
    event: str,
    clinical: Sequence[str],
    volumes: Sequence[str],
    more: Sequence[str],
    folds: int,
    seed: int,
) -> Survival:
    """Cox's models of patterns and clinical predictors.

    Parameters
    ----------
    clinical, volumes
        Columns of the models that are compared: clinical predictors, volumes of patterns.
    more
        Columns that are looked at one by one besides.

    Raises
    ------
    InputError
        As `survival.fit.patients` and `survival.cox.fit_cox` of the combined model.
    """
    found = patients(table, time, event, [*clinical, *volumes])
    x = {"clinical": _design(found, clinical), "patterns": _design(found, volumes)}
    x["combined"] = x["clinical"][0] + x["patterns"][0], np.hstack([x["clinical"][1], x["patterns"][1]])
    single: dict[str, Any] = {}
    for column in (*volumes, *more):
        try:
            own = patients(table, time, event, [column])
            names, values = _design(own, [column])
            single |= _said(fit_cox(own.times, own.events, values, names))
        except InputError as error:
            single[column] = {"why": str(error)}
    names, values = x["combined"]
    combined = _said(fit_cox(found.times, found.events, values, names))
    fold = folds_of(found.events, folds, seed)
    risks = {n: _held_out(found, v, fold) for n, (_, v) in x.items() if v.shape[1]}
    c = {n: harrell_c(found.times, found.events, r) for n, r in risks.items()}
    gain = _gain_of(found, x["combined"][1], x["clinical"][1], risks, seed) if "clinical" in risks else None
    return Survival(single, combined, c, gain)


def _design(found: Patients, columns: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names and values (n, p) of covariates; volumes per 10 cc, ADC per 10⁻³ mm2/s."""
    if not columns:
        return [], np.empty((len(found.table), 0))
    covariates = found.table.covariates(list(columns), (), {})
    values = found.table.design(covariates)
    unit = np.array([next((u for end, u in _UNITS.items() if c.column.endswith(end)), 1.0) for c in covariates])
    return [c.name for c in covariates], values / unit


def _said(cox: Any) -> dict[str, Any]:
    return {
        n: {"hr": r.value, "interval": [r.low, r.high], "p": float(p)} for n, r, p in zip(cox.names, cox.ratio, cox.p)
    }


def _held_out(found: Patients, x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Risk (n,) of each patient by the model of the other folds."""
    risk = np.zeros(len(x))
    for k in np.unique(fold):
        own = np.flatnonzero(fold == k)
        risk[own] = _risk(found, x, np.flatnonzero(fold != k), own)
    return risk


def _risk(found: Patients, x: np.ndarray, shown: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Risk (k,) of the patients with the indices `asked` by Cox's model of those with the indices `shown`."""
    varies = np.ptp(x[shown], axis=0) > 0
    cox = fit_cox(
        found.times[shown], found.events[shown], x[shown][:, varies], [str(i) for i in np.flatnonzero(varies)]
    )
    return (x[asked][:, varies] - x[shown][:, varies].mean(axis=0)) @ cox.coef


def _gain_of(
    found: Patients, combined: np.ndarray, clinical: np.ndarray, risks: Mapping[str, np.ndarray], seed: int
) -> Estimate:
    """C of combined less clinical, of patients whom the models had not seen, with an interval that knows of models and patients.

    Both models are fitted anew on each draw of patients with replacement and asked about those who were not drawn, a third of all. Cox's
    model pays for predictors that tell nothing with a C that is lower on others: over patients alone, the interval would leave 0 out.
    """
    rng, n = np.random.default_rng(seed), len(found.times)
    drawn = []
    for _ in range(_DRAWS):
        shown = rng.integers(0, n, n)
        asked = np.setdiff1d(np.arange(n), shown)
        try:
            first, second = (_risk(found, x, shown, asked) for x in (combined, clinical))
            drawn.append(_gain(found.times[asked], found.events[asked], first, second))
        except InputError:  # too few events in a draw of few patients
            continue
    value = _gain(found.times, found.events, risks["combined"], risks["clinical"])
    low, high = np.nanquantile(drawn, (0.025, 0.975)) if drawn else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def _gain(t: np.ndarray, e: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    return harrell_c(t, e, first).value - harrell_c(t, e, second).value


def cut_of(table: Table, time: str, event: str, column: str, seed: int) -> tuple[Cut, Patients, float]:
    """The cut of a column that parts survival most, the patients, and the log-rank test's P value as if it had been given beforehand.

    Raises
    ------
    InputError
        As `patients` and `best_cut`.
    """
    found = patients(table, time, event, [column])
    cut = best_cut(found.table.numbers(column), found.times, found.events, seed)
    return cut, found, log_rank(found.times, found.events, found.table.numbers(column) > cut.value)
