"""Small DICOM studies with known truth: classic MR as Siemens, GE and Philips write it, enhanced multi-frame MR, CT, RT objects.

Values, positions and times are given by the caller; file names are shuffled and say nothing. Needs pydicom (2.4 or 3).
"""

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MR, ENHANCED_MR, CT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.2"
RTSTRUCT, RTDOSE = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.481.2"
REG, SEG = "1.2.840.10008.5.1.4.1.1.66.1", "1.2.840.10008.5.1.4.1.1.66.4"
EXPLICIT = "1.2.840.10008.1.2.1"

T1 = {
    "ScanningSequence": ["GR", "IR"],
    "SequenceVariant": ["SP", "MP"],
    "MRAcquisitionType": "3D",
    "RepetitionTime": 1900,
    "EchoTime": 2.9,
    "InversionTime": 900,
    "FlipAngle": 9,
}
T2 = {
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 5000,
    "EchoTime": 95,
    "FlipAngle": 150,
}
FLAIR = {
    "ScanningSequence": ["SE", "IR"],
    "SequenceVariant": "SK",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 9000,
    "EchoTime": 110,
    "InversionTime": 2500,
    "FlipAngle": 150,
}
SPGR = {
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "MRAcquisitionType": "3D",
    "RepetitionTime": 5.4,
    "EchoTime": 1.8,
    "FlipAngle": 12,
}
EPI = {
    "ScanningSequence": "EP",
    "SequenceVariant": "SK",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 1500,
    "EchoTime": 30,
    "FlipAngle": 60,
}
DWI = EPI | {"RepetitionTime": 7000, "EchoTime": 80, "FlipAngle": 90}
GADOLINIUM = {"ContrastBolusAgent": "Gadovist", "ContrastBolusVolume": 7.5}


@dataclass
class Patient:
    """One patient, and one study of theirs."""

    name: str = "Mustermann^Erika"
    number: str = "PID-48151623"
    birth: str = "19610704"
    study_date: str = "20240311"
    study: int = 1
    weight: float = 74.5
    more: dict[str, Any] = field(default_factory=dict)

    def uid(self, *parts: int) -> str:
        """A UID that depends on patient, study and `parts` alone."""
        seed = sum(ord(c) * (i + 1) for i, c in enumerate(self.number))
        return ".".join(map(str, ("1.2.826.0.1.3680043.8.498", seed, self.study, *parts)))


