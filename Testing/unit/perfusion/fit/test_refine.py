import numpy as np
import pytest
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit.bases import build_bases
from gliosuite.perfusion.fit.refine import BOTH, FIRST, SECOND, expand_over_delays, expand_over_rates, maximise

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58
RATES = np.linspace(np.log(1e-3), np.log(20.0), 24)


def test_the_maximum_of_an_expansion_is_the_curve_it_was_made_of():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    expansions = expand_over_delays(bases, RATES, "exponential", "plasma", bases, np.arange(bases.n_cells))
    kep = np.exp(RATES[[8, 12, 20]] + [0.05, -0.2, 0.1])
    curves = kinetics.extended_tofts(TIMES, AIF, 0.1, 0.1 / kep, [0.02, 0.0, 0.05])
    y = bases.directions.T @ curves.T
    kind = np.array([BOTH, FIRST, BOTH])
    weight, second_weight, log_rate, _, explained = maximise(
        expansions, y, expansions.index(0, np.array([8, 12, 20])), kind, np.zeros(3)
    )
    np.testing.assert_allclose(log_rate, np.log(kep), atol=1e-5)
    np.testing.assert_allclose(weight, 0.1, rtol=1e-5)
    np.testing.assert_allclose(second_weight, [0.02, 0.0, 0.05], atol=1e-6)
    np.testing.assert_allclose(explained, (y * y).sum(axis=0), rtol=1e-8)


@pytest.mark.parametrize("late", [-2.7, 0.4, 6.2])
def test_the_delay_is_found_too(late):
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0), (-5.0, 12.0))
    expansions = expand_over_delays(bases, RATES[::2], "exponential", "plasma", bases, np.arange(bases.n_cells))
    curve = kinetics.extended_tofts(TIMES, AIF, 0.12, 0.3, 0.04, late)
    cell = int(np.searchsorted(bases.delays, late)) - 1
    node = int(np.argmin(np.abs(RATES[::2] - np.log(0.4))))
    y = bases.directions.T @ curve.T
    found = maximise(expansions, y, np.array([expansions.index(cell, node)]), np.array([BOTH]), np.zeros(1))
    assert found[3][0] == pytest.approx(late, abs=0.02)
    assert np.exp(found[2][0]) == pytest.approx(0.4, rel=0.01)


def test_a_second_weight_below_zero_is_left_out_and_one_alone_stays():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    expansions = expand_over_delays(bases, RATES, "exponential", "plasma", bases, np.arange(bases.n_cells))
    curves = np.stack([kinetics.tofts(TIMES, AIF, 0.1, 0.25)[0] - 0.01 * AIF, 0.03 * AIF])
    y = bases.directions.T @ curves.T
    node = np.full(2, int(np.argmin(np.abs(RATES - np.log(0.4)))))
    weight, second_weight, *_ = maximise(expansions, y, node, np.array([BOTH, SECOND]), np.zeros(2))
    assert weight[0] > 0
    assert second_weight[0] == 0
    assert weight[1] == 0
    assert second_weight[1] == pytest.approx(0.03, rel=1e-6)


def test_two_exponentials():
    bases = build_bases(TIMES, AIF, TIMES, (1e-4, 600.0))
    rates = np.linspace(np.log(5e-3), np.log(300.0), 28)
    expansions = expand_over_rates(bases, rates, bases)
    slow, fast = np.exp(rates[10] + 0.1), np.exp(rates[18] - 0.12)
    curve = 0.1 * kinetics.convolve(TIMES, AIF, slow) + 0.3 * kinetics.convolve(TIMES, AIF, fast)
    y = bases.directions.T @ curve.T
    weight, second_weight, log_rate, log_fast, _ = maximise(
        expansions, y, np.array([expansions.index(18, 10)]), np.array([BOTH]), np.zeros(1)
    )
    assert np.exp(log_rate[0]) == pytest.approx(slow, rel=0.01)
    assert np.exp(log_fast[0]) == pytest.approx(fast, rel=0.01)
    assert [weight[0], second_weight[0]] == pytest.approx([0.1, 0.3], rel=0.02)
