"""Blood's ΔR2* from voxels that share it with tissue."""

import numpy as np
from gliosuite.perfusion.aif import pure_curve, tissue_signal

TE_S = 0.03
TIMES = 1.5 * np.arange(60)
FIRST_PASS = (TIMES > 15) & (TIMES < 50)
BLOOD = 60.0 * np.exp(-0.5 * ((TIMES - 30) / 3.5) ** 2) + 8.0 / (1 + np.exp(-(TIMES - 35)))
TISSUE = np.exp(-TE_S * 6.0 * np.exp(-0.5 * ((TIMES - 33) / 5) ** 2))


def voxels(shares, noise=0.0, seed=1):
    relative = np.outer(shares, np.exp(-TE_S * BLOOD)) + np.outer(1 - np.asarray(shares), TISSUE)
    return 400 * relative + np.random.default_rng(seed).normal(0, noise, relative.shape)


def dr2star(pure):
    return -np.log(pure.signal) / TE_S


def test_peak_of_blood_where_some_voxels_are_pure():
    signal = voxels([1, 1, 1, 0.95, 0.9, 0.85, 0.8, 0.8], 4.0)
    pure = pure_curve(signal, TISSUE, 12, FIRST_PASS)
    mean = (-np.log(signal / 400) / TE_S).mean(axis=0)
    assert abs(dr2star(pure).max() / BLOOD.max() - 1) < 0.08
    assert mean.max() / BLOOD.max() < 0.85


def test_shares_are_relative_to_the_pure():
    shares = np.array([1, 1, 1, 0.9, 0.8])
    np.testing.assert_allclose(pure_curve(voxels(shares), TISSUE, 12, FIRST_PASS).shares, 1.013 * shares, atol=0.005)


def test_voxel_that_moved_in_the_bolus_is_left_out():
    signal = voxels([1, 1, 1, 0.95, 0.9, 0.9])
    signal[5, 19:] *= 1.6
    pure = pure_curve(signal, TISSUE, 12, FIRST_PASS)
    assert pure.shares.size == 5
    assert abs(dr2star(pure).max() / BLOOD.max() - 1) < 0.05


def test_level_before_a_sudden_move_does_not_count():
    signal = voxels([1, 1, 1, 0.95, 0.9, 0.85, 0.8, 0.8], 4.0)
    signal[:, :6] *= np.array([1.2, 1.15, 1.1, 0.9, 1.2, 0.85, 1.1, 1.2])[:, None]
    pure = pure_curve(signal, TISSUE, 12, FIRST_PASS)
    assert abs(dr2star(pure).max() / BLOOD.max() - 1) < 0.1


def test_too_few_voxels():
    assert pure_curve(voxels([1, 0.9]), TISSUE, 12, FIRST_PASS) is None


def test_signal_that_rises():
    assert pure_curve(voxels([1, 1, -0.5, 0.9]), TISSUE, 12, FIRST_PASS) is None


def test_tissue_signal_leaves_dark_voxels_out():
    signal = np.concatenate([500 * np.tile(TISSUE, (20, 1)), np.tile(20 * np.linspace(1, 5, 60), (8, 1))])
    np.testing.assert_allclose(tissue_signal(signal, 12), TISSUE / TISSUE[:12].mean(), rtol=1e-6)
