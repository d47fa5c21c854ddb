"""From a table to a model: which rows count, and the score and groups that come out."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.survival.fit import categories, fit, halves, median_cut, patients
from gliosuite.recurrence.survival.model import RiskScore
from gliosuite.recurrence.survival.settings import SurvivalSettings, unit_of
from gliosuite.recurrence.survival.table import Covariate, read_table

from .conftest import rows_of, write_table

COLUMNS = ("os_months", "status")


def changed(tmp_path, **cells):
    """The usual patients with cells of some rows changed: ``age={3: ""}``."""
    rows = rows_of()
    for column, values in cells.items():
        for i, value in values.items():
            rows[i][column] = value
    return read_table(write_table(tmp_path / "t.csv", rows))


def test_rows_with_gaps_are_left_out_and_said(tmp_path):
    table = changed(tmp_path, age={3: "", 4: "NA"}, os_months={5: "0"}, status={4: ""})
    with pytest.warns(
        UserWarning, match="3 of 120 rows are left out: status missing in 1, age missing in 2, os_months 0 in 1"
    ):
        found = patients(table, *COLUMNS, ["age"])
    assert found.times.size == 117
    assert not set(found.rows) & {3, 4, 5}
    assert found.left_out == {"status missing": 1, "age missing": 2, "os_months 0": 1}


@pytest.mark.parametrize(
    "cells, said",
    [
        ({"os_months": {7: "-3"}}, r"os_months is negative \(-3\) in line 9; correct it, or empty the cell"),
        ({"age": dict.fromkeys(range(119), "")}, "1 of 120 rows of t.csv have all that is needed; 2 at least are"),
        ({"status": dict.fromkeys(range(120), "alive")}, "none of 120 rows has the event"),
    ],
)
def test_tables_that_cannot_be_analysed_are_refused(tmp_path, cells, said):
    with pytest.raises(InputError, match=said):
        patients(changed(tmp_path, **cells), *COLUMNS, ["age"])


def test_a_column_has_one_part_to_play(tmp_path):
    with pytest.raises(InputError, match="must be different columns"):
        patients(changed(tmp_path), *COLUMNS, ["age", "os_months"])


def test_cox_finds_what_was_put_in(tmp_path):
    pytest.importorskip("lifelines")
    settings = SurvivalSettings(without=("mgmt",), group="sex")
    found = fit(read_table(write_table(tmp_path / "t.csv", rows_of(400))), *COLUMNS, ["age", "x1", "mgmt"], settings)
    assert [c.name for c in found.covariates] == ["age", "x1", "mgmt=methylated"]
    for b, s, truth in zip(found.cox.coef, found.cox.se, (0.04, 0.9, -1.0)):
        assert abs(b - truth) < 3 * s
    assert found.without["mgmt"].names == ("age", "x1")
    # The score is the linear predictor.
    assert found.values == pytest.approx(found.cox.score, abs=1e-9)
    low, high = found.groups
    assert low.name == "low risk"
    assert low.times.size == high.times.size == 200
    assert low.curve().median.value > high.curve().median.value
    assert [g.name for g in found.by_category] == ["sex F", "sex M"]


def test_few_events_and_hazards_that_cross_are_said(tmp_path):
    pytest.importorskip("lifelines")
    rows = rows_of(60)
    rng = np.random.default_rng(2)
    for i, row in enumerate(rows):
        # Arm b fares worse at first and better later.
        row["arm"] = "ab"[i % 2]
        row["os_months"] = (
            f"{rng.uniform(9, 11) if i % 2 == 0 else rng.choice([rng.uniform(1, 4), rng.uniform(20, 30)]):.2f}"
        )
        row["status"] = "dead"
    with (
        pytest.warns(UserWarning, match="hazards are not"),
        pytest.warns(UserWarning, match="60 events for 7 covariates are fewer than 10 each"),
    ):
        found = fit(
            read_table(write_table(tmp_path / "t.csv", rows)), *COLUMNS, ["arm", *(f"x{k}" for k in range(1, 7))]
        )
    assert any("hazards are not proportional for arm=b" in n for n in found.notes)


def test_the_lasso_finds_the_feature_that_matters(tmp_path):
    found = fit(changed(tmp_path), *COLUMNS, ["x*"], SurvivalSettings(lasso=True))
    assert found.cox is None
    chosen = dict(zip((c.name for c in found.score.covariates), found.score.coef))
    assert max(chosen, key=lambda n: abs(chosen[n])) == "x1"
    assert found.choice.held_out.shape == (120, found.choice.path.penalties.size)
    x = found.patients.table.design(found.covariates)
    b = found.choice.path.coefficients[found.choice.smallest]
    assert found.values == pytest.approx((x - x.mean(axis=0)) @ b, abs=1e-9)


def test_a_lasso_may_choose_nothing(tmp_path):
    found = fit(changed(tmp_path), *COLUMNS, ["x2", "x3"], SurvivalSettings(lasso=True, penalty="1se"))
    assert found.score is None
    assert found.groups == ()


def test_scores_are_parted_at_their_median():
    assert median_cut(np.array([1.0, 2, 3, 4])) == 2.5
    # Three quarters have the highest score: they are the group of high risk.
    values = np.array([0.0, 1, 1, 1])
    assert median_cut(values) == 0.0
    score = RiskScore((Covariate("a"),), np.ones(1), np.zeros(1), np.ones(1), 0.0)
    assert [g.times.size for g in halves(score, values, np.ones(4), np.ones(4, bool))] == [1, 3]
    assert halves(score, np.zeros(4), np.ones(4), np.ones(4, bool)) == ()


def test_curves_need_a_few_categories(tmp_path):
    found = patients(changed(tmp_path), *COLUMNS, [])
    with pytest.raises(InputError, match="curves of 2 to 6 can be drawn"):
        categories(found, "age")


def test_settings_are_checked():
    with pytest.raises(InputError, match="folds is 2; 3 to 100 are needed"):
        SurvivalSettings(folds=2)
    with pytest.raises(InputError, match="with --lasso the covariates are chosen by the data"):
        SurvivalSettings(lasso=True, without=("age",))
    assert [unit_of(n) for n in ("os_days", "OS (months)", "time", "year_of_survival")] == [
        "days",
        "months",
        None,
        "years",
    ]
