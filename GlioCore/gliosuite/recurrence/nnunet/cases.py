"""What nnU-Net is shown of a patient, and what it is to find: new enhancing tumour inside the non-enhancing lesion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import write_json
from ...images import Grid, write_image
from ..inputs import NEL, Inputs
from ..results import read_local

DATASET = "Dataset001_Recurrence"
CASES = "cases.json"  # beside dataset.json: the name of each number, and whether that patient recurred


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


def of_inputs(inputs: Inputs, names: Sequence[str]) -> Patient:
    """From the inputs of a model of local recurrence (`Inputs.local`).

    Raises
    ------
    InputError
        If one of the images is missing.
    """
    inputs.need(names)
    images = {n: np.nan_to_num(inputs.images[n]).astype(np.float32) for n in names}
    return Patient(images, inputs.masks["brain"], inputs.masks[NEL], inputs.grid, inputs.target)


def read_patient(folder: str | Path, names: Sequence[str], grid_mm: float, target: bool = False) -> Patient:
    """From a results folder of ``gliosuite run``; with `target`, what recurred too.

    Raises
    ------
    InputError
        If an image, or with `target` the later visit, is missing.
    """
    inputs = read_local(folder, target, grid_mm)
    try:
        return of_inputs(inputs, names)
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
