"""RT structure sets: masks to contours that refer to their original DICOM series, and back.

A contour runs along voxel edges in the plane of its slice, so that the polygons' volume is the voxels' volume and every reader that tests
voxel centres gets the same voxels back. What was written is read again and compared before it gets its name.
"""

import re
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, require
from ..files import atomic
from ..images import Grid, boolean, resample_mask
from ..steps import version
from .contours import outlines
from .dicomseries import IDENTITY, DicomSeries, read_dicom_series
from .structures import RT_STRUCTURE_SET, contour_volume_cc, rasterise, read_structures

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# PS3.3 C.8.8.8.1, those that a mask can stand for.
TYPES = (
    "GTV", "CTV", "PTV", "ORGAN", "EXTERNAL", "AVOIDANCE", "CAVITY", "TREATED_VOLUME", "IRRAD_VOLUME", "BOLUS", "CONTRAST_AGENT",
    "DOSE_REGION", "CONTROL", "SUPPORT", "FIXATION", "MARKER", "REGISTRATION",
)  # fmt: skip
_COLORS = {
    "GTV": ((255, 77, 77), (255, 158, 64), (240, 98, 146)),
    "CTV": ((0, 230, 118), (64, 160, 255), (255, 171, 64), (224, 224, 224), (179, 136, 255), (240, 98, 146)),
    "PTV": ((255, 213, 74), (255, 64, 255), (38, 166, 154)),
    "ORGAN": ((124, 156, 255), (38, 166, 154), (158, 158, 158), (176, 190, 197)),
}
_NAME = re.compile(r"[A-Za-z0-9_~^+.!-]+")
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired, which planning systems still expect here
_RESEARCH = "For research use only."


@dataclass(frozen=True)
class Roi:
    """One structure to be written.

    Attributes
    ----------
    name
        TG-263 style: at most 16 characters, no spaces (``CTV_6000``).
    mask
        0/1 image; on another grid than the series it is carried there by its signed distance.
    interpreted_type
        ``GTV``, ``CTV``, ``PTV``, ``ORGAN`` ... (`TYPES`).
    color_rgb
        0-255 each; None takes one by type.
    description
        How it came about: scheme, margin, source of the brain mask. Research use is added.
    algorithm
        ``AUTOMATIC``, ``SEMIAUTOMATIC`` or ``MANUAL``.
    """

    name: str
    mask: sitk.Image
    interpreted_type: str
    color_rgb: tuple[int, int, int] | None = None
    description: str = ""
    algorithm: str = "SEMIAUTOMATIC"


@dataclass(frozen=True)
class WrittenRoi:
    """What became of a structure: volumes in cc from its voxels on the series' grid and from its contours."""

    name: str
    interpreted_type: str
    color_rgb: tuple[int, int, int]
    volume_voxels_cc: float
    volume_contours_cc: float
    contours: int
    slices: int


def roi_color(interpreted_type: str, index: int) -> tuple[int, int, int]:
    """The colour (0-255) of the `index`-th structure of a type."""
    colors = _COLORS.get(interpreted_type, _COLORS["ORGAN"])
    return colors[index % len(colors)]


def write_rtstruct(
    path: str | Path, series_dir: str | Path, rois: Sequence[Roi], label: str = "GlioSuite"
) -> tuple[WrittenRoi, ...]:
    """Write an RT structure set that refers to the images of a DICOM series; whole and verified, or not at all.

    One closed planar contour per component and slice, along voxel edges, holes by keyholes; each refers to its own image instance. Patient
    and study are those of the images. The file is read back and compared voxel by voxel before it gets its name.

    Parameters
    ----------
    path
        The file to write.
    series_dir
        Folder of one CT or MR series; only headers are read.
    rois
        At least one.
    label
        Structure Set Label, at most 16 characters.

    Raises
    ------
    InputError
        If the series is unfit (see `read_dicom_series`), a structure is empty or does not overlap the series, a name or type cannot be
        used, or the file cannot be written.
    """
    _check(rois, label)
    series = read_dicom_series(series_dir)
    masks = [_on_series(roi, series) for roi in rois]
    colors, counts = [], dict.fromkeys(TYPES, 0)
    for roi in rois:
        colors.append(tuple(roi.color_rgb or roi_color(roi.interpreted_type, counts[roi.interpreted_type])))
        counts[roi.interpreted_type] += 1
    dataset = _dataset(series, rois, masks, colors, label)
    with atomic(path) as partial:
        _save(dataset, partial)
        return _verified(partial, series, rois, masks, colors)


