"""A case through every step: what is done, kept, skipped, refused, and what a reader sees of it. The patient is simulated."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, write_image
from gliosuite.pipeline import run as engine
from gliosuite.pipeline import write_report
from gliosuite.pipeline.context import RunSettings
from gliosuite.pipeline.run import run_case
from gliosuite.registration.quality import landmark_error
from gliosuite.registration.similarity import positions
from gliosuite.report.markup import number
from gliosuite.report.page import NOTICE, SIMULATED
from gliosuite.resources import colors, rgb
from gliosuite.simulate.cohort import simulate_case

COARSE = RunSettings(spacing_mm=3.0, motion=False)


@pytest.fixture(scope="module")
def patient():
    return simulate_case(14, grid_mm=3.0)


@pytest.fixture(scope="module")
def case_folder(patient, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    patient.write(
        folder / "case",
        folder / "truth",
        dicom=("t1c",),
        masks=("cel", "t2l", "cavity", "progression_cel", "progression_t2l"),
    )
    return folder / "case"


@pytest.fixture(scope="module")
def results(case_folder, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("results") / "out"
    return out, run_case(Case.load(case_folder), out, COARSE)


@pytest.mark.parametrize("role", ["dsc", "dce"])
def test_a_series_is_moved_onto_the_reference_and_not_left_as_it_lies(results, case_folder, role):
    """The DSC series, 2.5 mm off, once came back with the identity, accepted."""
    brain = read_image(case_folder.parent / "truth" / "brain.nii.gz")
    points = positions(Grid.of(brain), boolean(brain))[::50]
    true = sitk.ReadTransform(str(case_folder.parent / "truth" / f"{role}.tfm"))
    goal = np.array([true.TransformPoint(p) for p in points.tolist()])
    found = sitk.ReadTransform(str(results[0] / "registered" / f"{role}.tfm"))
    assert landmark_error(None, points, goal).mean() > 1.4
    assert landmark_error(found, points, goal).mean() < 1.0  # a fifth of the DSC's slices


@pytest.fixture
def copy(case_folder, tmp_path) -> Path:
    """A copy of the case to damage; its images are links, case.json is its own."""
    folder = tmp_path / "case"
    shutil.copytree(case_folder, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    text = (folder / "case.json").read_text()
    (folder / "case.json").unlink()
    (folder / "case.json").write_text(text)
    return folder


def change(folder: Path, **keys) -> None:
    """Change acquisition values of the DCE series in case.json; None removes one."""
    data = json.loads((folder / "case.json").read_text())
    for key, value in keys.items():
        data["images"]["dce"].pop(key, None)
        if value is not None:
            data["images"]["dce"][key] = value
    (folder / "case.json").write_text(json.dumps(data))


def test_every_step_is_done_and_leaves_what_the_contract_names(results):
    out, summary = results
    assert {s["step"]: s["status"] for s in summary["steps"]} == dict.fromkeys(engine.NAMES, "done") | {
        "dti": "skipped"
    }
    for name in (
        "registered/t1c.nii.gz", "registered/flair.tfm", "lesions/cel.nii.gz", "dce/ktrans.nii.gz", "dce/on_t1c/ktrans.nii.gz",
        "dce/aif.csv", "dce/fit.json", "dsc/cbv.nii.gz",
        "habitats/habitats.nii.gz", "habitats/patterns.csv", "progression/progression_cel.nii.gz", "rt/CTV_RTOG.nii.gz", "rt/RS.dcm",
        "rt/comparison.csv", "regions.csv", "regions_histogram.csv", "report.html", "provenance.json", "run.json",
    ):  # fmt: skip
        assert (out / name).exists(), name
    assert not list(out.rglob(".gliosuite-partial-*"))


def test_every_voxel_of_the_lesion_that_was_scanned_has_a_pattern_and_the_report_shows_them(results):
    out, _ = results
    labels, cel, nel = (
        array(read_image(out / n))
        for n in ("habitats/on_t1c/habitats.nii.gz", "lesions/cel.nii.gz", "lesions/nel.nii.gz")
    )
    regions = {
        p["value"]: p["region"] for p in json.loads((out / "habitats" / "habitats.json").read_text())["patterns"]
    }
    for region, mask in (("cel", cel > 0), ("nel", nel > 0)):
        own = np.isin(labels, [v for v, r in regions.items() if r == region])
        assert not (own & ~mask).any()
        assert own[mask].mean() > 0.8  # the slab of the series ends above and below
    assert "Mean curves, aligned on the arrival" in (out / "report.html").read_text()


def test_maps_come_back_near_the_simulated_truth_in_the_enhancing_lesion(results, patient):
    out, _ = results
    cel = boolean(read_image(out / "lesions" / "cel.nii.gz"))
    found = array(read_image(out / "dce" / "on_t1c" / "ktrans.nii.gz"))[cel]
    truth = array(patient.truth["ktrans"])[boolean(patient.case.mask("cel"))]
    assert np.nanmedian(found) == pytest.approx(np.median(truth), rel=0.5), "automatic AIF, one T1 for all, 3 mm voxels"


def test_region_medians_count_fitted_zeros_and_nothing_outside_the_fit(results):
    out, _ = results
    with (out / "regions.csv").open(newline="") as stream:
        row = next(r for r in csv.DictReader(stream) if r["map"] == "ktrans" and r["region"] == "brain")
    brain = boolean(read_image(out / "lesions" / "brain.nii.gz"))
    fitted = boolean(read_image(out / "dce" / "on_t1c" / "mask.nii.gz"))
    values = array(read_image(out / "dce" / "on_t1c" / "ktrans.nii.gz"))[brain & fitted]
    defined = values[np.isfinite(values)]
    assert int(row["n"]) == defined.size
    assert float(row["median"]) == pytest.approx(np.median(defined), rel=1e-4)
    with (out / "regions.csv").open(newline="") as stream:
        rows = {(r["map"], r["region"]): r for r in csv.DictReader(stream)}
    assert {"cel", "t2l", "nel"} <= {region for _, region in rows}
    assert rows["ktrans_sd", "cel"]["unit"] == "1/min"
    # Both have a kep; each is in the table.
    assert ("kep", "cel") in rows
    assert (("dsc_kep", "cel") in rows) == (out / "dsc" / "on_t1c" / "kep.nii.gz").exists()
    if (out / "dsc" / "nawm.nii.gz").exists():
        assert float(rows["ncbv", "nawm"]["mean"]) == pytest.approx(1.0, rel=0.25)


def test_given_masks_are_files_and_drafts_are_called_drafts(results):
    out, summary = results
    lesions = next(s for s in summary["steps"] if s["step"] == "lesions")["summary"]
    assert lesions["cel"]["source"] == "file"
    assert lesions["brain"]["source"] == "draft"
    page = (out / "report.html").read_text()
    assert "Drafts, to be checked and corrected by a reader: brain" in page
    with (out / "regions.csv").open(newline="") as stream:
        drafts = {r["region"] for r in csv.DictReader(stream) if r["draft"] == "DRAFT"}
    assert {"brain", "normal"} <= drafts
    assert not drafts & {"cel", "t2l"}


def test_ctvs_are_in_the_order_of_their_rules_and_inside_the_brain(results):
    out, summary = results
    brain = boolean(read_image(out / "lesions" / "brain.nii.gz"))
    rtog, eano = (boolean(read_image(out / "rt" / f"{n}.nii.gz")) for n in ("CTV_RTOG", "CTV_EANO"))
    assert not (rtog & ~brain).any()
    assert rtog.sum() > eano.sum() > boolean(read_image(out / "lesions" / "cel.nii.gz")).sum()
    rows = {r["name"]: r for r in next(s for s in summary["steps"] if s["step"] == "rt")["summary"]["comparison"]}
    assert rows["CTV_RTOG"]["sensitivity"] >= rows["CTV_EANO"]["sensitivity"]
    assert rows["CTV_RTOG"]["specificity"] <= rows["CTV_EANO"]["specificity"]


def test_the_report_is_one_page_with_notice_pictures_and_no_path(results, case_folder):
    out, _ = results
    page = (out / "report.html").read_text()
    assert NOTICE in page
    assert SIMULATED in page
    assert page.count("<img") >= 8
    assert page.count('type="checkbox"') == page.count("<img") == page.count(";base64,"), (
        "each is enlarged with a click"
    )
    assert "http://" not in page
    assert "https://" not in page
    assert str(out) not in page
    assert str(case_folder) not in page


def test_the_report_says_how_long_registrations_took_where_that_is_asked_for(results, gliosuite, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(results[0], out)
    before = (out / "report.html").read_bytes()
    took = json.loads((out / "registered" / "provenance.json").read_text())["cpu_seconds_of"]
    assert {"t1", "flair", "dce", "dsc"} <= set(took)
    assert all(s > 0 for s in took.values())
    assert gliosuite("report", out, "--times", "--quiet")[0] == 0
    page = (out / "report.html").read_text()
    assert '<th class="n">processor time (s)</th><th>program</th>' in page
    assert all(f'<td class="n">{number(s)}</td><td>simpleitk</td>' in page for s in took.values())
    assert gliosuite("report", out, "--quiet")[0] == 0
    assert (out / "report.html").read_bytes() == before, "results hold no duration"
    assert "cpu_seconds" not in (out / "run.json").read_text()


def test_the_contents_name_every_section_and_numbers_are_plain(results):
    page = (results[0] / "report.html").read_text()
    text = re.sub(r'"data:image[^"]*"', "", page)
    links, headings = re.findall(r'<a href="#(\w+)"', text), re.findall(r'<h2 id="(\w+)"', text)
    assert links == headings
    assert {*engine.NAMES, "regions"} - {"dti"} <= set(links)  # the case has no diffusion series
    shown = re.sub(r'<style>.*?</style>|<details>.*?</details>|style="[^"]*"', "", text, flags=re.DOTALL)
    assert not re.search(r"\d[eE][+-]?\d|\d\.\d{7,}", shown), "neither exponents nor long tails"
    assert "<b>CEL</b> contrast-enhancing lesion" in shown


def test_a_structure_has_one_color_in_page_record_and_structure_set(results):
    from gliosuite.rt.rtstruct import read_structures

    out, summary = results
    rois = next(s for s in summary["steps"] if s["step"] == "rt")["summary"]["rois"]
    page = (out / "report.html").read_text()
    structures = {s.name: s.color_rgb for s in read_structures(out / "rt" / "RS.dcm").structures}
    shades = colors([roi["name"] for roi in rois])
    for name, color in shades.items():
        assert structures[name] == rgb(color)
        assert f'background:{color}"></span>{name}' in page
    assert {"CTV_RTOG", "CTV_ACROP", "CTV_EANO"} <= set(structures)
    assert "GTV_EANO" not in structures, "the same volume as GTV_ACROP"


def test_both_visits_stand_side_by_side_with_what_changed(results, patient):
    out, summary = results
    step = next(s for s in summary["steps"] if s["step"] == "progression")
    assert step["summary"]["days"] == patient.case.data["followup"]["days"]
    page = (out / "report.html").read_text()
    for text in ("Both visits on the same slices", "follow-up (cc)", "What changed", "progression outside (cc)"):
        assert text in page


def test_a_simulated_patient_is_scored_against_its_truth(results, case_folder):
    out, summary = results
    assert json.loads((case_folder / "case.json").read_text())["truth"] == "../truth"
    found = next(s for s in summary["steps"] if s["step"] == "scored")["summary"]
    registered = {row[0]: row[1:] for row in found["registration"]}
    assert set(registered) >= {"t1", "flair", "dce", "dsc", "follow-up"}
    del registered["dsc"]  # at 3 mm it may stay where it lay
    assert all(after < before for after, _, before in registered.values())
    assert {row[0] for row in found["aif"]} == {"peak (mM)", "area (mM s)"}
    assert "Against the truth of the simulation" in (out / "report.html").read_text()


def test_a_patient_whose_truth_is_not_there_is_not_scored(copy, tmp_path):
    summary = run_case(
        Case.load(copy),
        tmp_path / "out",
        RunSettings(spacing_mm=3.0, skip=("dce", "dsc", "progression", "rt", "t1", "t2")),
    )
    step = next(s for s in summary["steps"] if s["step"] == "scored")
    assert step["status"] == "skipped"
    assert "it is not there" in step["why"]


def test_a_second_run_keeps_everything_and_changes_no_byte(results, case_folder):
    out, _ = results
    before = {
        p: p.read_bytes()
        for p in out.rglob("*")
        if p.is_file() and p.name not in ("provenance.json", "run.json", "report.html")
    }
    summary = run_case(Case.load(case_folder), out, COARSE)
    assert {s["status"] for s in summary["steps"] if s["step"] != "dti"} == {"kept"}
    assert all(p.read_bytes() == content for p, content in before.items())


def test_a_changed_setting_repeats_only_what_depends_on_it(results, case_folder, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(results[0], out)
    summary = run_case(Case.load(case_folder), out, RunSettings(spacing_mm=3.0, motion=False, schemes=("eortc",)))
    status = {s["step"]: s["status"] for s in summary["steps"]}
    assert (status.pop("rt"), status.pop("dti")) == ("done", "skipped")
    assert set(status.values()) == {"kept"}
    assert (out / "rt" / "CTV_EORTC.nii.gz").exists()
    assert not (out / "rt" / "CTV_RTOG.nii.gz").exists(), "what an earlier run left of a step is gone"


@pytest.mark.parametrize("unexpected", [False, True])
def test_a_failing_step_leaves_nothing_of_itself_and_the_rest_goes_on(
    results, case_folder, tmp_path, monkeypatch, gliosuite, unexpected
):
    out = tmp_path / "out"
    shutil.copytree(results[0], out)
    shutil.rmtree(out / "rt")

    def broken(run, folder, progress):
        (folder / "half.nii.gz").write_bytes(b"half")
        raise ValueError("shapes (3,) and\n(4,)") if unexpected else InputError("no bolus")

    steps = tuple(replace(s, function=broken) if s.name == "rt" else s for s in engine.STEPS)
    monkeypatch.setattr(engine, "STEPS", steps)
    code, said, err = gliosuite("run", case_folder, "--out", out, "--spacing-mm", 3, "--no-motion", "--workers", 1)
    status, why = "refused", "no bolus"
    if unexpected:
        status = "failed"
        why = "an unexpected error, a defect of GlioSuite (ValueError: shapes (3,) and (4,)); its traceback is in rt.error.txt"
    assert code == 3
    assert [line for line in err.splitlines() if line.startswith("problem: ")] == [
        f"problem: rt {'failed' if unexpected else 'was refused'}: {why}"
    ]
    summary = json.loads(said)
    assert "losses" not in summary
    assert {"step": "rt", "status": status, "why": why} in summary["steps"]
    assert not (out / "rt").exists()
    assert f"Target volumes: {status}. {why}" in (out / "report.html").read_text()
    assert (out / "rt.error.txt").exists() == unexpected
    if unexpected:
        assert "in broken" in (out / "rt.error.txt").read_text()
        monkeypatch.undo()
        assert run_case(Case.load(case_folder), out, COARSE)["losses"] == []
        assert not (out / "rt.error.txt").exists(), "it tells of a run that is over"


def test_an_unexpected_error_in_what_is_done_early_costs_its_step_alone(results, case_folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(results[0], out)
    shutil.rmtree(out / "dsc")

    def broken(run, progress):
        raise KeyError("ktrans")

    steps = tuple(replace(s, early=broken) if s.name == "dsc" else s for s in engine.STEPS)
    monkeypatch.setattr(engine, "STEPS", steps)
    summary = run_case(Case.load(case_folder), out, COARSE)
    assert {s["step"]: s["status"] for s in summary["steps"]}["dsc"] == "failed"
    assert summary["losses"] == [
        "dsc failed: an unexpected error, a defect of GlioSuite (KeyError: 'ktrans'); its traceback is in dsc.error.txt"
    ]
    assert (out / "report.html").exists()


def test_a_run_that_could_do_nothing_ends_with_3(tmp_path, gliosuite):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "case.json").write_text('{"id": "empty"}')
    code, _, err = gliosuite("run", tmp_path / "case", "--out", tmp_path / "out")
    assert code == 3
    assert err.strip().splitlines()[-1].startswith("problem: nothing was done: registered: the case has none of t1c")
    assert (tmp_path / "out" / "report.html").exists()


def test_what_is_said_of_a_mask_is_in_the_report(copy, tmp_path):
    mask = read_image(copy / "cel.nii.gz")
    values = array(mask, np.uint8)
    half = np.flatnonzero(values)[: int(values.sum()) // 2]
    values.ravel()[half] = 4
    (copy / "cel.nii.gz").unlink()
    write_image(Grid.of(mask).image(values), copy / "cel.nii.gz")
    with pytest.warns(UserWarning, match="holds several labels"):
        summary = run_case(Case.load(copy), tmp_path / "out", replace(COARSE, skip=("dce", "dsc", "progression", "rt")))
    lesions = next(s for s in summary["steps"] if s["step"] == "lesions")
    (note,) = [n for n in lesions["notes"] if "several labels" in n]
    assert note.startswith("masks.cel (cel.nii.gz) holds several labels, 1 (")
    assert note[1:] in (tmp_path / "out" / "report.html").read_text()  # sentences begin with a capital there


def test_results_do_not_go_where_the_case_lies(copy, results, case_folder, gliosuite):
    for out in (copy, results[0]):
        data = json.loads((case_folder / "case.json").read_text())
        if out != copy:  # a draft that was accepted, and the same results folder again
            data["masks"]["cel"] = str(out / "lesions" / "cel.nii.gz")
            for entry in data["images"].values():
                entry["path"] = str(case_folder / entry["path"])
        (copy / "case.json").write_text(json.dumps(data))
        code, _, err = gliosuite("run", copy, "--out", out)
        assert code == 2
        assert re.search("would be replaced|results need a folder of their own", err.strip().splitlines()[-1])


def test_what_a_case_lacks_is_skipped_with_a_reason(case_folder, tmp_path):
    settings = RunSettings(
        spacing_mm=3.0, skip=("dce", "dsc", "progression_cel", "progression_t2l", "progression", "t1", "t2")
    )
    summary = run_case(Case.load(case_folder), tmp_path / "out", settings)
    status = {s["step"]: (s["status"], s.get("why", "")) for s in summary["steps"]}
    assert status["dce"] == ("skipped", "--skip dce was given")
    assert status["progression"][0] == "skipped"
    rt = next(s for s in summary["steps"] if s["step"] == "rt")
    assert rt["status"] == "done"
    assert "comparison" not in rt["summary"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"tr_ms": None}, "has no tr_ms"),
        ({"flip_angle_deg": None, "tr_ms": None}, "has no tr_ms and no flip_angle_deg"),
        ({"tr_ms": -3}, "images.dce.tr_ms is -3; a number above 0 (ms) is needed"),
        ({"times_s": [0, 5, 4]}, "images.dce.times_s does not rise: frame 2 is at 5 s and frame 3 at 4 s"),
        ({"times_s": [0, 5, 10]}, "has 60 time points"),
        ({"path": "absent.nii.gz"}, "absent.nii.gz, which does not exist"),
    ],
)
def test_an_unfit_case_is_refused_before_anything_is_written(copy, tmp_path, gliosuite, keys, sentence):
    change(copy, **keys)
    code, out, err = gliosuite("run", copy, "--out", tmp_path / "out")
    assert code == 2
    assert out == ""
    assert sentence in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_truncated_series_is_refused_before_anything_is_written(copy, tmp_path, gliosuite):
    whole = (copy / "dce.nii.gz").read_bytes()
    (copy / "dce.nii.gz").unlink()
    (copy / "dce.nii.gz").write_bytes(whole[: len(whole) // 2])
    code, _, err = gliosuite("run", copy, "--out", tmp_path / "out")
    assert code == 2
    assert "dce.nii.gz is truncated or damaged" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_empty_mask_is_refused_before_anything_is_written(copy, tmp_path, gliosuite):
    grid = Grid.of(read_image(copy / "cel.nii.gz"))
    (copy / "cel.nii.gz").unlink()
    write_image(grid.blank(), copy / "cel.nii.gz")
    code, _, err = gliosuite("run", copy, "--out", tmp_path / "out")
    assert code == 2
    assert "masks.cel (cel.nii.gz) is empty" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_name_that_cannot_be_skipped_is_said(case_folder, tmp_path, gliosuite):
    code, _, err = gliosuite("run", case_folder, "--out", tmp_path / "out", "--skip", "dcee")
    assert code == 2
    assert "--skip dcee: neither a step" in err.splitlines()[-1]


def test_an_unknown_scheme_is_said_before_anything_is_written(case_folder, tmp_path, gliosuite):
    code, _, err = gliosuite("run", case_folder, "--out", tmp_path / "out", "--scheme", "rtogg")
    assert code == 2
    assert "CTV scheme 'rtogg' is not known" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_label_map_gives_the_masks_by_its_convention(copy, tmp_path):
    masks = {n: array(read_image(copy / f"{n}.nii.gz"), np.uint8) > 0 for n in ("cel", "t2l")}
    grid = Grid.of(read_image(copy / "cel.nii.gz"))
    write_image(
        grid.image(np.where(masks["cel"], 3, np.where(masks["t2l"], 2, 0)).astype(np.uint8)), copy / "labels.nii.gz"
    )
    data = json.loads((copy / "case.json").read_text())
    data["masks"] = {"labelmap": {"path": "labels.nii.gz", "convention": "brats2023"}}
    del data["followup"]
    (copy / "case.json").write_text(json.dumps(data))
    summary = run_case(Case.load(copy), tmp_path / "out", RunSettings(spacing_mm=3.0, skip=("dce", "dsc", "t1", "t2")))
    lesions = next(s for s in summary["steps"] if s["step"] == "lesions")["summary"]
    assert lesions["cel"] == pytest.approx(lesions["cel"] | {"source": "file"})
    assert lesions["cel"]["volume_cc"] == pytest.approx(masks["cel"].sum() * grid.voxel_cc, rel=0.02)


def test_a_report_without_matplotlib_has_text_and_says_what_is_missing(results, tmp_path, monkeypatch):
    from gliosuite.report import pictures

    out = tmp_path / "out"
    shutil.copytree(results[0], out)

    def gone(module, purpose, install=None):
        raise InputError(
            f"matplotlib is needed for {purpose} and cannot be imported; install it with: pip install matplotlib"
        )

    monkeypatch.setattr(pictures, "require", gone)
    path, missing = write_report(out)
    assert missing.startswith("report.html has no pictures: matplotlib is needed")
    page = path.read_text()
    assert "<img" not in page
    assert "CTV_RTOG" in page


def test_report_needs_a_results_folder(tmp_path, gliosuite):
    code, _, err = gliosuite("report", tmp_path)
    assert code == 2
    assert "holds no run.json" in err


def test_motion_is_corrected_before_the_aif_is_chosen(case_folder, tmp_path, monkeypatch):
    from gliosuite.images import Series
    from gliosuite.perfusion import dce
    from gliosuite.pipeline import maps
    from gliosuite.pipeline.context import Run
    from gliosuite.registration import steady
    from gliosuite.registration.motion import head
    from gliosuite.registration.motion.correct import Motion

    seen = {}

    def corrected(series, progress):
        found = np.zeros((series.n_times, 3))
        none = np.zeros(series.n_times)
        still = Series(series.frames.copy(), series.grid, "corrected")
        return Motion(still, found, found, none + 0.4, none, (), none > 0, none > 0, ("a frame stands out",))

    def stop(series, *rest, **more):
        seen["name"] = series.name
        raise InputError("far enough")

    monkeypatch.setattr(steady, "correct_motion", corrected)
    monkeypatch.setattr(head, "_HEAD_MM", 0.0)
    monkeypatch.setattr(dce, "dce_maps", stop)
    run = Run(Case.load(case_folder), tmp_path, RunSettings())
    run.early = maps.steady_dce(run, lambda fraction, message: None)
    with pytest.raises(InputError, match="far enough"):
        maps.dce(run, tmp_path, lambda fraction, message: None)
    assert seen["name"] == "corrected"
    assert "the head moved by up to 0.40 mm" in run.early.notes[0]
    assert run.early.notes[1] == "a frame stands out"
    assert run.early.record["motion"]["max_displacement_mm"] == 0.4
    assert (tmp_path / "motion.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "motion.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == run.early.series.n_times


def test_the_clinicians_ctv_and_organs_go_along_and_without_progression_ctvs_meet_each_other(copy, tmp_path):
    from gliosuite.rt.rtstruct import read_structures

    data = json.loads((copy / "case.json").read_text())
    data.pop("followup", None)
    own = {r: p for r, p in data["masks"].items() if not r.startswith("progression")}
    write_image(read_image(copy / own["cel"]), copy / "draft.nii.gz", "brainstem (draft)")
    data["masks"] = own | {"ctv": own["t2l"], "brainstem": "draft.nii.gz", "other": own["cel"]}
    (copy / "case.json").write_text(json.dumps(data))
    summary = run_case(Case.load(copy), tmp_path / "out", RunSettings(spacing_mm=3.0, skip=("dce", "dsc")))
    found = next(s for s in summary["steps"] if s["step"] == "rt")["summary"]
    structures = read_structures(tmp_path / "out" / "rt" / "RS.dcm").structures
    kinds = {s.name: s.interpreted_type for s in structures}
    assert kinds["CTV_Clinical"] == "CTV"
    assert kinds["Brainstem"] == "ORGAN"
    described = {s.name: s.description for s in structures}
    assert described["Brainstem"].startswith("DRAFT")
    assert not described["CTV_Clinical"].startswith("DRAFT")
    assert kinds["GTV_RTOG"] == "GTV"
    with (tmp_path / "out" / "rt" / "comparison.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    compared = {r["first"] for r in rows} | {r["second"] for r in rows}
    # The rest of another volume is compared with nothing.
    assert compared == {n for n, kind in kinds.items() if kind == "CTV"} - {"CTV_MODEL_LOW"}
    assert len(found["agreement"]) == len(rows) == 10
    assert {f["check"] for f in found["preflight"]} >= {"series", "age", "names", "holes", "slice thickness"}
    page = (tmp_path / "out" / "report.html").read_text()
    for text in (
        "Target volumes compared with each other",
        "voxels (cc)",
        "contours (cc)",
        "The MR series is complete",
        "Brainstem",
    ):
        assert text in page
