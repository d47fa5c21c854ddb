"""RT structure sets: masks to contours that refer to their original DICOM series, and back.

A contour runs along voxel edges in the plane of its slice, so that the polygons' volume is the voxels' volume and every reader that tests
voxel centres gets the same voxels back. What was written is read again and compared before it gets its name.
"""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...dicom.geometry import Stack, read_stack
from ...errors import InputError, option
from ...files import atomic
from ...images import Grid, boolean, is_draft, resample_mask
from ...resources import colors as colors_of
from ...resources import rgb
from .appending import append, existing_set, same_contours
from .drafts import marked
from .objects import save
from .planes import contour_volume_cc, planes_of, rasterise
from .preflight import Finding, block, check_masks, check_rois, check_series
from .reading import read_structures
from .registration import AcceptedRegistration
from .segmentation import write_seg
from .structures import StructureSet
from .writing import Roi, structure_set

__all__ = [
    "ExportedSet",
    "Roi",
    "WrittenRoi",
    "export_rtstruct",
    "preflight",
    "read_rtstruct",
    "write_rtstruct",
]

# Chosen: rounding the steps of a structure some ten voxels across costs 1 to 5 %; below 0.9 its shape is another.
_LEAST_DICE = 0.9
SAID = (
    "grid",
    "overlap",
    "origin",
    "drafts",
)  # checks whose warnings are said while writing; the others stand in the pre-flight list
# Shares that the contours' volume may differ by: smooth levels are found to a tenth of it; edges lose corners of 0.02 pixels at most.
_SMOOTH_VOLUME, _EDGE_VOLUME = 2e-3, 1e-3


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


