"""The surface between the voxels: where it lies, and that it keeps the volume."""

import numpy as np
import pytest
from gliosuite.rt.margins import box_round, centre_distance
from gliosuite.rt.margins.surface import Surface, cut, surface_points
from scipy import ndimage


def ball(
    radius: float, centre: tuple[float, float, float], spacing: np.ndarray, size: tuple[int, int, int]
) -> np.ndarray:
    return np.linalg.norm(np.stack(np.indices(size), -1) * spacing - centre, axis=-1) <= radius


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (3.0, 3.0, 3.0)], ids=str)
def test_points_lie_on_the_sphere(spacing):
    spacing = np.array(spacing)
    centre = np.array([20.3, 19.6, 20.1])
    points = surface_points(ball(12.0, centre, spacing, tuple(np.ceil(40 / spacing).astype(int))), spacing)
    away = np.linalg.norm(points - centre, axis=1)
    assert away.mean() == pytest.approx(12.0, abs=0.15)
    assert away.std() < 0.12 * spacing.max()


def test_a_lone_voxel_keeps_its_faces_beside_a_large_part():
    spacing = np.ones(3)
    mask = ball(8.0, (15, 15, 15), spacing, (30, 30, 40))
    mask[15, 15, 35] = True
    near = [p for p in surface_points(mask, spacing) if abs(p - (15, 15, 35)).max() < 1]
    assert len(near) == 6
    assert all(np.abs(p - (15, 15, 35)).sum() == pytest.approx(0.5, abs=1e-5) for p in near)


def test_a_surface_knows_how_far_it_lies_from_the_voxels():
    spacing = np.array([3.0, 1.0, 1.0])
    mask = ball(12.0, (20, 20, 20), spacing, (14, 40, 40))
    surface = Surface.of(mask, spacing)
    for kind, off in ((mask, surface.off_mm[0]), (~mask, surface.off_mm[1])):
        centres = np.argwhere(kind) * spacing
        away = [np.linalg.norm(centres - p, axis=1).min() for p in surface.points[::50]]
        assert max(away) <= off + 1e-6
    thinned = Surface.of(mask, spacing, 0.7)
    index = np.argwhere(~mask)[::97]
    far = surface.distance(index, spacing) > 3
    assert len(thinned.points) < len(surface.points)
    difference = (thinned.distance(index, spacing) - surface.distance(index, spacing))[far]
    assert np.abs(difference).max() < 0.05
    assert np.linalg.norm(surface.nearest(index, spacing) - index * spacing, axis=1) == pytest.approx(
        surface.distance(index, spacing)
    )


def test_distances_between_centres_are_euclids():
    spacing = np.array([3.0, 1.0, 2.0])
    mask = np.random.default_rng(0).random((9, 14, 11)) > 0.98
    assert centre_distance(mask, spacing) == pytest.approx(
        ndimage.distance_transform_edt(~mask, sampling=spacing), abs=1e-4
    )


def test_boxes_may_reach_beyond_the_array():
    mask = np.zeros((6, 7, 8), bool)
    mask[0:2, 3, 7] = True
    assert box_round(mask, np.array([1, 1, 1])) == (slice(0, 3), slice(2, 5), slice(6, 8))
    box = box_round(mask, np.array([1, 1, 1]), pad=True)
    assert box == (slice(-1, 3), slice(2, 5), slice(6, 9))
    part = cut(mask, box)
    assert part.shape == (4, 3, 3)
    assert part.sum() == mask.sum()
    assert part[1:3, 1, 1].all()
