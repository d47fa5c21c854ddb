"""An AIF scaled to a vein: in concentration, since the vein's lower bolus has less of what is quadratic."""

import types

import numpy as np
import pytest
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dsc import DscSettings
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
