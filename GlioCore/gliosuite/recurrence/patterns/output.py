"""What training and prediction leave: pattern.json, tables, pictures, the model."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...files import write_csv, write_json
from ...training import write_model
from ..drawing import drawn
from ..explain import explained
from ..survival.table import Table
from . import shapley
from .evaluate import HeldOut, Trained, Tuned, figures, said
from .model import Pattern, card, model_of
from .patients import Patients, features
from .pictures import draw_calibration, draw_confusion, draw_roc

RECORD = "pattern.json"
_DROVE = 5  # features that the record of one patient names


def write_trained(made: Trained, given: Patients, about: dict[str, Any], table: Table, folder: Path) -> None:
    """Write all of a training but its provenance."""
    outcome = about["outcome"]
    write_json(folder / RECORD, about)
    write_model(folder / "model", model_of(made.model, about), card(about))
    ids = names_of(table, given.rows)
    rows = [
        (ids[r], k + 1, int(given.y[r]), f"{p:.6g}", int(c))
        for r, k, p, c in sorted(zip(made.folds.rows, made.folds.fold, made.folds.probability, made.folds.called))
    ]
    write_csv(folder / "held_out.csv", ["id", "fold", outcome, "probability", "called"], rows)
    for held, end, how in (
        (made.folds, "", f"{about['settings']['folds']}-fold cross-validation"),
        (made.split, "_split", "one split 80/20"),
    ):
        _draw(held, given.y, f"{outcome}, {how}, n {held.rows.size}", end, folder)
    columns = [given.names.index(n) for n in about["inputs"]]
    _explain(made.model, given.x[:, columns], ids, outcome, folder)


def _draw(held: HeldOut, y: np.ndarray, title: str, end: str, folder: Path) -> None:
    true = y[held.rows]
    fold = held.fold if held.fold.max() > 0 else None
    area = said(figures(held, y)["auc"], 2)
    drawn(
        partial(draw_roc, true, held.probability, held.called, area, title, fold=fold),
        folder / f"roc{end}.png",
    )
    drawn(partial(draw_calibration, true, held.probability, title), folder / f"calibration{end}.png")
    drawn(partial(draw_confusion, true, held.called, title), folder / f"confusion{end}.png")


def _explain(tuned: Tuned, x: np.ndarray, ids: list[str], outcome: str, folder: Path) -> list[list[Any]]:
    """Write Shapley values; of one row, the features that drove it most, in SD from the mean and in log odds."""
    c = tuned.classifier
    try:
        found = explained(tuned.log_odds, x, c.features, c.mean, c.sd)
    except InputError as error:
        warnings.warn(f"Shapley values were not computed: {error}", stacklevel=2)
        return []
    shapley.write(found, ids, outcome, tuned.threshold, folder)
    if len(ids) > 1:
        return []
    return [[found.names[i], float(found.z[0, i]), float(found.values[0, i])] for i in found.order[:_DROVE]]


def names_of(table: Table, rows: np.ndarray) -> list[str]:
    """What rows are called: by a column such as ``id``, else by the line of the file; one that stands alone is the patient."""
    column = table.identifier()
    if column is None and len(table) == 1:
        return ["the patient"]
    return [table.cells(column)[i] or f"line {table.lines[i]}" if column else f"line {table.lines[i]}" for i in rows]


def write_predicted(
    model: Pattern, table: Table, truth: str | None, positive: str | None, folder: Path
) -> dict[str, Any]:
    """Predict the rows of a table; returns what pattern.json says.

    Raises
    ------
    InputError
        If features are missing, or no row has all of them.
    """
    x, about = features(table, model.features), model.about
    known = np.isfinite(x).all(axis=1)
    if not known.any():
        raise InputError(f"no row of {table.name} has all {len(model.features)} features")
    notes = [*model.notes(), *model.cautions(x[known])]
    if not known.all():
        notes.append(f"{int((~known).sum())} of {known.size} rows have no prediction: a feature is missing")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    probability = model.tuned.probability(x)
    called = probability >= model.tuned.threshold
    every = np.arange(known.size)
    ids = names_of(table, every)
    outcome = about["outcome"]
    rows = [[ids[i], f"{probability[i]:.6g}" if known[i] else "", int(called[i]) if known[i] else ""] for i in every]
    write_csv(folder / "predictions.csv", ["id", "probability", "called"], rows)
    record: dict[str, Any] = {
        "outcome": outcome,
        "classifier": about["classifier"],
        "n": int(known.sum()),
        "without_prediction": int((~known).sum()),
        "threshold": model.tuned.threshold,
        "called": int(called[known].sum()),
        "notes": notes,
    }
    if truth:
        y = table.events(truth, positive)
        asked = np.flatnonzero(known & np.isfinite(y))
        held = HeldOut(
            np.arange(asked.size),
            np.zeros(asked.size, int),
            model.tuned.classifier.score(x[asked]),
            probability[asked],
            called[asked],
            {},
            [],
        )
        true = y[asked].astype(bool)
        record["figures"] = figures(held, true)
        _draw(held, true, f"{truth}, n {asked.size}", "", folder)
    drove = _explain(model.tuned, x[known], [ids[i] for i in np.flatnonzero(known)], outcome, folder)
    if len(every) == 1:
        record |= {"probability": float(probability[0]), "drove": drove}
    write_json(folder / RECORD, record)
    return record
