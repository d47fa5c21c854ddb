"""The tests of `statistics` against R (fixtures.R wrote fixtures.json, which says the versions) and against published examples."""

import json
from pathlib import Path

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.statistics import agreement, groups, roc, survival

R = json.loads((Path(__file__).parent / "fixtures.json").read_text())
DATA = {name: np.array(values) for name, values in R["data"].items()}
LABEL = DATA["label"] == 1
FIRST, SECOND = DATA["pair"].T


def numbers(estimate):
    return [estimate.value, estimate.low, estimate.high]


def test_areas_under_the_curve():
    low, value, high = R["auc"]
    assert numbers(roc.auc(LABEL, DATA["one"])) == pytest.approx([value, low, high], rel=1e-6)
    assert roc.compare_aucs(LABEL, DATA["one"], DATA["two"]) == pytest.approx(R["delong"], rel=1e-6)
    assert roc.compare_aucs(LABEL, DATA["one"], DATA["one"]) == 1.0
    assert numbers(roc.auc([0, 0, 1, 1], [1, 2, 3, 4]))[0] == 1.0


def test_areas_within_folds_compare_patients_of_one_fold_alone():
    rng = np.random.default_rng(4)
    y, fold = rng.random(200) < 0.4, np.arange(200) % 4
    one, two = rng.normal(y, 1), rng.normal(0.5 * y, 1)
    within = roc.auc(y, one + 100 * fold, within=fold)
    assert within.value == pytest.approx(roc.auc(y, one, within=fold).value)
    each = [roc.auc(y[fold == k], one[fold == k]) for k in range(4)]
    pairs = np.array([y[fold == k].sum() * (~y[fold == k]).sum() for k in range(4)])
    assert within.value == pytest.approx(np.average([e.value for e in each], weights=pairs))
    assert roc.auc(y, one, within=np.zeros(200)) == roc.auc(y, one)
    # Four folds tell about as much as one sample of all.
    assert within.high - within.low == pytest.approx(roc.auc(y, one).high - roc.auc(y, one).low, rel=0.15)
    assert roc.compare_aucs(y, one, two, within=fold) == pytest.approx(roc.compare_aucs(y, one, two), abs=0.05)


def test_intraclass_correlation():
    assert numbers(agreement.icc(DATA["readers"])) == pytest.approx(R["icc"], rel=1e-5)


