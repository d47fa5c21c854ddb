import csv

import numpy as np
import pytest
from gliosuite.perfusion import kinetics

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.5, 20.0, 300.0])
def test_convolution_is_exact_for_a_piecewise_linear_aif(rate):
    found = kinetics.convolve(TIMES, AIF, rate)[0]
    for frame in (3, 9, 40, 59):
        s = np.linspace(0.0, TIMES[frame], 400_001)
        expected = np.trapezoid(np.interp(s, TIMES, AIF) * np.exp(-rate / 60 * (TIMES[frame] - s)), s) / 60
        assert found[frame] == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_rate_near_zero_meets_the_integral():
    np.testing.assert_allclose(kinetics.convolve(TIMES, AIF, 1e-9), kinetics.convolve(TIMES, AIF, 0.0), rtol=1e-8)


def test_finer_sampling_of_the_same_lines_changes_nothing():
    fine = np.linspace(0, TIMES[-1], 10 * 59 + 1)
    a = kinetics.convolve(TIMES, AIF, 1.3)
    b = kinetics.convolve(TIMES, np.interp(fine, TIMES, AIF), 1.3, aif_times_s=fine)
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_delay_by_a_frame_shifts_and_the_aif_is_zero_before_its_first_sample():
    found = kinetics.extended_tofts(TIMES, AIF, 0.2, 0.3, 0.05, delay_s=[0.0, 5.0, -5.0])
    np.testing.assert_allclose(found[1, 1:], found[0, :-1], atol=1e-12)
    np.testing.assert_allclose(found[2, :-1], found[0, 1:], atol=1e-12)
    step = kinetics.tofts(TIMES, np.ones(60), 0.1, 0.2, delay_s=12.0)
    assert np.all(step[0, :3] == 0)
    assert step[0, 3] > 0


def test_results_are_n_by_t():
    assert kinetics.tofts(TIMES, AIF, 0.1, 0.2).shape == (1, 60)
    assert kinetics.two_cxm(TIMES, AIF, [30.0, 40.0], 0.1, 0.2, 0.05).shape == (2, 60)


def test_models_meet_where_they_should():
    tofts = kinetics.tofts(TIMES, AIF, 0.1, 0.2)
    np.testing.assert_allclose(kinetics.extended_tofts(TIMES, AIF, 0.1, 0.2, 0.0), tofts)
    # No return: the extended Tofts model with a huge ve is Patlak's, the 2CXM with a huge ve is the uptake model.
    np.testing.assert_allclose(
        kinetics.extended_tofts(TIMES, AIF, 0.05, 1e6, 0.03), kinetics.patlak(TIMES, AIF, 0.05, 0.03), rtol=1e-5
    )
    np.testing.assert_allclose(
        kinetics.two_cxm(TIMES, AIF, 50, 0.05, 1e7, 0.03), kinetics.two_cum(TIMES, AIF, 50, 0.05, 0.03), rtol=1e-5
    )
    # Infinite flow: the 2CXM is the extended Tofts model.
    np.testing.assert_allclose(
        kinetics.two_cxm(TIMES, AIF, 1e8, 0.1, 0.2, 0.05)[0, 8:],
        kinetics.extended_tofts(TIMES, AIF, 0.1, 0.2, 0.05)[0, 8:],
        rtol=1e-3,
    )


def test_two_cxm_solves_its_differential_equations():
    fp, ps, ve, vp = 60.0, 0.15, 0.25, 0.06
    dt = 0.01
    fine = np.arange(0, 295.0, dt)
    ca = np.interp(fine, TIMES, AIF)
    cp = ce = 0.0
    total = np.empty(fine.size)
    for i, c in enumerate(ca):
        total[i] = vp * cp + ve * ce
        dcp = (fp / 100 * (c - cp) - ps * (cp - ce)) / vp / 60
        dce = ps * (cp - ce) / ve / 60
        cp, ce = cp + dt * dcp, ce + dt * dce
    found = kinetics.two_cxm(TIMES, AIF, fp, ps, ve, vp)[0]
    np.testing.assert_allclose(found, np.interp(TIMES, fine, total), atol=2e-3)


@pytest.mark.parametrize("file", ["ParkerAIF_ref.csv", "ParkerAIF_ref_with_delay.csv"])
def test_parker_is_exact_at_any_delay(data, file):
    with data(f"osipi-reference/{file}").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for label in {row["label"] for row in rows}:
        some = [row for row in rows if row["label"] == label]
        delay = float(some[0]["delay"])
        times = 60 * np.array([float(row["time"]) for row in some])
        reference = np.array([float(row["Cb"]) for row in some])
        np.testing.assert_allclose(kinetics.parker_aif(times, delay), reference, atol=1e-12)


def test_georgiou_is_its_formula_at_any_delay_and_length():
    from scipy.stats import gamma

    times = np.r_[0.0, 0.3, np.linspace(1.0, 1500.0, 700)]
    t = (times - 7.3) / 60
    passes = sum(gamma.pdf(t - j * 0.129, (j + 1) * 5.26 + j + 1, scale=0.032) for j in range(400))
    decays = 0.37 * np.exp(-0.11 * t) + 0.33 * np.exp(-1.17 * t) + 10.06 * np.exp(-16.02 * t)
    np.testing.assert_allclose(kinetics.georgiou_aif(times, 7.3), np.where(t > 0, passes * decays, 0.0), atol=1e-10)
    np.testing.assert_allclose(kinetics.georgiou_aif(times, 7.3), kinetics.georgiou_aif(times - 7.3), atol=1e-12)


def test_georgiou_peaks_once_and_ends_in_its_slow_exponential():
    times = 0.1 * np.arange(6000)
    blood = kinetics.georgiou_aif(times)
    assert times[blood.argmax()] == pytest.approx(8.4, abs=1.0)
    assert blood.max() == pytest.approx(8.7, abs=0.1)
    # The passes come at the rate of one per mean interval, so late the curve is their constant times the slow exponential.
    assert blood[-1] == pytest.approx(0.37 * np.exp(-0.11 * times[-1] / 60) / (0.032 * 6.26 + 0.129), rel=2e-3)
    assert kinetics.georgiou_aif([-1.0, 0.0]).tolist() == [0.0, 0.0]


def test_a_sampled_kernel_gives_what_the_exact_convolution_gives():
    times = 0.1 * np.arange(3000)
    curve = kinetics.parker_aif(times, 25.0)
    sampled = kinetics.convolve_sampled(curve, np.exp(-0.5 / 60 * times), 0.1 / 60)
    np.testing.assert_allclose(sampled, kinetics.convolve(times, curve, 0.5)[0], atol=1e-3 * sampled.max())


def test_parkers_terms_are_first_pass_recirculation_and_what_follows():
    minutes = np.linspace(-0.5, 5.0, 1101)
    first, recirculation, tail = kinetics.parker_terms(minutes)
    np.testing.assert_allclose(tail + first + recirculation, kinetics.parker_aif(60.0 * minutes), rtol=1e-12)
    assert minutes[np.argmax(first)] == pytest.approx(0.17046, abs=0.005)
    assert minutes[np.argmax(recirculation)] == pytest.approx(0.365, abs=0.005)
    assert np.trapezoid(first, minutes) == pytest.approx(0.809, rel=0.01)
    assert (first[minutes < -1e-9] == 0).all()
