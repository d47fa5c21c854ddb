"""What an RT structure set holds and what is wrong with it, in sentences: for any file, ours or not."""

from typing import Any

import numpy as np

from ...dicom.geometry import Stack
from ...errors import option
from ...images import UNLIKE, UNLIKE_CC, volume_cc
from .export import foreign_patient
from .planes import contour_volume_cc, own_mask, planes_of, rasterise
from .structures import Structure, StructureSet


def check_structures(contents: StructureSet, series: Stack | None = None) -> dict[str, Any]:
    """What a structure set holds and what is wrong with it.

    Returns
    -------
    dict
        ``label``, ``approval``, ``rois`` (name, type, contours, planes, volumes in cc from contours and from voxels, problems) and
        ``problems`` of the whole set.
    """
    problems = list(contents.problems)
    if not contents.frame_of_reference:
        problems.append("it has no frame of reference UID")
    if contents.approval.upper() == "REJECTED":
        problems.append("somebody rejected it (ApprovalStatus)")
    by_uid: dict[tuple[str, int | None], int] = {}
    if series is not None:
        by_uid = {(s.instance, s.number): k for k, s in enumerate(series.slices)}
        if foreign_patient(contents.patient_id, series):
            problems.append("it is of another patient than the series (PatientID differs)")
        if contents.series_uid != series.header.series_uid:
            problems.append("it refers to another series (SeriesInstanceUID differs)")
        if contents.frame_of_reference and contents.frame_of_reference != series.header.frame_of_reference:
            problems.append("its frame of reference is not that of the series")
    rois = []
    for structure in contents.structures:
        own = list(structure.problems)
        if len(structure.name) > 16:
            own.append(f"its name has {len(structure.name)} characters; TG-263 and many planning systems take 16")
        record: dict[str, Any] = {
            "name": structure.name,
            "type": structure.interpreted_type,
            "color_rgb": structure.color_rgb,
            "contours": len(structure.contours),
        }
        if structure.contours:
            planes = planes_of(structure)
            own += planes.faults
            record |= {"planes": len(planes.at), **_volumes(structure, series, own)}
            if series is not None:
                own += _references(structure, series, by_uid)
        else:
            own.append("it has no closed contour")
        rois.append(record | {"problems": own})
    return {"label": contents.label, "approval": contents.approval, "rois": rois, "problems": problems}


def _volumes(structure: Structure, series: Stack | None, problems: list[str]) -> dict[str, float | None]:
    """Volumes from contours and from voxels; adds to `problems` where they disagree or cannot be told."""
    slices = series.grid if series is not None else None
    contours = contour_volume_cc(structure, slices)
    if slices is not None:
        mask, notes = rasterise(structure, slices, slices)
        problems += notes
    elif (made := own_mask(structure)) is not None:
        mask = made
    else:
        problems.append(
            "nothing says how thick its slices are, so its volume is not known; the series that it was drawn on is needed "
            f"({option('--series')})"
        )
        return {"volume_contours_cc": None, "volume_voxels_cc": None}
    voxels = volume_cc(mask)
    if contours is not None and abs(contours - voxels) > max(UNLIKE_CC, UNLIKE * max(contours, voxels)):
        problems.append(f"its contours hold {contours:.2f} cc, its voxels {voxels:.2f} cc")
    return {"volume_contours_cc": contours, "volume_voxels_cc": voxels}


def _references(structure: Structure, series: Stack, by_uid: dict[tuple[str, int | None], int]) -> list[str]:
    """How many contours refer to no slice, to an unknown one, or to another than they lie on."""
    normal = np.reshape(series.grid.direction, (3, 3))[:, 2]
    none = unknown = wrong = 0
    for contour in structure.contours:
        if not contour.instance:
            none += 1
        elif (k := by_uid.get((contour.instance, contour.frame))) is None:
            unknown += 1
        elif abs((contour.points.mean(axis=0) - series.slices[k].position) @ normal) > 0.5 * series.grid.spacing[2]:
            wrong += 1
    return [
        f"{n} of {len(structure.contours)} contours {what}"
        for n, what in (
            (none, "refer to no image"),
            (unknown, "refer to images that are not in the series"),
            (wrong, "refer to another slice than they lie on"),
        )
        if n
    ]
