import os
import subprocess
import sys

import numpy as np
import pytest
from gliosuite.compute.compiled import FEWEST, worthwhile
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.fit.bases import build_bases
from gliosuite.perfusion.fit.compiled import prepare
from gliosuite.perfusion.fit.compiled.algebra import decayed, two_weights
from gliosuite.perfusion.fit.compiled.tables import TERMS, build_tables

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def noisy(n, seed, sigma=0.02, latest=6.0):
    rng = np.random.default_rng(seed)
    clean = kinetics.extended_tofts(
        TIMES, AIF, rng.uniform(0, 0.3, n), rng.uniform(0.05, 0.6, n), rng.uniform(0, 0.1, n), rng.uniform(0, latest, n)
    )
    return clean + rng.normal(0, sigma, clean.shape)


def sums_of_squares(fit, curves):
    return ((curves - fit.predict()) ** 2).sum(axis=1)


@pytest.fixture(scope="module", autouse=True)
def compiler():
    return pytest.importorskip("numba")


@pytest.mark.parametrize(
    ("model", "delay", "latest"),
    [
        ("etm", True, 6.0),
        ("etm", False, 6.0),
        ("tofts", True, 6.0),
        ("tofts", False, 6.0),
        ("patlak", True, 6.0),
        ("2cxm", False, 0.0),
    ],
)
def test_arrays_and_kernels_agree(model, delay, latest):
    curves = noisy(2000, 31, latest=latest)
    compiled, arrays = (fit_curves(curves, TIMES, AIF, model, delay, device=d) for d in ("cpu", "numpy"))
    ratio = compiled.sse.astype(float) / arrays.sse - 1
    # Of a few curves in a thousand either way ends in another local minimum, mostly the kernel in a lower one.
    assert np.mean(np.abs(ratio) <= 1e-6) >= 0.995
    assert np.mean(ratio > 1e-6) <= 1e-3
    np.testing.assert_allclose(compiled.sse, sums_of_squares(compiled, curves), rtol=1e-4)
    same = np.abs(ratio) <= 1e-6
    np.testing.assert_array_equal(compiled.misfit[same], arrays.misfit[same])
    for name, sd in arrays.sd.items():
        told = same & (sd > 0) & np.isfinite(sd)
        away = np.abs(compiled.values[name] - arrays.values[name])[told] / sd[told]
        assert np.nanquantile(away, 0.98) <= 0.02, name
        # On a corner of the AIF the derivative by the delay is another one on either side.
        assert np.nanmedian(np.abs(compiled.sd[name][told] / sd[told] - 1)) <= 1e-3, name


def test_an_aif_on_a_fine_grid_and_bounds():
    fine = 0.1 * np.arange(3000)
    aif = kinetics.parker_aif(fine, 25.0) / 0.58
    curves = noisy(FEWEST, 32)
    bounds = {"ktrans": (0.0, 0.12), "vp": (0.01, 0.03), "kep": (0.05, 2.0), "delay": (-0.3, 3.7)}
    compiled, arrays = (
        fit_curves(curves, TIMES, aif, "etm", True, fine, bounds=bounds, device=d) for d in ("cpu", "numpy")
    )
    for name, (low, high) in bounds.items():
        assert low - 1e-9 <= compiled.values[name].min() <= compiled.values[name].max() <= high + 1e-9
    worse = compiled.sse.astype(float) / arrays.sse - 1
    assert np.mean(worse > 1e-6) <= 3e-3
    assert worse.max() <= 1e-3


@pytest.mark.parametrize("delay", [(2.0, 2.0), (0.0, 0.5), (1.3, 1.4)])
def test_narrow_bounds_of_the_delay(delay):
    curves = noisy(FEWEST, 37)
    fit = fit_curves(curves, TIMES, AIF, "etm", True, bounds={"delay": delay})
    assert delay[0] - 1e-9 <= fit.values["delay"].min() <= fit.values["delay"].max() <= delay[1] + 1e-9
    arrays = fit_curves(curves, TIMES, AIF, "etm", True, bounds={"delay": delay}, device="numpy")
    assert np.mean(fit.sse > arrays.sse * (1 + 1e-6)) <= 1e-3


@pytest.mark.parametrize("model", ["etm", "patlak", "2cxm"])
def test_curves_without_tissue(model):
    curves = np.concatenate([np.zeros((400, 60)), -noisy(400, 38), np.tile(1.5 * AIF, (400, 1))])
    fit = fit_curves(curves, TIMES, AIF, model, model != "2cxm")
    assert all(np.isfinite(values).all() for values in fit.values.values())


def test_unclamped_weights_agree():
    rng = np.random.default_rng(33)
    curves = kinetics.patlak(TIMES, AIF, np.zeros(3000), 0.0) + rng.normal(0, 0.03, (3000, 60))
    a, b = (fit_curves(curves, TIMES, AIF, "etm", device=d, unclamped=True).unclamped for d in ("cpu", "numpy"))
    assert a["ktrans"].min() < 0
    assert abs(np.median(a["vp"]) - np.median(b["vp"])) < 1e-4


