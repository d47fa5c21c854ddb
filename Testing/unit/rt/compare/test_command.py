"""``gliosuite compare``: with and without a progression, with a dose, with structures of a structure set, and what it refuses."""

import csv
import json
from importlib.util import find_spec

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, write_dose, write_series
from gliosuite.images import Grid, array, read_image, write_image
from gliosuite.rt.compare import TITLES
from gliosuite.rt.rtstruct import Roi, write_rtstruct

PICTURES = find_spec("matplotlib") is not None  # without it everything but the pictures is there


def ball(grid, radius, shift):
    points = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    middle = (np.asarray(grid.size) - 1) * grid.spacing / 2 + shift
    return grid.image((np.linalg.norm(points - middle, axis=1) <= radius).reshape(grid.shape))


@pytest.fixture
def patient(tmp_path):
    """A series, a structure set with two CTVs on it, masks as files, and a dose that falls along x."""
    grid = write_series(tmp_path / "series", Stack((40, 40, 24), (2.0, 2.0, 2.5)))
    masks = {"a": ball(grid, 16, (0, 0, 0)), "b": ball(grid, 16, (8, 0, 0)), "later": ball(grid, 9, (10, 0, 0))}
    masks["brain"] = ball(grid, 28, (0, 0, 0))
    for name, mask in masks.items():
        write_image(mask, tmp_path / f"{name}.nii.gz")
    rois = [Roi("CTV_6000", masks["a"], "CTV"), Roi("CTV_MODEL", masks["b"], "CTV")]
    write_rtstruct(tmp_path / "rs.dcm", tmp_path / "series", rois)
    fine = Grid((30, 30, 24), (2.5, 2.5, 2.5), tuple(np.asarray(grid.origin) + 1.0), grid.direction)
    x = np.indices(fine.shape)[2] * 2.5
    write_dose(tmp_path / "rd.dcm", fine, np.clip(63.0 - 0.4 * np.abs(x - 37), 0, None))
    return tmp_path


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_drawn_ones_against_the_progression(patient, gliosuite):
    code, out, _ = gliosuite("compare", "--reference", patient / "later.nii.gz", "--brain", patient / "brain.nii.gz",
                             f"CTV_6000={patient / 'rs.dcm'}:CTV_6000", f"own={patient / 'b.nii.gz'}",
                             "--series", patient / "series", "--out", patient / "out")  # fmt: skip
    assert code == 0
    rows = table(patient / "out" / "comparison.csv")
    assert list(rows[0]) == ["name", *TITLES]
    assert [r["name"] for r in rows] == ["CTV_6000", "own"]
    assert float(rows[1]["sensitivity"]) > float(rows[0]["sensitivity"])
    assert float(rows[0]["normal_brain_spared_cc"]) == 0
    spared = float(rows[0]["normal_brain_cc"]) - float(rows[1]["normal_brain_cc"])
    assert float(rows[1]["normal_brain_spared_cc"]) == pytest.approx(spared, abs=1e-3)
    assert float(rows[0]["surface_mean_mm"]) < float(rows[0]["hd95_mm"])
    assert json.loads(out)["picture"] == (str(patient / "out" / "comparison.png") if PICTURES else None)
    if PICTURES:
        assert (patient / "out" / "comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_among_each_other_without_a_progression(patient, gliosuite):
    code, out, _ = gliosuite("compare", f"A={patient / 'rs.dcm'}:CTV_6000", f"B={patient / 'rs.dcm'}:CTV_MODEL",
                             f"C={patient / 'a.nii.gz'}", "--out", patient / "out")  # fmt: skip
    assert code == 0
    rows = table(patient / "out" / "comparison.csv")
    assert [(r["first"], r["second"]) for r in rows] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert float(rows[1]["dice"]) == 1
    assert float(rows[1]["surface_dice"]) == 1
    assert float(rows[0]["surface_dice"]) < 0.6
    shares = table(patient / "out" / "difference.csv")
    assert {s["covered_by"] for s in shares} == {"A + C", "B", "A + B + C"}
    labels = array(read_image(patient / "out" / "difference.nii.gz"), int)
    voxel = 2 * 2 * 2.5 / 1000
    for share in shares:
        assert (labels == int(share["label"])).sum() * voxel == pytest.approx(float(share["volume_cc"]), abs=1e-4)
    colors = (patient / "out" / "difference.ctbl").read_text().splitlines()
    assert colors[0] == "0 none 0 0 0 0"
    assert colors[-1] == "7 A+B+C 158 158 158 255"
    assert len(json.loads(out)["shares"]) == 3
    if PICTURES:
        assert (patient / "out" / "comparison.png").stat().st_size > 5000


def test_dose_of_each_and_of_the_progression(patient, gliosuite):
    code, out, _ = gliosuite("compare", "--reference", patient / "later.nii.gz", "--brain", patient / "brain.nii.gz",
                             f"A={patient / 'rs.dcm'}:CTV_6000", f"B={patient / 'b.nii.gz'}", "--dose", patient / "rd.dcm",
                             "--series", patient / "series", "--out", patient / "out")  # fmt: skip
    assert code == 0
    rows = {r["name"]: {k: float(v) for k, v in r.items() if k != "name"} for r in table(patient / "out" / "dose.csv")}
    assert list(rows) == ["A", "B", "progression"]
    assert rows["A"]["volume_cc"] == pytest.approx(4 / 3 * np.pi * 1.6**3, rel=0.02)
    assert rows["A"]["d98_gy"] < rows["A"]["d50_gy"] < rows["A"]["d2_gy"] <= 63.05
    assert rows["A"]["v95_percent"] > rows["B"]["v95_percent"] > 0
    curves = table(patient / "out" / "dvh.csv")
    assert list(curves[0]) == ["dose_gy", "A_percent", "B_percent", "progression_percent"]
    assert float(curves[0]["A_percent"]) == 100
    falling = np.array([float(r["B_percent"]) for r in curves])
    assert (np.diff(falling) <= 0).all()
    assert falling[-1] == 0
    at = np.array([float(r["dose_gy"]) for r in curves])
    assert np.interp(57.0, at, falling) == pytest.approx(rows["B"]["v95_percent"], abs=0.01)
    if PICTURES:
        assert (patient / "out" / "dvh.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads(out)["doses"][0]["name"] == "A"


def test_a_dose_alone_is_enough_for_one_target(patient, gliosuite):
    code, _, _ = gliosuite("compare", f"A={patient / 'a.nii.gz'}", "--dose", patient / "rd.dcm", "--prescription-gy", 50,
                           "--out", patient / "out")  # fmt: skip
    assert code == 0
    assert sorted(p.name for p in (patient / "out").iterdir()) == ["dose.csv", "dvh.csv", *(["dvh.png"] * PICTURES)]
    assert float(table(patient / "out" / "dose.csv")[0]["v95_percent"]) == 100


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["A=a.nii.gz"], "--reference, --dose or a second one is needed"),
        (["A=a.nii.gz", "B=b.nii.gz", "--reference", "later.nii.gz"], "--brain is missing"),
        (["A=a.nii.gz", "B=b.nii.gz", "--volume-cc", "30"], "--volume-cc belongs to --reference"),
        (["A=a.nii.gz", "A=b.nii.gz"], "the name A is given twice"),
        (["a.nii.gz", "B=b.nii.gz"], "is not of the form NAME=CTV"),
        (["A=a.nii.gz", "--dose", "rs.dcm"], "is a DICOM object of modality RTSTRUCT; an RT dose file is needed"),
        (["A=a.nii.gz", "--dose", "rd.dcm", "--prescription-gy", "0"], "a dose above 0 Gy is needed"),
        (["A=rs.dcm:CTV_6000", "B=rs.dcm:CTV_MODEL"], "--image or --series is needed"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(patient, gliosuite, monkeypatch, options, sentence):
    monkeypatch.chdir(patient)
    code, out, err = gliosuite("compare", *options, "--out", "o")
    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]
    assert not (patient / "o").exists()


def test_a_dose_of_another_patient_is_refused(patient, gliosuite):
    grid = Grid((30, 30, 24), (2.5, 2.5, 2.5), (-30.0, -45.0, -10.0), tuple(np.eye(3).ravel()))
    write_dose(patient / "other.dcm", grid, np.ones(grid.shape), patient="Somebody^Else")
    code, _, err = gliosuite("compare", f"A={patient / 'rs.dcm'}:CTV_6000", "--dose", patient / "other.dcm",
                             "--image", patient / "a.nii.gz", "--out", patient / "o")  # fmt: skip
    assert code == 2
    assert "are of different patients" in err
    assert not (patient / "o").exists()


def test_the_dose_of_a_beam_is_compared_with_a_warning(patient, gliosuite):
    d = pydicom.dcmread(patient / "rd.dcm")
    d.DoseSummationType = "BEAM"
    save(d, patient / "beam.dcm")
    code, out, err = gliosuite("compare", f"A={patient / 'rs.dcm'}:CTV_6000", "--dose", patient / "beam.dcm",
                               "--image", patient / "a.nii.gz", "--out", patient / "o")  # fmt: skip
    assert code == 0
    caveat = "it is the dose of one beam or some beams of a plan (DoseSummationType BEAM), not of one whole plan"
    assert f"warning: {patient / 'beam.dcm'}: {caveat}" in err.splitlines()
    assert json.loads(out)["dose_caveats"] == [caveat]
