"""Structure sets in any orientation: the same voxels in every reader, the right references, no validator error; and what is refused."""

import json
import subprocess
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_series import Stack, save, shapes, uid, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, read_image, write_image
from gliosuite.rt.rtstruct import Roi, check_structures, on_grid, read_rtstruct, read_structures, write_rtstruct
from gliosuite.rt.rtstruct.planes import contour_areas

STACKS = {
    "axial": Stack(),
    "thick": Stack((64, 64, 20), (1.0, 1.0, 3.0)),
    "oblique": Stack((64, 64, 30), (1.0, 1.0, 2.0), "oblique"),
    "sagittal": Stack((56, 60, 50), (1.0, 1.0, 1.0), "sagittal"),
    "coronal": Stack((56, 60, 50), (1.0, 1.0, 1.0), "coronal"),
    "reversed": Stack(reversed=True),
    "feet first": Stack(axes="feet first"),
    "anisotropic": Stack((64, 56, 30), (0.9375, 0.9375, 1.2), "oblique"),
    "non-square": Stack((64, 48, 24), (0.8, 1.3, 2.2), "coronal"),
}


@pytest.fixture(scope="module", params=STACKS)
def written(request, tmp_path_factory):
    """A series, hard shapes on it, and the structure set written from them."""
    folder = tmp_path_factory.mktemp("rt")
    grid = write_series(folder / "series", STACKS[request.param])
    masks = shapes(grid)
    rois = [Roi(name, grid.image(mask), "CTV", None, "test shape") for name, mask in masks.items()]
    records = write_rtstruct(folder / "rs.dcm", folder / "series", rois)
    return folder, grid, masks, records


def test_our_reader_gets_every_voxel_back(written):
    folder, grid, masks, _ = written
    again = read_rtstruct(folder / "rs.dcm", folder / "series")
    assert list(again) == list(masks)
    for name, mask in masks.items():
        assert Grid.of(again[name]).matches(grid)
        assert np.array_equal(boolean(again[name]), mask), name


def test_the_polygons_have_the_voxels_volume(written):
    _, grid, masks, records = written
    for record, mask in zip(records, masks.values()):
        assert record.volume_voxels_cc == pytest.approx(mask.sum() * grid.voxel_cc, rel=1e-6)
        assert record.volume_contours_cc == pytest.approx(record.volume_voxels_cc, rel=1e-3)


def test_every_contour_refers_to_the_slice_that_it_lies_on(written):
    folder, *_ = written
    report = check_structures(read_structures(folder / "rs.dcm"), read_stack(folder / "series"))
    assert report["problems"] == []
    assert [r["problems"] for r in report["rois"]] == [[]] * 6


def test_it_passes_dciodvfy(written, tool):
    folder, *_ = written
    output = subprocess.run([tool("dciodvfy"), str(folder / "rs.dcm")], capture_output=True, text=True).stderr
    assert "RTStructureSet" in output
    assert "Error" not in output


def test_plastimatch_gets_every_voxel_back(written, tool):
    folder, grid, masks, _ = written
    subprocess.run(
        [tool("plastimatch"), "convert", "--input", folder / "rs.dcm", "--referenced-ct", folder / "series",
         "--output-prefix", folder / "plastimatch", "--prefix-format", "nrrd"],
        capture_output=True, check=True,
    )  # fmt: skip
    for name, mask in masks.items():
        image = read_image(folder / "plastimatch" / f"{name}.nrrd")
        assert Grid.of(image).matches(grid)
        again = boolean(image)
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) >= 0.999, name


# --------------------------------------------------------------------------------------------------- what is in the file


@pytest.fixture
def series(tmp_path):
    """A small axial series and its grid."""
    grid = write_series(tmp_path / "series", Stack((24, 20, 10), (2.0, 2.0, 3.0)))
    return tmp_path / "series", grid


def box(grid: Grid) -> sitk.Image:
    mask = np.zeros(grid.shape, bool)
    mask[3:7, 5:15, 6:18] = True
    return grid.image(mask)


