"""Real structure sets and real series: read by position, exact areas, and out again through other people's readers."""

import subprocess
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean, read_image, read_mask, volume_cc
from gliosuite.rt.rtstruct import (
    Roi,
    check_structures,
    export_rtstruct,
    on_grid,
    read_rtstruct,
    read_structures,
    write_rtstruct,
)
from gliosuite.rt.rtstruct.planes import contour_areas, contour_volume_cc
from gliosuite.rt.rtstruct.segmentation import read_seg
from gliosuite.rt.targets import Structures, target_volumes
from scipy import ndimage


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    return folder


@pytest.mark.parametrize("kind", ["CT", "MR_T1"])
def test_sts_002_is_read_by_position(data, tmp_path, kind):
    folder = unpack(data(f"rtstruct-sts-002/STS_002_{kind}_dicom.tar.gz"), tmp_path) / "STS_002" / kind
    path = next((folder / "mask").iterdir())
    (structure,) = read_structures(path).structures
    assert contour_volume_cc(structure) == pytest.approx(53.27, rel=0.001)
    masks = read_rtstruct(path, folder / "image")
    (mask,) = masks.values()
    assert volume_cc(mask) == pytest.approx(53.27, rel=0.005)
    expected = read_mask(data(f"rtstruct-sts-002/{kind}_mask.nii.gz"), mask)
    a, b = boolean(mask), boolean(expected)
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.995
    report = check_structures(read_structures(path), read_stack(folder / "image"))
    assert report["rois"][0]["problems"] == ["16 of 16 contours refer to images that are not in the series"]


def test_sts_002_contours_of_the_ct_can_be_put_on_the_mr(data, tmp_path):
    ct, mr = (
        unpack(data(f"rtstruct-sts-002/STS_002_{k}_dicom.tar.gz"), tmp_path) / "STS_002" / k for k in ("CT", "MR_T1")
    )
    contents = read_structures(next((ct / "mask").iterdir()))
    grid = read_stack(mr / "image").grid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = on_grid(contents, contents.structures[0].name, grid)
    assert volume_cc(mask) == pytest.approx(53.27, rel=0.01)


def test_areas_of_the_planning_systems_phantom(data, tmp_path):
    folder = unpack(data("rt-phantom-tps/simple_phantom_case.tar.gz"), tmp_path) / "simple_phantom_case"
    contents = read_structures(next(folder.glob("RS*.dcm")))
    truth = {
        "External": 2500.0,
        "Big": 3300.0,
        "Small": 1600.0,
        "Circle": 2605.3,
        "BigH_SmallV": 2692.7,
        "BigV_SmallH": 2382.7,
        "Star": 2444.1,
    }
    for structure in contents.structures:
        areas = [a for _, a in contour_areas(structure)]
        assert len(areas) == 5
        assert min(abs(a - truth[structure.name]) for a in areas) <= 0.1, structure.name
    with pytest.warns(UserWarning, match=r"4 RTDOSE, 6 RTIMAGE, 1 RTPLAN, 1 RTSTRUCT"):
        series = read_stack(folder)
    report = check_structures(contents, series)
    assert [r["problems"] for r in report["rois"]] == [[]] * 7
    assert report["problems"] == []


def test_a_head_mr_goes_out_as_a_structure_set_and_comes_back(data, tmp_path, tool):
    """An ellipsoid drawn as GTV, its ESTRO-EANO CTV inside a head mask, and a third structure with a hole."""
    folder = unpack(data("head-mr-dicom/VS-SEG-001_t1gd_slices036-095.tar.gz"), tmp_path / "series")
    series = read_stack(folder)
    grid = series.grid
    assert grid.size == (512, 512, 60)
    pixels = np.stack([pydicom.dcmread(s.file).pixel_array for s in series.slices])
    coarse = pixels[:, ::4, ::4] > 0.15 * np.percentile(pixels, 99)
    labels, _ = ndimage.label(ndimage.binary_opening(coarse, iterations=1))
    head = ndimage.binary_closing(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]), iterations=3)
    head = np.stack([ndimage.binary_fill_holes(s) for s in head]).repeat(4, axis=1).repeat(4, axis=2)
    middle = np.argwhere(head).mean(axis=0)
    index = (np.indices(grid.shape).reshape(3, -1).T - middle - (0, 0, 110)) * grid.spacing[::-1]
    gtv = (np.linalg.norm(index / (14, 18, 12), axis=1) <= 1).reshape(grid.shape)
    made = target_volumes("estro-eano", Structures(brain=grid.image(head), cel=grid.image(gtv)))
    ctv = boolean(made.ctv)
    assert not ctv[~head].any()
    rind = ctv & ~gtv
    masks = {"GTV_EANO": gtv, "CTV_EANO": ctv, "Rind": rind}
    rois = [
        Roi(name, grid.image(mask), kind, None, made.targets[0].how)
        for (name, mask), kind in zip(masks.items(), ("GTV", "CTV", "CONTROL"))
    ]
    records = write_rtstruct(tmp_path / "rs.dcm", folder, rois)
    for record, mask in zip(records, masks.values()):
        assert record.volume_contours_cc == pytest.approx(mask.sum() * grid.voxel_cc, rel=1e-3)
    assert (
        "Error"
        not in subprocess.run([tool("dciodvfy"), str(tmp_path / "rs.dcm")], capture_output=True, text=True).stderr
    )
    again = read_rtstruct(tmp_path / "rs.dcm", folder)
    assert all(np.array_equal(boolean(again[n]), m) for n, m in masks.items())
    subprocess.run(
        [tool("plastimatch"), "convert", "--input", tmp_path / "rs.dcm", "--referenced-ct", folder, "--output-prefix",
         tmp_path / "plastimatch", "--prefix-format", "nrrd"],
        capture_output=True, check=True,
    )  # fmt: skip
    for name, mask in masks.items():
        theirs = read_image(tmp_path / "plastimatch" / f"{name}.nrrd")
        assert Grid.of(theirs).matches(grid)
        inside = array(theirs, np.uint8) > 0
        assert 2 * (inside & mask).sum() / (inside.sum() + mask.sum()) >= 0.999, name


