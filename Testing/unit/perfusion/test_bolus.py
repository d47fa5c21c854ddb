"""Where the bolus of a whole series is found or given, and series without a baseline, which are refused with the reason."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion.bolus import locate
from gliosuite.perfusion.kinetics import convolve, extended_tofts, parker_aif
from gliosuite.perfusion.settings import DceSettings, DscSettings
from gliosuite.perfusion.signal import concentration_to_spgr

ARRIVAL_S = 40.0
FINE = 0.1 * np.arange(4000)


def dce(dt=5.0, arrival_s=ARRIVAL_S, snr=50.0, seed=0, end=300.0, vessels=0.02, aif=None, n=2000, ktrans=0.08):
    """Signal (n, t) of tissue (ve .3, vp .03), some of it blood, and times; `aif` in blood over `FINE`."""
    times = np.arange(0.0, end, dt)
    blood = parker_aif(FINE, arrival_s) if aif is None else aif
    curves = extended_tofts(times, blood / 0.58, np.full(n, ktrans), 0.3, 0.03, aif_times_s=FINE)
    t10 = np.full(n, 1.2)
    count = int(vessels * n)
    curves[:count], t10[:count] = np.interp(times, FINE, blood), 1.65
    signal = concentration_to_spgr(curves, 0.005, 15.0, t10, 4.5, 500.0)
    return signal + np.random.default_rng(seed).normal(0, 500.0 / snr, signal.shape), times


def dsc(dt=1.5, arrival_s=30.0, snr=60.0, seed=0, end=90.0, n=2000):
    """Signal (n, t) of grey and white matter and some arteries at TE 30 ms, and times."""
    fine = 0.1 * np.arange(2000)
    u = np.maximum(fine - arrival_s, 0)
    blood = 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5) + 6 * (1 - np.exp(-u / 15.0))
    through = convolve(fine, blood, 15.0)[0] * 15.0
    curves = np.linspace(0.02, 0.05, n)[:, None] * through
    curves[: n // 50] = 0.5 * blood
    times = np.arange(0.0, end, dt)
    at = np.round(times / 0.1).astype(int)
    signal = 700 * np.exp(-0.03 * curves[:, at])
    return signal + np.random.default_rng(seed).normal(0, 700.0 / snr, signal.shape), times


def found(signal, times, rising, **settings):
    return locate(signal, times, (DceSettings if rising else DscSettings)(**settings), rising, "x.nii.gz")


@pytest.mark.parametrize("dt", [1.0, 2.0, 3.5, 5.0, 7.5])
@pytest.mark.parametrize("snr", [50.0, 1e6])
def test_arrival_on_a_clean_phantom_is_the_first_frame_with_agent(dt, snr):
    for seed in range(4):
        arrival_s = ARRIVAL_S + 1.7 * seed
        signal, times = dce(dt, arrival_s, snr, seed)
        blood = np.interp(times, FINE, parker_aif(FINE, arrival_s))
        first = int(np.argmax(blood > 0.01 * blood.max()))
        assert found(signal, times, True).arrival - first in ((0,) if snr > 100 else (0, 1 if dt < 2 else 0))


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_short_baselines_are_taken(frames):
    signal, times = dce(5.0, 5.0 * (frames - 1) + 0.2, n=2000)
    assert found(signal, times, True).arrival == frames


@pytest.mark.parametrize("late", [1, 3, 6, 12, 24])
def test_dce_that_starts_in_the_bolus_or_after_it_is_refused(late):
    """The first frame is the one after the first with agent, or some 15 s, 30 s, 1 min, 2 min later."""
    signal, times = dce()
    start = int(np.argmax(times > ARRIVAL_S)) + late
    with pytest.raises(InputError, match=r"^x\.nii\.gz (has no baseline|shows no bolus): .*") as caught:
        found(signal[:, start:], times[start:], True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("late", [2, 4, 7, 10, 16])
def test_dsc_that_starts_in_the_bolus_or_after_it_is_refused(late):
    signal, times = dsc()
    start = int(np.argmax(times > 30.0)) + late
    with pytest.raises(InputError, match=r"^x\.nii\.gz (has no baseline|shows no bolus): .*"):
        found(signal[:, start:], times[start:], False)


def test_a_baseline_that_is_given_overrules():
    signal, times = dce()
    start = int(np.argmax(times > ARRIVAL_S)) + 6
    cut = signal[:, start:], times[start:]
    with pytest.raises(InputError):
        found(*cut, True)
    assert found(*cut, True, baseline=2).arrival == 2
    assert found(*cut, True, arrival_s=float(cut[1][4])).arrival == 4


def test_the_baseline_is_counted_from_steady_state_on():
    signal, times = dce()
    signal[:, :2] *= [1.4, 1.15]
    bolus = found(signal, times, True, baseline=4)
    assert (bolus.steady, bolus.arrival) == (2, 6)
    bolus = found(signal, times, True, arrival_s=33.0)
    assert (bolus.steady, bolus.arrival) == (2, 7)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"baseline": 0},
            "--baseline is 0 and x.nii.gz has 60 frames that can be used; a number from 1 to 58 is needed",
        ),
        ({"baseline": 59}, "--baseline is 59 and"),
        (
            {"arrival_s": 0.0},
            r"--arrival is 0 s and x.nii.gz runs from 0 s to 295 s; a time after the first frame and up to 290 s",
        ),
        ({"arrival_s": 500.0}, "--arrival is 500 s"),
        ({"arrival_s": float("nan")}, "--arrival is nan s"),
        ({"baseline": 5, "arrival_s": 40.0}, "both --baseline and --arrival are given; one of them is needed"),
    ],
)
def test_impossible_values_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        found(*dce(), True, **settings)


def test_a_flat_series_is_refused():
    flat = 500 + np.random.default_rng(1).normal(0, 5, (2000, 40))
    for rising in (True, False):
        with pytest.raises(InputError, match=r"no bolus|no baseline"):
            found(flat, 2.0 * np.arange(40), rising)


def test_a_bolus_in_the_last_frames_is_refused():
    signal, times = dce(arrival_s=283.0)
    with pytest.raises(
        InputError, match=r"its bolus arrives in frame 5[78] of 60 that can be used; at least 5 with contrast agent"
    ):
        found(signal, times, True)


def test_of_two_boluses_the_first_counts():
    blood = parker_aif(FINE, 40.0) + parker_aif(FINE, 160.0)
    signal, times = dce(aif=blood)
    assert found(signal, times, True).arrival == 8


@pytest.mark.parametrize("length_s", [30.0, 60.0])
def test_a_slow_infusion_is_found(length_s):
    window = (length_s > FINE) / length_s
    blood = 0.1 * np.convolve(parker_aif(FINE, 50.0), window)[: FINE.size]
    signal, times = dce(aif=blood)
    assert found(signal, times, True).arrival in (10, 11)


def test_a_head_that_moves_is_no_bolus_and_does_not_hide_one():
    """A step at 200 s makes an edge of the head brighter, and another darker, than any vessel becomes; most is normal brain."""
    signal, times = dce(n=4000, ktrans=0.001)
    after = times >= 200
    signal[1000:1300, after] += 2500
    signal[1300:1600, after] -= 400
    assert found(signal, times, True).arrival == 8
    late = times >= 90
    with pytest.raises(InputError, match=r"no baseline|no bolus"):
        found(signal[:, late], times[late], True)
