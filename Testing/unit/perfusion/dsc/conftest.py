"""Simulated curves with known truth, for the vascular model."""

import numpy as np
import pytest
from gliosuite.perfusion.kinetics import convolve_sampled
from scipy.special import gammaincc

DT, FINE_S = 1.5, 0.05
TIMES = DT * np.arange(60)
FINE = FINE_S * np.arange(round(TIMES[-1] / FINE_S) + 1)


def _artery(times_s):
    u = np.maximum(times_s - 20, 0)
    return 6 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5) + 0.8 / (1 + np.exp(-(times_s - 38) / 3)) * (times_s > 20)


def _simulated(shape, n, noise, dispersion_s=0.0, seed=0):
    """Curves of a series with residues of one shape, and their volume, flow and transit time; noise as a share of the mean peak."""
    rng = np.random.default_rng(seed)
    mtt, delay, cbv = rng.lognormal(np.log(5), 0.2, n), rng.normal(1.0, 0.5, n), rng.uniform(0.02, 0.05, n)
    feeding = _artery(FINE)
    if dispersion_s:
        feeding = convolve_sampled(feeding, np.exp(-FINE / dispersion_s) / dispersion_s, FINE_S)
    share = gammaincc(shape, shape * FINE / mtt[:, None]) if np.isfinite(shape) else 1.0 * (mtt[:, None] > FINE)
    through = convolve_sampled(feeding, share / mtt[:, None], FINE_S)
    curves = np.array([c * np.interp(TIMES - d, FINE, row, left=0.0) for row, d, c in zip(through, delay, cbv)])
    return curves + rng.normal(0, noise * curves.max(axis=1).mean(), curves.shape), cbv, cbv / mtt, mtt


@pytest.fixture
def artery():
    """The AIF at the frames of `simulated`."""
    return _artery(TIMES)


@pytest.fixture
def simulated():
    """A function that simulates a series."""
    return _simulated
