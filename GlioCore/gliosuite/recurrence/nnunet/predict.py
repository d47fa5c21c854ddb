"""Prediction of ``--kind nnunet``: the probability of later enhancing tumour, and whether a patient counts as positive."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ...errors import InputError, require
from ...steps import Progress, silent
from .cases import Patient

if TYPE_CHECKING:
    from ...training import Model

MEANS = "tumour that enhances later inside the lesion that does not enhance now (Yoon 2024)"
THRESHOLD = 0.5  # of Yoon 2024
_CONFIGURATION = "3d_fullres"


@dataclass(frozen=True)
class Verdict:
    """What a probability says of a patient.

    Attributes
    ----------
    positive
        Whether a connected piece of `min_voxels` at least survives the threshold.
    voxels, largest
        Voxels that survive, and those of their largest piece (26 neighbours).
    highest
        The highest probability.
    """

    positive: bool
    voxels: int
    largest: int
    highest: float


def predict(
    patient: Patient,
    model: "Model",
    folds: tuple[str, ...] | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> np.ndarray:
    """The probability of each voxel (z, y, x), float32, 0 outside the brain: mean over the folds' networks.

    Parameters
    ----------
    patient
        With the model's channels, on voxels as large as those of training.
    folds
        Some of the model's; all where None.

    Raises
    ------
    InputError
        If nnunetv2 or torch is missing, or the patient's images or voxels are others.
    """
    require("torch", "nnU-Net")
    require("nnunetv2", "this kind of recurrence model")
    about = model.about
    if list(patient.images) != list(about["channels"]):
        raise InputError(
            f"the model looks at {', '.join(about['channels'])}, and {', '.join(patient.images)} were given"
        )
    if not np.allclose(patient.grid.spacing, about["grid_mm"], rtol=0.02):
        found = patient.grid.spacing[0]
        raise InputError(f"voxels of {found:g} mm were given, and the model was trained on {about['grid_mm']:g} mm")
    progress(0.0, "nnU-Net")
    with contextlib.redirect_stdout(io.StringIO()):
        found = _predictor(model, folds or tuple(about["folds"]), device).predict_single_npy_array(
            np.stack(list(patient.images.values())),
            {"spacing": list(patient.grid.spacing[::-1])},
            save_or_return_probabilities=True,
        )[1]
    progress(1.0, "predicted")
    return np.where(patient.brain, found[1], 0).astype(np.float32)


def _predictor(model: "Model", folds: tuple[str, ...], device: str) -> Any:
    """nnU-Net's predictor with the networks of `folds`, without a file of its own: those hold pickled objects."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    about = model.about
    plans = PlansManager(about["plans"])
    configuration = plans.get_configuration(_CONFIGURATION)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        len(about["channels"]),
        plans.get_label_manager(about["dataset"]).num_segmentation_heads,
        deep_supervision=False,
    )
    owner = owners(network.state_dict())
    parameters = [
        {name: torch.from_numpy(np.array(model.weights[f"fold_{fold}/{own}"])) for name, own in owner.items()}
        for fold in folds
    ]
    where = torch.device(device)
    # The network must lie where it predicts before nnU-Net loads the first parameters into it.
    network.load_state_dict(parameters[0])
    predictor = nnUNetPredictor(
        device=where, perform_everything_on_device=where.type == "cuda", verbose=False, allow_tqdm=False
    )
    mirror = tuple(about["mirror"]) or None
    predictor.manual_initialization(
        network.to(where), plans, configuration, parameters, about["dataset"], "nnUNetTrainer", mirror
    )
    return predictor


def owners(state: Mapping[str, Any]) -> dict[str, str]:
    """By name of each tensor of a network's state, the first name of the same memory: nnU-Net's networks name much of theirs thrice."""
    first: dict[int, str] = {}
    return {name: first.setdefault(values.data_ptr(), name) for name, values in state.items()}


def verdict(probability: np.ndarray, threshold: float = 0.5, min_voxels: int = 1) -> Verdict:
    """Whether a patient counts as positive (Yoon 2024: one voxel of .5 or more is enough).

    Parameters
    ----------
    probability
        (z, y, x), on the model's voxels: what survives hangs on their size.
    threshold
        A voxel survives from here on.
    min_voxels
        Of a connected piece.

    Examples
    --------
    >>> import numpy as np
    >>> verdict(np.array([[[0.2, 0.6, 0.1, 0.7, 0.7]]]), min_voxels=3)
    Verdict(positive=False, voxels=3, largest=2, highest=0.7)
    """
    survives = probability >= threshold
    pieces, n = ndimage.label(survives, np.ones((3, 3, 3)))
    largest = int(np.bincount(pieces.ravel())[1:].max()) if n else 0
    return Verdict(largest >= min_voxels, int(survives.sum()), largest, round(float(probability.max()), 6))
