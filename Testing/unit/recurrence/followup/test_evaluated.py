"""Where progression lies; shares, arms and survival of invented rows."""

import numpy as np
import pytest
from gliosuite.recurrence.followup.evaluated import evaluation, place
from gliosuite.recurrence.followup.outcomes import Outcomes
from gliosuite.statistics.groups import mann_whitney
from gliosuite.statistics.survival import log_rank

from ..conftest import GRID, ball
from ..conftest import patient as made_of_balls


def with_target(target):
    """The lesion is a ball of 9 mm in the middle."""
    one = made_of_balls(0)
    lesion, brain = ball((42, 48, 45), 9), ball((42, 48, 45), 44)
    masks = one.masks | {"t2l": lesion, "cel": ball((42, 48, 45), 4), "brain": brain}
    return type(one)(one.images, masks, GRID, (target | lesion) & brain)


@pytest.mark.parametrize(
    "distance, radius, where",
    [(0, 9, "within T2L"), (14, 6, "to 2 cm"), (36, 6, "beyond 2 cm"), (36, 2, "within T2L"), (26, 6, "to 2 cm")],
)
def test_the_farthest_progression_counts_where_it_can_be_seen(distance, radius, where):
    found = place(with_target(ball((42, 48, 45 + distance), radius)))
    assert found["place"] == where
    assert (found["farthest_mm"] > 20) == (distance > 30 or found["beyond_2cm_cc"] > 0)


def rows_of(model, other):
    rows = []
    for i, (one, two) in enumerate(zip(model, other)):
        for ctv, (sens, brain) in (("model", (one, 100.0)), ("margin", (two, 150.0)), ("model at margin", (0.1, 0.0))):
            rows.append(
                {
                    "patient": i,
                    "ctv": ctv,
                    "sensitivity": sens,
                    "specificity": 0.9,
                    "pcc": sens,
                    "normal_brain_cc": brain,
                }
            )
    return rows


MODEL, OTHER = [0.9, 0.8, 0.95, 0.99], [0.8, 0.85, 0.9, 0.9]
PATIENTS = [with_target(ball((42, 48, 45 + d), 6)) for d in (0, 14, 36, 14)]


def test_shares_and_volumes():
    found = evaluation(rows_of(MODEL, OTHER), PATIENTS, "model")
    assert set(found["better_than"]) == {"margin"}
    assert found["better_than"]["margin"]["patients"] == 3
    assert found["better_than"]["margin"]["share"] == 0.75
    assert found["missed_more_than_13_percent"]["model"]["patients"] == 1
    assert found["missed_more_than_13_percent"]["margin"]["patients"] == 2
    assert found["normal_brain_spared_cc"]["margin"] == [50.0, 0.0]
    assert {p: v["patients"] for p, v in found["progression"]["all"].items()} == {
        "within T2L": 1,
        "to 2 cm": 2,
        "beyond 2 cm": 1,
    }
    assert "arms" not in found


def test_arms_times_and_survival():
    days, events = np.array([100, 200, 300, 400.0]), np.array([True, True, True, False])
    known = Outcomes(["RT", "RT+b", "RT", "RT+b"], days, events, days + 100, None)
    found = evaluation(rows_of(MODEL, OTHER), PATIENTS, "model", known)
    groups = found["early_and_late"]
    assert groups["median_days"] == 250
    assert groups["mean_and_sd"]["early"]["pcc"][0] == pytest.approx(0.85)
    assert groups["p_mann_whitney"]["pcc, early and late"] == mann_whitney([0.9, 0.8], [0.95, 0.99])
    assert found["arms"]["mean_and_sd"]["RT"]["patients"] == 2
    assert found["progression"]["RT"]["beyond 2 cm"]["patients"] == 1
    pfs = found["survival"]["pfs"]
    assert pfs["median"]["RT"]["median_days"] == 100
    assert pfs["p_log_rank"]["RT and RT+b"] == log_rank(days, events, known.treatment)
    assert set(found["survival"]) == {"pfs", "os"}
    one_arm = evaluation(rows_of(MODEL, OTHER), PATIENTS, "model", Outcomes(["RT"] * 4, None, None, days))
    assert "arms" not in one_arm
    assert one_arm["survival"]["os"]["p_log_rank"] == {}