def test_modules_references_and_wording(series, tmp_path):
    folder, grid = series
    write_rtstruct(
        tmp_path / "rs.dcm",
        folder,
        [Roi("GTV", box(grid), "GTV"), Roi("CTV_6000", box(grid), "CTV", (1, 2, 3), "estro-eano, CEL + 15 mm")],
    )
    d = pydicom.dcmread(tmp_path / "rs.dcm")
    image = pydicom.dcmread(next(folder.iterdir()))
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "AccessionNumber",
    ):
        assert d[keyword].value == image[keyword].value
    assert d.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert d.SeriesInstanceUID != image.SeriesInstanceUID
    assert (d.ApprovalStatus, d.StructureSetLabel, d.StructureSetDate) == (
        "UNAPPROVED",
        "GlioSuite",
        date.today().strftime("%Y%m%d"),
    )
    frames = {d.FrameOfReferenceUID, d.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID}
    frames |= {r.ReferencedFrameOfReferenceUID for r in d.StructureSetROISequence}
    assert frames == {image.FrameOfReferenceUID}
    referenced = d.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == image.SeriesInstanceUID
    assert len(referenced.ContourImageSequence) == 10
    assert [r.ROIName for r in d.StructureSetROISequence] == ["GTV", "CTV_6000"]
    assert "estro-eano, CEL + 15 mm" in d.StructureSetROISequence[1].ROIDescription
    assert all("research use" in r.ROIDescription for r in d.StructureSetROISequence)
    assert [o.RTROIInterpretedType for o in d.RTROIObservationsSequence] == ["GTV", "CTV"]
    assert list(d.ROIContourSequence[1].ROIDisplayColor) == [1, 2, 3]
    assert list(d.ROIContourSequence[0].ROIDisplayColor) != [1, 2, 3]
    numbers = [str(v) for c in d.ROIContourSequence[0].ContourSequence for v in c.ContourData]
    assert max(map(len, numbers)) <= 16


def test_the_same_structures_give_the_same_bytes(series, tmp_path):
    folder, grid = series
    for name in ("a.dcm", "b.dcm"):
        write_rtstruct(tmp_path / name, folder, [Roi("CTV", box(grid), "CTV")])
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    write_rtstruct(tmp_path / "c.dcm", folder, [Roi("CTV2", box(grid), "CTV")])
    uids = [pydicom.dcmread(tmp_path / n).SOPInstanceUID for n in ("a.dcm", "c.dcm")]
    assert uids[0] != uids[1]


def test_names_in_other_alphabets_survive(tmp_path):
    grid = write_series(tmp_path / "series", Stack((16, 16, 6)), patient="Müller^Åse")
    mask = np.zeros(grid.shape, bool)
    mask[2:4, 4:9, 4:9] = True
    write_rtstruct(tmp_path / "rs.dcm", tmp_path / "series", [Roi("GTV", grid.image(mask), "GTV")])
    assert str(pydicom.dcmread(tmp_path / "rs.dcm").PatientName) == "Müller^Åse"


def test_a_mask_on_another_grid_is_carried_over_by_its_signed_distance(tmp_path):
    grid = write_series(tmp_path / "series", Stack((60, 60, 40), (1.0, 1.0, 1.2), "oblique"))
    coarse = Grid((26, 26, 26), (3.0, 3.0, 3.0), (-35.0, -48.0, -17.0), tuple(np.eye(3).ravel()))
    index = np.indices(coarse.shape)[::-1].reshape(3, -1).T * 3.0 + coarse.origin
    centre = np.array([3.127, -11.4, 20.33])
    mask = (np.linalg.norm(index - centre, axis=1) <= 15).reshape(coarse.shape)
    (record,) = write_rtstruct(tmp_path / "rs.dcm", tmp_path / "series", [Roi("GTV", coarse.image(mask), "GTV")])
    assert record.volume_voxels_cc == pytest.approx(mask.sum() * coarse.voxel_cc, rel=0.03)
    again = boolean(read_rtstruct(tmp_path / "rs.dcm", tmp_path / "series")["GTV"])
    where = np.argwhere(again).mean(axis=0)[::-1] * grid.spacing @ np.reshape(grid.direction, (3, 3)).T + grid.origin
    assert np.abs(where - centre).max() < 0.5


