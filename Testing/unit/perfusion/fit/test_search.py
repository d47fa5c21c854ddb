import numpy as np
import pytest
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit.bases import build_bases
from gliosuite.perfusion.fit.refine import BOTH
from gliosuite.perfusion.fit.search import best_non_negative
from gliosuite.perfusion.fit.starts import Starts
from scipy.optimize import nnls

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def test_the_best_allowed_pair_is_that_of_nonnegative_least_squares():
    rng = np.random.default_rng(0)
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    starts = Starts("etm", bases)
    grid = starts.grid
    y = bases.directions.T @ rng.normal(0, 1, (60, 30))
    a, b = y.T @ grid.orthogonal, y.T @ grid.second
    _, weight, second_weight, explained, _ = best_non_negative(grid, a, b)
    tables = bases.exponentials(starts.log_rates)[0]
    for i in range(30):
        each = []
        for k in range(tables.shape[1]):
            columns = np.stack([tables[:, k], bases.plasma[0]], axis=1)
            each.append((y[:, i] ** 2).sum() - nnls(columns, y[:, i])[1] ** 2)
        np.testing.assert_allclose(explained[i], each, atol=1e-4)
        assert weight[i] >= 0
        assert second_weight[i] >= 0


@pytest.mark.parametrize("model", ["tofts", "etm", "2cum"])
def test_starts_are_next_to_the_optimum(model):
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    curves = {
        "tofts": kinetics.tofts(TIMES, AIF, [0.12, 0.02], [0.3, 0.1]),
        "etm": kinetics.extended_tofts(TIMES, AIF, [0.12, 0.02], [0.3, 0.1], [0.04, 0.01]),
        "2cum": kinetics.two_cum(TIMES, AIF, [30.0, 12.0], [0.12, 0.02], [0.08, 0.03]),
    }[model]
    start = Starts(model, bases).find(bases.directions.T @ curves.T)[0]
    wanted = {
        "tofts": [[0.12, 0.02], np.log([0.4, 0.2])],
        "etm": [[0.12, 0.02], np.log([0.4, 0.2]), [0.04, 0.01]],
        "2cum": [[30.0, 12.0], [0.12, 0.02], [0.08, 0.03]],
    }[model]
    np.testing.assert_allclose(start, wanted, rtol=1e-4)


def test_a_pair_is_found_in_spite_of_a_better_one_with_a_weight_below_zero():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    curve = kinetics.tofts(TIMES, AIF, 0.12, 0.3) - 0.004 * AIF
    start = Starts("etm", bases).find(bases.directions.T @ curve.T)[0]
    assert start[2, 0] == 0
    assert start[0, 0] > 0


@pytest.mark.parametrize("late", [-3.0, 0.0, 6.4])
def test_the_best_node_along_the_delay(late):
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0), (-5.0, 12.0))
    curve = kinetics.extended_tofts(TIMES, AIF, 0.12, 0.3, 0.04, late)
    y = bases.directions.T @ curve.T
    starts = Starts("etm", bases)
    found, delay, rate = starts.best_nodes(y, (y * y).sum(axis=0))
    assert bases.delays[delay[0]] == pytest.approx(late, abs=1.0)
    assert np.exp(starts.log_rates[rate[0]]) == pytest.approx(0.4, rel=0.6)
    assert found.kind[0] == BOTH


def test_signed_weights_may_be_negative():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    curve = -kinetics.patlak(TIMES, AIF, 0.01, 0.02)
    y = bases.directions.T @ curve.T
    assert Starts("patlak", bases, signed=True).find(y)[0][:, 0] == pytest.approx([-0.01, -0.02], rel=1e-3)
    assert (Starts("patlak", bases).find(y)[0] == 0).all()
