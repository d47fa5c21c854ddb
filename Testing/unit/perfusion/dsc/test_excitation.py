import numpy as np
import pytest
from gliosuite.perfusion.dsc.leakage.excitation import Excitation, first_order, shine_through
from gliosuite.perfusion.signal import spgr_signal

SCAN = Excitation(0.03, 1.5, 60.0, 1.5)


def test_the_effect_is_that_of_the_signal_equation_and_saturates():
    rate = np.array([0.0, 0.1, 1.0, 10.0])
    s = spgr_signal(1 / 1.5 + rate, 1.5, 60.0) / spgr_signal(1 / 1.5, 1.5, 60.0)
    np.testing.assert_allclose(shine_through(rate, SCAN), -np.log(s) / 0.03, atol=1e-12)
    assert shine_through(np.array([1e-6]), SCAN)[0] / 1e-6 == pytest.approx(first_order(SCAN), rel=1e-4)
    assert abs(shine_through(np.array([3.0]), SCAN)[0]) < 0.7 * 3.0 * abs(first_order(SCAN))


def test_rows_of_numbers_and_maps():
    some = np.array([2, 0])
    scan = Excitation.measured(0.03, 1.5, 60.0, np.array([1.0, 1.2, np.nan]), 0.9).of(some)
    np.testing.assert_array_equal(scan.t10_s, [1.5, 1.0])
    np.testing.assert_array_equal(scan.b1, [0.9, 0.9])
    assert scan.t10_sd < SCAN.t10_sd
