"""The DICOM object of an RT structure set: modules, references and contours, as PS3.3 A.19 and planning systems want them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import RT_STRUCTURE_SET, Stack
from ...errors import require
from ...steps import version
from .contours import outlines
from .objects import content_uid, identify, item, now, patient_and_study
from .smooth import smooth_outlines

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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
    draft
        Whether it rests on a draft that a program made; `drafts.marked` says so in the file.

    Examples
    --------
    >>> mask = sitk.Image(64, 64, 20, sitk.sitkUInt8)
    >>> Roi("CTV_6000", mask, "CTV", color_rgb=(255, 128, 0)).interpreted_type
    'CTV'
    """

    name: str
    mask: sitk.Image
    interpreted_type: str
    color_rgb: tuple[int, int, int] | None = None
    description: str = ""
    algorithm: str = "SEMIAUTOMATIC"
    draft: bool = False


def _frame_of_reference(series: Stack) -> str:
    if series.header.frame_of_reference:
        return series.header.frame_of_reference
    warnings.warn(
        f"the images in {series.folder} have no FrameOfReferenceUID, so the structure set gets one made from their "
        "SeriesInstanceUID; planning systems that compare it with the images will refuse it",
        stacklevel=4,
    )
    return content_uid("frame of reference", series.header.series_uid)


def structure_set(
    series: Stack,
    rois: Sequence[Roi],
    masks: Sequence[np.ndarray],
    colors: Sequence[tuple[int, int, int]],
    label: str,
    carried: str = "",
    smooth: bool = False,
    timed: bool = False,
) -> "Dataset":
    """The data set of a structure set whose contours outline `masks` (z, y, x) on the grid of `series`.

    `carried` says how the structures came to the series, where they were drawn on another one; `smooth` rounds the outlines; `timed` says
    when it was made, beside the date.
    """
    frame = _frame_of_reference(series)
    day, time = now()
    time = time if timed else ""
    dataset = item()
    patient_and_study(dataset, series)
    dataset.SOPClassUID = RT_STRUCTURE_SET
    dataset.InstanceCreationDate = day
    if timed:
        dataset.InstanceCreationTime = time
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "GlioSuite structures (research)"
    dataset.OperatorsName = ""
    dataset.Manufacturer = "GlioSuite"
    dataset.ManufacturerModelName = "GlioSuite"
    dataset.SoftwareVersions = version()
    dataset.FrameOfReferenceUID = frame
    dataset.PositionReferenceIndicator = series.header.position_reference
    dataset.StructureSetLabel = label
    dataset.StructureSetName = label
    dataset.StructureSetDescription = _description(series, carried, smooth)
    dataset.StructureSetDate, dataset.StructureSetTime = day, time
    dataset.ApprovalStatus = "UNAPPROVED"

    dataset.ReferencedFrameOfReferenceSequence = [
        item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[_referenced_study(series)])
    ]
    numbered = list(enumerate(zip(rois, masks, colors), start=1))
    dataset.StructureSetROISequence = [_structure(number, roi, frame) for number, (roi, *_) in numbered]
    dataset.ROIContourSequence = [
        item(
            ROIDisplayColor=list(color),
            ReferencedROINumber=number,
            SourcePixelPlanesCharacteristicsSequence=[_source_planes(series)],
            ContourSequence=_contours(series, mask, smooth_outlines if smooth else outlines),
        )
        for number, (_, mask, color) in numbered
    ]
    dataset.RTROIObservationsSequence = [_observation(number, roi) for number, (roi, *_) in numbered]
    identify(dataset)
    return dataset


def _description(series: Stack, carried: str, smooth: bool) -> str:
    header = series.header
    text = (
        f"Carried to the {header.modality} series referred to by {carried}."
        if carried
        else f"Drawn on the {header.modality} series referred to."
    )
    if header.object_type[:1] == ("DERIVED",):
        text += f" That series is derived ({'/'.join(header.object_type)})."
    outline = "Contours are smooth, with the voxels' area." if smooth else "Contours follow voxel edges."
    return f"{text} {outline} {_RESEARCH}"


def _referenced_study(series: Stack) -> "Dataset":
    """The study with the series and all its instances."""
    images = [_reference(series, instance) for instance in dict.fromkeys(s.instance for s in series.slices)]
    return item(
        ReferencedSOPClassUID=_STUDY_CLASS,
        ReferencedSOPInstanceUID=series.header.study_uid,
        RTReferencedSeriesSequence=[item(SeriesInstanceUID=series.header.series_uid, ContourImageSequence=images)],
    )


def _structure(number: int, roi: Roi, frame: str) -> "Dataset":
    told = roi.description.rstrip(".")[: 1024 - len(_RESEARCH) - 2]  # ST holds 1024 characters
    text = f"{told}. {_RESEARCH}" if told else _RESEARCH
    return item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame,
        ROIName=roi.name,
        ROIDescription=text,
        ROIGenerationAlgorithm=roi.algorithm,
        ROIGenerationDescription=f"GlioSuite {version()}",
    )


def _source_planes(series: Stack) -> "Dataset":
    """The pixel planes that contours were drawn from: how thick a slice each stands for (PS3.3 C.8.8.6)."""
    grid = series.grid
    rows, columns = np.reshape(grid.direction, (3, 3)).T[:2]
    return item(
        PixelSpacing=[_decimal(grid.spacing[1], 8), _decimal(grid.spacing[0], 8)],
        SpacingBetweenSlices=_decimal(grid.spacing[2], 8),
        ImageOrientationPatient=[_decimal(v, 8) for v in (*rows, *columns)],
        ImagePositionPatient=[_decimal(v) for v in grid.origin],
        NumberOfFrames=grid.size[2],
        Rows=grid.size[1],
        Columns=grid.size[0],
    )


def _observation(number: int, roi: Roi) -> "Dataset":
    return item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        ROIObservationLabel=roi.name,
        RTROIInterpretedType=roi.interpreted_type,
        ROIInterpreter="",
    )


def _contours(series: Stack, mask: np.ndarray, trace: Callable[[np.ndarray], Sequence[np.ndarray]]) -> list["Dataset"]:
    """The outlines of a mask, slice by slice."""
    return [_contour(series, k, polygon) for k in range(len(series.slices)) for polygon in trace(mask[k])]


def _reference(series: Stack, instance: str, frame: int | None = None) -> "Dataset":
    result = item(ReferencedSOPClassUID=series.header.sop_class, ReferencedSOPInstanceUID=instance)
    if frame is not None:
        result.ReferencedFrameNumber = frame
    return result


def _contour(series: Stack, k: int, polygon: np.ndarray) -> "Dataset":
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
        ContourImageSequence=[_reference(series, place.instance, place.number)],
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
    if hasattr(
        dataset, "set_original_encoding"
    ):  # pydicom 3 parses what it did not read itself, unless told that it is written as it was
        dataset.set_original_encoding(False, True, "iso8859")  # its elements are plain ASCII


def _decimal(value: float, digits: int = 4) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
