import json

import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.patterns.shown import read_shown


def test_figures_of_a_training_and_hazard_ratios_are_rows(tmp_path):
    estimates = {n: [0.7, 0.6, 0.8] for n in ("auc", "sensitivity", "specificity", "accuracy")}
    trained = {"outcome": "relapse", "figures": {"cross_validated": estimates, "split": estimates}}
    (tmp_path / "pattern.json").write_text(json.dumps(trained))
    below = tmp_path / "cox"
    below.mkdir()
    survival = {
        "concordance": 0.66,
        "concordance_interval": [0.6, 0.7],
        "covariates": {"age": {"hr": 1.5}},
        "notes": ["One."],
    }
    survival["covariates"]["mgmt"] = {"hr": 0.36, "hr_interval": [0.25, 0.54]}
    (below / "survival.json").write_text(json.dumps(survival))
    (below / "kaplan_meier_group.png").write_bytes(b"")
    found = read_shown(tmp_path)
    assert found.rows == (
        ("concordance", "0.66", "0.60–0.70"),
        ("HR of age", "1.50", "penalised"),
        ("HR of mgmt", "0.36", "0.25–0.54"),
        ("relapse: AUC", "0.70", "0.60–0.80"),
        ("relapse: sensitivity", "0.70", "0.60–0.80"),
        ("relapse: specificity", "0.70", "0.60–0.80"),
        ("relapse: accuracy", "0.70", "0.60–0.80"),
    )
    assert list(found.pictures) == ["cox: Kaplan-Meier group"]
    assert found.notes == ("One.",)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no pattern.json and no survival.json; a folder of `gliosuite run`"):
        read_shown(tmp_path)
