import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit.bases import build_bases
from gliosuite.perfusion.fit.models import FLOW_RATES, KINETIC, exponentials
from gliosuite.perfusion.fit.starts import Starts

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def best_of_all_pairs(bases, y, count=100):
    """The sum of squares that the best pair of a fine grid explains, weights held at or above 0."""
    vectors = bases.exponentials(np.linspace(np.log(5e-3), np.log(300), count))[0]
    unit = vectors / np.linalg.norm(vectors, axis=0)
    along, overlap = unit.T @ y, unit.T @ unit
    best = np.maximum(along, 0).max(axis=0) ** 2
    for i in range(1, count):
        g = overlap[i, :i, None]
        first, second = along[i] - g * along[:i], along[:i] - g * along[i]
        value = np.where((first >= 0) & (second >= 0), (first * along[i] + second * along[:i]) / (1 - g * g), 0)
        best = np.maximum(best, value.max(axis=0))
    return best


def test_the_best_pair_is_found_also_where_neighbours_mimic_one_exponential():
    rng = np.random.default_rng(0)
    n = 200
    curves = kinetics.extended_tofts(
        TIMES, AIF, rng.uniform(0, 0.3, n), rng.uniform(0.05, 0.6, n), rng.uniform(0, 0.1, n)
    )
    curves += rng.normal(0, 0.02, curves.shape)
    bases = build_bases(TIMES, AIF, TIMES, FLOW_RATES)
    y = bases.directions.T @ curves.T
    p = Starts("2cxm", bases, device_bases=bases.to(CPU, "float32")).find(y.astype(np.float32))[0].astype(float)
    first, second, fast, slow = exponentials(np, *p)
    cell = bases.cell(0)
    curve = first * cell.at(np.log(fast), None)[0] + second * cell.at(np.log(slow), None)[0]
    left = ((y - curve) ** 2).sum(axis=0)
    least = (y**2).sum(axis=0) - best_of_all_pairs(bases, y)
    outside = (curves**2).sum(axis=1) - (y**2).sum(axis=0)
    assert np.mean((left + outside) / (least + outside) < 1 + 1e-3) >= 0.97


@pytest.mark.parametrize("index", range(4))
def test_derivatives_are_mixtures_of_the_columns(index):
    bases = build_bases(TIMES, AIF, TIMES, FLOW_RATES)
    model, cell = KINETIC["2cxm"], bases.cell(0)
    p = np.array([[40.0, 0.05, 0.2, 0.04], [200.0, 0.3, 0.5, 0.01]]).T
    up, down = p.copy(), p.copy()
    up[index] *= 1 + 1e-5
    down[index] *= 1 - 1e-5
    expected = (model.curve(cell, up, None).value - model.curve(cell, down, None).value) / (2e-5 * p[index])
    found = model.curve(cell, p, None)
    mixed = sum(weight * column for weight, column in zip(found.mix[index], found.columns))
    np.testing.assert_allclose(mixed, expected, atol=1e-6 * np.abs(expected).max())
