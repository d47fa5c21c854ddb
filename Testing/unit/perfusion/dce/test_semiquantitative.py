import numpy as np
import pytest
from gliosuite.perfusion.dce.semiquantitative import NAMES, semiquantitative

TIMES = 10.0 * np.arange(15)


def test_a_triangle_is_measured_exactly():
    curve = np.interp(TIMES, [20, 50, 140], [0.0, 3.0, 1.2])
    found = semiquantitative(curve[None], TIMES, 3)
    assert set(found) == set(NAMES)
    assert found["max_enhancement"][0] == pytest.approx(3.0)
    assert found["ttp"][0] == pytest.approx(30.0)
    assert found["wash_in"][0] == pytest.approx(6.0)
    assert found["wash_out"][0] == pytest.approx(-1.2)
    assert found["iauc60"][0] == pytest.approx(45 + (3.0 + 2.4) / 2 * 30, rel=1e-6)


def test_a_window_may_end_between_frames():
    curve = np.interp(TIMES, [20, 140], [0.0, 12.0])
    found = semiquantitative(curve[None], TIMES + 3.0 * (np.arange(15) > 5), 3)
    fine = np.linspace(0, 90, 9001)
    since = (TIMES + 3.0 * (np.arange(15) > 5))[2:] - TIMES[2]
    area = np.trapezoid(np.interp(fine, since, curve[2:]), fine)
    assert found["iauc90"][0] == pytest.approx(area, rel=1e-5)


def test_what_is_not_known_is_nan():
    curves = np.stack([np.linspace(0, 1, 15), np.full(15, np.nan)])
    found = semiquantitative(curves, TIMES, 10)
    assert np.isnan(found["iauc60"]).all()  # the series ends 50 s after arrival
    assert np.isnan(found["wash_out"][0])  # still rising
    assert found["ttp"][0] == pytest.approx(50.0)
    assert all(np.isnan(v[1]) for v in found.values())
