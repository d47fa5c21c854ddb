"""Voxels to polygons and back: the same voxels, the same area, nothing that a keyhole remover could misread."""

import numpy as np
import pytest
from gliosuite.rt.rtstruct import contours
from gliosuite.rt.rtstruct.contours import fill, outlines
from gliosuite.rt.rtstruct.polygons import area, shoelace
from scipy import ndimage


def test_a_voxel_is_a_square_around_its_centre():
    mask = np.zeros((4, 5), bool)
    mask[2, 3] = True
    (polygon,) = outlines(mask)
    assert sorted(map(tuple, polygon)) == [(2.5, 1.5), (2.5, 2.5), (3.5, 1.5), (3.5, 2.5)]


def test_straight_edges_have_no_points_between_their_corners():
    (polygon,) = outlines(np.ones((30, 40), bool))
    assert len(polygon) == 4
    assert shoelace(polygon) == 1200


def test_a_hole_is_joined_by_a_keyhole_and_stays_out():
    mask = np.ones((9, 9), bool)
    mask[3:6, 3:6] = False
    (polygon,) = outlines(mask)
    assert abs(shoelace(polygon)) == 72
    assert len(polygon) == 4 + 4 + 3, "outer, hole, and the keyhole: one end set into an edge, both ends twice"
    assert np.array_equal(fill([polygon], mask.shape), mask)


def test_voxels_that_touch_at_a_corner_come_apart_and_no_point_occurs_twice():
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    polygons = outlines(mask)
    assert len(polygons) == 3
    points = np.concatenate(polygons)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)[~np.eye(len(points), dtype=bool)]
    assert gaps.min() > 0.02
    assert np.array_equal(fill(polygons, mask.shape), mask)


def test_a_loop_that_comes_back_to_a_corner_does_not_coincide_with_itself():
    mask = np.ones((4, 4), bool)
    mask[1, 1] = mask[2, 2] = False  # two pixels of one hole that touch at a corner
    (polygon,) = outlines(mask)
    assert np.array_equal(fill([polygon], mask.shape), mask)
    twice = [tuple(p) for p in polygon if (np.abs(polygon - p).max(axis=1) < 1e-9).sum() > 1]
    assert len(set(twice)) == 2, "only the keyhole's two ends occur twice"


@pytest.mark.parametrize("kind", ["noise", "blobs"])
def test_random_masks_come_back_voxel_by_voxel_with_their_area(kind):
    random = np.random.default_rng(5)
    for _ in range(150):
        shape = random.integers(1, 30, 2)
        mask = random.random(shape) < random.random()
        if kind == "blobs":
            mask = ndimage.gaussian_filter(random.random(shape), 1.5) > 0.5
        polygons = outlines(mask)
        assert len(polygons) == ndimage.label(mask)[1]
        assert np.array_equal(fill(polygons, tuple(shape)), mask)
        # Corners that are cut off where voxels touch cost 0.0002 pixels each.
        assert area(polygons) == pytest.approx(mask.sum(), abs=2e-3 * mask.size)


def test_an_outline_too_long_for_one_element_is_cut_in_two(monkeypatch):
    monkeypatch.setattr(contours, "MAX_POINTS", 20)
    mask = np.indices((30, 30)).sum(0) % 4 < 2
    mask[:, 10:20] = True
    polygons = outlines(mask)
    assert max(len(p) for p in polygons) <= 20
    assert np.array_equal(fill(polygons, mask.shape), mask)


def test_nested_loops_are_holes_and_islands():
    square = lambda half: np.array([(-half, -half), (half, -half), (half, half), (-half, half)], float)
    loops = [square(5.2), square(3.2), square(1.2)]
    assert area(loops) == pytest.approx(10.4**2 - 6.4**2 + 2.4**2)
    assert area([loops[0], loops[1] + 20]) == pytest.approx(10.4**2 + 6.4**2)
    assert fill([p + 8 for p in loops], (17, 17)).sum() == 11**2 - 7**2 + 3**2


def test_a_polygon_beyond_the_image_fills_what_lies_on_it():
    polygon = np.array([(-10.5, -10.5), (3.5, -10.5), (3.5, 2.5), (-10.5, 2.5)])
    mask = fill([polygon], (6, 8))
    assert mask.sum() == 3 * 4
    assert mask[:3, :4].all()


def without_keyholes(points: np.ndarray) -> list[np.ndarray]:
    """Loops of a polygon after its keyholes are undone: where an edge runs back over itself (SlicerRT: closer than 0.001 mm)."""
    n = len(points)
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < 0.001
    for i, j in np.argwhere(np.triu(near, 4)):
        if j - 1 > i + 1 and near[i + 1, j - 1]:  # the edge from i to i + 1 is the edge from j - 1 to j
            inner = points[i + 1 : j - 1]
            outer = np.concatenate([points[: i + 1], points[j + 1 :]])
            return without_keyholes(inner) + without_keyholes(outer)
    assert n < 4 or not np.triu(near, 4)[:, : n - 1].any(), "points coincide that are no keyhole"
    return [points]


@pytest.mark.parametrize("kind", ["noise", "blobs", "diagonals"])
def test_keyhole_removers_find_keyholes_alone(kind):
    """Pixels of 0.4 mm, rounded as written: touching corners stay apart, and undoing the keyholes gives outlines and holes back."""
    random = np.random.default_rng(11)
    for _ in range(60):
        mask = random.random(random.integers(3, 26, 2)) < 0.3 + 0.6 * random.random()
        if kind == "blobs":
            mask = ndimage.gaussian_filter(random.random(mask.shape), 1.2) > 0.5
        elif kind == "diagonals":
            mask = (np.indices(mask.shape).sum(axis=0) % 3 > 0) | mask
        loops = [loop for p in outlines(mask) for loop in without_keyholes(np.round(0.4 * p, 4))]
        _, holes = ndimage.label(~np.pad(mask, 1), np.ones((3, 3)))
        assert len(loops) == ndimage.label(mask)[1] + holes - 1
        assert np.array_equal(fill([loop / 0.4 for loop in loops], mask.shape), mask)
