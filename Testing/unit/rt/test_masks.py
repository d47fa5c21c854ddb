"""What a structure's description says: the whole rule from the JSON beside a mask, else what the image says of itself."""

import json

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, write_series
from gliosuite.commands.masks import described, in_structure_set, mask_on
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, read_image, write_image
from gliosuite.rt.rtstruct import Roi, check_structures, read_rtstruct, read_structures, write_rtstruct


@pytest.fixture
def masks(tmp_path):
    """A lesion and a brain on a small series."""
    grid = write_series(tmp_path / "series", Stack((40, 40, 24), (2.0, 2.0, 2.5)))
    points = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    radius = np.linalg.norm(points - points.mean(axis=0), axis=1).reshape(grid.shape)
    for name, r in (("cel", 6), ("brain", 28)):
        write_image(grid.image(radius < r), tmp_path / f"{name}.nii.gz")
    return tmp_path


def test_a_ctvs_rule_goes_into_the_structure_set_in_full(masks, gliosuite):
    code, out, _ = gliosuite("ctv", "--scheme", "estro-eano", "--cel", masks / "cel.nii.gz", "--brain", masks / "brain.nii.gz",
                             "--out", masks / "ctv.nii.gz")  # fmt: skip
    assert code == 0
    rule = json.loads(out)["targets"][0]["how"]
    _, text = described(str(masks / "ctv.nii.gz"), None, None)
    assert text == f"{json.loads(out)['title']} (2023), 60 Gy: {rule}"
    long = rule + ", " + "with a long account of model, threshold and barriers " * 3
    record = json.loads((masks / "ctv.json").read_text())
    record["targets"][0]["how"] = long
    (masks / "ctv.json").write_text(json.dumps(record))
    roi = f"CTV_6000:CTV={masks / 'ctv.nii.gz'}"
    assert gliosuite("rtstruct", "--series", masks / "series", "--roi", roi, "--out", masks / "rs.dcm")[0] == 0
    (structure,) = pydicom.dcmread(masks / "rs.dcm").StructureSetROISequence
    assert long in structure.ROIDescription
    assert structure.ROIDescription.endswith("For research use only.")
    assert structure.ROIGenerationDescription.startswith("GlioSuite ")


def test_without_a_record_the_image_speaks_for_itself(masks):
    assert described(str(masks / "cel.nii.gz"), None, None)[1] == ""
    (masks / "brain.json").write_text(json.dumps({"verdict": "good"}))
    assert described(str(masks / "brain.nii.gz"), None, None)[1] == ""


def test_structures_are_named_after_the_last_dcm():
    assert in_structure_set("a.dcm:b/RS.dcm:CTV") == ("a.dcm:b/RS.dcm", "CTV")
    assert in_structure_set("RS.DCM:CTV:2") == ("RS.DCM", "CTV:2")
    assert in_structure_set("ctv.nii.gz") is None


def test_a_name_may_hold_dcm_and_a_file_need_not(tmp_path, monkeypatch, masks, gliosuite):
    monkeypatch.chdir(masks)
    grid = Grid.of(read_image(masks / "cel.nii.gz"))
    write_rtstruct(masks / "ours.dcm", masks / "series", [Roi("GTV", read_image(masks / "cel.nii.gz"), "GTV")])
    dataset = pydicom.dcmread(masks / "ours.dcm")
    for name, file in (("old.dcm:GTV", "RS.dcm"), ("O\u0308dem ", "RS.1.2.840"), ("GTV", "RS")):
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StructureSetROISequence[0].ROIName = name
        save(dataset, masks / file)
    assert in_structure_set("RS.dcm:old.dcm:GTV") == ("RS.dcm", "old.dcm:GTV")
    assert in_structure_set("RS.1.2.840:\u00d6dem") == ("RS.1.2.840", "\u00d6dem")
    assert in_structure_set("RS:GTV") == ("RS", "GTV")
    assert in_structure_set("cel.nii.gz:GTV") is None
    (masks / "a:b.nii").write_bytes(b"x")
    assert in_structure_set("a:b.nii") is None
    for text in ("RS.dcm:old.dcm:GTV", "RS.1.2.840:\u00d6dem", "RS:GTV"):
        found = mask_on(text, grid, "series")
        assert np.array_equal(boolean(found), boolean(read_image(masks / "cel.nii.gz"))), text
    roi = "GTV:GTV=RS.dcm:old.dcm:GTV"
    assert gliosuite("rtstruct", "--series", "series", "--roi", roi, "--out", "again.dcm")[0] == 0


