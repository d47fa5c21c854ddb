import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc.artery.concentration import arterial_relation, blood_concentration, blood_dr2star
from gliosuite.perfusion.kinetics import convolve, parker_aif
from gliosuite.perfusion.signal import BLOOD_R2STAR

TIMES = 1.5 * np.arange(60)
BLOOD = parker_aif(TIMES, 18.0)
LINEAR, SQUARE = BLOOD_R2STAR
QUADRATIC = LINEAR * BLOOD + SQUARE * BLOOD**2


def tissue(n, sd=0.3):
    curves = convolve(TIMES, BLOOD, 60 / np.linspace(3.5, 7.0, n), 1.0, TIMES)
    curves *= 4.0 / curves.max(axis=1, keepdims=True)
    return curves + np.random.default_rng(0).normal(0, sd, curves.shape)


def test_blood_is_inverted():
    np.testing.assert_allclose(blood_concentration(QUADRATIC), BLOOD, atol=1e-12)
    np.testing.assert_allclose(blood_concentration(LINEAR * BLOOD, "linear"), BLOOD, atol=1e-12)
    for relation in ("quadratic", "linear"):
        both = blood_concentration(blood_dr2star(BLOOD - 0.1, relation), relation)
        np.testing.assert_allclose(both, BLOOD - 0.1, atol=1e-12)
    assert blood_concentration(np.array([-LINEAR]))[0] == pytest.approx(-1.0)


@pytest.mark.parametrize(("aif", "relation"), [(QUADRATIC, "quadratic"), (LINEAR * BLOOD, "linear")])
def test_tissue_says_what_the_aif_is(aif, relation):
    assert arterial_relation(tissue(200), 1.5, aif, 10, CPU) == relation


def test_few_voxels_say_nothing():
    assert arterial_relation(tissue(10), 1.5, QUADRATIC, 10, CPU) == "linear"
    assert arterial_relation(0.0 * tissue(200), 1.5, QUADRATIC, 10, CPU) == "linear"
