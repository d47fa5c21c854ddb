"""The top of an artery's bolus, and its level after it."""

import numpy as np
import pytest
from gliosuite.perfusion.aif import PureCurve
from gliosuite.perfusion.dsc.artery.concentration import blood_dr2star
from gliosuite.perfusion.dsc.artery.restored import levelled, topped, usual_tissue
from gliosuite.perfusion.kinetics import convolve, parker_aif

DT, TE_S = 1.5, 0.03
TIMES = DT * np.arange(60)
BLOOD = 1.5 * parker_aif(TIMES, 18.0)  # so high that 3 % of the signal are left
TISSUE = convolve(TIMES, BLOOD, 60 / 4.5, 1.0, TIMES)[0]
TISSUE *= 5.0 / TISSUE.max()


def pure(share_error=0.0, noise=0.006, seed=0):
    tissue = np.exp(-TE_S * TISSUE)
    lost = (1 + share_error) * (tissue - np.exp(-TE_S * blood_dr2star(BLOOD)))
    lost = lost + np.random.default_rng(seed).normal(0, noise, lost.shape)
    return PureCurve(tissue - lost, lost, noise, np.ones(5))


@pytest.mark.parametrize("error", [-0.025, 0.0, 0.025])
def test_top_of_a_bolus_that_takes_all_of_the_signal(error):
    true = blood_dr2star(BLOOD).max()
    by_signal = (-np.log(np.maximum(pure(error).signal, 0.006)) / TE_S).max() / true - 1
    found = topped(pure(error), TIMES, TE_S).max() / true - 1
    assert abs(found) < 0.14
    assert abs(found) < max(abs(by_signal) + 0.02, 0.06)


def test_frames_that_are_known_stay():
    found = topped(pure(), TIMES, TE_S)
    late = TIMES > 40
    np.testing.assert_allclose(found[late], -np.log(pure().signal[late]) / TE_S)


def test_short_bolus_is_left_as_it_is():
    signal = np.ones(60)
    signal[20:22] = 0.2
    short = PureCurve(signal, 0.95 - signal, 0.01, np.ones(3))
    np.testing.assert_allclose(topped(short, TIMES, TE_S), -np.log(signal) / TE_S)


def test_level_after_the_bolus_is_that_of_tissue():
    wrong = BLOOD * np.interp(TIMES, [25.0, 45.0, 90.0], [1.0, 1.4, 1.5])
    found = levelled(wrong, 1e-3 + 0.5 * TISSUE, DT)
    late = TIMES > 45
    before, after = (np.abs(c[late] / BLOOD[late] - 1).mean() for c in (wrong, found))
    assert before > 0.35
    assert after < 0.4 * before
    peak = BLOOD.argmax()
    np.testing.assert_array_equal(found[: peak + 1], wrong[: peak + 1])


def test_right_level_stays_and_a_series_that_ends_at_the_peak_too():
    found = levelled(BLOOD, TISSUE, DT)
    assert np.abs(found[TIMES > 45] / BLOOD[TIMES > 45] - 1).max() < 0.1
    end = int(BLOOD.argmax()) + 1
    np.testing.assert_array_equal(levelled(BLOOD[:end], TISSUE[:end], DT), BLOOD[:end])


def test_usual_tissue_is_neither_leaky_nor_a_vessel():
    rng = np.random.default_rng(1)
    passing = (TIMES > 16) & (TIMES < 52)
    leaky = TISSUE - 0.05 * np.clip(TIMES - 20, 0, None)
    curves = np.concatenate([np.tile(TISSUE, (400, 1)), np.tile(leaky, (60, 1)), np.tile(8 * BLOOD, (20, 1))])
    curves = curves + rng.normal(0, 0.3, curves.shape)
    found = usual_tissue(curves, 10, passing)
    assert np.abs(found - TISSUE).max() < 0.3
    assert usual_tissue(curves[:100], 10, passing) is None