def axes(angles: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Row and column directions (2, 3) of an axial image, turned about x and z (degrees)."""
    a, b = np.deg2rad(angles)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return (about_z @ about_x)[:, :2].T


def dataset(patient: Patient, sop_class: str, modality: str, series: int, instance: int, **attributes: Any) -> Any:
    """A dataset with patient, study and series, ready to be saved."""
    import pydicom

    ds = pydicom.dataset.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, patient.uid(series, instance)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = patient.name, patient.number, patient.birth
    ds.PatientSex, ds.PatientAge, ds.PatientWeight = "F", "062Y", patient.weight
    ds.StudyInstanceUID, ds.SeriesInstanceUID = patient.uid(), patient.uid(series)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = patient.study_date
    ds.StudyTime, ds.AccessionNumber = "093000", "ACC" + patient.number[-4:]
    ds.FrameOfReferenceUID = patient.uid(9999)
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, series, instance
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.Manufacturer = "SIEMENS"
    for key, value in (patient.more | attributes).items():
        setattr(ds, key, value)
    return ds


def put_pixels(ds: Any, pixels: np.ndarray) -> None:
    """Set 16-bit pixels (rows, columns) or (frames, rows, columns)."""
    signed = bool(pixels.min() < 0)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, int(signed)
    ds.PixelData = np.ascontiguousarray(pixels, "<i2" if signed else "<u2").tobytes()


def save(ds: Any, path: Path, syntax: str = EXPLICIT) -> Path:
    """Write a dataset as a DICOM file."""
    import pydicom

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = pydicom.dataset.FileDataset(str(path), ds, preamble=b"\0" * 128, file_meta=meta)
    if pydicom.__version__.startswith("2."):
        whole.is_little_endian, whole.is_implicit_VR = True, syntax == "1.2.840.10008.1.2"
    whole.save_as(str(path))
    return path


def names(count: int, seed: int) -> list[str]:
    """Shuffled file names."""
    result = [f"IM{i:06d}" for i in range(count)]
    random.Random(seed).shuffle(result)
    return result


def clock(seconds: float) -> str:
    """Seconds of the day as DICOM time."""
    seconds %= 86400
    return f"{int(seconds // 3600):02d}{int(seconds % 3600 // 60):02d}{seconds % 60:09.6f}"


def classic(
    folder: Path,
    values: np.ndarray,
    patient: Patient,
    series: int,
    attributes: dict[str, Any],
    spacing: tuple[float, float, float] = (2.0, 2.0, 4.0),
    origin: tuple[float, float, float] = (-20.0, -25.0, 30.0),
    angles: tuple[float, float] = (0.0, 0.0),
    start_s: float = 36000.0,
    sop_class: str = MR,
    modality: str = "MR",
    slope: float | None = None,
    intercept: float = 0.0,
    per_slice: Any = None,
    syntax: str = EXPLICIT,
) -> list[Path]:
    """One file per slice of `values` (z, y, x), or (t, z, y, x) with ``per_slice(ds, t, z)`` to set what tells the times apart."""
    frames = values if values.ndim == 4 else values[np.newaxis]
    row, column = axes(angles)
    normal = np.cross(row, column)
    shuffled = names(frames.shape[0] * frames.shape[1], seed=series)
    files = []
    for t, frame in enumerate(frames):
        for z, pixels in enumerate(frame):
            ds = dataset(patient, sop_class, modality, series, t * len(frame) + z + 1, **attributes)
            ds.AcquisitionTime = ds.ContentTime = clock(start_s)
            ds.ImagePositionPatient = [f"{v:.6f}" for v in np.asarray(origin) + z * spacing[2] * normal]
            ds.ImageOrientationPatient = [f"{v:.8f}" for v in (*row, *column)]
            ds.PixelSpacing, ds.SliceThickness = [spacing[1], spacing[0]], spacing[2]
            if slope is not None:
                ds.RescaleSlope, ds.RescaleIntercept = str(slope), str(intercept)
            put_pixels(ds, pixels)
            if per_slice is not None:
                per_slice(ds, t, z)
            files.append(save(ds, folder / shuffled[len(files)], syntax))
    return files


def ct(folder: Path, values: np.ndarray, patient: Patient, series: int = 30, **more: Any) -> list[Path]:
    """A CT in HU, stored with an intercept of -1024."""
    return classic(
        folder,
        values + 1024,
        patient,
        series,
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "KVP": 120},
        sop_class=CT,
        modality="CT",
        slope=1,
        intercept=-1024,
        **more,
    )


# ----------------------------------------------------------------------------------------------------------- 4-D, by vendor


def siemens_dynamic(
    folder: Path,
    frames: np.ndarray,
    times_s: list[float],
    patient: Patient,
    series: int,
    attributes: dict[str, Any],
    **more: Any,
) -> list[Path]:
    """AcquisitionNumber and AcquisitionTime per frame."""

    def mark(ds: Any, t: int, z: int) -> None:
        ds.AcquisitionNumber = t + 1
        ds.AcquisitionTime = clock(36000.0 + times_s[t])
        ds.ContentTime = clock(40000.0)

    return classic(folder, frames, patient, series, {"Manufacturer": "SIEMENS"} | attributes, per_slice=mark, **more)


def ge_dynamic(
    folder: Path,
    frames: np.ndarray,
    times_s: list[float],
    patient: Patient,
    series: int,
    attributes: dict[str, Any],
    **more: Any,
) -> list[Path]:
    """One AcquisitionTime and AcquisitionNumber for all; TemporalPositionIdentifier, and TriggerTime in ms; instances by position first."""
    n_times = len(frames)

    def mark(ds: Any, t: int, z: int) -> None:
        ds.AcquisitionNumber = 1
        ds.AcquisitionTime = ds.ContentTime = clock(36000.0)
        ds.TemporalPositionIdentifier, ds.NumberOfTemporalPositions = t + 1, n_times
        ds.TriggerTime = f"{1000 * times_s[t]:.1f}"
        ds.InstanceNumber = z * n_times + t + 1

    return classic(
        folder, frames, patient, series, {"Manufacturer": "GE MEDICAL SYSTEMS"} | attributes, per_slice=mark, **more
    )


def philips_dynamic(
    folder: Path,
    frames: np.ndarray,
    times_s: list[float],
    patient: Patient,
    series: int,
    attributes: dict[str, Any],
    **more: Any,
) -> list[Path]:
    """TemporalPositionIdentifier, and the private DynamicScanBeginTime in s; slices stored from the top down."""
    n_times, n_slices = frames.shape[:2]

    def mark(ds: Any, t: int, z: int) -> None:
        ds.AcquisitionNumber = 5
        ds.AcquisitionTime = ds.ContentTime = clock(36000.0)
        ds.TemporalPositionIdentifier, ds.NumberOfTemporalPositions = t + 1, n_times
        ds.InstanceNumber = t * n_slices + (n_slices - z)
        block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0xA0, "FL", float(times_s[t]))

    return classic(
        folder,
        frames,
        patient,
        series,
        {"Manufacturer": "Philips Medical Systems"} | attributes,
        per_slice=mark,
        **more,
    )


def csa_header(tags: dict[str, list[float]]) -> bytes:
    """Numbers as Siemens' CSA image header (format SV10)."""
    content = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        content += name.encode().ljust(64, b"\0") + struct.pack("<i4siii", len(values), b"FD", 1, len(values), 77)
        for value in values:
            said = f"{value:.8f}".encode() + b"\0"
            content += struct.pack("<4i", len(said), len(said), 77, len(said)) + said.ljust(
                (len(said) + 3) // 4 * 4, b"\0"
            )
    return content + b"\0" * (len(content) % 2)


def diffusion(
    folder: Path,
    frames: np.ndarray,
    b_values: list[float],
    directions: list[tuple[float, float, float]],
    patient: Patient,
    series: int,
    vendor: str,
    **more: Any,
) -> list[Path]:
    """Diffusion-weighted volumes with b-value and direction (LPS) where the vendor keeps them.

    ``standard``, ``siemens``, ``siemens csa`` (older), ``ge`` (phase encoded along columns; directions may be shorter than 1), ``ge rows``,
    ``philips``, ``uih``.
    """
    row, column = axes(more.get("angles", (0.0, 0.0)))

    def mark(ds: Any, t: int, z: int) -> None:
        b, g = b_values[t], list(directions[t])
        ds.AcquisitionNumber = t + 1
        ds.AcquisitionTime = clock(36000.0 + 7 * t)
        if vendor == "standard":
            ds.DiffusionBValue, ds.DiffusionGradientOrientation = float(b), g
        elif vendor == "siemens":
            block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", str(int(b)))
            if b:
                block.add_new(0x0E, "FD", g)
        elif vendor == "siemens csa":
            tags = {"B_value": [b]} | ({"DiffusionGradientDirection": g} if b else {})
            ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa_header(tags))
        elif vendor == "uih":
            block = ds.private_block(0x0065, "Image Private Header", create=True)
            block.add_new(0x09, "FD", float(b))
            block.add_new(0x37, "FD", g)
        elif vendor.startswith("ge"):
            block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x39, "IS", [str(int(1e9 + b)), "8", "0", "0"])
            x, y, z = (float(np.dot(g, a)) for a in (row, column, -np.cross(row, column)))
            ds.InPlanePhaseEncodingDirection = "ROW" if vendor == "ge rows" else "COL"
            own = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
            for element, value in zip(
                (0xBB, 0xBC, 0xBD), (-y, x, z) if vendor == "ge rows" else (x, y, z), strict=True
            ):
                own.add_new(element, "DS", f"{value:.6f}")
        else:
            ds.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", float(b))
            block = ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            for element, value in zip((0xB0, 0xB1, 0xB2), g, strict=True):
                block.add_new(element, "FL", float(value))

    return classic(folder, frames, patient, series, DWI, per_slice=mark, **more)


