"""An AIF scaled to a vein: in concentration, since the vein's lower bolus has less of what is quadratic."""

import types

import numpy as np
import pytest
from gliosuite.images import Grid, Series
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dsc import DscSettings, dsc_aif
from gliosuite.perfusion.dsc.artery import venous
from gliosuite.perfusion.dsc.artery.concentration import blood_concentration, blood_dr2star
from gliosuite.perfusion.kinetics import convolve, parker_aif

TIMES = 1.5 * np.arange(60)
BLOOD = parker_aif(TIMES, 18.0)
VEIN = 60 / 4.5 * convolve(TIMES, BLOOD, 60 / 4.5)[0]


def scaled(relation, monkeypatch):
    signal = 500 * np.exp(-0.03 * blood_dr2star(VEIN, relation))
    series = types.SimpleNamespace(
        curves=lambda voxels: signal[None], grid=types.SimpleNamespace(spacing=(2.0, 2.0, 5.0))
    )
    p = types.SimpleNamespace(
        series=series, times_s=TIMES, n_baseline=12, raw=signal[None], region=np.ones((1, 1, 1), bool)
    )
    sinus = types.SimpleNamespace(why_not="", voxels=np.ones((1, 1, 1), bool), quality={})
    monkeypatch.setattr(venous, "find_sinus", lambda *_: sinus)
    artery = Aif(TIMES, blood_dr2star(0.6 * BLOOD, relation), "an artery", "auto")  # 40 % are lost to tissue
    return venous.to_vof(artery, p, DscSettings(te_ms=30.0), relation)


@pytest.mark.parametrize("relation", ["quadratic", "linear"])
def test_areas_are_those_of_concentrations(relation, monkeypatch):
    found = scaled(relation, monkeypatch)
    assert found.quality["sinus_factor"] == pytest.approx(
        1 / 0.6, rel=0.1
    )  # the window ends before all of the vein has passed
    c = blood_concentration(found.concentration, relation)
    np.testing.assert_allclose(c, found.quality["sinus_factor"] * 0.6 * BLOOD, rtol=1e-6, atol=1e-9)


def head():
    """A DSC series of 2 % tissue with an artery of half blood, a sinus of blood 2 s later, and where both are."""
    shape = (6, 32, 32)
    grid = Grid(shape[::-1], (2.0, 2.0, 4.0), (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    late = np.interp(TIMES - 2.0, TIMES, VEIN, left=0.0)
    artery, sinus = np.zeros(shape, bool), np.zeros(shape, bool)
    artery[1:5, 15, 14:16] = True
    sinus[1:5, 25:28, 15:18] = True
    change = 87.0 * 0.02 * convolve(TIMES, BLOOD, 15.0)[0][:, None, None, None] * 15.0 * np.ones(shape)
    change[:, artery] = blood_dr2star(0.5 * BLOOD, "quadratic")[:, None]
    change[:, sinus] = blood_dr2star(late, "quadratic")[:, None]
    noise = np.random.default_rng(2).normal(0, 3, change.shape)
    frames = np.maximum(600 * np.exp(-0.03 * change) + noise, 1).astype(np.float32)
    return Series(frames, grid, "dsc.nii.gz"), grid, artery, sinus


def test_an_aif_picked_in_a_vein_is_told_and_is_scaled_to_a_sinus_later_than_the_arteries():
    series, grid, artery, sinus = head()
    settings = DscSettings(te_ms=30.0, vof=True)
    brain = grid.image(np.ones(artery.shape, bool))
    late = lambda aif: [n for n in aif.notes if "after the arteries that are found automatically" in n]
    right = dsc_aif(series, TIMES, settings, grid.image(artery), brain)
    assert not late(right)
    assert sinus[right.sinus].all()
    few = sinus & (np.arange(32) == 15)
    picked = dsc_aif(series, TIMES, settings, grid.image(few), brain)
    assert len(late(picked)) == 1
    assert sinus[picked.sinus].all()
    assert picked.quality["sinus_factor"] == pytest.approx(1.0, abs=0.05)
    alone = dsc_aif(series, TIMES, DscSettings(te_ms=30.0), grid.image(few), brain)
    assert len(late(alone)) == 1
