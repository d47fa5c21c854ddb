"""Scores with their scaler, on disk and as papers print them."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.survival.model import KIND, RiskScore, card, published, score_of
from gliosuite.recurrence.survival.table import Covariate
from gliosuite.training import Model, read_model, write_model

SCORE = RiskScore(
    (Covariate("age"), Covariate("mgmt", "yes", "no", ("no", "yes"))),
    np.array([0.5, -1.0]),
    np.array([60.0, 0.5]),
    np.array([10.0, 0.5]),
    0.25,
    {
        "n": 100, "events": 60, "time": "os", "event": "dead", "unit": None, "concordance": 0.7,
        "concordance_interval": [0.6, 0.8], "how": "Cox's model", "command": "gliosuite survival fit",
    },
)  # fmt: skip


def test_a_score_is_a_sum_of_z_scores():
    assert SCORE.of(np.array([[70.0, 1], [60, 0], [np.nan, 1]])) == pytest.approx([-0.5, 1.0, np.nan], nan_ok=True)


def test_it_is_the_same_after_a_way_over_the_disk(tmp_path):
    write_model(tmp_path / "m", SCORE.model(), card(SCORE))
    found = score_of(read_model(tmp_path / "m", KIND), "m")
    assert found.covariates == SCORE.covariates
    assert found.cut == 0.25
    x = np.array([[71.0, 0], [40, 1]])
    assert (found.of(x) == SCORE.of(x)).all()
    text = (tmp_path / "m" / "card.md").read_text()
    assert "| mgmt=yes | 1 where it is yes, else 0 (no is compared with) | 0.5 | 0.5 | -1 |" in text
    assert "0.700 (0.600 to 0.800) for the same patients." in text


@pytest.mark.parametrize("gone", ["mean", "sd"])
def test_a_model_without_its_scaler_is_refused(gone):
    model = SCORE.model()
    weights = {n: v for n, v in model.weights.items() if n != gone}
    with pytest.raises(InputError, match="m holds no means and SDs of its features in training"):
        score_of(Model(weights, model.about), "m")


def test_a_broken_model_is_refused():
    model = SCORE.model()
    with pytest.raises(InputError, match="its arrays do not fit its inputs"):
        score_of(Model(model.weights | {"coef": np.ones(3)}, model.about), "m")
    with pytest.raises(InputError, match="'inputs' is missing"):
        score_of(Model(model.weights, {"kind": KIND}), "m")


def test_a_paper_s_score_says_what_scale_it_needs():
    score = published("shim2021")
    x = np.array([[0.7, 250.0, 5.0], [0.6, 6.0, 8.0], [0.65, 100.0, 6.0]])
    with pytest.raises(InputError, match=r"takes z-scored features .* means and SDs .* \(--scale\)"):
        score.of(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = 0.219 * z[:, 0] + 0.121 * z[:, 1] + 0.068 * z[:, 2]
    assert score.scaled(x).of(x) == pytest.approx(expected)
    assert score.unscaled().of(z) == pytest.approx(expected)
    with pytest.raises(InputError, match="CE_wavelet_LHH_glcm_MCC has too few different values"):
        score.scaled(np.ones((5, 3)))


def test_features_in_another_unit_are_said():
    x = np.column_stack([np.full(20, 60.0 * 365), np.zeros(20)])
    (said,) = SCORE.cautions(x)
    assert said.startswith("age: 20 of 20 values lie more than 6 SD from the mean in training (60, SD 10)")
    assert SCORE.cautions(np.column_stack([np.full(20, 75.0), np.zeros(20)])) == []