def test_a_name_that_two_rois_bear_is_refused_but_for_its_number(masks, gliosuite):
    grid = Grid.of(read_image(masks / "cel.nii.gz"))
    rois = [Roi(n, read_image(masks / f"{n}.nii.gz"), "GTV") for n in ("cel", "brain")]
    write_rtstruct(masks / "rs.dcm", masks / "series", rois)
    dataset = pydicom.dcmread(masks / "rs.dcm")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for roi, name in zip(dataset.StructureSetROISequence, ("\u00d6dem", "O\u0308dem")):
        roi.ROIName = name
    save(dataset, masks / "rs.dcm")
    series = str(masks / "series")
    with pytest.raises(InputError, match=r"has 2 ROIs named .dem; say which one is meant: .*rs\.dcm:.dem#1 or .*#2"):
        mask_on(f"{masks / 'rs.dcm'}:\u00d6dem", grid, series)
    second = mask_on(f"{masks / 'rs.dcm'}:\u00d6dem#2", grid, series)
    assert boolean(second).sum() == boolean(read_image(masks / "brain.nii.gz")).sum()
    code, out, _ = gliosuite("rtstruct", "--check", masks / "rs.dcm")
    assert code in (0, 3)
    assert json.loads(out)["problems"] == ["two ROIs have the same name (\u00d6dem)"]


@pytest.mark.parametrize("kind", ["patient", "frame"])
def test_structure_sets_of_two_patients_or_places_are_refused(masks, gliosuite, kind):
    other = Stack((40, 40, 24), (2.0, 2.0, 2.5))
    if kind == "patient":
        grid = write_series(masks / "other", other, "other", patient="Somebody^Else", frame="Stand-In")
    else:
        grid = write_series(masks / "other", other, "other", frame="later")
    cel = boolean(read_image(masks / "cel.nii.gz"))
    for name in ("series", "other"):
        write_rtstruct(masks / f"{name}.dcm", masks / name, [Roi("GTV", grid.image(cel), "GTV")])
    sentence = {
        "patient": "are of different patients (PatientID differs)",
        "frame": "lies in another frame of reference",
    }[kind]
    two = [f"{masks / 'series.dcm'}:GTV", f"{masks / 'other.dcm'}:GTV"]
    for command in (
        ["compare", f"A={two[0]}", f"B={two[1]}", "--image", masks / "cel.nii.gz"],
        ["ctv", "--scheme", "rtog", "--cel", two[0], "--t2l", two[1], "--brain", masks / "brain.nii.gz"],
        ["compare", f"A={two[1]}", f"B={masks / 'cel.nii.gz'}", "--series", masks / "series"],
    ):
        code, _, err = gliosuite(*command, "--out", masks / "out" / "x.nii.gz")
        assert code == 2
        assert sentence in err.strip().splitlines()[-1]
        assert "Somebody" not in err
        assert not (masks / "out").exists()
    with pytest.raises(InputError, match=r"different patients|frame of reference"):
        read_rtstruct(masks / "other.dcm", masks / "series")
    report = check_structures(read_structures(masks / "other.dcm"), read_stack(masks / "series"))
    assert ("it is of another patient than the series (PatientID differs)" in report["problems"]) == (kind == "patient")
