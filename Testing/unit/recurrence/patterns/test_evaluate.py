import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.patterns import evaluate
from gliosuite.recurrence.patterns.evaluate import calibration, compared, figures, folds_of, train, youden
from gliosuite.recurrence.patterns.settings import PatternSettings
from scipy.special import expit

from .conftest import PLANTED, drawn, names

SETTINGS = PatternSettings(kind="logistic", select=PLANTED, folds=4)


@pytest.fixture
def quick(monkeypatch):
    """No forests or perceptrons beside the chosen kind, which take seconds."""
    monkeypatch.setattr(evaluate, "KINDS", ("logistic", "svm"))


def test_planted_features_are_chosen_in_every_fold_and_tell_held_out_patients(quick):
    x, y = drawn()
    made = train(x, y, names(), SETTINGS)
    assert set(made.model.classifier.features) == set(names()[:PLANTED])
    assert [set(c) for c in made.folds.chosen] == [set(names()[:PLANTED])] * 4
    found = figures(made.folds, y)
    assert found["n"] == 80
    assert found["auc"][1] <= found["auc"][0] <= found["auc"][2]
    assert found["auc"][0] > 0.9
    assert found["brier"] < 0.6 * found["brier_of_the_share"]
    assert figures(made.split, y)["n"] == 16
    assert compared(made.folds, y)["svm"]["auc"][0] > 0.9


def test_without_an_effect_held_out_patients_are_told_by_chance(quick):
    areas = []
    for seed in range(6):
        x, y = drawn(n=60, p=200, effect=0.0, seed=10 + seed)
        areas.append(figures(train(x, y, names(200), SETTINGS).folds, y)["auc"][0])
    # Selection outside the folds gives .9 and more on such tables (bench_patterns.py).
    assert 0.35 < np.mean(areas) < 0.65


def test_no_held_out_patient_reaches_what_judges_it(quick, monkeypatch):
    x, y = drawn(n=40, p=12)
    seen = []
    choose, fit = evaluate.select, evaluate.fit_classifier
    monkeypatch.setattr(evaluate, "select", lambda x, *more: seen.append(x) or choose(x, *more))
    monkeypatch.setattr(evaluate, "fit_classifier", lambda k, x, *more: seen.append(x) or fit(k, x, *more))
    before = evaluate._held_out(x, y, names(12), [(np.arange(30), np.arange(30, 40))], SETTINGS, lambda *_: None)
    x[30:] += 1000 * np.random.default_rng(5).standard_normal((10, 12))
    assert all(np.abs(one).max() < 100 for one in seen)
    after = evaluate._held_out(x, y, names(12), [(np.arange(30), np.arange(30, 40))], SETTINGS, lambda *_: None)
    assert before.chosen == after.chosen
    assert not np.array_equal(before.score, after.score)


def test_probabilities_are_what_came_true():
    rng = np.random.default_rng(3)
    odds = rng.normal(0, 1.5, 4000)
    y = rng.random(4000) < expit(odds)
    assert calibration(10 * odds + 3, y) == pytest.approx((0.1, -0.3), abs=0.07)
    slope, offset = calibration(-odds, y)
    assert slope == 0
    assert expit(offset) == pytest.approx(y.mean(), abs=0.01)


def test_the_threshold_is_that_of_the_highest_sum():
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7])
    assert youden(p, np.array([0, 0, 1, 0, 1, 1], bool)) == pytest.approx(0.25)


def test_folds_hold_both_classes_in_equal_shares():
    _, y = drawn(n=50, share=0.8)
    fold = folds_of(y, PatternSettings(folds=5))
    assert [(~y[fold == k]).sum() for k in range(5)] == [2] * 5


def test_too_small_a_class_is_refused():
    x, y = drawn(n=30, share=0.8)
    with pytest.raises(
        InputError,
        match=r"24 patients have the outcome and 6 have not; 8 of each at least are needed for 4 folds and a split",
    ):
        train(x, y, names(), SETTINGS)


def test_classes_that_do_not_overlap_have_no_interval():
    y = np.arange(20) < 10
    held = evaluate.HeldOut(np.arange(20), np.zeros(20, int), y + 0.0, 0.8 * y + 0.1, y, {"svm": -1.0 * y}, [])
    assert figures(held, y)["auc"] == [1.0, None, None]
    assert evaluate.said([1.0, None, None], 2) == "1.00 (no interval: the classes do not overlap)"
    assert evaluate.said([0.8, 0.7, 0.9]) == "0.800 (0.700-0.900)"
