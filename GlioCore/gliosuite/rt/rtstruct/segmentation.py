"""Structures as a DICOM segmentation object, written and read with highdicom."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import Stack, quiet_pydicom, read_stack
from ...errors import InputError, option, require
from ...images import boolean
from ...resources import read_text
from ...steps import version
from .objects import content_uid, identify, now
from .writing import Roi

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Interpreted type -> entry of the terminology table (``resources/terminology.json``).
_TERMS = {"GTV": "gtv", "CTV": "ctv", "PTV": "ctv"}
_OTHER = {"category": ("SCT", "91723000", "Anatomical Structure"), "type": ("SCT", "113343008", "Organ")}


def write_seg(
    path: Path,
    series: Stack,
    rois: Sequence[Roi],
    masks: Sequence[np.ndarray],
    colors: Sequence[tuple[int, int, int]],
    label: str,
    timed: bool = False,
) -> None:
    """Write masks (z, y, x) on the grid of `series` as a binary segmentation object, and read it back.

    Raises
    ------
    InputError
        If highdicom is missing, or the images cannot be segmented (multi-frame files without what highdicom needs).
    """
    hd = require("highdicom", "DICOM segmentation objects")
    pydicom = require("pydicom", "DICOM segmentation objects")
    code = require("highdicom.sr.coding", "DICOM segmentation objects").CodedConcept
    algorithm = hd.AlgorithmIdentificationSequence(
        name="GlioSuite", version=version(), family=code("123110", "DCM", "Artificial Intelligence")
    )
    terms = json.loads(read_text("terminology.json"))
    descriptions = []
    for number, (roi, color) in enumerate(zip(rois, colors), start=1):
        term = terms.get(_TERMS.get(roi.interpreted_type, ""), _OTHER)
        category, kind = (code(value, scheme, meaning) for scheme, value, meaning in (term["category"], term["type"]))
        manual = roi.algorithm == "MANUAL"
        description = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=roi.name,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=roi.algorithm,
            algorithm_identification=None if manual else algorithm,
            tracking_id=roi.name,
            tracking_uid=content_uid("segment", series.header.series_uid, roi.name),
        )
        description.SegmentDescription = f"{roi.description[:960]} For research use only.".strip()
        description.RecommendedDisplayCIELabValue = _cielab(color)
        descriptions.append(description)
    multi = series.slices[0].number is not None
    with quiet_pydicom():
        files = list(dict.fromkeys(s.file for s in series.slices))
        images = [pydicom.dcmread(f, stop_before_pixels=True) for f in files]
        order = np.argsort([s.number or 0 for s in series.slices]) if multi else np.arange(len(series.slices))
        pixels = np.stack([m[order] for m in masks], axis=-1).astype(np.uint8)
        try:
            segmentation = hd.seg.Segmentation(
                source_images=images,
                pixel_array=pixels,
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=descriptions,
                series_instance_uid=content_uid("to be given"),
                series_number=2,
                sop_instance_uid=content_uid("to be given"),
                instance_number=1,
                manufacturer="GlioSuite",
                manufacturer_model_name="GlioSuite",
                software_versions=version(),
                device_serial_number="none",
                content_label="GLIOSUITE",
                content_description="Research use only",
                series_description="GlioSuite structures (research)",
            )
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise InputError(
                f"the images in {series.folder} cannot carry a DICOM segmentation ({error}); leave {option('--seg')} out"
            ) from error
        _settle(segmentation, series, timed)
        segmentation.save_as(path)
    again = read_seg(path, series)
    for roi, mask in zip(rois, masks):
        if not np.array_equal(boolean(again[roi.name]), mask):
            raise RuntimeError(f"segment {roi.name} did not read back as it was written")


def _settle(segmentation: "Dataset", series: Stack, timed: bool) -> None:
    """Date, time and UIDs as the other objects have them: highdicom draws some at random, and dates by its own clock."""
    day, time = now()
    time = time if timed else "000000"
    for name in ("InstanceCreation", "Content", "Series"):
        for ending, value in (("Date", day), ("Time", time)):
            if f"{name}{ending}" in segmentation:
                setattr(segmentation, f"{name}{ending}", value)
    for contribution in segmentation.get("ContributingEquipmentSequence", ()):
        contribution.ContributionDateTime = day + time
    organization = content_uid("dimensions", series.header.series_uid)
    for one in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        one.DimensionOrganizationUID = organization
    identify(segmentation)
    segmentation.file_meta.MediaStorageSOPInstanceUID = segmentation.SOPInstanceUID


def read_seg(path: str | Path, series: Stack | str | Path) -> dict[str, sitk.Image]:
    """Read the segments of a DICOM segmentation object as masks on the grid of the series that it was made on, by label.

    Raises
    ------
    InputError
        If highdicom is missing or the file is no segmentation of that series.
    """
    hd = require("highdicom", "DICOM segmentation objects")
    series = series if isinstance(series, Stack) else read_stack(series)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; a DICOM segmentation object is needed")
    try:
        with quiet_pydicom():
            seg = hd.seg.segread(path)
            numbers = {str(seg.get_segment_description(n).segment_label): n for n in seg.segment_numbers}
            multi = series.slices[0].number is not None
            if multi:
                pixels = seg.get_pixels_by_source_frame(
                    source_sop_instance_uid=series.slices[0].instance,
                    source_frame_numbers=[s.number for s in series.slices],
                    assert_missing_frames_are_empty=True,
                )
            else:
                pixels = seg.get_pixels_by_source_instance(
                    source_sop_instance_uids=[s.instance for s in series.slices],
                    assert_missing_frames_are_empty=True,
                )
    except (ValueError, KeyError, RuntimeError, TypeError, OSError) as error:
        raise InputError(f"{path} is not a DICOM segmentation of the series in {series.folder} ({error})") from error
    return {name: series.grid.image(pixels[..., n - 1] > 0) for name, n in numbers.items()}


def _cielab(rgb: tuple[int, int, int]) -> list[int]:
    """A colour as DICOM's scaled CIELab (PS3.3 C.10.7.1.1), from sRGB by way of XYZ under D65."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * c for m, c in zip(row, linear)) / white for row, white in zip(matrix, (0.9505, 1.0, 1.089))]
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz]
    lab = (116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2]))
    return [round(lab[0] / 100 * 65535), round((lab[1] + 128) / 255 * 65535), round((lab[2] + 128) / 255 * 65535)]