def test_what_lies_beyond_the_slices_is_told(series, tmp_path):
    folder, grid = series
    longer = Grid((24, 20, 20), grid.spacing, grid.origin, grid.direction)
    mask = np.zeros(longer.shape, bool)
    mask[4:14, 5:15, 6:18] = True
    with pytest.warns(UserWarning, match=r"ROI GTV: 40\.0 % of it .* lies outside the slices"):
        write_rtstruct(tmp_path / "rs.dcm", folder, [Roi("GTV", longer.image(mask), "GTV")])


def test_an_enhanced_multi_frame_series_is_referred_to_frame_by_frame(tmp_path):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    write_series(tmp_path / "single", Stack((24, 20, 10), (2.0, 2.0, 3.0)))
    files = sorted((tmp_path / "single").iterdir())
    d = pydicom.dcmread(files[0])
    frames = []
    for file in reversed(files):  # the last slice first
        single = pydicom.dcmread(file)
        place, turn, measures, frame = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = single.ImagePositionPatient
        turn.ImageOrientationPatient = single.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = single.PixelSpacing, single.SliceThickness
        frame.PlanePositionSequence = Sequence([place])
        frame.PlaneOrientationSequence, frame.PixelMeasuresSequence = Sequence([turn]), Sequence([measures])
        frames.append(frame)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "PixelData"):
        del d[keyword]
    d.SOPClassUID, d.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.4.1", len(frames)
    d.PerFrameFunctionalGroupsSequence = Sequence(frames)
    (tmp_path / "multi").mkdir()
    save(d, tmp_path / "multi" / "e.dcm")
    series = read_stack(tmp_path / "multi")
    assert series.grid.matches(read_stack(tmp_path / "single").grid)
    assert [s.number for s in series.slices] == list(range(10, 0, -1))
    write_rtstruct(tmp_path / "rs.dcm", tmp_path / "multi", [Roi("CTV", box(series.grid), "CTV")])
    contour = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedFrameNumber == 7, "z index 3 is the seventh frame"
    assert np.array_equal(
        boolean(read_rtstruct(tmp_path / "rs.dcm", tmp_path / "multi")["CTV"]), boolean(box(series.grid))
    )


# ------------------------------------------------------------------------------------------ other people's structure sets


def edited(source: Path, target: Path, change) -> Path:
    """A structure set after `change(dataset)`."""
    dataset = pydicom.dcmread(source)
    change(dataset)
    save(dataset, target)
    return target


def contour_of(points: list[tuple[float, float, float]], kind: str = "CLOSED_PLANAR"):
    from pydicom.dataset import Dataset

    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
    contour.ContourData = [f"{v:.3f}" for p in points for v in p]
    return contour


def square(grid: Grid, k: float, half: float) -> list[tuple[float, float, float]]:
    """A square around the middle of slice position `k` (which need not be whole)."""
    x, y = (np.asarray(grid.origin) + (np.asarray(grid.size) - 1) * grid.spacing / 2)[:2]
    z = grid.origin[2] + k * grid.spacing[2]
    return [(x - half, y - half, z), (x + half, y - half, z), (x + half, y + half, z), (x - half, y + half, z)]


@pytest.fixture
def base(series, tmp_path):
    folder, grid = series
    write_rtstruct(tmp_path / "base.dcm", folder, [Roi("CTV", box(grid), "CTV")])
    return tmp_path / "base.dcm", folder, grid


def redrawn(base: Path, target: Path, contours: list) -> Path:
    from pydicom.sequence import Sequence

    def change(dataset):
        (drawn,) = dataset.ROIContourSequence
        drawn.ContourSequence = Sequence(contours)
        del drawn.SourcePixelPlanesCharacteristicsSequence  # few others write it

    return edited(base, target, change)


def test_contours_with_broken_references_are_taken_by_position(base, tmp_path):
    path, folder, grid = base

    def change(dataset):
        for i, contour in enumerate(dataset.ROIContourSequence[0].ContourSequence):
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = uid(f"gone {i}")

    broken = edited(path, tmp_path / "broken.dcm", change)
    assert np.array_equal(boolean(read_rtstruct(broken, folder)["CTV"]), boolean(box(grid)))
    report = check_structures(read_structures(broken), read_stack(folder))
    assert report["rois"][0]["problems"] == ["4 of 4 contours refer to images that are not in the series"]


