"""Growing the trees of ``--kind voxelwise``: folds by patient, channels hidden at random, probabilities brought to what came true."""

from collections.abc import Sequence

import numpy as np

from ..errors import require
from ..steps import Progress, silent
from .ensemble import Grown, check, folds_of, grown
from .features import NAMES, feature_of, features, features_of
from .inputs import CHANNELS, KINDS, Inputs
from .settings import VOXELWISE, VoxelwiseTraining
from .trees import Trees

_COPIES = 3  # of each patient: one with all channels, and others with some kinds of scan hidden; chosen
_HIDDEN, _T1_HIDDEN = 0.5, 0.3  # how often a kind of scan, and T1, is hidden in these; chosen
# Voxels of a copy without and with recurrence, at most; chosen: on a grid of 3 mm the latter are hardly ever more.
_MOST = (3000, 6000)


def grow(patients: Sequence[Inputs], settings: VoxelwiseTraining, progress: Progress = silent) -> Grown:
    """Grow an ensemble on patients whose target is known; no patient is on both sides of a fold.

    Raises
    ------
    InputError
        If scikit-learn is missing, there are fewer patients than folds, or one has no target.
    """
    require("sklearn", "training a recurrence model", "scikit-learn")
    from sklearn.ensemble import HistGradientBoostingClassifier

    check(patients, settings)
    fold = folds_of(len(patients), settings.folds, settings.seed)
    tables = [features(p) for p in patients]
    chosen = [i for i in range(len(NAMES)) if any(np.isfinite(v[:, i]).any() for v, _ in tables)]
    labels = [p.target[where] for p, (_, where) in zip(patients, tables) if p.target is not None]
    # Each patient has random numbers of his own, so that nothing of one reaches the others' draws.
    drawn = [
        _copies(np.random.default_rng([settings.seed, 2, i]), values, recurred)
        for i, ((values, _), recurred) in enumerate(zip(tables, labels))
    ]
    members, scores = [], [np.empty(0)] * len(patients)
    for k in range(settings.folds):
        progress(k / settings.folds, f"member {k + 1} of {settings.folds}")
        x, y, weight = (np.concatenate(part) for part in zip(*(d for d, f in zip(drawn, fold) if f != k)))
        member = HistGradientBoostingClassifier(
            max_iter=settings.rounds,
            max_leaf_nodes=settings.leaves,
            learning_rate=settings.rate,
            min_samples_leaf=settings.least,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=settings.seed,
        ).fit(x[:, chosen], y, sample_weight=weight)
        members.append(member)
        for i in np.flatnonzero(fold == k):
            scores[i] = Trees.grown([member]).log_odds(tables[i][0][:, chosen])[0]
    result = grown(
        VOXELWISE,
        settings,
        patients,
        [where for _, where in tables],
        scores,
        {n: [v[:, NAMES.index(feature_of(n))] for v, _ in tables] for n in CHANNELS},
        Trees.grown(members).arrays(),
    )
    result.about["features"] = [NAMES[i] for i in chosen]
    progress(1.0, "grown")
    return result


def _copies(rng: np.random.Generator, values: np.ndarray, recurred: np.ndarray) -> tuple[np.ndarray, ...]:
    """Features (n, f), labels and weights of a patient's copies: some voxels of either kind, which weigh as all of it."""
    x, y, weight = [], [], []
    for copy in range(_COPIES):
        kinds = [np.flatnonzero(recurred == kind) for kind in (False, True)]
        without, with_one = (
            rng.choice(some, most, replace=False) if some.size > most else some for some, most in zip(kinds, _MOST)
        )
        rows = np.concatenate([with_one, without])
        seen = values[rows].copy()
        if copy:
            hidden = {kind for kind in KINDS[1:] if rng.random() < _HIDDEN}
            gone = {n for n, c in CHANNELS.items() if c.kind in hidden or (n == "t1" and rng.random() < _T1_HIDDEN)}
            seen[:, [NAMES.index(f) for n in gone for f in features_of(n)]] = np.nan
        x.append(seen)
        y.append(recurred[rows])
        stand_for = [some.size / max(taken.size, 1) for some, taken in zip(kinds, (without, with_one))]
        weight.append(np.where(recurred[rows], stand_for[1], stand_for[0]))
    return np.concatenate(x), np.concatenate(y), np.concatenate(weight)
