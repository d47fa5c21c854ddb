"""What an RT structure set holds and what is wrong with it, in sentences: for any file, ours or not."""

from typing import Any

import numpy as np

from ...dicom.geometry import Stack
from ...images import volume_cc
from .reading import Structure, StructureSet, contour_volume_cc, own_mask, planes_of, rasterise


def check_structures(contents: StructureSet, series: Stack | None = None) -> dict[str, Any]:
    """What a structure set holds and what is wrong with it.

    Returns
    -------
    dict
        ``label``, ``approval``, ``rois`` (name, type, contours, planes, volumes in cc from contours and from voxels, problems) and
        ``problems`` of the whole set.
    """
    problems = []
    names = [s.name for s in contents.structures]
    if len(set(names)) < len(names):
        problems.append("two ROIs have the same name")
    if not contents.frame_of_reference:
        problems.append("it has no frame of reference UID")
    by_uid: dict[tuple[str, int | None], int] = {}
    if series is not None:
        by_uid = {(s.instance, s.number): k for k, s in enumerate(series.slices)}
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
            mask, notes = rasterise(structure, series.grid) if series is not None else (own_mask(structure), [])
            planes = planes_of(structure)
            own += notes
            if planes.flatness > 0.05:
                own.append(f"its contours leave their plane by up to {planes.flatness:.2f} mm")
            if series is not None:
                own += _references(structure, series, by_uid)
            spacing = series.grid.spacing[2] if series is not None and planes.spacing is None else None
            record |= {
                "planes": len(planes.at),
                "volume_contours_cc": contour_volume_cc(structure, spacing),
                "volume_voxels_cc": volume_cc(mask),
            }
        else:
            own.append("it has no closed contour")
        rois.append(record | {"problems": own})
    return {"label": contents.label, "approval": contents.approval, "rois": rois, "problems": problems}


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
