"""Training and its honest evaluation: scaling, selection, oversampling, calibration and threshold are all learned inside each fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize
from scipy.special import expit

from ...errors import InputError, require
from ...statistics.agreement import Estimate
from ...statistics.groups import proportion
from ...statistics.roc import auc, compare_aucs
from ...steps import Progress, part, silent
from .classifiers import Classifier, fit_classifier, select
from .settings import KINDS, PatternSettings

_HELD_OUT = 0.2  # of the patients, in the single split (the paper's)
_LEAST = 8  # of a class, so that two of it are held out in the split


@dataclass(frozen=True)
class Tuned:
    """A classifier with what makes a probability and a decision of its score.

    Attributes
    ----------
    slope, offset
        Of the log odds, so that probabilities are those that came true (Platt 1999); the slope is not negative.
    threshold
        Of the probability: where sensitivity + specificity was highest on held-out patients (Youden 1950).
    """

    classifier: Classifier
    slope: float
    offset: float
    threshold: float

    def log_odds(self, x: np.ndarray) -> np.ndarray:
        """Calibrated log odds (n,) of features (n, k)."""
        return self.slope * self.classifier.score(x) + self.offset

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Of the outcome, (n,)."""
        return expit(self.log_odds(x))


@dataclass(frozen=True)
class HeldOut:
    """What models said of patients that they were not trained on.

    Attributes
    ----------
    rows, fold
        (n,) places in the table, and which model was asked.
    score, probability, called
        (n,) log odds that are not calibrated, probabilities, and whether these reach the model's own threshold.
    others
        Scores (n,) of the other kinds of classifier with the same features, by kind.
    chosen
        Of each model, its features.
    """

    rows: np.ndarray
    fold: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    called: np.ndarray
    others: dict[str, np.ndarray]
    chosen: list[tuple[str, ...]]


@dataclass(frozen=True)
class Trained:
    """The final model, and what its like did on held-out patients.

    Attributes
    ----------
    model
        Trained on all patients; calibration and threshold come from the folds.
    folds, split
        By cross-validation, and in one random split of 80 and 20 %.
    """

    model: Tuned
    folds: HeldOut
    split: HeldOut


def train(
    x: np.ndarray, y: np.ndarray, names: Sequence[str], settings: PatternSettings, progress: Progress = silent
) -> Trained:
    """Train a model and judge how well its like does on patients that it has not seen.

    Parameters
    ----------
    x
        (n, p) features, all known.
    y
        (n,) boolean: whether the patient has the outcome.
    names
        Of the features.

    Raises
    ------
    InputError
        If a package is missing, or a class is too small for the folds.
    """
    require("sklearn", "training", "scikit-learn")
    from sklearn.model_selection import train_test_split

    fewest = int(min(y.sum(), (~y).sum()))
    needed = max(2 * settings.folds, _LEAST)
    if fewest < needed:
        raise InputError(
            f"{int(y.sum())} patients have the outcome and {int((~y).sum())} have not; {needed} of each at least are needed "
            f"for {settings.folds} folds and a split of 80 and 20 %"
        )
    rows = np.arange(y.size)
    apart = [(rows[folds != k], rows[folds == k]) for folds in [folds_of(y, settings)] for k in range(settings.folds)]
    once = train_test_split(rows, test_size=_HELD_OUT, stratify=y, random_state=settings.seed)
    folds = _held_out(x, y, names, apart, settings, part(progress, 0.0, 0.8))
    split = _held_out(x, y, names, [once], settings, part(progress, 0.8, 0.97))
    progress(0.97, "the final model")
    model = _tuned(x, y, names, folds.score[np.argsort(folds.rows)], settings)
    progress(1.0, "trained")
    return Trained(model, folds, split)


def folds_of(y: np.ndarray, settings: PatternSettings) -> np.ndarray:
    """The fold of each patient, (n,): classes in equal shares."""
    from sklearn.model_selection import StratifiedKFold

    cut = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed).split(y[:, None], y)
    found = np.empty(y.size, int)
    for k, (_, inside) in enumerate(cut):
        found[inside] = k
    return found


def _held_out(
    x: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    apart: Sequence[tuple[np.ndarray, np.ndarray]],
    settings: PatternSettings,
    progress: Progress,
) -> HeldOut:
    """Train on the first rows of each pair, ask of the second."""
    rows, fold, score, probability, called, chosen = [], [], [], [], [], []
    others: dict[str, list[np.ndarray]] = {k: [] for k in KINDS if k != settings.kind}
    for k, (inside, outside) in enumerate(apart):
        progress(k / len(apart), f"held-out part {k + 1} of {len(apart)}")
        # The threshold and the calibration need scores of patients that a model has not seen, so there are folds within the fold.
        model = _tuned(x[inside], y[inside], names, _scores(x[inside], y[inside], settings), settings)
        columns = [names.index(n) for n in model.classifier.features]
        asked = x[outside][:, columns]
        found = model.probability(asked)
        rows.append(outside)
        fold.append(np.full(outside.size, k))
        score.append(model.classifier.score(asked))
        probability.append(found)
        called.append(found >= model.threshold)
        chosen.append(model.classifier.features)
        for kind, list_ in others.items():
            other = fit_classifier(kind, x[inside][:, columns], y[inside], model.classifier.features, settings)
            list_.append(other.score(asked))
    joined = {k: np.concatenate(v) for k, v in others.items()}
    return HeldOut(
        np.concatenate(rows),
        np.concatenate(fold),
        np.concatenate(score),
        np.concatenate(probability),
        np.concatenate(called),
        joined,
        chosen,
    )


