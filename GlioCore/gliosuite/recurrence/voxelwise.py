"""The probability of recurrence of each voxel by gradient boosted trees (``--kind voxelwise``), with how far the members differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..images import Grid
from ..steps import Progress, silent
from .features import NAMES, feature_of, features, features_of
from .inputs import CHANNELS, KINDS, REQUIRED, Inputs
from .trees import Trees

if TYPE_CHECKING:
    from ..training import Model

KIND = "voxelwise"
# A channel whose values lie outside what was trained on in so large a share of the voxels is not looked at; chosen.
_MOST_OUTSIDE = 0.2


@dataclass(frozen=True)
class Recurrence:
    """Where it is likely to recur.

    Attributes
    ----------
    probability
        That a voxel belongs to the lesion of this visit or of the progression: 1 in the lesion, 0 outside the brain, in the cavity and
        beyond `inputs.REACH_MM`; (z, y, x) float32.
    sd
        Standard deviation among the members of the ensemble: how much it hangs on the patients that were trained on.
    grid
        Of both.
    predicted
        Where the trees were asked: the brain round the lesion, boolean (z, y, x).
    channels
        The images that were looked at, by names of `inputs.CHANNELS`.
    threshold
        At which the model's own validation found the best coverage (PCC).
    notes
        What a reader must know.
    record
        What recurrence.json says.
    """

    probability: np.ndarray
    sd: np.ndarray
    grid: Grid
    predicted: np.ndarray
    channels: tuple[str, ...]
    threshold: float
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


def shipped() -> "Model":
    """The model that travels with the library; trained on simulated patients."""
    from ..training.model_folder import read_model, shipped

    return read_model(shipped(KIND), KIND)


def predict(inputs: Inputs, model: "Model | None" = None, progress: Progress = silent) -> Recurrence:
    """Predict where a glioma recurs from one visit.

    Parameters
    ----------
    inputs
        Of the visit, on voxels as large as those of training (the shipped model's: `inputs.GRID_MM`).
    model
        The shipped one where None.

    Raises
    ------
    InputError
        If T1c or FLAIR is unlike all that was trained on, or the grid is another.
    """
    model = model or shipped()
    about = model.about
    progress(0.0, "features")
    values, where, used, notes = seen(inputs, model)
    progress(0.4, "probability")
    each_member = calibrated(raw_log_odds(model, values), about["calibration"])
    probability, sd = (np.zeros(inputs.grid.shape, np.float32) for _ in range(2))
    probability[where], sd[where] = each_member.mean(axis=0), each_member.std(axis=0)
    probability[inputs.masks["t2l"]] = 1.0
    kinds = [k for k in KINDS if any(CHANNELS[n].kind == k for n in used)]
    notes = [_SAID[bool(about.get("simulated"))], *notes]
    progress(1.0, "predicted")
    record = {
        "model": KIND,
        "trained_on": about["trained_on"],
        "channels": used,
        "kinds": kinds,
        "threshold": about["threshold"],
        "weights_sha256": about["weights_sha256"],
    }
    return Recurrence(probability, sd, inputs.grid, where, tuple(used), float(about["threshold"]), notes, record)


def seen(inputs: Inputs, model: "Model") -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """What a model is shown of a visit.

    Returns
    -------
    tuple
        Values and voxels as `features.features` gives them, NaN in the channels that are left out; the channels that are looked at; and
        a sentence for each that is not.

    Raises
    ------
    InputError
        As `predict`.
    """
    needed = model.about["grid_mm"]
    if not np.allclose(inputs.grid.spacing, needed, rtol=0.02):
        raise InputError(
            f"voxels of {inputs.grid.spacing[0]:g} mm were given, and the model was trained on {needed:g} mm"
        )
    values, where = features(inputs)
    return values, where, *_usable(inputs, values, model.about["ranges"])


def raw_log_odds(model: "Model", values: np.ndarray) -> np.ndarray:
    """What each member says of voxels with all features (n, `features.NAMES`), not calibrated: log odds (m, n)."""
    return Trees.of(model.weights).log_odds(values[:, [NAMES.index(n) for n in model.about["features"]]])


_SAID = {
    True: "The recurrence model was trained on simulated patients alone: it shows the way from images to target volumes, and is no "
    "evidence of where this tumour will recur.",
    False: "The recurrence model was trained on the cases that its card names.",
}


def calibrated(log_odds: np.ndarray, calibration: Mapping[str, float]) -> np.ndarray:
    """Probabilities of log odds, brought to how often they came true on patients that a member was not trained on."""
    return 1.0 / (1.0 + np.exp(-(calibration["slope"] * log_odds + calibration["offset"])))


def _usable(inputs: Inputs, values: np.ndarray, ranges: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The channels that can be looked at, and a sentence for each that cannot, whose values are made missing."""
    used, notes = [], []
    for name in inputs.images:
        title = CHANNELS[name].title
        found = values[:, NAMES.index(feature_of(name))]
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
        if name in REQUIRED:
            raise InputError(f"the recurrence model cannot be used: {title}: {why}")
        notes.append(f"{title} was left out of the recurrence model: {why}.")
        values[:, [NAMES.index(n) for n in features_of(name)]] = np.nan
    return used, notes
