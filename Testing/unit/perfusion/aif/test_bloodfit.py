import numpy as np
import pytest
from gliosuite.perfusion.aif.bloodfit import fit_blood
from gliosuite.perfusion.aif.bloodmodel import (
    FORM,
    SIGNAL,
    TISSUE_T1_S,
    VENOUS_T1,
    BloodModel,
    BloodParameters,
    BloodSignals,
    relative_signal,
)
from gliosuite.perfusion.kinetics import convolve, parker_aif
from gliosuite.perfusion.signal import Spgr

TIMES = 5.0 * np.arange(60)
FINE = 0.1 * np.arange(3000)
T10, TE = 1.65, 0.0015
SPGR = Spgr(tr_s=0.0035, flip_angle_deg=10.0, r1=4.5, te_s=TE)


def signals(flip_artery=1.08, flip_sinus=0.93, share=0.8, seed=0, noise=0.015):
    """What an artery, a sinus and tissue show of Parker's blood, and that blood."""
    blood = parker_aif(FINE, 30.0)
    rng = np.random.default_rng(seed)

    def dispersed(tau_s, delay_s):
        return np.interp(TIMES - delay_s, FINE, convolve(FINE, blood, 60.0 / tau_s)[0] * 60.0 / tau_s, left=0.0)

    here = np.interp(TIMES, FINE, blood)
    artery = 1 + share * (relative_signal(here, SPGR, flip_artery, T10, TE) - 1)
    sinus = relative_signal(dispersed(4.5, 2.0), SPGR, flip_sinus, VENOUS_T1 * T10, TE)
    tissue = relative_signal(0.03 * dispersed(1.5, 0.7), SPGR, flip_artery, TISSUE_T1_S, 0.0)
    data = [y + rng.normal(0, s, 60) for y, s in ((artery, noise), (sinus, noise), (tissue, 0.001))]
    return *(300.0 * y for y in data), here


def fitted(artery, sinus, tissue, **more):
    return fit_blood(BloodSignals(TIMES, artery, sinus, tissue, 6, noise=(0.015, 0.015), **more), SPGR, T10)


@pytest.mark.parametrize(("flip_artery", "flip_sinus", "share"), [(1.08, 0.93, 0.8), (0.95, 1.05, 0.6)])
def test_flip_angles_and_partial_volume_do_not_change_the_blood(flip_artery, flip_sinus, share):
    *data, blood = signals(flip_artery, flip_sinus, share)
    fit = fitted(*data)
    found = np.interp(TIMES, fit.times_s, fit.concentration)
    assert abs(found.max() / blood.max() - 1) < 0.1
    assert abs(found[-24:].mean() / blood[-24:].mean() - 1) < 0.07
    assert abs(fit.flip_artery - flip_artery) < 0.08
    assert abs(fit.flip_sinus - flip_sinus) < 0.05
    assert 0.3 < fit.residual < 1.5
    assert 0.01 < fit.peak_sd < 0.15


def test_samples_are_the_signal_turned_into_concentration():
    *data, blood = signals(noise=0.002)
    fit = fitted(*data)
    late = TIMES > 60
    np.testing.assert_allclose(fit.samples[late], blood[late], rtol=0.1)


def test_a_head_that_moves_at_once_spoils_nothing():
    artery, sinus, tissue, blood = signals()
    artery, sinus = artery.copy(), sinus.copy()
    artery[35:] *= 0.7
    sinus[35:] *= 0.8
    fit = fitted(artery, sinus, tissue, moves=(35,))
    found = np.interp(TIMES, fit.times_s, fit.concentration)
    assert abs(found.max() / blood.max() - 1) < 0.1
    assert abs(found[-24:].mean() / blood[-24:].mean() - 1) < 0.1


def test_derivatives_are_those_of_the_model():
    *data, _ = signals()
    model = BloodModel.of(BloodSignals(TIMES, *data, 6, (30,), (0.015, 0.015)), SPGR, T10)
    start = [*(p.start for p in FORM.values()), 27.31, *(p.start for p in SIGNAL.values())]
    at = np.array(start) * (1 + 0.03 * np.sin(np.arange(22)))
    slopes = model.slopes(BloodParameters(*at))
    for i, name in enumerate(BloodParameters._fields):
        step = np.zeros(22)
        step[i] = 1e-5 * max(abs(at[i]), 1e-4)
        up, down = (model.misfit(BloodParameters(*(at + s * step))) for s in (1, -1))
        numeric = (up - down) / (2 * step[i])
        # That by a dispersion is of the continuous curve, the model's is linear between samples.
        limit = 5e-3 if "dispersion" in name else 1e-4
        np.testing.assert_allclose(slopes[..., i], numeric, atol=limit * np.abs(numeric).max(), err_msg=name)
