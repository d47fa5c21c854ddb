"""A simulated patient goes out as DICOM and comes back through the importer as the same case."""

import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import SERIES_ROLES
from gliosuite.dicom.geometry import read_stack
from gliosuite.dicom.importing import import_study
from gliosuite.dicom.privacy import LINK_NOTE
from gliosuite.images import Grid, array
from gliosuite.simulate.cohort import simulate_case

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")


SCANS = ("structural", "vfa", "dce", "dsc", "diffusion", "mrsi")


@pytest.fixture(scope="module")
def patient():
    return simulate_case(5, grid_mm=3.0, scans=SCANS, case_id="sim-a-001")


@pytest.fixture(scope="module")
def case(patient, tmp_path_factory):
    return patient.write(tmp_path_factory.mktemp("cohort") / "sim-a-001", dicom=patient.case.images)


@pytest.fixture(scope="module")
def imported(case, tmp_path_factory):
    return import_study(case.folder, tmp_path_factory.mktemp("imported") / "case")


def test_every_image_of_both_visits_has_a_series(case):
    assert set(case.data["dicom"]) == set(case.images)
    assert set(case.followup.data["dicom"]) == set(case.followup.images)
    assert case.dicom("t1c") == case.folder / "dicom/t1c"
    assert case.followup.dicom("t1c") == case.folder / "followup/dicom/t1c"
    series = read_stack(case.dicom("t1c"))
    assert series.grid.matches(Grid.of(case.image("t1c")))


def test_importer_finds_the_same_roles_and_visits(patient, case, imported):
    assert set(imported.case.images) == set(case.images)
    assert set(imported.case.followup.images) == set(case.followup.images)
    assert imported.case.followup.data["days"] == patient.case.clinical["pfs_days"]
    assert imported.case.clinical == {key: case.clinical[key] for key in ("age", "sex")}
    assert imported.notes == (LINK_NOTE,)  # the folder is named after the patient


def test_importer_finds_the_same_voxels_and_times(case, imported):
    for ours, theirs in ((case, imported.case), (case.followup, imported.case.followup)):
        for role in ours.images:
            if role in SERIES_ROLES:
                a, b = ours.series(role), theirs.series(role)
                np.testing.assert_array_equal(b.frames, a.frames, err_msg=role)
                assert b.grid.matches(a.grid)
            else:
                a, b = ours.image(role), theirs.image(role)
                values = array(a)
                step = np.nanmax(np.abs(values)) / 6553.4 if pixel_is_float(a) else 0
                np.testing.assert_allclose(array(b), values, rtol=0, atol=step / 2, err_msg=role)
                assert Grid.of(b).matches(Grid.of(a))
            known = ours.acquisition(role)
            for key in ("tr_ms", "te_ms", "ti_ms", "flip_angle_deg", "times_s"):
                if key in known:
                    assert theirs.acquisition(role)[key] == pytest.approx(known[key], rel=1e-9), (role, key)


def pixel_is_float(image: sitk.Image) -> bool:
    return image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64)


def test_validator_finds_no_error_in_any_series(case, tool):
    folders = [case.folder / p for visit in (case, case.followup) for p in visit.data["dicom"].values()]
    for folder in folders:
        files = sorted(folder.rglob("*.dcm"))
        run = subprocess.run([tool("dciodvfy"), str(files[len(files) // 2])], capture_output=True, text=True)
        assert "MRImage" in run.stderr
        assert "Error" not in run.stdout + run.stderr, folder


def test_command_writes_dicom_and_the_same_bytes_again(gliosuite, tmp_path):
    for name in ("a", "b"):
        code, _, err = gliosuite(
            "simulate", "--seed", 3, "--grid-mm", 5, "--scans", "structural", "--dicom", "--out", tmp_path / name
        )
        assert code == 0, err
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*.dcm")}
    second = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*.dcm")}
    assert first == second
    assert {p.parent.as_posix() for p in first} == {
        *(f"sim-3-001/dicom/{role}" for role in ("t1", "t1c", "t2", "flair")),
        *(f"sim-3-001/followup/dicom/{role}" for role in ("t1", "t1c", "flair")),
    }
