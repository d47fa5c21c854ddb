"""``synthesize predict`` and ``synthesize train``: what they write and print, and bad input."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from gliosuite.images import array, boolean, read_image
from gliosuite.perfusion.synthesis import Fitted, posterior
from smallseries import DCE, write_small_series

PARAMETERS = ("ktrans", "ve", "vp", "delay")


@pytest.fixture
def folder(tmp_path):
    return write_small_series(tmp_path)


@pytest.fixture
def predicted(gliosuite, folder):
    known = ("--dt", 2, *DCE, "--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv", "--no-motion")
    regions = ("--regions", f"all={folder / 'mask.nii.gz'}", "--max-uncertainty", 30)
    code, out, err = gliosuite(
        "synthesize", "predict", folder / "dce.nii.gz", *known, *regions, "--out", folder / "out"
    )
    assert code == 0, err
    return folder, json.loads(out)


def test_maps_intervals_and_the_fit_beside_them(predicted):
    folder, result = predicted
    out = folder / "out"
    inside = boolean(read_image(out / "mask.nii.gz"))
    for name in PARAMETERS:
        value, low, high, sd = (
            array(read_image(out / f"{name}{e}.nii.gz"))[inside] for e in ("", "_lower", "_upper", "_sd")
        )
        assert np.isfinite(value).all()
        assert (low <= value).all()
        assert (value <= high).all()
        assert (sd > 0).all()
    assert result["medians"]["ktrans"] == pytest.approx(0.1, rel=0.1)
    fit = json.loads((out / "fitted" / "fit.json").read_text())
    assert fit["medians"]["ktrans"] == pytest.approx(0.1, rel=0.05)
    assert {"synthesis.json", "regions.csv", "out_of_distribution.nii.gz"} <= set(result["files"])
    if find_spec("matplotlib"):
        assert "qc.png" in result["files"]
    assert "trained on simulated" in json.dumps(result["notes"]) or "simulated patients" in json.dumps(result["notes"])


def test_the_written_fit_is_refined_alike(predicted):
    folder, _ = predicted
    again = posterior(Fitted.read(folder / "out" / "fitted"))
    inside = boolean(again.mask)
    for name in PARAMETERS:
        written = array(read_image(folder / "out" / f"{name}.nii.gz"))[inside]
        np.testing.assert_allclose(array(again.maps[name])[inside], written, rtol=2e-3, atol=1e-5)


def test_uncertain_voxels_are_left_out_of_tables_and_that_is_said(predicted):
    _, result = predicted
    assert any("SD above 30 %" in note for note in result["notes"])


def test_a_series_unlike_those_trained_on_shows_the_fit_and_says_so(predicted):
    from dataclasses import replace

    folder, _ = predicted
    fitted = Fitted.read(folder / "out" / "fitted")
    far = replace(fitted.scan, times_s=30.0 * fitted.scan.times_s)
    made = posterior(replace(fitted, scan=far))
    inside = boolean(made.mask)
    assert (array(made.outside)[inside] == 1).all()
    np.testing.assert_array_equal(array(made.maps["ktrans"])[inside], array(fitted.values["ktrans"])[inside])
    assert any("outside what the network was trained on (frame interval" in note for note in made.notes)


def test_without_an_aif_a_population_stands_in_and_intervals_are_wider(gliosuite, predicted):
    folder, _ = predicted
    known = (
        "--dt",
        2,
        *DCE,
        "--mask",
        folder / "mask.nii.gz",
        "--aif",
        "none",
        "--no-motion",
        "--out",
        folder / "none",
    )
    code, out, err = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *known)
    assert code == 0, err
    assert any("population" in note for note in json.loads(out)["notes"])
    inside = boolean(read_image(folder / "none" / "mask.nii.gz"))
    width = lambda at: np.median(array(read_image(folder / at / "ktrans_sd.nii.gz"))[inside])
    assert width("none") > width("out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "patlak"), "'patlak' is not known; choose from posterior, lyoo2025"),
        (("--no-delay",), "these are of etm without delay"),
        (("--model-folder", "."), "is no model folder"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_left(gliosuite, folder, words, said):
    words = tuple(folder if w == "." else w for w in words)
    known = ("--dt", 2, *DCE, "--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv", "--no-motion")
    code, _, err = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *known, *words, "--out", folder / "out")
    assert code == 2
    assert said in err
    assert not (folder / "out").exists()


def test_synthesize_alone_and_misspelt(gliosuite):
    for words in ((), ("--help",)):
        code, _, err = gliosuite("synthesize", *words)
        assert code == 2
        assert "'synthesize' is not known; did you mean synthesize" in err
    code, _, err = gliosuite("synthesize", "predic", "x")
    assert code == 2
    assert "synthesize predict" in err


def test_training_makes_a_model_that_predicts(gliosuite, predicted):
    pytest.importorskip("torch")
    folder, _ = predicted
    small = (
        "--series",
        20,
        "--voxels",
        16,
        "--members",
        2,
        "--width",
        8,
        "--steps",
        20,
        "--batch",
        64,
        "--seed",
        5,
        "--heads",
        0,
    )
    code, out, err = gliosuite("synthesize", "train", *small, "--out", folder / "trained")
    assert code == 0, err
    assert "--seed 5" in json.loads(out)["command"]
    assert (folder / "trained" / "training" / "learning.png").exists()
    again = json.loads(gliosuite("synthesize", "train", *small, "--out", folder / "trained")[1])
    assert again["held_out_loss"] == json.loads(out)["held_out_loss"]
    known = ("--dt", 2, *DCE, "--mask", folder / "mask.nii.gz", "--aif", folder / "aif.csv", "--no-motion")
    model = ("--model-folder", folder / "trained" / "model", "--out", folder / "mine")
    assert gliosuite("synthesize", "predict", folder / "dce.nii.gz", *known, *model)[0] == 0


RAW = ("--dt", 2, "--no-motion", "--model", "lyoo2025")


def test_lyoo2025_takes_raw_signal_and_no_aif_and_says_what_it_did(gliosuite, folder):
    pytest.importorskip("torch")
    mask, out = folder / "mask.nii.gz", folder / "raw"
    known = (*RAW, *DCE, "--mask", mask, "--regions", f"all={mask}", "--max-uncertainty", 30)
    code, printed, err = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *known, "--out", out)
    assert code == 0, err
    result = json.loads(printed)
    assert result["model"] == "lyoo2025"
    assert set(result["medians"]) == {"ktrans", "ve", "vp"}
    inside = boolean(read_image(mask))
    for name in ("ktrans", "ve", "vp"):
        value, low, high = (array(read_image(out / f"{name}{e}.nii.gz")) for e in ("", "_lower", "_upper"))
        assert (value[~inside] == 0).all()
        assert (low <= value).all()
        assert (value <= high).all()
    notes = " ".join(result["notes"])
    assert "the series has 50 frames of 2 s; lyoo2025 takes 60 of 5 s" in notes
    assert "without effect on lyoo2025, which needs neither AIF nor T1: --t10" in result["notes"]
    assert "the series is unlike those the networks were trained on" in notes
    assert "the SD is far too small" in notes
    assert result["outside_share"] == 1.0
    assert {"synthesis.json", "regions.csv", "out_of_distribution.nii.gz", "mask.nii.gz"} <= set(result["files"])
    again = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *known, "--out", folder / "again")
    assert again[0] == 0
    assert (folder / "again" / "ktrans_sd.nii.gz").read_bytes() == (out / "ktrans_sd.nii.gz").read_bytes()


def test_lyoo2025_without_torch_is_one_sentence(gliosuite, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *RAW, "--out", folder / "raw")
    assert code == 2
    assert "torch is needed for the networks of lyoo2025 (or take --model posterior, which needs none)" in err
    assert not (folder / "raw").exists()


def test_a_model_of_the_other_kind_is_refused(gliosuite, folder):
    pytest.importorskip("torch")
    from gliosuite.training.model_folder import shipped

    words = (*RAW, "--model-folder", shipped("posterior"), "--out", folder / "raw")
    code, _, err = gliosuite("synthesize", "predict", folder / "dce.nii.gz", *words)
    assert code == 2
    assert "holds a model of kind 'posterior'; one of kind 'lyoo2025' is needed" in err


def test_own_cases_are_fitted_for_their_labels(folder):
    from gliosuite.commands.labelled import fitted, folders
    from gliosuite.errors import InputError
    from gliosuite.files import write_json

    with pytest.raises(InputError, match=r"--cases\) holds no case folder with a DCE series"):
        folders(str(folder))
    known = {
        "path": "../dce.nii.gz",
        "tr_ms": 5.0,
        "flip_angle_deg": 15.0,
        "times_s": [2.0 * i for i in range(50)],
        "t10_s": 1.2,
    }
    write_json(
        folder / "one" / "case.json", {"id": "one", "images": {"dce": known}, "masks": {"cel": "../mask.nii.gz"}}
    )
    write_json(folder / "two" / "case.json", {"id": "two", "images": {"t1c": {"path": "../t1_ms.nii.gz"}}})
    (own,) = folders(str(folder))
    assert own.name == "one"
    made = fitted(own)
    inside = boolean(made.lesion)
    assert inside.sum() == boolean(read_image(folder / "mask.nii.gz")).sum()
    assert np.nanmedian(array(made.maps["ktrans"])[inside]) == pytest.approx(0.1, rel=0.3)


def test_cases_without_truth_do_not_recalibrate_the_posterior(gliosuite, folder):
    from gliosuite.files import write_json

    write_json(folder / "one" / "case.json", {"id": "one", "images": {"dce": {"path": "../dce.nii.gz"}}})
    code, _, err = gliosuite("synthesize", "train", "--cases", folder, "--out", folder / "trained")
    assert code == 2
    assert "has no truth of its DCE series: intervals are calibrated on how far maps lie from what is true" in err
    assert not (folder / "trained").exists()


def test_simulated_cases_recalibrate_the_posterior_and_leave_its_networks(gliosuite, tmp_path):
    from gliosuite.simulate.cohort import write_cohort
    from gliosuite.training import read_model
    from gliosuite.training.model_folder import shipped

    (name,) = write_cohort(tmp_path / "cohort", 1, 3, grid_mm=5.0, scans=("dce",))["cases"]
    case = json.loads((tmp_path / "cohort" / name / "case.json").read_text())
    # A second one that cannot be used is left out, and that is said.
    broken = {k: v for k, v in case["images"]["dce"].items() if k != "tr_ms"} | {"path": f"../{name}/dce.nii.gz"}
    (tmp_path / "cohort" / "broken").mkdir()
    (tmp_path / "cohort" / "broken" / "case.json").write_text(
        json.dumps({"id": "broken", "images": {"dce": broken}, "truth": f"../truth/{name}"})
    )
    words = ("synthesize", "train", "--cases", tmp_path / "cohort", "--out", tmp_path / "mine")
    code, out, err = gliosuite(*words)
    assert code == 0, err
    result = json.loads(out)
    assert result["cases"] == 1
    assert "no tr_ms" in result["left_out"]["broken"]
    assert "1 cases calibrate the intervals" in result["notes"][0]
    assert result["sds_that_hold_95_percent"]["ktrans"]["wm"] > 0
    mine, old = read_model(tmp_path / "mine" / "model", "posterior"), read_model(shipped("posterior"), "posterior")
    assert mine.about["weights_sha256"] == old.about["weights_sha256"]
    assert mine.about["tissue_intervals"] != old.about["tissue_intervals"]
    assert "figures" not in mine.about
    card = (tmp_path / "mine" / "model" / "card.md").read_text()
    assert "1 simulated cases (`gliosuite synthesize train --model posterior --cases" in card
