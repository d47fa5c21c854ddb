"""Coarse images, foregrounds, mutual information and interpolation."""

import numpy as np
import pytest
from gliosuite.images import Grid, array, boolean, resample_mask
from gliosuite.registration.similarity import (
    clean,
    coarse,
    dice,
    foreground,
    indices,
    information_of,
    interpolate,
    interpolated,
    mutual_information,
    positions,
    unit,
)
from heads import GRID, head, intensity, points_of


def test_mutual_information_of_a_function_is_its_entropy_and_of_noise_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 200_000))
    assert mutual_information(a, b, 16)[0] < 0.002
    assert mutual_information(a, 1 - a, 16)[0] > 1.5
    assert mutual_information(a, 1 - a, 16)[0] == pytest.approx(mutual_information(a, a, 16)[0], abs=0.05)


def test_its_gradient_is_that_of_the_value():
    rng = np.random.default_rng(1)
    a, b, d = rng.uniform(0.05, 0.95, (3, 500))
    numeric = (mutual_information(a, b + 1e-6 * d)[0] - mutual_information(a, b - 1e-6 * d)[0]) / 2e-6
    assert mutual_information(a, b)[1] @ d == pytest.approx(numeric, rel=1e-4)


def test_interpolation_and_its_slope():
    z, y, x = np.indices((4, 5, 6)).astype(float)
    values, slope, inside = interpolate(2 * z - 3 * y + x, np.array([[1.5, 0.2], [2.25, 3.9], [4.75, 7.0]]))
    assert values[0] == pytest.approx(2 * 1.5 - 3 * 2.25 + 4.75)
    assert slope[:, 0] == pytest.approx([2, -3, 1])
    assert values[1] == pytest.approx(2 * 0.2 - 3 * 3.9 + 5)  # the nearest edge counts outside
    assert slope[:, 1] == pytest.approx([2, -3, 0])
    assert list(inside) == [True, False]


def test_interpolation_on_a_single_slice():
    values, _, inside = interpolate(np.arange(12.0).reshape(1, 3, 4), np.array([[0.0], [1.5], [2.0]]))
    assert values[0] == pytest.approx(8.0)
    assert inside[0]


def test_positions_and_indices_are_inverse():
    grid = Grid((5, 6, 7), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    mask = np.random.default_rng(0).uniform(size=grid.shape) > 0.5
    assert np.allclose(indices(grid, positions(grid, mask)).T, np.argwhere(mask))


@pytest.mark.parametrize("stripped", [True, False])
def test_foreground_is_the_head(stripped):
    values = array(head(noise=0 if stripped else 8))
    truth = intensity(points_of(GRID)) > 40
    if stripped:
        values[~truth] = 0
    found = foreground(GRID.image(values))
    assert dice(boolean(resample_mask(found, GRID)), truth) > 0.92


def test_coarse_keeps_the_place_and_the_mean():
    image = head(Grid((89, 105, 50), (2.0, 2.0, 3.0), (-88.0, -104.0, -75.0), GRID.direction), noise=0)
    small = coarse(image, 6.0)
    assert small.GetSpacing() == (6.0, 6.0, 6.0)
    weigh = lambda i: np.average(points_of(Grid.of(i)).reshape(-1, 3), axis=0, weights=array(i).ravel())
    assert np.linalg.norm(weigh(image) - weigh(small)) < 0.3
    assert array(small).mean() == pytest.approx(array(image).mean(), rel=0.03)


def test_clean_and_unit():
    image = GRID.image(np.where(points_of(GRID)[..., 0] > 0, np.nan, 3).astype(np.float32))
    assert np.isfinite(array(clean(image))).all()
    scaled = unit(np.arange(1000.0), np.ones(1000, bool))
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 0


def test_without_derivatives_it_is_the_same_to_the_last_digit():
    rng = np.random.default_rng(4)
    image, index = rng.uniform(size=(6, 7, 8)), rng.uniform(-1, 8, (3, 400))
    values, _, inside = interpolate(image, index)
    again, still = interpolated(image, index)
    assert np.array_equal(values, again)
    assert np.array_equal(inside, still)
    a, b = rng.uniform(size=(2, 500))
    assert information_of(a, b, 32) == mutual_information(a, b, 32)[0]