def mosaic(
    folder: Path,
    frames: np.ndarray,
    times_s: list[float],
    patient: Patient,
    series: int,
    attributes: dict[str, Any],
    spacing: tuple[float, float, float] = (2.0, 2.0, 4.0),
    origin: tuple[float, float, float] = (-20.0, -25.0, 30.0),
    angles: tuple[float, float] = (0.0, 0.0),
) -> list[Path]:
    """Siemens mosaics: one file per time point, its slices as tiles of one picture; `origin` is the first slice's."""
    n_times, n, rows, columns = frames.shape
    side = int(np.ceil(np.sqrt(n)))
    row, column = axes(angles)
    corner = (
        np.asarray(origin) - row * spacing[0] * (side - 1) * columns / 2 - column * spacing[1] * (side - 1) * rows / 2
    )
    files = []
    for t, name in zip(range(n_times), names(n_times, series), strict=True):
        picture = np.zeros((side * rows, side * columns), frames.dtype)
        for z in range(n):
            r, c = divmod(z, side)
            picture[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns] = frames[t, z]
        ds = dataset(patient, MR, "MR", series, t + 1, **attributes)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        ds.AcquisitionNumber, ds.AcquisitionTime = t + 1, clock(36000.0 + times_s[t])
        ds.ImagePositionPatient = [f"{v:.6f}" for v in corner]
        ds.ImageOrientationPatient = [f"{v:.8f}" for v in (*row, *column)]
        ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = [spacing[1], spacing[0]], spacing[2], spacing[2]
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", n)
        put_pixels(ds, picture)
        files.append(save(ds, folder / name))
    return files


