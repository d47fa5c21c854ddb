"""DICOM headers: which files are DICOM, and of each what sorting, timing and roles need.

Datasets are read up to the pixels and dropped at once, so that a study of thousands of files stays small in memory. Everything that
names the patient is kept apart (`Identity`), to keep it out of what is written.
"""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, require
from ..steps import Progress, silent
from .elements import day_of, first_type, items, number, private, shared_groups, text, texts, whole
from .frames import Frame, frames_of, unplaced

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DIRECTORY = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
# MR and CT, classic, enhanced and converted: where these have no pixels, the file is cut off.
_IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.4"))
# Compressed pixels have no byte count of their own; these have.
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


@dataclass(frozen=True)
class Identity:
    """What names one patient; `words` must not appear in anything that is written."""

    key: str
    name: str
    patient_id: str
    birth_date: str
    words: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, eq=False)
class Header:
    """What one DICOM file says of itself; times ms, angles degrees. `frames` has one entry per slice (tile, frame) in the file.

    `image_type` is that of the first frame, `object_type` the file's own; `multiframe` files say of each frame where it lies.
    `units` are those of the values, as written, where they are no signal.
    `problem` and `unplaced` are sentences without their subject: that pixels are cut off, and why slices cannot be contoured.
    `study_date` is the study's day, `acquired` (YYYYMMDD as written) the images'.
    """

    path: Path
    identity: Identity
    sop_class: str
    sop_uid: str
    modality: str
    study_uid: str
    series_uid: str
    series_number: int | None
    frame_of_reference: str
    position_reference: str
    manufacturer: str
    description: str
    purpose: str
    study_date: str
    acquired: str
    image_type: tuple[str, ...]
    object_type: tuple[str, ...]
    thickness_mm: float | None
    multiframe: bool
    sequence: frozenset[str]
    variant: frozenset[str]
    sequence_name: str
    echo_planar: bool
    inversion: bool
    volumetric: bool
    angiography: bool
    colour: bool
    units: str
    tr_ms: float | None
    te_ms: float | None
    ti_ms: float | None
    flip_angle_deg: float | None
    contrast: dict[str, Any] | None
    weight_kg: float | None
    age: float | None
    sex: str | None
    field_strength_t: float | None
    temporal_positions: int | None
    temporal_resolution_ms: float | None
    duration_s: float | None
    images_expected: int | None
    transfer_syntax: str
    problem: str | None
    unplaced: str | None
    frames: tuple[Frame, ...]


# ------------------------------------------------------------------------------------------------------------------ reading


