"""Results of pattern models and survival in a folder, as rows of a table and pictures: what a panel shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import read_json
from ..survival.output import RECORD as SURVIVAL
from .output import RECORD

_DEEP = 3  # folders below the one that is asked for
_RISK = "risk.json"  # of a run
_TITLES = {
    "roc": "ROC",
    "calibration": "calibration",
    "confusion": "at the threshold",
    "summary": "Shapley values, summary",
    "force": "Shapley values, patient",
    "decision": "Shapley values, decisions",
    "kaplan_meier": "Kaplan-Meier",
    "forest": "hazard ratios",
    "lasso": "choice of the penalty",
}


@dataclass(frozen=True)
class Shown:
    """What there is to see.

    Attributes
    ----------
    rows
        What, its value, and its interval or what it is compared with.
    pictures
        PNG files by title.
    notes
        What a reader must know.
    """

    rows: tuple[tuple[str, str, str], ...]
    pictures: dict[str, Path]
    notes: tuple[str, ...]


def read_shown(folder: str | Path) -> Shown:
    """Read what `gliosuite run`, `pattern` and `survival` left in a folder or up to three below it.

    Raises
    ------
    InputError
        If there is nothing of the kind.
    """
    folder = Path(folder)
    named = {RECORD: _of_pattern, SURVIVAL: _of_survival, _RISK: _of_risk}
    found = [p for p in sorted(folder.rglob("*.json")) if p.name in named and len(p.relative_to(folder).parts) <= _DEEP]
    if not found:
        raise InputError(
            f"{folder} holds no {RECORD} and no {SURVIVAL}; a folder of `gliosuite run`, `gliosuite pattern` or `gliosuite survival` is "
            "needed"
        )
    rows: list[tuple[str, str, str]] = []
    pictures: dict[str, Path] = {}
    notes: list[str] = []
    for path in found:
        record = read_json(path)
        rows += named[path.name](record)
        notes += [n for n in record.get("notes", []) if n not in notes]
        where = path.parent.relative_to(folder).as_posix()
        for picture in sorted(path.parent.glob("*.png")):
            kind = next((k for k in _TITLES if picture.stem.startswith(k)), "")
            title = _TITLES.get(kind, picture.stem) + picture.stem.removeprefix(kind).replace("_", " ")
            pictures[f"{where}: {title}" if where != "." else title] = picture
    return Shown(tuple(rows), pictures, tuple(notes))


def _of_pattern(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    outcome, rows = record["outcome"], []
    if "probability" in record:
        rows.append((outcome, f"{record['probability']:.2f}", f"called from {record['threshold']:.2f} on"))
    figures = record.get("figures", {})
    for held in [figures.get("cross_validated", figures)] if figures else []:
        for name in ("auc", "sensitivity", "specificity", "accuracy"):
            rows.append((f"{outcome}: {name.upper() if name == 'auc' else name}", *_interval(held[name])))
    return rows


def _of_survival(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    if record.get("concordance") is not None:
        rows.append(("concordance", *_interval([record["concordance"], *record["concordance_interval"]])))
    for name, one in record.get("covariates", {}).items():
        ends = one.get("hr_interval")
        rows.append((f"HR of {name}", *(_interval([one["hr"], *ends]) if ends else (f"{one['hr']:.2f}", "penalised"))))
    return rows


def _of_risk(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("radiomic risk score", f"{record['score']:.2f}", f"{record['group']} risk; the cut is {record['cut']:.2f}")
    ]


def _interval(estimate: list[float | None]) -> tuple[str, str]:
    value, low, high = estimate
    return f"{value:.2f}", "" if low is None else f"{low:.2f}–{high:.2f}"