def _scores(x: np.ndarray, y: np.ndarray, settings: PatternSettings) -> np.ndarray:
    """Scores (n,) of patients by models that were trained without them."""
    fold, found = folds_of(y, settings), np.empty(y.size)
    for k in range(settings.folds):
        inside = fold != k
        kept = select(x[inside], y[inside], settings.select)
        model = fit_classifier(settings.kind, x[inside][:, kept], y[inside], (), settings)
        found[~inside] = model.score(x[~inside][:, kept])
    return found


def _tuned(x: np.ndarray, y: np.ndarray, names: Sequence[str], unseen: np.ndarray, settings: PatternSettings) -> Tuned:
    """A classifier of these patients; `unseen` are their scores by models that had not seen them."""
    kept = select(x, y, settings.select)
    classifier = fit_classifier(settings.kind, x[:, kept], y, tuple(names[i] for i in kept), settings)
    slope, offset = calibration(unseen, y)
    return Tuned(classifier, slope, offset, youden(expit(slope * unseen + offset), y))


def calibration(score: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset that turn scores (n,) into log odds of what came true; a slope below 0 would turn the order round and is made 0.

    References
    ----------
    Platt J, in: Advances in Large Margin Classifiers, 1999, with its targets that are never quite 0 or 1.
    """
    n = int(y.sum())
    target = np.where(y, (n + 1) / (n + 2), 1 / (y.size - n + 2))
    scale = float(np.std(score)) or 1.0

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        t = p[0] * score / scale + p[1]
        error = expit(t) - target
        return float(np.mean(np.logaddexp(0, t) - target * t)), np.array([np.mean(error * score / scale), error.mean()])

    start = np.array([1.0, np.log((n + 1) / (y.size - n + 1))])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return float(found[0] / scale), float(found[1])


def youden(probability: np.ndarray, y: np.ndarray) -> float:
    """The threshold of the highest sensitivity + specificity, half way to the next lower probability."""
    values = np.unique(probability)
    cuts = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    gain = [(probability[y] >= c).mean() + (probability[~y] < c).mean() for c in cuts]
    return float(cuts[int(np.argmax(gain))])


def figures(held: HeldOut, y: np.ndarray) -> dict[str, Any]:
    """AUC with interval (DeLong within folds), its mean and SD over folds, sensitivity, specificity, accuracy (Clopper-Pearson), Brier."""
    true, call = y[held.rows], held.called
    of = lambda right, among: _told(proportion(int((right & among).sum()), int(among.sum())))
    each = [auc(true[held.fold == k], held.score[held.fold == k]).value for k in np.unique(held.fold)]
    whole = np.ones(true.size, bool)
    return {
        "n": int(true.size),
        "with_outcome": int(true.sum()),
        "auc": _area(true, held.score, held.fold),
        "auc_of_folds": each,
        "auc_mean": float(np.mean(each)),
        "auc_sd": float(np.std(each, ddof=1)) if len(each) > 1 else None,
        "sensitivity": of(call, true),
        "specificity": of(~call, ~true),
        "accuracy": of(call == true, whole),
        "confusion": {
            "true_positive": int((call & true).sum()),
            "false_negative": int((~call & true).sum()),
            "false_positive": int((call & ~true).sum()),
            "true_negative": int((~call & ~true).sum()),
        },
        "brier": float(np.mean((held.probability - true) ** 2)),
        "brier_of_the_share": float(true.mean() * (1 - true.mean())),
    }


def compared(held: HeldOut, y: np.ndarray) -> dict[str, Any]:
    """AUC of the other kinds of classifier with the same features, and P of the difference (DeLong, paired, within folds)."""
    true = y[held.rows]
    return {
        kind: {
            "auc": _area(true, score, held.fold),
            "p": compare_aucs(true, held.score, score, within=held.fold),
        }
        for kind, score in held.others.items()
    }


def _area(true: np.ndarray, score: np.ndarray, fold: np.ndarray) -> list[float | None]:
    """AUC with the ends of its interval; None where the classes do not overlap, of which DeLong's variance is 0 and says nothing."""
    found = auc(true, score, within=fold)
    known = found.low < found.high
    return [found.value, found.low if known else None, found.high if known else None]


def said(estimate: Sequence[float | None], digits: int = 3) -> str:
    """A value with its interval as text."""
    value, low, high = estimate
    ends = "no interval: the classes do not overlap" if low is None else f"{low:.{digits}f}-{high:.{digits}f}"
    return f"{value:.{digits}f} ({ends})"


def _told(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]
