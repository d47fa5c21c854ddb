import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series
from gliosuite.perfusion.aif import venous
from gliosuite.perfusion.dce import dce_aif
from gliosuite.perfusion.kinetics import convolve, parker_aif
from gliosuite.perfusion.settings import DceSettings
from gliosuite.perfusion.signal import concentration_to_spgr

SHAPE = (8, 32, 32)
GRID = Grid(SHAPE[::-1], (2.0, 2.0, 3.0), (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
TIMES = 5.0 * np.arange(60)
FINE = 0.1 * np.arange(3000)
BLOOD = np.interp(TIMES, FINE, parker_aif(FINE, 30.0))
VENOUS = np.interp(TIMES - 2.0, FINE, convolve(FINE, parker_aif(FINE, 30.0), 60 / 4.5)[0] * 60 / 4.5, left=0.0)
HEAD = GRID.image(np.ones(SHAPE, bool))
SIGNAL = {"tr_ms": 3.5, "flip_angle_deg": 10.0}


def head(share=0.5):
    """Concentrations (t, z, y, x), the artery and the sinus."""
    mixed = np.full(SHAPE, 0.03)[None] * BLOOD[:, None, None, None]
    artery, sinus = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    artery[1:7, 15, 15] = True
    sinus[1:7, 26:29, 15:18] = True
    mixed[:, artery] = share * BLOOD[:, None]
    mixed[:, sinus] = VENOUS[:, None]
    return mixed, artery, sinus


def signals(mixed, artery, sinus):
    t10 = np.where(artery, 1.65, np.where(sinus, 1.57, 1.2))
    frames = np.moveaxis(concentration_to_spgr(np.moveaxis(mixed, 0, -1), 0.0035, 10.0, t10, 4.5, 300.0), -1, 0)
    frames = frames + np.random.default_rng(0).normal(0, 4, frames.shape)
    return Series(np.maximum(frames, 0).astype(np.float32), GRID, "dce.nii.gz")


def test_the_tail_of_a_concentration_is_that_of_the_sinus():
    mixed, artery, sinus = head()
    noisy = mixed + np.random.default_rng(0).normal(0, 0.02, mixed.shape)
    series = Series(noisy.astype(np.float32), GRID, "dce.nii.gz")
    settings = DceSettings(input="concentration", hematocrit=0.42)
    aif = dce_aif(series, TIMES, settings, GRID.image(artery))
    late = TIMES[-1] - 120 < TIMES
    assert aif.quality["sinus_factor"] == pytest.approx(2.0, rel=0.05)
    assert abs(aif.concentration[late].mean() * 0.58 / VENOUS[late].mean() - 1) < 0.02
    assert sinus[aif.sinus].all()
    assert "scaled to the tail of a venous sinus" in aif.how
    assert aif.record()["sinus_voxels"] == aif.sinus.sum()


def test_without_sinus_it_is_left_as_it_is():
    mixed, artery, _ = head()
    series = Series(mixed.astype(np.float32), GRID, "dce.nii.gz")
    aif = dce_aif(series, TIMES, DceSettings(input="concentration", sinus=False), GRID.image(artery))
    np.testing.assert_allclose(aif.concentration.max() * 0.58, 0.5 * BLOOD.max(), rtol=1e-5)
    assert aif.sinus is None
    assert "sinus" not in aif.how


def test_artery_and_sinus_are_fitted_together():
    mixed, artery, sinus = head(1.0)
    for source in ("auto", GRID.image(artery)):
        aif = dce_aif(signals(mixed, artery, sinus), TIMES, DceSettings(**SIGNAL), source, HEAD)
        peak = np.interp(TIMES, aif.times_s, aif.concentration).max() * 0.58
        assert abs(peak / BLOOD.max() - 1) < 0.15
        assert aif.fitted
        assert aif.quality["peak_relative_sd"] < 0.2
        assert "fitted together with a venous sinus" in aif.how
        assert any("T2* decay in blood is left out" in n for n in aif.notes)
        assert sinus[aif.sinus].all()
    plain = dce_aif(signals(mixed, artery, sinus), TIMES, DceSettings(**SIGNAL, aif_fit=False), "auto", HEAD)
    np.testing.assert_array_equal(plain.times_s, TIMES)
    assert not plain.fitted


def test_an_aif_taken_in_a_vein_is_brought_to_the_blood_of_the_arteries():
    mixed, artery, sinus = head(1.0)
    series = signals(mixed, artery, sinus)
    late = lambda aif: [n for n in aif.notes if "after the arteries that are found automatically, as a vein does" in n]
    for picked, notes in ((sinus, 1), (artery, 0)):
        aif = dce_aif(series, TIMES, DceSettings(**SIGNAL), GRID.image(picked), HEAD)
        assert len(late(aif)) == notes
        assert abs(aif.concentration.max() * 0.58 / BLOOD.max() - 1) < 0.15
        np.testing.assert_array_equal(aif.voxels, picked)
        assert sinus[aif.sinus].all()
    plain = dce_aif(series, TIMES, DceSettings(**SIGNAL, sinus=False), GRID.image(sinus), HEAD)
    assert plain.concentration.max() < 0.75 * aif.concentration.max()
    # Where no sinus is later than the arteries but the vein itself, that is said too.
    mixed[:, sinus] = 0.03 * BLOOD[:, None]
    mixed[:, 3:5, 5:7, 5:7] = VENOUS[:, None, None, None]
    few = np.zeros(SHAPE, bool)
    few[3:5, 5:7, 5:6] = True
    alone = dce_aif(signals(mixed, artery, few), TIMES, DceSettings(**SIGNAL), GRID.image(few), HEAD)
    assert len(late(alone)) == 1


def test_a_mask_where_no_artery_can_be_found_is_taken_as_it_is(monkeypatch):
    mixed, artery, sinus = head(1.0)
    refuse = InputError("no curve qualifies")
    monkeypatch.setattr("gliosuite.perfusion.dce.aif.search", lambda *_: (_ for _ in ()).throw(refuse))
    aif = dce_aif(signals(mixed, artery, sinus), TIMES, DceSettings(**SIGNAL), GRID.image(artery), HEAD)
    assert "fitted together with a venous sinus" in aif.how
    assert sinus[aif.sinus].all()


def test_a_head_without_a_vein_says_so():
    mixed, artery, sinus = head()
    mixed[:, sinus] = 0.03 * BLOOD[:, None]
    series = Series(mixed.astype(np.float32), GRID, "dce.nii.gz")
    aif = dce_aif(series, TIMES, DceSettings(input="concentration"), GRID.image(artery))
    assert any("the AIF is not scaled to a venous sinus: no large vein was found" in n for n in aif.notes)


def test_the_factor_of_a_tail_below_zero_is_one():
    assert venous.tail_factor(-np.ones(60), np.ones(60), TIMES) == 1.0
    assert venous.tail_factor(np.ones(60), 3 * np.ones(60), TIMES) == pytest.approx(3.0)


def test_a_move_that_may_have_been_counts_where_it_explains_the_vessels(monkeypatch):
    mixed, artery, sinus = head(1.0)
    series = signals(mixed, artery, sinus)
    series.frames[10:, artery | sinus] *= 0.8
    notes = {}
    for perhaps in ((30, 10), ()):
        monkeypatch.setattr(venous, "sudden_moves", lambda *_, found=perhaps: ((), found))
        aif = dce_aif(series, TIMES, DceSettings(**SIGNAL), GRID.image(artery), HEAD)
        notes[perhaps] = aif.quality["fit_residual"], [n for n in aif.notes if "the head moved suddenly at" in n]
    assert notes[()][0] > 1.0
    assert notes[()][1] == []
    assert notes[30, 10][0] < 0.7 * notes[()][0]
    assert notes[30, 10][1] == ["the head moved suddenly at 50 s; the AIF's level before and after is not compared"]


def test_the_signal_of_tissue_has_a_first_pass_that_its_voxels_have():
    rng = np.random.default_rng(0)
    volume = rng.choice([0.055, 0.02], SHAPE, p=[0.52, 0.48])  # grey and white matter
    nothing = np.zeros(SHAPE, bool)
    clean = signals(volume[None] * BLOOD[:, None, None, None], nothing, nothing).frames
    noisy = (clean * (1 + rng.normal(0, 0.02, clean.shape))).astype(np.float32)
    over_rest = lambda y: (y.max() / y[:6].mean() - 1) / (y[30:].mean() / y[:6].mean() - 1)
    grey, white = (over_rest(clean[:, volume == v].mean(axis=1)) for v in (0.055, 0.02))
    found = over_rest(venous._deep_signal(Series(noisy, GRID, "dce"), np.ones(SHAPE, bool), 6))
    assert grey < found < white
    assert over_rest(np.median(noisy.reshape(60, -1), axis=1)) > 1.1 * white


def test_a_poor_fit_is_used_and_said_and_a_bad_one_is_not_used():
    mixed, artery, sinus = head(1.0)
    wave = np.where(TIMES > 60, np.sin(TIMES / 15), 0)
    found = {}
    for size in (0.0, 0.1, 0.4):
        series = signals(mixed, artery, sinus)
        series.frames[:, artery] *= (1 + size * wave)[:, None]
        found[size] = dce_aif(series, TIMES, DceSettings(**SIGNAL), GRID.image(artery), HEAD)
    poor = lambda aif: [n for n in aif.notes if "described poorly by one blood" in n]
    assert found[0.0].fitted
    assert not poor(found[0.0])
    assert 2.0 < found[0.1].quality["fit_residual"] < 4.0
    assert found[0.1].fitted
    assert len(poor(found[0.1])) == 1
    assert found[0.1].quality["peak_relative_sd"] > 2 * found[0.0].quality["peak_relative_sd"]
    assert not found[0.4].fitted
    assert any("could not be fitted together" in n for n in found[0.4].notes)


def test_a_vein_far_below_the_artery_is_not_believed():
    found = venous.SinusScaling("scaled", (), {}, TIMES, np.ones(SHAPE, bool), curve=0.4 * VENOUS)
    without = found.believed(BLOOD)
    assert without.curve is None
    assert without.voxels is None
    assert "what was taken for a vein ends at 0.4" in without.notes[0]
    assert found.believed(0.5 * BLOOD) is found
