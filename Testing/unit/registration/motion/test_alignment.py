"""Rigid movements, the linear system of one frame, and points that do not change, on heads of simple shapes."""

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.registration.motion.alignment import Level, Reference, Rigid, fit, movements, unchanging
from heads import intensity, points_of

GRID = Grid((36, 42, 20), (4.5, 4.5, 6.0), (-79.0, -92.0, -57.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
STEP = np.array([1.5, -2.0, 0.8, 0.02, -0.01, 0.03])


def head_at(move: Rigid, change: float = 0.0) -> np.ndarray:
    """The head after a movement about the origin, its front half brighter by `change`."""
    points = points_of(GRID)
    back = move.inverse
    at = points @ back.matrix.T + back.shift
    return (intensity(at) * (1 + change * (at[..., 1] < -10))).astype(np.float32)


def level_of(*frames: np.ndarray, mm: float = 2.0) -> Level:
    noisy = np.stack(frames) + np.random.default_rng(0).normal(0, 4, (len(frames), *GRID.shape))
    radius = np.linalg.norm(points_of(GRID) / (78, 92, 66), axis=-1)
    return Level.of(noisy.astype(np.float32), GRID, radius < 1, np.zeros(3), mm)


def test_movements_come_back_from_their_vectors_and_inverses():
    move = Rigid.of(STEP)
    assert move.vector == pytest.approx(STEP, abs=1e-12)
    assert move.after(move.inverse).vector == pytest.approx(np.zeros(6), abs=1e-12)
    twice = move.after(move)
    arms = np.array([[10.0, -40.0, 30.0]])
    once = arms + move.displacement(arms)
    assert twice.displacement(arms) == pytest.approx(once + move.displacement(once) - arms, abs=1e-9)
    assert np.linalg.norm(
        Rigid.of(np.r_[0, 0, 0, 0, 0, np.pi / 2]).displacement(np.array([[10.0, 0, 0]]))
    ) == pytest.approx(10 * np.sqrt(2))


def test_a_known_movement_is_found_whatever_the_intensities_became():
    moved = 300 - 0.6 * head_at(Rigid.of(STEP))
    level = level_of(head_at(Rigid()), moved)
    reference = Reference.of(level, level.mean([0], [Rigid()]), 3)
    found = fit(level, reference, 1, level.at(1, Rigid()), np.ones(len(level.arms)), True, 1e-3)
    error = found.move.displacement(level.arms) - Rigid.of(STEP).displacement(level.arms)
    assert np.linalg.norm(error, axis=1).mean() < 0.1
    assert found.inside > 0.9
    assert np.sqrt(np.trace(found.covariance[:3, :3])) < 0.1


def test_the_gradient_is_that_of_the_image():
    ramp = (points_of(GRID) @ (1.0, -2.0, 0.5) + 500).astype(np.float32)
    level = Level.of(ramp[None], GRID, np.ones(GRID.shape, bool), np.zeros(3), 0.5)
    reference = Reference.of(level, level.mean([0], [Rigid()]), 1)
    inner = (np.abs(level.where - np.array(GRID.shape) / 2) < np.array(GRID.shape) / 2 - 5).all(axis=1)
    assert reference.gradient[inner] * reference.scale == pytest.approx(
        np.tile((1.0, -2.0, 0.5), (inner.sum(), 1)), abs=0.01
    )


def test_points_that_change_are_left_out():
    frames = [head_at(Rigid(), c) for c in (0, 0, 0, 0, 0.5, 1.0, 0.6, 0.3)]
    level = level_of(*frames, mm=0.7)
    reference = Reference.of(level, level.mean(range(4), [Rigid()] * 4), 1)
    weights = unchanging(reference, [level.at(t, Rigid()) for t in range(8)], 0.1)
    y = level.arms[:, 1]
    bright = reference.values > 0.4
    assert np.median(weights[bright & (y < -20)]) == 0
    assert np.median(weights[bright & (y > 0)]) > 0.5


def test_thin_slabs_move_within_their_plane():
    assert movements(GRID).shape == (6, 6)
    flat = movements(Grid((40, 48, 2), GRID.spacing, GRID.origin, GRID.direction))
    assert flat.shape == (6, 3)
    assert flat.T @ np.array([0, 0, 1.0, 1.0, 1.0, 0]) == pytest.approx(np.zeros(3))
