"""The slices inside a DICOM file: one of a classic file, many of an enhanced multi-frame file, a Siemens mosaic or an RT dose grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .diffusion import PHILIPS, csa, diffusion
from .elements import items, number, numbers, private, seconds, text, texts, whole


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice at one time point.

    Parameters
    ----------
    index
        Number of the frame (or mosaic tile) in its file, from 0.
    position, orientation
        Centre of the first voxel in mm (LPS); direction cosines along a row and along a column, made exactly orthonormal.
    cosines
        The direction cosines as the file has them.
    spacing
        Distance in mm between rows and between columns.
    padding
        The stored number that stands for "no value" in a map; None where there is none.
    scale_slope
        Philips' private slope: ``(stored * slope + intercept) / (slope * scale_slope)`` compares between series.
    acquired_s, content_s
        Acquisition and image creation, seconds from a fixed day.
    offset_s
        Time of the frame since the start of its series, where the scanner says so.
    dimensions
        Place along the dimensions of a multi-frame file that are none of space (DimensionIndexValues); None where there are none.
    """

    index: int
    rows: int
    columns: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    cosines: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    slope: float
    intercept: float
    padding: int | None
    scale_slope: float | None
    image_type: tuple[str, ...]
    tr_ms: float | None
    te_ms: float | None
    ti_ms: float | None
    flip_angle_deg: float | None
    b_value: float | None
    b_vector: tuple[float, ...] | None
    instance_number: int | None
    acquisition_number: int | None
    temporal_position: int | None
    dimensions: tuple[int, ...] | None
    offset_s: float | None
    trigger_ms: float | None
    acquired_s: float | None
    content_s: float | None


_UIH_TILES = (0x0065, 0x1051)  # MRVFrameSequence: the tiles of United Imaging's mosaics


def frames_of(ds: Any) -> tuple[Frame, ...]:
    """The frames of a dataset; empty where it holds no image with a position in space."""
    if not whole(ds, "Rows") or not whole(ds, "Columns") or _UIH_TILES in ds:
        return ()
    groups = items(ds, "PerFrameFunctionalGroupsSequence")
    if groups:
        shared = items(ds, "SharedFunctionalGroupsSequence")[:1]
        return tuple(f for i, g in enumerate(groups) if (f := _frame(ds, i, [g, *shared])))
    frame = _frame(ds, 0, [])
    if frame is None:
        return ()
    if "MOSAIC" in frame.image_type:
        return _mosaic(ds, frame)
    offsets = numbers(ds, "GridFrameOffsetVector")
    if len(offsets) > 1:
        return _dose(ds, frame, offsets)
    # A multi-frame file of an older kind (secondary capture, ultrasound) says nothing of where its frames lie.
    return (frame,) if (whole(ds, "NumberOfFrames") or 1) == 1 else ()


_PLACE = (
    ("PlanePositionSequence", "ImagePositionPatient", 3),
    ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
    ("PixelMeasuresSequence", "PixelSpacing", 2),
)


def unplaced(ds: Any, frames: tuple[Frame, ...]) -> str | None:
    """Why slices of an image cannot be contoured one by one, though the image gives a position; a sentence without its subject.

    `frames` are the image's (`frames_of`). The tiles of a mosaic have places, but no number by which they could be referred to.
    """
    groups = items(ds, "PerFrameFunctionalGroupsSequence")
    if _UIH_TILES in ds:
        return (
            "is a mosaic as United Imaging writes it, which is not read; export it as single images or as enhanced MR"
        )
    if "MOSAIC" in texts(ds, "ImageType") and not frames:
        return "is a mosaic whose header does not say of how many slices; export it as single images or as enhanced MR"
    if "Rows" not in ds or not (groups or "ImagePositionPatient" in ds):
        return None
    count = max(whole(ds, "NumberOfFrames") or 1, len(frames))
    if not groups and count > 1:
        return f"has {count} frames without positions of their own; it cannot be contoured"
    if len(frames) >= max(len(groups), 1):
        return None
    shared = items(ds, "SharedFunctionalGroupsSequence")[:1]
    for macros in [[g, *shared] for g in groups] or [[]]:
        source_of = lambda macros, sequence: (items(macros, sequence) or [None])[0] if macros else ds
        for sequence, name, length in _PLACE:
            if len(numbers(source_of(macros, sequence), name)) != length:
                return f"has no {name} of {length} numbers; a slice needs a position to be contoured"
        if not _directed(numbers(source_of(macros, "PlaneOrientationSequence"), "ImageOrientationPatient")):
            return "has an ImageOrientationPatient that is no two directions at right angles; a slice needs them to be contoured"
    return "has a PixelSpacing that is not above 0; a slice needs one to be contoured"


