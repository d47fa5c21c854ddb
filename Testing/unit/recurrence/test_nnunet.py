"""nnU-Net on our cases: what it is shown, one epoch of it, patients as Yoon 2024 counts them."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import read_json, write_json
from gliosuite.images import Grid, array, read_image
from gliosuite.recurrence import Inputs
from gliosuite.recurrence.nnunet.cases import Patient, of_inputs, write_dataset
from gliosuite.recurrence.nnunet.judged import compared, reached
from gliosuite.recurrence.nnunet.predict import Verdict, predict, verdict
from gliosuite.recurrence.nnunet.settings import NnunetTraining
from gliosuite.recurrence.nnunet.train import train
from gliosuite.training import read_model, write_model

SHAPE = (24, 26, 28)
GRID = Grid.made(SHAPE[::-1], (3, 3, 3), (0, 0, 0), np.eye(3).ravel())


def ball(middle, radius):
    away = np.indices(SHAPE) - np.array(middle)[:, None, None, None]
    return (away**2).sum(axis=0) < radius**2


def patient(seed, recurs=True):
    """A patient with a bright spot where it recurs."""
    rng = np.random.default_rng([900000, seed])
    brain, nel = ball((12, 13, 14), 11), ball(12 + rng.uniform(-3, 3, 3), 5)
    label = ball(12 + rng.uniform(-1, 1, 3), 3) & nel & recurs
    noise = lambda: rng.normal(0, 0.1, SHAPE).astype(np.float32)
    return Patient({"t1c": brain + label + noise(), "flair": brain + nel + noise()}, brain, nel, GRID, label)


@pytest.fixture(scope="module")
def cohort():
    return {f"case {i}": patient(i, recurs=i % 3 > 0) for i in range(10)}


def test_label_is_new_enhancement_inside_the_lesion_that_did_not_enhance():
    t2l, cel, cavity, necrosis = (
        ball((12, 12, 12), 6),
        ball((12, 12, 12), 2),
        ball((9, 12, 12), 2),
        ball((15, 12, 12), 2),
    )
    masks = {"brain": ball((12, 12, 12), 11), "cel": cel, "t2l": t2l, "cavity": cavity}
    images = {n: np.ones(SHAPE, np.float32) for n in ("t1c", "flair", "ve")}
    images["ve"][0] = np.nan
    made = of_inputs(Inputs(images, masks, GRID), ("t1c", "flair", "ve"), ball((12, 12, 16), 5), necrosis)
    assert made.label[made.label].size
    assert not (made.label & (cel | cavity | necrosis | ~t2l)).any()
    assert np.array_equal(made.label, ball((12, 12, 16), 5) & made.nel)
    assert made.recurred
    assert list(made.images) == ["t1c", "flair", "ve"]
    assert made.images["ve"][0].max() == 0
    elsewhere = of_inputs(Inputs(images, masks, GRID), ("t1c", "flair"), ball((12, 12, 21), 2))
    assert not elsewhere.recurred, "what enhances outside the lesion is no local recurrence"


def test_an_image_that_the_network_needs_is_named():
    masks = {
        "brain": np.ones(SHAPE, bool),
        **{n: np.zeros(SHAPE, bool) for n in ("cel", "cavity")},
        "t2l": ball((9, 9, 9), 3),
    }
    inputs = Inputs({"t1c": np.ones(SHAPE, np.float32), "flair": np.full(SHAPE, np.nan, np.float32)}, masks, GRID)
    with pytest.raises(InputError, match="t1c, flair, ve, and there is no FLAIR, no ve"):
        of_inputs(inputs, NnunetTraining(channels="combined").images())


def test_dataset_is_as_nnunet_reads_it(tmp_path, cohort):
    recurred = write_dataset(list(cohort), cohort.__getitem__, tmp_path)
    assert sum(recurred.values()) == 6
    folder = tmp_path / "Dataset001_Recurrence"
    about = read_json(folder / "dataset.json")
    assert about["channel_names"] == {"0": "t1c", "1": "flair"}
    assert about["numTraining"] == len(cohort)
    assert about["labels"] == {"background": 0, "recurrence": 1}
    assert read_json(folder / "cases.json")["patient_0004"] == ["case 4", True]
    again = read_image(folder / "imagesTr" / "patient_0004_0001.nii.gz")
    np.testing.assert_allclose(array(again), cohort["case 4"].images["flair"], rtol=1e-6)
    assert again.GetSpacing() == GRID.spacing
    label = array(read_image(folder / "labelsTr" / "patient_0004.nii.gz"))
    assert np.array_equal(label > 0, cohort["case 4"].label)
    assert not array(read_image(folder / "labelsTr" / "patient_0003.nii.gz")).any()


@pytest.mark.slow
def test_one_epoch_of_a_tiny_plan(tmp_path, cohort):
    pytest.importorskip("nnunetv2")
    settings = NnunetTraining(fold="2", epochs=1, iterations=2, memory_gb=1.0, grid_mm=3.0)
    said = []
    work = tmp_path / "work with a space"
    model, fold = train(
        list(cohort), cohort.__getitem__, settings, work, progress=lambda share, what: said.append((share, what))
    )
    assert "fold 2, epoch 1 of 1" in [w for _, w in said]
    assert [s for s, _ in said] == sorted(s for s, _ in said)
    # Each patient lies in the validation part of his fold and in no training part of it.
    parts = read_json(work / "preprocessed" / "Dataset001_Recurrence" / "splits_final.json")
    for i, name in enumerate(cohort):
        k = int(fold[name])
        assert f"patient_{i:04d}" in parts[k]["val"]
        assert f"patient_{i:04d}" not in parts[k]["train"]
        assert sum(f"patient_{i:04d}" in p["val"] for p in parts) == 1
    write_model(tmp_path / "model", model, "a card")
    model = read_model(tmp_path / "model", "nnunet")
    one = cohort["case 1"]
    found = predict(one, model)
    assert found.shape == SHAPE
    assert found.dtype == np.float32
    assert not found[~one.brain].any()
    assert 0 < found.max() <= 1
    assert found[one.brain].std() > 0
    np.testing.assert_allclose(predict(one, model, ("2",)), found, atol=1e-5)
    with pytest.raises(InputError, match="model looks at t1c, flair, and flair, t1c were given"):
        predict(replace(one, images=dict(reversed(one.images.items()))), model)
    with pytest.raises(InputError, match="voxels of 1 mm were given, and the model was trained on 3 mm"):
        predict(replace(one, grid=replace(GRID, spacing=(1.0, 1.0, 1.0))), model)
    # What is there is not done again; another job is refused there.
    before = (work / "fold_2.safetensors").stat().st_mtime_ns
    again, _ = train(list(cohort), cohort.__getitem__, settings, work)
    assert (work / "fold_2.safetensors").stat().st_mtime_ns == before
    assert all(np.array_equal(v, model.weights[n]) for n, v in again.weights.items())
    with pytest.raises(InputError, match="other settings or patients"):
        train(list(cohort), cohort.__getitem__, replace(settings, epochs=2), work)


def test_what_nnunet_refuses_is_said(tmp_path, cohort):
    with pytest.raises(InputError, match="4 patients; nnU-Net's five folds need 10"):
        train(list(cohort)[:4], cohort.__getitem__, NnunetTraining(), tmp_path)
    nobody = lambda name: replace(cohort[name], label=np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="in no patient does tumour enhance later"):
        train(list(cohort), nobody, NnunetTraining(), tmp_path / "nobody")
    (tmp_path / "broken").mkdir()
    write_json(tmp_path / "broken" / "plans.json", {})
    with pytest.raises(InputError, match=r"nnU-Net ended with an error .*nnunet\.log"):
        train(list(cohort), cohort.__getitem__, NnunetTraining(), tmp_path / "broken")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channels": "t1c,flairr"}, "flairr in --channels is not known; choose from conventional, combined, t1c"),
        ({"channels": "t1c,t1c"}, "needs each image once"),
        ({"fold": "0,5"}, "--fold is '0,5'; all, or numbers from 0 to 4"),
        ({"fold": "all,1"}, "--fold is 'all,1'"),
        ({"grid_mm": 9.0}, "grid_mm is 9; 0.5 to 4 mm is needed"),
    ],
)
def test_settings_are_refused_in_a_sentence(given, said):
    with pytest.raises(InputError, match=said):
        NnunetTraining(**given)


def test_settings_name_the_papers_sets():
    assert NnunetTraining().images() == ("t1c", "flair")
    assert NnunetTraining(channels="combined").images() == ("t1c", "flair", "ve")
    assert NnunetTraining(fold=" 0, 3").folds() == ("0", "3")


def test_a_voxel_is_enough_and_pieces_are_connected_by_corners():
    map_ = np.zeros((4, 4, 4), np.float32)
    assert not verdict(map_).positive
    map_[1, 1, 1], map_[2, 2, 2], map_[0, 3, 3] = 0.5, 0.6, 0.9
    assert verdict(map_) == Verdict(True, 3, 2, 0.9)
    assert not verdict(map_, min_voxels=3).positive
    assert verdict(map_, 0.95).voxels == 0


def test_yoons_own_table_is_reproduced():
    # 15 patients with and 18 without recurrence; sensitivity 12 and 6, specificity 8 and 9; all six discordant ones go one way.
    recurred = [True] * 15 + [False] * 18
    said = lambda hits, right: [
        Verdict(p, int(p), int(p), 0.6 if p else 0.2)
        for p in [True] * hits + [False] * (15 - hits) + [False] * right + [True] * (18 - right)
    ]
    found = compared(recurred, said(6, 9), said(12, 8))
    value, low, high, hits, n = found["second"]["sensitivity"]
    assert (hits, n) == (12, 15)
    assert [round(100 * v) for v in (value, low, high)] == [80, 52, 96]
    assert [round(100 * v) for v in found["first"]["sensitivity"][:3]] == [40, 16, 68]
    assert [round(100 * v) for v in found["second"]["specificity"][:3]] == [44, 22, 69]
    assert found["p_mcnemar_sensitivity"] == pytest.approx(0.03125)
    assert found["p_mcnemar_specificity"] == 1
    assert found["sensitivity_difference"] == pytest.approx(0.4)
    assert found["second"]["balanced_accuracy"] == pytest.approx((0.8 + 8 / 18) / 2)


def test_a_cohort_of_one_kind_has_no_specificity():
    found = reached([True, True], [Verdict(True, 1, 1, 0.7), Verdict(False, 0, 0, 0.1)])
    assert found["sensitivity"][0] == 0.5
    assert found["specificity"] is None
    assert found["auc"] is None
    assert found["balanced_accuracy"] is None
