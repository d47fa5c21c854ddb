"""How thick a slice a contour stands for: known from the series or the file, never guessed from the distance of separate parts."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.images import Grid, boolean, volume_cc, write_image
from gliosuite.rt.rtstruct import Roi, check_structures, on_grid, read_rtstruct, read_structures, write_rtstruct
from gliosuite.rt.rtstruct.planes import contour_volume_cc

STACK = Stack((24, 20, 12), (2.0, 2.0, 3.0))


@pytest.fixture
def series(tmp_path):
    """A series of 12 slices of 3 mm, and its grid."""
    return tmp_path / "series", write_series(tmp_path / "series", STACK)


def islands(grid: Grid, slices: list[int], stacked: bool) -> np.ndarray:
    """A square of 5 x 5 voxels on each slice, all over each other or each at its own place."""
    mask = np.zeros(grid.shape, bool)
    for i, k in enumerate(slices):
        x = 4 if stacked else 1 + 6 * (i % 4)
        mask[k, 5:10, x : x + 5] = True
    return mask


def foreign(path, target, keep=lambda contour: True):
    """The structure set as others write it: without the pixel planes that contours come from, and with some contours alone."""
    from pydicom.sequence import Sequence

    dataset = pydicom.dcmread(path)
    for drawn in dataset.ROIContourSequence:
        del drawn.SourcePixelPlanesCharacteristicsSequence
        drawn.ContourSequence = Sequence([c for c in drawn.ContourSequence if keep(c)])
    save(dataset, target)
    return target


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize(
    "slices", [[3, 8], [2, 5], [3, 5, 8], [2, 5, 9], [2, 4, 6], [0, 11], [2, 3, 6, 7], [5], [2, 4, 6, 8, 10]]
)
def test_parts_on_separate_slices_go_out_and_come_back(series, tmp_path, slices, stacked):
    folder, grid = series
    mask = islands(grid, slices, stacked)
    (record,) = write_rtstruct(tmp_path / "rs.dcm", folder, [Roi("GTV", grid.image(mask), "GTV")])
    assert record.volume_voxels_cc == pytest.approx(len(slices) * 0.3)
    assert record.volume_contours_cc == pytest.approx(len(slices) * 0.3)
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", folder)["GTV"]), mask)
    report = check_structures(read_structures(tmp_path / "rs.dcm"), read_stack(folder))
    assert report["rois"][0]["problems"] == report["problems"] == []
    (alone,) = check_structures(read_structures(tmp_path / "rs.dcm"))["rois"]
    assert alone["volume_contours_cc"] == pytest.approx(len(slices) * 0.3), (
        "the file itself says how thick its slices are"
    )
    assert alone["problems"] == []


@pytest.mark.parametrize("axes", ["axial", "sagittal", "coronal", "oblique", "feet first"])
@pytest.mark.parametrize("slices", [[3, 7], [2, 5, 9], [1, 4, 7]])
def test_a_foreign_set_of_separate_parts_has_the_volume_of_its_slices(tmp_path, slices, axes):
    folder, grid = tmp_path / "series", write_series(tmp_path / "series", replace(STACK, axes=axes))
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi("GTV", grid.image(islands(grid, slices, False)), "GTV")])
    path = foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm")
    mask = read_rtstruct(path, folder)["GTV"]
    assert volume_cc(mask) == pytest.approx(len(slices) * 0.3)
    contents = read_structures(path)
    assert contour_volume_cc(contents.structures[0], grid) == pytest.approx(len(slices) * 0.3, rel=1e-4)
    assert check_structures(contents, read_stack(folder))["rois"][0]["problems"] == []
    (alone,) = check_structures(contents)["rois"]
    assert (alone["volume_contours_cc"], alone["volume_voxels_cc"]) == (None, None)
    assert "nothing says how thick its slices are" in alone["problems"][0]


def test_another_structure_of_the_set_shows_how_thick_slices_are(series, tmp_path):
    folder, grid = series
    masks = {"GTV": islands(grid, [3, 7], False), "Brain": islands(grid, list(range(2, 10)), True)}
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi(n, grid.image(m), "GTV") for n, m in masks.items()])
    gtv, brain = check_structures(read_structures(foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm")))["rois"]
    assert gtv["volume_contours_cc"] == pytest.approx(0.6)
    assert gtv["volume_voxels_cc"] == pytest.approx(0.6, rel=0.05)
    assert brain["volume_contours_cc"] == pytest.approx(8 * 0.3)
    assert gtv["problems"] == brain["problems"] == []


def test_separate_parts_keep_their_volume_on_a_finer_grid(series, tmp_path):
    folder, grid = series
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi("GTV", grid.image(islands(grid, [3, 7], False)), "GTV")])
    contents = read_structures(foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm"))
    fine = grid.isotropic(1.0)
    with pytest.warns(UserWarning, match="carried over by their signed distance"):
        assert volume_cc(on_grid(contents, "GTV", fine, read_stack(folder))) == pytest.approx(0.6, rel=0.06)
    with pytest.warns(UserWarning, match="nothing says how thick its slices are; 1 mm was taken"):
        on_grid(contents, "GTV", fine)


def test_contours_on_every_third_slice_are_thick_ones(series, tmp_path):
    folder, grid = series
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi("GTV", grid.image(islands(grid, [1, 4, 7, 10], True)), "GTV")])
    contents = read_structures(foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm"))
    (roi,) = check_structures(contents, read_stack(folder))["rois"]
    assert roi["volume_contours_cc"] == pytest.approx(4 * 3 * 0.3)
    assert "every 3rd slice alone" in roi["problems"][0]


def test_an_older_files_slab_thickness_is_believed(series, tmp_path):
    folder, grid = series
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi("GTV", grid.image(islands(grid, [3, 7], False)), "GTV")])
    dataset = pydicom.dcmread(foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm"))
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        contour.ContourSlabThickness = "3"
    save(dataset, tmp_path / "rs.dcm")
    (roi,) = check_structures(read_structures(tmp_path / "rs.dcm"))["rois"]
    assert roi["volume_contours_cc"] == pytest.approx(0.6)


def test_compare_takes_the_series_slices_for_a_structure_of_separate_parts(series, tmp_path, gliosuite):
    folder, grid = series
    write_rtstruct(tmp_path / "ours.dcm", folder, [Roi("GTV", grid.image(islands(grid, [3, 7], False)), "GTV")])
    path = foreign(tmp_path / "ours.dcm", tmp_path / "rs.dcm")
    fine = grid.isotropic(1.0)
    write_image(fine.image(np.ones(fine.shape, bool)), tmp_path / "all.nii.gz")
    code, out, _ = gliosuite("compare", f"A={path}:GTV", f"B={tmp_path / 'all.nii.gz'}", "--series", folder,
                             "--image", tmp_path / "all.nii.gz", "--out", tmp_path / "out")  # fmt: skip
    assert code == 0
    assert next(s for s in json.loads(out)["shares"] if s["covered_by"] == ["A", "B"])["volume_cc"] == pytest.approx(
        0.6, rel=0.06
    )
