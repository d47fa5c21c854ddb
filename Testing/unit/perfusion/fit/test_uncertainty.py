import numpy as np
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.fit.uncertainty import UNKNOWN, covariance, misfit_limit

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
