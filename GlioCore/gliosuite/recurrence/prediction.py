"""The probability of recurrence of each voxel, whatever kind of model it comes from, with how far the model's members differ."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..images import Grid
from ..steps import Progress, silent
from .ensemble import calibrated
from .inputs import CHANNELS, KINDS, NEL, Inputs
from .settings import LOCAL, NETWORK, VOXELWISE

if TYPE_CHECKING:
    from ..training import Model

MODELS = (VOXELWISE, NETWORK)  # of each kind, one model travels with the library
_SAID = {
    True: "The recurrence model was trained on simulated patients alone: it shows the way from images to target volumes, and is no "
    "evidence of where this tumour will recur.",
    False: "The recurrence model was trained on the cases that its card names.",
}


@dataclass(frozen=True)
class Recurrence:
    """Where it is likely to recur.

    Attributes
    ----------
    probability
        That a voxel belongs to the lesion of this visit or of the progression: 1 in the lesion, 0 outside the brain, in the cavity and
        beyond `inputs.REACH_MM`; of a model of local recurrence, that it enhances later: 0 outside the lesion that does not enhance now;
        (z, y, x) float32.
    sd
        Standard deviation among the members of the ensemble: how much it hangs on the patients that were trained on.
    grid
        Of both.
    predicted
        Where the model was asked: the brain round the lesion, boolean (z, y, x).
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


def shipped(kind: str = VOXELWISE) -> "Model":
    """The model of a kind of `MODELS` that travels with the library; trained on simulated patients."""
    from ..training.model_folder import read_model, shipped

    return read_model(shipped(kind), kind)


def read(folder: str | Path) -> "Model":
    """The recurrence model, of whatever kind, in a folder of `gliosuite recurrence train`.

    Raises
    ------
    InputError
        If it holds none.
    """
    from ..training import read_model

    return read_model(folder, *MODELS)


def asked(inputs: Inputs, model: "Model") -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """What each member of a model says of a visit, not calibrated.

    Returns
    -------
    tuple
        Log odds (m, n); the n voxels (z, y, x); the channels that are looked at; and a sentence for each that is not.

    Raises
    ------
    InputError
        If T1c or FLAIR is unlike all that was trained on, or torch is missing for a network.
    """
    from . import network, voxelwise

    return (network if model.about["kind"] == NETWORK else voxelwise).asked(inputs, model)


def predict(inputs: Inputs, model: "Model | None" = None, progress: Progress = silent) -> Recurrence:
    """Predict where a glioma recurs from one visit.

    Parameters
    ----------
    inputs
        Of the visit, on voxels as large as those of training (the shipped models': `inputs.GRID_MM`); `Inputs.local` if the model was
        trained on such.
    model
        `shipped` where None.

    Raises
    ------
    InputError
        If an image that is needed is unlike all that was trained on, the grid or the question is another, or a network finds no torch.
    """
    model = model or shipped()
    about = model.about
    needed = about["grid_mm"]
    if not np.allclose(inputs.grid.spacing, needed, rtol=0.02):
        raise InputError(
            f"voxels of {inputs.grid.spacing[0]:g} mm were given, and the model was trained on {needed:g} mm"
        )
    if (NEL in inputs.masks) != (about.get("target") == LOCAL):
        raise InputError(
            "a model of local recurrence is asked by recurrence predict and evaluate alone, and no other model about local recurrence"
        )
    progress(0.0, "images")
    log_odds, where, used, notes = asked(inputs, model)
    each_member = calibrated(log_odds, about["calibration"])
    probability, sd = (np.zeros(inputs.grid.shape, np.float32) for _ in range(2))
    probability[where], sd[where] = each_member.mean(axis=0), each_member.std(axis=0)
    probability[inputs.certain] = 1.0
    kinds = [k for k in KINDS if any(CHANNELS[n].kind == k for n in used)]
    notes = [_SAID[bool(about.get("simulated"))], *notes]
    progress(1.0, "predicted")
    record = {
        "model": about["kind"],
        "trained_on": about["trained_on"],
        "channels": used,
        "kinds": kinds,
        "threshold": about["threshold"],
        "weights_sha256": about["weights_sha256"],
    }
    return Recurrence(probability, sd, inputs.grid, where, tuple(used), float(about["threshold"]), notes, record)
