"""Region statistics and the tests that the papers use."""

import numpy as np
import pytest
from gliosuite.statistics import icc21, region_statistics


def test_undefined_voxels_are_left_out_and_counted():
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    values[0, 0, 0] = np.nan
    region = np.zeros((3, 3, 3), bool)
    region[0] = True
    s = region_statistics(values, region)
    assert (s.n, s.n_undefined) == (8, 1)
    assert s.median == pytest.approx(4.5)
    assert s.mean == pytest.approx(4.5)
    assert s.p25 == pytest.approx(np.percentile(np.arange(1, 9), 25))


def test_an_empty_region_has_no_numbers():
    s = region_statistics(np.ones((2, 2, 2)), np.zeros((2, 2, 2), bool))
    assert s.n == 0
    assert np.isnan([s.mean, s.median, s.p95]).all()


def test_icc_is_that_of_shrout_and_fleiss():
    # Their table 2: four judges, six targets; ICC(2,1) = .29 in table 4.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert icc21(ratings) == pytest.approx(0.29, abs=0.005)


def test_icc_counts_a_rater_who_is_always_higher():
    truth = np.arange(10.0)[:, None]
    assert icc21(np.hstack([truth, truth])) == pytest.approx(1.0)
    assert icc21(np.hstack([truth, truth + 5.0])) < 0.6
    assert np.isnan(icc21(np.ones((3, 2))))
