"""``pattern train`` and ``pattern predict`` from a table to a model, and from there to predictions without torch."""

import csv
import json
import sys

import pytest

QUICK = ("--select", "6", "--folds", "3", "--steps", "20")


@pytest.fixture
def trained(gliosuite, table, tmp_path):
    code, said, err = gliosuite(
        "pattern", "train", table, "--outcome", "recurrence_local", *QUICK, "--out", tmp_path / "m"
    )
    assert code == 0, err
    return json.loads(said), tmp_path / "m"


def test_training_writes_figures_pictures_and_a_model(trained):
    said, out = trained
    assert said["patients"] == "patients who recurred (80 of 90 rows)"
    assert said["figures"]["cross_validated"]["n"] == 80
    assert set(said["comparison"]) == {"svm", "forest", "logistic"}
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {"roc.png", "calibration.png", "confusion.png", "summary.png", "force.png", "decision.png"} <= files
    assert {"held_out.csv", "shapley.csv", "pattern.json", "model/card.md", "model/weights.safetensors"} <= files
    card = (out / "model" / "card.md").read_text()
    assert "gliosuite pattern train TABLE.csv --outcome recurrence_local --kind mlp" in card
    assert "Scaling, selection, oversampling, calibration and threshold are learned inside each fold" in card
    with (out / "held_out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 80
    assert {r["fold"] for r in rows} == {"1", "2", "3"}


def test_predictions_need_neither_torch_nor_scikit_learn(trained, gliosuite, table, tmp_path, monkeypatch):
    _, out = trained
    for name in ("torch", "sklearn", "captum", "captum.attr"):
        monkeypatch.setitem(sys.modules, name, None)
    code, said, err = gliosuite(
        "pattern",
        "predict",
        table,
        "--model-folder",
        out / "model",
        "--outcome",
        "recurrence_local",
        "--out",
        tmp_path / "p",
    )
    assert code == 0, err
    assert "Shapley values were not computed: captum is needed" in err
    found = json.loads(said)
    assert found["n"] == 90
    assert found["figures"]["auc"][0] > 0.8
    assert "it says how a tumour recurs if it does, not whether" in " ".join(found["notes"])
    with (tmp_path / "p" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all((float(r["probability"]) >= found["threshold"]) == (r["called"] == "1") for r in rows)


def test_features_far_from_training_are_said(trained, gliosuite, table, tmp_path):
    _, out = trained
    head, *rows = table.read_text().splitlines()
    far = [",".join([*r.split(",")[:3], *("1e4" for _ in r.split(",")[3:])]) for r in rows]
    table.write_text("\n".join([head, *far]))
    code, said, _ = gliosuite("pattern", "predict", table, "--model-folder", out / "model", "--out", tmp_path / "p")
    assert code == 0
    assert "6 of 6 features lie more than 6 SD from their mean in training" in " ".join(json.loads(said)["notes"])


def test_a_missing_package_is_one_sentence(gliosuite, table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn", None)
    code, _, err = gliosuite(
        "pattern", "train", table, "--outcome", "recurrence_local", *QUICK, "--out", tmp_path / "m"
    )
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("error: imbalanced-learn is needed for oversampling")
    assert not (tmp_path / "m").exists()


def test_another_model_folder_is_refused(gliosuite, table, tmp_path):
    code, _, err = gliosuite("pattern", "predict", table, "--model-folder", tmp_path, "--out", tmp_path / "p")
    assert code == 2
    assert "is no model folder" in err
