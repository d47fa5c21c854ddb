"""The LASSO's path and the choice of its penalty against R's glmnet (fixtures.R wrote fixtures.json, which says the versions)."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.survival import lasso


def array(r, *names):
    return [np.array(r[n]) for n in names]


@pytest.mark.parametrize(
    "names, path", [(("time", "event", "x"), "path"), (("wide_time", "wide_event", "wide"), "wide_path")]
)
def test_the_path_is_that_of_glmnet(r, names, path):
    found, known = lasso.path(*array(r, *names)), r[path]
    assert found.penalties == pytest.approx(np.array(known["lambda"]), rel=1e-6)
    assert np.abs(found.coefficients - known["beta"]).max() < 1e-4
    assert np.abs(found.explained - known["deviance"]).max() < 1e-5


def test_cross_validation_is_that_of_glmnet(r):
    t, e, x, fold = array(r, "time", "event", "x", "fold")
    found, known = lasso.choose(t, e, x, fold), r["cv"]
    assert found.deviance == pytest.approx(np.array(known["mean"]), abs=1e-5)
    assert found.sd == pytest.approx(np.array(known["sd"]), abs=1e-5)
    for penalty in ("min", "1se"):
        index = found.at(penalty)
        assert found.path.penalties[index] == pytest.approx(known[f"lambda_{penalty}"], rel=1e-6)
        assert np.abs(found.path.coefficients[index] - known[f"at_{penalty}"]).max() < 1e-4
    # As a user calls it, whose coefficients end 1e-4 from the optimum.
    assert np.abs(found.path.coefficients[found.smallest] - r["default"]["at_min"]).max() < 3e-4


def test_units_and_order_do_not_matter(r):
    t, e, x = array(r, "time", "event", "x")
    usual = lasso.path(t, e, x)
    order = np.random.default_rng(1).permutation(t.size)
    other = lasso.path(7 * t[order], e[order], (x * 10.0 ** np.arange(12) + 5)[order])
    assert other.coefficients * 10.0 ** np.arange(12) == pytest.approx(usual.coefficients, abs=1e-7)


@pytest.mark.parametrize("names", [("time", "event", "x"), ("wide_time", "wide_event", "wide")])
def test_the_optimum_is_one(r, names):
    """Features of the path have a score of lambda, others a smaller one."""
    t, e, x = array(r, *names)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    found = lasso.path(t, e, z)
    likelihood = lasso._Likelihood(t.astype(float), e == 1, z)
    for k in (5, 20, 40, -1):
        b, penalty = found.coefficients[k], found.penalties[k]
        score = likelihood.gradient((z @ b)[np.argsort(t, kind="stable")])
        inside = b != 0
        assert score[inside] == pytest.approx(penalty * np.sign(b[inside]), rel=1e-6)
        assert (np.abs(score[~inside]) <= penalty * (1 + 1e-6)).all()


def test_a_constant_feature_gets_nothing(r):
    t, e, x = array(r, "time", "event", "x")
    found = lasso.path(t, e, np.column_stack([x, np.full(t.size, 3.1)]))
    assert found.coefficients[:, -1].max() == 0
    assert found.coefficients[:, :-1] == pytest.approx(lasso.path(t, e, x).coefficients, abs=1e-9)


def test_folds_share_out_the_events_and_are_repeatable():
    events = np.arange(47) % 3 == 0
    fold = lasso.folds_of(events, 5, 1)
    assert {int(events[fold == k].sum()) for k in range(5)} <= {3, 4}
    assert (fold == lasso.folds_of(events, 5, 1)).all()
    assert (fold != lasso.folds_of(events, 5, 2)).any()


def test_risks_that_lie_far_apart_are_told_apart():
    rng = np.random.default_rng(6)
    t, x = rng.exponential(size=40), rng.standard_normal((40, 2))
    x[7, 1] = 1e9
    found = lasso.choose(t, rng.random(40) < 0.8, x, np.arange(40) % 4)
    assert np.isfinite(found.deviance).all()
    # Risks in perfect order: the path ends where next to all is explained.
    ends = lasso.path(t, np.ones(40), -t[:, None])
    assert ends.explained[-1] > 0.9
    assert np.isfinite(ends.coefficients).all()


def test_what_cannot_be_fitted_is_said():
    t, x = np.arange(1.0, 31), np.random.default_rng(0).standard_normal((30, 2))
    with pytest.raises(InputError, match="needs events and features that differ"):
        lasso.path(t, np.zeros(30), x)
    with pytest.raises(InputError, match="needs events and features that differ"):
        lasso.path(t, np.ones(30), np.ones((30, 2)))
    with pytest.raises(InputError, match="3 events cannot be shared out over 5 folds"):
        lasso.choose(t, np.arange(30) < 3, x, np.arange(30) % 5)
