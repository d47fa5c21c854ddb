"""Forests on planted and on empty features; no patient on both sides; counts by score."""

from dataclasses import replace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.followup import forest
from gliosuite.recurrence.followup.classes import CLASSES, STABLE, became
from gliosuite.recurrence.followup.forest import (
    Asked,
    Voxels,
    all_targets,
    dealt,
    drawn,
    early,
    foresee,
    importances,
    row,
)
from gliosuite.recurrence.followup.settings import ForestSettings
from gliosuite.statistics.roc import auc

from .conftest import followed

QUICK = ForestSettings(folds=3, trees=10, voxels=40)


@pytest.fixture(scope="module")
def voxels(cohort):
    return drawn(cohort, QUICK)[0]


@pytest.fixture(scope="module")
def found(voxels):
    pytest.importorskip("sklearn")
    return foresee(voxels, "CEL", settings=QUICK)


def test_voxels_stand_for_all_of_their_class(cohort, voxels):
    for one, sample in zip(cohort, voxels):
        every = became(one).ravel()
        for name in (STABLE, "NAV to CEL", "NAV to NEL"):
            i = CLASSES.index(name)
            assert sample.stands_for[sample.became == i].sum() == pytest.approx((every == i).sum(), rel=1e-5)
        assert (sample.became == CLASSES.index(STABLE)).sum() == 1000
        assert not np.isin(sample.became, [CLASSES.index(n) for n in CLASSES if n.startswith("CEL")]).any()


def test_only_images_that_all_have_and_voxels_that_are_measured(cohort):
    cut = [replace(p, inputs=replace(p.inputs, images=dict(p.inputs.images))) for p in cohort[:4]]
    half = cut[0].inputs.images["adc"].copy()
    half[:15] = np.nan
    cut[0].inputs.images["adc"] = half
    for one in cut[1:]:
        one.inputs.images["fa"] = one.inputs.images["adc"]
    samples, names, notes = drawn(cut, QUICK)
    assert names == ["t1c", "flair", "adc"]
    assert "FA was left out: 1 of 4 patients have none." in notes
    assert any(
        n.endswith("of the voxels that progressed lie where all images were measured; the others are left out.")
        for n in notes
    )
    stable = CLASSES.index(STABLE)
    inside = (became(cut[0]) == stable)[15:].sum()
    assert samples[0].stands_for[samples[0].became == stable].sum() == pytest.approx(inside, rel=1e-5)
    assert all(np.isfinite(s.values).all() for s in samples)


def test_what_was_planted_is_found(found):
    assert found.auc.value > 0.95
    assert found.auc.low <= found.auc.value <= found.auc.high
    assert found.folds.size == 3
    assert found.folds.min() > 0.9
    assert found.within.value > 0.95
    said = {r["feature"]: r for r in importances(found, ["t1c", "flair", "adc"])}
    assert said["nadc"]["permutation"] > 0.2 > 10 * abs(said["nt1c"]["permutation"])
    assert said["nadc"]["impurity"] > 0.5
    assert sum(r["impurity"] for r in said.values()) == pytest.approx(1)
    assert row(found)["auc_folds_mean"] == pytest.approx(found.folds.mean())


def test_without_a_reason_nothing_is_found():
    pytest.importorskip("sklearn")
    blind = drawn([followed(100 + i, informative=False) for i in range(12)], QUICK)[0]
    rng = np.random.default_rng(2)
    dealt_out = []
    for v in blind:
        order = rng.permutation(v.became.size)
        dealt_out.append(Voxels(v.values[order], rng.permutation(v.became), np.ones_like(v.stands_for)))
    assert abs(foresee(dealt_out, "CEL", settings=QUICK).auc.value - 0.5) < 0.05


def test_no_patient_is_on_both_sides(voxels, monkeypatch):
    """What is grown, in the outer folds and in those of the tuning, has seen none of the patients that it judges."""
    pytest.importorskip("sklearn")
    grown, judged = {}, []
    marked = [
        replace(v, values=np.concatenate([v.values, np.full((len(v.values), 1), i)], axis=1))
        for i, v in enumerate(voxels)
    ]
    grow, score = forest._grown, forest._score

    def watched(patients, *rest):
        made = grow(patients, *rest)
        grown[id(made)] = made, {float(p.values[0, -1]) for p in patients}
        return made

    def seen(made, values):
        judged.append((grown[id(made)][1], set(np.unique(values[:, -1]))))
        return score(made, values)

    monkeypatch.setattr(forest, "_grown", watched)
    monkeypatch.setattr(forest, "_score", seen)
    foresee(marked, "NEL", settings=QUICK)
    assert len(judged) > 20
    assert all(not trained & tested for trained, tested in judged)


def test_folds_have_as_many_patients_with_the_target():
    has = np.array([True] * 11 + [False] * 6)
    fold = dealt(has, 4, 1)
    assert sorted(np.bincount(fold[has])) == [2, 3, 3, 3]
    assert np.ptp(np.bincount(fold)) <= 1
    assert np.array_equal(fold, dealt(has, 4, 1))


def test_areas_by_counts_are_the_exact_ones():
    rng = np.random.default_rng(1)
    y = rng.random(4000) < 0.3
    score = (y + rng.normal(0, 1, 4000)).astype(np.float32).round(2)
    one = Asked(np.zeros((4000, 1)), y, np.ones(4000), y.astype(int))
    counted = forest._counts([one], [score])
    assert forest._area(*counted) == pytest.approx(auc(y, score).value, abs=1e-3)
    assert forest._area(counted[0], np.zeros_like(counted[1])) != forest._area(*counted)
    twice = Asked(one.values, y, np.where(y, 1, 5.0), one.became_class)
    assert forest._area(*forest._counts([twice], [score])) == pytest.approx(forest._area(*counted), abs=1e-9)


def test_early_and_late_are_foreseen_apart(cohort, monkeypatch):
    pytest.importorskip("sklearn")
    days = np.arange(12) * 30.0
    assert early(days).sum() == 6
    quick = ForestSettings(folds=2, trees=10, voxels=20)
    samples = drawn(cohort, quick)[0]
    monkeypatch.setattr(forest, "TARGETS", {"NEL": forest.TARGETS["NEL"]})
    found, notes = all_targets(samples, days, quick)
    assert [(j.target, j.group, j.patients) for j in found] == [
        ("NEL", "all", 12),
        ("NEL", "early", 6),
        ("NEL", "late", 6),
    ]
    assert notes == []


def test_too_few_patients_are_said(voxels):
    pytest.importorskip("sklearn")
    with pytest.raises(
        InputError, match=r"5 patients \(late\) have NEL progression; 6 at least are needed for 3 folds"
    ):
        foresee(voxels[:5], "NEL", "late", QUICK)


def test_a_patient_without_voxels_is_named(cohort):
    one = replace(cohort[0], apart=np.ones(cohort[0].apart.shape, bool))
    with pytest.raises(InputError, match="p0 has no voxel in which all images"):
        drawn([one, cohort[1]], QUICK)