def test_contours_that_refer_to_another_slice_are_taken_by_position(base, tmp_path):
    path, folder, grid = base

    def change(dataset):
        contours = dataset.ROIContourSequence[0].ContourSequence
        for contour in contours:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = (
                contours[0].ContourImageSequence[0].ReferencedSOPInstanceUID
            )

    wrong = edited(path, tmp_path / "wrong.dcm", change)
    assert np.array_equal(boolean(read_rtstruct(wrong, folder)["CTV"]), boolean(box(grid)))
    report = check_structures(read_structures(wrong), read_stack(folder))
    assert report["rois"][0]["problems"] == ["3 of 4 contours refer to another slice than they lie on"]


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_nested_loops_and_xor_contours_are_holes(base, tmp_path, kind):
    path, folder, grid = base
    contours = [contour_of(square(grid, k, half), kind) for k in (3, 4) for half in (16, 8)]
    nested = redrawn(path, tmp_path / "nested.dcm", contours)
    mask = boolean(read_rtstruct(nested, folder)["CTV"])
    assert mask.sum() == 2 * (16 * 16 - 8 * 8)
    assert [a for _, a in contour_areas(read_structures(nested).structures[0])] == pytest.approx([32**2 - 16**2] * 2)


def test_contours_near_the_border_of_a_slice_are_not_lost(base, tmp_path):
    path, folder, grid = base
    near = redrawn(path, tmp_path / "near.dcm", [contour_of(square(grid, k + 0.2, 8)) for k in range(2, 8)])
    mask = boolean(read_rtstruct(near, folder)["CTV"])
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [2, 3, 4, 5, 6, 7]
    one = redrawn(path, tmp_path / "one.dcm", [contour_of(square(grid, 4.49, 8))])
    assert np.flatnonzero(boolean(read_rtstruct(one, folder)["CTV"]).any(axis=(1, 2))).tolist() == [4]


def test_contours_between_the_slices_are_carried_over_by_signed_distance(base, tmp_path):
    path, folder, grid = base
    between = redrawn(path, tmp_path / "between.dcm", [contour_of(square(grid, k + 0.5, 8.5)) for k in range(2, 7)])
    with pytest.warns(UserWarning, match="lie on other planes than the slices"):
        mask = boolean(read_rtstruct(between, folder)["CTV"])
    assert {3, 4, 5, 6} <= set(np.flatnonzero(mask.any(axis=(1, 2)))) <= set(range(2, 8))
    assert (mask[3:7].sum(axis=(1, 2)) == 8 * 8).all(), "pixels of 2 mm whose centres lie within 8.5 mm"


def test_contours_on_every_second_slice_fill_the_slices_between(base, tmp_path):
    path, folder, grid = base
    sparse = redrawn(path, tmp_path / "sparse.dcm", [contour_of(square(grid, k, 8.5)) for k in (2, 4, 6)])
    with pytest.warns(UserWarning, match="lie on other planes than the slices"):
        mask = boolean(read_rtstruct(sparse, folder)["CTV"])
    assert mask.any(axis=(1, 2))[2:7].all()


def test_odd_contours_are_left_out_and_told(base, tmp_path):
    path, folder, grid = base
    good = square(grid, 4, 8)
    contours = [contour_of(good), contour_of(good), contour_of(good[:2]), contour_of(good[:1], "POINT")]
    odd = redrawn(path, tmp_path / "odd.dcm", contours)
    with pytest.warns(UserWarning, match="ROI CTV") as told:
        mask = boolean(read_rtstruct(odd, folder)["CTV"])
    assert mask.sum() == 8 * 8
    texts = " ".join(str(w.message) for w in told)
    for part in (
        "1 contours are not closed planar ones",
        "1 contours have fewer than 3 points",
        "1 contours occur twice",
    ):
        assert part in texts


