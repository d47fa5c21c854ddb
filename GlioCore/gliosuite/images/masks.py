"""What a file given as a mask holds, and what becomes of a mask on another grid: what is not plainly so is said, with volumes."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .grid import Grid, as_grid, boolean
from .resampling import resample_mask

# Chosen: two volumes of any structure that is worth a plan are the same within this; steps of voxels make less. Both must be passed.
UNLIKE, UNLIKE_CC = 0.05, 0.1
_LABELS = re.compile(r"\d+(,\d+)*")
_WHOLE = 1e-3  # off a whole number: chosen, slopes of NIfTI headers make 1e-6
_MOST_LABELS = 64  # chosen: the finest label maps of lesions and lobes have fewer, images hundreds of values
_LISTED = 6  # labels with their volumes in a sentence
_PLACED_VOXELS = 0.1  # of the smallest spacing: chosen, headers that round a place are off by less


def chosen(text: str | Path) -> tuple[str, list[int] | None]:
    """``FILE:2`` as file and label, ``FILE:1,4`` as file and labels, taken together; None where none is chosen.

    Examples
    --------
    >>> chosen("labels.nii.gz:1,4"), chosen("RS.dcm:GTV")
    (('labels.nii.gz', [1, 4]), ('RS.dcm:GTV', None))
    """
    name, colon, labels = str(text).rpartition(":")
    if not colon or not _LABELS.fullmatch(labels) or Path(text).exists():
        return str(text), None
    return name, [int(v) for v in labels.split(",")]


def inside(image: sitk.Image, name: str, labels: Sequence[int] | None = None) -> sitk.Image:
    """What an image that is given as a mask means, as uint8 0/1; a warning says so wherever it is not one number on a background of 0.

    One number above 0 is the mask. Numbers between 0 and 1 are a probability (or a mask that was interpolated), of which what is above
    0.5 is taken. A few whole numbers are labels, all taken together. Anything else is an image.

    Parameters
    ----------
    name
        How sentences call the image.
    labels
        The values that are meant; None for what is above 0.

    Raises
    ------
    InputError
        If nothing is inside, or the image is no mask.
    """
    values = np.nan_to_num(sitk.GetArrayFromImage(image), nan=0, posinf=0, neginf=0)
    grid = Grid.of(image)
    found, counts = np.unique(values, return_counts=True)
    above, cc = found[found > 0], counts[found > 0] * grid.voxel_cc
    whole = bool(np.abs(found - np.round(found)).max() <= _WHOLE)
    if labels:
        taken = np.isin(np.round(values), labels)
        absent = [v for v in labels if v not in np.round(found)]
        if absent and taken.any():
            warnings.warn(f"{name} has no voxel with the label {', '.join(map(str, absent))}", stacklevel=2)
    elif len(above) > 1 and found[0] >= 0 and found[-1] <= 1 + _WHOLE and not whole:
        taken = values > 0.5
        if not taken.any():
            raise InputError(
                f"{name} holds numbers between 0 and 1, none above 0.5 (the highest is {found[-1]:.3g}); a mask is needed"
            )
        warnings.warn(
            f"{name} holds numbers between 0 and 1, as a probability or an interpolated mask does: what is above 0.5 was taken, "
            f"{_volume(taken, grid):.2f} cc of {cc.sum():.2f} cc above 0",
            stacklevel=2,
        )
    elif len(above) > 1 and (len(above) == len(found) or found[0] < 0 or not whole or len(above) > _MOST_LABELS):
        what = "all above 0" if len(above) == len(found) else f"from {found[0]:.4g} to {found[-1]:.4g}"
        raise InputError(
            f"{name} holds {len(found)} different numbers, {what}, as an image does ({cc.sum():.2f} cc are above 0); a mask is needed, "
            "0 outside and one number inside"
        )
    else:
        taken = values > 0
        if len(above) > 1:
            warnings.warn(
                f"{name} holds several labels, {_listed(above, cc)}: all together were taken, {cc.sum():.2f} cc; where one alone is meant, "
                f"name it behind the file (FILE:{above[0]:g}), on the command line as in case.json",
                stacklevel=2,
            )
        elif taken.all():
            warnings.warn(
                f"{name} covers its whole image ({cc.sum():.2f} cc): no voxel is 0; is it a mask?",
                stacklevel=2,
            )
    if not taken.any():
        sought = f"with a label of {list(labels)}" if labels else "above 0"
        raise InputError(f"{name} is empty: no voxel {sought}; a mask with at least one is needed")
    return grid.image(taken)


def carried(
    mask: sitk.Image,
    like: sitk.Image | Grid,
    name: str,
    transform: sitk.Transform | None = None,
    onto: str = "the image that it is for",
    known: bool = False,
) -> sitk.Image:
    """`resample_mask` of what a user gave, uint8 0/1; a warning says that it was carried, and its volume before and after.

    Parameters
    ----------
    name, onto
        How sentences call the mask and the image.
    transform
        From points of `like` to points of the mask; None where it is carried as it lies.
    known
        Whether it is known what image the mask was drawn on, so that another grid is nothing to speak of: a volume that changes is.

    Raises
    ------
    InputError
        If nothing of it lies on the grid.
    """
    grid = as_grid(like)
    result = resample_mask(mask, grid, transform)
    if not boolean(result).any():
        raise InputError(
            f"{name} does not overlap {onto}: no voxel of the mask lies on its grid; "
            "a mask of the same patient and position is needed"
        )
    unlike, sentence = change(mask, result, name, onto, known)
    if sentence and (unlike or not known):
        warnings.warn(sentence, stacklevel=2)
    return result


def change(mask: sitk.Image, there: sitk.Image, name: str, onto: str, known: bool = False) -> tuple[bool, str]:
    """What became of a mask that was carried to another grid.

    Parameters
    ----------
    mask, there
        Before and after.
    name, onto, known
        As `carried` takes them.

    Returns
    -------
    tuple
        Whether that needs a look, and a sentence; an empty one where the grid is the same.
    """
    own, grid = Grid.of(mask), Grid.of(there)
    apart, placed = own.apart(grid), _PLACED_VOXELS * min(own.spacing)
    if (
        sorted(own.size) == sorted(grid.size) and apart <= placed
    ):  # the same voxels, their axes perhaps in another order
        return False, ""
    before, after = _volume(boolean(mask), own), _volume(boolean(there), grid)
    whose = "its image" if known else "a grid of its own"
    sentence = f"{name} was carried from {whose} to that of {onto}: {before:.2f} cc there, {after:.2f} cc here"
    if own.size == grid.size and not known:
        return True, (
            f"{sentence}; it has as many voxels as the image along each axis, but another place or voxel size (corners up to "
            f"{apart:.1f} mm apart), so look where it lies"
        )
    if abs(after - before) <= max(UNLIKE_CC, UNLIKE * before):
        return False, sentence
    return True, f"{sentence}; look where it lies"


def _volume(taken: np.ndarray, grid: Grid) -> float:
    return float(np.count_nonzero(taken)) * grid.voxel_cc


def _listed(labels: np.ndarray, cc: np.ndarray) -> str:
    told = [f"{label:g} ({volume:.2f} cc)" for label, volume in zip(labels[:_LISTED], cc)]
    more = len(labels) - _LISTED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")
