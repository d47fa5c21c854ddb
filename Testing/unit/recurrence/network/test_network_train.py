"""Training by folds of patients, what a trained network says, and the search; the patients are balls."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence import predict
from gliosuite.recurrence.ensemble import folds_of
from gliosuite.recurrence.network.ask import log_odds, members
from gliosuite.recurrence.network.search import GRID, RANDOM, search
from gliosuite.recurrence.network.shown import Shown
from gliosuite.recurrence.network.train import train_member, train_network
from gliosuite.recurrence.reasons import HOW_NETWORK, reasons
from gliosuite.recurrence.settings import NetworkTraining
from gliosuite.statistics.roc import auc
from gliosuite.training import Model

from Testing.unit.recurrence.conftest import patient

torch = pytest.importorskip("torch")
SETTINGS = NetworkTraining(folds=2, base=4, epochs=12, learning_rate=0.05)
TINY = replace(SETTINGS, epochs=1)


@pytest.fixture(scope="module")
def trained(patients, tmp_path_factory):
    pytest.importorskip("sklearn")
    return train_network(patients, SETTINGS, tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def model(trained):
    more = {"trained_on": "8 balls", "threshold": 0.2, "weights_sha256": "", "simulated": True}
    return Model(trained.weights, trained.about | more)


def outside(one):
    return one.masks["brain"] & ~one.masks["t2l"] & (one.away("t2l") <= 40)


def test_held_out_maps_find_what_was_planted(patients, trained):
    areas = [auc(o.target[outside(o)], m[outside(o)]).value for o, m in zip(patients, trained.held_out)]
    assert np.mean(areas) > 0.9
    for one, found in zip(patients, trained.held_out):
        assert (found[one.masks["t2l"]] == 1).all()
        assert (found[~one.masks["brain"]] == 0).all()


def test_the_loss_falls_and_the_best_epoch_is_kept(trained, patients, tmp_path):
    views = [Shown.of(p) for p in patients[:3]]
    _, rows = train_member(views, SETTINGS, 0, tmp_path)
    assert rows[-1][1] < 0.8 * rows[0][1]
    for member in trained.about["learning"].values():
        assert 1 <= member["best"] <= member["epochs"] <= SETTINGS.epochs


def test_training_ends_when_nothing_gets_better(patients, tmp_path):
    views = [Shown.of(p) for p in patients[:3]]
    stuck = replace(SETTINGS, learning_rate=1e-9, patience=2)
    _, rows = train_member(views, stuck, 0, tmp_path)
    losses = [r[2] for r in rows]
    assert len(rows) < SETTINGS.epochs
    assert min(losses[-2:]) >= min(losses[:-2])


def test_a_run_that_was_stopped_equals_one_that_was_not(patients, tmp_path):
    views = [Shown.of(p) for p in patients[:3]]

    def stopped(share, _text):
        if share > 0.4:
            raise KeyboardInterrupt

    whole, rows = train_member(views, replace(SETTINGS, epochs=3), 0, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        # The checkpoint of an epoch is written after its progress is told.
        train_member(views, replace(SETTINGS, epochs=3), 0, tmp_path / "stopped", progress=stopped)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    again, other = train_member(views, replace(SETTINGS, epochs=3), 0, tmp_path / "stopped")
    assert rows == other
    for name, values in whole.items():
        assert np.array_equal(values, again[name]), name


def test_a_patient_reaches_no_member_of_his_own_fold(patients, tmp_path):
    """But by the calibration, a scale and an offset of the last layer."""
    fold = folds_of(len(patients), SETTINGS.folds, SETTINGS.seed)
    own = int(np.flatnonzero(fold == 0)[0])
    changed = list(patients)
    changed[own] = patient(77)
    short = replace(SETTINGS, epochs=1)
    trained, other = (train_network(p, short, tmp_path / str(i)) for i, p in enumerate((patients, changed)))
    of = lambda found, k: {n: v for n, v in found.weights.items() if n.startswith(f"{k}.")}
    for name, values in of(trained, 0).items():
        if ".last." not in name:
            assert np.array_equal(values, other.weights[name]), name
    one, two = (found.weights["0.last.weight"].ravel().astype(float) for found in (trained, other))
    assert one / two == pytest.approx((one / two)[0], rel=5e-3)
    assert any(not np.array_equal(v, other.weights[n]) for n, v in of(trained, 1).items())


def test_half_precision_is_enough(trained, patients):
    assert trained.about["half_differs"] <= 0.005
    assert members(trained.weights) == ["0", "1"]
    assert trained.weights["0.last.weight"].dtype == np.float16
    assert trained.weights["0.low"].dtype == np.float32


def test_probabilities_come_true_as_often_as_they_say(trained):
    for r in trained.about["reliability"]:
        if r["voxels"] > 3000:
            assert abs(r["predicted"] - r["recurred"]) < 0.05


def test_each_member_is_calibrated_by_itself(patients, trained):
    """So that one scale, next to none, suits all."""
    from gliosuite.recurrence.ensemble import platt
    from gliosuite.recurrence.network.ask import of_member

    assert trained.about["calibration"]["slope"] == pytest.approx(1, abs=0.05)
    assert trained.about["calibration"]["offset"] == pytest.approx(0, abs=0.1)
    fold = folds_of(len(patients), SETTINGS.folds, SETTINGS.seed)
    for k in range(SETTINGS.folds):
        views = [Shown.of(p) for p, f in zip(patients, fold) if f == k]
        scores = np.concatenate([log_odds(of_member(trained.weights, k), v) for v in views])
        found = platt(scores, np.concatenate([v.target[v.inner] for v in views]))
        assert found["slope"] == pytest.approx(1, abs=0.02)


def test_a_new_patient_is_predicted_with_how_far_members_differ(model):
    one = replace(patient(50), target=None)
    found = predict(one, model)
    truth = patient(50).target[outside(one)]
    assert auc(truth, found.probability[outside(one)]).value > 0.9
    assert found.sd[found.predicted].max() > 0
    assert (found.sd[~found.predicted] == 0).all()
    assert found.channels == ("t1c", "flair", "adc")
    assert found.record["model"] == "network"
    assert np.array_equal(found.probability, predict(patient(50), model).probability), "the target plays no part"


def test_channels_may_be_missing_or_unlike_and_what_is_needed_is_refused(model):
    one = patient(50)
    bare = predict(one.without(("diffusion",)), model)
    assert bare.channels == ("t1c", "flair")
    assert bare.probability[bare.predicted].std() > 0
    ramp = np.where(np.arange(28)[:, None, None] % 2, 1.0, 9.0).astype(np.float32)
    found = predict(replace(one, images=one.images | {"adc": one.images["adc"] * ramp}), model)
    assert np.array_equal(found.probability, bare.probability)
    assert any(n.startswith("ADC was left out of the recurrence model") for n in found.notes)
    with pytest.raises(InputError, match=r"cannot be used: FLAIR: \d+ % of its values .* lie outside"):
        predict(replace(one, images=one.images | {"flair": one.images["flair"] * ramp}), model)
    extra = predict(replace(one, images=one.images | {"naa": one.images["adc"]}), model)
    assert any("trained without it" in n for n in extra.notes)
    assert np.array_equal(extra.probability, predict(one, model).probability)


def test_voxels_that_are_not_numbers_do_no_harm(model):
    one = patient(50)
    for name in ("t1c", "adc"):
        image = one.images[name].copy()
        image[::3] = np.nan
        image[0, 0, 0] = np.inf
        one = replace(one, images=one.images | {name: image})
    found = predict(one, model)
    assert np.isfinite(found.probability).all()
    assert np.isfinite(found.sd).all()


def test_what_drove_a_voxel_is_told(model):
    one = patient(50)
    spread = one.target & ~one.masks["t2l"] & (one.away("t2l") > 6)
    voxel = [int(i) for i in np.argwhere(spread)[0]]
    place = one.grid.blank().TransformIndexToPhysicalPoint(voxel[::-1])
    found = reasons(one, place, model)
    asked = predict(one, model)
    assert found.probability == pytest.approx(float(asked.probability[tuple(voxel)]), abs=1e-5)
    assert found.sd == pytest.approx(float(asked.sd[tuple(voxel)]), abs=1e-5)
    adc = next(r for r in found.reasons if r.input == "ADC")
    without = predict(one.without(("diffusion",)), model)
    assert adc.without == pytest.approx(float(without.probability[tuple(voxel)]), abs=1e-5)
    assert adc.value < 0.9
    assert found.notes[: len(HOW_NETWORK)] == HOW_NETWORK
    lesion = [int(i) for i in np.argwhere(one.masks["t2l"])[0]]
    inside = one.grid.blank().TransformIndexToPhysicalPoint(lesion[::-1])
    with pytest.raises(InputError, match="lies in the lesion"):
        reasons(one, inside, model)


def test_a_folder_of_another_training_is_refused(patients, tmp_path):
    train_network(patients, TINY, tmp_path)
    with pytest.raises(InputError, match="holds a training with other patients or settings"):
        train_network(patients, replace(TINY, loss="dice"), tmp_path)
    with pytest.raises(InputError, match="holds a training with other patients or settings"):
        train_network(patients[:-1], TINY, tmp_path)
    with pytest.raises(InputError, match="no lesion at progression"):
        train_network([replace(p, target=None) for p in patients], TINY, tmp_path / "other")


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="base is 6; a multiple of 4 is needed"):
        NetworkTraining(base=6)
    with pytest.raises(InputError, match="learning_rate is 0"):
        NetworkTraining(learning_rate=0.0)


def test_a_search_tries_a_grid_and_then_between_its_best_s_neighbours(patients, tmp_path):
    found = search(patients[:3], TINY, ((4,), (0.001, 0.02), (1,)), 1, tmp_path)
    assert [t.phase for t in found] == [GRID, GRID, RANDOM]
    assert [t.settings.learning_rate for t in found[:2]] == [0.001, 0.02]
    assert 0.001 < found[2].settings.learning_rate < 0.02
    assert all(0 < t.tversky < 1 and t.epochs == t.best_epoch == 1 for t in found)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("checkpoint.pt")}
    assert search(patients[:3], TINY, ((4,), (0.001, 0.02), (1,)), 1, tmp_path) == found
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("checkpoint.pt")}


def test_without_torch_there_is_one_sentence(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match="torch is needed for the recurrence network"):
        predict(patient(50), model)
    with pytest.raises(InputError, match="torch is needed for training"):
        train_network([], SETTINGS, None)


def test_log_odds_of_a_member_are_those_of_the_box_alone(trained, patients):
    one = Shown.of(patients[0])
    weights = {n.removeprefix("0."): v for n, v in trained.weights.items() if n.startswith("0.")}
    assert log_odds(weights, one).shape == (int(one.where.sum()),)
