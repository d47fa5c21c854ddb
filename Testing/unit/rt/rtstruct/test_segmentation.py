"""The segmentation object: the same voxels, colours and words as the structure set beside it."""

import subprocess

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, shapes, write_series
from gliosuite.errors import InputError
from gliosuite.images import boolean, write_image
from gliosuite.rt.rtstruct import Roi, export_rtstruct
from gliosuite.rt.rtstruct.segmentation import read_seg

STACKS = {
    "axial": Stack((48, 44, 24)),
    "oblique": Stack((48, 44, 24), (0.9375, 1.1, 2.0), "oblique"),
    "sagittal": Stack((40, 44, 36), (1.0, 1.0, 1.0), "sagittal"),
    "reversed": Stack((48, 44, 24), reversed=True),
}


@pytest.mark.parametrize("stack", STACKS)
def test_every_voxel_comes_back_and_it_passes_dciodvfy(tmp_path, stack, tool):
    pytest.importorskip("highdicom")
    grid = write_series(tmp_path / "series", STACKS[stack], patient="Stand^In")
    masks = shapes(grid)
    rois = [Roi(n, grid.image(m), "GTV" if n == "small" else "CTV", None, "rule") for n, m in masks.items()]
    export_rtstruct(tmp_path / "rs.dcm", tmp_path / "series", rois, seg=tmp_path / "seg.dcm")
    again = read_seg(tmp_path / "seg.dcm", tmp_path / "series")
    assert list(again) == list(masks)
    for name, mask in masks.items():
        assert np.array_equal(boolean(again[name]), mask), name
    d = pydicom.dcmread(tmp_path / "seg.dcm")
    assert d.FrameOfReferenceUID == pydicom.dcmread(tmp_path / "rs.dcm").FrameOfReferenceUID
    assert "research use" in d.SegmentSequence[0].SegmentDescription
    output = subprocess.run([tool("dciodvfy"), str(tmp_path / "seg.dcm")], capture_output=True, text=True).stderr
    assert "Segmentation" in output
    assert "Error" not in output


def test_without_highdicom_nothing_is_written_and_it_is_said(tmp_path, monkeypatch, gliosuite):
    import sys

    grid = write_series(tmp_path / "series", Stack((24, 20, 10)))
    mask = np.zeros(grid.shape, bool)
    mask[3:6, 5:9, 5:9] = True
    write_image(grid.image(mask), tmp_path / "m.nii.gz")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    code, _, err = gliosuite("rtstruct", "--series", tmp_path / "series", "--roi", f"GTV:GTV={tmp_path / 'm.nii.gz'}",
                             "--out", tmp_path / "out" / "rs.dcm", "--seg", tmp_path / "out" / "seg.dcm")  # fmt: skip
    assert code == 2
    assert "highdicom is needed for DICOM segmentation objects" in err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_what_is_no_segmentation_of_the_series_is_refused(tmp_path):
    pytest.importorskip("highdicom")
    write_series(tmp_path / "series", Stack((24, 20, 10)))
    with pytest.raises(InputError, match="does not exist; a DICOM segmentation object is needed"):
        read_seg(tmp_path / "seg.dcm", tmp_path / "series")
    with pytest.raises(InputError, match="is not a DICOM segmentation of the series"):
        read_seg(next((tmp_path / "series").iterdir()), tmp_path / "series")
