import numpy as np
import pytest
from gliosuite.perfusion.dce.dispersion import disperse, find_dispersion, usual_delay
from gliosuite.perfusion.fit import DEFAULT_BOUNDS, fit_curves
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif, tofts

TIMES = np.arange(0.0, 300.0, 5.0)
FINE = np.arange(0.0, 300.0, 0.5)
AIF = parker_aif(FINE, 25.0) / 0.58


def curves(mean_s: float, n: int = 200, noise: float = 0.01, early_s: float = 0.0) -> np.ndarray:
    """Normal brain, late by 0 to 2 s less `early_s`, behind a dispersion."""
    rng = np.random.default_rng(4)
    at, fed = disperse(FINE, AIF, mean_s)
    plasma, late = rng.uniform(0.01, 0.04, n), rng.uniform(0, 2, n)
    clean = extended_tofts(TIMES, fed, 0.002, 0.1, plasma, late, at - early_s)
    return clean + rng.normal(0, noise, clean.shape)


def test_dispersion_keeps_the_area_and_delays_by_its_mean():
    short = np.where(FINE < 100, AIF, 0.0)
    at, fed = disperse(FINE, short, 4.0)
    assert np.trapezoid(fed, at) == pytest.approx(np.trapezoid(short, FINE), rel=1e-3)
    moment = lambda t, c: np.trapezoid(t * c, t) / np.trapezoid(c, t)
    assert moment(at, fed) - moment(FINE, short) == pytest.approx(4.0, abs=0.02)
    assert disperse(FINE, AIF, 0.0)[1] is AIF


def test_an_aif_of_coarse_frames_gets_nodes_a_second_apart():
    at, fed = disperse(TIMES, AIF[::10], 3.0)
    assert np.diff(at).max() <= 1.0
    assert at[0] == TIMES[0]
    assert at[-1] == TIMES[-1]
    # Far from the bolus both are the same slow curve, later by the mean.
    assert fed[-1] == pytest.approx(np.interp(TIMES[-1] - 3.0, TIMES, AIF[::10]), rel=1e-3)


@pytest.mark.parametrize("mean_s", [0.0, 1.5, 4.0])
def test_the_dispersion_is_found(mean_s):
    found = find_dispersion(curves(mean_s), TIMES, AIF, FINE, DEFAULT_BOUNDS)
    assert found == pytest.approx(mean_s, abs=0.3)


def test_rows_that_are_not_finite_do_not_count():
    data = curves(4.0)
    data[::3] = np.nan
    assert find_dispersion(data, TIMES, AIF, FINE, DEFAULT_BOUNDS) == pytest.approx(4.0, abs=0.4)


def test_tissue_without_plasma_is_no_evidence_of_dispersion():
    """There vp and the delay are one, and a dispersed AIF parts them: the gain of a parameter passed for 1 to 3 s of dispersion."""
    rng = np.random.default_rng(11)
    clean = tofts(TIMES, AIF, rng.uniform(0.05, 0.3, 400), rng.uniform(0.1, 0.5, 400), 0.0, FINE)
    found = find_dispersion(clean + rng.normal(0, 0.003, clean.shape), TIMES, AIF, FINE, DEFAULT_BOUNDS)
    assert found == 0


def test_blood_does_not_reach_most_tissue_before_the_artery():
    """An AIF that is narrower than what feeds the tissue asks for dispersion, which must not be paid for with negative delays."""
    narrow = curves(5.0, early_s=2.0)
    found = find_dispersion(narrow, TIMES, AIF, FINE, DEFAULT_BOUNDS)
    assert 1.0 < found < 4.5
    at, fed = disperse(FINE, AIF, found)
    fit = fit_curves(narrow, TIMES, fed, "etm", True, at, DEFAULT_BOUNDS, "kernels")
    assert usual_delay(fit) == pytest.approx(0.0, abs=0.2)


def test_a_late_aif_is_not_dispersed_further():
    late = curves(4.0, early_s=8.0)
    assert find_dispersion(late, TIMES, AIF, FINE, DEFAULT_BOUNDS) == 0