def test_a_structure_set_of_another_frame_of_reference_is_refused(base, tmp_path):
    path, folder, _ = base

    def change(dataset):
        dataset.FrameOfReferenceUID = uid("elsewhere")
        for roi in dataset.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = uid("elsewhere")

    other = edited(path, tmp_path / "other.dcm", change)
    with pytest.raises(InputError, match="was drawn in another frame of reference"):
        read_rtstruct(other, folder)


def test_an_roi_can_be_put_on_any_grid(base):
    path, _, grid = base
    fine = Grid((48, 40, 30), (1.0, 1.0, 1.0), tuple(np.asarray(grid.origin) - (0.5, 0.5, 1.0)), grid.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = on_grid(read_structures(path), "CTV", fine)
    assert boolean(mask).sum() * fine.voxel_cc == pytest.approx(boolean(box(grid)).sum() * grid.voxel_cc, rel=0.05)
    with pytest.raises(InputError, match="has no ROI GTV; it has CTV"):
        on_grid(read_structures(path), "GTV", fine)


@pytest.mark.parametrize("content", [b"", b"not DICOM at all, but long enough to look at" * 10])
def test_what_is_no_structure_set_is_refused(tmp_path, series, content):
    folder, _ = series
    (tmp_path / "x.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.dcm is not a DICOM file"):
        read_rtstruct(tmp_path / "x.dcm", folder)
    with pytest.raises(InputError, match="is a DICOM object of modality MR; an RT structure set is needed"):
        read_rtstruct(next(folder.iterdir()), folder)
    with pytest.raises(InputError, match=r"missing\.dcm does not exist"):
        read_rtstruct(tmp_path / "missing.dcm", folder)


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "CTV_WITH_A_LONG_NAME"}, "ROI name CTV_WITH_A_LONG_NAME has 20 characters; planning systems take at most 16"),
        ({"name": "CTV 60"}, "ROI name 'CTV 60' is not usable"),
        ({"interpreted_type": "TUMOUR"}, "type TUMOUR is not known; choose from GTV, CTV"),
        ({"mask": "empty"}, "ROI CTV is empty"),
        ({"mask": "away"}, "ROI CTV does not overlap the series"),
    ],
)  # fmt: skip
def test_a_structure_that_cannot_be_written_is_refused_and_nothing_is_left(series, tmp_path, change, sentence):
    folder, grid = series
    masks = {
        "empty": grid.blank(),
        "away": Grid(grid.size, grid.spacing, (900.0, 0.0, 0.0), grid.direction).image(boolean(box(grid))),
    }
    values = {"name": "CTV", "mask": box(grid), "interpreted_type": "CTV"} | change
    values["mask"] = masks[values["mask"]] if isinstance(values["mask"], str) else values["mask"]
    with pytest.raises(InputError, match=sentence):
        write_rtstruct(tmp_path / "out" / "rs.dcm", folder, [Roi("GTV", box(grid), "GTV"), Roi(**values)])
    assert not (tmp_path / "out").exists()


def test_two_structures_of_one_name_none_and_a_long_label_are_refused(series, tmp_path):
    folder, grid = series
    for rois, label, sentence in (
        ([Roi("Ctv", box(grid), "CTV"), Roi("CTV", box(grid), "CTV")], "x", "ROI names Ctv and CTV are the same"),
        ([], "x", "no structure was given"),
        ([Roi("CTV", box(grid), "CTV")], "a label of many words", "structure set label"),
    ):
        with pytest.raises(InputError, match=sentence):
            write_rtstruct(tmp_path / "rs.dcm", folder, rois, label)
    assert not (tmp_path / "rs.dcm").exists()


def test_a_file_that_does_not_read_back_is_not_kept(series, tmp_path, monkeypatch):
    from gliosuite.rt.rtstruct import writing as rtobject

    folder, grid = series
    monkeypatch.setattr(
        rtobject, "outlines", lambda mask: [np.array([(0, 0), (3, 0), (3, 3), (0, 3)], float)] if mask.any() else []
    )
    with pytest.raises(RuntimeError, match="ROI CTV did not read back as it was written"):
        write_rtstruct(tmp_path / "out" / "rs.dcm", folder, [Roi("CTV", box(grid), "CTV")])
    assert not (tmp_path / "out").exists()


