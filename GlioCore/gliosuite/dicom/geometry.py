"""The geometry of the DICOM series that a structure set belongs to: headers alone, one entry per slice, sorted by position.

A structure set refers to slices one by one, so here every slice keeps its own position and its own instance (and frame) beside the
regular grid that the whole series makes.
"""

import contextlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require
from ..images import Grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_NOT_SLICES = ("RTDOSE", "RTIMAGE", "RTSTRUCT", "RTPLAN", "RTRECORD", "SEG", "REG", "PR", "KO", "SR", "RWV")
# Patient and study are copied into a structure set as they are: a planning system refuses one that differs from its images.
IDENTITY = (
    "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    "StudyInstanceUID", "StudyID",
)  # fmt: skip
_GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesDescription", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "AcquisitionDate", "SeriesDate", "Rows", "Columns", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """One slice: its first pixel's centre (LPS mm), and the instance it belongs to; `frame` counts from 1 in multi-frame objects."""

    position: np.ndarray
    instance: str
    frame: int | None
    file: Path


@dataclass(frozen=True)
class DicomSeries:
    """A series' slices in the order of their positions along the slice normal, on the grid that they make.

    Attributes
    ----------
    grid
        x along a row, y along a column, z along the slice normal.
    slices
        One per z index.
    sop_class
        Of the images.
    series_uid, study_uid, frame_of_reference
        UIDs of the images; `frame_of_reference` is empty where they have none.
    identity
        Dataset with the patient and study elements of the first image.
    position_reference
        The images' Position Reference Indicator.
    image_type
        Of the first image: ``("ORIGINAL", "PRIMARY", ...)``.
    acquired
        YYYYMMDD, empty where no date is given.
    thickness_mm
        Slice Thickness, None where it is not given.
    """

    grid: Grid
    slices: tuple[Slice, ...]
    sop_class: str
    series_uid: str
    study_uid: str
    frame_of_reference: str
    identity: "Dataset" = field(repr=False)
    position_reference: str = ""
    modality: str = ""
    folder: Path = Path()
    image_type: tuple[str, ...] = ()
    acquired: str = ""
    thickness_mm: float | None = None


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep back pydicom's and highdicom's remarks on values of other people's files (too long, wrongly padded), which are copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\b")
        yield


