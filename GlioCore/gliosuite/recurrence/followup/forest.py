"""Random forests that foresee, voxel by voxel, what will enhance and what will become lesion (Tran 2025): nested folds by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...compute.threads import thread_count
from ...errors import InputError, require
from ...statistics.agreement import Estimate
from ...statistics.groups import bootstrap
from ...steps import Progress, part, silent
from ..ensemble import folds_of
from ..features import feature_of, relative
from ..inputs import CHANNELS
from .classes import CLASSES, STABLE, Followed, became
from .settings import ForestSettings

# What is foreseen, each against brain that stays normal-appearing; a voxel that enhances already is asked nothing.
TARGETS = {
    "CEL": ("NAV to CEL", "NEL to CEL"),
    "NEL": ("NAV to NEL",),
    "CEL + NEL": ("NAV to CEL", "NEL to CEL", "NAV to NEL"),
}
INPUTS = tuple(n for n, c in CHANNELS.items() if c.kind != "perfusion")  # of Tran 2025
GROUPS = ("all", "early", "late")
_JUDGED = 1000  # voxels of a patient and class, at most, that a forest is judged on; each stands for as many as were left out; chosen
_LEAST_VOXELS = (5, 20, 80)  # of a leaf: what is tuned; chosen
_INNER, _INNER_TREES = 3, 50  # folds and trees of the tuning; chosen
_BINS = 1000  # of scores, by which areas are found; chosen: they differ from the exact ones by less than .001
_SEED = 7  # of the bootstrap


@dataclass(frozen=True)
class Voxels:
    """Voxels of a patient that a forest may see, at random.

    Attributes
    ----------
    values
        (n, images), in units that patients share.
    became
        (n,) places in `classes.CLASSES`.
    stands_for
        (n,) how many voxels each stands for.
    unmeasured
        How many voxels progressed where not all images were measured, and how many did in all.
    """

    values: np.ndarray
    became: np.ndarray
    stands_for: np.ndarray
    unmeasured: tuple[int, int] = (0, 0)


def drawn(patients: Sequence[Followed], settings: ForestSettings) -> tuple[list[Voxels], list[str], list[str]]:
    """At most 1000 voxels of each patient and class of `TARGETS`, in which all images were measured that all patients have.

    A voxel outside the box of spectroscopy is left out and not called missing, since the box lies round the lesion and would tell where
    it is.

    Returns
    -------
    tuple
        The voxels; names of the images; and sentences on what was left out.

    Raises
    ------
    InputError
        If no voxel is left of a patient.
    """
    has = {n: [n in p.inputs.images and bool(np.isfinite(p.inputs.images[n]).any()) for p in patients] for n in INPUTS}
    names = [n for n in INPUTS if all(has[n])]
    notes = [
        f"{CHANNELS[n].title} was left out: {has[n].count(False)} of {len(patients)} patients have none."
        for n in INPUTS
        if any(has[n]) and n not in names
    ]
    found = [_drawn(p, names, settings, i) for i, p in enumerate(patients)]
    lost, progressed = np.sum([v.unmeasured for v in found], axis=0)
    if lost:
        share = 100 * (1 - lost / progressed)
        notes.append(
            f"{share:.0f} % of the voxels that progressed lie where all images were measured; the others are left out."
        )
    return found, names, notes


def _drawn(patient: Followed, names: Sequence[str], settings: ForestSettings, number: int) -> Voxels:
    """`number` is the patient's own among the random numbers."""
    rng = np.random.default_rng([settings.seed, 5, number])
    sorted_into = became(patient, settings.within_mm)
    images = relative(patient.inputs)
    complete = np.all([np.isfinite(images[n]) for n in names], axis=0)
    stable, *wanted = (CLASSES.index(n) for n in (STABLE, *TARGETS["CEL + NEL"]))
    taken, weight = [], []
    for i in (stable, *wanted):
        of = rng.permutation(np.flatnonzero((sorted_into == i) & complete))
        taken.append(of[:_JUDGED])
        weight.append(np.full(taken[-1].size, of.size / max(taken[-1].size, 1), np.float32))
    rows = np.concatenate(taken)
    if not rows.size:
        raise InputError(f"{patient.name} has no voxel in which all images that the patients share were measured")
    progressed = np.isin(sorted_into, wanted)
    values = np.stack([images[n].ravel()[rows] for n in names], axis=1)
    unmeasured = int((progressed & ~complete).sum()), int(progressed.sum())
    return Voxels(values.astype(np.float32), sorted_into.ravel()[rows], np.concatenate(weight), unmeasured)