def read_rtstruct(path: str | Path, series_dir: str | Path) -> dict[str, sitk.Image]:
    """Read a structure set as masks on the grid of its series; contours belong to slices by position, whatever they refer to.

    Returns
    -------
    dict
        Name to mask (uint8). ROIs without a closed contour are left out with a warning; a second ROI of one name gets its number added.

    Raises
    ------
    InputError
        If the file is no structure set, belongs to another frame of reference, or the series is unfit.
    """
    contents = read_structures(path)
    series = read_dicom_series(series_dir, contents.series_uid)
    require_same_frame(contents.frame_of_reference, series, path)
    masks: dict[str, sitk.Image] = {}
    for structure in contents.structures:
        mask, notes = rasterise(structure, series.grid)
        for note in (*structure.problems, *notes):
            warnings.warn(f"{path}: ROI {structure.name}: {note}", stacklevel=2)
        if structure.contours:
            name = structure.name if structure.name not in masks else f"{structure.name}#{structure.number}"
            masks[name] = mask
    return masks


def require_same_frame(frame_of_reference: str, series: DicomSeries, path: str | Path) -> None:
    """Refuse a structure set that was drawn in another frame of reference than a series: its positions mean nothing there.

    Raises
    ------
    InputError
        If both have a FrameOfReferenceUID and these differ.
    """
    if frame_of_reference and series.frame_of_reference and frame_of_reference != series.frame_of_reference:
        raise InputError(
            f"{path} was drawn in another frame of reference ({frame_of_reference}) than {series.folder} ({series.frame_of_reference}); "
            "the series that it was drawn on, or one registered to it by the scanner, is needed"
        )


# ------------------------------------------------------------------------------------------------------------- checks


def _check(rois: Sequence[Roi], label: str) -> None:
    if not rois:
        raise InputError("no structure was given; an RT structure set needs at least one")
    if not 1 <= len(label) <= 16 or not label.isascii() or "\\" in label:
        raise InputError(f"structure set label {label!r} has {len(label)} characters; 1 to 16 plain ones are needed")
    seen: dict[str, str] = {}
    for roi in rois:
        if len(roi.name) > 16:
            raise InputError(
                f"ROI name {roi.name} has {len(roi.name)} characters; planning systems take at most 16 (TG-263)"
            )
        if not _NAME.fullmatch(roi.name):
            raise InputError(
                f"ROI name {roi.name!r} is not usable; letters, digits and _ ~ ^ + - . ! are (TG-263: no spaces)"
            )
        if roi.name.lower() in seen:
            raise InputError(
                f"ROI names {seen[roi.name.lower()]} and {roi.name} are the same; each structure needs its own"
            )
        seen[roi.name.lower()] = roi.name
        if roi.interpreted_type not in TYPES:
            raise InputError(
                f"ROI {roi.name}: type {roi.interpreted_type} is not known; choose from {', '.join(TYPES)}"
            )
        if not boolean(roi.mask).any():
            raise InputError(
                f"ROI {roi.name} is empty: its mask has no voxel above 0; planning systems refuse an empty structure"
            )


def _on_series(roi: Roi, series: DicomSeries) -> np.ndarray:
    """A structure's voxels on the series' grid."""
    own = Grid.of(roi.mask)
    if own.matches(series.grid):
        return boolean(roi.mask).copy()
    mask = boolean(resample_mask(roi.mask, series.grid))
    if not mask.any():
        raise InputError(
            f"ROI {roi.name} does not overlap the series in {series.folder}: no voxel of it lies on the slices; "
            "a mask of the same patient and position is needed"
        )
    voxels = np.argwhere(boolean(roi.mask))[:, ::-1]
    points = voxels * own.spacing @ np.reshape(own.direction, (3, 3)).T + own.origin
    index = (points - series.grid.origin) @ np.reshape(series.grid.direction, (3, 3)) / series.grid.spacing
    beyond = ((index < -0.5) | (index > np.asarray(series.grid.size) - 0.5)).any(axis=1).mean()
    if beyond > 0.001:
        warnings.warn(
            f"ROI {roi.name}: {100 * beyond:.1f} % of it ({beyond * len(voxels) * own.voxel_cc:.2f} cc) lies outside the slices and is "
            "not written",
            stacklevel=3,
        )
    return mask


