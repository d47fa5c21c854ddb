"""Motion of simulated bolus series: none where there is none, known steps found."""

import csv
import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array, read_series, write_image, write_series
from gliosuite.registration import write_motion
from gliosuite.registration.motion import MotionSettings, correct_motion
from heads import head, intensity, points_of, probes, rigid

PICTURES = find_spec("matplotlib") is not None  # without it everything but the pictures is there
GRID = Grid((40, 48, 14), (4.0, 4.0, 6.0), (-78.0, -94.0, -39.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
COURSE = np.array([0, 0, 0, 0.3, 1.0, 0.8, 0.6, 0.5])  # of the bolus, per frame
STEPS = {5: rigid((0, 0, 0), (2, -1, 1.5)), 6: rigid((3, 0, -2), (0, 1, 0)), 7: rigid((0, -4, 0), (1, 1, 1))}


def frame(t: int, kind: str, steps: dict[int, sitk.Transform]) -> np.ndarray:
    """The head's mean over each voxel: values at points alone would alias at its edges, which no scanner's do."""
    points = points_of(GRID)
    parts = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 0, 1)]) * (1.0, 1.0, 2.0)
    back = steps[t].GetInverse() if t in steps else sitk.Euler3DTransform()
    turn = np.reshape(back.GetMatrix(), (3, 3))
    return np.mean([signal(t, kind, (points + p) @ turn.T + back.GetTranslation()) for p in parts], axis=0)


