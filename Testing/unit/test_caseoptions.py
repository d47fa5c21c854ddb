"""A case made of options: ``gliosuite case``, and ``gliosuite run`` without a case folder."""

import json

import numpy as np
import pytest
from dicom_series import Stack, write_series
from gliosuite.case import Case
from gliosuite.images import Grid, Series, boolean, read_image, write_image
from gliosuite.images import write_series as write_frames
from gliosuite.pipeline import run as engine
from gliosuite.pipeline.context import Run, RunSettings
from gliosuite.pipeline.structure import carried_mask, registered
from gliosuite.rt.rtstruct import Roi, write_rtstruct
from gliosuite.steps import silent

GRID = Grid((12, 12, 8), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "in"
    values = np.random.default_rng(0).normal(100, 10, GRID.shape).astype(np.float32)
    for name in ("t1c", "t1", "flair"):
        write_image(GRID.image(values), folder / f"{name}.nii.gz")
    mask = np.zeros(GRID.shape, bool)
    mask[2:6, 3:9, 3:9] = True
    write_image(GRID.image(mask), folder / "cel.nii.gz")
    for name in ("dce", "dsc", "vfa"):
        write_frames(Series(np.stack([values] * 3), GRID), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def seen(monkeypatch):
    """The case that ``run`` would take."""
    cases = []
    monkeypatch.setattr(engine, "run_case", lambda case, *more: cases.append(case) or {"losses": []})
    return cases


def last(err):
    return err.strip().splitlines()[-1]


def test_run_takes_images_and_how_they_were_taken(study, tmp_path, gliosuite, seen):
    images = [a for r in ("t1c", "t1", "flair", "dce") for a in (f"--{r}", study / f"{r}.nii.gz")]
    taken = ("--tr-ms", 5, "--flip-angle", 12, "--dt", 20, "--t10", 1.2)
    code, _, err = gliosuite("run", *images, "--cel", study / "cel.nii.gz", *taken, "--out", tmp_path / "R")
    assert code == 0, err
    (case,) = seen
    assert case.id == "R"
    assert case.images == ("t1", "t1c", "flair", "dce")
    assert case.acquisition("dce") == {"tr_ms": 5.0, "flip_angle_deg": 12.0, "times_s": [0.0, 20.0, 40.0], "t10_s": 1.2}
    assert boolean(case.mask("cel")).sum() == 144


def test_each_series_has_options_of_its_own(study, tmp_path, gliosuite, seen):
    (tmp_path / "times.txt").write_text("0 20 50\n")
    series = [a for r in ("t1c", "dce", "dsc", "vfa") for a in (f"--{r}", study / f"{r}.nii.gz")]
    own = ["--dce-tr-ms", 5, "--dce-flip-angle", 12, "--dce-times", tmp_path / "times.txt", "--dsc-te-ms", 30, "--dsc-tr-ms", 1500,
           "--vfa-tr-ms", 5.5, "--vfa-flip-angle", "2,5,10"]  # fmt: skip
    code, _, err = gliosuite("run", *series, *own, "--out", tmp_path / "R")
    assert code == 0, err
    assert seen[0].acquisition("dce")["times_s"] == [0.0, 20.0, 50.0]
    assert seen[0].acquisition("dsc") == {"tr_ms": 1500.0, "te_ms": 30.0}
    assert seen[0].acquisition("vfa") == {"tr_ms": 5.5, "flip_angle_deg": [2.0, 5.0, 10.0]}
    for more, sentence in (
        (["--tr-ms", 5], "--tr-ms could be that of dce and of dsc and of vfa; --dce-tr-ms or --dsc-tr-ms or --vfa-tr-ms is needed"),
        (own[:2] + own[4:6], "--dce-flip-angle is needed; --dsc"),
        ([*own[:-1], "5"], "--vfa has one flip angle (5); one per volume is needed"),
        ([*own[:2], "--dce-flip-angle", "2,5"], "--dce has several flip angles"),
    ):  # fmt: skip
        code, _, err = gliosuite("run", *series, *more, "--out", tmp_path / "R")
        assert code == 2
        assert sentence in last(err)


def test_what_is_missing_of_a_series_is_named_at_once(study, tmp_path, gliosuite, seen):
    code, _, err = gliosuite(
        "run", "--t1c", study / "t1c.nii.gz", "--dce", study / "dce.nii.gz", "--out", tmp_path / "R"
    )
    assert code == 2
    assert last(err) == (
        f"error: --dce {study / 'dce.nii.gz'} does not say how it was taken; --tr-ms and --flip-angle and --times or --dt are needed"
    )
    assert not seen
    for args, sentence in (
        ([], "no image is given; at least one of --t1 --t1c"),
        (["--t1c", study], "is a folder; an image file is needed (gliosuite import"),
        (["--t1c", study / "t1c.nii.gz", "--tr-ms", 5], "--tr-ms belongs to a series"),
        (["--t1c", study / "t1c.nii.gz", "--dsc-te-ms", 5], "--dsc-te-ms belongs to --dsc, which is not given"),
        (["--t1c", study / "t1c.nii.gz", "--t10", 1], "--t10 belongs to --dce, which is not given"),
        (["--t1c", study / "t1c.nii.gz", "--dicom", f"flair={study}"], "--flair is needed too"),
        (["--t1c", study / "no.nii.gz"], "does not exist"),
        ([study / "t1c.nii.gz"], f"t1c.nii.gz is an image, no case; say what it is (gliosuite run --t1c {study / 't1c.nii.gz'} --out"),
        ([study, "--t1c", study / "t1c.nii.gz"], "is a case, and --t1c is given too"),
    ):  # fmt: skip
        code, _, err = gliosuite("run", *args, "--out", tmp_path / "R")
        assert code == 2
        assert sentence in last(err)
    assert not (tmp_path / "R").exists()


def test_case_writes_what_run_takes(study, tmp_path, gliosuite):
    code, out, err = gliosuite("case", "--t1c", study / "t1c.nii.gz", "--dsc", study / "dsc.nii.gz", "--te-ms", 30,
                               "--cel", study / "cel.nii.gz", "--id", "one", "--out", tmp_path / "case")  # fmt: skip
    assert code == 0, err
    assert "warning: --dsc" in err
    assert "--tr-ms is needed" in err
    assert json.loads(out)["images"] == ["t1c", "dsc"]
    assert json.loads((tmp_path / "case" / "case.json").read_text())["images"]["t1c"]["path"] == "../in/t1c.nii.gz"
    case = Case.load(tmp_path / "case")
    assert (case.id, case.acquisition("dsc")) == ("one", {"te_ms": 30.0})
    code, _, err = gliosuite("case", "--t1c", study / "t1c.nii.gz", "--out", tmp_path / "case")
    assert code == 2
    assert "case.json exists" in last(err)


def test_values_in_another_unit_are_found_before_anything_is_computed(study, tmp_path, gliosuite):
    code, _, err = gliosuite(
        "run", "--dsc", study / "dsc.nii.gz", "--te-ms", 0.03, "--tr-ms", 1.5, "--out", tmp_path / "R"
    )
    assert code == 2
    assert "0.03" in last(err)
    assert not (tmp_path / "R").exists()


def test_a_roi_of_a_structure_set_is_a_mask(tmp_path, gliosuite):
    grid = write_series(tmp_path / "series", Stack((40, 40, 24), (2.0, 2.0, 2.5)))
    cel = np.zeros(grid.shape, bool)
    cel[8:15, 12:25, 10:22] = True
    values = np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32)
    write_image(grid.image(values), tmp_path / "t1c.nii.gz")
    write_rtstruct(tmp_path / "RS.dcm", tmp_path / "series", [Roi("GTV", grid.image(cel), "GTV")])
    given = ("--t1c", tmp_path / "t1c.nii.gz", "--cel", f"{tmp_path / 'RS.dcm'}:GTV")
    for name, more in (("with", ("--dicom", f"t1c={tmp_path / 'series'}")), ("without", ())):
        assert gliosuite("case", *given, *more, "--out", tmp_path / name)[0] == 0
        case = Case.load(tmp_path / name)
        assert case.roi("cel") == "GTV"
        engine.check(case, RunSettings())
        run = Run(case, tmp_path / "R", RunSettings(spacing_mm=2.0))
        if name == "with":
            found = carried_mask(run, "cel")
        else:
            with pytest.warns(
                UserWarning, match=r"the case names no DICOM series, so the contours of GTV were taken by position"
            ):
                found = carried_mask(run, "cel")
        volume = boolean(found).sum() * 0.008
        assert volume == pytest.approx(cel.sum() * grid.voxel_cc, rel=0.06)
    code, _, err = gliosuite("run", *given[:3], f"{tmp_path / 'RS.dcm'}:CTV", "--out", tmp_path / "R")
    assert code == 2
    assert "has no ROI CTV; it has GTV" in last(err)


def stripped_heads(folder, shift):
    """Two stripped heads on one grid, the second moved by so many voxels, and its brain with it."""
    grid = Grid((60, 70, 60), (2.5, 2.5, 2.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    z, y, x = np.indices(grid.shape)
    brain = ((x - 30) / 24) ** 2 + ((y - 35) / 30) ** 2 + ((z - 30) / 24) ** 2 < 1
    texture = np.random.default_rng(1).normal(100, 20, grid.shape)
    for name, by in (("t1c", 0), ("flair", shift)):
        values = np.where(brain, texture, 0)
        write_image(grid.image(np.roll(values, by, 2).astype(np.float32)), folder / f"{name}.nii.gz")
    images = {r: {"path": f"{r}.nii.gz"} for r in ("t1c", "flair")}
    (folder / "case.json").write_text(json.dumps({"id": "x", "images": images}))
    return Case.load(folder)


@pytest.mark.parametrize("skip, shift, taken", [((), 0, True), ((), 1, False), (("registered",), 1, True)])
def test_images_that_share_a_grid_are_taken_as_they_lie(tmp_path, monkeypatch, skip, shift, taken):
    called = []

    def refused(*_, **__):
        called.append(1)
        from gliosuite.errors import InputError

        raise InputError("not here")

    monkeypatch.setattr("gliosuite.registration.register", refused)
    run = Run(stripped_heads(tmp_path, shift), tmp_path / "R", RunSettings(spacing_mm=2.5, skip=skip))
    (tmp_path / "folder").mkdir()
    done = registered(run, tmp_path / "folder", silent)
    assert (not called) == taken
    if not taken:
        assert done.losses == ["flair was left out: not here"]
        return
    assert done.summary["flair"] == {"verdict": "as it lies"}
    assert ("as --skip registered asks" if skip else "they were registered before") in done.notes[0]
    assert np.array_equal(
        np.asarray(read_image(tmp_path / "folder" / "flair.nii.gz")), np.asarray(read_image(tmp_path / "flair.nii.gz"))
    )
    assert (tmp_path / "folder" / "flair.tfm").exists()
