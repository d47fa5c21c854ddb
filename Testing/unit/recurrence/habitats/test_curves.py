"""Curves in one form: the same bolus, whatever the frames; and what is measured of them."""

import numpy as np
import pytest
from gliosuite.curves import Bolus
from gliosuite.errors import InputError
from gliosuite.recurrence.habitats.curves import LesionCurves, aligned, arrival_time, parameters
from tissuecurves import tissue_patient


def bolus(times, arrival=20.0):
    t = np.maximum(times - arrival, 0)
    return 1.6 - 0.9 * (t / 5) ** 3 * np.exp(3 - 3 * t / 5) * (t < 12) - 0.2 * (t >= 12)


@pytest.mark.parametrize("tr_s", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("arrival", [19.3, 20.0, 21.1])
def test_a_bolus_is_aligned_on_its_arrival_whatever_the_frames(tr_s, arrival):
    times = tr_s * np.arange(60)
    signal = bolus(times, arrival)
    found = arrival_time(signal, times, Bolus(0, int(np.searchsorted(times, arrival)), 0, 0.5))
    assert found == pytest.approx(arrival + 1.1, abs=0.6)  # the foot of the straight rise lies behind that of the curve
    curve = aligned(signal[None], times, found)
    assert curve.shape == (1, 60)
    assert int(curve[0].argmin()) == pytest.approx(10 + 3.9, abs=1.1)


def test_a_series_that_ends_early_is_held():
    times = np.arange(40.0)
    curve = aligned(bolus(times)[None], times, 20.0)[0]
    assert np.all(curve[30:] == curve[30])
    assert curve[0] == pytest.approx(1.6)


def test_parameters_are_those_of_the_definition():
    curve = np.full(60, 2.0)
    curve[10:16] = [2.0, 1.6, 1.2, 0.8, 1.2, 1.6]  # falls by .4 a second, to .8
    curve[16:] = 1.7
    found = parameters(curve)
    assert found.baseline[0] == 2.0
    assert found.drop[0] == pytest.approx(1.2)
    # Onset at 5 % of the drop, .15 s after the last point at the baseline: 2.85 s of a fall of 3.
    assert found.speed[0] == pytest.approx(1.2 / 2.85)
    assert found.psr[0] == pytest.approx((1.7 - 0.8) / 1.2)


def test_what_does_not_drop_has_no_speed():
    assert np.isnan(parameters(np.ones(60)).speed[0])


def test_curves_are_written_and_read(tmp_path):
    lesion, _ = tissue_patient(1, 5)
    lesion.write(tmp_path / "curves.npz")
    back = LesionCurves.read(tmp_path / "curves.npz")
    assert back.mark == lesion.mark
    assert back.grid.matches(lesion.grid)
    np.testing.assert_allclose(back.curves, lesion.curves, atol=2e-3)
    np.testing.assert_array_equal(back.cel, lesion.cel)
    assert set(back.references) == {"artery", "gm", "wm", "csf"}
    (tmp_path / "curves.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="holds no curves of a lesion"):
        LesionCurves.read(tmp_path / "curves.npz")
