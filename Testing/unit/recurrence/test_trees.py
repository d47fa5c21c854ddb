"""Trees without the library that grew them."""

import numpy as np
import pytest
from gliosuite.recurrence import trees
from gliosuite.recurrence.trees import Trees


@pytest.fixture(scope="module")
def grown():
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    y = np.nan_to_num(x[:, 0]) + np.where(np.isnan(x[:, 1]), 1, 0) + rng.normal(0, 0.5, 4000) > 0.3
    models = [
        ensemble.HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=9, random_state=i).fit(x[i::2], y[i::2])
        for i in range(2)
    ]
    return models, x


@pytest.mark.parametrize("compiled", [False, True])
def test_they_say_what_scikit_learn_says(grown, compiled, monkeypatch):
    models, x = grown
    if compiled:
        pytest.importorskip("numba")
    monkeypatch.setattr(trees, "worthwhile", lambda n: compiled)
    found = Trees.grown(models).log_odds(x)
    assert found.shape == (2, 4000)
    for one, model in zip(found, models):
        assert np.abs(one - model.decision_function(x)).max() < 1e-9
        assert np.abs(1 / (1 + np.exp(-one)) - model.predict_proba(x)[:, 1]).max() < 1e-6


def test_both_ways_give_the_same_to_the_last_digit(grown, monkeypatch):
    pytest.importorskip("numba")
    found = []
    for compiled in (False, True):
        monkeypatch.setattr(trees, "worthwhile", lambda n, c=compiled: c)
        found.append(Trees.grown(grown[0]).log_odds(grown[1]))
    assert np.array_equal(*found)


def test_arrays_come_back(grown):
    one = Trees.grown(grown[0])
    assert np.array_equal(Trees.of(one.arrays()).log_odds(grown[1][:50]), one.log_odds(grown[1][:50]))
