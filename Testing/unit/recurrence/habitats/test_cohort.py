"""Cohorts of made-up records, in which the volume of one pattern raises the hazard."""

import csv
import json

import numpy as np
import pytest
from gliosuite.recurrence.habitats.cohort import adc_by_pattern, columns_of, row_of
from gliosuite.recurrence.habitats.labels import Label
from gliosuite.recurrence.habitats.model import Pattern

NAMES = ("cel_angiogenic_1", "cel_angiogenic_2", "cel_cellular", "cel_perinecrotic")
NAMES += ("nel_angiogenic", "nel_cellular", "nel_infiltrated", "nel_vasogenic")


def record(rng, sha="a"):
    patterns = []
    for region, names in (("cel", NAMES[:4]), ("nel", NAMES[4:])):
        voxels = rng.integers(50, 2000, 4)
        for name, n in zip(names, voxels):
            baseline = rng.uniform(0.7, 2.3)
            patterns.append(
                {
                    **{"value": NAMES.index(name) + 1, "region": region, "pattern": name, "margin": 0.5, "doubts": []},
                    **{"voxels": int(n), "cc": float(n) / 50, "percent": 100 * float(n) / voxels.sum()},
                    **{"baseline": baseline, "drop": rng.uniform(0.2, 1.0), "drop_speed_per_s": rng.uniform(0.05, 0.2)},
                    "adc_mm2_s": 5e-4 * baseline + 2e-4 + 1e-4 * rng.standard_normal(),
                }
            )
    return {"patterns": patterns, "comparable": True, "trained_on": False, "model": {"weights_sha256": sha}}


@pytest.fixture
def cases(tmp_path):
    """90 patients whose hazard rises with infiltrated oedema, and the table of their outcomes."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(90):
        one = record(rng)
        cc = one["patterns"][6]["cc"]
        days = 300 * rng.exponential() * np.exp(-0.08 * (cc - 20)) + 1
        rows.append([f"p{i:02d}", int(rng.integers(40, 80)), "yes" if rng.random() < 0.5 else "no", f"{days:.1f}", 1])
        folder = tmp_path / "cases" / f"p{i:02d}" / "habitats"
        folder.mkdir(parents=True)
        (folder / "habitats.json").write_text(json.dumps(one))
    with (tmp_path / "outcomes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "age", "egfr", "pfs_days", "pfs_event"], *rows])
    return tmp_path


def arguments(cases, out):
    return ["habitats", "cohort", "--cases", cases / "cases", "--outcomes", cases / "outcomes.csv", "--time", "pfs_days",
            "--event", "pfs_event", "--covariates", "age", "--out", out]  # fmt: skip


def test_what_drives_the_hazard_is_found(cases, gliosuite):
    pytest.importorskip("lifelines")
    code, out, err = gliosuite(*arguments(cases, cases / "out"))
    assert code == 0, err
    found = json.loads((cases / "out" / "cohort.json").read_text())
    one = found["univariable"]["nel_infiltrated_cc"]
    assert one["interval"][0] < np.exp(0.8) < one["interval"][1]
    assert one["p"] < 1e-4
    assert found["univariable"]["nel_vasogenic_cc"]["p"] > 0.01
    c = {n: v["value"] for n, v in found["concordance"].items()}
    assert c["combined"] > 0.65 > 0.6 > c["clinical"]
    assert found["combined_less_clinical"]["low"] > 0
    assert found["cut"]["p"] < 0.01
    assert found["cut"]["p_if_given_beforehand"] < found["cut"]["p"]
    assert found["shares_against_egfr_p"]["nel"] > 0.01
    assert found["adc"]["cel"]["correlation_with_baseline"]["r"] > 0.8
    assert {"forest.png", "kaplan_meier.png"} <= set(json.loads(out)["files"])
    rows = list(csv.DictReader((cases / "out" / "cohort.csv").open()))
    assert len(rows) == 90
    assert float(rows[0]["nel_infiltrated_percent"]) > 0


def test_the_table_is_one_that_survival_fit_reads(cases, gliosuite):
    pytest.importorskip("lifelines")
    assert gliosuite(*arguments(cases, cases / "out"))[0] == 0
    code, out, err = gliosuite("survival", "fit", cases / "out" / "cohort.csv", "--time", "pfs_days", "--event", "pfs_event",
                               "--covariates", "age,nel_infiltrated_cc", "--out", cases / "fit")  # fmt: skip
    assert code == 0, err
    assert "nel_infiltrated_cc" in out


@pytest.mark.parametrize(
    "change, said",
    [
        ({"comparable": False}, "fitted on it alone"),
        ({"trained_on": True}, "was trained on; leave it out"),
        ({"model": {"weights_sha256": "b"}}, "those of another model"),
    ],
)
def test_patients_that_must_not_be_compared_are_refused(cases, gliosuite, change, said):
    path = cases / "cases" / "p07" / "habitats" / "habitats.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code, _, err = gliosuite(*arguments(cases, cases / "out"))
    assert code == 2
    assert said in err.strip().splitlines()[-1]
    assert not (cases / "out").exists()


def test_adc_is_compared_by_pattern():
    rng = np.random.default_rng(2)
    records = [record(rng) for _ in range(20)]
    for r in records:
        for p in r["patterns"]:
            p["adc_mm2_s"] += 5e-4 * (p["pattern"] == "nel_vasogenic")
    found = adc_by_pattern(records)
    assert found["nel"]["anova_p"] < 1e-6 < 0.01 < found["cel"]["anova_p"]
    assert found["nel"]["patterns"]["nel_vasogenic"]["patients"] == 20


def test_columns_are_those_of_the_patterns():
    patterns = [Pattern(n[:3], i + 1, Label(n.split("_")[1], 0.5), np.empty(0)) for i, n in enumerate(NAMES)]
    assert columns_of(patterns, "cel", "cc") == [f"{n}_cc" for n in NAMES[:4]]
    row = row_of(record(np.random.default_rng(0)))
    assert {f"{n}_{q}" for n in NAMES for q in ("cc", "percent", "adc")} <= set(row)
