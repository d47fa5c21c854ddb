"""Exact areas of loops that are apart, nested, across each other and across themselves; which of them belong together."""

import time

import numpy as np
import pytest
from gliosuite.rt.rtstruct.contours import fill, outlines
from gliosuite.rt.rtstruct.polygons import area, crossing_themselves, grouped, shoelace


def rectangle(x: float, y: float, half_x: float, half_y: float) -> np.ndarray:
    return np.array(
        [(x - half_x, y - half_y), (x + half_x, y - half_y), (x + half_x, y + half_y), (x - half_x, y + half_y)]
    )


def circle(x: float, y: float, radius: float, n: int = 400) -> np.ndarray:
    """A polygon of a circle's area."""
    t = np.arange(n) * 2 * np.pi / n
    r = radius * np.sqrt(2 * np.pi / n / np.sin(2 * np.pi / n))
    return np.stack([x + r * np.cos(t), y + r * np.sin(t)], axis=1)


def turned(polygons: list[np.ndarray], degrees: float) -> list[np.ndarray]:
    a = np.radians(degrees)
    return [p @ np.array([(np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))]) for p in polygons]


@pytest.mark.parametrize("degrees", [0, 90, 17.3, 45])
@pytest.mark.parametrize(
    ("loops", "union", "odd", "groups", "across"),
    [
        ([rectangle(-3, 0, 5, 5), rectangle(3, 0, 5, 5)], 160, 120, [[0, 1]], 2),  # they share the line of an edge
        ([rectangle(0, 0, 5, 1), rectangle(0, 0, 1, 5)], 36, 32, [[0, 1]], 2),  # a cross: no corner in the other
        ([rectangle(0, 0, 5, 5), rectangle(0, 0, 3, 3), rectangle(0, 0, 1, 1)], 68, 68, [[0], [1], [2]], 0),
        ([rectangle(0, 0, 5, 5), rectangle(3.1, 0, 2, 2)], 100 + 0.4 - 15.6, 100 + 0.4 - 15.6, [[0], [1]], 2),  # a hole over an edge
        ([rectangle(0, 0, 5, 5), np.roll(rectangle(0, 0, 5, 5), 2, axis=0)[::-1]], 100, 0, [[0, 1]], 0),  # drawn twice
        ([rectangle(0, 0, 5, 5), rectangle(10, 0, 5, 5)], 200, 200, [[0], [1]], 0),  # side by side
        ([rectangle(0, 0, 5, 5), rectangle(7, 7, 3, 3), rectangle(-3, 0, 5, 1)], 100 + 36 + 6 - 1, None, [[0, 1, 2]], 3),
    ],
)  # fmt: skip
def test_what_belongs_together(loops, union, odd, groups, across, degrees):
    loops = turned(loops, degrees)
    found, n = grouped(loops)
    assert (sorted(map(sorted, found)), n) == (groups, across)
    assert area(loops, found) == pytest.approx(union, abs=1e-3)
    if odd is not None:
        assert area(loops) == pytest.approx(odd, abs=1e-3)


def test_two_discs():
    """The lens of two circles by its formula."""
    d, r = 8.65, 10.0
    lens = 2 * r * r * np.arccos(d / (2 * r)) - d / 2 * np.sqrt(4 * r * r - d * d)
    loops = [circle(0, 0, r), circle(8, np.sqrt(d * d - 64), r)]
    assert area(loops, [[0, 1]]) == pytest.approx(2 * np.pi * r * r - lens, rel=1e-3)
    assert area(loops) == pytest.approx(2 * np.pi * r * r - 2 * lens, rel=1e-3)
    pixels = fill([p + 12 for p in loops], (30, 40), [[0, 1]])
    assert pixels.sum() == pytest.approx(2 * np.pi * r * r - lens, rel=0.02)


def test_loops_that_cross_themselves():
    bow = np.array([(0, 0), (10, 10), (10, 0), (0, 10)], float)
    assert shoelace(bow) == 0
    assert area([bow]) == pytest.approx(50)
    keyhole = outlines(np.pad(np.pad(np.zeros((3, 3), bool), 2, constant_values=True), 1))
    assert crossing_themselves([bow, *keyhole, circle(0, 0, 4)]) == 1
    assert area(keyhole) == 40


def test_it_is_quick_where_there_are_thousands_of_islands():
    mask = np.random.default_rng(31).random((200, 200)) < 0.25
    loops = outlines(mask)
    assert len(loops) > 5000
    start = time.perf_counter()
    groups, across = grouped(loops)
    assert area(loops, groups) == pytest.approx(mask.sum(), rel=1e-3)
    assert (len(groups), across) == (len(loops), 0)
    assert time.perf_counter() - start < 20  # some 0.3 s; it took 200 s once
