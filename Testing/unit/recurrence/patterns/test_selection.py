import numpy as np
from gliosuite.recurrence.patterns.selection import eliminate, standardised

from .conftest import PLANTED, drawn


def test_planted_features_are_left():
    x, y = drawn()
    assert set(eliminate(standardised(x)[0], y, PLANTED)) == set(range(PLANTED))


def test_as_many_are_left_as_asked_for_and_all_where_there_are_no_more():
    x, y = drawn(p=20)
    z, _, _ = standardised(x)
    assert [eliminate(z, y, n).size for n in (1, 7, 19, 20, 32)] == [1, 7, 19, 20, 20]


def test_a_constant_feature_is_zero_and_is_dropped():
    x, y = drawn(p=20)
    x[:, 3] = 7.0
    z, mean, sd = standardised(x)
    assert mean[3] == 7
    assert sd[3] == 1
    assert not z[:, 3].any()
    assert 3 not in eliminate(z, y, 10)
    assert np.allclose(z[:, 0].std(), 1)