def files_in(folder: str | Path, without: Path | None = None) -> list[Path]:
    """All files below `folder` in name order, but for those below `without`."""
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"{folder} does not exist; a folder with DICOM files is needed")
    if folder.is_file():
        return [folder]
    try:
        found = [p for p in folder.rglob("*") if p.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(p for p in found if without is None or without not in p.parents)


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does: ``DICM`` at byte 128, or, without a preamble, a data element of group 2 or 8."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if start[128:132] == b"DICM":
        return True
    return len(start) >= 16 and start[:2] in (b"\x08\x00", b"\x02\x00") and start[3] == 0 and start[2] < 0x20


def read_headers(
    files: Iterable[Path], progress: Progress = silent, pixels: bool = True
) -> tuple[list[Header], list[Path], list[str]]:
    """Read the headers of the DICOM files among `files`; without `pixels`, images may end before their pixels.

    Returns
    -------
    headers, others, damaged
        `others` are the files that are no DICOM; `damaged` a sentence for each DICOM file that cannot even say which series it
        belongs to.
    """
    files = list(files)
    headers, others, damaged = [], [], []
    with warnings.catch_warnings():
        # pydicom quotes the offending value in its warnings, which may be the patient's name.
        warnings.simplefilter("ignore")
        for i, path in enumerate(files):
            if i % 50 == 0:
                progress(i / len(files), "reading DICOM headers")
            try:
                header = _read(path, pixels) if is_dicom(path) else None
            except _DamagedError as error:
                damaged.append(f"{path} is a damaged or truncated DICOM file ({error}); export it again or remove it")
                continue
            if header is None:
                others.append(path)
            else:
                headers.append(header)
    return headers, others, damaged


class _DamagedError(Exception):
    """Why a file cannot be parsed."""


def _read(path: Path, pixels_needed: bool) -> Header | None:
    """The header of one file; None for a DICOMDIR and for what only looked like DICOM."""
    pydicom = require("pydicom", "reading DICOM files")
    try:
        with path.open("rb") as stream:
            marked = stream.read(132)[128:] == b"DICM"
            stream.seek(0)
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            pixels = _pixel_bytes(stream, dataset)
        sop_class = text(dataset, "SOPClassUID")
        if sop_class == _DIRECTORY or text(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID") == _DIRECTORY:
            return None
        if not text(dataset, "SeriesInstanceUID") or not sop_class:
            if not marked and not sop_class:
                return None
            raise _DamagedError("it ends before its SeriesInstanceUID")
        if pixels_needed and sop_class in _IMAGES and pixels == 0:
            raise _DamagedError("it ends before its pixels")
        return _header(path, dataset, pixels)
    except (InputError, _DamagedError):
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead to
        raise _DamagedError("its data elements cannot be parsed") from error


def _pixel_bytes(stream: Any, dataset: "Dataset") -> int | None:
    """Bytes of pixels in the file behind the header; 0 where it ends before them, None where that cannot be told (deflated)."""
    if _syntax(dataset) == _DEFLATED:
        return None
    position = stream.tell()
    explicit = _syntax(dataset) != _UNCOMPRESSED[0]
    return max(stream.seek(0, 2) - position - (12 if explicit else 8), 0)


def _syntax(dataset: "Dataset") -> str:
    return text(getattr(dataset, "file_meta", {}), "TransferSyntaxUID") or _UNCOMPRESSED[0]


def _header(path: Path, ds: "Dataset", pixel_bytes: int | None) -> Header:
    frames = frames_of(ds)
    object_type = tuple(t.upper() for t in texts(ds, "ImageType"))
    first = frames[0] if frames else None
    sequence = frozenset(texts(ds, "ScanningSequence"))
    shared = shared_groups(ds)
    ti = first.ti_ms if first else None
    echo_pulse = text(ds, "EchoPulseSequence").upper()
    modifier = {"SPIN": {"SE"}, "GRADIENT": {"GR"}, "BOTH": {"SE", "GR"}}.get(echo_pulse, set())
    steady = text(ds, "SteadyStatePulseSequence").upper()
    inversion = any(text(m, "InversionRecovery").upper() == "YES" for m in items(shared, "MRModifierSequence"))
    return Header(
        path=path,
        identity=_identity(ds),
        sop_class=text(ds, "SOPClassUID"),
        sop_uid=text(ds, "SOPInstanceUID"),
        modality=text(ds, "Modality").upper(),
        study_uid=text(ds, "StudyInstanceUID"),
        series_uid=text(ds, "SeriesInstanceUID"),
        series_number=whole(ds, "SeriesNumber"),
        frame_of_reference=text(ds, "FrameOfReferenceUID"),
        position_reference=text(ds, "PositionReferenceIndicator"),
        manufacturer=text(ds, "Manufacturer"),
        description=" ".join(dict.fromkeys(t for t in (text(ds, "SeriesDescription"), text(ds, "ProtocolName")) if t)),
        purpose=" ".join(
            text(ds, k)
            for k in ("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription")
        ),
        study_date=next(
            (d for k in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate") if (d := day_of(text(ds, k)))), ""
        ),
        acquired=next((d for k in ("AcquisitionDate", "SeriesDate", "StudyDate") if (d := text(ds, k))), ""),
        image_type=first.image_type if first else object_type,
        object_type=object_type,
        thickness_mm=number(ds, "SliceThickness") or None,
        multiframe=bool(items(ds, "PerFrameFunctionalGroupsSequence")),
        sequence=sequence | modifier,
        variant=frozenset(texts(ds, "SequenceVariant")) | ({"SS"} if steady not in ("", "NONE") else set()),
        sequence_name=text(ds, "SequenceName") or text(ds, "PulseSequenceName"),
        echo_planar="EP" in sequence or text(ds, "EchoPlanarPulseSequence").upper() == "YES",
        inversion="IR" in sequence or inversion or bool(ti),
        volumetric=text(ds, "MRAcquisitionType").upper() == "3D",
        angiography=text(ds, "AngioFlag").upper() == "Y" or "TOF" in first_type(ds),
        colour=(whole(ds, "SamplesPerPixel") or 1) != 1,
        units=_units(ds, shared),
        tr_ms=first.tr_ms if first else None,
        te_ms=first.te_ms if first else None,
        ti_ms=ti,
        flip_angle_deg=first.flip_angle_deg if first else None,
        contrast=_contrast(ds),
        weight_kg=number(ds, "PatientWeight"),
        age=_age(text(ds, "PatientAge")),
        sex=text(ds, "PatientSex").upper() or None,
        field_strength_t=number(ds, "MagneticFieldStrength"),
        temporal_positions=whole(ds, "NumberOfTemporalPositions"),
        temporal_resolution_ms=number(ds, "TemporalResolution"),
        duration_s=number(ds, "AcquisitionDuration") or _duration_ge(ds),
        images_expected=whole(ds, "ImagesInAcquisition"),
        transfer_syntax=_syntax(ds),
        problem=_problem(ds, pixel_bytes),
        unplaced=unplaced(ds, frames),
        frames=frames,
    )


def _duration_ge(ds: "Dataset") -> float | None:
    """GE's duration of the whole acquisition, delays between groups of slices included, s."""
    found = private(ds, 0x0019, "GEMS_ACQU_01", 0x5A) if text(ds, "Modality").upper() == "MR" else []
    return found[0] / 1e6 if found and found[0] > 0 else None


def _units(ds: "Dataset", shared: list[Any]) -> str:
    """What stored values mean, lower case, as rescaling or a mapping to the real world says it; ``""`` where neither does."""
    transformation = (items(shared, "PixelValueTransformationSequence") or [ds])[0]
    mapping = (items([*shared, ds], "RealWorldValueMappingSequence") or [None])[0]
    code = (items(mapping, "MeasurementUnitsCodeSequence") or [None])[0]
    return (text(code, "CodeValue") or text(transformation, "RescaleType")).lower()


def _problem(ds: "Dataset", pixel_bytes: int | None) -> str | None:
    """Say that the pixels are cut off, if they are."""
    rows, columns = whole(ds, "Rows"), whole(ds, "Columns")
    if not rows or not columns or pixel_bytes is None or _syntax(ds) not in _UNCOMPRESSED:
        return None
    bits = (whole(ds, "BitsAllocated") or 16) * rows * columns * (whole(ds, "NumberOfFrames") or 1)
    needed = bits * (whole(ds, "SamplesPerPixel") or 1) // 8
    if pixel_bytes < needed:
        return f"is truncated: {pixel_bytes} bytes of pixels found, {needed} needed"
    return None


# -------------------------------------------------------------------------------------------------- patient, dates, contrast


def _identity(ds: "Dataset") -> Identity:
    name, number_, birth = text(ds, "PatientName"), text(ds, "PatientID"), text(ds, "PatientBirthDate")
    others = texts(ds, "OtherPatientIDs") + texts(ds, "OtherPatientNames") + texts(ds, "PatientBirthName")
    others += texts(ds, "AccessionNumber") + texts(ds, "PatientTelephoneNumbers") + texts(ds, "IssuerOfPatientID")
    whole_words = [w for w in (name, number_, birth, *others) if w]
    parts = [p for w in (name, *texts(ds, "OtherPatientNames")) for p in re.split(r"[\s^=,]+", w)]
    if re.fullmatch(r"\d{8}", birth):
        y, m, d = birth[:4], birth[4:6], birth[6:]
        parts += [f"{y}-{m}-{d}", f"{d}.{m}.{y}", f"{m}/{d}/{y}", f"{d}/{m}/{y}"]
    # One or two letters (initials, "F") would strike out innocent text.
    words = frozenset(w.lower() for w in [*whole_words, *parts] if len(w) >= 3)
    key = number_ or f"{name}|{birth}"
    return Identity(key.strip().lower(), name, number_, birth, words)


def _age(value: str) -> float | None:
    match = re.fullmatch(r"0*(\d+)([DWMY]?)", value)
    if not match:
        return None
    years = int(match[1]) / {"D": 365.25, "W": 52.18, "M": 12.0}.get(match[2], 1.0)
    return min(round(years, 1), 90.0)  # above 89 an age counts as identifying


_NONE = {"", "NO", "NONE", "N", "NO CONTRAST", "WITHOUT", "0", "NULL", "N/A", "NA"}


def _contrast(ds: "Dataset") -> dict[str, Any] | None:
    """What is said of a contrast agent, or None."""
    agent = text(ds, "ContrastBolusAgent")
    sequence = items(ds, "ContrastBolusAgentSequence")
    usage = items(shared_groups(ds), "ContrastBolusUsageSequence")
    if not agent and sequence:
        agent = text(sequence[0], "CodeMeaning")
    volume = number(ds, "ContrastBolusVolume") or (number(sequence[0], "ContrastBolusVolume") if sequence else None)
    dose = number(ds, "ContrastBolusTotalDose")
    given = agent.upper() not in _NONE or bool(sequence) or bool(volume) or bool(dose)
    if usage and all(text(u, "ContrastBolusAgentAdministered").upper() == "NO" for u in usage):
        given = False
    if not given:
        return None
    found = {
        "agent": agent or None,
        "volume_ml": volume,
        "total_dose_ml": dose,
        "concentration_mg_per_ml": number(ds, "ContrastBolusIngredientConcentration"),
        "flow_rate_ml_per_s": number(ds, "ContrastFlowRate"),
    }
    return {k: v for k, v in found.items() if v is not None}
