import numpy as np
import pytest
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.bases import build_bases
from gliosuite.perfusion.search import Starts, allowed_pairs
from scipy.optimize import nnls

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def test_the_best_allowed_pair_is_that_of_nonnegative_least_squares():
    rng = np.random.default_rng(0)
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    starts = Starts("etm", bases)
    nodes = starts.nodes[0]
    y = bases.directions.T @ rng.normal(0, 1, (60, 30))
    a, b = y.T @ nodes.upright, y.T @ nodes.companion
    _, weight, other, explained = allowed_pairs(nodes, a, b)
    tables = bases.exponentials(starts.log_rates, 0)
    for i in range(30):
        each = []
        for k in range(tables.shape[1]):
            columns = np.stack([tables[:, k], bases.plasma[0]], axis=1)
            each.append((y[:, i] ** 2).sum() - nnls(columns, y[:, i])[1] ** 2)
        np.testing.assert_allclose(explained[i], each, atol=1e-4)
        assert weight[i] >= 0
        assert other[i] >= 0


@pytest.mark.parametrize("late", [-3.0, 0.0, 6.4])
def test_starts_are_near_the_truth(late):
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0), (-5.0, 12.0))
    curve = kinetics.extended_tofts(TIMES, AIF, 0.12, 0.3, 0.04, late)
    start, delay = Starts("etm", bases).find(bases.directions.T @ curve.T)
    assert delay[0] == pytest.approx(late, abs=0.6)
    assert start[0, 0] == pytest.approx(0.12, rel=0.3)
    assert np.exp(start[1, 0]) == pytest.approx(0.4, rel=0.4)


def test_signed_weights_may_be_negative():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    curve = -kinetics.patlak(TIMES, AIF, 0.01, 0.02)
    y = bases.directions.T @ curve.T
    assert Starts("patlak", bases, signed=True).find(y)[0][:, 0] == pytest.approx([-0.01, -0.02], rel=1e-3)
    assert (Starts("patlak", bases).find(y)[0] == 0).all()
