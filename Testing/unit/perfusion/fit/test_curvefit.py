import csv

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.fit.curvefit import DEFAULT_BOUNDS
from scipy.optimize import least_squares

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def cohort(n, sigma, seed=0):
    rng = np.random.default_rng(seed)
    truth = {"ktrans": rng.uniform(0, 0.3, n), "ve": rng.uniform(0.05, 0.6, n), "vp": rng.uniform(0, 0.1, n)}
    clean = kinetics.extended_tofts(TIMES, AIF, **truth)
    return truth, clean + rng.normal(0, sigma, clean.shape)


def osipi(data, file, curve, aif):
    csv.field_size_limit(10**7)
    with data(f"osipi-reference/{file}").open(newline="", encoding="utf-8-sig") as stream:
        for row in csv.DictReader(stream):
            yield row, *(np.array(row[k].split(), float) for k in ("t", curve, aif))


# Mean and largest error of the exact least-squares optimum, times 1.02.
@pytest.mark.parametrize(
    ("file", "model", "columns", "bars"),
    [
        (
            "dce_DRO_data_tofts.csv",
            "tofts",
            {"ktrans": "Ktrans", "ve": "ve"},
            {"ktrans": (0.000791, 0.00224), "ve": (0.000722, 0.00425)},
        ),
        (
            "dce_DRO_data_extended_tofts.csv",
            "etm",
            {"ktrans": "Ktrans", "ve": "ve", "vp": "vp"},
            {"ktrans": (0.000307, 0.00183), "ve": (0.00062, 0.0020), "vp": (0.000271, 0.0013)},
        ),
        (
            "patlak_sd_0.02_delay_0.csv",
            "patlak",
            {"vp": "vp", "ps": "ps"},
            {"vp": (0.000612, 0.00177), "ps": (0.000152, 0.00038)},
        ),
    ],
)
def test_osipi_sets_at_the_exact_optimum(data, file, model, columns, bars):
    names = ("C_t", "cp_aif") if model == "patlak" else ("C", "ca")
    errors = {name: [] for name in columns}
    for row, times, curve, aif in osipi(data, file, *names):
        fit = fit_curves(curve[None], times, aif, model)
        for name, column in columns.items():
            errors[name].append(abs(getattr(fit, name)[0] - float(row[column])))
    for name, (mean, largest) in bars.items():
        assert np.mean(errors[name]) <= 1.02 * mean
        assert np.max(errors[name]) <= 1.02 * largest


def test_osipi_delay_within_their_tolerances(data):
    for row, times, curve, aif in osipi(data, "dce_DRO_data_extended_tofts.csv", "C", "ca"):
        late = np.r_[np.zeros(5), curve[:-5]]
        fit = fit_curves(late[None], times, aif, "etm", delay=True)
        assert fit.delay_s[0] == pytest.approx(times[5], abs=1.0)
        assert fit.ktrans[0] == pytest.approx(float(row["Ktrans"]), abs=0.005, rel=0.1)
        assert fit.ve[0] == pytest.approx(float(row["ve"]), abs=0.05)
        assert fit.vp[0] == pytest.approx(float(row["vp"]), abs=0.025)


