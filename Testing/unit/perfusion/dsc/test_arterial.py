import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc.arterial import arterial_curve, blood_concentration
from gliosuite.perfusion.kinetics import convolve, parker_aif

TIMES = 1.5 * np.arange(60)
BLOOD = parker_aif(TIMES, 18.0)
QUADRATIC = 7.6 * BLOOD + 0.57 * BLOOD**2


def tissue(n, sd=0.3):
    curves = convolve(TIMES, BLOOD, 60 / np.linspace(3.5, 7.0, n), 1.0, TIMES)
    curves *= 4.0 / curves.max(axis=1, keepdims=True)
    return curves + np.random.default_rng(0).normal(0, sd, curves.shape)


def test_blood_is_inverted():
    np.testing.assert_allclose(blood_concentration(QUADRATIC), BLOOD, atol=1e-12)
    assert blood_concentration(np.array([-7.6]))[0] == pytest.approx(-1.0)


@pytest.mark.parametrize(("aif", "blood"), [(QUADRATIC, True), (7.6 * BLOOD, False)])
def test_tissue_says_what_the_aif_is(aif, blood):
    found = arterial_curve(tissue(200), 1.5, aif, 10, CPU)
    assert found.blood is blood
    assert found.curve.sum() == pytest.approx(aif.sum())
    np.testing.assert_allclose(found.curve * found.mm_per_unit, BLOOD, atol=1e-9)


def test_few_voxels_say_nothing():
    assert not arterial_curve(tissue(10), 1.5, QUADRATIC, 10, CPU).blood
    assert not arterial_curve(0.0 * tissue(200), 1.5, QUADRATIC, 10, CPU).blood
