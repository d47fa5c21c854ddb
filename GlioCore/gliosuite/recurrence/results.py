"""Where the inputs of a recurrence model lie among the results of ``gliosuite run``."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..images import Grid, boolean, read_image, resample_mask
from .inputs import CHANNELS, GRID_MM, REQUIRED, TARGET, Inputs

SPECTROSCOPY = "spectroscopy"  # folder of metabolite maps among the step's own results, on their own grid
_LESION = ("brain", "cel", "t2l", "cavity")
STEPS = {"ktrans": "dce", "ve": "dce", "vp": "dce", "cbv": "dsc", "tmax": "dsc", "adc": "dti", "fa": "dti"}


def gathered(
    find: Callable[..., Path | None],
    lesion: dict[str, sitk.Image] | None = None,
    more: dict[str, sitk.Image] | None = None,
    target: bool = False,
    grid_mm: float = GRID_MM,
) -> Inputs:
    """The inputs of a case from what the steps of a run have written.

    Parameters
    ----------
    find
        From the parts of a path among the results to the file; None where there is none.
    lesion
        ``brain cel t2l cavity``, where they are not to be read.
    more
        Images by names of `CHANNELS` that no earlier step has written.
    target
        Whether what progressed is wanted too.
    grid_mm
        Voxels of the inputs.

    Raises
    ------
    InputError
        If something that is needed is missing, see `Inputs.of`.
    """
    masks = {n: read_image(p) for n in _LESION if (p := find("lesions", f"{n}.nii.gz"))} if lesion is None else lesion
    if target:
        masks |= {n: read_image(p) for n in TARGET if (p := find("progression", f"{n}.nii.gz"))}
    images, measured = dict(more or {}), {}
    for name, channel in CHANNELS.items():
        if name in images:
            continue
        # A map that the case brought goes before one that a step made.
        own = ("recurrence", SPECTROSCOPY) if channel.kind == SPECTROSCOPY else ("registered",)
        if path := find(*own, f"{name}.nii.gz"):
            images[name] = read_image(path)
        elif (step := STEPS.get(name)) and (path := find(step, "on_t1c", f"{name}.nii.gz")):
            images[name] = read_image(path)
            mask = find(step, "on_t1c", "mask.nii.gz")
            if mask is not None:
                measured[name] = read_image(mask)
    for name in REQUIRED:
        if name not in images:
            raise InputError(f"there is no registered {CHANNELS[name].title} image; T1c and FLAIR are needed")
    return Inputs.of(images, masks, Grid.of(images["t1c"]).isotropic(grid_mm), measured=measured)


def read_results(folder: str | Path, target: bool = False, grid_mm: float = GRID_MM) -> Inputs:
    """The inputs of a case from a results folder of ``gliosuite run``; with `target`, what progressed too.

    Raises
    ------
    InputError
        If it is none, or something that is needed is missing.
    """
    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise InputError(f"{folder} holds no run.json; the results folder of gliosuite run is needed")
    find = lambda *parts: path if (path := folder.joinpath(*parts)).exists() else None
    try:
        found = gathered(find, target=target, grid_mm=grid_mm)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    if target and found.target is None:
        raise InputError(f"{folder}: no lesion at progression ({', '.join(TARGET)}) was found there")
    return found


def read_local(folder: str | Path, target: bool = False, grid_mm: float = GRID_MM) -> Inputs:
    """The inputs of a model of local recurrence (`Inputs.local`) from a results folder; with `target`, what recurred too.

    Raises
    ------
    InputError
        If an image, or with `target` the later visit, is missing.
    """
    folder = Path(folder)
    inputs = read_results(folder, grid_mm=grid_mm)
    mask = lambda *parts: (
        boolean(resample_mask(read_image(p), inputs.grid)) if (p := folder.joinpath(*parts)).exists() else None
    )
    later = mask("progression", f"{TARGET[0]}.nii.gz")
    if later is None and target:
        # A later visit without an enhancing lesion is one without recurrence.
        if not (folder / "progression").is_dir():
            raise InputError(f"{folder}: there is no later visit (progression), so that it is not known what recurred")
        later = np.zeros(inputs.grid.shape, bool)
    try:
        return inputs.local(later if target else None, mask("lesions", "necrosis.nii.gz"))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def result_folders(folder: str | Path) -> Sequence[Path]:
    """The results folders that lie in a folder, by name.

    Raises
    ------
    InputError
        If there is none.
    """
    folder = Path(folder)
    found = sorted(p.parent for p in folder.glob("*/run.json"))
    if not found:
        raise InputError(f"{folder} holds no results folders of gliosuite run, one for each patient")
    return found


def lesion_of(folder: Path) -> sitk.Image:
    """The T2 lesion with the enhancing one, of a results folder; one of them at least is there."""
    masks = [read_image(p) for n in ("t2l", "cel") if (p := folder / "lesions" / f"{n}.nii.gz").exists()]
    return Grid.of(masks[0]).image(np.any([boolean(m) for m in masks], axis=0))