def enhanced(
    folder: Path,
    frames: np.ndarray,
    patient: Patient,
    series: int,
    times_s: list[float] | None = None,
    b_values: list[float] | None = None,
    b_vectors: list[tuple[float, float, float]] | None = None,
    te_ms: float = 2.0,
    tr_ms: float = 5.0,
    flip_angle_deg: float = 12.0,
    pulse: str = "GRADIENT",
    echo_planar: bool = False,
    contrast: bool = False,
    slopes: list[float] | None = None,
    spacing: tuple[float, float, float] = (2.0, 2.0, 4.0),
    origin: tuple[float, float, float] = (-20.0, -25.0, 30.0),
    angles: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    acquired_s: list[float] | None = None,
    instance: int = 1,
    philips_begin_s: list[float] | None = None,
    dimensions_only: bool = False,
    component: tuple[str, ...] = (),
) -> Path:
    """Enhanced MR: all frames (t, z, y, x) in one file in shuffled order, their meaning in the per-frame functional groups.

    With ``dimensions_only`` nothing but DimensionIndexValues tells the time points; with ``component`` each frame is there once for
    each ComplexImageComponent, negated but for the first.
    """
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    def item(**values: Any) -> Any:
        ds = Dataset()
        for key, value in values.items():
            setattr(ds, key, value)
        return ds

    def macro(**values: Any) -> Any:
        return Sequence([item(**values)])

    row, column = axes(angles)
    normal = np.cross(row, column)
    n_times, n_slices = frames.shape[:2]
    order = [(t, z, c) for t in range(n_times) for z in range(n_slices) for c in range(max(len(component), 1))]
    random.Random(seed).shuffle(order)
    ds = dataset(patient, ENHANCED_MR, "MR", series, instance, Manufacturer="Philips Medical Systems")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.EchoPulseSequence, ds.EchoPlanarPulseSequence = pulse, "YES" if echo_planar else "NO"
    ds.MRAcquisitionType = "2D" if echo_planar else "3D"
    if contrast:
        ds.ContrastBolusAgentSequence = Sequence(
            [item(CodeValue="C-B03AC", CodingSchemeDesignator="SRT", CodeMeaning="Gadobutrol", ContrastBolusVolume=7.5)]
        )
    shared = item(
        PixelMeasuresSequence=macro(PixelSpacing=[spacing[1], spacing[0]], SliceThickness=spacing[2]),
        PlaneOrientationSequence=macro(ImageOrientationPatient=[f"{v:.8f}" for v in (*row, *column)]),
        MRTimingAndRelatedParametersSequence=macro(RepetitionTime=tr_ms, FlipAngle=flip_angle_deg),
        MREchoSequence=macro(EffectiveEchoTime=te_ms),
    )
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    if dimensions_only:
        pointers = [(0x00209111, p) for p in (0x00209056, 0x00209057, 0x00209128)]
        pointers += [(0x00189226, 0x00089208)] if component else []
        ds.DimensionIndexSequence = Sequence(
            [item(DimensionIndexPointer=p, FunctionalGroupPointer=g) for g, p in pointers]
        )
    for t, z, c in order:
        group = item(
            PlanePositionSequence=macro(
                ImagePositionPatient=[f"{v:.6f}" for v in np.asarray(origin) + z * spacing[2] * normal]
            ),
            FrameContentSequence=macro(TemporalPositionIndex=t + 1, InStackPositionNumber=z + 1, StackID="1"),
            PixelValueTransformationSequence=macro(
                RescaleIntercept="0", RescaleSlope=str(1.0 if slopes is None else slopes[t]), RescaleType="US"
            ),
        )
        if dimensions_only:
            content = group.FrameContentSequence[0]
            del content.TemporalPositionIndex
            content.DimensionIndexValues = [1, z + 1, t + 1, *([c + 1] if component else [])]
        if component:
            group.MRImageFrameTypeSequence = macro(
                FrameType=["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"], ComplexImageComponent=component[c]
            )
        if times_s is not None:
            group.TemporalPositionSequence = macro(TemporalPositionTimeOffset=float(times_s[t]))
        if acquired_s is not None:
            group.FrameContentSequence[0].FrameAcquisitionDateTime = patient.study_date + clock(36000 + acquired_s[t])
        if philips_begin_s is not None:
            own = Dataset()
            own.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0xA0, "FL", philips_begin_s[t])
            block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
            block.add_new(0x0F, "SQ", Sequence([own]))
        if b_values is not None:
            directed = b_vectors is not None and any(b_vectors[t])
            group.MRDiffusionSequence = macro(
                DiffusionBValue=float(b_values[t]), DiffusionDirectionality="DIRECTIONAL" if directed else "ISOTROPIC"
            )
            if directed:
                group.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = macro(
                    DiffusionGradientOrientation=list(b_vectors[t])
                )
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds.NumberOfFrames = len(order)
    put_pixels(ds, np.stack([frames[t, z] * (-1 if c else 1) for t, z, c in order]))
    return save(ds, folder / f"enhanced_{series}_{instance}")


