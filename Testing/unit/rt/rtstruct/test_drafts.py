"""Drafts in structure sets: what the file says of them, through files and commands, until a person accepts them."""

import csv
import json

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, write_series
from gliosuite.images import read_image, write_image
from gliosuite.rt.rtstruct import Roi, export_rtstruct
from gliosuite.rt.rtstruct.drafts import marked


def ball(grid, radius, shift=(0, 0, 0)):
    points = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing
    middle = (np.asarray(grid.size) - 1) * grid.spacing / 2 + shift
    return grid.image((np.linalg.norm(points - middle, axis=1) <= radius).reshape(grid.shape))


@pytest.fixture
def patient(tmp_path):
    """A series, a brain, an enhancing lesion that its file calls a draft, and a cavity."""
    grid = write_series(tmp_path / "series", Stack((40, 40, 24), (2.0, 2.0, 2.5)))
    write_image(ball(grid, 28), tmp_path / "brain.nii.gz", "brain (draft)")
    write_image(ball(grid, 8), tmp_path / "cel.nii.gz", "cel (draft)")
    write_image(ball(grid, 6, (10, 0, 0)), tmp_path / "cavity.nii.gz", "cavity (file)")
    return tmp_path


def rois(path):
    return {r.ROIName: r for r in pydicom.dcmread(path).StructureSetROISequence}


def test_only_drafts_are_marked_and_the_label_keeps_what_fits(patient):
    roi = Roi("CTV", None, "CTV", description="CEL + 20 mm")
    drawn, draft = roi, Roi("GTV", None, "GTV", description="cel", draft=True)
    assert marked([drawn], "GlioSuite") == ([drawn], "GlioSuite", [])
    told, label, findings = marked([drawn, draft], "Plan of 3 March")
    assert told[0] == drawn
    assert (told[1].description, told[1].algorithm) == ("DRAFT, not checked by a person. cel", "AUTOMATIC")
    assert label == "DRAFT Plan of 3"
    assert [f.level for f in findings] == ["warning"]
    assert marked([draft], label)[1] == label  # said once
    told, label, findings = marked([draft], "GlioSuite", "A. Reader")
    assert told[0].description == "Draft accepted by A. Reader. cel"
    assert (label, findings[0].level) == ("GlioSuite", "ok")


def test_the_file_and_its_segmentation_call_a_draft_a_draft(patient):
    pytest.importorskip("highdicom")
    from gliosuite.images import read_mask

    roi = Roi("GTV", read_mask(patient / "cel.nii.gz"), "GTV", description="cel", draft=True)
    with pytest.warns(UserWarning, match="GTV: drafts that no person has checked"):
        exported = export_rtstruct(patient / "RS.dcm", patient / "series", [roi], seg=patient / "SEG.dcm")
    assert exported.label == "DRAFT"
    assert rois(patient / "RS.dcm")["GTV"].ROIGenerationAlgorithm == "AUTOMATIC"
    segment = pydicom.dcmread(patient / "SEG.dcm").SegmentSequence[0]
    assert segment.SegmentDescription.startswith("DRAFT")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_a_draft_stays_one_through_ctv_rtstruct_and_compare(patient, gliosuite):
    common = ["--scheme", "s3-eortc", "--brain", patient / "brain.nii.gz", "--cavity", patient / "cavity.nii.gz"]
    code, _, err = gliosuite("ctv", *common, "--cel", patient / "cel.nii.gz", "--out", patient / "ctv.nii.gz")
    assert code == 0
    assert "cel: a draft that no person has checked, and so is what rests on it" in err
    assert json.loads((patient / "ctv.json").read_text())["draft"] is True
    code, _, err = gliosuite("ctv", *common, "--out", patient / "own.nii.gz")
    assert code == 0, err
    assert json.loads((patient / "own.json").read_text())["draft"] is False

    ctv = ["--roi", f"CTV:CTV={patient / 'ctv.nii.gz'}", f"CTV_own:CTV={patient / 'own.nii.gz'}"]
    told = ["rtstruct", "--series", patient / "series", *ctv]
    code, out, err = gliosuite(*told, "--label", "Plan", "--out", patient / "RS.dcm")
    assert code == 0, err
    assert json.loads(out)["label"] == "DRAFT Plan"
    assert "CTV: drafts that no person has checked" in err
    found = rois(patient / "RS.dcm")
    assert found["CTV"].ROIDescription.startswith("DRAFT, not checked by a person. ")
    assert "DRAFT" not in found["CTV_own"].ROIDescription
    code, out, err = gliosuite(*told, "--drafts-accepted-by", "A. Reader", "--out", patient / "accepted.dcm")
    assert code == 0, err
    assert json.loads(out)["label"] == "GlioSuite"
    code, _, err = gliosuite(*told, "--drafts-accepted-by", " ", "--out", patient / "nobody.dcm")
    assert code == 2
    assert "--drafts-accepted-by ' ' names nobody" in err

    pair = [f"a={patient / 'RS.dcm'}:CTV", f"b={patient / 'accepted.dcm'}:CTV_own"]
    code, _, err = gliosuite("compare", *pair, "--series", patient / "series", "--out", patient / "compared")
    assert code == 0, err
    with (patient / "compared" / "comparison.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    assert (row["first"], row["second"]) == ("a (draft)", "b")


def test_a_set_that_holds_a_draft_is_called_one_when_structures_are_appended(patient, gliosuite):
    told = ["rtstruct", "--series", patient / "series"]
    assert gliosuite(*told, "--roi", f"CEL:GTV={patient / 'cel.nii.gz'}", "--out", patient / "RS.dcm")[0] == 0
    more = ["--roi", f"CAV:CAVITY={patient / 'cavity.nii.gz'}", "--append", patient / "RS.dcm"]
    code, out, err = gliosuite(*told, *more, "--label", "FINAL", "--out", patient / "both.dcm")
    assert code == 0, err
    assert json.loads(out)["label"] == "DRAFT FINAL"
    assert "CEL: drafts of the set that is appended to, which stay such" in err
    assert "DRAFT" not in rois(patient / "both.dcm")["CAV"].ROIDescription


def test_a_suggestion_is_a_draft_too(patient, gliosuite):
    write_image(read_image(patient / "cel.nii.gz"), patient / "s.nii.gz", "cel (suggestion)")
    told = ["rtstruct", "--series", patient / "series", "--roi", f"CEL:GTV={patient / 's.nii.gz'}"]
    code, out, _ = gliosuite(*told, "--out", patient / "RS.dcm")
    assert (code, json.loads(out)["label"]) == (0, "DRAFT")
