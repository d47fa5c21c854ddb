"""Growing the trees of ``--kind voxelwise``: folds by patient, channels hidden at random, probabilities brought to what came true."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InputError, require
from ..steps import Progress, silent
from .features import NAMES, feature_of, features, features_of
from .inputs import CHANNELS, KINDS, Inputs
from .settings import VoxelwiseTraining
from .trees import Trees
from .voxelwise import KIND, calibrated

_COPIES = 3  # of each patient: one with all channels, and others with some kinds of scan hidden; chosen
_HIDDEN, _T1_HIDDEN = 0.5, 0.3  # how often a kind of scan, and T1, is hidden in these; chosen
# Voxels of a copy without and with recurrence, at most; chosen: on a grid of 3 mm the latter are hardly ever more.
_MOST = (3000, 6000)
# Of a channel's range: percent left out at either end, and share by which it is widened; chosen.
_TAIL, _MARGIN = 0.1, 0.25


@dataclass(frozen=True)
class Grown:
    """Trees and what is known of them.

    Attributes
    ----------
    weights, about
        Of a `training.Model`; the threshold is still to be chosen.
    held_out
        Of each patient, the probability by the member that was grown without him, (z, y, x) float32, 1 in the lesion.
    """

    weights: dict[str, np.ndarray]
    about: dict[str, Any]
    held_out: list[np.ndarray]


def folds_of(n: int, folds: int, seed: int) -> np.ndarray:
    """The fold of each of n patients, (n,)."""
    return np.random.default_rng([seed, 1]).permutation(np.arange(n) % folds)


def grow(patients: Sequence[Inputs], settings: VoxelwiseTraining, progress: Progress = silent) -> Grown:
    """Grow an ensemble on patients whose target is known; no patient is on both sides of a fold.

    Raises
    ------
    InputError
        If scikit-learn is missing, there are fewer patients than folds, or one has no target.
    """
    require("sklearn", "training a recurrence model", "scikit-learn")
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(patients) < settings.folds:
        raise InputError(f"{len(patients)} patients cannot be parted into {settings.folds} folds")
    if any(p.target is None for p in patients):
        raise InputError("a patient has no lesion at progression, so there is nothing to learn from")
    if any(not np.allclose(p.grid.spacing, settings.grid_mm, rtol=0.02) for p in patients):
        raise InputError(f"a patient's voxels are not of {settings.grid_mm:g} mm")
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
    calibration = _calibrate(np.concatenate(scores), np.concatenate(labels))
    held_out = []
    for patient, (_, where), score in zip(patients, tables, scores):
        probability = np.zeros(patient.grid.shape, np.float32)
        probability[where] = calibrated(score, calibration)
        probability[patient.masks["t2l"]] = 1.0
        held_out.append(probability)
    about = {
        "kind": KIND,
        "grid_mm": settings.grid_mm,
        "features": [NAMES[i] for i in chosen],
        "ranges": _ranges(tables),
        "calibration": calibration,
        "seed": settings.seed,
        "settings": asdict(settings),
        "patients": len(patients),
        "reliability": reliability([calibrated(s, calibration) for s in scores], labels),
    }
    progress(1.0, "grown")
    return Grown(Trees.grown(members).arrays(), about, held_out)


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


def _calibrate(log_odds: np.ndarray, recurred: np.ndarray) -> dict[str, float]:
    """Slope and offset of a logistic regression (Platt 1999) of what came true on log odds of held-out voxels."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=1e6).fit(log_odds[:, None], recurred)
    return {"slope": float(found.coef_[0, 0]), "offset": float(found.intercept_[0])}


def _ranges(tables: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """By channel, between what its values near the lesion lay in training, widened."""
    found = {}
    for name in CHANNELS:
        column = NAMES.index(feature_of(name))
        seen = np.concatenate([v[np.isfinite(v[:, column]), column] for v, _ in tables])
        if seen.size:
            low, high = np.percentile(seen, (_TAIL, 100 - _TAIL))
            wider = _MARGIN * (high - low)
            found[name] = (float(low - wider), float(high + wider))
    return found


def reliability(probabilities: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """In bins of held-out probability: their mean, what share recurred, and how many voxels."""
    p, y = np.concatenate(probabilities), np.concatenate(labels)
    edges = np.array([0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 + 1e-9])
    rows = []
    for low, high in zip(edges, edges[1:]):
        inside = (p >= low) & (p < high)
        if inside.any():
            rows.append(
                {"predicted": float(p[inside].mean()), "recurred": float(y[inside].mean()), "voxels": int(inside.sum())}
            )
    return rows