def read_dicom_series(folder: str | Path, series_uid: str | None = None) -> DicomSeries:
    """Read the geometry of a CT or MR series, single-frame or multi-frame; no pixels.

    Parameters
    ----------
    folder
        A folder (searched with its subfolders) or one multi-frame file.
    series_uid
        Take this series where the folder holds several; None: it must hold one.

    Raises
    ------
    InputError
        If there is no series, more than one, more than one patient or frame of reference, or if its slices are doubled, missing,
        unevenly spaced, sheared or not parallel.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder} does not exist; the folder of a DICOM series is needed")
    by_series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    others: Counter[str] = Counter()
    for path, dataset in _datasets(folder):
        if dataset is None:
            others["not DICOM"] += 1
        elif not _is_image(dataset):
            others[str(dataset.get("Modality", "no image"))] += 1
        else:
            by_series[str(dataset.get("SeriesInstanceUID", ""))].append((path, dataset))
    if not by_series:
        found = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items())) or "no file at all"
        raise InputError(f"{folder} holds no CT or MR slices ({found}); the folder of one DICOM series is needed")
    members = _one_series(folder, by_series, series_uid)
    if others and series_uid is None:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
        warnings.warn(f"{folder}: files that are no slices were left out ({kinds})", stacklevel=2)
    return _assemble(folder, members)


def _datasets(folder: Path) -> Iterator[tuple[Path, "Dataset | None"]]:
    """Every file of a folder with its header, None where it is not DICOM."""
    pydicom = require("pydicom", "reading DICOM series")
    invalid = require("pydicom.errors", "reading DICOM series").InvalidDicomError
    wanted = [*IDENTITY, *_GEOMETRY]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]:
        try:
            with path.open("rb") as stream:
                bare = stream.read(4)[:2] == b"\x08\x00"  # a data set without preamble starts with group 0008
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted, force=bare)
        except (invalid, EOFError):
            yield path, None
            continue
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
        if str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID", "")) != _MEDIA_DIRECTORY:
            yield path, dataset if "SOPClassUID" in dataset else None


def _is_image(dataset: "Dataset") -> bool:
    placed = "ImagePositionPatient" in dataset or "PerFrameFunctionalGroupsSequence" in dataset
    return placed and "Rows" in dataset and dataset.get("Modality", "") not in _NOT_SLICES


def _one_series(
    folder: Path, by_series: dict[str, list[tuple[Path, "Dataset"]]], series_uid: str | None
) -> list[tuple[Path, "Dataset"]]:
    patients = {(str(d.get("PatientID", "")), str(d.get("PatientName", ""))) for m in by_series.values() for _, d in m}
    if len(patients) > 1:
        raise InputError(
            f"{folder} holds images of {len(patients)} patients (PatientID or PatientName differ); one series of one patient is needed"
        )
    if series_uid in by_series:
        return by_series[series_uid]
    if len(by_series) > 1:
        listed = " and ".join(f"{uid} ({len(m)} files)" for uid, m in sorted(by_series.items()))
        raise InputError(f"{folder} holds {len(by_series)} series, {listed}; a folder with one series is needed")
    return next(iter(by_series.values()))


def _functional(groups: tuple[Any, ...], macro: str, element: str) -> Any:
    """An element of an enhanced object's functional groups, the frame's own before the shared one."""
    for group in groups:
        for item in group.get(macro, ()) or ():
            if element in item:
                return item.get(element)
    return None


def _placed(path: Path, dataset: "Dataset") -> Iterator[tuple[Slice, np.ndarray, np.ndarray, float | None]]:
    """The slices of one file with orientation (6,), pixel spacing (row, column) mm and nominal slice spacing mm."""
    instance = str(dataset.get("SOPInstanceUID", ""))
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = tuple(dataset.get("SharedFunctionalGroupsSequence", ()) or ())
    if frames is None and int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        raise InputError(
            f"{path} has {dataset.NumberOfFrames} frames without positions of their own; it cannot be contoured"
        )
    for number, frame in enumerate(frames if frames is not None else [None], start=1):
        if frame is None:
            position, orientation = dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
            spacing, thickness = dataset.get("PixelSpacing"), dataset.get("SliceThickness")
            between = dataset.get("SpacingBetweenSlices")
        else:
            groups = (frame, *shared)
            position = _functional(groups, "PlanePositionSequence", "ImagePositionPatient")
            orientation = _functional(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
            spacing = _functional(groups, "PixelMeasuresSequence", "PixelSpacing")
            thickness = _functional(groups, "PixelMeasuresSequence", "SliceThickness")
            between = _functional(groups, "PixelMeasuresSequence", "SpacingBetweenSlices")
        for value, name, length in (
            (position, "ImagePositionPatient", 3),
            (orientation, "ImageOrientationPatient", 6),
            (spacing, "PixelSpacing", 2),
        ):
            if value is None or len(value) != length:
                raise InputError(f"{path} has no {name} of {length} numbers; a slice needs a position to be contoured")
        nominal = float(between or thickness or 0) or None
        yield (
            Slice(np.asarray(position, float), instance, None if frame is None else number, path),
            np.asarray(orientation, float),
            np.asarray(spacing, float),
            nominal,
        )


def _assemble(folder: Path, members: list[tuple[Path, "Dataset"]]) -> DicomSeries:
    first = members[0][1]
    for name in ("FrameOfReferenceUID", "StudyInstanceUID", "Rows", "Columns", "SOPClassUID"):
        values = {str(d.get(name, "")) for _, d in members}
        if len(values) > 1:
            raise InputError(
                f"{folder}: the slices differ in {name} ({' and '.join(sorted(values))}); one series is needed"
            )
    if "StudyInstanceUID" not in first:
        raise InputError(f"{folder}: the images have no StudyInstanceUID; they cannot be referred to")
    placed = [p for path, dataset in members for p in _placed(path, dataset)]
    orientation, spacing = placed[0][1], placed[0][2]
    for item, other, pixel, _ in placed:
        if np.abs(other - orientation).max() > 1e-3:
            raise InputError(
                f"{folder}: the slices are not parallel ({placed[0][0].file.name} and {item.file.name} differ in "
                "ImageOrientationPatient); one stack of parallel slices is needed"
            )
        if np.abs(pixel - spacing).max() > 1e-4 * spacing.max():
            raise InputError(
                f"{folder}: the slices differ in PixelSpacing ({placed[0][0].file.name} and {item.file.name})"
            )
    row, column = (v / np.linalg.norm(v) for v in (orientation[:3], orientation[3:]))
    if abs(row @ column) > 1e-3:
        raise InputError(f"{folder}: the rows and columns of ImageOrientationPatient are not at right angles")
    normal = np.cross(row, column)
    ordered = sorted((item for item, *_ in placed), key=lambda s: float(s.position @ normal))
    step = _slice_spacing(folder, ordered, np.stack([row, column, normal]), spacing, placed[0][3])
    grid = Grid(
        (int(first.Columns), int(first.Rows), len(ordered)),
        (float(spacing[1]), float(spacing[0]), step),
        tuple(float(v) for v in ordered[0].position),
        tuple(float(v) for v in np.stack([row, column, normal], axis=1).ravel()),
    )
    identity = require("pydicom.dataset", "reading DICOM series").Dataset()
    with quiet_pydicom():
        for keyword in IDENTITY:
            if keyword in first:
                identity.add(first[keyword])
    return DicomSeries(
        grid,
        tuple(ordered),
        str(first.SOPClassUID),
        str(first.get("SeriesInstanceUID", "")),
        str(first.StudyInstanceUID),
        str(first.get("FrameOfReferenceUID", "") or ""),
        identity,
        str(first.get("PositionReferenceIndicator", "") or ""),
        str(first.get("Modality", "")),
        folder,
        tuple(str(v).upper() for v in first.get("ImageType") or ()),
        next((str(v) for k in ("AcquisitionDate", "SeriesDate", "StudyDate") if (v := first.get(k))), ""),
        float(first.SliceThickness) if first.get("SliceThickness") else None,
    )


def _slice_spacing(
    folder: Path, ordered: list[Slice], axes: np.ndarray, pixel: np.ndarray, nominal: float | None
) -> float:
    """The even distance between slices in mm, or why there is none."""
    if len(ordered) == 1:
        if nominal is None:
            raise InputError(f"{folder} holds a single slice without a thickness; at least 2 slices are needed")
        return nominal
    along = np.array([s.position for s in ordered]) @ axes.T
    gaps = np.diff(along[:, 2])
    step = float(np.median(gaps))
    doubled = np.flatnonzero(gaps < max(0.01, 0.05 * step))
    if doubled.size:
        a, b = ordered[doubled[0]], ordered[doubled[0] + 1]
        which = (
            f"{a.file.name} and {b.file.name}"
            if a.file != b.file
            else f"frames {a.frame} and {b.frame} of {a.file.name}"
        )
        raise InputError(
            f"{folder}: {doubled.size} slice positions occur twice ({which} lie both at {along[doubled[0], 2]:.2f} mm along the slice "
            "normal); one volume with each slice once is needed"
        )
    missing = np.flatnonzero(gaps > 1.5 * step)
    if missing.size:
        at = along[missing[0], 2]
        raise InputError(
            f"{folder}: slices are missing between {at:.2f} and {at + gaps[missing[0]]:.2f} mm along the slice normal (spacing {step:.2f} "
            f"mm, {len(ordered)} slices found); export the whole series again"
        )
    even = along[0, 2] + (along[-1, 2] - along[0, 2]) * np.arange(len(ordered)) / (len(ordered) - 1)
    if np.abs(along[:, 2] - even).max() > 0.1 * step:
        raise InputError(
            f"{folder}: the slices are not evenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm); an evenly spaced series is needed"
        )
    shift = float(np.abs(along[:, :2] - along[0, :2]).max())
    if shift > 0.1 * pixel.min():
        raise InputError(
            f"{folder}: each slice is shifted against the one before it (gantry tilt, {shift:.2f} mm in all); "
            "slices stacked along their normal are needed"
        )
    return float((along[-1, 2] - along[0, 2]) / (len(ordered) - 1))