# --------------------------------------------------------------------------------------------------------------- RT objects


def rt_object(folder: Path, sop_class: str, patient: Patient, series: int) -> Path:
    """The header of an RT structure set, registration or segmentation: enough to be recognised."""
    modality = {RTSTRUCT: "RTSTRUCT", REG: "REG", SEG: "SEG"}[sop_class]
    ds = dataset(patient, sop_class, modality, series, 1)
    del ds.ImageType
    return save(ds, folder / f"{modality}_{series}")


def rt_dose(folder: Path, dose_gy: np.ndarray, patient: Patient, series: int = 40, scaling: float = 0.01) -> Path:
    """An RT dose grid (z, y, x) in Gy, voxels 2 x 2 x 4 mm, first voxel at (-20, -25, 30)."""
    ds = dataset(patient, RTDOSE, "RTDOSE", series, 1, DoseUnits="GY", DoseType="PHYSICAL", DoseSummationType="PLAN")
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-20, -25, 30], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.DoseGridScaling, ds.NumberOfFrames = [2, 2], str(scaling), len(dose_gy)
    ds.GridFrameOffsetVector = [4.0 * z for z in range(len(dose_gy))]
    put_pixels(ds, np.rint(dose_gy / scaling).astype(np.int32))
    return save(ds, folder / f"RD_{series}")