def signal(t: int, kind: str, points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    lesion = np.exp(-(((x - 30) / 14) ** 2) - ((y + 30) / 14) ** 2 - ((z - 10) / 14) ** 2)
    vessels = np.exp(-((x / 4) ** 2) - ((y - 80) / 6) ** 2)
    # The outer tenth stands for skull and scalp, which take up next to nothing.
    brain = 1 / (1 + np.exp(40 * (np.sqrt((x / 70) ** 2 + (y / 85) ** 2 + (z / 60) ** 2) - 0.9)))
    uptake = COURSE[t] * (0.1 * brain + 1.2 * lesion + 2.0 * vessels)
    if kind == "dsc":  # signal falls throughout the brain, most in grey matter
        change = np.exp(-COURSE[t] * brain * (0.3 + 0.8 * intensity(points) / 500 + lesion))
        return intensity(points, "t2") * change
    return intensity(points) * (1 + uptake)


def series(kind: str = "dce", steps: dict[int, sitk.Transform] | None = None) -> Series:
    frames = np.stack([frame(t, kind, steps or {}) for t in range(len(COURSE))])
    noise = np.random.default_rng(0).normal(0, 6, frames.shape)
    return Series(np.clip(frames + noise, 0, None).astype(np.float32), GRID, "bolus.nii.gz")


@pytest.mark.parametrize("kind", ["dce", "dsc"])
def test_a_bolus_alone_is_no_motion(kind):
    motion = correct_motion(series(kind))
    # Simulated patients on finer grids are in Testing/bench/bench_motion.py.
    assert motion.displacements_mm.max() <= 0.15
    assert motion.summary["max_displacement_mm"] <= 0.15
    assert not motion.corrected.any()
    assert not motion.outliers.any()


@pytest.mark.parametrize("kind", ["dce", "dsc"])
def test_known_steps_during_the_bolus_are_found_and_undone(kind):
    moved = series(kind, STEPS)
    motion = correct_motion(moved)
    # In mm over the part of the head that the slab holds, which is what counts; an angle's error hangs on how far the head reaches.
    points = probes()[np.abs(probes()[:, 2]) < 39].tolist()
    for t in range(len(COURSE)):
        truth = STEPS.get(t, rigid((0, 0, 0), (0, 0, 0)))
        off = [np.subtract(motion.transforms[t].TransformPoint(p), truth.TransformPoint(p)) for p in points]
        assert np.sqrt(np.mean(np.sum(np.square(off), axis=1))) < 0.5, t
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


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(correct_motion(series(steps=STEPS)))
    first, second = results
    assert first.series.frames.tobytes() == second.series.frames.tobytes()
    assert (first.rotations_deg == second.rotations_deg).all()


@pytest.mark.parametrize("axis", [0, 2])
def test_a_single_slice_is_moved_within_its_plane(axis):
    still, size = series(), list(GRID.size)
    at, size[2 - axis] = (np.s_[:, 7:8] if axis == 0 else np.s_[:, :, :, 20:21]), 1
    grid = Grid(tuple(size), GRID.spacing, GRID.origin, GRID.direction)
    frames = still.frames[at].copy()
    frames[6] = np.roll(frames[6], 1, axis=1)
    motion = correct_motion(Series(frames, grid))
    assert np.abs(motion.translations_mm[6] - (0, 4, 0)).max() < 0.5
    assert motion.corrected[6]
    # One slice shows little that keeps its signal: an eighth of a voxel.
    assert motion.displacements_mm[np.arange(8) != 6].max() < 0.5
    assert (motion.translations_mm[:, 2 if axis == 0 else 0] == 0).all()
    assert "within the plane alone" in motion.notes[0]


def test_a_frame_far_away_is_brought_back():
    far = {6: rigid((0, 0, 4), (20, 6, 0))}
    motion = correct_motion(series("dce", far))
    found = np.array(motion.transforms[6].TransformPoint((10.0, 20.0, 5.0)))
    assert np.linalg.norm(found - far[6].TransformPoint((10.0, 20.0, 5.0))) < 0.5
    assert motion.displacements_mm[:6].max() < 0.15
    assert list(np.flatnonzero(motion.corrected)) == [6]


@pytest.mark.parametrize("t", [1, 3, 4])
def test_a_broken_frame_is_flagged_before_and_during_the_bolus(t):
    broken = series("dsc")
    # The lower slices were taken after a jerk of 4 mm.
    broken.frames[t, :7] = np.roll(broken.frames[t, :7], 1, axis=1)
    motion = correct_motion(broken, MotionSettings(reference_frames=3))
    assert list(np.flatnonzero(motion.outliers)) == [t]


@pytest.mark.parametrize("what", ["air", "constant", "spike"])
def test_a_frame_that_is_no_picture_of_the_head_is_left_and_flagged(what):
    broken = series()
    noise = np.random.default_rng(3).normal(0, 1, GRID.shape)
    broken.frames[5] = {"air": 6 * np.abs(noise), "constant": 100 + 0 * noise, "spike": broken.frames[5] + 60 * noise}[
        what
    ]
    motion = correct_motion(broken)
    assert list(np.flatnonzero(motion.outliers)) == [5]
    assert motion.summary["outlying_frames"] == 1
    assert "do not fit the others even when aligned" in motion.notes[-1]
    assert ": 5 (counted from 0)" in motion.notes[-1]
    others = np.arange(8) != 5
    assert motion.displacements_mm[others].max() < 0.15
    if what != "spike":
        assert not motion.corrected[5]
        assert (motion.series.frames[5] == broken.frames[5]).all()


def test_uncertainty_grows_with_noise():
    clean, moved = series(), series()
    moved.frames[...] += np.random.default_rng(5).normal(0, 30, moved.frames.shape)
    few, many = (np.median(correct_motion(s).uncertainty_mm) for s in (clean, moved))
    assert 0 < few < 0.1
    assert 1.3 * few < many


def test_where_hardly_anything_keeps_its_signal_a_note_says_so():
    few = np.zeros(GRID.shape, bool)
    few[5:9, 8:18, 22:30] = True
    motion = correct_motion(series(), mask=GRID.image(few))
    assert "Hardly any tissue keeps its signal" in motion.notes[0]


def test_what_cannot_be_corrected_is_said():
    with pytest.raises(InputError, match="1 time point; at least 2 are needed"):
        correct_motion(Series(series().frames[:1], GRID))
    with pytest.raises(InputError, match=r"empty\.nii\.gz has the same value everywhere"):
        correct_motion(Series(np.zeros((3, *GRID.shape), np.float32), GRID, "empty.nii.gz"))
    line = Grid((40, 2, 1), GRID.spacing, GRID.origin, GRID.direction)
    with pytest.raises(InputError, match="at least 4 along two axes are needed"):
        correct_motion(Series(np.random.default_rng(0).random((5, *line.shape)).astype(np.float32), line))
    with pytest.raises(InputError, match="the mask does not overlap"):
        correct_motion(series(), mask=GRID.blank())


def test_a_mask_and_more_reference_frames_can_be_given():
    inside = GRID.image(frame(0, "dce", {}) > 100)
    motion = correct_motion(series(steps=STEPS), MotionSettings(reference_frames=3), inside)
    assert np.abs(motion.translations_mm[5] - (2, -1, 1.5)).max() < 0.5


def test_the_command_writes_series_and_table(gliosuite, tmp_path):
    write_series(series(steps=STEPS), tmp_path / "dce.nii.gz", 4.8)
    code, out, _ = gliosuite("motion", tmp_path / "dce.nii.gz", "--out", tmp_path / "o" / "m.nii.gz", "--quiet")
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["m.csv", "m.nii.gz", *["m.png"] * PICTURES]
    corrected = read_series(tmp_path / "o" / "m.nii.gz")
    assert corrected.frames.shape == (8, *GRID.shape)
    assert corrected.file_dt_s == pytest.approx(4.8)
    with (tmp_path / "o" / "m.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("frame", "x_mm", "y_mm", "z_mm", "x_deg", "y_deg", "z_deg"),
        *("displacement_mm", "uncertainty_mm", "corrected", "outlier"),
    ]
    assert [r["corrected"] for r in rows] == ["0"] * 5 + ["1"] * 3
    assert all(0 <= float(r["uncertainty_mm"]) < 0.3 and r["outlier"] == "0" for r in rows)
    assert float(rows[5]["x_mm"]) == pytest.approx(2, abs=0.5)
    assert float(rows[7]["y_deg"]) == pytest.approx(-4, abs=0.5)
    assert json.loads(out)["max_rotation_deg"] == pytest.approx(4, abs=0.5)


@pytest.mark.skipif(not PICTURES, reason="no matplotlib")
def test_the_picture_marks_arrival_and_outliers_and_a_missing_matplotlib_fails_nothing(
    gliosuite, tmp_path, monkeypatch
):
    broken = series("dsc", STEPS)
    broken.frames[4, :7] = np.roll(broken.frames[4, :7], 1, axis=1)
    motion = correct_motion(broken, MotionSettings(reference_frames=3))
    assert motion.arrival == 3
    write_motion(motion, tmp_path / "motion.png")
    first = (tmp_path / "motion.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    write_motion(motion, tmp_path / "motion.png")
    assert (tmp_path / "motion.png").read_bytes() == first
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write_series(series(), tmp_path / "dce.nii.gz", 4.8)
    code, _, err = gliosuite("motion", tmp_path / "dce.nii.gz", "--out", tmp_path / "o" / "m.nii.gz", "--quiet")
    assert code == 0
    assert "m.png was not written" in err
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["m.csv", "m.nii.gz"]


@pytest.mark.parametrize("kind, arrival", [("dce", 3), ("dsc", 3), ("none", None)])
def test_arrival_is_found_whichever_way_the_signal_goes(kind, arrival):
    frames = series("dsc" if kind == "dsc" else "dce").frames
    if kind == "none":
        frames = frames[:1] + np.random.default_rng(1).normal(0, 6, frames.shape).astype(np.float32)
    assert correct_motion(Series(frames, GRID)).arrival == arrival


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