# ------------------------------------------------------------------------------------------------------------ dataset


def _uid(*content: str | bytes) -> str:
    """A UID that the content determines: the same structures on the same day get the same one."""
    text = "\n".join(c if isinstance(c, str) else uuid.uuid5(uuid.NAMESPACE_OID, c.hex()).hex for c in content)
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}"


def _frame_of_reference(series: DicomSeries) -> str:
    if series.frame_of_reference:
        return series.frame_of_reference
    warnings.warn(
        f"the images in {series.folder} have no FrameOfReferenceUID, so the structure set gets one made from their "
        "SeriesInstanceUID; planning systems that compare it with the images will refuse it",
        stacklevel=4,
    )
    return _uid("frame of reference", series.series_uid)


def _dataset(
    series: DicomSeries,
    rois: Sequence[Roi],
    masks: Sequence[np.ndarray],
    colors: Sequence[tuple[int, int, int]],
    label: str,
) -> "Dataset":
    dataset_class = require("pydicom.dataset", "writing RT structure sets").Dataset
    sequence = require("pydicom.sequence", "writing RT structure sets").Sequence
    item = lambda **elements: _item(dataset_class, elements)

    today = date.today().strftime("%Y%m%d")
    frame = _frame_of_reference(series)
    content = [series.series_uid, label, today, version()]
    for roi, mask in zip(rois, masks):
        content += [roi.name, roi.interpreted_type, roi.description, np.packbits(mask).tobytes()]

    dataset = dataset_class()
    for keyword in IDENTITY:
        if keyword in series.identity:
            dataset.add(series.identity[keyword])
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    dataset.SOPClassUID = RT_STRUCTURE_SET
    dataset.SOPInstanceUID = _uid("instance", *content)
    dataset.InstanceCreationDate = today
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = _uid("series", *content)
    dataset.SeriesNumber = None
    dataset.SeriesDescription = "GlioSuite structures (research)"
    dataset.OperatorsName = ""
    dataset.Manufacturer = "GlioSuite"
    dataset.ManufacturerModelName = "GlioSuite"
    dataset.SoftwareVersions = version()
    dataset.FrameOfReferenceUID = frame
    dataset.PositionReferenceIndicator = series.position_reference
    dataset.StructureSetLabel = label
    dataset.StructureSetName = label
    dataset.StructureSetDescription = f"Drawn on the {series.modality} series referred to. {_RESEARCH}"
    dataset.StructureSetDate = today
    dataset.StructureSetTime = ""
    dataset.ApprovalStatus = "UNAPPROVED"

    instances = dict.fromkeys(s.instance for s in series.slices)
    images = [_reference(item, series, uid) for uid in instances]
    referenced_series = item(SeriesInstanceUID=series.series_uid, ContourImageSequence=sequence(images))
    study = item(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=series.study_uid,
        RTReferencedSeriesSequence=sequence([referenced_series]),
    )
    dataset.ReferencedFrameOfReferenceSequence = sequence(
        [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=sequence([study]))]
    )
    structures, drawn, observations = [], [], []
    for number, (roi, mask, color) in enumerate(zip(rois, masks, colors), start=1):
        text = f"{roi.description.rstrip('.')}. {_RESEARCH}" if roi.description else _RESEARCH
        structures.append(
            item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame,
                ROIName=roi.name,
                ROIDescription=text[:1024],
                ROIGenerationAlgorithm=roi.algorithm,
                ROIGenerationDescription=f"GlioSuite {version()}",
            )
        )
        contours = [
            _contour(item, sequence, series, k, polygon)
            for k in range(len(series.slices))
            for polygon in outlines(mask[k])
        ]
        drawn.append(item(ROIDisplayColor=list(color), ReferencedROINumber=number, ContourSequence=sequence(contours)))
        observations.append(
            item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                ROIObservationLabel=roi.name,
                RTROIInterpretedType=roi.interpreted_type,
                ROIInterpreter="",
            )
        )
    dataset.StructureSetROISequence = sequence(structures)
    dataset.ROIContourSequence = sequence(drawn)
    dataset.RTROIObservationsSequence = sequence(observations)
    return dataset


