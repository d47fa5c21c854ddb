"""Simulated heads as the spatial stage learns from them: fitted as a patient's series, with what their voxels hold."""

import numpy as np
import pytest
from gliosuite.commands import heads
from gliosuite.errors import InputError
from gliosuite.images import array, boolean
from gliosuite.perfusion.synthesis.features import PARAMETERS
from gliosuite.perfusion.synthesis.spatial import GROUPS
from gliosuite.simulate.acquisition import CLASSES


@pytest.fixture(scope="module")
def coarse():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "GRID_MM", 4.0)  # to be quick
        yield heads.fitted_head(1_399_001)


def test_a_voxel_holds_what_its_tissues_hold_together(coarse):
    white = (coarse.tissue == CLASSES.index("wm") + 1) & (coarse.share > 0.99)
    np.testing.assert_allclose(coarse.truth["vp"][white], coarse.main["vp"][white], rtol=0.05)
    fluid = (coarse.tissue == CLASSES.index("csf") + 1) & (coarse.share > 0.99)
    assert coarse.truth["ve"][fluid].max() < 0.01  # no agent reaches it, though its main tissue's ve is a number


def test_the_fit_knows_its_t1_and_is_near_the_truth(coarse):
    assert coarse.fitted.t10 is not None
    inside = boolean(coarse.fitted.mask) & (coarse.tissue == CLASSES.index("wm") + 1) & (coarse.share > 0.9)
    assert np.median(array(coarse.fitted.t10)[inside]) == pytest.approx(0.9, abs=0.2)
    assert np.nanmedian(array(coarse.fitted.values["vp"])[inside]) == pytest.approx(
        np.median(coarse.truth["vp"][inside]), rel=0.4
    )


def test_what_is_learned_from_it(coarse, monkeypatch):
    monkeypatch.setattr(heads, "fitted_head", lambda seed: coarse)
    one = heads.example(1_399_001, calibration=True)
    assert one.truth.shape == (int(one.mask.sum()), len(PARAMETERS))
    assert np.isfinite(one.truth).all()
    assert set(np.unique(one.group)) <= set(range(len(GROUPS)))
    assert (one.group == GROUPS.index("wm")).sum() > 1000


def test_half_of_the_heads_to_learn_from_have_another_ktrans_and_nothing_else(monkeypatch):
    monkeypatch.setattr(heads, "fitted_head", lambda *drawn: drawn)
    usual, leaky = ([heads.draw_head(seed, leaky) for seed in range(200)] for leaky in (False, True))
    assert [one[:-1] for one in usual] == [one[:-1] for one in leaky]
    assert {one[-1] for one in usual} == {None}
    factors = np.array([one[-1]["cel"]["ktrans"] for one in leaky])
    assert (factors == 1.0).mean() == pytest.approx(0.5, abs=0.1)
    assert factors.min() == pytest.approx(0.7, rel=0.1)
    assert factors.max() == pytest.approx(3.5, rel=0.1)


def test_heads_that_calibrate_are_of_usual_patients(coarse, monkeypatch):
    told = []
    monkeypatch.setattr(heads, "draw_head", lambda seed, leaky: told.append(leaky) or coarse)
    for calibration in (False, True):
        heads.example(1_399_002, calibration)
    assert told == [True, False]


def test_a_head_whose_blood_contradicts_its_acquisition_calibrates_nothing(coarse, monkeypatch):
    from dataclasses import replace

    wrong = replace(coarse, fitted=replace(coarse.fitted, flip_factor=0.6))
    monkeypatch.setattr(heads, "fitted_head", lambda seed: wrong)
    with pytest.raises(InputError, match="contradicts its acquisition"):
        heads.example(1_399_001, calibration=True)
