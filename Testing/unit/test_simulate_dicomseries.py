import subprocess

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.simulate.dicomseries import simulated_uid, write_dicom_series

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

GRID = Grid((24, 20, 62), (0.9, 1.1, 1.0), (-12.0, 8.0, -30.5), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.fixture(scope="module")
def image():
    return GRID.image(np.random.default_rng(0).integers(0, 900, GRID.shape).astype(np.int16))


@pytest.fixture(scope="module")
def written(image, tmp_path_factory):
    return write_dicom_series(image, tmp_path_factory.mktemp("dicom") / "t1c", "t1c simulated", 5)


def test_voxels_and_geometry_are_read_back(image, written):
    slices = [pydicom.dcmread(p) for p in written]
    assert len(slices) == 62
    for k, ds in enumerate(slices):
        assert np.allclose(ds.ImagePositionPatient, image.TransformIndexToPhysicalPoint((0, 0, k)))
        assert list(ds.PixelSpacing) == [1.1, 0.9]
        assert ds.InstanceNumber == k + 1
    values = np.frombuffer(slices[40].PixelData, "<i2").reshape(20, 24)
    from SimpleITK import GetArrayViewFromImage

    assert np.array_equal(values, GetArrayViewFromImage(image)[40])
    assert len({ds.SeriesInstanceUID for ds in slices}) == 1
    assert len({ds.SOPInstanceUID for ds in slices}) == 62
    assert str(slices[0].PatientName) == "GlioSuite^Simulated"


def test_same_arguments_same_bytes(image, written, tmp_path):
    again = write_dicom_series(image, tmp_path / "t1c", "t1c simulated", 5)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in written]
    other = pydicom.dcmread(write_dicom_series(image, tmp_path / "other", "t1 simulated", 5)[0])
    first = pydicom.dcmread(written[0])
    assert other.StudyInstanceUID == first.StudyInstanceUID
    assert other.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID


def test_uids_are_valid():
    for i in range(50):
        uid = simulated_uid("a", i)
        assert pydicom.uid.UID(uid).is_valid
        assert uid.startswith("2.25.")
        assert len(uid) <= 64
        number = int(uid[5:])
        assert (number >> 76) & 0xF == 8
        assert (number >> 62) & 0x3 == 2


def test_validator_finds_no_error(written, tool):
    run = subprocess.run([tool("dciodvfy"), str(written[0])], capture_output=True, text=True)
    report = run.stdout + run.stderr
    assert "MRImage" in report
    assert [line for line in report.splitlines() if line.startswith("Error")] == []


def test_only_mr_is_simulated(image, tmp_path):
    with pytest.raises(ValueError, match="modality 'CT'"):
        write_dicom_series(image, tmp_path, "x", 1, modality="CT")
