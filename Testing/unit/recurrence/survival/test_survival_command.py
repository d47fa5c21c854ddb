"""``survival fit`` and ``survival score`` from a table to pictures and a model."""

import csv
import json
import sys

import numpy as np
import pytest
from gliosuite.cli import _rounded

from .conftest import rows_of, write_table

COLUMNS = ("--time", "os_months", "--event", "status")


def last(err):
    return err.strip().splitlines()[-1]


@pytest.fixture
def lifelines():
    pytest.importorskip("lifelines")


def test_a_fit_says_what_the_contract_says(lifelines, gliosuite, table, tmp_path):
    out = tmp_path / "out"
    code, said, err = gliosuite(
        "survival",
        "fit",
        table,
        *COLUMNS,
        "--covariates",
        "age,x1,mgmt",
        "--without",
        "mgmt",
        "--group",
        "sex",
        "--out",
        out,
    )
    assert code == 0, err
    found = json.loads(said)
    assert set(found["covariates"]) == {"age", "x1", "mgmt=methylated"}
    one = found["covariates"]["x1"]
    assert {"coef", "se", "hr", "p"} <= set(one)
    assert one["hr"] == pytest.approx(np.exp(one["coef"]))
    assert 0.6 < found["concordance"] < 0.9
    assert found["median"] > 0
    assert found["unit"] == "months"
    assert found["references"] == {"mgmt": "unmethylated"}
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert set(found["files"]) == names
    assert {
        "kaplan_meier.png",
        "kaplan_meier_group.png",
        "forest.png",
        "forest_without_mgmt.png",
        "model/card.md",
    } <= names
    kept = json.loads((out / "survival.json").read_text())
    assert _rounded(kept) == {n: v for n, v in found.items() if n not in ("out", "files")}
    with (out / "coefficients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["model"] for r in rows] == ["all"] * 3 + ["without mgmt"] * 2
    assert float(rows[1]["coef"]) == pytest.approx(one["coef"])
    with (out / "kaplan_meier.csv").open() as file:
        curves = list(csv.DictReader(file))
    assert {r["group"] for r in curves} == {"low risk", "high risk", "sex F", "sex M"}
    assert curves[0]["at_risk"] == str(found["risk_groups"]["groups"]["low risk"]["n"])
    # No path in what the results say of themselves.
    assert str(tmp_path) not in (out / "model" / "card.md").read_text() + (out / "provenance.json").read_text()


def test_the_same_table_gives_the_same_bytes(gliosuite, table, tmp_path):
    for name in ("a", "b"):
        code, _, err = gliosuite(
            "survival", "fit", table, *COLUMNS, "--covariates", "x*", "--lasso", "--out", tmp_path / name
        )
        assert code == 0, err
    for path in sorted((tmp_path / "a").rglob("*")):
        if path.is_file() and path.name != "provenance.json":
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


def test_a_lasso_score_is_judged_on_others(gliosuite, table, tmp_path):
    code, said, err = gliosuite(
        "survival", "fit", table, *COLUMNS, "--covariates", "x*", "--lasso", "--out", tmp_path / "fit"
    )
    assert code == 0, err
    found = json.loads(said)
    assert found["covariates"]["x1"]["p"] is None
    assert found["lasso"]["chosen"] == len(found["covariates"])
    others = write_table(tmp_path / "others.csv", rows_of(200, seed=9), delimiter=";")
    code, said, err = gliosuite(
        "survival", "score", others, "--model", tmp_path / "fit" / "model", *COLUMNS, "--out", tmp_path / "scored"
    )
    assert code == 0, err
    judged = json.loads(said)
    assert judged["cut"] == found["risk_groups"]["cut"]
    low, high = judged["concordance_interval"]
    assert 0.6 < low < judged["concordance"] < high
    assert judged["risk_groups"]["log_rank_p"] < 0.001
    with (tmp_path / "scored" / "scored.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["patient_id"] for r in rows[:2]] == ["P000", "P001"]
    assert {(float(r["risk_score"]) > judged["cut"]) == (r["risk_group"] == "high") for r in rows} == {True}
    assert (tmp_path / "scored" / "kaplan_meier.csv").exists()


def test_a_lasso_that_chooses_nothing_is_a_loss(gliosuite, table, tmp_path):
    code, said, err = gliosuite(
        "survival",
        "fit",
        table,
        *COLUMNS,
        "--covariates",
        "x2,x3",
        "--lasso",
        "--penalty",
        "1se",
        "--out",
        tmp_path / "out",
    )
    assert code == 3
    assert last(err).startswith("problem: the LASSO chose none of 2 covariates")
    assert json.loads(said)["covariates"] == {}
    assert not (tmp_path / "out" / "model").exists()


def shim(tmp_path, scale=1.0, **more):
    """A table of the three features of Shim 2021, the names as pyradiomics writes them."""
    rng = np.random.default_rng(4)
    names = (
        "CE_wavelet-LHH_glcm_MCC",
        "CE_wavelet-HHH_gldm_DependenceNonUniformity",
        "NE_wavelet-LLL_firstorder_Kurtosis",
    )
    rows = [{"id": f"{i}", **{n: f"{scale * rng.standard_normal() + scale:.4f}" for n in names}} for i in range(20)]
    rows[3][names[1]] = ""
    return write_table(tmp_path / "shim.csv", rows)


def test_a_paper_s_score_is_refused_without_a_scale(gliosuite, tmp_path):
    code, _, err = gliosuite("survival", "score", shim(tmp_path), "--model", "shim2021", "--out", tmp_path / "out")
    assert code == 2
    assert "takes z-scored features" in last(err)
    assert last(err).endswith("(--scale)")
    assert not (tmp_path / "out").exists()
    code, _, err = gliosuite(
        "survival", "score", shim(tmp_path, 300), "--model", "shim2021", "--scale", "zscored", "--out", tmp_path / "out"
    )
    assert code == 2
    assert "which no z-score is" in last(err)


def test_a_paper_s_score_takes_this_table_s_scale(gliosuite, tmp_path):
    code, said, err = gliosuite(
        "survival", "score", shim(tmp_path, 300), "--model", "shim2021", "--scale", "table", "--out", tmp_path / "out"
    )
    assert code == 0, err
    found = json.loads(said)
    assert (found["n"], found["without_score"]) == (19, 1)
    assert any("the cut between low and high risk is the median of this table" in n for n in found["notes"])
    assert any("1 of 20 rows have no score: missing are CE_wavelet_HHH" in n for n in found["notes"])


@pytest.mark.parametrize(
    "words, said",
    [
        (["fit", "TABLE", *COLUMNS, "--covariates", "aeg"], "has no column 'aeg'; did you mean 'age'?"),
        (["fit", "TABLE", *COLUMNS, "--covariates", "age", "--reference", "sex"], "'sex' is not COL=CATEGORY"),
        (["fit", "TABLE", *COLUMNS, "--covariates", "age", "--without", "age"], "without 'age' no covariate is left"),
        (["fit", "TABLE", *COLUMNS, "--covariates", "age", "--without", "sex"], "'sex' is not among the covariates (--without)"),
        (["fit", "TABLE", "--time", "os_months", "--event", "mgmt", "--covariates", "age"], "(--event-value)"),
        (["fit", "nothing.csv", *COLUMNS, "--covariates", "age"], "the table nothing.csv cannot be read: No such file or directory"),
        (["score", "TABLE", "--model", "shim2021", "--time", "os_months"], "--time and --event are needed together"),
        (["score", "TABLE", "--model", "nothing"], "nothing (--model) does not exist"),
    ],
)  # fmt: skip
def test_slips_end_in_one_sentence(lifelines, gliosuite, table, tmp_path, words, said):
    code, out, err = gliosuite("survival", *(table if w == "TABLE" else w for w in words), "--out", tmp_path / "out")
    assert (code, out) == (2, ""), err
    assert last(err).startswith("error: ")
    assert said in last(err)
    assert not (tmp_path / "out").exists()


def test_without_lifelines_cox_is_named_and_the_lasso_works(gliosuite, table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    code, _, err = gliosuite("survival", "fit", table, *COLUMNS, "--covariates", "age", "--out", tmp_path / "out")
    assert code == 2
    assert "lifelines is needed for Cox regression" in last(err)
    assert last(err).endswith("install it with: pip install lifelines")
    code, _, err = gliosuite(
        "survival", "fit", table, *COLUMNS, "--covariates", "x*", "--lasso", "--out", tmp_path / "out"
    )
    assert code == 0, err


def test_without_matplotlib_the_tables_are_whole(gliosuite, table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, said, err = gliosuite(
        "survival", "fit", table, *COLUMNS, "--covariates", "x*", "--lasso", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert "kaplan_meier.png was not drawn: matplotlib is needed" in err
    assert {"kaplan_meier.csv", "survival.json", "model/model.json"} <= set(json.loads(said)["files"])
