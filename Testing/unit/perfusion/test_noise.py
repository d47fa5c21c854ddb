import numpy as np
import pytest
from gliosuite.perfusion.noise import SignalNoise, magnitude_noise
from gliosuite.perfusion.signal import (
    Spgr,
    concentration_to_spgr,
    concentrations,
    mean_concentration,
    spgr_to_concentration,
    without_floor,
)

SPGR = Spgr(0.005, 15.0, 4.5)


def magnitude(clean, sigma, seed):
    rng = np.random.default_rng(seed)
    return np.hypot(clean + rng.normal(0, sigma, clean.shape), rng.normal(0, sigma, clean.shape))


@pytest.mark.parametrize("acquisition", [SPGR, Spgr(0.0035, 25.0, 3.6, te_s=0.002, r2star=20.0)])
def test_gains_are_the_slopes_of_the_inverse(acquisition):
    curve = np.array([[0.0, 0.0, 0.4, 2.0, 1.1]])
    t10, flip = np.array([1.2]), np.array([acquisition.flip_angle_deg])
    more = {"te_s": acquisition.te_s or 0.0, "r2star": acquisition.r2star or 0.0}
    signal = concentration_to_spgr(curve, acquisition.tr_s, flip, t10, acquisition.r1, [1.0], **more)
    found = lambda s, before: spgr_to_concentration(
        s, acquisition.tr_s, flip, t10, acquisition.r1, 2, before=before, **more
    )
    step = 1e-6
    noise = SignalNoise.of(acquisition, t10, flip, 2, 1)
    by_frame, by_baseline = noise.gains(np, lambda v: v, np.array([0]), curve)
    np.testing.assert_allclose(by_frame, (found(signal + step, [1.0]) - curve) / step, rtol=1e-4)
    np.testing.assert_allclose(-by_baseline, (found(signal, [1.0 + step]) - curve) / step, rtol=1e-4)


@pytest.mark.parametrize("snr", [2.0, 4.0, 20.0])
def test_noise_of_a_magnitude_is_that_of_its_channels(snr):
    clean = np.full((2000, 61), 50.0 * snr)
    clean[:, 12:] *= 1.3
    assert magnitude_noise(magnitude(clean, 50.0, 11), 11) == pytest.approx(50.0, rel=0.01)


def test_floor_is_taken_off_signal_and_baseline():
    clean = np.full((50_000, 10), 3.0)
    noisy = magnitude(clean, 1.0, 12)
    assert noisy.mean() / 3 > 1.05
    assert without_floor(noisy**2, 1, 1.0).mean() == pytest.approx(3.0, rel=0.015)
    assert without_floor((noisy**2).mean(axis=1), 10, 1.0).mean() == pytest.approx(3.0, rel=0.01)
    assert without_floor(0.0, 1, 1.0) == -1.0


def test_concentration_near_the_floor_and_far_from_it():
    truth = np.r_[np.zeros(10), np.full(50, 0.5)]
    clean = np.repeat(
        concentration_to_spgr(truth[None], SPGR.tr_s, SPGR.flip_angle_deg, 1.2, SPGR.r1, [3.0]), 4000, axis=0
    )
    noisy = magnitude(clean, 1.0, 13)
    taken, left = (np.median(concentrations(noisy, SPGR, 1.2, 10, sigma=s)[:, 10:].mean(axis=1)) for s in (1.0, 0.0))
    assert abs(taken / 0.5 - 1) < 0.02 < 0.06 < abs(left / 0.5 - 1)
    mean = mean_concentration(noisy, SPGR, 1.2, 10, 1.0)
    np.testing.assert_allclose(mean[10:].mean(), 0.5, rtol=0.01)
    np.testing.assert_array_equal(
        concentrations(clean * 100, SPGR, 1.2, 10, sigma=1.0), concentrations(clean * 100, SPGR, 1.2, 10)
    )


def test_noise_does_not_raise_concentrations_where_they_bend():
    """Short T1: concentration bends upwards over the signal, so that even noise raises its mean."""
    truth = np.r_[np.zeros(10), np.full(50, 0.3)]
    clean = np.repeat(concentration_to_spgr(truth[None], 0.005, 30.0, 0.2, 4.5, [3.0]), 20_000, axis=0)
    found = concentrations(magnitude(clean, 1.0, 14), Spgr(0.005, 30.0, 4.5), 0.2, 10, sigma=1.0)
    assert np.median(found[:, 10:].mean(axis=1)) == pytest.approx(0.3, abs=0.01)