def test_a_head_ct_without_a_frame_of_reference_is_written_with_a_warning(data, tmp_path, tool):
    folder = unpack(data("head-ct-dicom/CTHeadAxialDicom.tar.gz"), tmp_path / "series")
    grid = read_stack(folder).grid
    index = (np.indices(grid.shape).reshape(3, -1).T - np.asarray(grid.shape) / 2) * grid.spacing[::-1]
    mask = (np.linalg.norm(index, axis=1) <= 25).reshape(grid.shape)
    with pytest.warns(UserWarning, match="have no FrameOfReferenceUID"):
        write_rtstruct(tmp_path / "rs.dcm", folder, [Roi("PTV", grid.image(mask), "PTV")])
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", folder)["PTV"]), mask)
    assert (
        "Error"
        not in subprocess.run([tool("dciodvfy"), str(tmp_path / "rs.dcm")], capture_output=True, text=True).stderr
    )


def test_a_head_ct_without_a_frame_of_reference_carries_no_segmentation_and_nothing_is_left(data, tmp_path):
    pytest.importorskip("highdicom")
    folder = unpack(data("head-ct-dicom/CTHeadAxialDicom.tar.gz"), tmp_path / "series")
    grid = read_stack(folder).grid
    mask = np.zeros(grid.shape, bool)
    mask[40:50, 20:40, 20:40] = True
    with (
        pytest.warns(UserWarning, match="have no FrameOfReferenceUID"),
        pytest.raises(InputError, match="cannot carry a DICOM segmentation"),
    ):
        export_rtstruct(
            tmp_path / "o" / "rs.dcm", folder, [Roi("PTV", grid.image(mask), "PTV")], seg=tmp_path / "o" / "seg.dcm"
        )
    assert not (tmp_path / "o").exists()


def test_smooth_contours_and_a_segmentation_of_a_head_mr(data, tmp_path, tool):
    pytest.importorskip("highdicom")
    folder = unpack(data("head-mr-dicom/VS-SEG-001_t1gd_slices036-095.tar.gz"), tmp_path / "series")
    grid = read_stack(folder).grid
    index = (np.indices(grid.shape).reshape(3, -1).T - np.asarray(grid.shape) / 2) * grid.spacing[::-1]
    radius = np.linalg.norm(index / (14, 18, 12), axis=1).reshape(grid.shape)
    masks = {"GTV": radius < 1, "Rind": (radius < 2) & (radius > 0.5)}
    rois = [Roi(n, grid.image(m), "GTV" if n == "GTV" else "CTV") for n, m in masks.items()]
    rs, seg = tmp_path / "rs.dcm", tmp_path / "seg.dcm"
    for record in export_rtstruct(rs, folder, rois, smooth=True, seg=seg).rois:
        assert record.volume_contours_cc == pytest.approx(record.volume_voxels_cc, rel=2e-3)
    for file in (rs, seg):
        assert "Error" not in subprocess.run([tool("dciodvfy"), str(file)], capture_output=True, text=True).stderr
    ours, segments = read_rtstruct(rs, folder), read_seg(seg, folder)
    for name, mask in masks.items():
        again = boolean(ours[name])
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.999
        assert np.array_equal(boolean(segments[name]), mask)


# ------------------------------------------------------------------------------------------------------ reported cases


