"""Frames that cannot be used are found, named and left out, and the maps are those of the series without them."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dce import dce_maps
from gliosuite.perfusion.dsc import dsc_maps
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.prepared import prepare
from gliosuite.perfusion.settings import DceSettings, DscSettings
from gliosuite.perfusion.signal import concentration_to_spgr
from gliosuite.perfusion.spoiled import said, spoiled_frames

GRID = Grid((16, 16, 4), (4.0, 4.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
FINE = 0.1 * np.arange(3000)
DCE = DceSettings(tr_ms=5.0, flip_angle_deg=15.0)
DSC = DscSettings(te_ms=30.0, leakage="none")


def place():
    y, x = (np.broadcast_to(a, GRID.shape) for a in np.meshgrid(np.arange(16), np.arange(16), indexing="ij"))
    head = (x - 7.5) ** 2 + (y - 7.5) ** 2 < 49
    lesion = (x > 9) & (x < 13) & (y > 5) & (y < 9)
    artery = (x > 3) & (x < 6) & (y > 3) & (y < 6)
    return head, lesion, artery


HEAD, LESION, ARTERY = place()


def dce(dt=2.0, end=200.0):
    """A head with a lesion (ktrans .12) and arteries."""
    times = np.arange(0.0, end, dt)
    blood = parker_aif(FINE, 30.0)
    ktrans, vp = np.where(LESION, 0.12, 0.005)[HEAD], np.where(LESION, 0.05, 0.02)[HEAD]
    curves = extended_tofts(times, blood / 0.58, ktrans, 0.3, vp, aif_times_s=FINE)
    curves[ARTERY[HEAD]] = np.interp(times, FINE, blood)
    frames = np.zeros((times.size, *GRID.shape), np.float32)
    frames[:, HEAD] = concentration_to_spgr(curves, 0.005, 15.0, np.where(ARTERY, 1.65, 1.2)[HEAD], 4.5, 500.0).T
    return noisy(frames), times


def dsc(dt=1.5, end=90.0):
    """The same head: cbv 2, in the lesion 6."""
    times = np.arange(0.0, end, dt)
    u = np.maximum(times - 20, 0)
    blood = 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5)
    frames = np.zeros((times.size, *GRID.shape), np.float32)
    share = np.where(LESION, 0.06, np.where(ARTERY, 0.5, 0.02))[HEAD]
    frames[:, HEAD] = 800 * np.exp(-0.03 * share[:, None] * blood).T
    return noisy(frames), times


def noisy(frames):
    return np.abs(frames + np.random.default_rng(0).normal(0, 3.0, frames.shape)).astype(np.float32)


def series(frames):
    return Series(frames, GRID, "x.nii.gz")


def spoil(frames, how, at):
    spoiled = frames.copy()
    {
        "blank": lambda: spoiled.__setitem__(at, 0.0),
        "half blank": lambda: spoiled.__setitem__((at, slice(0, 2)), 0.0),
        "undefined": lambda: spoiled.__setitem__(at, np.nan),
        "dim": lambda: spoiled.__setitem__(at, 0.7 * frames[at]),
        "bright": lambda: spoiled.__setitem__(at, 1.4 * frames[at]),
        "copy": lambda: spoiled.__setitem__(at, frames[np.asarray(at) - 1]),
        "dim slice": lambda: spoiled.__setitem__((at, slice(0, 1)), 0.3 * frames[at, 0:1]),
    }[how]()
    return spoiled


WHY = {
    "blank": "is blank",
    "half blank": "is blank in 2 of 4 slices",
    "undefined": "is no number",
    "dim": "has another level than those around it",
    "bright": "has another level than those around it",
    "copy": "is a copy of the one before",
    "dim slice": "has another level than those around it in 1 of 4 slices",
}


@pytest.mark.parametrize(("make", "rising"), [(dce, True), (dsc, False)], ids=["dce", "dsc"])
def test_whole_series_have_none(make, rising):
    frames, _ = make()
    for some in (frames, frames[::2], frames[::3], np.where(HEAD, frames, 0.0)):
        assert spoiled_frames(series(some), True, rising) == {}


@pytest.mark.parametrize("how", WHY)
@pytest.mark.parametrize("at", [5, 45])
@pytest.mark.parametrize(("make", "rising"), [(dce, True), (dsc, False)], ids=["dce", "dsc"])
def test_a_frame_before_or_after_the_bolus_is_found(make, rising, at, how):
    frames, _ = make()
    assert spoiled_frames(series(spoil(frames, how, at)), True, rising) == {at: WHY[how]}


@pytest.mark.parametrize("how", ["blank", "undefined", "half blank", "dim", "bright"])
@pytest.mark.parametrize(("make", "rising"), [(dce, True), (dsc, False)], ids=["dce", "dsc"])
def test_the_last_frame_is_found_too(make, rising, how):
    frames, _ = make()
    last = len(frames) - 1
    assert spoiled_frames(series(spoil(frames, how, last)), True, rising) == {last: WHY[how]}


@pytest.mark.parametrize("how", ["blank", "undefined", "half blank", "dim"])
@pytest.mark.parametrize(("make", "rising"), [(dce, True), (dsc, False)], ids=["dce", "dsc"])
def test_the_first_frame_is_found_too(make, rising, how):
    frames, _ = make()
    assert spoiled_frames(series(spoil(frames, how, 0)), True, rising) == {0: WHY[how]}


@pytest.mark.parametrize("how", ["blank", "undefined", "dim", "bright"])
@pytest.mark.parametrize("at", [[40, 41], [4, 45]])
def test_two_frames(how, at):
    frames, _ = dsc()
    assert spoiled_frames(series(spoil(frames, how, at)), True, False) == dict.fromkeys(at, WHY[how])


def test_what_looks_like_it_is_none():
    """The approach to steady state; a phantom without noise, whose baseline is all copies; a bolus that a long frame shows once."""
    frames, times = dce()
    bright = frames.copy()
    bright[:2] *= np.array([1.5, 1.2], np.float32)[:, None, None, None]
    assert spoiled_frames(series(bright), True, True) == {}
    curve = concentration_to_spgr(np.interp(times, FINE, parker_aif(FINE, 30.0))[None], 0.005, 15.0, 1.65, 4.5, 500.0)[
        0
    ]
    still = np.broadcast_to(curve[:, None, None, None], (times.size, *GRID.shape)).astype(np.float32)
    assert spoiled_frames(series(still), True, True) == {}
    assert spoiled_frames(series(still[::4]), True, True) == {}


def test_concentrations_may_be_0():
    _, times = dce()
    values = np.zeros((times.size, *GRID.shape), np.float32)
    values[:, HEAD] = np.interp(times, FINE, parker_aif(FINE, 30.0))[:, None]
    assert spoiled_frames(series(values), False, True) == {}
    assert spoiled_frames(series(spoil(values, "blank", 60)), False, True) == {60: "is 0 throughout"}
    assert spoiled_frames(series(spoil(values, "undefined", 60)), False, True) == {60: "is no number"}


@pytest.mark.parametrize("how", ["blank", "undefined", "half blank", "dim", "bright", "copy"])
def test_dce_maps_are_those_without_the_frame(how):
    frames, times = dce()
    aif = Aif(FINE, parker_aif(FINE, 30.0) / 0.58, "given", "csv")
    fit = lambda f: dce_maps(series(f), times, DCE, aif, 1.2, GRID.image(HEAD))
    whole, left = fit(frames), fit(spoil(frames, how, 50))
    assert any(n == f"left out, with their times: frame 51 {WHY[how]} (numbers from 1)" for n in left.notes)
    assert left.times_s.size == times.size - 1
    assert 100.0 not in left.times_s
    for name, truth in (("ktrans", 0.12), ("vp", 0.05), ("ve", 0.3)):
        a, b = (np.median(array(r.maps[name])[LESION]) for r in (whole, left))
        assert b == pytest.approx(a, rel=0.01)
        assert b == pytest.approx(truth, rel=0.06)


@pytest.mark.parametrize("at", [4, 50, 18])
@pytest.mark.parametrize("how", ["blank", "undefined", "half blank", "dim"])
def test_dsc_maps_are_those_without_the_frame(how, at):
    """In the baseline, after the bolus, and in it, where a frame of 1.5 s may be missing."""
    frames, times = dsc()
    fit = lambda f: dsc_maps(series(f), times, DSC, GRID.image(ARTERY), GRID.image(HEAD))
    whole, left = fit(frames), fit(spoil(frames, how, at))
    assert any(n.startswith(f"left out, with their times: frame {at + 1} {WHY[how]}") for n in left.notes)
    a, b = (array(r.maps["cbv"]) for r in (whole, left))
    assert np.median(b[LESION] / a[LESION]) == pytest.approx(1.0, abs=0.05)
    assert np.median(b[LESION]) / np.median(b[HEAD & ~LESION & ~ARTERY]) == pytest.approx(3.0, rel=0.1)


def test_a_bolus_that_is_not_seen_is_refused():
    frames, times = dce(5.0, 300.0)
    with pytest.raises(
        InputError, match=r"^x\.nii\.gz: frame 9 is blank, and the bolus is in it: 10 s from 35\.0 s on are not seen"
    ):
        dce_maps(series(spoil(frames, "blank", 8)), times, DCE, "parker", 1.2)
    frames, times = dsc()
    with pytest.raises(InputError, match=r"frame 17 is blank, and the bolus is in it: 4.5 s"):
        dsc_maps(series(spoil(frames, "blank", [16, 17])), times, DSC)


def test_many_spoiled_frames_are_refused():
    frames, _ = dce()
    with pytest.raises(
        InputError, match=r"^x\.nii\.gz: 24 of its 100 frames cannot be used \(frame 31 is blank, .* and 18 more\)"
    ):
        spoiled_frames(series(spoil(frames, "blank", list(range(30, 54)))), True, True)


def test_frames_keep_their_numbers_in_the_series():
    frames, times = dce()
    p = prepare(series(spoil(frames, "blank", [3, 60])), times, DCE, None)
    whole = prepare(series(frames), times, DCE, None)
    assert (p.bolus.arrival, p.n_baseline) == (whole.bolus.arrival, whole.n_baseline - 1)
    assert p.times_s[p.n_baseline] == whole.times_s[whole.n_baseline]
    assert said({3: "is blank", 60: "is no number"}) == "frame 4 is blank, frame 61 is no number"


@pytest.mark.parametrize("when", [3, 25, 59])
def test_a_lone_sample_of_zero_is_no_bolus(when):
    frames, times = dsc()
    hit = LESION & (np.indices(GRID.shape).sum(axis=0) % 2 == 0)
    dropped = frames.copy()
    dropped[when, hit] = 0
    aif = Aif(times, 60 * 0.5 * np.exp(-(((times - 24.5) / 3) ** 2)), "given", "csv")
    clean, found = (dsc_maps(series(f), times, DSC, aif) for f in (frames, dropped))
    assert f"{hit.sum()} samples without signal" in " ".join(found.notes)
    assert "samples without" not in " ".join(clean.notes)
    cbv, truth = array(found.maps["cbv"])[hit], array(clean.maps["cbv"])[hit]
    assert cbv == pytest.approx(truth, rel=0.1)


def test_an_artery_that_loses_all_signal_keeps_it():
    frames, times = dsc()
    frames[15:18, ARTERY] = 0
    p = prepare(series(frames), times, DSC, None)
    assert not any("samples without" in note for note in p.notes)
    assert any(f"{ARTERY.sum()} voxels fall to 0 in some frames" in note for note in p.notes)
    assert (p.series.frames[:, ARTERY][15 - (60 - p.times_s.size) : 18] == 0).any()


@pytest.mark.parametrize("value", [0.0, 0.01])
def test_samples_that_were_lost_are_interpolated_and_what_may_be_agent_stays(value):
    frames, times = dsc()
    # One frame amid the bolus, two in a row after it, and three.
    runs = {(1, 8, 11): (17, 18), (2, 12, 8): (50, 52), (2, 3, 8): (50, 53)}
    dropped = frames.copy()
    for voxel, (first, end) in runs.items():
        dropped[(slice(first, end), *voxel)] = value
    fit = lambda f: dsc_maps(series(f), times, DSC, GRID.image(ARTERY), GRID.image(HEAD))
    clean, found = fit(frames), fit(dropped)
    usual, now = array(clean.maps["cbv"]), array(found.maps["cbv"])
    one, two, three = (abs(float(now[voxel] / usual[voxel]) - 1) for voxel in runs)
    assert max(one, two) < 0.25 < three
    said_of = [n for n in found.notes if n not in clean.notes]
    assert any(n.startswith("3 samples without signal between others that have some") for n in said_of)
    assert any(n.startswith("1 voxel falls to 0 in some frames") for n in said_of)


def test_a_series_without_any_signal_is_said():
    frames, times = dsc()
    with pytest.raises(InputError, match="is 0 in the whole mask and at all times"):
        prepare(series(0 * frames), times, DSC, GRID.image(HEAD))