@dataclass(frozen=True)
class Judged:
    """How well forests foresaw one target in one group of patients.

    Attributes
    ----------
    target, group
        Of `TARGETS` and `GROUPS`.
    patients, with_target
        How many, and how many had a voxel of the target.
    auc
        Of all held-out voxels together, with an interval by drawing patients.
    folds
        (k,) AUC of each fold, as Tran 2025 averages them.
    within
        Mean over patients of the AUC among a patient's own voxels, with its interval.
    of_normal
        As `auc`, of the target's voxels that were normal-appearing before.
    curve
        (2, m) share of other voxels and of the target's above falling scores.
    leaf
        (k,) what the inner folds chose for the fewest voxels of a leaf.
    impurity, permutation, permutation_sd
        (images,) shares of the fall of impurity; and how much the AUC of a fold falls when an image is shuffled among its voxels, mean and
        SD over folds.
    """

    target: str
    group: str
    patients: int
    with_target: int
    auc: Estimate
    folds: np.ndarray
    within: Estimate
    of_normal: Estimate
    curve: np.ndarray
    leaf: list[int]
    impurity: np.ndarray
    permutation: np.ndarray
    permutation_sd: np.ndarray


def foresee(
    patients: Sequence[Voxels],
    target: str,
    group: str = "all",
    settings: ForestSettings | None = None,
    progress: Progress = silent,
) -> Judged:
    """Grow forests in folds by patient and judge each on the patients that it has not seen.

    How large leaves are is chosen in folds of the training patients alone, for the highest AUC; both kinds of voxel weigh the same.

    Parameters
    ----------
    patients
        From `drawn`.
    target
        One of `TARGETS`.
    group
        What these patients are called.

    Raises
    ------
    InputError
        If scikit-learn is missing, or there are too few patients, or too few of them with the target.
    """
    require("sklearn", "random forests", "scikit-learn")
    settings = settings or ForestSettings()
    wanted = [CLASSES.index(n) for n in TARGETS[target]]
    asked = [_asked(p, wanted) for p in patients]
    has = np.array([p.became.any() for p in asked])
    # Each fold needs patients with the target; they are dealt out first, so that all have as many.
    if has.sum() < 2 * settings.folds:
        raise InputError(
            f"{int(has.sum())} patients ({group}) have {target} progression; {2 * settings.folds} at least are needed for "
            f"{settings.folds} folds"
        )
    fold = dealt(has, settings.folds, settings.seed)
    scores: list[np.ndarray] = [np.empty(0)] * len(asked)
    areas, leaves, impurity, permutation = [], [], [], []
    for k in range(settings.folds):
        progress(k / settings.folds, f"{target} progression, {group}: fold {k + 1} of {settings.folds}")
        inside = [p for p, f in zip(asked, fold) if f != k]
        leaf = _tuned(inside, settings)
        forest = _grown(inside, settings, leaf, settings.trees)
        held = np.flatnonzero(fold == k)
        for i in held:
            scores[i] = _score(forest, asked[i].values)
        own = [asked[i] for i in held]
        areas.append(_area(*_counts(own, [scores[i] for i in held])))
        leaves.append(leaf)
        impurity.append(forest.feature_importances_)
        permutation.append(_without_each(forest, own, np.random.default_rng([settings.seed, 6, k]), settings.voxels))
    hits, others = _counts(asked, scores)
    normal = [CLASSES.index(n) for n in TARGETS[target] if n.startswith("NAV")]
    was_normal = [np.isin(p.became_class, normal) | ~p.became for p in asked]
    of_normal = _counts(
        [Asked(*(v[w] for v in (p.values, p.became, p.stands_for, p.became_class))) for p, w in zip(asked, was_normal)],
        [s[w] for s, w in zip(scores, was_normal)],
        scores,
    )
    both = np.array([_area(h[None], o[None]) for h, o in zip(hits, others) if h.any() and o.any()])
    progress(1.0, f"{target} progression, {group}")
    return Judged(
        target,
        group,
        len(asked),
        int(has.sum()),
        bootstrap([hits, others], _area, _SEED),
        np.array(areas),
        bootstrap([both], lambda v: float(v.mean()), _SEED),
        bootstrap(of_normal, _area, _SEED),
        _curve(hits, others),
        leaves,
        np.mean(impurity, axis=0),
        np.mean(permutation, axis=0),
        np.std(permutation, axis=0, ddof=1),
    )


