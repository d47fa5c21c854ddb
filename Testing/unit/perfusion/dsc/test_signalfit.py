import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc.leakage.excitation import Excitation
from gliosuite.perfusion.dsc.leakage.signalfit import Model, signal_noise
from gliosuite.perfusion.kinetics import parker_aif
from gliosuite.perfusion.signal import BLOOD_R2STAR

TIMES = 1.5 * np.arange(60)
ARTERIAL = BLOOD_R2STAR[0] * parker_aif(TIMES, 18.0)


def test_noise_is_that_of_the_signal_and_not_of_the_bolus():
    bolus = 1.0 - 0.4 * np.exp(-(((TIMES - 30) / 5) ** 2))
    noisy = bolus + 0.02 * np.random.default_rng(0).standard_normal((500, 60))
    assert np.median(signal_noise(noisy)) == pytest.approx(0.02, rel=0.1)


def test_slopes_are_those_of_the_model():
    scan = Excitation(0.03, 1.5, 75.0, 1.3).of(np.arange(1))
    model = Model(ARTERIAL, 1.5, scan, CPU)
    point = np.array([[17.3, 9.4, 33.6, np.log(0.15), 0.1, 0.8, 0.01, 0.3]])
    at = lambda p: model._model(p, scan.cosine(), scan.t10_s)[0][0]
    slopes = model._model(point, scan.cosine(), scan.t10_s)[1][0]
    for i, slope in enumerate(slopes):
        step = np.zeros((1, 8))
        step[0, i] = 1e-6
        np.testing.assert_allclose((at(point + step) - at(point - step)) / 2e-6, slope, atol=1e-7, err_msg=str(i))
