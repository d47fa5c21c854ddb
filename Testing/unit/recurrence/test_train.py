"""Training by folds of patients, and what a trained model says."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence import predict
from gliosuite.recurrence.ensemble import folds_of
from gliosuite.recurrence.settings import VoxelwiseTraining
from gliosuite.recurrence.train import grow
from gliosuite.training import Model

from .conftest import patient

SETTINGS = VoxelwiseTraining(folds=4, rounds=30, least=20)


@pytest.fixture(scope="module")
def grown(patients):
    pytest.importorskip("sklearn")
    return grow(patients, SETTINGS)


@pytest.fixture(scope="module")
def model(grown):
    more = {"trained_on": "8 balls", "threshold": 0.2, "weights_sha256": "", "simulated": True}
    return Model(grown.weights, grown.about | more)


def outside(one):
    return one.masks["brain"] & ~one.masks["t2l"] & (one.away("t2l") <= 40)


def test_every_patient_is_in_one_fold():
    fold = folds_of(11, 4, 1)
    assert sorted(np.bincount(fold)) == [2, 3, 3, 3]
    assert np.array_equal(fold, folds_of(11, 4, 1))


def test_a_patient_s_own_label_does_not_reach_its_held_out_map(patients, grown):
    """Only the calibration, two numbers of all patients, may tell of it."""
    fold = folds_of(len(patients), SETTINGS.folds, SETTINGS.seed)
    own = int(np.flatnonzero(fold == 0)[0])
    turned = list(patients)
    turned[own] = replace(patients[own], target=patients[own].target[::-1].copy() | patients[own].masks["t2l"])
    other = grow(turned, SETTINGS)
    where = outside(patients[own])
    logit = lambda p: np.log(p / (1 - p))
    one, two = (logit(g.held_out[own][where].astype(float)) for g in (grown, other))
    line = np.polyfit(one, two, 1)
    assert np.abs(np.polyval(line, one) - two).max() < 1e-3


def test_held_out_maps_find_what_was_planted(patients, grown):
    for one, found in zip(patients, grown.held_out):
        where = outside(one)
        recurred = one.target & where
        assert found[recurred].mean() > 0.6
        assert found[where & ~recurred].mean() < 0.1
        assert (found[one.masks["t2l"]] == 1).all()
        assert (found[~one.masks["brain"]] == 0).all()


def test_probabilities_come_true_as_often_as_they_say(grown):
    for r in grown.about["reliability"]:
        if r["voxels"] > 2000:
            assert abs(r["predicted"] - r["recurred"]) < 0.05


def test_labels_without_reason_are_not_found():
    pytest.importorskip("sklearn")
    from gliosuite.statistics.roc import auc

    blind = [patient(100 + i, informative=False) for i in range(8)]
    rng = np.random.default_rng(1)
    for i, one in enumerate(blind):
        target = one.masks["t2l"].copy()
        target[outside(one)] = rng.random(int(outside(one).sum())) < 0.1
        blind[i] = replace(one, target=target)
    areas = [auc(o.target[outside(o)], m[outside(o)]).value for o, m in zip(blind, grow(blind, SETTINGS).held_out)]
    assert abs(np.mean(areas) - 0.5) < 0.03


def test_a_new_patient_is_predicted_with_how_far_members_differ(model):
    one = replace(patient(50), target=None)
    found = predict(one, model)
    truth = patient(50).target & outside(one)
    assert found.probability[truth].mean() > 0.6
    assert found.sd[found.predicted].max() > 0
    assert (found.sd[~found.predicted] == 0).all()
    assert found.channels == ("t1c", "flair", "adc")
    assert "simulated" in found.notes[0]


def test_the_target_plays_no_part(model):
    one = patient(51)
    assert np.array_equal(predict(one, model).probability, predict(replace(one, target=None), model).probability)


def test_without_the_channel_that_tells_it_there_is_still_a_map(model):
    one = patient(50)
    found = predict(one.without(("diffusion",)), model)
    assert found.channels == ("t1c", "flair")
    assert found.probability[found.predicted].std() > 0


def test_images_unlike_all_that_was_trained_on_are_refused_with_the_reason(model):
    one = patient(50)
    ramp = np.where(np.arange(28)[:, None, None] % 2, 1.0, 9.0).astype(np.float32)
    with pytest.raises(InputError, match=r"cannot be used: FLAIR: \d+ % of its values .* lie outside"):
        predict(replace(one, images=one.images | {"flair": one.images["flair"] * ramp}), model)
    found = predict(replace(one, images=one.images | {"adc": one.images["adc"] * ramp}), model)
    assert found.channels == ("t1c", "flair")
    assert any(n.startswith("ADC was left out of the recurrence model") for n in found.notes)
    bare = predict(one.without(("diffusion",)), model)
    assert np.array_equal(found.probability, bare.probability)


def test_what_cannot_be_learned_from_is_said(patients):
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="8 patients cannot be parted into 9 folds"):
        grow(patients, VoxelwiseTraining(folds=9))
    with pytest.raises(InputError, match="no lesion at progression"):
        grow([replace(p, target=None) for p in patients], SETTINGS)
    with pytest.raises(InputError, match="rate is 0"):
        VoxelwiseTraining(rate=0.0)
