"""Shortest ways against what a taut string measures."""

import numpy as np
import pytest
from gliosuite.images import Grid, array, boolean
from gliosuite.rt.barriers import Barriers
from gliosuite.rt.margins import expand
from gliosuite.rt.margins.expand import distance_map
from gliosuite.rt.margins.geodesic import sees, tight

EYE = tuple(np.eye(3).ravel())


def room(size: tuple[int, int, int], step: float = 1.0) -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray]:
    """A grid with its first voxel at 0, and the positions x, y, z of its voxels in mm."""
    grid = Grid(size, (step,) * 3, (0.0,) * 3, EYE)
    z, y, x = (a * step for a in np.indices(grid.shape))
    return grid, x, y, z


def ball(x, y, z, centre, radius):
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2


def test_a_plate_blocks():
    grid, x, y, z = room((60, 40, 40))
    lesion = grid.image(ball(x, y, z, (18, 20, 20), 8))
    plate = abs(x - 30) < 1
    grown = boolean(expand(lesion, 15, Barriers(grid.image(~plate))))
    assert not grown[x >= 30].any()
    plain = boolean(expand(lesion, 15))
    assert plain[x > 31].any()
    assert np.array_equal(grown[x < 30], plain[x < 30])


@pytest.mark.parametrize("slanted", [False, True])
def test_a_plate_one_voxel_thick_has_no_leak(slanted):
    grid, x, y, z = room((50, 36, 36))
    lesion = grid.image(ball(x, y, z, (12, 18, 18), 7))
    # Voxels whose centre is within half of the normal's largest component: connected by corners only.
    plate = np.abs((x - 25) + 0.7 * (y - 18) + 0.4 * (z - 18)) <= 0.5 if slanted else x == 25
    grown = boolean(expand(lesion, 24, Barriers(grid.image(~plate))))
    behind = ((x - 25) + 0.7 * (y - 18) + 0.4 * (z - 18) > 0.5) if slanted else x > 25
    assert boolean(expand(lesion, 24))[behind].any()
    assert not grown[behind].any()


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_a_gap_lets_through_by_the_length_of_the_way(step):
    """A plate with a hole of 10 mm: straight through the hole, and round its edges, within 1 % of a taut string."""
    grid, x, y, z = room((round(80 / step), round(90 / step), round(40 / step)), step)
    centre, radius = (24.3, 46.2, 20.2), 8.0
    wall = (abs(x - 40) < 0.75 * max(step, 2)) & ~((y > 62) & (y < 72))
    way = array(distance_map(grid.image(ball(x, y, z, centre, radius)), 60, Barriers(grid.image(~wall))))
    left, right = x[wall].min() - step / 2, x[wall].max() + step / 2
    corner = y[wall & (y < 70)].max() + step / 2
    slope = (y - centre[1]) / np.where(x > right, x - centre[0], np.nan)
    straight = centre[1] + slope * (left - centre[0]) >= corner
    once = corner + (y - corner) / (x - left) * (right - left) >= corner
    first = np.hypot(left - centre[0], corner - centre[1])
    bent = first + np.where(once, np.hypot(x - left, y - corner), right - left + np.hypot(x - right, y - corner))
    truth = np.hypot(bent, z - centre[2]) - radius
    shadow = (x > right) & ~straight & (y < corner) & (truth < 44) & (abs(z - 20) < 14)
    error = way[shadow] / truth[shadow] - 1
    assert shadow.sum() > 300
    assert abs(error.mean()) < (0.005 if step == 1 else 0.01)
    assert np.percentile(np.abs(error), 95) < (0.01 if step == 1 else 0.02)
    lit = (x > right) & straight & (y < 70) & (abs(z - 20) < 14)
    direct = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) - radius
    assert np.percentile(np.abs(way[lit] / direct[lit] - 1), 95) < (0.01 if step == 1 else 0.02)


def test_without_walls_a_way_is_the_plain_margin():
    for spacing in ((1.0, 1.0, 1.0), (1.0, 1.0, 3.0), (3.0, 3.0, 3.0)):
        size = tuple(int(70 / s) for s in spacing)
        grid = Grid(size, spacing, (0.0,) * 3, EYE)
        z, y, x = (i * s for i, s in zip(np.indices(grid.shape), spacing[::-1]))
        lesion = grid.image(ball(x, y, z, (34, 33, 35), 12) & (x < 38))
        plain, way = expand(lesion, 15), expand(lesion, 15, Barriers(grid.image(np.ones(grid.shape, bool))))
        assert boolean(way).sum() == pytest.approx(boolean(plain).sum(), rel=0.002)


def test_what_costs_more_slows_and_ways_behind_it_go_round():
    grid, x, _, _ = room((70, 30, 30))
    lesion = grid.image((x > 9) & (x < 20.1))
    slow = (x > 30) & (x < 36)  # 6 mm at 3: 18 mm
    way = array(
        distance_map(lesion, 60, Barriers(grid.image(x >= 0), grid.image(np.where(slow, 3.0, 1.0).astype(np.float32))))
    )
    line = way[15, 15]
    assert line[29] == pytest.approx(8.5, abs=0.3)
    assert line[35] - line[31] == pytest.approx(12.0, abs=0.3)
    assert line[50] - line[29] == pytest.approx(21 + 2 * 5, abs=0.6)


def test_lines_do_not_slip_between_voxels_that_touch_at_an_edge():
    free = np.ones((3, 6, 6), bool)
    for i in range(6):
        free[:, i, 5 - i] = False
    start, end = np.array([[1, 0, 0]]), np.array([[1, 5, 5]])
    assert not sees(tight(free), start, end)[0]
    assert sees(np.ones_like(free), start, end)[0]
    open_ = np.ones((4, 5, 6), bool)
    open_[1, 2, 3] = False
    assert np.array_equal(tight(open_), open_), "a lone voxel takes nothing with it"
