"""The measures of Tran 2025 on counts that can be done by hand."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid
from gliosuite.rt.compare import TITLES, compare_ctv, comparison_table, progression_coverage

GRID = Grid((20, 20, 10), (2.0, 1.0, 5.0), (0.0,) * 3, tuple(np.eye(3).ravel()))  # 10 mm3


def box(*slices: slice) -> np.ndarray:
    mask = np.zeros(GRID.shape, bool)
    mask[slices] = True
    return mask


BRAIN = box(slice(None), slice(2, 18), slice(2, 18))  # 2560 voxels
PROGRESSION = box(slice(2, 6), slice(4, 8), slice(4, 9))  # 80
CTV = box(slice(2, 6), slice(4, 8), slice(0, 8))  # 128, of which 96 in the brain


def test_the_counts():
    m = compare_ctv(GRID.image(CTV), GRID.image(PROGRESSION), GRID.image(BRAIN))
    tp, fp, fn, n = 64, 32, 16, 2560
    f = 80 / n
    assert m.sensitivity == tp / 80
    assert m.specificity == (n - tp - fp - fn) / (n - 80)
    assert m.dice == pytest.approx(2 * tp / (96 + 80))
    assert m.tversky == pytest.approx(tp / (tp + 0.02 * fp + 0.98 * fn))
    beta = 1 / (f + 1)
    assert m.pcc == pytest.approx(tp / (tp + (1 - beta) * fp + beta * fn))
    assert m.f == f
    assert (m.ctv_cc, m.progression_cc, m.brain_cc) == pytest.approx((0.96, 0.8, 25.6))
    assert (m.normal_brain_cc, m.missed_cc) == pytest.approx((0.32, 0.16))
    # Inside the brain the CTV ends 2 voxels of 2 mm before the progression on one side and starts 2 voxels after it on the other.
    assert 2.0 <= m.hd95_mm <= 4.0


def test_pcc_is_close_to_sensitivity_over_two_minus_specificity_for_small_f():
    m = compare_ctv(GRID.image(CTV), GRID.image(PROGRESSION), GRID.image(BRAIN))
    assert m.pcc == pytest.approx(m.sensitivity / (2 - m.specificity), abs=0.01)


def test_hd95_is_in_mm():
    a = box(slice(2, 4), slice(4, 6), slice(4, 6))
    b = box(slice(5, 7), slice(4, 6), slice(4, 6))
    whole = GRID.image(np.ones(GRID.shape, bool))
    assert compare_ctv(GRID.image(a), GRID.image(b), whole).hd95_mm == pytest.approx(15)
    assert compare_ctv(GRID.image(a), GRID.image(a), whole).hd95_mm == 0


def test_no_progression_is_undefined_and_not_zero():
    m = compare_ctv(GRID.image(CTV), GRID.blank(), GRID.image(BRAIN))
    assert np.isnan([m.sensitivity, m.pcc, m.tversky, m.hd95_mm]).all()
    assert m.specificity == pytest.approx(1 - 96 / 2560)


def test_coverage_takes_the_best_voxels_of_the_brain_in_voxel_order_where_they_tie():
    score = np.zeros(GRID.shape, np.float32)
    score[PROGRESSION] = 2
    score[0, 0, 0] = 9  # outside the brain
    image, progression, brain = GRID.image(score), GRID.image(PROGRESSION), GRID.image(BRAIN)
    assert progression_coverage(image, progression, brain, 0.8) == 1
    assert progression_coverage(image, progression, brain, 0.4) == 0.5
    assert progression_coverage(GRID.image(np.zeros(GRID.shape, np.float32)), progression, brain, 0.01 * 256 * 2.0) == 0
    flat = np.where(PROGRESSION, np.nan, 0).astype(np.float32)
    assert progression_coverage(GRID.image(flat), progression, brain, 24.8) == 0, "undefined scores come last"
    assert progression_coverage(image, GRID.blank(), brain, 1) == 1, "no recurrence counts as covered"
    with pytest.raises(InputError, match=r"a volume of 30 cc is not within 0 and the brain's 25\.6 cc"):
        progression_coverage(image, progression, brain, 30)


def test_the_table_has_a_row_per_ctv_and_compares_coverage_at_one_volume():
    small = box(slice(2, 6), slice(4, 8), slice(4, 8))
    rows = comparison_table(
        {"large": GRID.image(CTV), "small": GRID.image(small)}, GRID.image(PROGRESSION), GRID.image(BRAIN)
    )
    assert [r["name"] for r in rows] == ["large", "small"]
    assert set(rows[0]) == {"name", *TITLES}
    assert rows[0]["equal_volume_coverage"] == pytest.approx(rows[0]["sensitivity"])
    assert rows[1]["ctv_cc"] < rows[0]["ctv_cc"]
    assert rows[1]["equal_volume_coverage"] >= rows[1]["sensitivity"], (
        "grown to the first one's volume it covers no less"
    )


def test_grids_must_agree_and_the_brain_may_not_be_empty():
    other = Grid((20, 20, 11), GRID.spacing, GRID.origin, GRID.direction)
    with pytest.raises(InputError, match="CTV and brain mask lie on different grids"):
        compare_ctv(other.blank(), GRID.image(PROGRESSION), GRID.image(BRAIN))
    with pytest.raises(InputError, match="the brain mask is empty"):
        compare_ctv(GRID.image(CTV), GRID.image(PROGRESSION), GRID.blank())
