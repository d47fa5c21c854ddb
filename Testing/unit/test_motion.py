"""Motion of simulated bolus series: none where there is none, known steps found."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array, read_series, write_image, write_series
from gliosuite.motion import MotionSettings, correct_motion
from heads import head, intensity, points_of, rigid

GRID = Grid((40, 48, 14), (4.0, 4.0, 6.0), (-78.0, -94.0, -39.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
COURSE = np.array([0, 0, 0, 0.3, 1.0, 0.8, 0.6, 0.5])  # of the bolus, per frame
STEPS = {5: rigid((0, 0, 0), (2, -1, 1.5)), 6: rigid((3, 0, -2), (0, 1, 0)), 7: rigid((0, -4, 0), (1, 1, 1))}


def frame(t: int, kind: str, steps: dict[int, sitk.Transform]) -> np.ndarray:
    points = points_of(GRID)
    if t in steps:
        back = steps[t].GetInverse()
        points = np.array([back.TransformPoint(p) for p in points.reshape(-1, 3).tolist()]).reshape(points.shape)
    still = intensity(points)
    x, y, z = np.moveaxis(points, -1, 0)
    lesion = np.exp(-(((x - 30) / 14) ** 2) - ((y + 30) / 14) ** 2 - ((z - 10) / 14) ** 2)
    vessels = np.exp(-((x / 4) ** 2) - ((y - 80) / 6) ** 2)
    uptake = COURSE[t] * (0.1 + 1.2 * lesion + 2.0 * vessels)
    if kind == "dsc":  # signal falls everywhere, most in grey matter
        still = intensity(points, "t2")
        return still * np.exp(-COURSE[t] * (0.3 + 0.8 * intensity(points) / 500 + lesion))
    return still * (1 + uptake)


def series(kind: str = "dce", steps: dict[int, sitk.Transform] | None = None) -> Series:
    frames = np.stack([frame(t, kind, steps or {}) for t in range(len(COURSE))])
    noise = np.random.default_rng(0).normal(0, 6, frames.shape)
    return Series(np.clip(frames + noise, 0, None).astype(np.float32), GRID, "bolus.nii.gz")


@pytest.mark.parametrize("kind", ["dce", "dsc"])
def test_a_bolus_alone_is_no_motion(kind):
    motion = correct_motion(series(kind))
    assert np.linalg.norm(motion.translations_mm, axis=1).max() <= 0.3
    assert np.linalg.norm(motion.rotations_deg, axis=1).max() <= 0.3
    assert "can be mistaken for motion" in motion.notes[0]


@pytest.mark.parametrize("kind", ["dce", "dsc"])
def test_known_steps_during_the_bolus_are_found_and_undone(kind):
    moved = series(kind, STEPS)
    motion = correct_motion(moved)
    centre = np.array(motion.transforms[0].GetCenter())
    for t in range(len(COURSE)):
        truth = STEPS.get(t, rigid((0, 0, 0), (0, 0, 0)))
        shift = np.array(truth.TransformPoint(centre.tolist())) - centre
        angles = np.degrees([truth.GetAngleX(), truth.GetAngleY(), truth.GetAngleZ()])
        assert np.abs(motion.translations_mm[t] - shift).max() < 0.5, t
        assert np.abs(motion.rotations_deg[t] - angles).max() < 0.5, t
    assert list(np.flatnonzero(motion.corrected)) == [5, 6, 7]
    assert motion.summary["frames_corrected"] == 3
    truth = np.stack([frame(t, kind, {}) for t in range(len(COURSE))])
    inside = (slice(3, -3), slice(8, -8), slice(8, -8))
    error = lambda s, t: np.sqrt(np.mean((s.frames[t] - truth[t])[inside] ** 2))
    for t in STEPS:
        assert error(motion.series, t) < 0.6 * error(moved, t)


def test_frames_that_stay_are_not_touched_and_none_falls_below_zero():
    moved = series(steps=STEPS)
    motion = correct_motion(moved)
    assert (motion.series.frames[:5] == moved.frames[:5]).all()
    assert motion.series.frames.min() >= 0
    assert all(motion.series.frames[t].max() <= moved.frames[t].max() for t in range(len(COURSE)))
    assert motion.series.grid == moved.grid
    assert (moved.frames == series(steps=STEPS).frames).all()  # the input is left alone


def test_two_runs_give_the_same_bytes():
    first, second = (correct_motion(series(steps=STEPS)) for _ in range(2))
    assert first.series.frames.tobytes() == second.series.frames.tobytes()
    assert (first.rotations_deg == second.rotations_deg).all()


def test_a_single_slice_is_left_as_it_is_with_a_note():
    grid = Grid((40, 48, 1), (4.0, 4.0, 6.0), (-78.0, -94.0, 0.0), GRID.direction)
    flat = Series(np.tile(series().frames[0][None, 7:8], (3, 1, 1, 1)), grid)
    motion = correct_motion(flat)
    assert (motion.series.frames == flat.frames).all()
    assert "single slice" in motion.notes[0]


def test_what_cannot_be_corrected_is_said():
    with pytest.raises(InputError, match="1 time point; at least 2 are needed"):
        correct_motion(Series(series().frames[:1], GRID))
    with pytest.raises(InputError, match=r"empty\.nii\.gz has the same value everywhere"):
        correct_motion(Series(np.zeros((3, *GRID.shape), np.float32), GRID, "empty.nii.gz"))
    with pytest.raises(InputError, match="the mask does not overlap"):
        correct_motion(series(), mask=GRID.blank())


def test_a_mask_and_more_reference_frames_can_be_given():
    inside = GRID.image(frame(0, "dce", {}) > 100)
    motion = correct_motion(series(steps=STEPS), MotionSettings(reference_frames=3), inside)
    assert np.abs(motion.translations_mm[5] - (2, -1, 1.5)).max() < 0.5


def test_the_command_writes_series_and_table(gliosuite, tmp_path):
    write_series(series(steps=STEPS), tmp_path / "dce.nii.gz", 4.8)
    code, out, err = gliosuite("motion", tmp_path / "dce.nii.gz", "--out", tmp_path / "o" / "m.nii.gz", "--quiet")
    assert code == 0
    assert "warning: Motion was estimated frame by frame" in err
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["m.csv", "m.nii.gz"]
    corrected = read_series(tmp_path / "o" / "m.nii.gz")
    assert corrected.frames.shape == (8, *GRID.shape)
    assert corrected.file_dt_s == pytest.approx(4.8)
    with (tmp_path / "o" / "m.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [r["corrected"] for r in rows] == ["0"] * 5 + ["1"] * 3
    assert float(rows[5]["x_mm"]) == pytest.approx(2, abs=0.5)
    assert float(rows[7]["y_deg"]) == pytest.approx(-4, abs=0.5)
    assert json.loads(out)["max_rotation_deg"] == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize(
    "name, options, sentence",
    [
        ("one.nii.gz", (), "has 1 time point; a 4-D series is needed"),
        ("dce.nii.gz", ("--reference-frames", "9"), "--reference-frames is 9; 1 to 8 are possible"),
        ("dce.nii.gz", ("--mask", "empty.nii.gz"), "empty.nii.gz is empty"),
    ],
)
def test_the_command_says_what_is_wrong(gliosuite, tmp_path, monkeypatch, name, options, sentence):
    monkeypatch.chdir(tmp_path)
    write_series(series(), tmp_path / "dce.nii.gz")
    write_image(head(), tmp_path / "one.nii.gz")
    write_image(GRID.blank(), tmp_path / "empty.nii.gz")
    before = sorted(tmp_path.iterdir())
    code, out, err = gliosuite("motion", name, "--out", "o.nii.gz", "--quiet", *options)
    assert (code, out) == (2, "")
    assert sentence in err
    assert sorted(tmp_path.iterdir()) == before
    assert array(read_series(tmp_path / "dce.nii.gz").frame(0)).any()
