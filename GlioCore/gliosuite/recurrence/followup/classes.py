"""What became of each voxel from a visit to the progression: normal-appearing, non-enhancing lesion, enhancing lesion (Tran 2025)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...images import boolean, read_image, resample_mask
from ...statistics.groups import holm, wilcoxon
from ..features import feature_of, relative
from ..inputs import CHANNELS, REACH_MM, TARGET, Inputs
from ..results import read_results

STATES = ("NAV", "NEL", "CEL")  # normal-appearing, non-enhancing lesion, enhancing lesion
CLASSES = tuple(f"{before} to {then}" for before in STATES for then in STATES)
STABLE = "NAV to NAV"
LEAST = 5  # voxels of which a median is taken (Tran 2025)
# What is compared with what. Tran 2025 holds all against normal brain that stays so; that lesion was lesion before is not news, so the
# lesion that comes to enhance is held against the lesion that does not, too.
PAIRS = (("NAV to NEL", STABLE), ("NAV to CEL", STABLE), ("NEL to CEL", STABLE), ("NEL to CEL", "NEL to NEL"))
_APART = ("ventricles", "necrosis")


@dataclass(frozen=True)
class Followed:
    """A visit and what was there at progression.

    Attributes
    ----------
    name
        Of the patient.
    inputs
        Of the visit.
    later
        ``cel`` and ``t2l`` at progression, on the grid of the visit, booleans (z, y, x).
    apart
        What is neither normal-appearing brain nor lesion: ventricles and necrosis, where known; boolean (z, y, x).
    """

    name: str
    inputs: Inputs
    later: dict[str, np.ndarray]
    apart: np.ndarray


def read_followed(folder: str | Path) -> Followed:
    """A patient from a results folder of ``gliosuite run`` with a progression.

    Raises
    ------
    InputError
        As `read_results`; or if the T2 lesion at progression is not there, without which nobody knows what stayed normal.
    """
    folder = Path(folder)
    inputs = read_results(folder, target=True)
    empty = np.zeros(inputs.grid.shape, bool)
    on = lambda path: boolean(resample_mask(read_image(path), inputs.grid)) if path.exists() else empty
    later = {n.removeprefix("progression_"): on(folder / "progression" / f"{n}.nii.gz") for n in TARGET}
    if not later["t2l"].any():
        raise InputError(
            f"{folder}: there is no T2 lesion at progression (progression_t2l), without which it is not known what stayed normal"
        )
    apart = np.any([on(folder / "lesions" / f"{n}.nii.gz") for n in _APART], axis=0)
    return Followed(folder.name, inputs, later, apart)


def became(patient: Followed, within_mm: float = REACH_MM) -> np.ndarray:
    """The class of each voxel: its place in `CLASSES`, -1 outside them; int8 (z, y, x).

    Voxels of the brain without cavity, `Followed.apart` (where it does not enhance) and what lies farther than `within_mm` from the T2
    lesion are sorted. What enhances is not counted as non-enhancing too.
    """
    masks, later = patient.inputs.masks, patient.later
    where = masks["brain"] & ~masks["cavity"] & (masks["cel"] | ~patient.apart)
    where &= patient.inputs.away("t2l") <= within_mm
    state = lambda cel, t2l: np.where(cel, 2, np.where(t2l, 1, 0))
    before, then = state(masks["cel"], masks["t2l"]), state(later["cel"], later["t2l"])
    return np.where(where, len(STATES) * before + then, -1).astype(np.int8)


def medians(patient: Followed, within_mm: float = REACH_MM) -> tuple[np.ndarray, np.ndarray]:
    """Medians of each image in each class, in units that patients share; NaN where fewer than `LEAST` voxels were measured.

    Returns
    -------
    tuple
        Medians (classes, channels), by `CLASSES` and `CHANNELS`; and how many voxels each was taken of, alike.
    """
    sorted_into = became(patient, within_mm)
    images = relative(patient.inputs)
    found = np.full((len(CLASSES), len(CHANNELS)), np.nan)
    counts = np.zeros(found.shape, int)
    for i in range(len(CLASSES)):
        where = sorted_into == i
        for j, name in enumerate(CHANNELS):
            values = images[name][where] if name in images else np.empty(0)
            values = values[np.isfinite(values)]
            counts[i, j] = values.size
            if values.size >= LEAST:
                found[i, j] = np.median(values)
    return found, counts


def compared(of_patients: np.ndarray, pairs: Sequence[tuple[str, str]] = PAIRS) -> list[dict[str, Any]]:
    """Exact Wilcoxon tests of pairs of classes within patients, a row each; P by Holm over all of them too.

    Parameters
    ----------
    of_patients
        Medians (patients, classes, channels).

    Returns
    -------
    list of dict
        ``feature first second patients median_first median_second median_difference p p_holm``, where two patients at least have both.
    """
    rows: list[dict[str, Any]] = []
    for j, name in enumerate(CHANNELS):
        for one, two in pairs:
            first, second = (of_patients[:, CLASSES.index(n), j] for n in (one, two))
            both = np.isfinite(first) & np.isfinite(second)
            if both.sum() < 2:
                continue
            first, second = first[both], second[both]
            rows.append(
                {"feature": feature_of(name), "first": one, "second": two, "patients": int(both.sum())}
                | {"median_first": float(np.median(first)), "median_second": float(np.median(second))}
                | {"median_difference": float(np.median(first - second)), "p": wilcoxon(first, second)}
            )
    for row, p in zip(rows, holm([r["p"] for r in rows])):
        row["p_holm"] = float(p)
    return rows


def titles() -> Mapping[str, str]:
    """What a picture calls each feature that is an image's own value."""
    return {
        feature_of(n): f"{c.title} / normal brain" if c.scaled else f"{c.title}{_UNITS.get(n, '')}"
        for n, c in CHANNELS.items()
    }


_UNITS = {"ktrans": " (1/min)", "tmax": " (s)", "lac": " (as measured)", "lip": " (as measured)"}
