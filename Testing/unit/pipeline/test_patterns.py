"""Radiomic features and recurrence patterns as steps of a run; the lesion is a ball in noise."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from gliosuite.files import read_json
from gliosuite.images import Grid, write_image
from gliosuite.pipeline.context import RunSettings, SkippedStep
from gliosuite.pipeline.patterns import patterns, radiomics
from gliosuite.recurrence.patterns.model import read_pattern
from gliosuite.recurrence.patterns.settings import SHIPPED
from gliosuite.recurrence.survival.model import shipped
from gliosuite.steps import silent

GRID = Grid.made((24, 24, 24), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.fixture
def run(tmp_path):
    """A run whose earlier steps left CBV and lesions."""
    away = np.sqrt(sum((a - 12.0) ** 2 for a in np.indices(GRID.shape)))
    masks = {"cel": away < 5, "t2l": away < 9, "nel": (away < 9) & (away >= 5)}
    noise = np.random.default_rng(1).normal(1.5, 0.5, GRID.shape)
    folder = tmp_path / "dsc" / "on_t1c"
    folder.mkdir(parents=True)
    for name, values in (("ncbv", noise.astype(np.float32)), ("mask", away < 11)):
        write_image(GRID.image(values), folder / f"{name}.nii.gz", name)
    result = lambda *parts: path if (path := tmp_path.joinpath(*parts)).exists() else None
    return SimpleNamespace(
        result=result,
        masks=lambda *_: {n: GRID.image(m) for n, m in masks.items()},
        record=lambda step: {"summary": {n: {"source": "draft" if n == "nel" else "file"} for n in masks}},
        settings=RunSettings(),
        grid=GRID,
        left=masks,
    )


def features_of(run, tmp_path, move=0.0):
    """A table of one row: what the shipped models take, `move` SD from the mean of training."""
    row = {}
    for name in SHIPPED:
        c = read_pattern(name).tuned.classifier
        row |= dict(zip(c.features, c.mean + move * c.sd))
    score = shipped()
    row |= {c.name: m for c, m in zip(score.covariates, score.mean)}
    (tmp_path / "radiomics").mkdir()
    with (tmp_path / "radiomics" / "features.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(row), [f"{v:.9g}" for v in row.values()]])


def test_features_are_measured_where_cbv_was_fitted(run, tmp_path):
    pytest.importorskip("radiomics")
    done = radiomics(run, tmp_path, silent)
    assert done.summary["features"] == 1702
    assert done.summary["volumes_cc"]["CE"] == pytest.approx(run.left["cel"].sum() / 1000)
    assert any(n.startswith("nel: a draft that no person has checked") for n in done.notes)
    with (tmp_path / "features.csv").open() as file:
        assert len(next(csv.DictReader(file))) == 1702
    assert read_json(tmp_path / "features.json")["settings"]["bin_width"] == 5


def test_what_is_missing_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "radiomics", None)
    with pytest.raises(SkippedStep, match="pyradiomics is needed for radiomic features"):
        radiomics(run, tmp_path, silent)
    run.left["nel"][:] = False
    with pytest.raises(SkippedStep, match="NEL is absent or empty"):
        radiomics(run, tmp_path, silent)
    (tmp_path / "dsc" / "on_t1c" / "ncbv.nii.gz").unlink()
    with pytest.raises(SkippedStep, match=r"CBV over that of white matter \(ncbv of DSC\) is needed"):
        radiomics(run, tmp_path, silent)
    with pytest.raises(SkippedStep, match="there are no radiomic features"):
        patterns(run, tmp_path, silent)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_shipped_models_predict_and_say_that_they_are_simulated(run, tmp_path):
    features_of(run, tmp_path)
    done = patterns(run, tmp_path, silent)
    for name, outcome in SHIPPED.items():
        made, record = done.summary[name], read_json(tmp_path / name / "pattern.json")
        assert 0 < made["probability"] < 1
        assert made["called"] == (made["probability"] >= made["threshold"])
        assert record["outcome"] == outcome
        assert "simulated patients alone" in record["notes"][0]
        assert "simulated patients" in made["trained_on"]
    # At the mean of training every term of the score is 0.
    assert done.summary["risk"]["score"] == pytest.approx(0, abs=1e-6)
    assert done.summary["risk"]["group"] == ("high" if done.summary["risk"]["cut"] < 0 else "low")


def test_features_unlike_those_of_training_are_said(run, tmp_path):
    features_of(run, tmp_path, move=9.0)
    with pytest.warns(UserWarning, match="lie more than 6 SD from their mean in training"):
        patterns(run, tmp_path, silent)


def test_shipped_models_are_marked_as_simulated():
    for name in SHIPPED:
        model = read_pattern(name)
        assert model.about["simulated"] is True
        assert model.about["outcome"] == SHIPPED[name]
        assert len(model.features) == 32
    assert shipped().about["simulated"] is True
