import numpy as np
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def test_no_stretch_of_delays_holds_a_better_fit():
    rng = np.random.default_rng(5)
    n = 400
    clean = kinetics.extended_tofts(
        TIMES, AIF, rng.uniform(0, 0.3, n), rng.uniform(0.05, 0.6, n), rng.uniform(0, 0.1, n), rng.uniform(-3, 8, n)
    )
    curves = clean + rng.normal(0, 0.02, clean.shape)
    sse = lambda fit: ((curves - fit.predict()) ** 2).sum(axis=1)
    whole = sse(fit_curves(curves, TIMES, AIF, "etm", True))
    parts = [
        sse(fit_curves(curves, TIMES, AIF, "etm", True, bounds={"delay": (low, low + 1.0)})) for low in range(-5, 12)
    ]
    assert np.mean(whole <= np.min(parts, axis=0) * (1 + 1e-6)) >= 0.995


def test_delays_at_both_ends_of_their_range():
    curves = kinetics.extended_tofts(TIMES, AIF, np.full(2, 0.2), 0.3, 0.05, [-4.9, 11.9])
    fit = fit_curves(curves, TIMES, AIF, "etm", True)
    np.testing.assert_allclose(fit.delay_s, [-4.9, 11.9], atol=1e-3)


def test_a_delay_at_an_end_of_its_range_is_unknown():
    late = kinetics.extended_tofts(TIMES, AIF, np.full(3, 0.2), 0.3, 0.05, [14.0, 3.0, -7.0])
    fit = fit_curves(late + np.random.default_rng(2).normal(0, 0.005, late.shape), TIMES, AIF, "etm", True)
    assert np.isinf(fit.sd["delay"]).tolist() == [True, False, True]
