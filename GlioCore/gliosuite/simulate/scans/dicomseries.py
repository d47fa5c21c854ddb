"""The scans of a simulated patient as DICOM: a study per visit, as a scanner would have sent it.

Classic MR images (MR Image Storage, explicit VR little endian, int16): one file per slice, and per slice and frame for dynamic series, so
that every reader can open them. All UIDs follow from the seed and the case; dates are invented.
"""

import datetime
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ... import files
from ...errors import require
from ...images import Grid, Series
from ..acquisition import PROTOCOLS
from .dicomheaders import NO_UNITS, SERIES, UNITS, decimal, sequence_attributes

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

PADDING = -32768  # stands for NaN: outside of a spectroscopy box nothing was measured
_BASELINE_DATE = datetime.date(2000, 1, 1)
_START_S = 9 * 3600.0
_STATIC_S = 300.0  # what a scan without frames is taken to last
_SIMULATED = "Simulated by GlioSuite: no patient was scanned"


@dataclass(frozen=True)
class Study:
    """What all series of a visit share.

    Parameters
    ----------
    patient
        The case's name, which becomes PatientID.
    seed
        The patient's seed: with `patient` and `visit` it determines every UID.
    visit
        ``"baseline"`` or ``"followup"``.
    days
        From the baseline visit to this one; the baseline is dated 1 January 2000.
    clinical
        ``age`` and ``sex`` are used.
    """

    patient: str
    seed: int
    visit: str = "baseline"
    days: int = 0
    clinical: Mapping[str, Any] = field(default_factory=dict)

    def uid(self, *parts: object) -> str:
        """The UID of a part of this study."""
        return simulated_uid(self.seed, self.patient, self.visit, *parts)