@dataclass(frozen=True)
class Asked:
    """Voxels of the target and stable ones: values (n, f), whether each is of the target, what it stands for, its class (n,)."""

    values: np.ndarray
    became: np.ndarray
    stands_for: np.ndarray
    became_class: np.ndarray


def _asked(p: Voxels, wanted: Sequence[int]) -> Asked:
    rows = np.isin(p.became, [CLASSES.index(STABLE), *wanted])
    return Asked(p.values[rows], np.isin(p.became[rows], wanted), p.stands_for[rows], p.became[rows])


def dealt(has: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each patient (n,), those that `has` marks and the others spread evenly over the folds."""
    fold = np.empty(has.size, int)
    for number, kind in enumerate((has, ~has)):
        # The last folds of the one kind and the first of the other get one more.
        dealt_out = folds_of(int(kind.sum()), folds, seed + number)
        fold[kind] = dealt_out if number == 0 else folds - 1 - dealt_out
    return fold


def _training(patients: Sequence[Asked], settings: ForestSettings) -> tuple[np.ndarray, np.ndarray]:
    """Values and labels of the first voxels of each patient and class, which were drawn at random."""
    x, y = [], []
    for p in patients:
        for one in np.unique(p.became_class):
            rows = np.flatnonzero(p.became_class == one)[: settings.voxels]
            x.append(p.values[rows])
            y.append(p.became[rows])
    return np.concatenate(x), np.concatenate(y)


def _grown(patients: Sequence[Asked], settings: ForestSettings, leaf: int, trees: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    x, y = _training(patients, settings)
    forest = RandomForestClassifier(
        trees, min_samples_leaf=leaf, class_weight="balanced", random_state=settings.seed, n_jobs=thread_count()
    ).fit(x, y)
    # Threads would add the trees' probabilities up in another order each time.
    return forest.set_params(n_jobs=1)


def _score(forest: Any, values: np.ndarray) -> np.ndarray:
    return forest.predict_proba(values)[:, 1].astype(np.float32) if values.size else np.empty(0, np.float32)


def _tuned(patients: Sequence[Asked], settings: ForestSettings) -> int:
    """The fewest voxels of a leaf with the highest mean AUC over folds of these patients."""
    has = np.array([p.became.any() for p in patients])
    fold = dealt(has, _INNER, settings.seed + 2)
    small = [_few(p, settings.voxels) for p in patients]
    means = []
    for leaf in _LEAST_VOXELS:
        areas = []
        for k in range(_INNER):
            forest = _grown([p for p, f in zip(patients, fold) if f != k], settings, leaf, _INNER_TREES)
            own = [p for p, f in zip(small, fold) if f == k]
            areas.append(_area(*_counts(own, [_score(forest, p.values) for p in own])))
        means.append(float(np.mean(areas)))
    return _LEAST_VOXELS[int(np.argmax(means))]


def _few(p: Asked, most: int) -> Asked:
    """The first voxels of each class, each of which stands for more."""
    rows, weight = [], []
    for one in np.unique(p.became_class):
        of = np.flatnonzero(p.became_class == one)
        rows.append(of[:most])
        weight.append(p.stands_for[of[:most]] * of.size / min(of.size, most))
    if not rows:
        return p
    taken = np.concatenate(rows)
    return Asked(p.values[taken], p.became[taken], np.concatenate(weight), p.became_class[taken])


def _without_each(forest: Any, patients: Sequence[Asked], rng: np.random.Generator, most: int) -> np.ndarray:
    """By how much the AUC of held-out patients falls when each image in turn is shuffled among their voxels, (images,)."""
    few = [_few(p, most) for p in patients]
    together = Asked(
        *(np.concatenate([getattr(p, n) for p in few]) for n in ("values", "became", "stands_for", "became_class"))
    )
    area = lambda values: _area(*_counts([together], [_score(forest, values)]))
    whole = area(together.values)
    fallen = []
    for i in range(together.values.shape[1]):
        shuffled = together.values.copy()
        shuffled[:, i] = rng.permutation(shuffled[:, i])
        fallen.append(whole - area(shuffled))
    return np.array(fallen)


def _counts(
    patients: Sequence[Asked], scores: Sequence[np.ndarray], all_scores: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of the target and others by score, falling, of each patient: (patients, bins) each."""
    pooled = np.concatenate(list(all_scores or scores))
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, _BINS + 1)[1:-1])) if pooled.size else np.empty(0)
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for p, s in zip(patients, scores):
        at = edges.size - np.searchsorted(edges, s, side="right")
        for row, of in zip(rows, (p.became, ~p.became)):
            row.append(np.bincount(at[of], p.stands_for[of], edges.size + 1))
    return np.array(rows[0]), np.array(rows[1])


