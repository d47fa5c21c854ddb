import numpy as np
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.fit.uncertainty import UNKNOWN, covariance, misfit_limit, without_unknown
from gliosuite.perfusion.noise import SignalNoise
from gliosuite.perfusion.signal import Spgr, concentration_to_spgr, concentrations

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def noisy(n, seed, ktrans, ve, vp=0.03, sigma=0.02):
    clean = kinetics.extended_tofts(TIMES, AIF, np.full(n, ktrans), ve, vp)
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)


def test_covariance_is_the_inverse():
    rng = np.random.default_rng(0)
    jacobian = rng.normal(size=(50, 30, 4)) * [1, 10, 0.1, 3]
    curvature = np.einsum("nti,ntj->ijn", jacobian, jacobian)
    found = np.array(covariance(np, [[curvature[i, j] for j in range(i + 1)] for i in range(4)]))
    np.testing.assert_allclose(np.moveaxis(found, 2, 0), np.linalg.inv(np.moveaxis(curvature, 2, 0)), rtol=1e-6)
    nothing = covariance(np, [[np.zeros(1)]])
    assert nothing[0][0][0] == UNKNOWN


def test_ve_that_cannot_be_told_has_a_wide_interval():
    told = fit_curves(noisy(300, 1, 0.15, 0.2), TIMES, AIF)
    untold = fit_curves(noisy(300, 2, 0.005, 0.5), TIMES, AIF)
    assert np.median(told.sd["ve"]) < 0.02
    assert np.isinf(untold.sd["ve"]).mean() > 0.2  # whose ktrans could be 0
    assert np.median(untold.sd["ve"]) > 0.5
    inside = np.abs(untold.ve - 0.5) <= 1.96 * untold.sd["ve"]
    assert inside.mean() >= 0.93


def test_false_alarms_are_one_in_a_hundred_and_misfits_are_seen():
    rng = np.random.default_rng(3)
    clean = kinetics.extended_tofts(TIMES, AIF, rng.uniform(0, 0.3, 8000), rng.uniform(0.05, 0.6, 8000), 0.05)
    fit = fit_curves(clean + rng.normal(0, 0.02, clean.shape), TIMES, AIF)
    assert 0.005 <= fit.misfit.mean() <= 0.015
    # A delay of 7 s that the model does not know.
    late = kinetics.extended_tofts(TIMES, AIF, np.full(300, 0.2), 0.4, 0.08, 7.0)
    assert fit_curves(late + rng.normal(0, 0.02, late.shape), TIMES, AIF).misfit.mean() > 0.5
    assert misfit_limit(600, 3) < misfit_limit(60, 3)


def test_unclamped_estimates_may_be_negative_and_equal_the_fit_elsewhere():
    fit = fit_curves(noisy(500, 4, 0.0, 0.3, 0.0, 0.03), TIMES, AIF, "patlak", unclamped=True)
    assert (fit.values["ps"] >= 0).all()
    free = fit.unclamped["ps"]
    assert abs(np.mean(free)) < 0.3 * np.mean(fit.values["ps"])
    inside = (fit.values["ps"] > 0) & (fit.values["vp"] > 0)
    np.testing.assert_array_equal(free[inside], fit.values["ps"][inside])


def test_median_of_low_ktrans_by_the_chosen_model():
    fit = fit_curves(noisy(2000, 5, 0.00415, 0.35, 0.02, 0.03), TIMES, AIF, "auto")
    assert abs(np.median(fit.ktrans) / 0.00415 - 1) <= 0.1


SPGR = Spgr(0.005, 15.0, 4.5)


def from_signal(n, seed, ktrans, n_baseline, snr, device="auto", model="etm", delay=True):
    """Fit of curves that come from a noisy signal, and the same without what is known of its noise."""
    aif = kinetics.parker_aif(TIMES, TIMES[n_baseline] - 2.0) / 0.58
    clean = kinetics.extended_tofts(TIMES, aif, np.full(n, ktrans), 0.25, 0.04)
    signal = concentration_to_spgr(clean, SPGR.tr_s, SPGR.flip_angle_deg, 1.2, SPGR.r1, np.full(n, 100.0))
    signal += np.random.default_rng(seed).normal(0, 100.0 / snr, signal.shape)
    curves = concentrations(signal, SPGR, 1.2, n_baseline)
    noise = SignalNoise.of(SPGR, 1.2, SPGR.flip_angle_deg, n_baseline, n)
    return tuple(fit_curves(curves, TIMES, aif, model, delay, device=device, noise=v) for v in (noise, None))


def covers(fit, name, truth):
    return 100 * np.mean(np.abs(fit.values[name] - truth) <= 1.96 * fit.sd[name])


def test_intervals_know_the_noise_of_the_signal_before_contrast():
    for n_baseline, ktrans, snr in ((1, 0.08, 20), (5, 0.2, 50), (10, 0.02, 20)):
        fit, even = from_signal(1500, 6, ktrans, n_baseline, snr)
        np.testing.assert_array_equal(fit.ktrans, even.ktrans)
        for name, truth in (("ktrans", ktrans), ("vp", 0.04)):
            assert 92.5 <= covers(fit, name, truth) <= 97, (n_baseline, ktrans, snr, name)
            assert covers(even, name, truth) < 85


def test_intervals_of_auto_include_the_choice():
    fit, _ = from_signal(1500, 7, 0.02, 10, 20, model="auto")
    assert len(np.unique(fit.chosen)) > 1
    assert covers(fit, "ktrans", 0.02) >= 90
    # Where Patlak's model could be true as well, ve is not known.
    assert np.isinf(fit.sd["ve"][fit.chosen == 3]).any()


def test_exchange_models_know_it_too():
    fit, even = from_signal(400, 8, 0.1, 3, 50, model="2cxm", delay=False)
    assert np.median(fit.sd["ktrans"]) > 1.5 * np.median(even.sd["ktrans"])


def test_exchange_at_the_fastest_rate_leaves_ve_unknown():
    clean = kinetics.extended_tofts(TIMES, AIF, np.full(50, 0.2), 0.03, 0.03)  # kep 6.7/min
    fit = fit_curves(
        clean + np.random.default_rng(9).normal(0, 0.01, clean.shape), TIMES, AIF, bounds={"kep": (1e-3, 5)}
    )
    assert np.isinf(fit.sd["ve"]).all()
    assert np.isinf(fit.sd["kep"]).all()


def test_ve_is_unknown_where_the_profile_of_kep_ends_at_its_bound_whatever_rounding_does():
    kep, bound = np.full(4, 0.8), 5.0
    ends = bound * np.array([1.0 - 1e-7, 1.0, 1.0 + 1e-7, 0.99])
    sd = {"ktrans": np.full(4, 0.01), "kep": (ends - kep) / 1.96, "ve": np.full(4, 0.1)}
    values = {"ktrans": np.full(4, 0.1), "kep": kep}
    found = without_unknown(np, values, sd, np.log(kep), np.full(4, 0.1), float(np.log(bound)))
    np.testing.assert_array_equal(found["ve"], [np.inf, np.inf, np.inf, 0.1])
    assert np.isinf(found["kep"]).tolist() == [True, True, True, False]
