"""``recurrence train``, ``predict``, ``evaluate`` on results folders; the patients are balls."""

import csv
import json

import numpy as np
import pytest
from gliosuite.cli import _rounded
from gliosuite.images import Grid, array, boolean, read_image, said_of, write_image

from .conftest import patient


def results_of(one, folder):
    """What ``gliosuite run`` would have left."""
    mask = lambda where: one.grid.image(where.astype(np.uint8))
    for name, values in one.images.items():
        write_image(one.grid.image(values), folder / "registered" / f"{name}.nii.gz")
    for name, where in one.masks.items():
        if where.any():
            write_image(mask(where), folder / "lesions" / f"{name}.nii.gz")
    write_image(mask(one.target), folder / "progression" / "progression_t2l.nii.gz")
    (folder / "run.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for i in range(6):
        results_of(patient(i), folder / f"case-{i}")
    return folder


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    pytest.importorskip("sklearn")
    from gliosuite.cli import main

    out = tmp_path_factory.mktemp("trained")
    quick = ["--folds", "3", "--rounds", "20", "--least", "20"]
    assert main(["recurrence", "train", "--cases", str(cases), *quick, "--out", str(out)]) == 0
    return out / "model"


def test_a_model_of_own_cases_says_what_it_is(trained):
    about = json.loads((trained / "model.json").read_text())
    assert about["trained_on"] == "6 cases of the user"
    assert about["simulated"] is False
    figures = about["figures"]["mean_and_sd"]
    assert figures["model"]["pcc"][0] > figures["distance at model"]["pcc"][0]
    card = (trained / "card.md").read_text()
    assert "cases of its user" in card
    assert "Trained on simulated patients alone" not in card
    assert about["command"] in card


def test_a_patient_is_predicted(trained, tmp_path, gliosuite):
    folder = results_of(patient(40), tmp_path / "results")
    code, _, err = gliosuite("recurrence", "predict", folder, "--model-folder", trained, "--out", tmp_path / "out")
    assert code == 0, err
    probability = read_image(tmp_path / "out" / "probability.nii.gz")
    values, truth = array(probability), patient(40)
    lesion = boolean(read_image(folder / "lesions" / "t2l.nii.gz"))
    assert Grid.of(probability) == truth.grid
    assert (values[lesion] == 1).all()
    assert values[truth.target & ~lesion].mean() > 0.5
    assert values[truth.masks["brain"] & ~truth.target].mean() < 0.1
    assert "6 cases of the user" in said_of(probability)
    record = json.loads((tmp_path / "out" / "recurrence.json").read_text())
    assert record["channels"] == ["t1c", "flair", "adc"]


def test_others_are_judged_beside_the_margins(trained, tmp_path, gliosuite):
    for i in range(3):
        results_of(patient(60 + i), tmp_path / "others" / f"p{i}")
    code, _, err = gliosuite(
        "recurrence", "evaluate", "--cases", tmp_path / "others", "--model-folder", trained, "--out", tmp_path / "out"
    )
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "out" / "evaluation.csv").open()))
    assert {r["case"] for r in rows} == {"p0", "p1", "p2"}
    assert {r["ctv"] for r in rows} >= {"model", "s3-rtog", "s3-eortc", "model at s3-rtog", "distance at model"}
    of = lambda ctv, column: np.array([float(r[column]) for r in rows if r["ctv"] == ctv])
    # At a margin's volume there is no more than the margin takes, but one level of probability.
    assert (of("model at s3-rtog", "ctv_cc") <= of("s3-rtog", "ctv_cc") + 1e-6).all()
    assert (of("model", "specificity") > of("s3-rtog", "specificity")).all()
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["mean_and_sd"]["model"]["sensitivity"][0] == pytest.approx(of("model", "sensitivity").mean(), rel=1e-4)