def _item(dataset_class: type, elements: dict[str, object]) -> "Dataset":
    result = dataset_class()
    for keyword, value in elements.items():
        setattr(result, keyword, value)
    return result


def _reference(item, series: DicomSeries, instance: str, frame: int | None = None) -> "Dataset":
    elements = {"ReferencedSOPClassUID": series.sop_class, "ReferencedSOPInstanceUID": instance}
    return item(**elements) if frame is None else item(**elements, ReferencedFrameNumber=frame)


def _contour(item, sequence, series: DicomSeries, k: int, polygon: np.ndarray) -> "Dataset":
    """One closed contour in the plane of slice `k`, by that slice's own position."""
    place = series.slices[k]
    axes = np.reshape(series.grid.direction, (3, 3))
    points = (
        place.position
        + polygon[:, :1] * series.grid.spacing[0] * axes[:, 0]
        + polygon[:, 1:] * series.grid.spacing[1] * axes[:, 1]
    )
    # plastimatch takes a last point for a repetition of the first if x and y agree, and drops it, though z may differ: in sagittal and
    # coronal slices the closing edge must not run along z.
    closing = np.abs(points - np.roll(points, -1, axis=0))[:, :2].max(axis=1)
    points = np.roll(points, -1 - int(np.argmax(closing)), axis=0)
    result = item(
        ContourImageSequence=sequence([_reference(item, series, place.instance, place.frame)]),
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
    )
    _add_contour_data(result, points)
    return result


def _add_contour_data(dataset: "Dataset", points: np.ndarray) -> None:
    """Contour Data with four decimals (0.1 um, at most 10 characters), as bytes: a number object for each would take minutes."""
    raw = require("pydicom.dataelem", "writing RT structure sets").RawDataElement
    tag = require("pydicom.tag", "writing RT structure sets").Tag(0x3006, 0x0050)
    text = "\\".join([_decimal(v) for v in points.ravel().tolist()])
    value = text.encode("ascii") + b" " * (len(text) % 2)
    dataset[tag] = raw(tag, "DS", len(value), value, 0, False, True)


def _decimal(value: float) -> str:
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _save(dataset: "Dataset", path: Path) -> None:
    pydicom = require("pydicom", "writing RT structure sets")
    meta = require("pydicom.dataset", "writing RT structure sets").FileMetaDataset()
    meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta = meta
    if int(pydicom.__version__.split(".")[0]) < 3:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        pydicom.dcmwrite(path, dataset, write_like_original=False)
    else:
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _verified(
    path: Path,
    series: DicomSeries,
    rois: Sequence[Roi],
    masks: Sequence[np.ndarray],
    colors: Sequence[tuple[int, int, int]],
) -> tuple[WrittenRoi, ...]:
    """Read the file back; a structure whose voxels or contour volume are not those of its mask is a defect, and nothing is kept."""
    records = []
    for roi, mask, color, structure in zip(rois, masks, colors, read_structures(path).structures, strict=True):
        again, notes = rasterise(structure, series.grid)
        voxels = float(mask.sum()) * series.grid.voxel_cc
        polygons = contour_volume_cc(structure, series.grid.spacing[2])
        if notes or not np.array_equal(boolean(again), mask) or abs(polygons / voxels - 1) > 1e-3:
            raise RuntimeError(
                f"ROI {roi.name} did not read back as it was written ({voxels} cc, contours {polygons} cc, {notes})"
            )
        records.append(
            WrittenRoi(
                roi.name,
                roi.interpreted_type,
                color,
                voxels,
                polygons,
                len(structure.contours),
                int(mask.any(axis=(1, 2)).sum()),
            )
        )
    return tuple(records)
