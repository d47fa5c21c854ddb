"""Tensors on known truth."""

import diffusion_series as ds
import numpy as np
import pytest
from gliosuite.diffusion.tensor import fit_means, fit_tensor
from gliosuite.errors import InputError


@pytest.fixture
def voxels():
    """ADC, FA and tensors of 400 voxels."""
    rng = np.random.default_rng(5)
    adc, fa = rng.uniform(0.4e-3, 3e-3, 400), rng.uniform(0, 0.9, 400)
    return adc, fa, ds.tensors(adc, fa, rng)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "b, g", [ds.scheme(ds.SIX), ds.scheme(ds.spread(30), 3, (500.0, 1200.0))], ids=["6", "2 shells"]
)
def test_without_noise_the_truth_comes_back(voxels, weighted, b, g):
    adc, fa, d = voxels
    found = fit_tensor(ds.signals(800.0, d, b, g), b, g, weighted)
    np.testing.assert_allclose(found.adc, adc, rtol=1e-4)
    np.testing.assert_allclose(found.fa, fa, atol=2e-4)
    np.testing.assert_allclose(found.s0, 800, rtol=1e-4)
    assert not found.negative.any()


def test_the_frame_of_the_directions_does_not_matter(voxels):
    _, _, d = voxels
    rng = np.random.default_rng(1)
    b, g = ds.scheme(ds.spread(20), 2)
    values = ds.noisy(ds.signals(800.0, d, b, g), 20.0, rng)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0] * (-1, 1, 1)
    one, two = fit_tensor(values, b, g), fit_tensor(values, b, g @ turn)
    np.testing.assert_allclose(one.adc, two.adc, rtol=1e-5)
    np.testing.assert_allclose(one.fa, two.fa, atol=1e-5)


def test_weights_keep_noise_of_weak_signals_out():
    """Simulated, SNR 20: fluid, whose weighted signals are noise, scatters less about the same ADC."""
    rng = np.random.default_rng(2)
    adc = np.full(4000, 2.2e-3)
    b, g = ds.scheme(ds.spread(30), 3, (500.0, 1000.0))
    values = ds.noisy(ds.signals(100.0, ds.tensors(adc, 0.1 + 0 * adc, rng), b, g), 5.0, rng)
    error = {w: np.std(fit_tensor(values, b, g, w).adc) for w in (True, False)}
    assert error[True] < 0.8 * error[False]


def test_noise_is_told_by_the_residuals(voxels):
    _, _, d = voxels
    rng = np.random.default_rng(3)
    b, g = ds.scheme(ds.spread(30), 2, (700.0,))
    found = fit_tensor(ds.noisy(ds.signals(1000.0, d, b, g), 15.0, rng), b, g)
    assert np.sqrt(np.nanmean(found.variance)) == pytest.approx(15, rel=0.1)
    assert found.directional > 3
    mixed = g.copy()
    mixed[2:] = rng.permutation(g[2:])
    assert fit_tensor(ds.noisy(ds.signals(1000.0, d, b, g), 15.0, rng), b, mixed).directional < 1.5
    least = fit_tensor(ds.signals(1000.0, d, *ds.scheme(ds.SIX)), *ds.scheme(ds.SIX))
    assert np.isnan(least.variance).all()
    assert np.isnan(least.directional)


def test_samples_that_are_not_above_zero_are_left_out(voxels):
    adc, fa, d = voxels
    b, g = ds.scheme(ds.spread(12), 1)
    values = ds.signals(800.0, d, b, g)
    values[:, 5] = 0.0
    values[0, 6] = np.nan
    values[1, 7] = -3.0
    for weighted in (True, False):
        found = fit_tensor(values, b, g, weighted)
        assert found.left_out[:2].tolist() == [2, 2]
        np.testing.assert_allclose(found.adc, adc, rtol=1e-4)
        np.testing.assert_allclose(found.fa, fa, atol=3e-4)
    # Without its only sample of b = 0, or with fewer than seven, a voxel has no tensor.
    values[2, 0] = 0.0
    values[3, 5:] = 0.0
    found = fit_tensor(values, b, g)
    assert np.isnan(found.adc[2:4]).all()
    assert np.isfinite(found.adc[4:]).all()


def test_an_eigenvalue_below_zero_is_counted_and_taken_for_zero():
    b, g = ds.scheme(ds.spread(30), 1)
    d = np.diag([1.5e-3, 0.3e-3, -0.2e-3])[None]
    found = fit_tensor(ds.signals(500.0, d, b, g), b, g)
    assert found.negative[0]
    assert found.adc[0] == pytest.approx(1.6e-3 / 3, rel=1e-4)
    assert found.fa[0] == pytest.approx(np.sqrt(1.5 * (0.9**2 + 0.3**2 + 0.6**2) / (1.5**2 + 0.3**2)), rel=1e-4)
    rising = fit_tensor(ds.signals(500.0, -d[:, ::-1, ::-1], b, g), b, g)
    assert np.isnan(rising.adc[0])
    assert not rising.negative[0]


def test_means_over_volumes_show_one_that_is_off(voxels):
    _, _, d = voxels
    b, g = ds.scheme(ds.spread(12), 1)
    values = ds.noisy(ds.signals(800.0, d, b, g), 8.0, np.random.default_rng(4))
    values[:, 4] *= 0.7
    found = fit_tensor(values, b, g)
    assert found.residual.argmax() == 4
    np.testing.assert_allclose(found.data, values.mean(axis=0), rtol=1e-6)


def test_too_few_directions_are_refused():
    b, g = ds.scheme(ds.THREE)
    with pytest.raises(InputError, match="do not determine a tensor"):
        fit_tensor(np.ones((2, 4)), b, g)
    with pytest.raises(InputError, match="3 signals and 7 b-values"):
        fit_tensor(np.ones((2, 3)), *ds.scheme(ds.SIX))


@pytest.mark.parametrize("directions", [ds.THREE, np.vstack([ds.THREE, ds.THREE])], ids=["once", "twice"])
def test_means_over_directions_give_the_adc_of_the_tensor(voxels, directions):
    adc, _, d = voxels
    b, g = ds.scheme(directions, 2)
    found, s0 = fit_means(ds.signals(800.0, d, b, g), b, b > 0)
    np.testing.assert_allclose(found, adc, rtol=1e-4)
    np.testing.assert_allclose(s0, 800, rtol=1e-4)
    lost = ds.signals(800.0, d, b, g)
    lost[0, 1] = 0
    assert np.isnan(fit_means(lost, b, b > 0)[0][0])
