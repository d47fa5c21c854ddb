"""Resampling in three passes: nearly as exact as one pass in three dimensions."""

import numpy as np
import pytest
from gliosuite.registration.motion.passes import resample_affine

SHAPE = (14, 30, 26)
TURN = np.array([[1.0, 0.05, -0.03], [-0.04, 0.99, 0.08], [0.03, -0.08, 0.99]])


def waves(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return 300 + 100 * np.sin(x / 2.2) * np.cos(y / 2.5) * np.sin(z / 1.5)


def test_smooth_images_are_moved_to_a_thousandth_of_their_range():
    offset = np.array([0.3, -0.4, 0.6])
    index = np.indices(SHAPE).astype(float)
    at = np.einsum("ij,jzyx->izyx", TURN, index) + offset[:, None, None, None]
    still, truth = waves(*index), waves(*at)
    inner = (slice(3, -3), slice(5, -5), slice(5, -5))
    error = lambda found: np.sqrt(np.mean((found - truth)[inner] ** 2))
    found = resample_affine(still, TURN, offset)
    assert found.dtype == np.float32
    assert error(found) < 1e-3 * np.ptp(still)
    assert error(still) > 100 * error(found)


@pytest.mark.parametrize("shape", [SHAPE, (1, 30, 26), (2, 5, 4)])
def test_shifts_by_whole_voxels_are_exact_and_edges_are_repeated(shape):
    values = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    found = resample_affine(values, np.eye(3), np.array([0.0, 2.0, -1.0]))
    wanted = values[:, np.minimum(np.arange(shape[1]) + 2, shape[1] - 1)]
    wanted = wanted[:, :, np.maximum(np.arange(shape[2]) - 1, 0)]
    assert found == pytest.approx(wanted, abs=1e-2)