def test_a_real_planning_mr_that_is_marked_as_derived_is_taken_with_a_warning(data, tmp_path):
    folder = unpack(data("rtstruct-sts-002/STS_002_MR_T1_dicom.tar.gz"), tmp_path) / "STS_002" / "MR_T1"
    (mask,) = read_rtstruct(next((folder / "mask").iterdir()), folder / "image").values()
    with pytest.warns(UserWarning, match=r"This is a derived series \(ImageType DERIVED/PRIMARY/AXIAL\)"):
        write_rtstruct(tmp_path / "rs.dcm", folder / "image", [Roi("GTV", mask, "GTV")])
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", folder / "image")["GTV"]), boolean(mask))


@pytest.mark.parametrize(("name", "cc"), [("two_islands", 0.216), ("four", 0.432), ("ok", 0.432)])
def test_parts_on_separate_slices_are_written(data, tmp_path, name, cc):
    folder = data("reported-cases/rt-sparse_slices")
    mask = read_mask(folder / f"{name}.nrrd")
    (record,) = write_rtstruct(tmp_path / "rs.dcm", folder / "series", [Roi("GTV", mask, "GTV")])
    assert (record.volume_voxels_cc, record.volume_contours_cc) == pytest.approx((cc, cc))
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", folder / "series")["GTV"]), boolean(mask))


def test_two_foci_on_thick_slices_are_written(data, tmp_path):
    folder = data("reported-cases/rtstruct-write-separate-slices")
    series = unpack(folder / "foci_mr.tar.gz", tmp_path)
    foci = read_mask(folder / "foci.nii.gz")
    (record,) = write_rtstruct(tmp_path / "rs.dcm", series / "foci_mr", [Roi("GTV", foci, "GTV")])
    assert (record.contours, record.volume_voxels_cc) == (2, pytest.approx(0.273))


def test_two_foci_of_a_foreign_set_have_their_volume(data, tmp_path):
    folder = data("reported-cases/rtstruct-read-separate-slices")
    series = read_stack(unpack(folder / "ct.tar.gz", tmp_path))
    (roi,) = check_structures(read_structures(folder / "rs.dcm"), series)["rois"]
    assert (roi["volume_contours_cc"], roi["problems"]) == (pytest.approx(0.6), [])
    assert roi["volume_voxels_cc"] == pytest.approx(0.6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "cc", "problem"),
    [
        ("rs_nan", 6.0, "1 contours hold coordinates that are no numbers"),
        ("rs_outside", 216.0, "it leaves the image: 73.3 % of it (158.40 cc)"),
        ("rs_overlap_same_slice", 2.4, "10 contours cross others of their plane; their union was taken"),
    ],
)
def test_what_is_wrong_with_a_foreign_set_is_named(data, tmp_path, name, cc, problem):
    folder = data("reported-cases/rtstruct-check-nan-overlap")
    series = read_stack(unpack(folder / "ct.tar.gz", tmp_path))
    (roi,) = check_structures(read_structures(folder / f"{name}.dcm"), series)["rois"]
    assert roi["volume_contours_cc"] == pytest.approx(cc, rel=1e-4)
    assert any(p.startswith(problem) for p in roi["problems"])


def test_overlapping_circles_are_a_union(data):
    folder = data("reported-cases/rt-overlapping_contours")
    (roi,) = check_structures(read_structures(folder / "overlap.dcm"), read_stack(folder / "s"))["rois"]
    assert roi["volume_voxels_cc"] == pytest.approx(5.6, rel=0.01)
    assert roi["volume_contours_cc"] == pytest.approx(5.6, rel=0.04), "voxels of 1 mm hold 3 % less of these circles"
    assert any("cross others of their plane" in p for p in roi["problems"])


def test_a_truncated_set_and_a_series_with_one_uid_are_refused(data):
    with pytest.raises(InputError, match="damaged or truncated"):
        read_structures(data("reported-cases/rt-malformed_sets") / "trunc.dcm")
    with pytest.raises(InputError, match="13 of 14 slices have the SOPInstanceUID of another"):
        read_stack(data("reported-cases/rt-duplicate_sop_uid") / "s")


def test_a_target_volume_cut_by_the_images_edge_is_told(data):
    folder = data("reported-cases/ctv-cut-at-image-edge")
    masks = {n: read_mask(folder / f"{n}.nii.gz") for n in ("brain", "brain_crop", "cel_full", "cel_crop")}
    cut = target_volumes("rtog", Structures(masks["brain_crop"], masks["cel_crop"], masks["cel_crop"]))
    whole = target_volumes("rtog", Structures(masks["brain"], masks["cel_full"], masks["cel_full"]))
    assert (volume_cc(cut.ctv), volume_cc(whole.ctv)) == pytest.approx((66.2, 90.3), abs=0.05)
    assert any("about 24.1 cc of it would lie beyond" in n for n in cut.notes)
    assert not any("edge of the image" in n for n in whole.notes)
