"""``t1`` on DICOM: a folder per flip angle, a folder of them, what their headers say and what is given."""

import json

import numpy as np
import pytest
from gliosuite.images import Grid, Series, array, read_image, write_series
from gliosuite.perfusion.signal import spgr_signal

from Testing.standin.dicom_study import SPGR, Patient, classic

ANGLES = (3.0, 8.0, 15.0)
TR_MS = 5.4


def signal(angle, shape=(6, 12, 12)):
    """A block with a T1 of 1.2 s in air."""
    values = np.full(shape, 3.0)
    values[:, 3:9, 3:9] = 20000 * spgr_signal(1 / 1.2, TR_MS / 1000, angle)
    return np.round(values).astype(np.uint16)


@pytest.fixture
def folders(tmp_path):
    """A folder per flip angle, in the order in which they were taken, and one with all of them."""
    pytest.importorskip("pydicom")
    for number, angle in enumerate(reversed(ANGLES)):
        for where in (tmp_path / f"fa{angle:g}", tmp_path / "all" / f"{number}"):
            where.mkdir(parents=True)
            attributes = SPGR | {"FlipAngle": angle, "SeriesDescription": "VFA"}
            classic(where, signal(angle)[None], Patient(), 10 + number, attributes)
    return tmp_path


def t1_of(gliosuite, folder, *vfa, options=()):
    code, out, err = gliosuite("t1", "--vfa", *vfa, *options, "--out", folder / "out")
    assert code == 0, err
    found = json.loads(out)
    assert found["settings"]["tr_ms"] == TR_MS
    assert np.median(array(read_image(folder / "out" / "t1.nii.gz"))[:, 4:8, 4:8]) == pytest.approx(1.2, rel=2e-3)
    return found["settings"]["flip_angles_deg"]


def test_a_folder_per_angle(gliosuite, folders):
    mixed = [folders / f"fa{a:g}" for a in (8, 3, 15)]
    assert t1_of(gliosuite, folders, *mixed) == [8, 3, 15]
    assert t1_of(gliosuite, folders, *mixed, options=("--flip-angles", "8,3,15")) == [8, 3, 15]


def test_a_folder_with_a_series_per_angle(gliosuite, folders):
    assert t1_of(gliosuite, folders, folders / "all") == list(ANGLES)
    assert t1_of(gliosuite, folders, folders / "all", options=("--flip-angles", "15,8,3")) == list(ANGLES)


def test_series_that_are_not_alike_in_all_else_are_taken_too(gliosuite, folders):
    """An own echo time each, so that they are not one measurement by their headers alone."""
    for number, angle in enumerate(ANGLES):
        where = folders / "echoes" / f"{number}"
        where.mkdir(parents=True)
        attributes = SPGR | {"FlipAngle": angle, "EchoTime": 1.5 + 0.4 * number}
        classic(where, signal(angle)[None], Patient(), 20 + number, attributes)
    assert t1_of(gliosuite, folders, folders / "echoes") == list(ANGLES)


@pytest.mark.parametrize(
    ("vfa", "options", "sentence"),
    [
        (
            ("fa3", "fa8"),
            ("--flip-angles", "8,3"),
            "--flip-angles gives 8, 3 degrees, and the DICOM files of fa3 have 3, 8",
        ),
        (
            ("all",),
            ("--flip-angles", "3,8"),
            "--flip-angles gives 3, 8 degrees, and the DICOM files of all have 3, 8, 15",
        ),
        (("fa3",), (), "holds no sets of images that differ in nothing but the flip angle"),
        (("empty",), (), "holds no DICOM file"),
        (("fa3", "nothing"), (), "does not exist"),
    ],
)
def test_what_cannot_be_used_is_refused(gliosuite, folders, vfa, options, sentence):
    (folders / "empty").mkdir()
    code, _, err = gliosuite("t1", "--vfa", *(folders / v for v in vfa), *options, "--out", folders / "out")
    assert code == 2
    assert sentence in err.strip().splitlines()[-1]
    assert not (folders / "out").exists()


