"""A structure set as it was read: its structures and their contours."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError


@dataclass(frozen=True)
class Contour:
    """One closed planar contour: points (n, 3) in LPS mm; `instance` and `frame` are what it says it lies on.

    `xor`: it is marked as combined by exclusive or with the others of its plane.
    """

    points: np.ndarray
    instance: str = ""
    frame: int | None = None
    xor: bool = False


@dataclass(frozen=True)
class Structure:
    """One ROI of a structure set; contours that cannot be taken are left out and counted in `problems`.

    `slab_mm` is the thickness of the slices that its contours stand for, where the file says it; `step_mm` the slice distance that the
    planes of the whole set show.
    """

    name: str
    number: int
    interpreted_type: str
    color_rgb: tuple[int, int, int] | None
    contours: tuple[Contour, ...]
    problems: tuple[str, ...] = ()
    slab_mm: float | None = None
    step_mm: float | None = None
    description: str = ""


@dataclass(frozen=True)
class StructureSet:
    """A structure set as it was read."""

    path: Path
    label: str
    frame_of_reference: str
    series_uid: str
    approval: str
    structures: tuple[Structure, ...]
    patient_id: str = ""
    problems: tuple[str, ...] = ()

    def find(self, name: str) -> Structure:
        """The one ROI of a name, in whichever Unicode form it is written; ``NAME#5`` is the fifth ROI of the file where two bear one name.

        Raises
        ------
        InputError
            If there is none, or more than one.
        """
        found = [s for s in self.structures if same_name(s.name) == same_name(name)]
        if not found:
            found = [s for s in self.structures if same_name(f"{s.name}#{s.number}") == same_name(name)]
        if not found:
            raise InputError(f"{self.path} has no ROI {name}; it has {', '.join(s.name for s in self.structures)}")
        if len(found) > 1:
            listed = " or ".join(f"{self.path}:{s.name}#{s.number}" for s in found)
            raise InputError(f"{self.path} has {len(found)} ROIs named {name}; say which one is meant: {listed}")
        return found[0]


def same_name(name: str) -> str:
    """A ROI name as names are compared: composed characters, no space at its ends."""
    return unicodedata.normalize("NFC", name).strip()


def doubled(names: Iterable[str]) -> list[str]:
    """The names that occur more than once."""
    seen = [same_name(n) for n in names]
    return sorted({n for n in seen if seen.count(n) > 1})
