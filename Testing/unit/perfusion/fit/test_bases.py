import numpy as np
import pytest
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit.bases import _triangle, build_bases

TIMES = 5.0 * np.arange(60)
FINE = 0.5 * np.arange(600)


@pytest.mark.parametrize("nodes", [TIMES, FINE])
@pytest.mark.parametrize("rates", [(1e-3, 20.0), (1e-4, 600.0)])
def test_any_rate_is_held_by_the_series(nodes, rates):
    aif = kinetics.parker_aif(nodes, 25.0) / 0.58
    bases = build_bases(TIMES, aif, nodes, rates)
    log_rates = np.random.default_rng(0).uniform(*np.log(rates), 40)
    value, slope, late = bases.cell(0).at(log_rates, None)
    assert late is None
    truth = kinetics.convolve(TIMES, aif, np.exp(log_rates), 0.0, nodes)
    np.testing.assert_allclose(value.T @ bases.directions.T, truth, atol=1e-6 * truth.max())
    step = 1e-4
    ends = [kinetics.convolve(TIMES, aif, np.exp(log_rates + s * step), 0.0, nodes) for s in (-1, 1)]
    change = (ends[1] - ends[0]) / (2 * step)
    np.testing.assert_allclose(slope.T @ bases.directions.T, change, atol=2e-5 * np.abs(change).max())


@pytest.mark.parametrize("delay", [None, 0.3])
def test_beyond_the_fastest_rate_the_aif_over_the_rate_is_taken(delay):
    aif = kinetics.parker_aif(FINE, 25.0) / 0.58
    bases = build_bases(TIMES, aif, FINE, (1e-4, 6000.0), None if delay is None else (0.0, 1.0))
    rates = np.array([100.0, 9000.0, 60000.0])
    late = None if delay is None else np.full(3, delay)
    value, slope, _ = bases.cell(0).at(np.log(rates), late)
    truth = kinetics.convolve(TIMES, aif, rates, 0.0 if delay is None else late, FINE)
    height = truth.max(axis=1, keepdims=True)
    np.testing.assert_allclose(value.T @ bases.directions.T / height, truth / height, atol=2e-3)
    np.testing.assert_allclose(slope.T[1:] @ bases.directions.T / height[1:], -truth[1:] / height[1:], atol=5e-3)


@pytest.mark.parametrize("nodes", [TIMES, FINE])
def test_between_delays_the_tables_are_exact(nodes):
    aif = kinetics.parker_aif(nodes, 25.0) / 0.58
    bases = build_bases(TIMES, aif, nodes, (1e-3, 20.0), (-5.0, 12.0))
    assert bases.delays[0] <= -5
    assert bases.delays[-1] >= 12
    rng = np.random.default_rng(1)
    for index in (0, bases.n_cells // 2, bases.n_cells - 1):
        delay = rng.uniform(bases.delays[index], bases.delays[index + 1], 30)
        log_rates = rng.uniform(*np.log((1e-3, 20.0)), 30)
        cell = bases.cell(index)
        value, _, by_delay = cell.at(log_rates, delay)
        whole = lambda columns: columns.T @ bases.directions.T
        rate = np.exp(log_rates)
        truth = kinetics.convolve(TIMES, aif, rate, delay, nodes)
        np.testing.assert_allclose(whole(value), truth, atol=1e-6 * truth.max())
        plasma = kinetics.interpolate_aif(TIMES[None] - delay[:, None], aif, nodes)
        np.testing.assert_allclose(whole(cell.plasma(delay)[0]), plasma, atol=1e-6 * plasma.max())
        integral = kinetics.convolve(TIMES, aif, 0.0 * rate, delay, nodes)
        np.testing.assert_allclose(whole(cell.integral(delay)[0]), integral, atol=1e-6 * integral.max())
        later, earlier = (kinetics.convolve(TIMES, aif, rate, delay + s, nodes) for s in (1e-4, -1e-4))
        slope = (later - earlier) / 2e-4
        np.testing.assert_allclose(whole(by_delay), slope, atol=1e-4 * np.abs(slope).max())


def test_a_scan_of_many_frames_needs_few_directions():
    times = 0.5 * np.arange(1321)
    aif = kinetics.parker_aif(times, 60.0)
    assert build_bases(times, aif, times, (1e-3, 20.0)).directions.shape[1] < 30


@pytest.mark.parametrize("shape", [(7, 60), (60, 60), (800, 60), (800, 200)])
def test_the_triangle_has_the_products_of_the_curves(shape):
    curves = np.random.default_rng(5).normal(size=shape)
    triangle = _triangle(curves)
    assert triangle.shape == (min(shape), shape[1])
    np.testing.assert_allclose(triangle.T @ triangle, curves.T @ curves, atol=1e-9)