def test_noise_free_curves_give_the_truth():
    truth, curves = cohort(200, 0.0)
    fit = fit_curves(curves, TIMES, AIF)
    some = truth["ktrans"] > 0.01
    for name, value in truth.items():
        np.testing.assert_allclose(getattr(fit, name)[some], value[some], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("model", ["tofts", "etm"])
def test_no_start_of_scipy_finds_a_lower_residual(model):
    _, curves = cohort(40, 0.02, seed=3)
    fit = fit_curves(curves, TIMES, AIF, model)
    found = ((curves - fit.predict()) ** 2).sum(axis=1)
    np.testing.assert_allclose(fit.sse, found, rtol=1e-4)
    function = kinetics.tofts if model == "tofts" else kinetics.extended_tofts
    names = ["ktrans", "kep"] + (["vp"] if model == "etm" else [])
    low, high = np.array([DEFAULT_BOUNDS[n] for n in names]).T
    starts = np.array([[0.05, 0.3, 0.01], [0.2, 1.0, 0.05], [0.01, 0.1, 0.1], [0.5, 5.0, 0.01], [0.1, 0.05, 0.0]])

    def residual(p, curve):
        return function(TIMES, AIF, p[0], p[0] / p[1], *p[2:])[0] - curve

    for curve, sse in zip(curves, found):
        best = min(
            2 * least_squares(residual, s[: len(names)].clip(low, high), bounds=(low, high), args=(curve,)).cost
            for s in starts
        )
        assert sse <= best * (1 + 1e-6)


def test_standard_deviations_cover_the_truth():
    truth, curves = cohort(4000, 0.02, seed=5)
    fit = fit_curves(curves, TIMES, AIF)
    some = truth["ktrans"] > 0.02
    for name in ("ktrans", "vp"):
        inside = np.abs(getattr(fit, name) - truth[name]) < 1.96 * fit.sd[name]
        assert 0.93 <= inside[some].mean() <= 0.97


def test_delay_takes_its_bias_away():
    rng = np.random.default_rng(2)
    truth, _ = cohort(2000, 0.0)
    late = rng.uniform(0, 8, 2000)
    curves = kinetics.extended_tofts(TIMES, AIF, **truth, delay_s=late) + rng.normal(0, 0.02, (2000, 60))
    some = truth["ktrans"] > 0.02
    rmse = lambda fit: np.sqrt(np.mean((fit.ktrans - truth["ktrans"])[some] ** 2))
    with_delay = fit_curves(curves, TIMES, AIF, delay=True)
    assert rmse(with_delay) <= 0.012
    assert rmse(fit_curves(curves, TIMES, AIF)) > 0.1
    assert np.median(np.abs(with_delay.delay_s - late)) < 0.4


def test_exchange_and_uptake_models():
    rng = np.random.default_rng(1)
    times = np.arange(0.0, 300.0)
    aif = kinetics.parker_aif(times, 10.0) / 0.58
    n = 100
    truth = {"fp": rng.uniform(20, 80, n), "ps": rng.uniform(0.02, 0.2, n), "ve": rng.uniform(0.1, 0.5, n)}
    truth["vp"] = rng.uniform(0.02, 0.1, n)
    fit = fit_curves(kinetics.two_cxm(times, aif, **truth), times, aif, "2cxm")
    for name, value in truth.items():
        np.testing.assert_allclose(getattr(fit, name), value, rtol=0.01)
    np.testing.assert_allclose(fit.ktrans, 1 / (100 / fit.fp + 1 / fit.ps), rtol=1e-5)
    truth.pop("ve")
    fit = fit_curves(kinetics.two_cum(times, aif, **truth), times, aif, "2cum")
    for name, value in truth.items():
        np.testing.assert_allclose(getattr(fit, name), value, rtol=0.01)
    assert fit.ve is None


@pytest.mark.parametrize("model", ["2cxm", "2cum"])
def test_plasma_that_empties_in_no_time_is_fitted_to_the_last_digit(model):
    # Wash-out at 25 to 2500 1/s, beyond any table of rates.
    vp = np.array([0.02, 0.002, 0.0002])
    parameters = (500.0, 0.05, 0.3, vp) if model == "2cxm" else (500.0, 0.05, vp)
    curves = (kinetics.two_cxm if model == "2cxm" else kinetics.two_cum)(TIMES, AIF, *parameters)
    curves = curves + np.random.default_rng(4).normal(0, 0.02, curves.shape)
    fit = fit_curves(curves, TIMES, AIF, model)
    found = ((curves - fit.predict()) ** 2).sum(axis=1)
    names = ("fp", "ps", "ve", "vp") if model == "2cxm" else ("fp", "ps", "vp")
    low, high = np.array([DEFAULT_BOUNDS[n] for n in names]).T
    forward = kinetics.two_cxm if model == "2cxm" else kinetics.two_cum
    residual = lambda p, curve: forward(TIMES, AIF, *p)[0] - curve
    for curve, sse, own in zip(curves, found, vp):
        near = {"fp": 400.0, "ps": 0.05, "ve": 0.3, "vp": own}
        start = [near[n] for n in names]
        best = least_squares(residual, start, bounds=(low, high), x_scale=start, xtol=1e-12, ftol=1e-12, args=(curve,))
        assert sse <= 2 * best.cost * (1 + 1e-6)


def test_auto_chooses_the_model_that_made_the_curve():
    rng = np.random.default_rng(4)
    noise = lambda: rng.normal(0, 0.005, (50, 60))
    curves = np.concatenate(
        [
            kinetics.tofts(TIMES, AIF, np.full(50, 0.15), 0.3) + noise(),
            kinetics.patlak(TIMES, AIF, np.full(50, 0.02), 0.05) + noise(),
            kinetics.extended_tofts(TIMES, AIF, np.full(50, 0.15), 0.3, 0.06) + noise(),
        ]
    )
    fit = fit_curves(curves, TIMES, AIF, "auto")
    assert np.mean(fit.chosen == np.repeat([1, 2, 3], 50)) > 0.7
    assert np.isnan(fit.ve[fit.chosen == 2]).all()
    assert (fit.vp[fit.chosen == 1] == 0).all()
    np.testing.assert_allclose(((curves - fit.predict()) ** 2).sum(1), fit.sse, rtol=1e-3)


def test_result_has_what_the_contract_says():
    _, curves = cohort(30, 0.02)
    fit = fit_curves(curves.astype(np.float32), TIMES, AIF)
    assert fit.ktrans.dtype == np.float32
    assert fit.ktrans.shape == (30,)
    assert fit.fp is None
    assert fit.delay_s is None
    assert set(fit.sd) == {"ktrans", "ve", "vp", "kep"}
    assert fit.ve_valid.dtype == bool
    assert fit.predict().shape == (30, 60)
    patlak = fit_curves(curves, TIMES, AIF, "patlak")
    np.testing.assert_array_equal(patlak.ps, patlak.ktrans)
    assert patlak.kep is None


def test_bounds_hold_and_nan_rows_stay_nan():
    _, curves = cohort(50, 0.05)
    curves[7, 3] = np.nan
    fit = fit_curves(curves, TIMES, AIF, bounds={"ktrans": (0.0, 0.1), "vp": (0.01, 0.02)})
    assert np.isnan(fit.ktrans[7])
    assert np.isnan(fit.sse[7])
    known = np.delete(np.arange(50), 7)
    assert fit.ktrans[known].max() <= 0.1 + 1e-7
    assert fit.vp[known].min() >= 0.01 - 1e-7
    assert fit.vp[known].max() <= 0.02 + 1e-7


def test_nothing_changes_with_the_block_a_voxel_is_in():
    _, curves = cohort(300, 0.02)
    whole = fit_curves(curves, TIMES, AIF)
    alone = fit_curves(curves[211:214], TIMES, AIF)
    np.testing.assert_allclose(whole.ktrans[211:214], alone.ktrans, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "etn"}, "kinetic model 'etn' is not known"),
        ({"times_s": TIMES[:-1]}, "60 time points and 59 times"),
        ({"times_s": TIMES[::-1]}, "times that do not rise"),
        ({"aif_plasma_mM": np.zeros(60)}, "nowhere above 0 mM"),
        ({"aif_plasma_mM": AIF[:-2]}, "an AIF of 58 samples"),
        ({"device": "cuda"}, "use --device cpu or auto"),
    ],
)
def test_unfit_input_is_refused(change, sentence):
    arguments = {"curves_mM": np.zeros((2, 60)), "times_s": TIMES, "aif_plasma_mM": AIF} | change
    with pytest.raises(InputError, match=sentence):
        fit_curves(**arguments)


