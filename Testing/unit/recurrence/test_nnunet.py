"""nnU-Net on our cases: what it is shown, one epoch of it, patients as Yoon 2024 counts them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.files import read_json, write_json
from gliosuite.images import Grid, array, read_image, write_image
from gliosuite.recurrence import Inputs
from gliosuite.recurrence.ensemble import folds_of
from gliosuite.recurrence.nnunet.cases import Patient, of_inputs, write_dataset
from gliosuite.recurrence.nnunet.judged import compared, reached
from gliosuite.recurrence.nnunet.predict import Verdict, predict, verdict
from gliosuite.recurrence.nnunet.settings import NnunetTraining
from gliosuite.recurrence.nnunet.train import train
from gliosuite.training import read_model

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
    made = of_inputs(Inputs(images, masks, GRID).local(ball((12, 12, 16), 5), necrosis), ("t1c", "flair", "ve"))
    assert made.label[made.label].size
    assert not (made.label & (cel | cavity | necrosis | ~t2l)).any()
    assert np.array_equal(made.label, ball((12, 12, 16), 5) & made.nel)
    assert made.recurred
    assert list(made.images) == ["t1c", "flair", "ve"]
    assert made.images["ve"][0].max() == 0
    elsewhere = of_inputs(Inputs(images, masks, GRID).local(ball((12, 12, 21), 2)), ("t1c", "flair"))
    assert not elsewhere.recurred, "what enhances outside the lesion is no local recurrence"


def test_an_image_that_the_network_needs_is_named():
    masks = {
        "brain": np.ones(SHAPE, bool),
        **{n: np.zeros(SHAPE, bool) for n in ("cel", "cavity")},
        "t2l": ball((9, 9, 9), 3),
    }
    inputs = Inputs({"t1c": np.ones(SHAPE, np.float32), "flair": np.full(SHAPE, np.nan, np.float32)}, masks, GRID)
    with pytest.raises(InputError, match="t1c, flair, ve, and there is no FLAIR, no ve"):
        of_inputs(inputs.local(), NnunetTraining(channels="combined").images())


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


def results_of(one, folder):
    """What ``gliosuite run`` would have left."""
    mask = lambda where: GRID.image(where.astype(np.uint8))
    for name, values in one.images.items():
        write_image(GRID.image(values.astype(np.float32)), folder / "registered" / f"{name}.nii.gz")
    for name, where in {"brain": one.brain, "t2l": one.nel}.items():
        write_image(mask(where), folder / "lesions" / f"{name}.nii.gz")
    write_image(mask(one.label), folder / "progression" / "progression_cel.nii.gz")
    write_json(folder / "run.json", {})
    return folder


TINY = ("--fold", "2", "--nnunet-epochs", "1", "--iterations", "2", "--memory-gb", "1", "--grid-mm", "3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cohort):
    """One epoch of a tiny plan of one fold: where cases and training lie."""
    pytest.importorskip("nnunetv2")
    from gliosuite.cli import main

    folder = tmp_path_factory.mktemp("a folder with spaces")
    for name, one in cohort.items():
        results_of(one, folder / "cases" / name)
    train_ = ["recurrence", "train", "--kind", "nnunet", "--cases", str(folder / "cases"), *TINY]
    assert main([*train_, "--out", str(folder / "out")]) == 0
    return folder


@pytest.mark.slow
def test_one_epoch_of_a_tiny_plan(trained, cohort):
    work = trained / "out" / "nnunet"
    model = read_model(trained / "out" / "model", "nnunet")
    names = sorted(cohort)
    fold = folds_of(len(names), 5, 1)
    # Each patient lies in the validation part of his fold and in no training part of it.
    parts = read_json(work / "preprocessed" / "Dataset001_Recurrence" / "splits_final.json")
    for i, k in enumerate(fold):
        assert f"patient_{i:04d}" in parts[k]["val"]
        assert f"patient_{i:04d}" not in parts[k]["train"]
        assert sum(f"patient_{i:04d}" in p["val"] for p in parts) == 1
    figures = model.about["figures"]
    assert figures["patients"] == (fold == 2).sum(), "held-out patients alone"
    assert model.about["recurred"] == 6
    card = (trained / "out" / "model" / "card.md").read_text()
    assert model.about["command"] in card
    assert "6 recurred locally" in " ".join(card.split())
    one = cohort["case 1"]
    found = predict(one, model)
    assert found.shape == SHAPE
    assert found.dtype == np.float32
    assert not found[~one.brain].any()
    assert 0 < found.max() <= 1
    assert found[one.brain].std() > 0
    with pytest.raises(InputError, match="model looks at t1c, flair, and flair, t1c were given"):
        predict(replace(one, images=dict(reversed(one.images.items()))), model)
    with pytest.raises(InputError, match="voxels of 1 mm were given, and the model was trained on 3 mm"):
        predict(replace(one, grid=replace(GRID, spacing=(1.0, 1.0, 1.0))), model)
    # What is there is not done again; another job is refused there.
    settings = NnunetTraining(fold="2", nnunet_epochs=1, iterations=2, memory_gb=1.0, grid_mm=3.0)
    before = (work / "fold_2.safetensors").stat().st_mtime_ns
    again, _ = train(names, cohort.__getitem__, settings, work)
    assert (work / "fold_2.safetensors").stat().st_mtime_ns == before
    assert all(np.array_equal(v, model.weights[n]) for n, v in again.weights.items())
    with pytest.raises(InputError, match="other settings or patients"):
        train(names, cohort.__getitem__, replace(settings, nnunet_epochs=2), work)


@pytest.mark.slow
def test_a_patient_is_predicted_and_models_are_compared(trained, tmp_path, gliosuite):
    model = trained / "out" / "model"
    case = trained / "cases" / "case 1"
    code, _, err = gliosuite(
        "recurrence", "predict", case, "--model-folder", model, "--threshold", "0.01", "--out", tmp_path / "one"
    )
    assert code == 0, err
    values = array(read_image(tmp_path / "one" / "probability.nii.gz"))
    record = read_json(tmp_path / "one" / "recurrence.json")
    assert record["model"] == "nnunet"
    assert record["threshold"] == 0.01
    assert record["highest"] == pytest.approx(values.max(), abs=1e-5)
    assert record["voxels"] == (values >= 0.01).sum()
    assert record["positive"] is bool(record["voxels"])
    both = ("--model-folder", model, "--against", model)
    code, _, err = gliosuite("recurrence", "evaluate", "--cases", trained / "cases", *both, "--out", tmp_path / "two")
    assert code == 0, err
    found = read_json(tmp_path / "two" / "evaluation.json")
    assert found["first"] == found["second"]
    assert found["first"]["patients"] == 10
    assert (found["sensitivity_difference"], found["p_mcnemar_sensitivity"]) == (0, 1)
    rows = (tmp_path / "two" / "evaluation.csv").read_text().splitlines()
    assert (
        rows[0]
        == "case,recurred,positive,voxels,largest,highest,positive_against,voxels_against,largest_against,highest_against"
    )
    assert len(rows) == 11


@pytest.mark.slow
def test_what_the_command_refuses_is_said(trained, tmp_path, gliosuite):
    model, case = trained / "out" / "model", trained / "cases" / "case 1"

    def said(*words):
        code, _, err = gliosuite("recurrence", *words, "--out", tmp_path / "out")
        assert code == 2
        return err

    assert "models of local recurrence are trained on cases" in said("train", "--kind", "nnunet")
    assert "--rounds is for --kind voxelwise, and nnunet is trained" in said(
        "train", "--kind", "nnunet", "--rounds", "3"
    )
    assert "--fold is for --kind nnunet, and voxelwise is trained" in said("train", "--fold", "1")
    assert "no nnU-Net travels with the library" in said("predict", case, "--kind", "nnunet")
    assert "--threshold is for models of local recurrence" in said("predict", case, "--threshold", ".5")
    assert "--threshold is 5; more than 0" in said("predict", case, "--model-folder", model, "--threshold", "5")
    assert "a model of local recurrence does not say what drove a voxel" in said(
        "why", case, "--at", "0,0,0", "--model-folder", model
    )
    nothing = shutil.copytree(case, tmp_path / "nothing later", ignore=shutil.ignore_patterns("progression"))
    assert nothing.is_dir()
    assert "there is no later visit (progression)" in said("evaluate", "--cases", tmp_path, "--model-folder", model)


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