def test_another_repetition_time_is_refused(gliosuite, folders):
    (folders / "slow").mkdir()
    attributes = SPGR | {"FlipAngle": 20, "RepetitionTime": 8}
    classic(folders / "slow", signal(20)[None], Patient(), 30, attributes)
    code, _, err = gliosuite("t1", "--vfa", folders / "fa3", folders / "slow", "--out", folders / "out")
    assert code == 2
    assert "slow was taken with a repetition time of 8 ms and" in err.strip().splitlines()[-1]


def test_unknown_angles_of_an_image_are_asked_for(gliosuite, folders, tmp_path):
    from gliosuite.dicom import read_dicom_volume
    from gliosuite.images import write_image

    for angle in ANGLES:
        write_image(read_dicom_volume(folders / f"fa{angle:g}"), tmp_path / f"{angle:g}.nii.gz")
    images = [tmp_path / f"{a:g}.nii.gz" for a in ANGLES]
    code, _, err = gliosuite("t1", "--vfa", *images, "--tr-ms", TR_MS, "--out", folders / "out")
    assert code == 2
    assert "the flip angles are not known; give them with --flip-angles" in err
    options = ("--tr-ms", TR_MS, "--flip-angles", "3,8,15")
    assert t1_of(gliosuite, folders, *images, options=options) == list(ANGLES)


def points_of(grid):
    """Positions (z, y, x, 3) in mm of a grid's voxels."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    return np.stack([x, y, z], -1) * grid.spacing + grid.origin


def head_at(angle, grid, shift_mm):
    """A head of two tissues (T1 .9 and 1.5 s) along stripes, moved by `shift_mm` along y."""
    points = np.moveaxis(points_of(grid), -1, 0)
    x, y, z = points[0], points[1] - shift_mm, points[2]
    inside = (x / 70) ** 2 + (y / 85) ** 2 + (z / 60) ** 2 < 1
    long = np.sin(x / 8) * np.sin(y / 10) * np.cos(z / 9) > 0
    t1 = np.where(long, 1.5, 0.9)
    values = np.where(inside, np.where(long, 21000, 17000) * spgr_signal(1 / t1, TR_MS / 1000, angle), 3.0)
    return np.abs(values + np.random.default_rng(int(angle)).normal(0, 4, values.shape)).astype(np.float32), t1, inside


def test_volumes_are_laid_onto_the_brightest_or_a_series_and_it_says_so(gliosuite, tmp_path):
    """The last volume moved by 5 mm, and the head lies 6 mm elsewhere in the series that T1 is for."""
    grid = Grid((40, 48, 24), (4.0, 4.0, 5.0), (-78.0, -94.0, -58.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    volumes = [head_at(a, grid, shift)[0] for a, shift in zip(ANGLES, (0.0, 0.0, 5.0))]
    write_series(Series(np.stack(volumes), grid, "vfa"), tmp_path / "vfa.nii.gz")
    dce = np.stack([head_at(10.0, grid, -6.0)[0]] * 12)
    write_series(Series(dce, grid, "dce"), tmp_path / "dce.nii.gz")
    given = ("--vfa", tmp_path / "vfa.nii.gz", "--flip-angles", ",".join(f"{a:g}" for a in ANGLES), "--tr-ms", TR_MS)
    errors = {}
    for name, options, shift in (
        ("as they lie", ("--no-motion",), 0.0),
        ("laid", (), 0.0),
        ("onto", ("--onto", tmp_path / "dce.nii.gz"), -6.0),
        ("not onto", (), -6.0),
    ):
        code, out, err = gliosuite("t1", *given, *options, "--out", tmp_path / name)
        assert code == 0, err
        _, true, inside = head_at(10.0, grid, shift)
        found = array(read_image(tmp_path / name / "t1.nii.gz"))
        errors[name] = np.nanpercentile(np.abs(found[inside] / true[inside] - 1), 80)
        said = " ".join(json.loads(out)["notes"])
        assert ("aligned to" in said) == (name != "as they lie")
    assert errors["laid"] < 0.6 * errors["as they lie"]
    assert errors["onto"] < 0.6 * errors["not onto"]
    code, _, err = gliosuite("t1", *given, "--onto", tmp_path / "dce.nii.gz", "--no-motion", "--out", tmp_path / "x")
    assert code == 2
    assert "--onto moves each volume" in err