def test_the_result_does_not_hang_on_the_number_of_threads(monkeypatch):
    curves = noisy(5000, 34)
    curves[17, 3] = np.nan
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(fit_curves(curves, TIMES, AIF, "etm", True))
    a, b = found
    assert np.isnan(a.sse[17])
    assert np.isnan(a.values["ktrans"][17])
    assert np.isfinite(np.delete(a.sse, 17)).all()
    for name in a.values:
        assert a.values[name].tobytes() == b.values[name].tobytes()
        assert a.sd[name].tobytes() == b.sd[name].tobytes()


def test_where_numba_is_missing_arrays_do_the_same(monkeypatch):
    curves = noisy(FEWEST, 35)
    expected = fit_curves(curves, TIMES, AIF, "etm", True, device="numpy")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not worthwhile(FEWEST)
    found = fit_curves(curves, TIMES, AIF, "etm", True)
    for name in found.values:
        np.testing.assert_array_equal(found.values[name], expected.values[name])


def test_kernels_do_a_few_curves_where_fits_are_repeated():
    curves = noisy(200, 39)
    assert worthwhile(200, repeated=True)
    kernels, arrays = (fit_curves(curves, TIMES, AIF, "etm", True, device=d) for d in ("kernels", "cpu"))
    assert np.mean(np.abs(kernels.sse / arrays.sse - 1) <= 1e-5) >= 0.99
    many = fit_curves(np.tile(curves, (5, 1)), TIMES, AIF, "etm", True)
    np.testing.assert_allclose(kernels.sse, many.sse[:200], rtol=1e-6)


def test_a_few_curves_do_not_wait_for_the_compiler():
    words = (
        "import sys, numpy as np\n"
        "from gliosuite.perfusion import kinetics\n"
        "from gliosuite.perfusion.fit import fit_curves\n"
        "times = 5.0 * np.arange(60)\n"
        "aif = kinetics.parker_aif(times, 25.0)\n"
        "fit_curves(kinetics.tofts(times, aif, [0.1, 0.2], 0.3), times, aif, 'etm', True)\n"
        "assert 'numba' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", words],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_the_tables_repeat_the_convolution():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0), (-5.0, 12.0))
    tables = build_tables(bases)
    rates = np.exp(np.linspace(np.log(1e-3), np.log(20.0), 37))
    exact = kinetics.convolve(TIMES, AIF, rates, 3.0, TIMES) @ bases.directions
    cell = int(np.flatnonzero(np.isclose(tables.products[:, 3], 3.0))[0])
    v = np.log(rates + bases.damping)
    at = (v - tables.grid[0]) / (2 * tables.grid[1])
    piece = np.clip(at.astype(int), 0, tables.powers.shape[1] - 1)
    powers = (2 * (at - piece) - 1)[:, None] ** np.arange(TERMS)
    found = np.einsum("km,krm->kr", powers, tables.powers[cell, piece][:, :, :TERMS]) * np.exp(-v)[:, None]
    np.testing.assert_allclose(found[:, : exact.shape[1]], exact, atol=1e-8 * np.abs(exact).max())


def test_models_without_a_kernel():
    bases = build_bases(TIMES, AIF, TIMES, (1e-3, 20.0))
    assert prepare("2cum", ("fp", "ps", "vp"), bases, {}, False) is None


@pytest.mark.parametrize("q", [0.0, 1e-9, 1e-3, 0.499, 0.501, 3.0, 200.0])
def test_decayed_and_its_derivatives(q):
    s = (np.arange(20000) + 0.5) / 20000
    # (q - 1 + exp(-q)) / q^2 is the integral of (1 - s) exp(-q s) over 0-1.
    for n, value in enumerate(decayed(q)):
        assert value == pytest.approx(np.mean((1 - s) * (-s) ** n * np.exp(-q * s)), rel=1e-4)


def test_two_weights_are_the_best_within_their_bounds():
    rng = np.random.default_rng(36)
    grid = np.linspace(0, 1, 41)
    for _ in range(200):
        b, s, y = rng.normal(size=(3, 5))
        low, high = np.array([-0.4, -0.2]), np.array([0.3, 0.5])
        w, p, *_ = two_weights(y @ b, y @ s, b @ b, b @ s, s @ s, low[0], high[0], low[1], high[1])
        assert low[0] <= w <= high[0]
        assert low[1] <= p <= high[1]
        ws, ps = (low[i] + grid * (high[i] - low[i]) for i in (0, 1))
        others = y[:, None, None] - b[:, None, None] * ws[:, None] - s[:, None, None] * ps
        assert ((y - w * b - p * s) ** 2).sum() <= (others**2).sum(0).min() + 1e-12
