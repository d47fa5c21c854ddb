import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.patterns import classifiers
from gliosuite.recurrence.patterns.classifiers import fit_classifier, oversampled, select
from gliosuite.recurrence.patterns.settings import KINDS, PatternSettings

from .conftest import drawn

SETTINGS = PatternSettings(steps=60)


@pytest.fixture(scope="module")
def trained():
    x, y = drawn(p=8)
    return {k: fit_classifier(k, x, y, tuple("abcdefgh"), SETTINGS) for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_tells_patients_it_has_not_seen(trained, kind):
    x, y = drawn(seed=2, p=8)
    score = trained[kind].score(x)
    assert np.mean(score[y][:, None] > score[~y]) > 0.9


def test_numpy_says_what_scikit_learn_and_torch_say(trained, monkeypatch):
    x, y = drawn(p=8)
    seen = {}
    from sklearn import ensemble, linear_model, svm

    for module, name in ((ensemble, "RandomForestClassifier"), (linear_model, "LogisticRegression"), (svm, "SVC")):
        kept = getattr(module, name)

        class Kept(kept):
            def fit(self, *given, _name=name, **more):
                seen[_name] = self
                return super().fit(*given, **more)

        monkeypatch.setattr(module, name, Kept)
    network = classifiers.network
    monkeypatch.setattr(classifiers, "network", lambda n: seen.setdefault("network", network(n)))
    made = {k: fit_classifier(k, x, y, (), SETTINGS) for k in KINDS}
    new, _ = drawn(seed=3, p=8)
    z = (new - x.mean(axis=0)) / x.std(axis=0)
    share = seen["RandomForestClassifier"].predict_proba(z)[:, 1].clip(0.01, 0.99)
    assert made["forest"].score(new) == pytest.approx(np.log(share / (1 - share)), abs=1e-9)
    assert made["logistic"].score(new) == pytest.approx(seen["LogisticRegression"].decision_function(z), abs=1e-9)
    assert made["svm"].score(new) == pytest.approx(seen["SVC"].decision_function(z), abs=1e-9)
    import torch

    with torch.no_grad():
        said = seen["network"].eval()(torch.tensor(z, dtype=torch.float32))[:, 0].numpy()
    assert made["mlp"].score(new) == pytest.approx(said, abs=1e-4)


def test_the_perceptron_has_five_hidden_layers_and_the_same_seed_gives_the_same(trained):
    x, y = drawn(p=8)
    again = fit_classifier("mlp", x, y, tuple("abcdefgh"), SETTINGS)
    assert sorted(again.arrays) == [f"{n}{i}" for n in ("bias", "weight") for i in range(6)]
    assert all(np.array_equal(again.arrays[n], trained["mlp"].arrays[n]) for n in again.arrays)
    other = fit_classifier("mlp", x, y, (), PatternSettings(steps=60, seed=2))
    assert not np.array_equal(other.arrays["weight0"], again.arrays["weight0"])


def test_a_gap_gives_no_score(trained):
    x, _ = drawn(p=8)
    x[1, 2] = np.nan
    assert np.isnan(trained["mlp"].score(x)).tolist() == [i == 1 for i in range(len(x))]


def test_the_smaller_class_is_oversampled_between_its_own_points():
    x, y = drawn(share=0.8)
    z, labels = oversampled(x, y, 1)
    assert labels.sum() == (~labels).sum() == y.sum()
    assert np.array_equal(z[: len(x)], x)
    few = x[~y]
    assert (z[len(x) :] >= few.min(axis=0) - 1e-9).all()
    assert (z[len(x) :] <= few.max(axis=0) + 1e-9).all()


def test_a_class_of_one_is_refused():
    x, y = drawn()
    y[:] = False
    y[0] = True
    with pytest.raises(InputError, match="a class has 1 patient to train on; two at least"):
        oversampled(x, y, 1)


def test_selection_scales_first():
    x, y = drawn()
    assert np.array_equal(select(x, y, 6), select(x * 10.0 ** (np.arange(60) % 7 - 3) + 5, y, 6))
