import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc.leakage.vascular import DELAY_S, KEP, MTT_S, Basis, closest, gain, vessels
from scipy.special import gammaincc

DT = 1.5
TIMES = DT * np.arange(60)


def bolus():
    u = np.maximum(TIMES - 15, 0)
    return 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5) + 4 / (1 + np.exp(-(TIMES - 30) / 3))


def flat(table):
    vessel = np.broadcast_to(table.vessel, table.leak.shape).reshape(-1, 60)
    return vessel, table.leak.reshape(-1, 60)


def test_vessels_keep_the_area_and_come_later():
    u = np.maximum(TIMES - 15, 0)
    passing = (u / 4.5) ** 3 * np.exp(3 - u / 1.5)  # no recirculation: everything has passed at the end
    table = vessels(passing, DT, False).vessel[:, :, 0]
    short = MTT_S < 8
    np.testing.assert_allclose(table[short].sum(-1), passing.sum(), rtol=0.003)
    moment = (table * TIMES).sum(-1) / table.sum(-1)
    np.testing.assert_allclose(np.diff(moment[short], axis=1), np.diff(DELAY_S)[0], atol=0.02)
    # Mean age of blood in the tissue when transit times are gamma distributed.
    age = MTT_S * (1 + 1 / 1.5) / 2
    own = (passing * TIMES).sum() / passing.sum()
    np.testing.assert_allclose(moment[short, 6] - own, age[short], rtol=0.02, atol=0.02)


def test_a_vessel_is_the_convolution():
    fine = 0.01 * np.arange(8851)
    table = vessels(bolus(), DT, True)
    i, j = 12, 10
    share = gammaincc(1.5, 1.5 * fine / MTT_S[i]) / MTT_S[i]
    share[0] /= 2
    from scipy.interpolate import CubicSpline

    v = 0.01 * np.convolve(CubicSpline(TIMES, bolus())(fine), share)[: fine.size]
    late = np.interp(TIMES - DELAY_S[j], fine, v, left=0)
    np.testing.assert_allclose(table.vessel[i, j, 0], late, atol=0.005 * late.max())
    kernel = np.exp(-KEP[2] / 60 * fine)
    kernel[0] /= 2
    out = np.interp(TIMES - DELAY_S[j], fine, 0.01 * np.convolve(v, kernel)[: fine.size], left=0)
    np.testing.assert_allclose(table.leak[i, j, 2], out, atol=0.005 * out.max())


def test_search_finds_what_a_search_over_all_nodes_finds():
    rng = np.random.default_rng(0)
    table = vessels(bolus(), DT, True)
    v, leak = flat(table)
    node = rng.integers(0, len(v), 1500)
    curves = rng.uniform(0.5, 4, (1500, 1)) * v[node] + rng.uniform(-0.05, 0.05, (1500, 1)) * leak[node]
    curves += rng.normal(0, 1, curves.shape) * curves.max(1, keepdims=True) / 40
    basis = Basis.of(v, leak)
    explained = gain(curves @ basis.first.T, curves @ basis.second.T, basis.overlap, np)
    best = explained.max(axis=1)
    found = explained[np.arange(1500), closest(curves, table, CPU)]
    rest = (curves**2).sum(1) - best
    assert np.mean((best - found) / rest < 1e-6) >= 0.995
    assert ((best - found) / rest).max() < 0.1


def test_a_vessel_never_weighs_less_than_nothing_where_another_does_not():
    table = vessels(bolus(), DT, True)
    v, leak = flat(table)
    some = np.arange(40, 4000, 400)
    curves = 0.05 * leak[some] - 0.1 * v[some]
    basis = Basis.of(v, leak)
    weight = curves @ basis.first.T - basis.overlap * (curves @ basis.second.T)
    possible = (weight > 0).any(axis=1)
    assert possible.any()
    found = weight[np.arange(len(some)), closest(curves, table, CPU)]
    assert (found[possible] > 0).all()


def test_without_leakage_the_transit_time_is_found():
    table = vessels(bolus(), DT, False)
    mtt, delay, _ = table.nodes()
    v = table.vessel.reshape(-1, 60)
    np.testing.assert_array_equal(closest(3 * v[::50], table, CPU), np.arange(len(v))[::50])
    assert mtt.shape == delay.shape == (len(v),)


def test_nothing_in_nothing_out():
    assert closest(np.empty((0, 60)), vessels(bolus(), DT, False), CPU).size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_curves_do_not_touch_others(bad):
    table = vessels(bolus(), DT, False)
    v = table.vessel.reshape(-1, 60)[[10, 400]].copy()
    v[0, 3] = bad
    assert closest(v, table, CPU)[1] == 400
