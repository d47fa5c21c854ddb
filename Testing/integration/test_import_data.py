"""Real DICOM series: the planning MR of a head, a head CT, CT and MR with a structure set."""

import json
import tarfile

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.case import Case
from gliosuite.dicom.volumes import read_dicom_volume
from gliosuite.images import read_image


@pytest.fixture
def unpacked(data, tmp_path):
    def unpack(name: str):
        with tarfile.open(data(name)) as archive:
            archive.extractall(tmp_path / "src")
        return tmp_path / "src"

    return unpack


def imported(gliosuite, src, out):
    code, text, err = gliosuite("import", src, "--out", out, "--quiet")
    assert code == 0, err
    return Case.load(out), json.loads(text), err


def test_planning_mr_is_contrast_enhanced_t1(unpacked, gliosuite, tmp_path):
    """Its headers name no contrast agent; that it was taken for radiosurgery decides, with a warning."""
    src = unpacked("head-mr-dicom/VS-SEG-001_t1gd_slices036-095.tar.gz")
    case, result, err = imported(gliosuite, src, tmp_path / "case")
    assert case.images == ("t1c",)
    row = result["visits"][0]["series"][0]
    assert row["role"] == "t1c"
    assert "check this" in row["why"]
    assert "warning: series 2 became t1c by a weaker hint" in err
    image = case.image("t1c")
    assert image.GetSize() == (512, 512, 60)
    np.testing.assert_allclose(image.GetSpacing(), (0.41015625, 0.41015625, 1.5), atol=1e-5)
    assert case.need("t1c", "tr_ms", "te_ms", "flip_angle_deg") == [1900.0, 2.97, 15.0]
    assert b"VS-SEG" not in (tmp_path / "case/case.json").read_bytes()


def test_head_ct_reads_as_itk_reads_it(unpacked, gliosuite, tmp_path):
    src = unpacked("head-ct-dicom/CTHeadAxialDicom.tar.gz")
    case, _, _ = imported(gliosuite, src, tmp_path / "case")
    assert case.images == ("ct",)
    folder = src / "CTHeadAxialDicom"
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected, image = reader.Execute(), case.image("ct")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(image.GetOrigin(), expected.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing(), expected.GetSpacing(), atol=1e-4)
    assert case.dicom("ct").resolve() == folder
    everything = (tmp_path / "case/case.json").read_text() + (tmp_path / "case/provenance.json").read_text()
    for secret in ("Austrialian", "8775070", "20060101"):
        assert secret not in everything


@pytest.mark.parametrize("name, role, reference", [("CT", "ct", "CT_image"), ("MR_T1", "t1", "MR_T1_image")])
def test_series_with_structure_set(unpacked, gliosuite, tmp_path, data, name, role, reference):
    src = unpacked(f"rtstruct-sts-002/STS_002_{name}_dicom.tar.gz")
    case, result, _ = imported(gliosuite, src, tmp_path / "case")
    assert {r["role"] for r in result["visits"][0]["series"]} == {role, "rtstruct"}
    expected = read_image(data(f"rtstruct-sts-002/{reference}.nii.gz"))
    image = read_dicom_volume(src / "STS_002" / name / "image")
    same = sitk.Resample(expected, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(case.image(role)))
    assert len(list(case.dicom("rtstruct").iterdir())) == 1


def test_both_series_of_one_patient_make_one_visit(unpacked, gliosuite, tmp_path):
    unpacked("rtstruct-sts-002/STS_002_CT_dicom.tar.gz")
    src = unpacked("rtstruct-sts-002/STS_002_MR_T1_dicom.tar.gz")
    case, _, _ = imported(gliosuite, src, tmp_path / "case")
    assert set(case.images) == {"t1", "ct"}
    assert case.followup is None
