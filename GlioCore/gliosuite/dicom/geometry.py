"""What a DICOM series is: slices that belong together, each with its own place and its own instance; headers alone, no pixels.

An import sorts the slices of a series into time points (`sort`). A structure set refers to slices one by one, so what it belongs to
is a `Stack`: each slice once, in order of position, beside the regular grid that they make.
"""

import contextlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require
from ..images import Grid
from .frames import Frame
from .headers import Header, files_in, is_dicom, read_headers
from .likeness import SAME_COSINE, places

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# SOP classes of what refers to images.
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
REGISTRATIONS = (SPATIAL_REGISTRATION, "1.2.840.10008.5.1.4.1.1.66.3")  # rigid and deformable
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.5")  # of voxels and of surfaces
_NOT_SLICES = ("RTDOSE", "RTIMAGE", "RTSTRUCT", "RTPLAN", "RTRECORD", "SEG", "REG", "PR", "KO", "SR", "RWV")
# Patient and study are copied into a structure set as they are: a planning system refuses one that differs from its images.
IDENTITY = (
    "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    "StudyInstanceUID", "StudyID",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """One frame and the file that it lies in."""

    header: Header
    frame: Frame

    @property
    def file(self) -> Path:
        """The file."""
        return self.header.path

    @property
    def instance(self) -> str:
        """SOP Instance UID of the file."""
        return self.header.sop_uid

    @property
    def number(self) -> int | None:
        """Number of the frame in a multi-frame object, from 1, as references have it; None in a classic file."""
        return self.frame.index + 1 if self.header.multiframe else None

    @property
    def position(self) -> np.ndarray:
        """Centre of the first pixel, mm (LPS)."""
        return np.asarray(self.frame.position, float)


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Slices that belong together: same series, size, orientation, image type and echo.

    `id` is the series number (with a letter where a series was split, with ``+`` where several were joined); it is what the command
    line calls the series.
    """

    id: str
    slices: tuple[Slice, ...]

    @cached_property
    def header(self) -> Header:
        """The header of the first slice's file, with what this slice's own frame says of the image (a file may hold several kinds)."""
        header, frame = self.slices[0].header, self.frame
        own = {name: getattr(frame, name) for name in ("image_type", "tr_ms", "te_ms", "ti_ms", "flip_angle_deg")}
        return header if all(getattr(header, k) == v for k, v in own.items()) else replace(header, **own)

    @property
    def frame(self) -> Frame:
        """The first slice's frame."""
        return self.slices[0].frame

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files, each once, in name order."""
        return tuple(sorted({s.header.path for s in self.slices}))

    @cached_property
    def positions(self) -> np.ndarray:
        """For each slice its place along the normal, as a number from 0 in ascending order."""
        along = np.asarray([s.frame.position for s in self.slices]) @ self.normal
        volumes = (
            [getattr(s.frame, name) for s in self.slices] for name in ("temporal_position", "acquisition_number")
        )
        return places(along, self.frame.thickness, volumes)

    @cached_property
    def normal(self) -> np.ndarray:
        """Direction in which slices are stacked: rows x columns."""
        return np.cross(self.frame.orientation[:3], self.frame.orientation[3:])

    @cached_property
    def n_slices(self) -> int:
        """Number of different positions."""
        return int(self.positions.max()) + 1

    @cached_property
    def n_times(self) -> int:
        """How often most positions occur; an image that is there in two files counts once."""
        once = {(s.instance or s.file, s.frame.index): p for s, p in zip(self.slices, self.positions, strict=True)}
        return Counter(np.bincount(list(once.values())).tolist()).most_common(1)[0][0]

    @cached_property
    def start_s(self) -> float | None:
        """When the acquisition began (seconds from a fixed day), or None."""
        known = [s.frame.acquired_s for s in self.slices if s.frame.acquired_s is not None]
        return min(known) if known else None

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (x, y, z) in mm; z is the distance between neighbouring slices."""
        along = np.asarray([s.frame.position for s in self.slices]) @ self.normal
        gaps = np.diff(np.bincount(self.positions, along) / np.bincount(self.positions))
        depth = float(np.median(gaps)) if gaps.size else float(self.frame.thickness or 1.0)
        return (float(self.frame.spacing[1]), float(self.frame.spacing[0]), depth)

    def values(self, name: str) -> list[Any]:
        """The different known values of a frame's attribute, in ascending order."""
        return sorted({v for s in self.slices if (v := getattr(s.frame, name)) is not None})

    def __str__(self) -> str:
        text = self.header.description
        return f"series {self.id}" + (f" ({text})" if text else "")


@dataclass(frozen=True)
class Stack:
    """A series of one volume, as a structure set refers to it.

    Attributes
    ----------
    series
        The slices in order of their files.
    slices
        The same in order of their positions along the slice normal: one per z index of `grid`.
    grid
        x along a row, y along a column, z along the slice normal.
    identity
        Dataset with the patient and study elements of the first image.
    folder
        Where it was read from.
    """

    series: DicomSeries
    slices: tuple[Slice, ...]
    grid: Grid
    identity: "Dataset" = field(repr=False)
    folder: Path

    @property
    def header(self) -> Header:
        """The first file's header: UIDs, modality and dates of the series."""
        return self.series.header


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep back pydicom's and highdicom's remarks on values of other people's files (too long, wrongly padded), which are copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\b")
        yield


def read_stack(
    folder: str | Path, series_uid: str | None = None, required: bool = False, files: Sequence[Path] | None = None
) -> Stack:
    """Read the slices of a CT or MR series, single-frame or multi-frame, as one stack; no pixels.

    Parameters
    ----------
    folder
        A folder (searched with its subfolders) or one multi-frame file.
    series_uid
        Take this series where the folder holds several; None: it must hold one.
    required
        Refuse a folder that does not hold `series_uid`, even if it holds one series alone.
    files
        Look at these files alone; None: at all of the folder.

    Raises
    ------
    InputError
        If there is no series, more than one, more than one patient or frame of reference, if a file is damaged, or if slices are
        doubled, missing, unevenly spaced, sheared, not parallel or share a SOPInstanceUID.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder} does not exist; the folder of a DICOM series is needed")
    headers, rest, damaged = read_headers(files_in(folder) if files is None else files, pixels=False)
    if damaged:
        raise InputError(damaged[0])
    by_series: dict[str, list[Header]] = defaultdict(list)
    others = Counter(
        "not DICOM" for path in rest if not is_dicom(path)
    )  # but for a DICOMDIR, which is no slice by its nature
    for header in headers:
        if header.modality in _NOT_SLICES or not (header.frames or header.unplaced):
            others[header.modality or "no image"] += 1
        else:
            by_series[header.series_uid].append(header)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
    if not by_series:
        raise InputError(
            f"{folder} holds no CT or MR slices ({kinds or 'no file at all'}); the folder of one DICOM series is needed"
        )
    members = _one_series(folder, by_series, series_uid, required)
    if others and series_uid is None:
        warnings.warn(f"{folder}: files that are no slices were left out ({kinds})", stacklevel=2)
    return _stacked(folder, members)


def _one_series(
    folder: Path, by_series: dict[str, list[Header]], series_uid: str | None, required: bool
) -> list[Header]:
    patients = {(h.identity.patient_id, h.identity.name) for members in by_series.values() for h in members}
    if len(patients) > 1:
        raise InputError(
            f"{folder} holds images of {len(patients)} patients (PatientID or PatientName differ); one series of one patient is needed"
        )
    if series_uid in by_series:
        return by_series[series_uid]
    listed = " and ".join(f"{uid} ({len(m)} files)" for uid, m in sorted(by_series.items()))
    if required:
        raise InputError(f"{folder} holds no series {series_uid}; it holds {listed}")
    if len(by_series) > 1:
        raise InputError(
            f"{folder} holds {len(by_series)} series, {listed}; a folder with one series is needed, or the SeriesInstanceUID of the one "
            "that is meant"
        )
    return next(iter(by_series.values()))


def _stacked(folder: Path, members: list[Header]) -> Stack:
    """The files of one series as a stack, or why they make none."""
    for header in members:
        if header.unplaced:
            raise InputError(f"{header.path} {header.unplaced}")
    series = DicomSeries(members[0].series_uid, tuple(Slice(h, f) for h in members for f in h.frames))
    _require_alike(folder, series.slices)
    cosines, pixel = np.asarray(series.frame.cosines, float), np.asarray(series.frame.spacing, float)
    row, column = (v / np.linalg.norm(v) for v in (cosines[:3], cosines[3:]))
    if abs(row @ column) > 1e-3:
        raise InputError(f"{folder}: the rows and columns of ImageOrientationPatient are not at right angles")
    axes = np.stack([row, column, np.cross(row, column)])
    ordered = sorted(series.slices, key=lambda s: float(s.position @ axes[2]))
    step = _slice_spacing(folder, ordered, axes, pixel, series.frame.thickness or None)
    x, y, z = ordered[0].frame.position
    grid = Grid(
        (series.frame.columns, series.frame.rows, len(ordered)),
        (float(pixel[1]), float(pixel[0]), step),
        (x, y, z),
        tuple(float(v) for v in axes.T.ravel()),
    )
    return Stack(series, tuple(ordered), grid, _identity(members[0].path), folder)


def _require_alike(folder: Path, slices: Sequence[Slice]) -> None:
    """Refuse slices that differ in what all slices of one volume share."""
    for name, value in (
        ("FrameOfReferenceUID", lambda s: s.header.frame_of_reference),
        ("StudyInstanceUID", lambda s: s.header.study_uid),
        ("Rows", lambda s: s.frame.rows),
        ("Columns", lambda s: s.frame.columns),
        ("SOPClassUID", lambda s: s.header.sop_class),
    ):
        values = {str(value(s)) for s in slices}
        if len(values) > 1:
            raise InputError(
                f"{folder}: the slices differ in {name} ({' and '.join(sorted(values))}); one series is needed"
            )
    first = slices[0]
    places: dict[tuple[str, int | None], Slice] = {}
    shared = [  # two files of one instance at one place are copies, which `_slice_spacing` tells
        (s, other)
        for s in slices
        if (other := places.setdefault((s.instance, s.number), s)) is not s
        and np.abs(s.position - other.position).max() > _DOUBLED_MM
    ]
    if shared:
        a, b = shared[0]
        raise InputError(
            f"{folder}: {len(shared)} of {len(slices)} slices have the SOPInstanceUID of another ({a.file.name} that of {b.file.name}), so "
            "that nothing can refer to one of them; export the series again"
        )
    if not first.header.study_uid:
        raise InputError(f"{folder}: the images have no StudyInstanceUID; they cannot be referred to")
    cosines, pixel = np.asarray(first.frame.cosines), np.asarray(first.frame.spacing)
    for other in slices:
        if np.abs(np.asarray(other.frame.cosines) - cosines).max() > SAME_COSINE:
            raise InputError(
                f"{folder}: the slices are not parallel ({first.file.name} and {other.file.name} differ in "
                "ImageOrientationPatient); one stack of parallel slices is needed"
            )
        if np.abs(np.asarray(other.frame.spacing) - pixel).max() > 1e-4 * pixel.max():
            raise InputError(f"{folder}: the slices differ in PixelSpacing ({first.file.name} and {other.file.name})")


def _identity(path: Path) -> "Dataset":
    """The patient and study elements of a file."""
    pydicom = require("pydicom", "reading DICOM series")
    with quiet_pydicom():
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTITY), force=True)
        identity = pydicom.dataset.Dataset()
        for keyword in IDENTITY:
            if keyword in dataset:
                identity.add(dataset[keyword])
    return identity


# Chosen, as shares of the slice distance (`_SHIFT`: of a pixel): rounded positions differ by far less; a contour off by more would show.
_DOUBLED, _MISSING, _UNEVEN, _SHIFT = 0.05, 1.5, 0.1, 0.1
_DOUBLED_MM = 0.01  # and two slices of one position are never farther apart than their rounding


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
    doubled = np.flatnonzero(gaps < max(_DOUBLED_MM, _DOUBLED * step))
    if doubled.size:
        a, b = ordered[doubled[0]], ordered[doubled[0] + 1]
        which = (
            f"{a.file.name} and {b.file.name}"
            if a.file != b.file
            else f"frames {a.number} and {b.number} of {a.file.name}"
        )
        raise InputError(
            f"{folder}: {doubled.size} slice positions occur twice ({which} lie both at {along[doubled[0], 2]:.2f} mm along the slice "
            "normal); one volume with each slice once is needed"
        )
    missing = np.flatnonzero(gaps > _MISSING * step)
    if missing.size:
        at = along[missing[0], 2]
        raise InputError(
            f"{folder}: slices are missing between {at:.2f} and {at + gaps[missing[0]]:.2f} mm along the slice normal (spacing {step:.2f} "
            f"mm, {len(ordered)} slices found); export the whole series again"
        )
    even = along[0, 2] + (along[-1, 2] - along[0, 2]) * np.arange(len(ordered)) / (len(ordered) - 1)
    if np.abs(along[:, 2] - even).max() > _UNEVEN * step:
        raise InputError(
            f"{folder}: the slices are not evenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm); an evenly spaced series is needed"
        )
    shift = float(np.abs(along[:, :2] - along[0, :2]).max())
    if shift > _SHIFT * pixel.min():
        raise InputError(
            f"{folder}: each slice is shifted against the one before it (gantry tilt, {shift:.2f} mm in all); "
            "slices stacked along their normal are needed"
        )
    return float((along[-1, 2] - along[0, 2]) / (len(ordered) - 1))
