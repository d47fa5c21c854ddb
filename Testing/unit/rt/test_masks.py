"""What a structure's description says: the whole rule from the JSON beside a mask, else what the image says of itself."""

import json

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, write_series
from gliosuite.commands.masks import described, in_structure_set
from gliosuite.images import write_image


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
    assert text == f"{json.loads(out)['title']} (2023): {rule}"
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
