"""The rt step of a run: CTVs from a recurrence probability, barriers, what report and structure set say of both. A simulated patient."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gliosuite.atlas import LABELS
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, write_image
from gliosuite.pipeline.context import RunSettings
from gliosuite.pipeline.run import run_case
from gliosuite.simulate.cohort import simulate_case
from probabilities import SOURCE, blurred_truth

WALLS = ("falx", "tentorium", "ventricles", "callosum")


@pytest.fixture(scope="module")
def patient():
    return simulate_case(14, grid_mm=3.0, scans=("structural",))


@pytest.fixture(scope="module")
def case_folder(patient, tmp_path_factory) -> Path:
    """A case with a probability (the truth, blurred and noised), and a folder of barriers beside it."""
    folder = tmp_path_factory.mktemp("patient")
    patient.write(folder / "case", dicom=("t1c",), masks=("cel", "t2l", "cavity", "progression_cel", "progression_t2l"))
    recurrence = patient.truth["progression_cel"]
    grid = Grid.of(recurrence)
    probability = blurred_truth(boolean(recurrence), grid.spacing[::-1])
    write_image(grid.image(probability), folder / "case" / "probability.nii.gz", SOURCE[:70])
    data = json.loads((folder / "case" / "case.json").read_text())
    # Neither registration nor drafts are looked at here.
    data["images"] = {"t1c": data["images"]["t1c"]}
    write_image(patient.truth["brain"], folder / "case" / "brain.nii.gz")
    data["masks"]["brain"] = "brain.nii.gz"
    data["images"]["probability"] = {"path": "probability.nii.gz", "source": SOURCE}
    data.pop("followup", None)
    (folder / "case" / "case.json").write_text(json.dumps(data))
    labels = array(patient.truth["structures"], np.uint8)
    for name in WALLS:
        write_image(grid.image(labels == LABELS[name]), folder / "barriers" / f"{name}.nii.gz")
    return folder / "case"


@pytest.fixture(scope="module")
def results(case_folder, tmp_path_factory):
    """A run with barriers and one without, in one place after the other: ``(folder, summary, step)`` of each."""

    def run(**settings):
        out = tmp_path_factory.mktemp("results") / "out"
        summary = run_case(Case.load(case_folder), out, RunSettings(spacing_mm=3.0, schemes=("rtog",), **settings))
        return out, summary, next(s for s in summary["steps"] if s["step"] == "rt")

    return {"straight": run(), "round": run(barriers=str(case_folder.parent / "barriers"), like="rtog")}


def of_rt(summary: dict) -> dict:
    """The record of the step that makes target volumes."""
    return next(step for step in summary["steps"] if step["step"] == "rt")


def descriptions(out: Path) -> dict[str, str]:
    import pydicom

    return {
        item.ROIName: item.get("ROIDescription", "")
        for item in pydicom.dcmread(out / "rt" / "RS.dcm").StructureSetROISequence
    }


def test_the_model_ctv_stands_beside_the_schemes_and_holds_the_lesion(results):
    out, _, step = results["straight"]
    volumes = {r["name"]: r for r in step["summary"]["rois"]}
    assert {"CTV_RTOG", "CTV_MODEL", "CTV_MODEL_LOW"} <= set(volumes)
    model, low = (boolean(read_image(out / "rt" / f"{n}.nii.gz")) for n in ("CTV_MODEL", "CTV_MODEL_LOW"))
    brain, cel, t2l = (boolean(read_image(out / "lesions" / f"{n}.nii.gz")) for n in ("brain", "cel", "t2l"))
    assert model[brain & (cel | t2l)].all()
    assert not (model & low).any()
    assert "probability >= 0.5" in volumes["CTV_MODEL"]["rule"]
    assert SOURCE in volumes["CTV_MODEL"]["rule"]


def test_the_model_ctv_is_compared_and_its_lower_level_is_not(results):
    out, _, _ = results["straight"]
    with (out / "rt" / "comparison.csv").open(newline="") as stream:
        assert [r["name"] for r in csv.DictReader(stream)] == ["CTV_RTOG", "CTV_MODEL"]


def test_where_the_probability_comes_from_is_said(results):
    out, _, step = results["straight"]
    assert step["summary"]["probability"]["source"] == SOURCE
    assert step["settings"]["probability"] == {"source": SOURCE, "threshold": 0.5}
    page = (out / "report.html").read_text()
    assert f"Recurrence probability: {SOURCE}." in page
    assert "what is predicted to recur" in page
    found = descriptions(out)
    assert SOURCE in found["CTV_MODEL"]
    assert "brain mask: file" in found["CTV_MODEL"]


def test_barriers_bear_on_margins_and_are_said_everywhere(results):
    out, _, step = results["round"]
    straight, way = (boolean(read_image(results[k][0] / "rt" / "CTV_RTOG.nii.gz")) for k in ("straight", "round"))
    assert not (way & ~straight).any()
    assert 0.5 < way.sum() / straight.sum() < 0.995
    assert step["summary"]["barriers"]["source"] == "masks given"
    assert step["summary"]["barriers"]["rules"]["falx"] == "stops"
    assert any(n.startswith("Barriers, masks given: falx (stops)") for n in step["notes"])
    assert not any("No anatomical barrier" in n for n in step["notes"])
    assert {p.name for p in (out / "rt" / "barriers").iterdir()} == {f"{n}.nii.gz" for n in WALLS}
    page = (out / "report.html").read_text()
    assert "Barriers: masks given." in page
    assert "margins go round the barriers" in page
    found = descriptions(out)
    assert "round falx, tentorium, ventricles, callosum (masks given)" in found["CTV_RTOG"]
    assert "barriers do not apply to what is predicted" in found["CTV_MODEL"]
    assert not any("no barriers" in text for text in found.values())


def test_without_barriers_the_structure_set_says_so(results):
    out, _, step = results["straight"]
    assert "no barriers" in descriptions(out)["CTV_RTOG"]
    assert step["summary"]["barriers"] == {"source": "none", "rules": {}}
    assert not (out / "rt" / "barriers").exists()


def test_like_gives_the_model_ctv_the_volume_of_a_scheme(results):
    _, _, step = results["round"]
    volumes = {r["name"]: r["volume_cc"] for r in step["summary"]["rois"]}
    assert volumes["CTV_MODEL"] == pytest.approx(volumes["CTV_RTOG"], rel=0.01)


def test_no_result_names_the_folder_of_barriers(results, case_folder):
    out, _, _ = results["round"]
    for path in (*out.rglob("*.json"), out / "report.html"):
        assert str(case_folder.parent) not in path.read_text(), path


def test_changed_barriers_repeat_the_step_and_the_same_do_not(results, case_folder):
    out, *_ = results["round"]
    folder = case_folder.parent / "barriers"
    settings = RunSettings(spacing_mm=3.0, schemes=("rtog",), barriers=str(folder), like="rtog")
    status = lambda: of_rt(run_case(Case.load(case_folder), out, settings))["status"]
    assert status() == "kept"
    moved = (folder / "callosum.nii.gz").rename(folder.parent / "callosum.nii.gz")
    try:
        assert status() == "done"
        assert not (out / "rt" / "barriers" / "callosum.nii.gz").exists()
    finally:
        moved.rename(folder / "callosum.nii.gz")


def test_without_a_probability_there_is_no_model_ctv_and_a_wanted_one_is_missed(results, case_folder, tmp_path):
    shutil.copytree(results["straight"][0], tmp_path / "out")
    case = Case.load(case_folder)
    del case.data["images"]["probability"]
    step = of_rt(run_case(case, tmp_path / "out", RunSettings(spacing_mm=3.0, schemes=("rtog", "model"))))
    assert not (tmp_path / "out" / "rt" / "CTV_MODEL.nii.gz").exists()
    assert any(n.startswith("Scheme model was left out: there is no recurrence probability") for n in step["notes"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--barriers", "absent"], "absent is no folder; --barriers takes a folder of masks, auto or none"),
        (["--through", "brainstem"], "--through names ways through barriers, and there are none"),
        (["--threshold", "1.5"], "threshold 1.5 is out of range"),
        (["--threshold", "0.5", "--like", "rtog"], "give one of them"),
        (["--like", "rtogg"], "CTV scheme 'rtogg' is not known"),
    ],
)
def test_unfit_options_are_refused_before_anything_is_written(case_folder, tmp_path, gliosuite, options, sentence):
    code, out, err = gliosuite("run", case_folder, "--out", tmp_path / "out", *options)
    assert code == 2
    assert out == ""
    assert sentence in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_percent_is_refused_before_anything_is_written(case_folder, tmp_path, gliosuite):
    image = read_image(case_folder / "probability.nii.gz")
    write_image(image * 100, tmp_path / "case" / "probability.nii.gz")
    data = json.loads((case_folder / "case.json").read_text())
    data["images"] = {"probability": {"path": "probability.nii.gz"}} | {
        r: e | {"path": str(case_folder / e["path"])} for r, e in data["images"].items() if r != "probability"
    }
    data["masks"], data["dicom"] = {}, {}
    (tmp_path / "case" / "case.json").write_text(json.dumps(data))
    code, _, err = gliosuite("run", tmp_path / "case", "--out", tmp_path / "out")
    assert code == 2
    assert "0 to 1 is needed (a fraction, not percent)" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_roi_of_a_structure_set_is_taken_as_a_mask(results, case_folder, tmp_path):
    out, _, _ = results["straight"]
    folder = tmp_path / "case"
    shutil.copytree(case_folder, folder)
    shutil.copy(out / "rt" / "RS.dcm", folder / "RS.dcm")
    data = json.loads((folder / "case.json").read_text())
    data["images"].pop("probability")
    data["masks"] = {"brain": data["masks"]["brain"], "cel": {"path": "RS.dcm", "roi": "GTV_RTOG"}}
    (folder / "case.json").write_text(json.dumps(data))
    settings = RunSettings(spacing_mm=3.0, schemes=("s3-eortc",))
    summary = run_case(Case.load(folder), tmp_path / "out", settings)
    assert [s["status"] for s in summary["steps"] if s["step"] in ("lesions", "rt")] == ["done", "done"]
    made, drawn = (boolean(read_image(p)) for p in (tmp_path / "out/lesions/cel.nii.gz", out / "rt/GTV_RTOG.nii.gz"))
    assert 2 * (made & drawn).sum() / (made.sum() + drawn.sum()) > 0.95
    with pytest.raises(InputError, match="is a ROI of a structure set"):
        Case.load(folder).mask("cel")

    data["masks"]["cel"]["roi"] = "GTV"
    (folder / "case.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="has no ROI GTV; it has GTV_RTOG"):
        run_case(Case.load(folder), tmp_path / "other", settings)


def structure_set(out: Path):
    import pydicom

    return pydicom.dcmread(out / "rt" / "RS.dcm")


@pytest.fixture(scope="module")
def drafted(case_folder, tmp_path_factory) -> Path:
    """The case with its enhancing lesion as the draft of an earlier run, which says so of itself, and without progression."""
    folder = tmp_path_factory.mktemp("drafted") / "case"
    shutil.copytree(case_folder, folder)
    data = json.loads((folder / "case.json").read_text())
    write_image(read_image(folder / data["masks"]["cel"]), folder / "draft.nii.gz", "cel (draft)")
    data["masks"] |= {"cel": "draft.nii.gz"}
    for role in ("progression_cel", "progression_t2l"):
        data["masks"].pop(role)
    data["images"].pop("probability")
    (folder / "case.json").write_text(json.dumps(data))
    return folder


def test_a_draft_is_called_a_draft_until_a_person_accepts_it(drafted, tmp_path):
    settings = RunSettings(spacing_mm=3.0, schemes=("rtog", "s3-eortc"))
    run_case(Case.load(drafted), tmp_path / "a", settings)
    found = structure_set(tmp_path / "a")
    assert found.StructureSetLabel == "DRAFT"
    rois = {r.ROIName: r for r in found.StructureSetROISequence}
    assert rois["CTV_RTOG"].ROIDescription.startswith("DRAFT, not checked by a person. ")
    assert {r.ROIGenerationAlgorithm for r in rois.values()} == {"AUTOMATIC"}
    assert read_image(tmp_path / "a" / "rt" / "CTV_RTOG.nii.gz").GetMetaData("descrip").startswith("DRAFT: ")
    page = (tmp_path / "a" / "report.html").read_text()
    assert 'CTV_RTOG <span class="tag draft">draft</span>' in page
    assert "Structure set label: DRAFT." in page
    with (tmp_path / "a" / "rt" / "comparison.csv").open(newline="") as stream:
        assert {r["first"] for r in csv.DictReader(stream)} == {"CTV_RTOG (draft)"}

    run_case(Case.load(drafted), tmp_path / "b", replace(settings, drafts_accepted_by="A. Reader"))
    found = structure_set(tmp_path / "b")
    assert found.StructureSetLabel == "GlioSuite"
    rois = {r.ROIName: r for r in found.StructureSetROISequence}
    assert rois["CTV_RTOG"].ROIDescription.startswith("Draft accepted by A. Reader. ")
    assert rois["CTV_RTOG"].ROIGenerationAlgorithm == "SEMIAUTOMATIC"
    assert 'CTV_RTOG <span class="tag draft">' not in (tmp_path / "b" / "report.html").read_text()


def test_no_target_rests_on_an_unsure_draft(drafted, tmp_path):
    data = json.loads((drafted / "case.json").read_text())
    lesion = read_image(drafted / "draft.nii.gz")
    few = np.zeros(Grid.of(lesion).shape, bool)
    few[tuple(np.argwhere(boolean(lesion))[:10].T)] = True  # 0.27 cc
    shutil.copytree(drafted, tmp_path / "case")
    write_image(Grid.of(lesion).image(few), tmp_path / "case" / "draft.nii.gz", "cel (draft)")
    data["masks"] = {n: m for n, m in data["masks"].items() if n in ("cel", "brain")}
    (tmp_path / "case" / "case.json").write_text(json.dumps(data))
    settings = RunSettings(spacing_mm=3.0, schemes=("s3-eortc",))
    summary = run_case(Case.load(tmp_path / "case"), tmp_path / "a", settings)
    steps = {s["step"]: s for s in summary["steps"]}
    assert steps["rt"]["status"] == "skipped"
    assert "The draft of cel is in no target volume (0.3 cc, less than 1)" in steps["rt"]["why"]
    assert any("the draft of cel is unsure" in n for n in steps["lesions"]["notes"])
    accepted = replace(settings, drafts_accepted_by="A. Reader")
    summary = run_case(Case.load(tmp_path / "case"), tmp_path / "b", accepted)
    assert {s["step"]: s["status"] for s in summary["steps"]}["rt"] == "done"