_SQUARE = 0.05  # chosen: of the length of a direction, and of the cosine between two; headers round to four digits


def _directed(orientation: Sequence[float]) -> bool:
    """Whether row and column directions are such."""
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    off = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    return bool(off <= _SQUARE)


def _frame(ds: Any, index: int, groups: list[Any]) -> Frame | None:
    """One frame; `groups` are its functional groups, most specific first, empty in a classic file."""

    def macro(sequence: str) -> Any:
        return (items(groups, sequence) or [None])[0] if groups else ds

    plane, measures = macro("PlanePositionSequence"), macro("PixelMeasuresSequence")
    position = numbers(plane, "ImagePositionPatient")
    orientation = numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient")
    spacing = numbers(measures, "PixelSpacing")
    if (
        len(position) != 3
        or len(orientation) != 6
        or len(spacing) != 2
        or min(spacing) <= 0
        or not _directed(orientation)
    ):
        return None
    transformation = macro("PixelValueTransformationSequence")
    content, timing = macro("FrameContentSequence"), macro("MRTimingAndRelatedParametersSequence")
    philips = [p for g in groups for p in _philips_items(g)] or [ds]
    b_value, b_vector = diffusion(ds, groups, philips, _unit(orientation))
    when = text(content, "FrameAcquisitionDateTime") or text(content, "FrameReferenceDateTime")
    stamp = text(ds, "AcquisitionDateTime")
    begin = next((b for p in philips if (b := private(p, 0x2005, PHILIPS, 0xA0))), [])
    if groups:
        acquired = seconds(when[:8], when[8:]) or seconds(stamp[:8], stamp[8:])
        te = number(macro("MREchoSequence"), "EffectiveEchoTime")
        ti = numbers(macro("MRModifierSequence"), "InversionTimes")[:1]
        offset = number(macro("TemporalPositionSequence"), "TemporalPositionTimeOffset")
        temporal = whole(content, "TemporalPositionIndex")
        acquisition = whole(content, "FrameAcquisitionNumber") or whole(ds, "AcquisitionNumber")
        frame_kind = macro("MRImageFrameTypeSequence") or macro("CTImageFrameTypeSequence")
    else:
        day = text(ds, "AcquisitionDate") or text(ds, "SeriesDate") or text(ds, "StudyDate")
        acquired = seconds(day, text(ds, "AcquisitionTime")) or seconds(stamp[:8], stamp[8:])
        te, ti = number(ds, "EchoTime"), numbers(ds, "InversionTime")[:1]
        offset = None
        temporal = whole(ds, "TemporalPositionIdentifier")
        acquisition = whole(ds, "AcquisitionNumber")
        frame_kind = None
    scale = next((s for p in philips if (s := private(p, 0x2005, PHILIPS, 0x0E))), [])
    kinds = _kinds(ds, frame_kind)
    return Frame(
        index=index,
        rows=whole(ds, "Rows") or 0,
        columns=whole(ds, "Columns") or 0,
        position=position,
        orientation=_unit(orientation),
        cosines=orientation,
        spacing=spacing,
        thickness=number(measures, "SpacingBetweenSlices") or number(measures, "SliceThickness"),
        slope=_or(number(transformation, "RescaleSlope") or number(ds, "DoseGridScaling"), 1.0),
        intercept=_or(number(transformation, "RescaleIntercept"), 0.0),
        padding=_padding(ds, kinds),
        scale_slope=scale[0] if scale and scale[0] > 0 else None,
        image_type=kinds,
        tr_ms=number(timing, "RepetitionTime"),
        te_ms=te,
        ti_ms=ti[0] if ti and ti[0] > 0 else None,
        flip_angle_deg=number(timing, "FlipAngle"),
        b_value=b_value,
        b_vector=b_vector,
        # Frames of several multi-frame files are numbered one file after the other.
        instance_number=(whole(ds, "InstanceNumber") or 0) * 1_000_000 + index + 1
        if groups
        else whole(ds, "InstanceNumber"),
        acquisition_number=acquisition,
        temporal_position=temporal,
        dimensions=_dimensions(ds, content) if groups else None,
        offset_s=begin[0] if offset is None and begin else offset,
        trigger_ms=number(macro("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime")
        if groups
        else number(ds, "TriggerTime"),
        acquired_s=acquired,
        content_s=None if groups else seconds(text(ds, "ContentDate"), text(ds, "ContentTime")),
    )


_COMPONENTS = ("PHASE", "REAL", "IMAGINARY")  # of a complex signal, but for its magnitude; GE numbers them from 1
MAGNITUDE = ("M", "MAGNITUDE", "M_SE", "M_FFE")


def _kinds(ds: Any, frame_kind: Any) -> tuple[str, ...]:
    """FrameType or ImageType; phase, real and imaginary images say so in it, also where other elements alone tell them apart."""
    kinds = tuple(t.upper() for t in texts(frame_kind, "FrameType") or texts(ds, "ImageType"))
    component = (text(frame_kind, "ComplexImageComponent") or text(ds, "ComplexImageComponent")).upper()
    if text(ds, "Modality").upper() == "MR" and (raw := private(ds, 0x0043, "GEMS_PARM_01", 0x2F)):
        component = dict(enumerate(_COMPONENTS, 1)).get(int(raw[0]), component)
    if component not in _COMPONENTS:
        return kinds
    return (*(k for k in kinds if k not in (*MAGNITUDE, component)), component)


# Stack, place in it, position and orientation.
_SPACE = (0x00209056, 0x00209057, 0x00200032, 0x00200037, 0x00209113, 0x00209116)


def _dimensions(ds: Any, content: Any) -> tuple[int, ...] | None:
    """The frame's indices along the file's dimensions that are none of space."""
    pointers = [item.get("DimensionIndexPointer") for item in items(ds, "DimensionIndexSequence")]
    values = numbers(content, "DimensionIndexValues")
    if len(values) != len(pointers):
        return None
    return tuple(int(v) for v, p in zip(values, pointers, strict=True) if p not in _SPACE) or None


def _padding(ds: Any, kinds: tuple[str, ...]) -> int | None:
    """PixelPaddingValue of MR maps, but for 0: scanners also state that for images in which 0 is a value (as CT states -2000)."""
    if "DERIVED" not in kinds or text(ds, "Modality").upper() != "MR":
        return None
    return whole(ds, "PixelPaddingValue") or None


def _philips_items(group: Any) -> list[Any]:
    """Philips' private elements of a frame, which enhanced files keep in a private sequence."""
    try:
        return list(group.private_block(0x2005, "Philips MR Imaging DD 005")[0x0F].value)
    except (KeyError, TypeError):
        return []


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _unit(orientation: tuple[float, ...]) -> tuple[float, ...]:
    """Row and column directions, made exactly orthonormal: headers round to six digits."""
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    row = row / (np.linalg.norm(row) or 1.0)
    column = column - row * (row @ column)
    column = column / (np.linalg.norm(column) or 1.0)
    return (*map(float, row), *map(float, column))


# ------------------------------------------------------------------------------------------------------ mosaics, dose grids


def _mosaic(ds: Any, frame: Frame) -> tuple[Frame, ...]:
    """The tiles of a Siemens mosaic as slices.

    ImagePositionPatient belongs to the mosaic as if it were one big slice about the same centre; the tiles' own corner follows from
    that (NiBabel, "DICOM mosaic"; Siemens' CSA header gives the number of tiles and the direction of stacking).
    """
    count = private(ds, 0x0019, "SIEMENS MR HEADER", 0x0A)
    tags = csa(ds)
    n = int(count[0]) if count else int((tags.get("NumberOfImagesInMosaic") or [0])[0])
    if n < 1:
        return ()
    side = math.ceil(math.sqrt(n))
    rows, columns = frame.rows // side, frame.columns // side
    row, column = np.asarray(frame.orientation[:3]), np.asarray(frame.orientation[3:])
    corner = np.asarray(frame.position)
    corner = corner + row * frame.spacing[1] * (frame.columns - columns) / 2
    corner = corner + column * frame.spacing[0] * (frame.rows - rows) / 2
    normal = np.cross(row, column)
    stacking = tags.get("SliceNormalVector") or []
    if len(stacking) == 3 and normal @ np.asarray(stacking) < 0:
        normal = -normal
    step = frame.thickness or 1.0
    values = {name: getattr(frame, name) for name in Frame.__slots__}
    return tuple(
        Frame(
            **values
            | {"index": k, "rows": rows, "columns": columns, "position": tuple(map(float, corner + k * step * normal))}
        )
        for k in range(n)
    )


def _dose(ds: Any, frame: Frame, offsets: tuple[float, ...]) -> tuple[Frame, ...]:
    """The planes of an RT dose grid: along the normal, at offsets from the first (the absolute z of some writers included)."""
    row, column = np.asarray(frame.orientation[:3]), np.asarray(frame.orientation[3:])
    normal = np.cross(row, column)
    first = offsets[0]  # 0, or the plane's own z: either way only the differences count
    values = {name: getattr(frame, name) for name in Frame.__slots__}
    return tuple(
        Frame(**values | {"index": k, "position": tuple(map(float, np.asarray(frame.position) + (z - first) * normal))})
        for k, z in enumerate(offsets)
    )
