"""What both kinds of model share: an ensemble over folds of patients, probabilities brought to what came true, ranges of what was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .inputs import CHANNELS, NEL, NOBODY, REQUIRED, Inputs
from .settings import Training

# A channel whose values lie outside what was trained on in so large a share of the voxels is not looked at; chosen.
_MOST_OUTSIDE = 0.2
# Of a channel's range: percent left out at either end, and share by which it is widened; chosen.
_TAIL, _MARGIN = 0.1, 0.25


@dataclass(frozen=True)
class Grown:
    """An ensemble and what is known of it.

    Attributes
    ----------
    weights, about
        Of a `training.Model`; the threshold is still to be chosen.
    held_out
        Of each patient, the probability by the member that was trained without him, (z, y, x) float32, 1 in `Inputs.certain`.
    """

    weights: dict[str, np.ndarray]
    about: dict[str, Any]
    held_out: list[np.ndarray]


def folds_of(n: int, folds: int, seed: int) -> np.ndarray:
    """The fold of each of n patients, (n,)."""
    return np.random.default_rng([seed, 1]).permutation(np.arange(n) % folds)


def check(patients: Sequence[Inputs], settings: Training) -> None:
    """Refuse patients that cannot be learned from.

    Raises
    ------
    InputError
        If there are fewer than folds, one has no target, nobody recurred, or one is on other voxels.
    """
    if len(patients) < settings.folds:
        raise InputError(f"{len(patients)} patients cannot be parted into {settings.folds} folds")
    if any(p.target is None for p in patients):
        raise InputError("a patient has no lesion at progression, so there is nothing to learn from")
    if not any(p.target.any() for p in patients if p.target is not None):
        raise InputError(NOBODY)
    if any(not np.allclose(p.grid.spacing, settings.grid_mm, rtol=0.02) for p in patients):
        raise InputError(f"a patient's voxels are not of {settings.grid_mm:g} mm")


def grown(
    kind: str,
    settings: Training,
    patients: Sequence[Inputs],
    wheres: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    near: Mapping[str, Sequence[np.ndarray]],
    weights: dict[str, np.ndarray],
) -> Grown:
    """Calibrate an ensemble on its held-out log odds.

    Of local recurrence .5, where Yoon 2024 cuts, is put to where held-out voxels have the highest Dice, as the output of a network that is
    trained for it would be: hardly one probability that a single voxel enhances later reaches .5.

    Parameters
    ----------
    wheres, scores
        Of each patient: the n voxels that are predicted, boolean (z, y, x), and their log odds (n,) by the member trained without him.
    near
        By channel and patient: values of these voxels (n,), see `usable`.
    """
    labels = [p.target[where] for p, where in zip(patients, wheres) if p.target is not None]
    scored, recurred = np.concatenate(scores), np.concatenate(labels)
    calibration = platt(scored, recurred)
    if any(NEL in p.masks for p in patients):
        calibration["offset"] -= best_dice(calibration["slope"] * scored + calibration["offset"], recurred)
    held_out = []
    for patient, where, score in zip(patients, wheres, scores):
        probability = np.zeros(patient.grid.shape, np.float32)
        probability[where] = calibrated(score, calibration)
        probability[patient.certain] = 1.0
        held_out.append(probability)
    about = {
        "kind": kind,
        "grid_mm": settings.grid_mm,
        "ranges": _ranges(near),
        "calibration": calibration,
        "seed": settings.seed,
        "settings": asdict(settings),
        "patients": len(patients),
        "reliability": reliability([calibrated(s, calibration) for s in scores], labels),
    }
    return Grown(weights, about, held_out)


def calibrated(log_odds: np.ndarray, calibration: Mapping[str, float]) -> np.ndarray:
    """Probabilities of log odds, brought to how often they came true on patients that a member was not trained on."""
    return 1.0 / (1.0 + np.exp(-(calibration["slope"] * log_odds + calibration["offset"])))


def usable(
    near: Mapping[str, np.ndarray], ranges: Mapping[str, Any], needed: Sequence[str] = REQUIRED
) -> tuple[list[str], list[str]]:
    """The channels that a model can look at, and a sentence for each that it cannot.

    Parameters
    ----------
    near
        By channel: values of the voxels that are predicted (n,), in units that patients share; NaN where not measured.
    ranges
        By channel that the model knows: between what they lay in training.

    Raises
    ------
    InputError
        If one of `needed` cannot be looked at.
    """
    used, notes = [], []
    for name, found in near.items():
        title = CHANNELS[name].title
        known = np.isfinite(found)
        if name not in ranges or not known.any():
            why = (
                "the model was trained without it" if name not in ranges else "it was measured nowhere near the lesion"
            )
        else:
            low, high = ranges[name]
            outside = float(((found < low) | (found > high))[known].mean())
            if outside <= _MOST_OUTSIDE:
                used.append(name)
                continue
            why = (
                f"{100 * outside:.0f} % of its values near the lesion lie outside {low:.3g} to {high:.3g}, what the model was trained on"
                + (" (in units of normal brain)" if CHANNELS[name].scaled else "")
            )
        if name in needed:
            raise InputError(f"the recurrence model cannot be used: {title}: {why}")
        notes.append(f"{title} was left out of the recurrence model: {why}.")
    return used, notes


def platt(log_odds: np.ndarray, recurred: np.ndarray) -> dict[str, float]:
    """Slope and offset of a logistic regression (Platt 1999) of what came true on log odds of held-out voxels."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=1e6).fit(log_odds[:, None], recurred)
    return {"slope": float(found.coef_[0, 0]), "offset": float(found.intercept_[0])}


def best_dice(log_odds: np.ndarray, recurred: np.ndarray) -> float:
    """The log odds from which on voxels (n,) have the highest Dice with those that recurred, taken all together.

    Examples
    --------
    >>> import numpy as np
    >>> best_dice(np.array([-3.0, -1.0, 0.5, 2.0]), np.array([False, True, False, True]))
    -1.0
    """
    order = np.argsort(-log_odds, kind="stable")
    found = np.cumsum(recurred[order])
    return float(log_odds[order[np.argmax(found / (np.arange(1, found.size + 1) + found[-1]))]])


def _ranges(near: Mapping[str, Sequence[np.ndarray]]) -> dict[str, tuple[float, float]]:
    """By channel, between what its values near the lesion lay in training, widened."""
    found = {}
    for name, values in near.items():
        seen = np.concatenate([v[np.isfinite(v)] for v in values])
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
