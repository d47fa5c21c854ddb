"""Target volumes among each other: counts that can be done by hand, and a map whose labels say who covers what."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, array
from gliosuite.rt.compare import agreement_table, difference_map

GRID = Grid((20, 20, 10), (2.0, 1.0, 5.0), (0.0,) * 3, tuple(np.eye(3).ravel()))  # 10 mm3


def box(z, y, x):
    mask = np.zeros(GRID.shape, bool)
    mask[z, y, x] = True
    return GRID.image(mask)


A = box(slice(2, 6), slice(4, 8), slice(2, 8))  # 96 voxels
B = box(slice(2, 6), slice(4, 8), slice(4, 12))  # 128, of which 64 in A
C = box(slice(2, 6), slice(4, 8), slice(2, 12))  # 160: both


def test_overlaps_of_every_pair():
    rows = agreement_table({"A": A, "B": B, "C": C}, GRID)
    assert [(r["first"], r["second"]) for r in rows] == [("A", "B"), ("A", "C"), ("B", "C")]
    first = rows[0]
    assert (first["first_cc"], first["second_cc"], first["both_cc"]) == pytest.approx((0.96, 1.28, 0.64))
    assert (first["only_first_cc"], first["only_second_cc"]) == pytest.approx((0.32, 0.64))
    assert first["dice"] == pytest.approx(2 * 64 / 224)
    assert first["hd95_mm"] == pytest.approx(8.0)
    assert 0 < first["surface_dice"] < 1
    assert agreement_table({"A": A, "again": A}, GRID)[0]["surface_dice"] == 1


def test_the_map_says_who_covers_what():
    labels, shares = difference_map({"A": A, "B": B}, GRID)
    assert [(s.label, s.covered_by) for s in shares] == [(1, ("A",)), (2, ("B",)), (3, ("A", "B"))]
    assert [s.volume_cc for s in shares] == pytest.approx([0.32, 0.64, 0.64])
    values = array(labels, int)
    assert (values[3, 5, 2], values[3, 5, 11], values[3, 5, 6], values[0, 0, 0]) == (1, 2, 3, 0)


def test_outside_the_brain_nothing_counts():
    brain = box(slice(0, 10), slice(0, 20), slice(0, 8))
    (row,) = agreement_table({"A": A, "B": B}, GRID, brain)
    assert row["second_cc"] == pytest.approx(0.64)
    assert row["only_second_cc"] == 0


def test_masks_on_other_grids_are_carried():
    fine = Grid((40, 20, 10), (1.0, 1.0, 5.0), (-0.5, 0.0, 0.0), GRID.direction)
    doubled = fine.image(np.repeat(array(A, bool), 2, axis=2))
    (row,) = agreement_table({"A": A, "fine": doubled}, GRID)
    assert row["dice"] == 1


def test_what_cannot_be_compared_is_said():
    with pytest.raises(InputError, match="at least two are needed"):
        agreement_table({"A": A}, GRID)
    with pytest.raises(InputError, match="B has no voxel inside the brain"):
        difference_map({"A": A, "B": B}, GRID, box(slice(2, 6), slice(4, 8), slice(2, 4)))
    with pytest.raises(InputError, match="9 target volumes were given; a difference map holds at most 8"):
        difference_map({str(i): A for i in range(9)}, GRID)
