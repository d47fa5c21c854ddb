"""What a prediction leaves: ``probability.nii.gz``, ``probability_sd.nii.gz``, ``recurrence.json``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..files import write_json
from ..images import Grid, array, boolean, resample, write_image
from .prediction import Recurrence

PROBABILITY, SD, RECORD = "probability", "probability_sd", "recurrence.json"
_NEIGHBOUR = 2.0  # voxels: the corners of a cube are 1.7 away


def on_grid(
    found: Recurrence, brain: sitk.Image, lesion: sitk.Image, cavity: sitk.Image | None
) -> tuple[sitk.Image, sitk.Image]:
    """Probability and its SD on the grid of the brain mask, float32.

    Parameters
    ----------
    brain, lesion, cavity
        Masks on one grid, finer than the prediction's: it is 1 in the lesion, and 0 outside the brain and in the cavity.
    """
    grid = Grid.of(brain)
    inside, sick = boolean(brain), boolean(lesion)
    gone = boolean(cavity) & ~sick if cavity is not None else np.zeros_like(inside)
    # Beside a mask, coarse voxels that hold both sides would be half of each.
    fine = lambda values: array(resample(found.grid.image(_spread(values, found.predicted)), grid))
    probability = np.where(inside & ~gone, fine(found.probability), 0)
    probability[sick] = 1.0
    sd = np.where(inside & ~gone & ~sick, fine(found.sd), 0)
    return grid.image(probability.clip(0, 1).astype(np.float32)), grid.image(sd.astype(np.float32))


def about(found: Recurrence) -> str:
    """What made a prediction, in one line."""
    return f"recurrence probability: {found.record['model']}, trained on {found.record['trained_on']}"


def cautions(drafts: Sequence[str], operated: bool) -> list[str]:
    """What a reader must know of the case itself.

    Parameters
    ----------
    drafts
        The masks that the prediction rests on and no person has checked.
    operated
        Whether a cavity or the kind of resection is known.
    """
    notes = []
    if drafts:
        notes.append(f"The prediction rests on drafts ({', '.join(drafts)}): a wrong lesion makes a wrong map.")
    if not operated:
        notes.append(
            "Neither a cavity nor the kind of resection is known; the model was trained on scans after surgery or biopsy."
        )
    return notes


def write(found: Recurrence, folder: Path, brain: sitk.Image, lesion: sitk.Image, cavity: sitk.Image | None) -> dict:
    """Write a prediction with the masks of `on_grid`; returns the record."""
    probability, sd = on_grid(found, brain, lesion, cavity)
    write_image(probability, folder / f"{PROBABILITY}.nii.gz", about(found))
    write_image(sd, folder / f"{SD}.nii.gz", f"SD of {about(found)}")
    record = found.record | {"notes": found.notes}
    write_json(folder / RECORD, record)
    return record


def _spread(values: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Values with those of the nearest predicted voxel in each neighbour that was not predicted; 0 farther away."""
    if not predicted.any():
        return np.zeros_like(values)
    away, nearest = ndimage.distance_transform_edt(~predicted, return_indices=True)
    return np.where(away < _NEIGHBOUR, values[tuple(nearest)], 0).astype(np.float32)
