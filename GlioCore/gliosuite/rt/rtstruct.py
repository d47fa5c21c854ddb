"""RT structure sets: masks to contours that refer to their original DICOM series, and back.

A contour runs along voxel edges in the plane of its slice, so that the polygons' volume is the voxels' volume and every reader that tests
voxel centres gets the same voxels back. What was written is read again and compared before it gets its name.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files import atomic
from ..images import Grid, boolean, resample_mask
from .dicomseries import DicomSeries, read_dicom_series
from .rtobject import Roi, save, structure_set
from .structures import contour_volume_cc, rasterise, read_structures

__all__ = ["Roi", "WrittenRoi", "read_rtstruct", "roi_color", "write_rtstruct"]

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
    dataset = structure_set(series, rois, masks, colors, label)
    with atomic(path) as partial:
        save(dataset, partial)
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
