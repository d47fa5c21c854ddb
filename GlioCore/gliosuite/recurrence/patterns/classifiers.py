"""Classifiers of selected features: trained with scikit-learn and torch, asked with numpy alone."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError, require
from .selection import eliminate, standardised
from .settings import PatternSettings

if TYPE_CHECKING:
    import torch

HIDDEN = 5  # layers, as the paper has it
_WIDTH, _DROPOUT, _RATE, _DECAY = 32, 0.5, 3e-3, 1e-2  # chosen on tables of development
_TREES, _LEAF = 300, 3  # of the forest; chosen
_NEIGHBOURS = 5  # of SMOTE, as its authors have it


@dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes
    ----------
    kind
        One of `settings.KINDS`.
    features
        k names.
    mean, sd
        (k,) of the features in training.
    arrays
        What the kind needs besides, by name.
    """

    kind: str
    features: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    arrays: Mapping[str, np.ndarray]

    def score(self, x: np.ndarray) -> np.ndarray:
        """Log odds (n,), not calibrated, of features (n, k) in their own units; NaN where one is missing."""
        z = (np.asarray(x, np.float64) - self.mean) / self.sd
        known = np.isfinite(z).all(axis=1)
        found = np.full(len(z), np.nan)
        found[known] = _SCORES[self.kind](self.arrays, z[known])
        return found


def _perceptron(arrays: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    for i in range(HIDDEN + 1):
        z = z @ np.asarray(arrays[f"weight{i}"], np.float64).T + arrays[f"bias{i}"]
        z = z if i == HIDDEN else np.maximum(z, 0)
    return z[:, 0]


def _machine(arrays: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    support = arrays["support"]
    square = (z**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * z @ support.T
    return np.exp(-arrays["gamma"][0] * np.maximum(square, 0)) @ arrays["dual"] + arrays["intercept"][0]


def _forest(arrays: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    at = np.repeat(arrays["root"][None, :], len(z), axis=0)
    rows = np.arange(len(z))[:, None]
    while (inner := arrays["left"][at] >= 0).any():
        # Trees were grown on 32-bit values, and a split is decided in them.
        value = z.astype(np.float32)[rows, arrays["feature"][at]]
        below = np.where(value <= arrays["split"][at], arrays["left"][at], arrays["right"][at])
        at = np.where(inner, below, at)
    share = np.clip(arrays["share"][at].mean(axis=1), 0.01, 0.99)
    return np.log(share / (1 - share))


def _logistic(arrays: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    return z @ arrays["coef"] + arrays["intercept"][0]


_SCORES = {"mlp": _perceptron, "svm": _machine, "forest": _forest, "logistic": _logistic}


def fit_classifier(
    kind: str, x: np.ndarray, y: np.ndarray, names: tuple[str, ...], settings: PatternSettings
) -> Classifier:
    """Train on selected features (n, k) of classes (n,): standardised, the smaller class oversampled (SMOTE).

    Raises
    ------
    InputError
        If scikit-learn, imbalanced-learn or, for the perceptron, torch is missing, or a class has fewer than two patients.
    """
    z, mean, sd = standardised(x)
    z, y = oversampled(z, y, settings.seed)
    return Classifier(kind, names, mean, sd, _FITS[kind](z, y, settings))


def oversampled(z: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Both classes as large, by points between neighbours of the smaller one (SMOTE, Chawla 2002)."""
    require("imblearn", "oversampling", "imbalanced-learn")
    from imblearn.over_sampling import SMOTE

    fewest = int(min(y.sum(), (~y).sum()))
    if fewest < 2:
        raise InputError(f"a class has {fewest} patient{'s' * (fewest != 1)} to train on; two at least are needed")
    if y.sum() * 2 == y.size:
        return z, y
    return SMOTE(k_neighbors=min(_NEIGHBOURS, fewest - 1), random_state=seed).fit_resample(z, y)


def network(inputs: int) -> "torch.nn.Sequential":
    """The perceptron before training."""
    from torch import nn

    layers: list[nn.Module] = []
    for i in range(HIDDEN):
        layers += [nn.Linear(inputs if i == 0 else _WIDTH, _WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, 1))


def _fit_perceptron(z: np.ndarray, y: np.ndarray, settings: PatternSettings) -> dict[str, np.ndarray]:
    require("torch", "training a perceptron")
    import torch

    from ...training import LoopSettings, train

    inputs, labels = torch.tensor(z, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(settings.seed)
        made = network(z.shape[1])
        loss = lambda net, step=0: torch.nn.functional.binary_cross_entropy_with_logits(net(inputs)[:, 0], labels)
        how = LoopSettings(
            settings.steps, rate=_RATE, decay=_DECAY, warm_up=min(20, settings.steps), every=settings.steps
        )
        train(made, loss, lambda net: float(loss(net)), how, Path(folder))
    dense = [layer for layer in made if isinstance(layer, torch.nn.Linear)]
    return {
        f"{name}{i}": getattr(layer, name).detach().numpy().copy()
        for i, layer in enumerate(dense)
        for name in ("weight", "bias")
    }


def _fit_machine(z: np.ndarray, y: np.ndarray, settings: PatternSettings) -> dict[str, np.ndarray]:
    from sklearn.svm import SVC

    gamma = 1.0 / z.shape[1]
    made = SVC(C=1.0, gamma=gamma).fit(z, y)
    return {
        "support": made.support_vectors_,
        "dual": made.dual_coef_[0],
        "intercept": made.intercept_,
        "gamma": np.array([gamma]),
    }


def _fit_forest(z: np.ndarray, y: np.ndarray, settings: PatternSettings) -> dict[str, np.ndarray]:
    from sklearn.ensemble import RandomForestClassifier

    made = RandomForestClassifier(_TREES, min_samples_leaf=_LEAF, random_state=settings.seed).fit(z, y)
    trees = [t.tree_ for t in made.estimators_]
    root = np.concatenate([[0], np.cumsum([t.node_count for t in trees])])[:-1]
    below = lambda name: np.concatenate(
        [np.where(getattr(t, name) >= 0, getattr(t, name) + r, -1) for t, r in zip(trees, root)]
    ).astype(np.int32)
    joined = lambda name, dtype: np.concatenate([getattr(t, name) for t in trees]).astype(dtype)
    shares = np.concatenate([t.value[:, 0, 1] / t.value[:, 0].sum(axis=1) for t in trees])
    return {
        "root": root.astype(np.int32),
        "left": below("children_left"),
        "right": below("children_right"),
        "feature": np.maximum(joined("feature", np.int16), 0),
        "split": joined("threshold", np.float64),
        "share": shares,
    }


def _fit_logistic(z: np.ndarray, y: np.ndarray, settings: PatternSettings) -> dict[str, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    made = LogisticRegression(C=0.1, max_iter=2000).fit(z, y)
    return {"coef": made.coef_[0], "intercept": made.intercept_}


_FITS = {"mlp": _fit_perceptron, "svm": _fit_machine, "forest": _fit_forest, "logistic": _fit_logistic}


def select(x: np.ndarray, y: np.ndarray, keep: int) -> np.ndarray:
    """Indices of the features (n, p) that are kept, of these patients alone."""
    return eliminate(standardised(x)[0], y, keep)
