"""What a fit and a scored table leave: survival.json, tables, pictures, the model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_csv, write_json
from ...statistics.agreement import Estimate
from ...statistics.survival import harrell_c, kaplan_meier, log_rank
from ...training import write_model
from ..drawing import drawn
from .cox import Cox
from .fit import Fit, Group
from .model import RiskScore, card
from .pictures import draw_choice, draw_curves, draw_forest
from .settings import SurvivalSettings, unit_of

RECORD = "survival.json"


def record_of(fit: Fit, time: str, event: str, settings: SurvivalSettings) -> dict[str, Any]:
    """What survival.json says of a fit."""
    found = fit.patients
    median = kaplan_meier(found.times, found.events).median
    record: dict[str, Any] = {
        "n": found.times.size,
        "events": int(found.events.sum()),
        "left_out": found.left_out,
        "time": time,
        "event": event,
        "unit": settings.unit or unit_of(time),
        "median": median.value,
        "median_interval": _ends(median),
        "references": {c.column: c.reference for c in fit.covariates if c.reference is not None},
    }
    if fit.cox is not None:
        record |= _of_model(fit.cox) | {"ties": "efron", "log_likelihood": fit.cox.log_likelihood}
        record["proportional_hazards_p"] = fit.cox.proportional[1]
        record["without"] = {n: _of_model(c) for n, c in fit.without.items()}
    elif fit.choice is not None:
        record |= _of_lasso(fit, settings)
    if fit.groups:
        assert fit.score is not None
        record["risk_groups"] = {"cut": fit.score.cut, **groups_record(fit.groups)}
    if fit.by_category:
        record["groups"] = {"column": settings.group, **groups_record(fit.by_category)}
    return record | {"notes": fit.notes}


def _of_model(cox: Cox) -> dict[str, Any]:
    rows = zip(cox.names, cox.coef, cox.se, cox.ratio, cox.p, cox.proportional[0])
    return {
        "covariates": {
            n: {"coef": b, "se": s, "hr": r.value, "hr_interval": _ends(r), "p": p, "proportional_hazards_p": h}
            for n, b, s, r, p, h in rows
        },
        "concordance": cox.concordance.value,
        "concordance_interval": _ends(cox.concordance),
    }


def _of_lasso(fit: Fit, settings: SurvivalSettings) -> dict[str, Any]:
    choice, found, score = fit.choice, fit.patients, fit.score
    assert choice is not None
    at = choice.at(settings.penalty)
    counts = (choice.path.coefficients != 0).sum(axis=1)
    record: dict[str, Any] = {
        "covariates": {},
        "concordance": None,
        "concordance_interval": None,
        "lasso": {
            "penalty": settings.penalty,
            "lambda": choice.path.penalties[at],
            "lambda_min": choice.path.penalties[choice.smallest],
            "lambda_1se": choice.path.penalties[choice.sparsest],
            "offered": len(fit.covariates),
            "chosen": int(counts[at]),
            "chosen_at_min": int(counts[choice.smallest]),
            "chosen_at_1se": int(counts[choice.sparsest]),
            "folds": settings.folds,
            "seed": settings.seed,
            "ties": "breslow",
        },
    }
    if score is None:
        record["losses"] = [
            f"the LASSO chose none of {len(fit.covariates)} covariates at its penalty, so there is no score: the table does not show that "
            "one of them tells who has the event earlier"
        ]
        return record
    assert score.sd is not None
    raw = score.coef / score.sd
    # Penalised coefficients have no standard error or P value.
    record["covariates"] = {
        c.name: {"coef": b, "se": None, "hr": np.exp(b), "p": None, "coef_per_sd": z}
        for c, b, z in zip(score.covariates, raw, score.coef)
    }
    own = harrell_c(found.times, found.events, fit.values)
    held_out = harrell_c(found.times, found.events, choice.held_out[:, at], within=choice.fold)
    return record | {
        "concordance": own.value,
        "concordance_interval": _ends(own),
        "concordance_held_out": held_out.value,
    }


def groups_record(groups: Sequence[Group]) -> dict[str, Any]:
    """Of each group its number, events and median, and the log-rank test of all."""
    medians = [g.curve().median for g in groups]
    return {
        "log_rank_p": tested(groups),
        "groups": {
            g.name: {"n": g.times.size, "events": int(g.events.sum()), "median": m.value, "median_interval": _ends(m)}
            for g, m in zip(groups, medians)
        },
    }


def tested(groups: Sequence[Group]) -> float:
    """P value of the log-rank test of groups."""
    return log_rank(
        np.concatenate([g.times for g in groups]),
        np.concatenate([g.events for g in groups]),
        np.repeat(range(len(groups)), [g.times.size for g in groups]),
    )


def write_fit(fit: Fit, record: dict[str, Any], command: str, folder: Path) -> None:
    """Write all of a fit but its provenance."""
    write_json(folder / RECORD, {n: v for n, v in record.items() if n != "losses"})
    _write_coefficients(fit, folder / "coefficients.csv")
    groups = fit.groups or (Group("all", fit.patients.times, fit.patients.events),)
    write_curves((*groups, *fit.by_category), folder / "kaplan_meier.csv")
    unit = record["unit"]
    if fit.groups:
        draw_groups(fit.groups, record["time"], unit, folder / "kaplan_meier.png")
    if fit.by_category:
        draw_groups(fit.by_category, record["time"], unit, folder / "kaplan_meier_group.png")
    if fit.cox is not None:
        forests = {"": fit.cox, **{f"_without_{_plain(n)}": c for n, c in fit.without.items()}}
        for end, cox in forests.items():
            title = f"Cox's model{end.replace('_', ' ')}, n {record['n']}, events {record['events']}, C {cox.concordance.value:.2f}"
            titles = {c.name: c.title for c in fit.covariates}
            ratios = {titles[n]: (r, float(p)) for n, r, p in zip(cox.names, cox.ratio, cox.p)}
            drawn(partial(draw_forest, ratios, title), folder / f"forest{end}.png")
    if fit.choice is not None:
        choice = fit.choice
        counts = (choice.path.coefficients != 0).sum(axis=1)
        rows = zip(choice.path.penalties, choice.deviance, choice.sd, counts)
        write_csv(folder / "lasso.csv", ["lambda", "deviance", "sd", "chosen"], rows)
        drawn(lambda path: draw_choice(choice, path), folder / "lasso.png")
    if fit.score is not None and fit.score.cut is not None:
        table = fit.patients.table
        kept = (
            "n",
            "events",
            "time",
            "event",
            "unit",
            "concordance",
            "concordance_interval",
            "concordance_held_out",
            "lasso",
        )
        how = "Cox's model, ties by Efron" if fit.cox is not None else "Cox-LASSO, ties by Breslow, as glmnet"
        score = fit.score.told(
            {n: record[n] for n in kept if n in record}
            | {"how": how, "command": command, "simulated": table.is_simulated()}
        )
        write_model(folder / "model", score.model(), card(score))


def _write_coefficients(fit: Fit, path: Path) -> None:
    if fit.cox is not None:
        cox = fit.cox
        head = ["model", "covariate", "coef", "se", "hr", "hr_low", "hr_high", "p", "proportional_hazards_p"]
        models = {"all": cox, **{f"without {n}": c for n, c in fit.without.items()}}
        rows = [
            [name, n, b, s, r.value, r.low, r.high, p, h]
            for name, m in models.items()
            for n, b, s, r, p, h in zip(m.names, m.coef, m.se, m.ratio, m.p, m.proportional[0])
        ]
        write_csv(path, head, rows)
    elif fit.choice is not None:
        path_of = fit.choice.path.coefficients
        head = ["covariate", "coef_min", "coef_1se"]
        write_csv(
            path,
            head,
            zip([c.name for c in fit.covariates], path_of[fit.choice.smallest], path_of[fit.choice.sparsest]),
        )


def write_curves(groups: Sequence[Group], path: Path) -> None:
    """Kaplan and Meier's curves as a table."""
    rows = []
    for group in groups:
        c = group.curve()
        rows += [[group.name, *row] for row in zip(c.times, c.at_risk, c.events, c.survival, c.low, c.high)]
    write_csv(path, ["group", "time", "at_risk", "events", "survival", "low", "high"], rows)


def draw_groups(groups: Sequence[Group], time: str, unit: str | None, path: Path) -> None:
    """Draw curves, with the axis in the unit of the times."""
    x = f"time ({unit})" if unit else f"{time} (in the table's unit)"
    drawn(lambda p: draw_curves(groups, tested(groups), x, unit or "", p), path)


def _plain(name: str) -> str:
    """A column's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)


def _ends(estimate: Estimate) -> list[float]:
    return [estimate.low, estimate.high]


def write_scored(score: RiskScore, cells: dict[str, list[str]], values: np.ndarray, folder: Path) -> None:
    """The table with a score and a group of risk for each row; empty where an input is missing."""
    groups = ["" if np.isnan(v) else "high" if v > score.cut else "low" for v in values]
    names = [n for n in cells if n not in ("risk_score", "risk_group")]
    rows = zip(*(cells[n] for n in names), ["" if np.isnan(v) else f"{v:.6g}" for v in values], groups)
    write_csv(folder / "scored.csv", [*names, "risk_score", "risk_group"], rows)