def _area(hits: np.ndarray, others: np.ndarray) -> float:
    """AUC of counts (patients, bins) by falling score; NaN without both kinds; what shares a bin counts half."""
    h, o = hits.sum(axis=0), others.sum(axis=0)
    if not (h.any() and o.any()):
        return float("nan")
    return float((o * (h.cumsum() - h / 2)).sum() / (h.sum() * o.sum()))


def _curve(hits: np.ndarray, others: np.ndarray) -> np.ndarray:
    share = lambda counts: np.concatenate([[0.0], counts.sum(axis=0).cumsum() / max(counts.sum(), 1)])
    return np.stack([share(others), share(hits)])


def early(days: ArrayLike) -> np.ndarray:
    """Which patients progressed before the median of these days, (n,)."""
    return np.asarray(days, float) < np.median(np.asarray(days, float))


def all_targets(
    patients: Sequence[Voxels],
    days: ArrayLike | None = None,
    settings: ForestSettings | None = None,
    progress: Progress = silent,
) -> tuple[list[Judged], list[str]]:
    """Every target in all patients, and, where the days to progression are known, in early and late ones; forests are grown anew.

    Returns
    -------
    tuple
        What was found, and a sentence for each target of a group with too few patients.
    """
    groups = {"all": np.ones(len(patients), bool)}
    if days is not None:
        groups |= {"early": early(days), "late": ~early(days)}
    asked = [(t, g) for t in TARGETS for g in groups]
    found, notes = [], []
    for i, (target, group) in enumerate(asked):
        chosen = [p for p, c in zip(patients, groups[group]) if c]
        within = part(progress, i / len(asked), (i + 1) / len(asked))
        try:
            found.append(foresee(chosen, target, group, settings, within))
        except InputError as error:
            notes.append(f"No forest: {error}.")
    if not found:
        raise InputError(" ".join(notes))
    return found, notes


def row(judged: Judged) -> dict[str, Any]:
    """What a table says of it."""
    of = lambda name, e: {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
    return (
        {"target": judged.target, "group": judged.group, "patients": judged.patients}
        | {"with_target": judged.with_target}
        | of("auc", judged.auc)
        | {"auc_folds_mean": float(judged.folds.mean()), "auc_folds_sd": float(judged.folds.std(ddof=1))}
        | of("auc_within_patients", judged.within)
        | of("auc_of_normal", judged.of_normal)
    )


def importances(judged: Judged, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each image."""
    return [
        {"target": judged.target, "group": judged.group, "feature": feature_of(n), "impurity": float(i)}
        | {"permutation": float(p), "permutation_sd": float(s)}
        for n, i, p, s in zip(names, judged.impurity, judged.permutation, judged.permutation_sd)
    ]