def spoil(folder: Path, kind: str) -> None:
    """Make a series unfit in one way."""
    stack = Stack((24, 20, 10), (2.0, 2.0, 3.0))
    files = sorted(folder.iterdir())
    first = pydicom.dcmread(files[0])
    if kind == "missing":
        files[4].unlink()
    elif kind == "doubled":
        first.SOPInstanceUID = uid("again")
        save(first, folder / "again.dcm")
    elif kind == "two series":
        write_series(folder / "other", stack, name="other")
    elif kind == "two patients":
        write_series(folder / "other", stack, name="other", patient="Somebody^Else")
    elif kind == "not parallel":
        first.ImageOrientationPatient = ["1", "0", "0", "0", "0.98", "0.199"]
        save(first, files[0])
    elif kind == "uneven":
        first.ImagePositionPatient[2] = float(first.ImagePositionPatient[2]) + 1.2
        save(first, files[0])
    elif kind == "tilted":
        for i, file in enumerate(files):
            d = pydicom.dcmread(file)
            d.ImagePositionPatient[1] = float(d.ImagePositionPatient[1]) + 0.5 * i
            save(d, file)
    elif kind == "no position":
        del first.PixelSpacing
        save(first, files[0])
    elif kind == "frames of reference":
        first.FrameOfReferenceUID = uid("elsewhere")
        save(first, files[0])
    elif kind == "nothing":
        for file in files:
            file.unlink()
        (folder / "notes.txt").write_text("no images here")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", r"slices are missing between 15\.\d\d and 21\.\d\d mm along the slice normal \(spacing 3\.00 mm, 9 slices found\)"),
        ("doubled", r"slice positions occur twice \((0001.dcm and again|again.dcm and 0001)"),
        ("two series", "holds 2 series, 2.25."),
        ("two patients", "holds images of 2 patients"),
        ("not parallel", "the slices are not parallel"),
        ("uneven", "the slices are not evenly spaced"),
        ("tilted", "gantry tilt"),
        ("no position", "has no PixelSpacing of 2 numbers"),
        ("frames of reference", "the slices differ in FrameOfReferenceUID"),
        ("nothing", "holds no CT or MR slices"),
    ],
)  # fmt: skip
def test_an_unfit_series_is_refused_and_nothing_is_left(series, tmp_path, gliosuite, kind, sentence):
    import re

    folder, grid = series
    write_image(box(grid), tmp_path / "ctv.nii.gz")
    spoil(folder, kind)
    code, out, err = gliosuite(
        "rtstruct",
        "--series",
        folder,
        "--roi",
        f"CTV:CTV={tmp_path / 'ctv.nii.gz'}",
        "--out",
        tmp_path / "out" / "rs.dcm",
    )
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(sentence, last), last
    assert "Somebody" not in err
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_slices_are_left_out_with_a_warning(series, tmp_path):
    folder, grid = series
    (folder / "readme.txt").write_text("hello")
    with pytest.warns(UserWarning, match=r"left out \(1 not DICOM\)"):
        write_rtstruct(tmp_path / "rs.dcm", folder, [Roi("CTV", box(grid), "CTV")])
    (tmp_path / "rs.dcm").rename(folder / "rs.dcm")
    with pytest.warns(UserWarning, match=r"files that are no slices were left out \(1 RTSTRUCT, 1 not DICOM\)"):
        assert len(read_stack(folder).slices) == 10


def test_a_series_without_a_frame_of_reference_is_written_with_a_warning(series, tmp_path):
    folder, grid = series
    for file in folder.iterdir():
        d = pydicom.dcmread(file)
        del d.FrameOfReferenceUID
        save(d, file)
    with pytest.warns(UserWarning, match="have no FrameOfReferenceUID"):
        write_rtstruct(tmp_path / "rs.dcm", folder, [Roi("CTV", box(grid), "CTV")])
    assert np.array_equal(boolean(read_rtstruct(tmp_path / "rs.dcm", folder)["CTV"]), boolean(box(grid)))


# -------------------------------------------------------------------------------------------------------- command line


