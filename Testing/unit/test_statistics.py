"""Region statistics."""

import numpy as np
import pytest
from gliosuite.statistics import region_statistics


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
