"""Motion that is corrected unasked: of heads that moved, and of nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import Grid, Series
from gliosuite.registration.motion import correct_motion
from gliosuite.registration.steady import steady, uncorrected
from heads import intensity, points_of, rigid

GRID = Grid((40, 48, 14), (4.0, 4.0, 6.0), (-78.0, -94.0, -39.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
BRIGHTER = (0, 0, 0, 0.4, 0.6, 0.5, 0.4, 0.3)  # of the front, where contrast agent arrives
MOVED = (6, 7)


@pytest.fixture(scope="module")
def series() -> Series:
    back = rigid((2, 0, 1), (1.5, -2, 1)).GetInverse()
    turn = np.reshape(back.GetMatrix(), (3, 3))
    frames = []
    for t, more in enumerate(BRIGHTER):
        points = points_of(GRID)
        points = points @ turn.T + back.GetTranslation() if t in MOVED else points
        front = 1 / (1 + np.exp((points[..., 1] + 60) / 3))
        frames.append(intensity(points) * (1 + more * front))
    noise = np.random.default_rng(4).normal(0, 4, (len(frames), *GRID.shape))
    return Series(np.clip(np.stack(frames) + noise, 0, None).astype(np.float32), GRID, "dce")


def on(grid: Grid, frames: np.ndarray) -> Series:
    return Series(frames.astype(np.float32), grid, "dce")


def test_a_head_that_moved_is_moved_back_and_that_is_said(series, tmp_path):
    found = steady(series)
    assert found.motion is not None
    assert tuple(np.flatnonzero(found.motion.corrected)) == MOVED
    np.testing.assert_array_equal(found.series.frames, correct_motion(series).series.frames)
    assert "2 of 8 frames were moved back" in found.notes[0]
    assert found.record["motion"]["frames_corrected"] == 2
    found.write(tmp_path)
    assert len((tmp_path / "motion.csv").read_text().splitlines()) == 9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: on(Grid((40, 48, 3), GRID.spacing, GRID.origin, GRID.direction), s.frames[:, 5:8]), "has 3 slices"),
        (lambda s: on(Grid(GRID.size, (1.0, 1.0, 1.5), GRID.origin, GRID.direction), s.frames), "smaller than a head"),
        (lambda s: replace(s, frames=np.where(s.frames > 500, np.nan, s.frames)), "values that are no numbers"),
        (lambda s: on(GRID, np.random.default_rng(5).normal(900, 9, s.frames.shape)), "frames do not fit the others"),
        (lambda s: on(GRID, np.ones(s.frames.shape)), "same value everywhere"),
    ],
    ids=["slices", "small", "nan", "noise", "flat"],
)
def test_what_is_no_head_is_left_as_it_is_with_the_reason(series, change, reason, tmp_path):
    other = change(series)
    found = steady(other)
    assert found.series is other
    assert found.motion is None
    assert found.record == {}
    assert len(found.notes) == 1
    assert found.notes[0].startswith("Motion was not corrected: ")
    assert reason in found.notes[0]
    found.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_phantom_whose_blocks_fill_is_not_moved():
    rng = np.random.default_rng(6)
    uptake = rng.uniform(0.05, 2, (5, 6)).repeat(8, axis=0).repeat(8, axis=1)
    rates = rng.uniform(0.05, 1, (5, 6)).repeat(8, axis=0).repeat(8, axis=1)
    times = np.clip(np.arange(12) - 2, 0, None)[:, None, None]
    blocks = 400 * (1 + uptake * (1 - np.exp(-rates * times)))
    frames = np.repeat(blocks[:, None], 8, axis=1)
    grid = Grid((48, 40, 8), (3.0, 3.0, 4.0), (0.0, 0.0, 0.0), GRID.direction)
    phantom = on(grid, np.abs(frames + rng.normal(0, 20, frames.shape)))
    found = steady(phantom)
    assert found.series is phantom, found.notes
    assert found.notes[0].startswith("Motion was not corrected: ")


def test_motion_can_be_left_alone(series):
    found = uncorrected(series)
    assert found.series is series
    assert found.notes == ("Motion was not corrected.",)
