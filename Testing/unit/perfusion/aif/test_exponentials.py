import numpy as np
from gliosuite.perfusion.aif.exponentials import decaying, dispersed, read
from gliosuite.perfusion.kinetics import convolve, parker_aif

STEP = 0.5
TIMES = STEP * np.arange(600)
CURVE = parker_aif(TIMES, 20.0)


def test_it_is_the_exact_convolution():
    rates = np.array([0.01, 0.3, 5.0, 20.0])
    exact = convolve(TIMES, CURVE, rates) * 60.0
    np.testing.assert_allclose(decaying(CURVE, STEP, rates / 60.0), exact, atol=1e-11 * exact.max())


def test_curves_and_rates_are_broadcast():
    curves = np.stack([CURVE, 2.0 * CURVE])
    both = decaying(curves, STEP, np.array([[0.1], [0.2]]))
    np.testing.assert_allclose(both[1, 1], 2.0 * decaying(CURVE, STEP, 0.2))


def test_dispersion_keeps_the_area_and_none_changes_nothing():
    wide = dispersed(CURVE, STEP, 4.0)
    assert wide.max() < CURVE.max()
    np.testing.assert_allclose(wide, convolve(TIMES, CURVE, 15.0)[0] * 15.0, atol=1e-12)
    np.testing.assert_array_equal(dispersed(CURVE, STEP, 0.0), CURVE)


def test_reading_is_linear_and_constant_beyond_the_ends():
    np.testing.assert_allclose(read(np.array([1.0, 3.0, 2.0]), STEP, np.array([-1.0, 0.25, 9.0])), [1.0, 2.0, 2.0])
