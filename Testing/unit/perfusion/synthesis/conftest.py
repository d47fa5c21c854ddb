"""What tests of the synthesis share: a scan, a fit of a few voxels or of a ball, and a network that adds nothing."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.perfusion.synthesis.features import NAMES, Scan
from gliosuite.perfusion.synthesis.fitted import Fitted
from gliosuite.perfusion.synthesis.network import N_OUT


def _scan(**changed):
    times = 4.0 * np.arange(60)
    aif = np.where(times > 30, 6 * np.exp(-(((times - 40) / 8) ** 2)) + 1.0, 0.0)
    return replace(Scan(times, 7, times, aif, 5.0, True, False), **changed)


def _fit_of(ktrans, sd, n=3):
    full = lambda v: np.full(n, v)
    values = {"ktrans": full(ktrans), "ve": full(0.3), "vp": full(0.03), "kep": full(ktrans / 0.3), "delay": full(1.0)}
    spread = {
        "ktrans": full(sd),
        "ve": full(0.3 * sd / ktrans),
        "vp": full(0.03 * sd / ktrans),
        "kep": full(sd),
        "delay": full(10 * sd),
    }
    return values, spread, full(1e-4), full(False)


def _silent_network():
    """One that adds nothing: its last layer is 0."""
    rng = np.random.default_rng(0)
    return {
        "0.0.weight": rng.normal(size=(len(NAMES), 8)).astype(np.float32),
        "0.0.bias": np.zeros(8, np.float32),
        "0.1.weight": np.zeros((8, N_OUT), np.float32),
        "0.1.bias": np.zeros(N_OUT, np.float32),
    }


def _ball(shape=(7, 16, 14)):
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return (at**2).sum(axis=0) < 0.9


def _fitted_ball(**changed):
    """A fit of a ball, as `Fitted` holds it."""
    mask = _ball()
    grid = Grid(mask.shape[::-1], (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    values, sd, rmse, misfit = _fit_of(0.1, 0.01, int(mask.sum()))

    def image(v):
        whole = np.zeros(mask.shape, np.float32)
        whole[mask] = v
        return grid.image(whole)

    maps = lambda of: {name: image(v) for name, v in of.items()}
    made = Fitted(maps(values), maps(sd), image(rmse), image(misfit), grid.image(mask.astype(np.uint8)), _scan())
    return replace(made, **changed)


@pytest.fixture(scope="session")
def scan():
    return _scan


@pytest.fixture(scope="session")
def fit_of():
    return _fit_of


@pytest.fixture(scope="session")
def silent_network():
    return _silent_network


@pytest.fixture(scope="session")
def fitted_ball():
    return _fitted_ball
