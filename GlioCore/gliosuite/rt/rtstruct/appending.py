"""New structures beside those of an existing structure set: a new instance that holds both, the old contours as they were."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...dicom.geometry import Stack, quiet_pydicom
from ...errors import InputError, require
from .objects import identify, item
from .reading import read_structures
from .structures import StructureSet, same_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset

_LISTS = ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence")


def existing_set(path: str | Path, series: Stack, names: "Iterable[str]") -> StructureSet:
    """A structure set that structures of these names can be appended to.

    Raises
    ------
    InputError
        If it cannot be read, is not of the series and its patient, or has one of the names already.
    """
    contents = read_structures(path)
    if contents.series_uid != series.header.series_uid:
        raise InputError(
            f"{path} refers to another series ({contents.series_uid or 'none'}) than {series.folder} ({series.header.series_uid}); "
            "structures are appended to a set of the series that they are drawn on"
        )
    taken = {same_name(s.name).lower() for s in contents.structures}
    if both := [n for n in names if same_name(n).lower() in taken]:
        raise InputError(f"{path} has structures of the same name ({', '.join(both)}); give the new ones other names")
    return contents


def append(dataset: "Dataset", contents: StructureSet) -> None:
    """Put the structures of a set that was read before those of a new one, which gets UIDs of its own and names its predecessor."""
    pydicom = require("pydicom", "reading RT structure sets")
    with quiet_pydicom():
        old = pydicom.dcmread(contents.path)
        first = max(s.number for s in contents.structures)
        observed = max((int(o.get("ObservationNumber", 0) or 0) for o in old.get(_LISTS[2], ()) or ()), default=0)
        for keyword in _LISTS:
            for one in dataset[keyword].value:
                for number, offset in (
                    ("ROINumber", first),
                    ("ReferencedROINumber", first),
                    ("ObservationNumber", observed),
                ):
                    if number in one:
                        setattr(one, number, int(one[number].value) + offset)
            setattr(dataset, keyword, [*(old.get(keyword, ()) or ()), *dataset[keyword].value])
        dataset.PredecessorStructureSetSequence = [
            item(ReferencedSOPClassUID=old.SOPClassUID, ReferencedSOPInstanceUID=old.SOPInstanceUID)
        ]
        dataset.StructureSetDescription = (
            f"Structures {first + 1} and above were appended to the structure set {contents.label}. "
            f"{dataset.StructureSetDescription}"
        )[:1024]
        identify(dataset)


def same_contours(old: StructureSet, new: StructureSet) -> bool:
    """Whether a set begins with the structures of another, contour by contour."""
    return all(
        (a.name, a.number, a.interpreted_type, len(a.contours))
        == (b.name, b.number, b.interpreted_type, len(b.contours))
        and all(np.array_equal(p.points, q.points) for p, q in zip(a.contours, b.contours))
        for a, b in zip(old.structures, new.structures)
    ) and len(new.structures) >= len(old.structures)