@pytest.mark.parametrize("dt", [0.05, 0.1, 0.2, 0.7, 1.1])
@pytest.mark.parametrize("model", ["patlak", "etm", "2cxm"])
def test_arrivals_beyond_the_bounds_of_the_delay_are_fitted_whatever_the_aif_is_sampled_at(dt, model):
    aif_times = np.arange(0, TIMES[-1] + dt, dt)
    aif = kinetics.parker_aif(aif_times, 30.0) / 0.58
    delays = np.array([-8.0, -5.0, 0.0, 11.99, 12.0, 12.01, 20.0])
    curves = kinetics.extended_tofts(TIMES, aif, 0.05, 0.2, 0.02, delays, aif_times)
    fit = fit_curves(curves, TIMES, aif, model=model, delay=True, aif_times_s=aif_times)
    assert np.isfinite(fit.delay_s).all()
    low, high = DEFAULT_BOUNDS["delay"]
    np.testing.assert_allclose(fit.delay_s[3:6], high, atol=0.3)
    assert low <= fit.delay_s.min() <= fit.delay_s.max() <= high


@pytest.mark.parametrize("model", ["etm", "auto"])
@pytest.mark.parametrize("n", [0, 3])
def test_curves_none_of_which_is_finite_are_refused(model, n):
    with pytest.raises(InputError, match=f"none of {n} curves is finite in all frames"):
        fit_curves(np.full((n, TIMES.size), np.nan), TIMES, AIF, model=model)