def simulated_uid(*parts: object) -> str:
    """A UID under 2.25 (UUID-derived root) that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76) | (8 << 76)) & ~(0x3 << 62) | (2 << 62)  # version 8, RFC 9562's for such UUIDs
    return f"2.25.{value}"


# -------------------------------------------------------------------------------------------------------------------- writing


def write_dicom_study(
    images: Mapping[str, sitk.Image | Series],
    acquisitions: Mapping[str, Mapping[str, Any]],
    folder: str | Path,
    study: Study,
) -> dict[str, Path]:
    """Write the scans of one visit as DICOM series, each into ``<folder>/<role>/IM0001.dcm`` onwards; the same input gives the same bytes.

    Signals are rounded to int16. Maps (ADC, FA, B1, spectroscopy) are stored with a slope of 1, 2 or 5 times a power of ten, which stands
    in the header both as RescaleSlope and as a Real World Value Mapping; NaN is stored as PixelPaddingValue. A ``vfa`` is one series per
    flip angle, in ``vfa/1``, ``vfa/2`` ...; times of dynamic series are in AcquisitionTime.

    Parameters
    ----------
    images
        By role: 3-D images, and `Series` for ``dce dsc vfa``.
    acquisitions
        By role: ``tr_ms te_ms ti_ms flip_angle_deg times_s``, for ``vfa`` a list of flip angles.

    Returns
    -------
    dict
        The folder of each role, in the order of the examination.

    Raises
    ------
    InputError
        If pydicom is missing or the folder cannot be written.
    """
    require("pydicom", "DICOM series")
    if unknown := [role for role in images if role not in SERIES]:
        raise ValueError(f"role {unknown[0]!r} has no DICOM form; {', '.join(SERIES)} have one")
    folder = Path(folder)
    clock, number = _START_S, 0
    with files.staged(folder) as partial:
        for role in (r for r in SERIES if r in images):
            for name, image, acquisition in _parts(role, images[role], acquisitions.get(role, {})):
                number += 1
                attributes = sequence_attributes(role, acquisition)
                if name:
                    attributes["SeriesDescription"] += f" {attributes['FlipAngle']} deg"
                times = acquisition.get("times_s") or [0.0]
                place = partial / role / name
                _write_series(image, place, role, study, attributes, number, clock + np.asarray(times, float))
                # The next scan begins at a full minute.
                clock += 60 * math.ceil((times[-1] + (_STATIC_S if len(times) == 1 else 10)) / 60)
    return {role: folder / role for role in SERIES if role in images}


def write_dicom_series(image: sitk.Image, folder: str | Path, description: str, seed: int) -> list[Path]:
    """Write one image as the DICOM series of a contrast-enhanced T1, to try what refers to DICOM (RT structure sets).

    Parameters
    ----------
    image
        3-D; rounded to int16.
    folder
        Made where needed; files are ``IM0001.dcm`` onwards.
    description
        Series description; series of one patient differ by it.
    seed
        The patient: series with the same seed share patient, study and frame of reference.

    Returns
    -------
    list of Path
        The files in slice order.

    Raises
    ------
    InputError
        If pydicom is missing or the folder cannot be written.
    """
    require("pydicom", "DICOM series")
    attributes = sequence_attributes("t1c", PROTOCOLS["t1c"].acquisition) | {"SeriesDescription": description}
    study = Study(f"sim-{seed}", seed)
    with files.staged(folder) as partial:
        names = _write_series(image, partial, "t1c", study, attributes, 1, np.array([_START_S]))
    return [Path(folder) / name for name in names]


def _parts(
    role: str, image: sitk.Image | Series, acquisition: Mapping[str, Any]
) -> Iterator[tuple[str, sitk.Image | Series, Mapping[str, Any]]]:
    """The series that a scan is sent as: itself, or one per flip angle."""
    if role != "vfa" or not isinstance(image, Series):
        yield "", image, acquisition
        return
    for i, angle in enumerate(acquisition["flip_angle_deg"]):
        yield str(i + 1), image.frame(i), {**acquisition, "flip_angle_deg": angle, "times_s": None}


def _write_series(
    image: sitk.Image | Series,
    folder: Path,
    role: str,
    study: Study,
    attributes: Mapping[str, Any],
    number: int,
    times_s: np.ndarray,
) -> list[str]:
    """Write one series, `times_s` (since midnight) one per frame; the names of its files."""
    if isinstance(image, Series):
        grid, frames = image.grid, image.frames
    else:
        grid, frames = Grid.of(image), sitk.GetArrayViewFromImage(image)[np.newaxis]
    folder.mkdir(parents=True, exist_ok=True)
    name = attributes["SeriesDescription"]
    slope = _slope(frames) if attributes["ImageType"][0] == "DERIVED" else None
    head = _common(study) | _series(study.uid("series", name), number, times_s) | dict(attributes) | _geometry(grid)
    head |= _pixels(role, frames[len(frames) // 2], slope)
    if len(times_s) > 1:
        head["NumberOfTemporalPositions"] = len(times_s)
        head["TemporalResolution"] = decimal(np.median(np.diff(times_s)) * 1000)
    file = _encoded(head)
    matrix = np.reshape(grid.direction, (3, 3))
    digits = max(4, len(str(len(frames) * grid.size[2])))
    names: list[str] = []
    for t, frame in enumerate(frames):
        moment = _time(times_s[t])
        for k, values in enumerate(_stored(frame, slope)):
            position = np.asarray(grid.origin) + matrix[:, 2] * (k * grid.spacing[2])
            file.InstanceNumber = str(len(names) + 1)
            file.SOPInstanceUID = study.uid("series", name, t, k)
            file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
            file.ImagePositionPatient = [decimal(p) for p in position]
            file.SliceLocation = decimal(position @ matrix[:, 2])
            if len(times_s) > 1:
                file.AcquisitionNumber, file.TemporalPositionIdentifier = str(t + 1), str(t + 1)
                file.AcquisitionTime = file.ContentTime = moment
            file.add_new("PixelData", "OW", values.tobytes())
            names.append(f"IM{len(names) + 1:0{digits}d}.dcm")
            _save(file, folder / names[-1])
    return names


def _encoded(head: Mapping[str, Any]) -> "FileDataset":
    """A dataset of these attributes, read back from its bytes: pydicom then copies what does not change from slice to slice."""
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

    ds = Dataset()
    for keyword, value in head.items():
        if keyword == "PixelPaddingValue":
            ds.add_new(keyword, "SS", value)  # the dictionary leaves open whether US or SS
        else:
            setattr(ds, keyword, value)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = head["SeriesInstanceUID"]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(simulated_uid("gliosuite"))
    meta.ImplementationVersionName = "GLIOSUITE"
    stream = io.BytesIO()
    _save(FileDataset(stream, ds, preamble=b"\0" * 128, file_meta=meta), stream)
    stream.seek(0)
    return pydicom.dcmread(stream)


def _save(file: "FileDataset", target: Path | io.BytesIO) -> None:
    import pydicom

    if int(pydicom.__version__.split(".")[0]) >= 3:
        file.save_as(target, enforce_file_format=True)
    else:
        file.is_little_endian, file.is_implicit_VR = True, False
        file.save_as(target, write_like_original=False)


# ------------------------------------------------------------------------------------------------------------------ attributes


def _common(study: Study) -> dict[str, Any]:
    """Patient, study, equipment."""
    from pydicom.uid import MRImageStorage

    clinical = study.clinical
    date = f"{_BASELINE_DATE + datetime.timedelta(days=study.days):%Y%m%d}"
    found = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "StudyDate": date,
        "SeriesDate": date,
        "AcquisitionDate": date,
        "ContentDate": date,
        "StudyTime": _time(_START_S),
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDescription": "Simulated glioma study",
        "Manufacturer": "GlioSuite simulation",
        "ManufacturerModelName": "gliosuite.simulate",
        "InstitutionName": "None (simulated)",
        "DeviceSerialNumber": "0",
        "SoftwareVersions": "1",
        "PatientName": f"Simulated^{study.patient}",
        "PatientID": study.patient,
        "PatientBirthDate": "",
        "PatientSex": clinical.get("sex", ""),
        "PatientComments": _SIMULATED,
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "No patient: simulated",
        "ImageComments": _SIMULATED,
        "BodyPartExamined": "BRAIN",
        "PatientPosition": "HFS",
        "StudyInstanceUID": study.uid("study"),
        "StudyID": "2" if study.days else "1",
        "FrameOfReferenceUID": study.uid("frame of reference"),
        "PositionReferenceIndicator": "",
    }
    if "age" in clinical:
        found["PatientAge"] = f"{int(clinical['age'] + study.days / 365.25):03d}Y"
    return found


def _series(uid: str, number: int, times_s: np.ndarray) -> dict[str, Any]:
    """What all images of a series share but for its sequence; numbers and times are those of its first frame."""
    start = _time(times_s[0])
    return {
        "SeriesInstanceUID": uid,
        "SeriesNumber": str(number),
        "SeriesTime": start,
        "AcquisitionTime": start,
        "ContentTime": start,
        "AcquisitionNumber": "1",
        "ScanOptions": "",
        "NumberOfAverages": "1",
        "ImagedNucleus": "1H",
        "MagneticFieldStrength": "3",
        "ImagingFrequency": "127.73",
    }


def _geometry(grid: Grid) -> dict[str, Any]:
    matrix = np.reshape(grid.direction, (3, 3))
    x, y, z = (decimal(s) for s in grid.spacing)
    return {
        "ImageOrientationPatient": [decimal(v) for v in (*matrix[:, 0], *matrix[:, 1])],
        "PixelSpacing": [y, x],
        "SliceThickness": z,
        "SpacingBetweenSlices": z,
        "Rows": grid.size[1],
        "Columns": grid.size[0],
    }


def _pixels(role: str, frame: np.ndarray, slope: float | None) -> dict[str, Any]:
    """How values are stored; for signals a window in which they are seen (viewers' windows are at least 1 wide, maps need less)."""
    found: dict[str, Any] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
    }
    if slope is None:
        bright = max(float(np.percentile(frame, 99.5)), 2.0)
        return found | {"WindowCenter": f"{bright / 2:.4g}", "WindowWidth": f"{bright:.4g}"}
    if not np.isfinite(frame).all():
        found["PixelPaddingValue"] = PADDING
    found |= {"RescaleSlope": decimal(slope), "RescaleIntercept": "0"}
    return found | {"RealWorldValueMappingSequence": [_mapping(role, slope)]}