def test_the_command_writes_checks_and_takes_structures_as_masks(series, tmp_path, gliosuite):
    folder, grid = series
    write_image(box(grid), tmp_path / "ctv.nii.gz", "CTV_EANO: cel + 15 mm, inside the brain")
    rs = tmp_path / "rs.dcm"
    code, out, _ = gliosuite("rtstruct", "--series", folder, "--roi", f"GTV:GTV={tmp_path / 'ctv.nii.gz'}",
                             f"CTV_EANO:CTV={tmp_path / 'ctv.nii.gz'}", "--out", rs, "--label", "First")  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert [r["name"] for r in report["rois"]] == ["GTV", "CTV_EANO"]
    assert report["rois"][0]["volume_contours_cc"] == pytest.approx(480 * 12 / 1000)
    assert "cel + 15 mm" in pydicom.dcmread(rs).StructureSetROISequence[1].ROIDescription

    code, out, _ = gliosuite("rtstruct", "--check", rs, "--series", folder)
    checked = json.loads(out)
    assert code == 0
    assert len(pydicom.dcmread(rs).StructureSetTime) == len("HHMMSS")
    assert checked["label"] == "First"
    assert checked["problems"] == []
    assert checked["rois"][0]["volume_voxels_cc"] == pytest.approx(480 * 12 / 1000)
    code, out, _ = gliosuite("rtstruct", "--check", rs)
    assert json.loads(out)["rois"][0]["volume_voxels_cc"] == pytest.approx(480 * 12 / 1000, rel=0.05)

    brain = grid.image(np.ones(grid.shape, bool))
    write_image(brain, tmp_path / "brain.nii.gz")
    code, out, _ = gliosuite("compare", "--reference", f"{rs}:GTV", "--brain", tmp_path / "brain.nii.gz", f"A={rs}:CTV_EANO",
                             "--series", folder, "--out", tmp_path / "comparison")  # fmt: skip
    assert code == 0
    assert json.loads(out)["rows"][0]["dice"] == 1
    again = tmp_path / "again.dcm"
    assert gliosuite("rtstruct", "--series", folder, "--roi", f"X:ORGAN={rs}:GTV", "--out", again)[0] == 0
    assert np.array_equal(boolean(read_rtstruct(again, folder)["X"]), boolean(box(grid)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--roi", "CTV=m.nii.gz", "--out", "o/rs.dcm"], "--roi CTV=m.nii.gz is not of the form NAME:TYPE=MASK"),
        (["--roi", "CTV:CTV=m.nii.gz"], "--out is missing"),
        (["--out", "o/rs.dcm"], "--roi is missing"),
        (["--check", "rs.dcm", "--out", "o/rs.dcm"], "--check reads a structure set and takes neither"),
        (["--check", "rs.dcm"], "rs.dcm (--check) does not exist"),
        (["--roi", "CTV:CTV=m.nii.gz", "--out", "o/rs.dcm"], "m.nii.gz (--roi) does not exist"),
        (["--roi", "CTV:CTV=no.dcm:GTV", "--out", "o/rs.dcm"], "no.dcm (--roi) does not exist"),
    ],
)
def test_bad_options_are_one_sentence(series, tmp_path, gliosuite, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    if "does not exist" not in sentence:  # files that are missing are said first
        for name in ("m.nii.gz", "rs.dcm"):
            (tmp_path / name).touch()
    code, out, err = gliosuite("rtstruct", "--series", series[0], *options)
    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]
    assert not (tmp_path / "o").exists()


def test_a_file_where_the_folder_should_be_is_named(series, tmp_path, gliosuite):
    folder, grid = series
    write_image(box(grid), tmp_path / "ctv.nii.gz")
    (tmp_path / "taken").write_text("x")
    roi = f"CTV:CTV={tmp_path / 'ctv.nii.gz'}"
    code, _, err = gliosuite("rtstruct", "--series", folder, "--roi", roi, "--out", tmp_path / "taken" / "rs.dcm")
    assert code == 2
    assert "taken" in err.strip().splitlines()[-1]
    assert (tmp_path / "taken").read_text() == "x"
