"""``recurrence classes``, ``recurrence forest`` and the tables of ``recurrence evaluate`` on results folders."""

import csv
import json

import numpy as np
import pytest
from gliosuite.images import write_image
from gliosuite.recurrence.followup.classes import read_followed

from ..test_recurrence_command import results_of
from .conftest import followed


def written(one, folder):
    results_of(one.inputs, folder)
    for name, where in one.later.items():
        write_image(
            one.inputs.grid.image(where.astype(np.uint8)), folder / "progression" / f"progression_{name}.nii.gz"
        )
    return folder


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for i in range(6):
        written(followed(i), folder / f"case-{i}")
    rows = [f"case-{i},{100 + 10 * i},1,{400 - 10 * i},1,{'RT' if i % 2 else 'RT+x'}" for i in range(6)]
    (folder / "outcomes.csv").write_text("\n".join(["id,pfs_days,pfs_event,os_days,os_event,treatment", *rows]))
    return folder


def table(path):
    return list(csv.DictReader(path.open()))


def test_a_follow_up_is_read_as_it_was_drawn(cases):
    one, truth = read_followed(cases / "case-0"), followed(0)
    assert one.name == "case-0"
    for name in ("cel", "t2l"):
        assert np.array_equal(one.later[name], truth.later[name])


def test_ventricles_are_apart(tmp_path):
    truth = followed(1)
    folder = written(truth, tmp_path / "a")
    where = truth.inputs.masks["brain"] & ~truth.inputs.target
    write_image(truth.inputs.grid.image(where.astype(np.uint8)), folder / "lesions" / "ventricles.nii.gz")
    assert np.array_equal(read_followed(folder).apart, where)


def test_classes_leave_tables_and_a_picture(cases, tmp_path, gliosuite):
    code, _, err = gliosuite("recurrence", "classes", "--cases", cases, "--within-mm", 30, "--out", tmp_path / "out")
    assert code == 0, err
    rows = table(tmp_path / "out" / "medians.csv")
    assert len(rows) == 6 * 9 * 3
    adc = [r for r in rows if r["feature"] == "nadc" and r["class"] == "NAV to CEL"]
    assert all(float(r["median"]) == pytest.approx(0.7, abs=0.03) and int(r["voxels"]) >= 5 for r in adc)
    assert {r["median"] for r in rows if int(r["voxels"]) < 5} == {""}
    tests = table(tmp_path / "out" / "tests.csv")
    found = json.loads((tmp_path / "out" / "classes.json").read_text())
    assert found["within_mm"] == 30
    assert len(found["tests"]) == len(tests)
    assert float(tests[0]["p_holm"]) >= float(tests[0]["p"])
    assert (tmp_path / "out" / "classes.png").stat().st_size > 10000


def test_forests_leave_tables_and_pictures(cases, tmp_path, gliosuite):
    pytest.importorskip("sklearn")
    quick = ("--folds", 3, "--trees", 10, "--voxels", 20)
    code, _, err = gliosuite(
        "recurrence",
        "forest",
        "--cases",
        cases,
        "--outcomes",
        cases / "outcomes.csv",
        *quick,
        "--out",
        tmp_path / "out",
    )
    assert code == 0, err
    rows = table(tmp_path / "out" / "forest.csv")
    assert [(r["target"], r["group"]) for r in rows] == [("CEL", "all"), ("NEL", "all"), ("CEL + NEL", "all")]
    assert all(float(r["auc"]) > 0.9 for r in rows)
    found = json.loads((tmp_path / "out" / "forest.json").read_text())
    assert found["median_days"] == 125
    assert found["images"] == ["t1c", "flair", "adc"]
    assert any("3 patients (early) have CEL progression; 6 at least are needed" in n for n in found["notes"])
    assert len(table(tmp_path / "out" / "importances.csv")) == 9
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {"roc.png", "importances.png"}


@pytest.mark.parametrize("command", ["classes", "forest"])
def test_without_the_t2_lesion_at_progression_nothing_is_known_to_be_stable(tmp_path, gliosuite, command):
    folder = written(followed(1), tmp_path / "cases" / "a")
    (folder / "progression" / "progression_t2l.nii.gz").unlink()
    code, _, err = gliosuite("recurrence", command, "--cases", tmp_path / "cases", "--out", tmp_path / "out")
    assert code == 2
    assert "no T2 lesion at progression" in err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_table_without_times_is_refused(cases, tmp_path, gliosuite):
    path = tmp_path / "o.csv"
    path.write_text("\n".join(["id,age", *(f"case-{i},50" for i in range(6))]))
    code, _, err = gliosuite("recurrence", "forest", "--cases", cases, "--outcomes", path, "--out", tmp_path / "out")
    assert code == 2
    assert "has no pfs_days of all patients" in err.strip().splitlines()[-1]


def test_evaluation_by_arms_and_times(cases, tmp_path, gliosuite):
    pytest.importorskip("sklearn")
    quick = ("--folds", 3, "--rounds", 20, "--least", 20)
    assert gliosuite("recurrence", "train", "--cases", cases, *quick, "--out", tmp_path / "m")[0] == 0
    code, _, err = gliosuite(
        *("recurrence", "evaluate", "--cases", cases, "--model-folder", tmp_path / "m" / "model"),
        *("--outcomes", cases / "outcomes.csv", "--out", tmp_path / "out"),
    )
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["early_and_late"]["median_days"] == 125
    assert found["arms"]["mean_and_sd"]["RT"]["patients"] == 3
    assert found["survival"]["os"]["median"]["all"]["patients"] == 6
    assert found["better_than"]["lesion"]["of"] == 6
    lesion = found["mean_and_sd"]["lesion"]
    assert lesion["ppv"] == [1.0, 0.0], "the lesion belongs to the target"
    assert lesion["specificity_to_2cm"] == [1.0, 0.0]
    rows = [r for r in table(tmp_path / "out" / "evaluation.csv") if r["ctv"] == "s3-rtog"]
    assert all(float(r["specificity_to_2cm"]) < 0.1 for r in rows), (
        "a margin of 2 cm spares nothing up to 2 cm but corners"
    )
    own = table(tmp_path / "out" / "patients.csv")
    assert [r["treatment"] for r in own] == ["RT+x", "RT"] * 3
    assert {r["place"] for r in own} <= {"within T2L", "to 2 cm", "beyond 2 cm"}
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {"paired.png", "reliability.png"}
