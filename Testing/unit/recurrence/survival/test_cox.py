"""Cox's model against R's survival (fixtures.R wrote fixtures.json, which says the versions), and what is refused."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.survival.cox import check_covariates, fit_cox


def test_it_is_that_of_r(r):
    pytest.importorskip("lifelines")
    x, known = np.array(r["x"])[:, :4], r["cox"]
    found = fit_cox(np.array(r["time"]), np.array(r["event"]), x, "abcd")
    assert found.coef == pytest.approx(np.array(known["coef"]), abs=1e-4)
    assert found.se == pytest.approx(np.array(known["se"]), abs=1e-4)
    assert found.p == pytest.approx(np.array(known["p"]), abs=1e-4)
    assert found.log_likelihood == pytest.approx(known["log_likelihood"][1], abs=1e-6)
    assert found.concordance.value == pytest.approx(known["concordance"][0], abs=1e-9)
    each, together = found.proportional
    assert each == pytest.approx(np.array(known["proportional"]["each"]), abs=1e-4)
    assert together == pytest.approx(known["proportional"]["all"], abs=1e-4)
    for ratio, b, s in zip(found.ratio, known["coef"], known["se"]):
        ends = np.exp([b - 1.959964 * s, b, b + 1.959964 * s])
        assert [ratio.low, ratio.value, ratio.high] == pytest.approx(ends, rel=1e-5)
    assert found.score.mean() == pytest.approx(0, abs=1e-9)


EVENTS = np.arange(40) % 2 == 0
RNG = np.random.default_rng(3)
ONE, TWO = RNG.standard_normal(40), RNG.standard_normal(40)


@pytest.mark.parametrize(
    "events, columns, said",
    [
        (EVENTS, {"age": np.full(40, 60.0)}, "age is 60 in all 40 rows"),
        (EVENTS, {"a": ONE, "b": TWO, "c": ONE - 2 * TWO}, "c follows from the other covariates"),
        (
            EVENTS,
            {"a": ONE, "sex=M": (np.arange(40) % 4 == 1) * 1.0},
            r"none of the 10 rows with sex=M = 1 has the event",
        ),
        (np.arange(40) < 1, {"a": ONE}, "1 event for 1 covariates"),
        (np.arange(40) < 2, {"a": ONE, "b": TWO, "c": ONE * TWO}, "2 events for 3 covariates"),
    ],
)
def test_what_cannot_be_fitted_is_said(events, columns, said):
    with pytest.raises(InputError, match=said):
        check_covariates(events, np.stack(list(columns.values()), axis=1), list(columns))


def test_a_likelihood_without_maximum_is_said():
    pytest.importorskip("lifelines")
    # The higher the risk, the earlier the event: no coefficient is large enough.
    with pytest.raises(InputError, match="its likelihood has no maximum along risk"):
        fit_cox(np.arange(40.0, 0, -1), np.ones(40), np.arange(40.0)[:, None] / 3, ["risk"])


def test_events_at_one_time_say_nothing_of_proportional_hazards():
    pytest.importorskip("lifelines")
    found = fit_cox(np.where(EVENTS, 5.0, 7.0), EVENTS, ONE[:, None], ["a"])
    assert np.isfinite(found.coef).all()
    assert np.isnan([*found.proportional[0], found.proportional[1]]).all()


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(InputError, match=r"lifelines is needed for Cox regression .* pip install lifelines"):
        fit_cox(np.arange(1.0, 41), EVENTS, ONE[:, None], ["a"])
