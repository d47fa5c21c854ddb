import numpy as np
import pytest
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.simulate.blood import Blood
from scipy.special import gammaincc

DT, STEP = 1.5, 0.05
TIMES = DT * np.arange(60)
FINE = STEP * np.arange(1771)
ARTERY = 7.6 * Blood().arterial(FINE, 18.0)
AIF = np.interp(TIMES, FINE, ARTERY)


def tissue(shape, mtt, delay=0.0, leak=0.0):
    """A blood volume of 4 %, transit times gamma distributed; leak in 1/s."""
    share = gammaincc(shape, shape * FINE / mtt)
    share[0] /= 2
    v = 0.04 * np.convolve(ARTERY, share / share.sum())[: FINE.size]
    return np.interp(TIMES - delay, FINE, v - leak * STEP * np.cumsum(v), left=0)


@pytest.mark.parametrize("shape", [1, 2, 3])
@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_volume_does_not_depend_on_the_transit_time_although_agent_recirculates(shape, delay):
    curves = np.array([tissue(shape, mtt, delay) for mtt in (3.0, 4.0, 5.0, 6.0, 8.0)])
    found = perfusion_maps(curves, DT, AIF, "none").cbv
    np.testing.assert_allclose(found, 4.0, rtol=0.0035)
    plain = 100 * curves.sum(1) / AIF.sum()
    assert (plain < 3.95).all()


def test_that_adds_no_noise():
    curves = tissue(2, 5.0) + np.random.default_rng(0).normal(0, 0.05 * tissue(2, 5.0).max(), (4000, 60))
    found, plain = perfusion_maps(curves, DT, AIF, "none").cbv, curves.sum(1)
    assert found.std() / found.mean() <= 1.02 * plain.std() / plain.mean()
    assert found.mean() == pytest.approx(4.0, rel=0.005)


def test_noise_before_the_arrival_is_no_agent():
    curves = np.array([tissue(1, 4.0), tissue(3, 6.0)])
    noisy = AIF.copy()
    noisy[:9] += np.random.default_rng(1).normal(0, 0.01 * AIF.max(), 9)
    clean, found = (perfusion_maps(curves, DT, aif, "none") for aif in (AIF, noisy))
    np.testing.assert_allclose(found.cbv, clean.cbv, rtol=0.005)
    np.testing.assert_allclose(found.cbf, clean.cbf, rtol=0.01)


def test_the_model_is_chosen_voxel_by_voxel():
    rng = np.random.default_rng(2)
    reference = tissue(1, 4.0)
    like = 2.0 * reference - 0.03 * DT * np.cumsum(reference)  # the reference's own transit time: bsw is enough
    unlike = tissue(2, 9.0, 2.0, 0.03)
    curves = np.concatenate([np.tile(c, (200, 1)) for c in (reference, like, unlike)])
    curves += rng.normal(0, reference.max() / 60, curves.shape)
    marked = np.arange(600) < 200
    fit = perfusion_maps(curves, DT, AIF, "auto", reference=marked)
    assert np.mean(fit.model[200:400] == 1) > 0.7
    assert np.mean(fit.model[400:] == 3) > 0.95
    assert np.median(np.abs(fit.cbv[400:] / 4.0 - 1)) < 0.05
    one = perfusion_maps(curves, DT, AIF, "residue")
    np.testing.assert_array_equal(fit.k2[fit.model == 3], one.k2[fit.model == 3])
    assert np.isnan(fit.kep[fit.model == 1]).all()
    # One unit of K1 whatever the correction: the reference's blood volume, which all of these have once or twice.
    assert np.median(fit.k1[200:400]) == pytest.approx(2.0, rel=0.06)
    assert np.median(fit.k1[400:]) == pytest.approx(1.0, rel=0.08)


def test_leakage_that_has_no_way_out_of_the_fit_keeps_the_uncorrected_volume():
    curves = np.array([tissue(1, 4.0, 0.0, 0.03)])
    fit = perfusion_maps(curves, DT, AIF, "residue")
    assert fit.cbv_uncorrected[0] < 0.8 * fit.cbv[0]
    assert fit.cbv[0] == pytest.approx(4.0, rel=0.05)