@pytest.mark.parametrize(
    "lost, sentence",
    [
        ("run.json", "holds no run.json"),
        ("registered/flair.nii.gz", "no registered FLAIR image"),
        ("lesions/brain.nii.gz", "no brain mask"),
    ],
)
def test_what_is_missing_is_one_sentence(trained, tmp_path, gliosuite, lost, sentence):
    folder = results_of(patient(41), tmp_path / "results")
    (folder / lost).unlink()
    code, _, err = gliosuite("recurrence", "predict", folder, "--model-folder", trained, "--out", tmp_path / "out")
    assert code == 2
    assert sentence in err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_and_a_case_without_progression_are_said(tmp_path, cases, gliosuite):
    (tmp_path / "empty").mkdir()
    code, _, err = gliosuite("recurrence", "train", "--cases", tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 2
    assert "holds no results folders" in err
    folder = results_of(patient(42), tmp_path / "cases" / "a")
    (folder / "progression" / "progression_t2l.nii.gz").unlink()
    code, _, err = gliosuite("recurrence", "train", "--cases", tmp_path / "cases", "--out", tmp_path / "out")
    assert code == 2
    assert "no lesion at progression" in err.strip().splitlines()[-1]


def test_a_network_is_trained_and_asked(cases, tmp_path, gliosuite):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    quick = ["--folds", "2", "--base", "4", "--epochs", "1"]
    words = ["recurrence", "train", "--kind", "network", "--cases", cases, *quick, "--out", tmp_path / "out"]
    code, _, err = gliosuite(*words)
    assert code == 0, err
    model = tmp_path / "out" / "model"
    about = json.loads((model / "model.json").read_text())
    assert (about["kind"], about["simulated"], about["settings"]["base"]) == ("network", False, 4)
    assert "--kind network" in about["command"]
    card = (model / "card.md").read_text()
    assert "3D U-Net of four stages with 4 features" in card
    assert "boosted trees" not in card
    folder = results_of(patient(40), tmp_path / "results")
    predict = ["recurrence", "predict", folder, "--model-folder", model, "--out", tmp_path / "predicted"]
    code, _, err = gliosuite(*predict)
    assert code == 0, err
    assert json.loads((tmp_path / "predicted" / "recurrence.json").read_text())["model"] == "network"
    code, _, err = gliosuite(*predict, "--kind", "voxelwise")
    assert code == 2
    assert "holds a model of kind network, and --kind voxelwise is asked for" in err


@pytest.mark.parametrize(
    "kind, given, sentence",
    [
        ("network", ["--rounds", "3"], "--rounds is for --kind voxelwise, and network is trained"),
        ("voxelwise", ["--epochs", "3"], "--epochs is for --kind network, and voxelwise is trained"),
        ("voxelwise", ["--loss", "dice"], "--loss is for --kind network, and voxelwise is trained"),
        ("network", ["--loss", "focal"], "'focal' is not known"),
        ("network", ["--beta", ".9"], "--beta is for loss tversky, and the loss is pcc (--loss)"),
        ("network", ["--loss", "tversky", "--beta", "0"], "more than 0 and at most 1 is needed"),
        ("network", ["--base", "10"], "base is 10; a multiple of 4 is needed"),
        ("voxelwise", ["--device", "cuda"], "cuda"),
    ],
)
def test_an_option_of_the_other_kind_is_one_sentence(cases, tmp_path, gliosuite, kind, given, sentence):
    out = tmp_path / "out"
    code, _, err = gliosuite("recurrence", "train", "--kind", kind, "--cases", cases, *given, "--out", out)
    assert code == 2
    assert sentence in err.strip().splitlines()[-1]
    assert not out.exists()


def test_a_search_says_which_was_best(cases, tmp_path, gliosuite):
    pytest.importorskip("torch")
    words = ["recurrence", "search", "--cases", cases, "--folds", "2", "--epochs", "1", "--bases", "4", "--trials", "1"]
    words += ["--learning-rates", "0.01,0.05", "--out", tmp_path / "out"]
    code, out, err = gliosuite(*words)
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "out" / "search.csv").open()))
    assert [r["trial"] for r in rows] == ["grid", "grid", "random"]
    best = max(rows, key=lambda r: float(r["tversky"]))
    found = json.loads(out)
    assert f"{found['learning_rate']:g}" == best["learning_rate"]
    assert f"--learning-rate {found['learning_rate']}" in found["command"]
    code, _, err = gliosuite(*words, "--bases", "four")
    assert code == 2
    assert "is no list of numbers" in err


def test_what_drove_a_voxel_is_told(trained, tmp_path, gliosuite, monkeypatch, capfd):
    from gliosuite.cli import main

    one = patient(40)
    folder = results_of(one, tmp_path / "results")
    spread = one.target & ~one.masks["t2l"] & (one.away("t2l") > 6)
    x, y, z = one.grid.blank().TransformIndexToPhysicalPoint([int(i) for i in np.argwhere(spread)[0][::-1]])
    at, file = f"{-x:g},{-y:g},{z:g}", tmp_path / "out" / "why.json"
    words = ["recurrence", "why", str(folder), "--at", at, "--model-folder", str(trained), "--out", str(file)]
    code, out, err = gliosuite(*words)
    assert code == 0, err
    found = json.loads(out)
    assert found == _rounded(json.loads(file.read_text()))
    assert found["reasons"][0]["input"] == "ADC", "where ADC is low it recurs"
    assert found["reasons"][0]["without"] < found["probability"]
    assert found["reasons"][0]["value"] < 0.9
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(words[:-2]) == 0
    text = capfd.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")][:2] == ["input", "ADC"]
    assert "not what causes recurrence" in " ".join(text.split())


@pytest.mark.parametrize(
    "at, sentence",
    [
        ("0,0", "is no place R,A,S in mm"),
        ("nan,0,0", "is no place R,A,S in mm"),
        ("-900,0,0", "lies outside the images"),
    ],
)
def test_a_place_that_is_none_is_one_sentence(tmp_path, gliosuite, at, sentence):
    folder = results_of(patient(41), tmp_path / "results")
    code, out, err = gliosuite("recurrence", "why", folder, "--at", at)
    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]
