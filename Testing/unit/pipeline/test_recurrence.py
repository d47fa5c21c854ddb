"""Where it is likely to recur, as a step of a run. The patient is simulated."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, said_of, write_image
from gliosuite.pipeline import RunSettings, run_case
from gliosuite.simulate import simulate_case

QUICK = RunSettings(spacing_mm=3.0, motion=False, skip=("dce", "dsc", "progression"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A case with diffusion and spectroscopy, and the results of a run."""
    folder = tmp_path_factory.mktemp("recurrence")
    patient = simulate_case(1690101, grid_mm=3.0, scans=("structural", "diffusion", "mrsi"))
    case = patient.write(folder / "case", masks=("cel", "t2l", "cavity"))
    return case, folder / "out", run_case(case, folder / "out", QUICK), patient


@pytest.fixture
def again(made, tmp_path):
    """Run a case into a copy of the results, where what has not changed is kept."""

    def run(settings, case=made[0]):
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made[1], out)
        return run_case(case, out, settings), out

    return run


def step(summary, name):
    return next(s for s in summary["steps"] if s["step"] == name)


def test_a_run_predicts_and_draws_the_target_from_it(made):
    _, out, summary, patient = made
    assert step(summary, "recurrence")["status"] == "done"
    probability = read_image(out / "recurrence" / "probability.nii.gz")
    values = array(probability)
    on = lambda name: boolean(read_image(out / "lesions" / f"{name}.nii.gz"))
    lesion, brain, cavity = on("t2l"), on("brain"), on("cavity")
    assert (values[lesion] == 1).all()
    assert (values[~brain | (cavity & ~lesion)] == 0).all()
    assert 0 < values[brain & ~lesion & ~cavity].max() < 1
    assert "trained on 100 simulated patients" in said_of(probability) or "simulated patients" in said_of(probability)
    model = boolean(read_image(out / "rt" / "CTV_MODEL.nii.gz"))
    assert model.sum() > lesion.sum()
    prediction = step(summary, "rt")["summary"]["probability"]
    assert prediction["threshold"] == step(summary, "recurrence")["summary"]["threshold"]
    assert Grid.of(probability) == Grid.of(read_image(out / "rt" / "CTV_MODEL.nii.gz"))
    assert patient.truth["progression_t2l"] is not None


def test_every_scan_of_the_case_is_looked_at_and_named(made):
    _, out, summary, _ = made
    record = step(summary, "recurrence")
    assert record["summary"]["kinds"] == ["anatomy", "diffusion", "spectroscopy"]
    assert {"t1c", "t1", "flair", "adc", "fa", "cni"} <= set(record["summary"]["channels"])
    assert any("trained on simulated patients alone" in n for n in record["notes"])
    page = (out / "report.html").read_text()
    assert "Where it is likely to recur" in page
    assert "It looked at anatomy, diffusion, spectroscopy" in page
    assert "trained on simulated patients alone" in page


def test_the_command_says_the_same_of_the_results(made, tmp_path, gliosuite):
    _, out, _, _ = made
    code, _, err = gliosuite("recurrence", "predict", out, "--out", tmp_path / "again")
    assert code == 0, err
    one, two = (read_image(p / "probability.nii.gz") for p in (out / "recurrence", tmp_path / "again"))
    assert np.array_equal(array(one), array(two))


def test_a_case_s_own_probability_stays(made, again, tmp_path):
    case, _, _, _ = made
    grid = Grid.of(read_image(case.path("t1c")))
    write_image(grid.image(np.full(grid.shape, 0.2, np.float32)), tmp_path / "p.nii.gz", "a colleague's model")
    data = json.loads((case.folder / "case.json").read_text())
    for group in ("images", "masks"):
        for role, entry in data[group].items():
            if isinstance(entry, dict):
                entry["path"] = str(case.folder / entry["path"])
            else:
                data[group][role] = str(case.folder / entry)
    data["images"]["probability"] = {"path": str(tmp_path / "p.nii.gz")}
    data.pop("followup", None)
    data.pop("truth", None)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "case.json").write_text(json.dumps(data))
    summary, _ = again(QUICK, Case.load(tmp_path / "case"))
    assert step(summary, "recurrence")["status"] == "skipped"
    assert "of its own" in step(summary, "recurrence")["why"]
    assert step(summary, "rt")["summary"]["probability"]["threshold"] == 0.5
    assert "colleague" in step(summary, "rt")["summary"]["probability"]["source"]


def test_without_flair_there_are_still_margins(made, tmp_path):
    shutil.copytree(made[1], tmp_path / "out")
    (tmp_path / "out" / "registered" / "flair.nii.gz").unlink()
    summary = run_case(made[0], tmp_path / "out", QUICK)
    assert step(summary, "registered")["status"] == "kept"
    assert step(summary, "recurrence")["status"] == "skipped"
    assert "FLAIR is needed" in step(summary, "recurrence")["why"]
    assert step(summary, "rt")["status"] == "done"
    # What an earlier run left of the step plays no part.
    assert "probability" not in step(summary, "rt")["summary"]
    assert not (tmp_path / "out" / "recurrence").exists()
    assert not (tmp_path / "out" / "rt" / "CTV_MODEL.nii.gz").exists()
    assert "beyond the lesion" not in (tmp_path / "out" / "report.html").read_text()


def test_a_threshold_and_a_volume_are_obeyed(made, again):
    cc = lambda folder, name: int(boolean(read_image(folder / "rt" / f"{name}.nii.gz")).sum())
    usual = cc(made[1], "CTV_MODEL")
    summary, out = again(replace(QUICK, threshold=0.005))
    assert step(summary, "recurrence")["status"] == "kept"
    assert step(summary, "rt")["summary"]["probability"]["threshold"] == 0.005
    assert cc(out, "CTV_MODEL") > usual
    summary, out = again(replace(QUICK, like="rtog"))
    assert step(summary, "rt")["summary"]["probability"]["like_scheme"] == "rtog"
    assert 0.97 * cc(out, "CTV_RTOG") < cc(out, "CTV_MODEL") <= cc(out, "CTV_RTOG")


def test_a_folder_that_holds_no_model_is_said(again, tmp_path):
    summary, _ = again(replace(QUICK, recurrence_model=str(tmp_path)))
    assert step(summary, "recurrence")["status"] == "refused"
    assert "is no model folder" in step(summary, "recurrence")["why"]
    assert summary["losses"]


def test_the_shipped_network_is_asked_by_its_name(made, again):
    pytest.importorskip("torch")
    summary, out = again(replace(QUICK, recurrence_model="network"))
    found = step(summary, "recurrence")
    assert (found["status"], found["summary"]["model"]) == ("done", "network")
    before, after = (array(read_image(f / "recurrence" / "probability.nii.gz")) for f in (made[1], out))
    assert np.abs(before - after).max() > 0.05
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.7
    assert "network, trained on" in (out / "report.html").read_text(encoding="utf-8")


def test_a_threshold_out_of_range_is_refused(made, tmp_path):
    with pytest.raises(InputError, match="threshold"):
        run_case(made[0], tmp_path / "out", replace(QUICK, threshold=1.5))
