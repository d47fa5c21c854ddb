import csv

import numpy as np
import pytest
from gliosuite.recurrence.explain import explained
from gliosuite.recurrence.patterns import shapley


@pytest.fixture
def linear():
    x = np.random.default_rng(1).normal(3, 2, (12, 4))
    mean, sd = x.mean(axis=0), x.std(axis=0)
    coef = np.array([1.0, -0.5, 0.0, 0.2])
    return x, explained(lambda x: (x - mean) / sd @ coef + 0.3, x, tuple("abcd"), mean, sd), coef


def test_a_linear_model_is_explained_exactly(linear):
    _, found, coef = linear
    assert found.base == pytest.approx(0.3)
    assert found.values == pytest.approx(found.z * coef, abs=1e-4)
    assert found.order[0] == 0


def test_values_sum_to_what_the_model_says_where_features_interact():
    x = np.random.default_rng(2).standard_normal((9, 3))
    ask = lambda x: x[:, 0] * x[:, 1] + np.maximum(x[:, 2], 0)
    found = explained(ask, x, tuple("abc"), np.zeros(3), np.ones(3))
    assert found.total() == pytest.approx(ask(x), abs=1e-4)
    # Two features that act only together share it in halves.
    assert found.values[:, 0] == pytest.approx(x[:, 0] * x[:, 1] / 2, abs=0.25)
    again = explained(ask, x, tuple("abc"), np.zeros(3), np.ones(3))
    assert np.array_equal(again.values, found.values)


def test_table_and_pictures_are_written(linear, tmp_path):
    pytest.importorskip("matplotlib")
    _, found, _ = linear
    shapley.write(found, [f"P{i}" for i in range(12)], "relapse", 0.5, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"shapley.csv", "force.png", "summary.png", "decision.png"}
    with (tmp_path / "shapley.csv").open() as file:
        row = list(csv.DictReader(file))[4]
    assert float(row["log_odds"]) == pytest.approx(0.3 + sum(float(row[n]) for n in "abcd"), abs=1e-4)


def test_one_patient_has_a_force_plot_alone(linear, tmp_path):
    pytest.importorskip("matplotlib")
    x, _, coef = linear
    one = explained(lambda x: x @ coef, x[:1], tuple("abcd"), x.mean(axis=0), x.std(axis=0))
    shapley.write(one, ["P0"], "relapse", 0.5, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"shapley.csv", "force.png"}
