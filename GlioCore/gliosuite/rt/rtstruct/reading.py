"""What an RT structure set file holds: its structures and their contours in mm, and what is wrong with them."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import RT_STRUCTURE_SET, Stack, quiet_pydicom
from ...errors import InputError, require
from ...images import UNLIKE, UNLIKE_CC, Grid, boolean, volume_cc
from .planes import common_step, contour_volume_cc, planes_of, rasterise
from .structures import Contour, Structure, StructureSet, doubled

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_XOR = ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_CONTOUR_DATA = 0x30060050
_FARTHEST_MM = 1e5  # 100 m: no patient lies there
_UNDEFINED_LENGTH = 0xFFFFFFFF


def read_structures(path: str | Path) -> StructureSet:
    """Read the contours of an RT structure set.

    Raises
    ------
    InputError
        If the file is missing, damaged, cut off, not DICOM, or not a structure set, or lacks numbers that tie contours to ROIs.
    """
    path = Path(path)
    pydicom = require("pydicom", "reading RT structure sets")
    invalid = require("pydicom.errors", "reading RT structure sets").InvalidDicomError
    if not path.is_file():
        raise InputError(f"{path} does not exist; an RT structure set is needed")
    try:
        with quiet_pydicom():
            dataset = pydicom.dcmread(path)
            kind, modality = dataset.get("SOPClassUID"), dataset.get("Modality", "?")
            contents = _structure_set(path, dataset) if kind == RT_STRUCTURE_SET else None
    except InputError:
        raise
    except invalid as error:
        raise InputError(f"{path} is not a DICOM file; an RT structure set is needed") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (
        Exception
    ) as error:  # pydicom raises whatever broken bytes lead to, and quotes values that may name the patient
        empty = path.stat().st_size == 0
        what = "is not a DICOM file; an RT structure set is needed" if empty else _DAMAGED
        raise InputError(f"{path} {what}") from error
    if contents is None:
        raise InputError(f"{path} is a DICOM object of modality {modality}; an RT structure set is needed")
    step = common_step([s for s in contents.structures if s.contours])
    return replace(contents, structures=tuple(replace(s, step_mm=step) for s in contents.structures))


_DAMAGED = "is a damaged or truncated structure set; export it again"


def _structure_set(path: Path, dataset: "Dataset") -> StructureSet:
    """What `read_structures` reads of a file."""
    for tag in list(dataset.keys()):  # a sequence of known length is read as far as the file goes
        element: Any = dataset.get_item(tag)
        length = getattr(element, "length", _UNDEFINED_LENGTH)
        if length != _UNDEFINED_LENGTH and isinstance(element.value, bytes) and len(element.value) < length:
            raise InputError(f"{path} {_DAMAGED} (it ends in the middle of {tag})")
    many = lambda owner, keyword: owner.get(keyword, ()) or ()
    if "StructureSetROISequence" in dataset and "ROIContourSequence" not in dataset:
        raise InputError(f"{path} {_DAMAGED} (it has no ROIContourSequence)")
    of = lambda one, keyword, what: _number(path, one, keyword, what)
    types = {
        of(o, "ReferencedROINumber", "an observation"): str(o.get("RTROIInterpretedType", "") or "")
        for o in many(dataset, "RTROIObservationsSequence")
    }
    drawn: dict[int, list[Dataset]] = {}
    for one in many(dataset, "ROIContourSequence"):
        drawn.setdefault(of(one, "ReferencedROINumber", "a contour sequence"), []).append(one)
    frames, structures = [], []
    for roi in many(dataset, "StructureSetROISequence"):
        number = of(roi, "ROINumber", "an ROI")
        frames.append(str(roi.get("ReferencedFrameOfReferenceUID", "") or ""))
        name = str(roi.get("ROIName", "") or f"ROI{number}")
        found = _structure(name, number, types.get(number, ""), drawn.get(number, []))
        structures.append(replace(found, description=str(roi.get("ROIDescription", "") or "")))
    if not structures:
        raise InputError(f"{path} holds no ROI")
    problems = [f"two ROIs have the same name ({name})" for name in doubled(s.name for s in structures)]
    numbers = [s.number for s in structures]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{path} has two ROIs of one number, so that contours belong to either; export it again")
    if strangers := sorted(set(drawn) - set(numbers)):
        problems.append(f"contours belong to ROIs that are not listed (number {', '.join(map(str, strangers))})")
    if "RTROIObservationsSequence" not in dataset:
        problems.append("it has no RTROIObservationsSequence, which says what its ROIs are")
    references = [
        str(s.get("SeriesInstanceUID", ""))
        for f in many(dataset, "ReferencedFrameOfReferenceSequence")
        for t in many(f, "RTReferencedStudySequence")
        for s in many(t, "RTReferencedSeriesSequence")
    ]
    frames.append(str(dataset.get("FrameOfReferenceUID", "") or ""))
    return StructureSet(
        path,
        str(dataset.get("StructureSetLabel", "") or ""),
        next((f for f in frames if f), ""),
        references[0] if references else "",
        str(dataset.get("ApprovalStatus", "") or ""),
        tuple(structures),
        str(dataset.get("PatientID", "") or ""),
        tuple(problems),
    )


def _number(path: Path, owner: "Dataset", keyword: str, what: str) -> int:
    value = owner.get(keyword)
    if value is None or value == "":
        raise InputError(f"{path}: {what} has no {keyword}, which says whose contours are whose; export it again")
    return int(value)


def _structure(name: str, number: int, kind: str, sequences: list["Dataset"]) -> Structure:
    """A ROI with the contours of all items that refer to it, of which there should be one."""
    contours: list[Contour] = []
    odd = short = wrong = wrong_count = twice = 0
    seen: set[bytes] = set()
    slabs: list[float | None] = []
    for item in (c for one in sequences for c in one.get("ContourSequence", ()) or ()):
        points = _points(item)
        geometry = str(item.get("ContourGeometricType", ""))
        if geometry != "CLOSED_PLANAR" and geometry not in _XOR:
            odd += 1
        elif points is None:
            wrong += 1
        elif len(points) < 3:
            short += 1
        else:
            wrong_count += int(item.get("NumberOfContourPoints", 0) or 0) != len(points)
            key = points.tobytes()
            if key in seen:  # the same contour twice would cancel itself
                twice += 1
                continue
            seen.add(key)
            images = item.get("ContourImageSequence", ()) or ()
            frame = images[0].get("ReferencedFrameNumber") if images else None
            if isinstance(frame, Sequence) and not isinstance(frame, str):
                frame = frame[0] if frame else None
            instance = str(images[0].get("ReferencedSOPInstanceUID", "")) if images else ""
            contours.append(Contour(points, instance, int(frame) if frame else None, geometry in _XOR))
            slabs.append(_positive(item.get("ContourSlabThickness")))
    problems = [
        f"{n} contours {what}"
        for n, what in (
            (odd, "are not closed planar ones and were left out"),
            (wrong, "hold coordinates that are no numbers in threes and were left out"),
            (short, "have fewer than 3 points and were left out"),
            (wrong_count, "hold another number of points than they say"),
            (twice, "occur twice and were taken once"),
        )
        if n
    ]
    drawn: Any = sequences[0] if sequences else {}
    color = drawn.get("ROIDisplayColor")
    rgb = (int(color[0]), int(color[1]), int(color[2])) if color is not None and len(color) == 3 else None
    source = drawn.get("SourcePixelPlanesCharacteristicsSequence", ()) or ()
    slab = _positive(source[0].get("SpacingBetweenSlices")) if source else None
    if slab is None and slabs and len(set(slabs)) == 1:
        slab = slabs[0]
    return Structure(name, number, kind, rgb, tuple(contours), tuple(problems), slab)


def _positive(value: Any) -> float | None:
    """A number above 0, or None."""
    return float(value) if value not in (None, "") and 0 < float(value) < _FARTHEST_MM else None


def _points(item: "Dataset") -> np.ndarray | None:
    """Contour Data as (n, 3), from the file's bytes where they are still at hand: pydicom's own conversion takes minutes on large sets.

    None where they are not numbers in threes, empty where there are none.
    """
    element: Any = item.get_item(_CONTOUR_DATA) if _CONTOUR_DATA in item else None
    value = None if element is None else element.value
    if value is None or (isinstance(value, bytes) and not value.strip(b" \0")) or len(value) == 0:
        return np.empty((0, 3))
    numbers = value.strip(b" \0").split(b"\\") if isinstance(value, bytes) else value
    try:
        flat = np.array([float(v) for v in numbers])
    except ValueError:
        return None
    fits = flat.size % 3 == 0 and bool((np.abs(flat) < _FARTHEST_MM).all())  # false for NaN
    return flat.reshape(-1, 3) if fits else None


def on_grid(contents: StructureSet, name: str, grid: Grid, series: Stack | None = None) -> sitk.Image:
    """One ROI of a structure set as a mask on any grid; `series` is what it was drawn on, where that is at hand.

    Raises
    ------
    InputError
        If there is no such ROI, more than one of the name, or none of it lies on the grid.
    """
    structure = contents.find(name)
    mask, notes = rasterise(structure, grid, series.grid if series is not None else None)
    if not boolean(mask).any():
        reasons = "; ".join((*structure.problems, *notes)) or "no overlap"
        raise InputError(f"{contents.path}:{name} has no voxel on the image that it is for ({reasons})")
    drawn, here = contour_volume_cc(structure, series.grid if series is not None else None), volume_cc(mask)
    if drawn is not None and abs(drawn - here) > max(UNLIKE_CC, UNLIKE * drawn):
        notes.append(f"its contours hold {drawn:.2f} cc, of which {here:.2f} cc lie on the image that it is for")
    for note in (*structure.problems, *planes_of(structure).faults, *notes):
        warnings.warn(f"{contents.path}:{name}: {note}", stacklevel=2)
    return mask
