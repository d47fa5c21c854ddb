"""Surface distances and surface Dice on planes and spheres whose values are known."""

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.rt.compare.distances import edge_distances, surface_area, surface_dice


def grid(spacing=(1.0, 1.0, 1.0), size=(60, 60, 60)):
    return Grid(size, spacing, (0.0,) * 3, tuple(np.eye(3).ravel()))


def ball(g, radius, shift=(0.0, 0.0, 0.0)):
    points = np.indices(g.shape)[::-1].reshape(3, -1).T * g.spacing
    middle = (np.asarray(g.size) - 1) * g.spacing / 2 + shift
    return (np.linalg.norm(points - middle, axis=1) <= radius).reshape(g.shape)


def test_distances_of_a_shifted_slab_are_the_shift():
    g = grid((1.0, 1.0, 2.5), (20, 20, 20))
    a, b = np.zeros(g.shape, bool), np.zeros(g.shape, bool)
    a[4:10], b[6:12] = True, True
    mean, hd95 = edge_distances(a, b, g)
    assert hd95 == pytest.approx(5.0)
    assert 2.0 <= mean <= 5.0
    assert edge_distances(a, a, g) == (0.0, 0.0)
    assert np.isnan(edge_distances(a, np.zeros_like(a), g)).all()


def test_the_mean_distance_of_concentric_spheres_is_the_difference_of_radii():
    g = grid()
    mean, hd95 = edge_distances(ball(g, 20), ball(g, 15), g)
    assert mean == pytest.approx(5.0, abs=0.3)
    assert hd95 == pytest.approx(5.0, abs=0.7)


def test_the_area_of_a_box_is_exact_on_its_faces_and_that_of_a_sphere_near():
    g = grid((2.0, 1.0, 3.0), (20, 30, 16))
    mask = np.zeros(g.shape, bool)
    mask[4:10, 5:25, 4:14] = True
    area = surface_area(mask, g)
    assert area[6, 10, 3] == pytest.approx(1.0 * 3.0), "a voxel's face across x"
    assert area[3, 10, 8] == pytest.approx(2.0 * 1.0), "across z"
    sphere = surface_area(ball(grid(), 20), grid()).sum() / (4 * np.pi * 20**2)
    assert sphere == pytest.approx(1.0, abs=0.1)


def test_surface_dice_counts_area_within_the_tolerance():
    g = grid((1.0, 1.0, 1.0), (30, 30, 30))
    a, b = np.zeros(g.shape, bool), np.zeros(g.shape, bool)
    a[5:15, 5:25, 5:25] = True
    b[5:19, 5:25, 5:25] = True  # one face of six lies 4 mm off
    assert surface_dice(a, b, g, 4.0) == 1.0
    off = surface_dice(a, b, g, 2.0)
    # Of 1600 and 1920 mm2 disagree: the inner face but for its rim of 2 mm, the outer face, and the farther 2 mm of its four sides.
    assert off == pytest.approx(1 - (16**2 + 20**2 + 4 * 20 * 2) / (1600 + 1920), abs=0.03)
    assert surface_dice(ball(grid(), 20), ball(grid(), 15), grid(), 2.0) == 0.0
    assert surface_dice(a, np.zeros_like(a), g, 2.0) == 0.0
    assert np.isnan(surface_dice(np.zeros_like(a), np.zeros_like(a), g, 2.0))
