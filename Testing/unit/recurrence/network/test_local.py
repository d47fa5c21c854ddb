"""Local recurrence by the network: what it is asked in, patients without a target, and the command; the patients are balls."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import read_json, write_json
from gliosuite.images import array, boolean, read_image, write_image
from gliosuite.recurrence import predict
from gliosuite.recurrence.inputs import SEEN
from gliosuite.recurrence.network.shown import Shown, channels_in
from gliosuite.recurrence.network.train import train_network
from gliosuite.recurrence.settings import LOSSES_LOCAL, NetworkTraining
from gliosuite.statistics.roc import auc
from gliosuite.training import Model, read_model

from Testing.unit.recurrence.conftest import GRID, ball, patient

COMBINED = ("t1c", "flair", "ve")
SETTINGS = NetworkTraining(
    target="local", channels="combined", loss="bce", folds=2, base=4, epochs=10, learning_rate=0.05
)


def asked(seed, recurs=True):
    """A patient whose ve is high where it recurs, inside a lesion that does not enhance."""
    one = patient(seed)
    rng = np.random.default_rng([910000, seed])
    centre = np.argwhere(one.masks["cel"]).mean(axis=0) * 3.0
    t2l = ball(centre, 18) & one.masks["brain"]
    later = ball(centre + 11 * (v := rng.standard_normal(3)) / np.linalg.norm(v), 6) & recurs
    ve = np.where(t2l, 0.2 + 0.3 * later, np.nan) + rng.normal(0, 0.03, GRID.shape)
    images = {n: one.images[n] for n in ("t1c", "flair")} | {"ve": ve.astype(np.float32)}
    return replace(one, images=images, masks=one.masks | {"t2l": t2l}, target=None).local(later)


@pytest.fixture(scope="module")
def cohort():
    return [asked(i, recurs=i % 3 > 0) for i in range(9)]


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    return train_network(cohort, SETTINGS, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def model(trained):
    return Model(trained.weights, trained.about | {"trained_on": "9 balls", "threshold": 0.5, "weights_sha256": ""})


def test_it_is_asked_and_learns_in_the_lesion_that_does_not_enhance():
    one = patient(3)
    masks = one.masks | {"cavity": ball((42, 48, 30), 6)}
    later = ball((42, 48, 60), 15)
    local = replace(one, masks=masks).local(later, ball((42, 48, 42), 3))
    nel = local.masks["nel"]
    assert not (nel & (masks["cel"] | masks["cavity"] | ball((42, 48, 42), 3) | ~masks["t2l"])).any()
    assert np.array_equal(local.target, later & nel)
    assert not local.certain.any()
    shown = Shown.of(local, COMBINED[:2])
    assert np.array_equal(shown.where, nel)
    assert np.array_equal(shown.region, nel[shown.box])
    assert np.median(shown.images[0][shown.region]) == pytest.approx(0, abs=1e-6)
    assert shown.images[0][shown.region].std() == pytest.approx(1, rel=0.2), "in standard deviations of this lesion"
    assert not shown.images[:, ~shown.region].any(), "what lies outside is more different than what is to be found"
    low, high = np.zeros(2, np.float32), np.ones(2, np.float32)
    assert len(shown.stacked(low, high)) == channels_in(COMBINED[:2]) == 6
    assert channels_in(SEEN) == 24
    with pytest.raises(InputError, match="no lesion that does not enhance"):
        replace(one, masks=one.masks | {"cel": one.masks["t2l"]}).local()


def test_held_out_maps_find_it_and_patients_without_it_stay_low(cohort, trained):
    for one, found in zip(cohort, trained.held_out):
        nel = one.masks["nel"]
        assert not found[~nel].any()
        if one.target.any():
            assert auc(one.target[nel], found[nel]).value > 0.9
    highest = np.array([m.max() for m in trained.held_out])
    recurred = np.array([p.target.any() for p in cohort])
    assert np.median(highest[recurred]) > highest[~recurred].max()
    assert trained.about["target"] == "local"
    assert trained.about["channels"] == list(COMBINED)


def test_a_half_is_where_held_out_voxels_have_the_highest_dice(cohort, trained):
    found = np.concatenate([m[p.masks["nel"]] for p, m in zip(cohort, trained.held_out)])
    truth = np.concatenate([p.target[p.masks["nel"]] for p in cohort])
    dice = lambda t: (found[truth] >= t).sum() / ((found >= t).sum() + truth.sum())
    assert dice(0.5 - 1e-5) == pytest.approx(max(dice(t) for t in np.unique(found)), abs=2e-3)


def test_an_image_that_it_was_told_to_look_at_is_needed(cohort, model, tmp_path):
    one = cohort[1]
    bare = replace(one, images={n: one.images[n] for n in ("t1c", "flair")})
    with pytest.raises(InputError, match="looks at t1c, flair, ve, and there is no ve"):
        predict(bare, model)
    with pytest.raises(InputError, match="looks at t1c, flair, ve, and there is no ve"):
        train_network([*cohort[:3], bare], SETTINGS, tmp_path)
    with pytest.raises(InputError, match="in no patient does tumour enhance later"):
        train_network([asked(i, recurs=False) for i in range(3)], SETTINGS, tmp_path)


def test_neither_question_is_taken_for_the_other(cohort, model):
    with pytest.raises(InputError, match="asked by recurrence predict and evaluate alone"):
        predict(replace(cohort[1], masks={n: v for n, v in cohort[1].masks.items() if n != "nel"}), model)
    with pytest.raises(InputError, match="no other model about local recurrence"):
        predict(cohort[1])


def test_settings_that_cannot_learn_it_are_refused():
    for loss in LOSSES_LOCAL:
        assert NetworkTraining(target="local", loss=loss).images() is None
    with pytest.raises(
        InputError, match=r"loss pcc learns nothing from patients without recurrence; pcc\+bce, dice\+bce, bce does"
    ):
        NetworkTraining(target="local")
    with pytest.raises(InputError, match="cho in --channels is not known; choose from conventional, combined, t1c"):
        NetworkTraining(channels="t1c,flair,cho")
    with pytest.raises(InputError, match="--channels is flair,ve; T1c and FLAIR"):
        NetworkTraining(channels="flair,ve")
    assert NetworkTraining(channels="ve,flair,t1c").images() == COMBINED


def results_of(one, folder):
    """What ``gliosuite run`` would have left."""
    mask = lambda where: one.grid.image(where.astype(np.uint8))
    for name, values in one.images.items():
        write_image(one.grid.image(values), folder / "registered" / f"{name}.nii.gz")
    for name in ("brain", "t2l", "cel"):
        write_image(mask(one.masks[name]), folder / "lesions" / f"{name}.nii.gz")
    write_image(mask(one.target), folder / "progression" / "progression_cel.nii.gz")
    write_json(folder / "run.json", {})
    return folder


def test_the_command_trains_it_asks_it_and_compares_two(cohort, tmp_path, gliosuite):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    cases = tmp_path / "cases"
    for i, one in enumerate(cohort):
        results_of(one, cases / f"case-{i}")
    quick = ("--folds", "2", "--base", "4", "--epochs", "2", "--learning-rate", "0.05")
    train = ("recurrence", "train", "--kind", "network", "--target", "local")
    for name in ("conventional", "combined"):
        code, _, err = gliosuite(*train, "--channels", name, *quick, "--cases", cases, "--out", tmp_path / name)
        assert code == 0, err
    folder = tmp_path / "combined" / "model"
    about = read_model(folder, "network").about
    assert about["settings"]["loss"] == "bce", "by default, where pcc learns nothing"
    assert about["recurred"] == 6
    assert about["figures"]["patients"] == 9
    card = " ".join((folder / "card.md").read_text().split())
    assert "Local recurrence by the network" in card
    assert "6 recurred locally" in card
    assert about["command"] in card
    asked_ = ("recurrence", "predict", cases / "case-1", "--model-folder", folder)
    code, _, err = gliosuite(*asked_, "--threshold", "0.01", "--out", tmp_path / "one")
    assert code == 0, err
    values = array(read_image(tmp_path / "one" / "probability.nii.gz"))
    record = read_json(tmp_path / "one" / "recurrence.json")
    assert record["voxels"] == (values >= 0.01).sum() > 0
    assert record["channels"] == list(COMBINED)
    assert not values[boolean(read_image(cases / "case-1" / "lesions" / "cel.nii.gz"))].any()
    both = ("--model-folder", tmp_path / "conventional" / "model", "--against", folder)
    code, _, err = gliosuite("recurrence", "evaluate", "--cases", cases, *both, "--out", tmp_path / "two")
    assert code == 0, err
    found = read_json(tmp_path / "two" / "evaluation.json")
    assert found["first"]["patients"] == found["second"]["patients"] == 9
    code, _, err = gliosuite("recurrence", "why", cases / "case-1", "--at", "0,0,0", "--model-folder", folder)
    assert code == 2
    assert "a model of local recurrence does not say what drove a voxel" in err
    code, _, err = gliosuite(*train, "--out", tmp_path / "nobody")
    assert code == 2
    assert "models of local recurrence are trained on cases" in err
