"""Other people's structure sets: contours that overlap, cross themselves or leave the image; damaged and incomplete files."""

import json
import warnings

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, save, uid, write_series
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError
from gliosuite.images import boolean, write_image
from gliosuite.rt.rtstruct import Roi, check_structures, read_rtstruct, read_structures, write_rtstruct


@pytest.fixture
def made(tmp_path):
    """A series of 10 slices of 1 x 1 x 3 mm, and a structure set with one box on it."""
    grid = write_series(tmp_path / "series", Stack((60, 64, 10), (1.0, 1.0, 3.0)))
    mask = np.zeros(grid.shape, bool)
    mask[3:7, 25:35, 20:30] = True
    write_rtstruct(tmp_path / "ours.dcm", tmp_path / "series", [Roi("GTV", grid.image(mask), "GTV")])
    return tmp_path, grid


def foreign(made, loops: list[np.ndarray], slices=(3, 4, 5, 6, 7), kind="CLOSED_PLANAR", number=None):
    """A structure set whose contours are these loops (x, y in mm from the image's middle) on each of the slices."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    folder, grid = made
    middle = np.asarray(grid.origin) + (np.asarray(grid.size) - 1) * grid.spacing / 2 + (0.5, 0.5, 0)
    dataset = pydicom.dcmread(folder / "ours.dcm")
    (drawn,) = dataset.ROIContourSequence
    del drawn.SourcePixelPlanesCharacteristicsSequence
    contours = []
    for k in slices:
        for loop in loops:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, number or len(loop)
            points = np.column_stack([loop + middle[:2], np.full(len(loop), grid.origin[2] + k * grid.spacing[2])])
            contour.ContourData = [f"{v:.3f}" for v in points.ravel()]
            contours.append(contour)
    drawn.ContourSequence = Sequence(contours)
    save(dataset, folder / "rs.dcm")
    return folder / "rs.dcm"


def square(x: float, half: float) -> np.ndarray:
    return np.array([(x - half, -half), (x + half, -half), (x + half, half), (x - half, half)])


def circle(x: float, radius: float) -> np.ndarray:
    t = np.arange(100) * 2 * np.pi / 100
    return np.stack([x + radius * np.cos(t), radius * np.sin(t)], axis=1)


def checked(path, folder):
    """The record of the one ROI, without the references that foreign contours lack."""
    (roi,) = check_structures(read_structures(path), read_stack(folder / "series"))["rois"]
    return roi | {"problems": [p for p in roi["problems"] if "refer to no image" not in p]}


@pytest.mark.parametrize(
    ("loops", "kind", "cc", "problem"),
    [
        ([square(-3, 5), square(3, 5)], "CLOSED_PLANAR", 2.4, "10 contours cross others of their plane; their union was taken"),
        ([square(-3, 5), square(3, 5)], "CLOSEDPLANAR_XOR", 1.8, None),
        ([square(0, 5), square(0, 2)], "CLOSED_PLANAR", 1.26, None),
        ([square(0, 5), square(0, 2)], "CLOSEDPLANAR_XOR", 1.26, None),
        ([square(0, 5), np.roll(square(0, 5), 1, axis=0)], "CLOSED_PLANAR", 1.5, None),
        ([circle(-6, 9), circle(6, 9)], "CLOSED_PLANAR", None, "10 contours cross others of their plane"),
        ([np.array([(-10, -10), (10, 10), (10, -10), (-10, 10)], float)], "CLOSED_PLANAR", 3.0, "5 contours cross themselves"),
    ],
)  # fmt: skip
def test_loops_that_overlap_are_joined_and_named(made, loops, kind, cc, problem):
    folder, _ = made
    path = foreign(made, loops, kind=kind)
    roi = checked(path, folder)
    if cc is None:  # two circles: area less the lens
        d, r = 12, 9
        lens = 2 * r * r * np.arccos(d / (2 * r)) - d / 2 * np.sqrt(4 * r * r - d * d)
        cc = 5 * 3 * (2 * np.pi * r * r - lens) / 1000
    assert roi["volume_contours_cc"] == pytest.approx(cc, rel=2e-3)
    assert roi["volume_voxels_cc"] == pytest.approx(cc, rel=0.06)
    assert problem is None or any(p.startswith(problem) for p in roi["problems"])
    assert problem is not None or roi["problems"] == []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mask = read_rtstruct(path, folder / "series")["GTV"]
    assert boolean(mask).sum() * 0.003 == pytest.approx(cc, rel=0.06)
    assert any(problem in str(w.message) for w in told) if problem else not told


def test_contours_beyond_the_edge_of_the_image_are_told_with_their_volume(made):
    folder, _ = made
    roi = checked(foreign(made, [square(0, 60)]), folder)
    assert roi["volume_contours_cc"] == pytest.approx(216)
    assert roi["volume_voxels_cc"] == pytest.approx(57.6)
    assert roi["problems"] == [
        "it leaves the image: 73.3 % of it (158.40 cc) lie beyond the edges of the slices and were left out",
        "its contours hold 216.00 cc, its voxels 57.60 cc",
    ]
    roi = checked(foreign(made, [square(0, 5)], slices=(7, 8, 9, 10, 11)), folder)
    assert roi["problems"] == [
        "2 contours lie outside the slices and were left out",
        "its contours hold 1.50 cc, its voxels 0.90 cc",
    ]
    assert checked(foreign(made, [square(0, 29)]), folder)["problems"] == [], "up to the edge"


@pytest.mark.parametrize("word", ["NaN", "inf", "-INF", "1e9", "abc", ""])
def test_a_contour_with_numbers_that_are_none_is_left_out_and_named(made, word):
    folder, _ = made
    path = foreign(made, [square(0, 5)], slices=(3, 4, 5, 6, 7, 8))
    content = path.read_bytes()
    at = content.rindex(b"\\")  # before the last coordinate of the last contour
    start = content.rindex(b"\\", 0, at) + 1
    length = at - start
    path.write_bytes(content[:start] + word.encode().ljust(length)[:length] + content[at:])
    roi = checked(path, folder)
    assert roi["contours"] == 5
    assert roi["problems"] == ["1 contours hold coordinates that are no numbers in threes and were left out"]
    assert roi["volume_contours_cc"] == pytest.approx(1.5)


def test_a_count_of_points_that_disagrees_is_named(made):
    folder, _ = made
    roi = checked(foreign(made, [square(0, 5)], number=7), folder)
    assert roi["problems"] == ["5 contours hold another number of points than they say"]


def test_a_file_that_is_cut_off_anywhere_is_refused_without_a_traceback(made, gliosuite):
    folder, _ = made
    content = (folder / "ours.dcm").read_bytes()
    random = np.random.default_rng(17)
    for n in [*random.integers(150, len(content) - 1, 60).tolist(), len(content) - 1, len(content) - 40]:
        (folder / "cut.dcm").write_bytes(content[:n])
        with pytest.raises(InputError, match=r"damaged or truncated|modality|holds no ROI|not a DICOM file"):
            read_structures(folder / "cut.dcm")
    (folder / "cut.dcm").write_bytes(content[: 2 * len(content) // 3])
    code, out, err = gliosuite("rtstruct", "--check", folder / "cut.dcm")
    assert (code, out) == (2, "")
    assert "cut.dcm is a damaged or truncated structure set; export it again" in err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.StructureSetROISequence[0].pop("ROINumber"), "an ROI has no ROINumber"),
        (lambda d: d.ROIContourSequence[0].pop("ReferencedROINumber"), "a contour sequence has no ReferencedROINumber"),
        (lambda d: d.RTROIObservationsSequence[0].pop("ReferencedROINumber"), "an observation has no ReferencedROINumber"),
        (lambda d: d.pop("ROIContourSequence"), "has no ROIContourSequence"),
        (lambda d: d.StructureSetROISequence.append(d.StructureSetROISequence[0]), "has two ROIs of one number"),
    ],
)  # fmt: skip
def test_missing_numbers_are_refused_in_one_sentence(made, gliosuite, change, sentence):
    folder, _ = made
    dataset = pydicom.dcmread(folder / "ours.dcm")
    change(dataset)
    save(dataset, folder / "bad.dcm")
    code, out, err = gliosuite("rtstruct", "--check", folder / "bad.dcm")
    assert (code, out) == (2, "")
    assert sentence in err.strip().splitlines()[-1]


def test_contours_of_no_roi_and_missing_observations_are_named(made, gliosuite):
    folder, _ = made
    dataset = pydicom.dcmread(folder / "ours.dcm")
    dataset.ROIContourSequence[0].ReferencedROINumber = 9
    del dataset.RTROIObservationsSequence
    save(dataset, folder / "odd.dcm")
    _, out, _ = gliosuite("rtstruct", "--check", folder / "odd.dcm")
    assert json.loads(out)["problems"] == [
        "contours belong to ROIs that are not listed (number 9)",
        "it has no RTROIObservationsSequence, which says what its ROIs are",
    ]


def test_contours_of_one_roi_in_two_sequences_are_all_taken(made):
    folder, _ = made
    dataset = pydicom.dcmread(folder / "ours.dcm")
    (first,) = dataset.ROIContourSequence
    second = pydicom.Dataset()
    second.ReferencedROINumber, second.ContourSequence = first.ReferencedROINumber, first.ContourSequence[:1]
    first.ContourSequence = first.ContourSequence[1:]
    dataset.ROIContourSequence.append(second)
    save(dataset, folder / "two.dcm")
    whole, parts = (read_rtstruct(folder / f, folder / "series")["GTV"] for f in ("ours.dcm", "two.dcm"))
    assert np.array_equal(boolean(whole), boolean(parts))


def test_a_series_whose_slices_share_a_uid_is_refused(made, gliosuite):
    folder, grid = made
    for file in sorted((folder / "series").iterdir())[2:5]:
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = uid("the same")
        save(dataset, file)
    write_image(grid.image(np.ones(grid.shape, bool)), folder / "m.nii.gz")
    roi = f"GTV:GTV={folder / 'm.nii.gz'}"
    code, out, err = gliosuite(
        "rtstruct", "--series", folder / "series", "--roi", roi, "--out", folder / "o" / "rs.dcm"
    )
    assert (code, out) == (2, "")
    assert (
        "2 of 10 slices have the SOPInstanceUID of another (0004.dcm that of 0003.dcm)" in err.strip().splitlines()[-1]
    )
    assert not (folder / "o").exists()