@dataclass(frozen=True)
class ExportedSet:
    """What was written, under which label, and the pre-flight list."""

    rois: tuple[WrittenRoi, ...]
    findings: tuple[Finding, ...]
    label: str


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
        If the series is unfit (see `read_stack`), a reformat or copy, a structure is empty or does not overlap the series, a name or type
        cannot be used, or the file cannot be written.

    Examples
    --------
    With the folder of a T1c series and a mask on its grid:

    >>> written = write_rtstruct(folder / "RS.dcm", series_dir, [Roi("CTV_6000", mask, "CTV")])
    >>> written[0].name
    'CTV_6000'
    """
    return export_rtstruct(path, series_dir, rois, label).rois


def export_rtstruct(
    path: str | Path,
    series_dir: str | Path | Stack,
    rois: Sequence[Roi],
    label: str = "GlioSuite",
    smooth: bool = False,
    registration: AcceptedRegistration | None = None,
    seg: str | Path | None = None,
    planned_on: str = "",
    allow_derived: bool = False,
    append_to: str | Path | None = None,
    timed: bool = False,
    drafts_accepted_by: str = "",
) -> ExportedSet:
    """Write an RT structure set as `write_rtstruct` does, with its pre-flight list.

    Parameters
    ----------
    series_dir
        As for `write_rtstruct`, or the series as it was read.
    smooth
        Rounded outlines with the voxels' area (to 0.2 %) instead of voxel edges.
    registration
        Carries masks from the image that they were drawn on to the series, a planning CT.
    seg
        A file for the same structures as DICOM segmentation object.
    planned_on
        Date of the planning CT (YYYYMMDD) that the age of an MR is counted to; empty takes today.
    allow_derived
        Draw on a series whose ImageType says that it is a reformat or a secondary copy; the structure set says so.
    append_to
        An existing structure set on the same series whose structures come first in the new one, their contours as they are.
    timed
        Say when it was made, beside the date. Not in results of a run, where the same input gives the same bytes on one day.
    drafts_accepted_by
        Who has looked at the structures that are drafts (`Roi.draft`) and accepts them; the file calls them drafts where nobody has.

    Raises
    ------
    InputError
        As `write_rtstruct`, with the sentences of all errors of the pre-flight list; or if a structure is too thin for smooth outlines.
    """
    findings = check_rois(rois, label)
    block(findings)
    series = series_dir if isinstance(series_dir, Stack) else read_stack(series_dir)
    findings += check_series(series, planned_on, allow_derived)
    block(findings)
    before = None
    if append_to is not None:
        before = existing_set(append_to, series, (r.name for r in rois))
        require_same_patient(before.patient_id, series, append_to)
        require_same_frame(before.frame_of_reference, series, append_to)
    old_drafts = [s.name for s in before.structures if is_draft(s.description)] if before is not None else []
    rois, label, drafts = marked(rois, label, drafts_accepted_by, old_drafts)
    matrix = np.eye(4) if registration is None else registration.matrix
    masks = [_on_series(roi, series, registration) for roi in rois]
    beyond = [_beyond(roi, series, matrix) for roi in rois]
    findings += check_masks(rois, masks, beyond, series)
    block(findings)
    findings += drafts
    for finding in findings:
        if finding.check in SAID and finding.level == "warning":
            warnings.warn(finding.sentence, stacklevel=2)
    table = colors_of([roi.name for roi in rois])
    colors = [roi.color_rgb or rgb(table[roi.name]) for roi in rois]
    carried = registration.sentence() if registration is not None else ""
    dataset = structure_set(series, rois, masks, colors, label, carried, smooth, timed)
    if before is not None:
        append(dataset, before)
    with contextlib.ExitStack() as stack:
        partial = stack.enter_context(atomic(path))
        save(dataset, partial)
        written = _verified(partial, series, rois, masks, colors, smooth, before)
        if seg is not None:
            write_seg(stack.enter_context(atomic(seg)), series, rois, masks, colors, label, timed)
    return ExportedSet(written, tuple(findings), label)


def preflight(
    series_dir: str | Path | Stack,
    rois: Sequence[Roi],
    label: str = "GlioSuite",
    planned_on: str = "",
    allow_derived: bool = False,
) -> tuple[Finding, ...]:
    """The pre-flight list of `export_rtstruct` with all its errors, to be looked at before anything is written; parameters as there."""
    findings = check_rois(rois, label)
    try:
        series = series_dir if isinstance(series_dir, Stack) else read_stack(series_dir)
    except InputError as error:
        return (*findings, Finding("series", "error", str(error)))
    findings += check_series(series, planned_on, allow_derived)
    drawn = [roi for roi in rois if boolean(roi.mask).any()]  # an empty one has been told
    masks = [_on_series(roi, series, None) for roi in drawn]
    findings += check_masks(drawn, masks, [_beyond(roi, series, np.eye(4)) for roi in drawn], series)
    return tuple(findings)


def read_rtstruct(path: str | Path, series_dir: str | Path) -> dict[str, sitk.Image]:
    """Read a structure set as masks on the grid of its series; contours belong to slices by position, whatever they refer to.

    Returns
    -------
    dict
        Name to mask (uint8). ROIs without a closed contour are left out with a warning; a second ROI of one name gets its number added.

    Raises
    ------
    InputError
        If the file is no structure set, belongs to another patient or frame of reference, or the series is unfit.

    Examples
    --------
    With the folder of a T1c series and a mask on its grid:

    >>> _ = write_rtstruct(folder / "RS.dcm", series_dir, [Roi("CTV_6000", mask, "CTV")])
    >>> again = read_rtstruct(folder / "RS.dcm", series_dir)["CTV_6000"]
    >>> bool((sitk.GetArrayFromImage(again) == sitk.GetArrayFromImage(mask)).all())
    True
    """
    contents = read_structures(path)
    series = read_stack(series_dir, contents.series_uid)
    require_same_patient(contents.patient_id, series, path)
    require_same_frame(contents.frame_of_reference, series, path)
    masks: dict[str, sitk.Image] = {}
    for structure in contents.structures:
        mask, notes = rasterise(structure, series.grid, series.grid)
        faults = planes_of(structure).faults if structure.contours else []
        for note in (*structure.problems, *faults, *notes):
            warnings.warn(f"{path}: ROI {structure.name}: {note}", stacklevel=2)
        if structure.contours:
            name = structure.name if structure.name not in masks else f"{structure.name}#{structure.number}"
            masks[name] = mask
    return masks


def require_same_frame(frame_of_reference: str, series: Stack, path: str | Path) -> None:
    """Refuse a structure set that was drawn in another frame of reference than a series: its positions mean nothing there.

    Raises
    ------
    InputError
        If both have a FrameOfReferenceUID and these differ.
    """
    own = series.header.frame_of_reference
    if frame_of_reference and own and frame_of_reference != own:
        raise InputError(
            f"{path} was drawn in another frame of reference ({frame_of_reference}) than {series.folder} ({own}); "
            "the series that it was drawn on, or one registered to it by the scanner, is needed"
        )


def require_same_patient(patient_id: str, series: Stack, path: str | Path) -> None:
    """Refuse a structure set of another patient than a series.

    Raises
    ------
    InputError
        If both have a PatientID and these differ.
    """
    if foreign_patient(patient_id, series):
        raise InputError(
            f"{path} and {series.folder} are of different patients (PatientID differs); masks of the same patient are needed"
        )


def foreign_patient(patient_id: str, series: Stack) -> bool:
    """Whether something of this PatientID is of another patient than a series; not told where either has none."""
    own = str(series.identity.get("PatientID", "") or "")
    return bool(patient_id.strip() and own.strip() and patient_id.strip() != own.strip())


# ------------------------------------------------------------------------------------------------------------- checks


def _on_series(roi: Roi, series: Stack, registration: AcceptedRegistration | None) -> np.ndarray:
    """A structure's voxels on the series' grid."""
    if registration is not None:
        return boolean(resample_mask(roi.mask, series.grid, registration.transform))
    if Grid.of(roi.mask).matches(series.grid):
        return boolean(roi.mask).copy()
    return boolean(resample_mask(roi.mask, series.grid))


def _beyond(roi: Roi, series: Stack, matrix: np.ndarray) -> float:
    """The share of a structure that lies outside the slices; `matrix` takes points of the series to points of the mask."""
    own = Grid.of(roi.mask)
    if own.matches(series.grid) and np.array_equal(matrix, np.eye(4)):
        return 0.0
    voxels = np.argwhere(boolean(roi.mask))[:, ::-1]
    points = voxels * own.spacing @ np.reshape(own.direction, (3, 3)).T + own.origin
    points = (points - matrix[:3, 3]) @ matrix[:3, :3]  # a rotation's inverse is its transpose
    index = (points - series.grid.origin) @ np.reshape(series.grid.direction, (3, 3)) / series.grid.spacing
    return float(((index < -0.5) | (index > np.asarray(series.grid.size) - 0.5)).any(axis=1).mean())


def _verified(
    path: Path,
    series: Stack,
    rois: Sequence[Roi],
    masks: Sequence[np.ndarray],
    colors: Sequence[tuple[int, int, int]],
    smooth: bool,
    before: StructureSet | None,
) -> tuple[WrittenRoi, ...]:
    """Read the file back; a structure whose voxels or contour volume are not those of its mask is a defect, and nothing is kept.

    Smooth outlines cannot hold the very same voxels: they must keep the volume to 0.2 % and a Dice of 0.9, or are refused.
    """
    records = []
    contents = read_structures(path)
    if before is not None and not same_contours(before, contents):
        raise RuntimeError(f"the structures of {before.path} did not read back as they were")
    new = contents.structures[0 if before is None else len(before.structures) :]
    for roi, mask, color, structure in zip(rois, masks, colors, new, strict=True):
        again, notes = rasterise(structure, series.grid, series.grid)
        voxels = float(mask.sum()) * series.grid.voxel_cc
        polygons = contour_volume_cc(structure, series.grid)
        assert polygons is not None  # the file says how thick its slices are
        if smooth:
            found = boolean(again)
            dice = 2 * (found & mask).sum() / (found.sum() + mask.sum())
            if notes or dice < _LEAST_DICE or abs(polygons / voxels - 1) > _SMOOTH_VOLUME:
                raise InputError(
                    f"ROI {roi.name} is too thin for smooth contours (Dice {dice:.3f}, volume {100 * (polygons / voxels - 1):+.2f} %); "
                    f"leave {option('--smooth')} out"
                )
        elif notes or not np.array_equal(boolean(again), mask) or abs(polygons / voxels - 1) > _EDGE_VOLUME:
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
