import numpy as np
import pytest
from gliosuite.perfusion.aif.refined import Spread, kinds, refine, samples_sd
from gliosuite.perfusion.aif.smooth import STEP_S, SmoothCurves, not_negative, on_grid
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.simulate.blood import disperse

FINE = 0.1 * np.arange(3001)
TIMES = 5.0 * np.arange(60)


def square(arrival=31.0):
    """Plasma after a square injection of 5 s (mM), and what follows it."""
    after = FINE - arrival
    first = ((after >= 0) & (after < 5.0)).astype(float)
    first = disperse(FINE, disperse(FINE, first, 1.5), 1.5)
    stays = disperse(FINE, np.cumsum(first) * 0.1, 10.0)
    return 8.0 * first / first.max() + 1.2 * stays / stays.max()


def tissue(plasma, n=120, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    true = {"ktrans": rng.uniform(0.02, 0.2, n), "ve": rng.uniform(0.2, 0.5, n), "vp": rng.uniform(0.02, 0.1, n)}
    late = np.repeat([0.4, 1.3, 2.6, 3.7], n // 4)
    curves = extended_tofts(TIMES, plasma, *true.values(), late, FINE)
    return curves + rng.normal(0, noise, curves.shape), true


def refined(samples, curves):
    smooth = SmoothCurves.through(TIMES, samples, TIMES[-1])
    start = smooth.basis @ smooth.nearest(TIMES, samples, samples_sd(samples))
    fit = fit_curves(curves, TIMES, start, "etm", True, smooth.times_s)
    return refine(smooth, TIMES, samples, TIMES, curves, {n: fit.values[n] for n in ("ktrans", "vp", "kep", "delay")})


@pytest.mark.parametrize("plasma", [square(), parker_aif(FINE, 31.7) / 0.58], ids=["square", "parker"])
def test_tissue_shows_what_lies_between_the_samples(plasma):
    samples = np.interp(TIMES, FINE, plasma)
    curves, true = tissue(plasma)
    found = refined(samples, curves)
    passing = (found.times_s > 30) & (found.times_s < 60)
    real = np.interp(found.times_s, FINE, plasma)
    straight = np.interp(found.times_s, TIMES, samples)
    error, before = (np.sqrt(np.mean((c - real)[passing] ** 2)) for c in (found.concentration, straight))
    assert error < 0.5 * before
    assert 0.7 < found.residual < 1.2
    fit = fit_curves(curves, TIMES, found.concentration, "etm", True, found.times_s)
    sd = found.spread.of(fit.values)
    for name in ("ktrans", "vp"):
        assert abs(np.median(fit.values[name] / true[name]) - 1) < 0.08
        within = np.abs(fit.values[name] - true[name]) < 1.96 * np.hypot(fit.sd[name], sd[name])
        assert within.mean() > 0.85


def test_the_same_twice():
    plasma = square()
    curves, _ = tissue(plasma, 60)
    once, again = (refined(np.interp(TIMES, FINE, plasma), curves) for _ in range(2))
    np.testing.assert_array_equal(once.concentration, again.concentration)


def test_cubic_pieces_give_lines_back_and_their_slopes():
    line = 2.0 + 3.0 * STEP_S * np.arange(10)
    at = np.array([-0.1, 1.1, 2.0, 3.3])
    index, weights, slopes = on_grid(at, 10)
    np.testing.assert_allclose((line[index] * weights).sum(axis=-1), [0.0, *(2.0 + 3.0 * at[1:])])
    np.testing.assert_allclose((line[index] * slopes).sum(axis=-1), [0.0, 3.0, 3.0, 3.0])


def test_least_squares_without_negative_values():
    x = not_negative(np.diag([1.0, 4.0]), np.array([2.0, -1.0]))
    np.testing.assert_allclose(x, [2.0, 0.0])


def test_a_voxel_is_as_uncertain_as_the_curve_it_is_like():
    one = np.array([0.1, 0.02])
    spread = Spread(kinds(one, one, 3.0 * one, np.zeros(2)), dict.fromkeys(("ktrans", "vp", "kep", "ve", "delay"), one))
    values = {"ktrans": np.array([0.2, np.nan, 0.021]), "vp": np.array([0.2, np.nan, 0.021])}
    values |= {"kep": np.array([0.31, np.nan, 0.062]), "delay": np.zeros(3)}
    sd = spread.of(values)
    np.testing.assert_allclose(sd["ktrans"], [0.2 * 0.1, 0.0, 0.021 * 0.02])
    np.testing.assert_allclose(sd["delay"], [0.1, 0.0, 0.02])
