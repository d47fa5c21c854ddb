"""Cubic B-splines: coefficients and reads against scipy, and compiled kernels against arrays."""

import numpy as np
import pytest
from gliosuite.registration.motion import passes, splines
from gliosuite.registration.motion.splines import coefficients_of, filtered, gaussian, spline_at
from scipy import ndimage

SHAPES = [(9, 12, 15), (1, 12, 15), (3, 30, 8)]


def image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(4).normal(100, 30, shape).astype(np.float32)


@pytest.fixture(params=["kernels", "arrays"])
def way(request, monkeypatch):
    """With numba's kernels (where it is installed), and without."""
    if request.param == "arrays":
        for module in (splines, passes):
            monkeypatch.setattr(module, "worthwhile", lambda *_, **__: False)
    else:
        pytest.importorskip("numba")


@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_and_reads_are_scipys(way, shape):
    values = image(shape)
    found = coefficients_of(values)
    np.testing.assert_allclose(found, ndimage.spline_filter(values, 3, mode="mirror"), atol=8e-3)
    rng = np.random.default_rng(5)
    points = rng.uniform(-1, 1.05, (400, 3)) * 0.5 * np.array(shape)
    matrix, offset = np.eye(3) + rng.normal(0, 0.05, (3, 3)), 0.5 * np.array(shape, float)
    if shape[0] == 1:
        matrix[0], offset[0] = 0, 0
    got, inside = spline_at(found, points, matrix, offset)
    index = matrix @ points.T + offset[:, None]
    want = ndimage.map_coordinates(found, index, order=3, prefilter=False, mode="mirror", output=float)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_array_equal(inside, ((index >= -0.01) & (index <= np.array(shape)[:, None] - 0.99)).all(axis=0))
    assert 0 < inside.mean() < 1


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("step", [1, 3])
def test_filters_are_scipys(way, axis, step):
    values = image((11, 13, 17))
    want = ndimage.gaussian_filter1d(values.astype(float), 1.2, axis, mode="mirror", truncate=3.0)
    want = want[(slice(None),) * axis + (slice(None, None, step),)]
    got = filtered(values, gaussian(1.2), axis, step)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_movement_in_three_passes_is_that_in_one(way):
    values = ndimage.gaussian_filter(image((14, 40, 36)), 2.0)
    angle = 0.05
    matrix = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    offset = np.array([0.4, 1.2, -0.7])
    want = ndimage.affine_transform(values, matrix, offset, order=3, mode="mirror")
    got = passes.resample_affine(values, matrix, offset)
    inner = (slice(2, -2), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(got[inner], want[inner], atol=0.05)
    assert np.abs(values - want)[inner].max() > 1