def test_intraclass_correlation_of_the_published_example():
    """Table 2 of Shrout and Fleiss 1979: six subjects, four judges; ICC(2,1) is .29."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert agreement.icc(ratings).value == pytest.approx(0.29, abs=0.005)
    assert agreement.icc([[1, 1], [2, 2], [3, 3]]).value == 1.0


def test_correlation():
    found, p = agreement.pearson(DATA["one"], DATA["two"])
    assert [*numbers(found), p] == pytest.approx(R["pearson"], rel=1e-6)


def test_limits_of_agreement():
    found = agreement.bland_altman(FIRST, SECOND)
    difference = FIRST - SECOND
    assert found.bias.value == pytest.approx(difference.mean())
    assert found.high.value - found.low.value == pytest.approx(2 * 1.959964 * difference.std(ddof=1))
    # The bias' interval is that of the paired t-test: it leaves out 0 exactly where P is below .05.
    assert (found.bias.low > 0 or found.bias.high < 0) == (R["paired"] < 0.05)
    assert found.low.low < found.low.value < found.low.high < found.bias.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mcnemar", lambda: groups.mcnemar(*(DATA["binary"].T == 1))),
        ("wilcoxon", lambda: groups.wilcoxon(FIRST, SECOND)),
        ("welch", lambda: groups.t_test(FIRST, SECOND)),
        ("student", lambda: groups.t_test(FIRST, SECOND, equal_variances=True)),
        ("paired", lambda: groups.t_test(FIRST, SECOND, paired=True)),
        ("mann_whitney", lambda: groups.mann_whitney(DATA["one"][LABEL], DATA["one"][~LABEL])),
        ("fisher", lambda: groups.fisher(DATA["table"])),
        ("chi_square", lambda: groups.chi_square(DATA["table"])),
        ("anova", lambda: groups.anova(*(DATA["outcome"][DATA["group"] == g, 0] for g in "abc"))),
        ("manova", lambda: groups.mancova(DATA["outcome"], DATA["group"])),
        ("mancova", lambda: groups.mancova(DATA["outcome"], DATA["group"], DATA["age"])),
        ("kolmogorov", lambda: groups.normality(DATA["outcome"][:, 0])[0]),
        ("log_rank", lambda: survival.log_rank(DATA["time"], DATA["event"], DATA["group"])),
    ],
)
def test_p_values(name, value):
    assert value() == pytest.approx(R[name], rel=1e-6)


def test_groups_that_were_not_followed_until_an_event_say_nothing():
    assert survival.log_rank([1, 1, 5, 6, 7], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]) == 1
    # R: survdiff leaves such a group out.
    three = survival.log_rank([0.5, 2, 4, 6, 3, 5, 7, 8], [0, 1, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 2, 2, 2, 2])
    assert three == survival.log_rank([2, 4, 6, 3, 5, 7, 8], [1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 2, 2, 2, 2])


def test_proportion():
    assert numbers(groups.proportion(7, 20)) == pytest.approx(R["proportion"], rel=1e-6)


@pytest.mark.parametrize("name, within", [("concordance", None), ("within", DATA["group"])])
def test_concordance(monkeypatch, name, within):
    value, sd = R[name]
    for at_once in (4_000_000, 500):
        monkeypatch.setattr(survival, "_PAIRS_AT_ONCE", at_once)
        found = survival.harrell_c(DATA["time"], DATA["event"], DATA["risk"], within=within)
        assert found.value == pytest.approx(value, rel=1e-9)
        low, middle, high = (np.log(c / (1 - c)) for c in (found.low, found.value, found.high))
        assert [high - middle, middle - low] == pytest.approx(2 * [1.959964 * sd / (value * (1 - value))], rel=1e-5)


def test_a_concordance_without_a_wrong_pair_has_no_interval():
    found = survival.harrell_c([1, 2, 3], [1, 1, 1], [3, 2, 1])
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_kaplan_and_meier():
    found, known = survival.kaplan_meier(DATA["time"], DATA["event"]), R["kaplan_meier"]
    at = np.searchsorted(found.times, known["time"])
    assert found.at_risk[at].tolist() == [int((DATA["time"] >= v).sum()) for v in known["time"]]
    assert found.events.sum() == DATA["event"].sum()
    assert found.survival[at] == pytest.approx(np.array(known["survival"]), abs=1e-9)
    for mine, name in ((found.low, "low"), (found.high, "high")):
        theirs = [v if v != "NA" else 0 for v in known[name]]
        assert mine[at] == pytest.approx(np.array(theirs, float), abs=1e-9)
    assert numbers(found.median) == known["median"]
    assert survival.kaplan_meier([1, 2], [0, 1]).survival.tolist() == [1, 0]
    assert survival.kaplan_meier([1, 2, 3], [1, 0, 0]).median.value == np.inf


def test_bootstrap_is_deterministic_and_near_the_normal_interval():
    x = np.random.default_rng(2).normal(3, 1, 200)
    found = groups.bootstrap([x], lambda v: float(v.mean()), seed=1)
    assert found == groups.bootstrap([x], lambda v: float(v.mean()), seed=1)
    half = 1.96 * x.std(ddof=1) / np.sqrt(200)
    assert [found.low, found.high] == pytest.approx([x.mean() - half, x.mean() + half], abs=0.02)


def test_normality_of_what_is_not_normal():
    skewed = np.random.default_rng(3).lognormal(size=200)
    assert max(groups.normality(skewed)) < 1e-3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: roc.auc([1, 0, 0], [1, 2, 3]), "1 cases are positive and 2 negative"),
        (lambda: roc.auc([1, 1, 0, 0], [1, np.nan, 3, 4]), "one finite score per case"),
        (lambda: agreement.icc([[1.0, 2.0]]), "1 subjects and 2 readers"),
        (lambda: agreement.icc([[1.0, np.nan], [2.0, 3.0]]), "1 of the ratings are not finite"),
        (lambda: agreement.pearson([1, 2, 3], [1, 2]), "3 and 2 values are given"),
        (lambda: groups.proportion(3, 2), "3 of 2 is no proportion"),
        (lambda: groups.mcnemar([1, 0], [1]), "pairs are needed"),
        (lambda: groups.mancova(np.ones((3, 3)), ["a", "a", "b"]), "too few for 3 outcomes"),
        (lambda: survival.log_rank([1, 2], [1, 1], ["a", "a"]), "all cases are of one group"),
        (lambda: survival.harrell_c([1, 2], [0, 0], [1, 2]), "no pair of cases can be compared"),
    ],
)
def test_bad_input_is_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call()
