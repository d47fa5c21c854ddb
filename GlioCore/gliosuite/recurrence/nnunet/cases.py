"""What nnU-Net is shown of a patient, and what it is to find: new enhancing tumour inside the non-enhancing lesion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import write_json
from ...images import Grid, boolean, non_enhancing, read_image, resample_mask, write_image
from ..inputs import CHANNELS, Inputs
from ..results import read_results

DATASET = "Dataset001_Recurrence"
CASES = "cases.json"  # beside dataset.json: the name of each number, and whether that patient recurred
_LABEL = "progression_cel"


@dataclass(frozen=True)
class Patient:
    """One patient.

    Attributes
    ----------
    images
        By names of `CHANNELS`, in the network's order; float32 (z, y, x), 0 where nothing was measured.
    brain, nel
        Masks (z, y, x); `nel` is the T2 lesion without enhancing tumour, necrosis and cavity.
    grid
        Of all of these.
    label
        Where tumour enhanced later inside `nel`, boolean (z, y, x); None where the later visit is not known.
    """

    images: dict[str, np.ndarray]
    brain: np.ndarray
    nel: np.ndarray
    grid: Grid
    label: np.ndarray | None = None

    @property
    def recurred(self) -> bool:
        """Whether there is local recurrence as Yoon 2024 has it."""
        return self.label is not None and bool(self.label.any())


def of_inputs(
    inputs: Inputs, names: Sequence[str], later: np.ndarray | None = None, necrosis: np.ndarray | None = None
) -> Patient:
    """From the inputs of a recurrence model and, (z, y, x), what enhances later and what is necrotic now.

    Raises
    ------
    InputError
        If one of the images is missing: nnU-Net cannot do without.
    """
    missing = [CHANNELS[n].title for n in names if n not in inputs.images or not np.isfinite(inputs.images[n]).any()]
    if missing:
        raise InputError(f"nnU-Net was set to look at {', '.join(names)}, and there is no {', no '.join(missing)}")
    masks = inputs.masks
    nel = non_enhancing(masks if necrosis is None else {**masks, "necrosis": necrosis})
    images = {n: np.nan_to_num(inputs.images[n]).astype(np.float32) for n in names}
    return Patient(images, masks["brain"], nel, inputs.grid, None if later is None else later & nel)


def read_patient(folder: str | Path, names: Sequence[str], grid_mm: float, target: bool = False) -> Patient:
    """From a results folder of ``gliosuite run``; with `target`, what recurred too.

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
    later = mask("progression", f"{_LABEL}.nii.gz")
    if later is None and target:
        # A later visit without an enhancing lesion is one without recurrence.
        if not (folder / "progression").is_dir():
            raise InputError(f"{folder}: there is no later visit (progression), so that it is not known what recurred")
        later = np.zeros(inputs.grid.shape, bool)
    try:
        return of_inputs(inputs, names, later if target else None, mask("lesions", "necrosis.nii.gz"))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def write_dataset(names: Sequence[str], read: Callable[[str], Patient], raw: Path) -> dict[str, bool]:
    """Write patients as nnU-Net reads them (``imagesTr``, ``labelsTr``, ``dataset.json``), one at a time; names become numbers.

    Parameters
    ----------
    names
        Of the patients; ``cases.json`` says which number is whose.
    read
        A patient, whose label is known, by name.
    raw
        nnU-Net's ``nnUNet_raw``.

    Returns
    -------
    dict
        By name: whether the patient recurred.
    """
    folder = raw / DATASET
    (folder / "imagesTr").mkdir(parents=True, exist_ok=True)
    (folder / "labelsTr").mkdir(exist_ok=True)
    channels: list[str] = []
    recurred: dict[str, bool] = {}
    for i, name in enumerate(names):
        patient = read(name)
        assert patient.label is not None
        channels = list(patient.images)
        for k, values in enumerate(patient.images.values()):
            write_image(patient.grid.image(values), folder / "imagesTr" / f"{number(i)}_{k:04d}.nii.gz")
        write_image(patient.grid.image(patient.label.astype(np.uint8)), folder / "labelsTr" / f"{number(i)}.nii.gz")
        recurred[name] = patient.recurred
    write_json(folder / CASES, {number(i): [name, found] for i, (name, found) in enumerate(recurred.items())})
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {str(k): name for k, name in enumerate(channels)},
            "labels": {"background": 0, "recurrence": 1},
            "numTraining": len(recurred),
            "file_ending": ".nii.gz",
        },
    )
    return recurred


def number(i: int) -> str:
    """What nnU-Net calls a patient."""
    return f"patient_{i:04d}"