def _mapping(role: str, slope: float) -> Any:
    """The item that says what stored values mean."""
    from pydicom.dataset import Dataset

    units, item = Dataset(), Dataset()
    units.CodeValue, units.CodeMeaning = UNITS.get(role, NO_UNITS)
    units.CodingSchemeDesignator = "UCUM"
    item.LUTExplanation = SERIES[role]["SeriesDescription"]
    item.LUTLabel = role.upper()
    for keyword, value in (("First", PADDING + 1), ("Last", -PADDING - 1)):
        item.add_new(f"RealWorldValue{keyword}ValueMapped", "SS", value)
    item.RealWorldValueSlope, item.RealWorldValueIntercept = float(slope), 0.0
    item.MeasurementUnitsCodeSequence = [units]
    return item


def _slope(values: np.ndarray) -> float:
    """The finest of 1, 2 and 5 times a power of ten with which int16 holds all values."""
    largest = float(np.abs(values, where=np.isfinite(values), out=np.zeros(values.shape, np.float32)).max())
    if largest == 0:
        return 1.0
    exponent = math.floor(math.log10(largest / -(PADDING + 1)))
    steps = (float(f"{m}e{e}") for e in (exponent, exponent + 1) for m in (1, 2, 5))
    return next(s for s in steps if largest / s <= -(PADDING + 1))


def _stored(frame: np.ndarray, slope: float | None) -> np.ndarray:
    """The slices (z, y, x) of a frame as stored."""
    values = np.asarray(frame, np.float32) if slope is None else frame.astype(np.float64) / slope
    whole = np.clip(np.round(values), PADDING if slope is None else PADDING + 1, 32767)
    return np.where(np.isfinite(values), whole, PADDING).astype("<i2")


def _time(seconds: float) -> str:
    """Seconds since midnight as a DICOM time."""
    micro = round(seconds * 1e6)
    rest, micro = divmod(micro, 1_000_000)
    return f"{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}.{micro:06d}"
