"""What is looked at before a structure set is written: findings in sentences, of which errors block."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import ndimage

from ...dicom.geometry import Stack
from ...errors import InputError, option
from ...images import Grid, boolean, change
from .writing import Roi

OLD_DAYS = 14  # chosen: cavities shrink within weeks of an operation, so planning MR is repeated within two
THICK_MM = 3.0  # chosen: planning protocols ask for 1 to 3 mm
NAME_LENGTH = 16  # TG-263, and DICOM's SH of the Structure Set Label
# PS3.3 C.8.8.8.1, those that a mask can stand for.
TYPES = (
    "GTV", "CTV", "PTV", "ORGAN", "EXTERNAL", "AVOIDANCE", "CAVITY", "TREATED_VOLUME", "IRRAD_VOLUME", "BOLUS", "CONTRAST_AGENT",
    "DOSE_REGION", "CONTROL", "SUPPORT", "FIXATION", "MARKER", "REGISTRATION",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_~^+.!-]+")


@dataclass(frozen=True)
class Finding:
    """One line of the pre-flight list: what was looked at, ``ok``, ``warning`` or ``error``, and a sentence."""

    check: str
    level: str
    sentence: str


def block(findings: Iterable[Finding]) -> None:
    """Refuse to go on where there is an error.

    Raises
    ------
    InputError
        With the sentences of all errors.
    """
    errors = [f.sentence for f in findings if f.level == "error"]
    if errors:
        raise InputError("; ".join(errors))


def check_rois(rois: Sequence[Roi], label: str) -> list[Finding]:
    """Names, types, label and emptiness: all that needs no series."""
    found: list[Finding] = []
    error = lambda check, sentence: found.append(Finding(check, "error", sentence))
    if not rois:
        error("structures", "no structure was given; an RT structure set needs at least one")
    if not 1 <= len(label) <= NAME_LENGTH or not label.isascii() or "\\" in label:
        error(
            "names",
            f"structure set label {label!r} has {len(label)} characters; 1 to {NAME_LENGTH} plain ones are needed",
        )
    seen: dict[str, str] = {}
    for roi in rois:
        if len(roi.name) > NAME_LENGTH:
            error(
                "names",
                f"ROI name {roi.name} has {len(roi.name)} characters; planning systems take at most {NAME_LENGTH} (TG-263)",
            )
        elif not _NAME.fullmatch(roi.name):
            error(
                "names",
                f"ROI name {roi.name!r} is not usable; letters, digits and _ ~ ^ + - . ! are (TG-263: no spaces)",
            )
        if roi.name.lower() in seen:
            error(
                "names", f"ROI names {seen[roi.name.lower()]} and {roi.name} are the same; each structure needs its own"
            )
        seen[roi.name.lower()] = roi.name
        if roi.interpreted_type not in TYPES:
            error("types", f"ROI {roi.name}: type {roi.interpreted_type} is not known; choose from {', '.join(TYPES)}")
        if not boolean(roi.mask).any():
            error(
                "empty",
                f"ROI {roi.name} is empty: its mask has no voxel above 0; planning systems refuse an empty structure",
            )
    checks = {f.check for f in found}
    if "names" not in checks and rois:
        found.append(
            Finding("names", "ok", f"All names have at most {NAME_LENGTH} plain characters (TG-263) and differ.")
        )
    if "empty" not in checks and rois:
        found.append(Finding("empty", "ok", "No structure is empty."))
    return found


def check_series(series: Stack, planned_on: str = "", allow_derived: bool = False) -> list[Finding]:
    """Completeness, origin, frame of reference, age and slice thickness of the series that is drawn on.

    Parameters
    ----------
    planned_on
        Date (YYYYMMDD) that the age of an MR is counted to; empty takes today.
    allow_derived
        A reformatted or secondary series (ImageType) is told, not refused.
    """
    n, step = len(series.slices), series.grid.spacing[2]
    found = [
        Finding("series", "ok", f"The {series.header.modality} series is complete: {n} slices, {step:.2f} mm apart.")
    ]
    found += _origin(series, allow_derived)
    if series.header.frame_of_reference:
        found.append(Finding("frame of reference", "ok", "All slices share one frame of reference."))
    else:
        found.append(
            Finding(
                "frame of reference",
                "warning",
                "The images have no frame of reference UID, so the structure set gets one of its own; planning systems that compare "
                "it with the images will refuse it.",
            )
        )
    if series.header.modality == "MR":
        found.append(_age(series.header.acquired, planned_on))
    thickness = round(max(step, series.header.thickness_mm or 0.0), 1)  # as it is said: 3.04 mm is no warning
    if thickness > THICK_MM:
        sentence = f"The slices are {thickness:.1f} mm thick; at most {THICK_MM:g} mm is advised for target volumes."
        found.append(Finding("slice thickness", "warning", sentence))
    else:
        found.append(Finding("slice thickness", "ok", f"The slices are {thickness:.1f} mm thick."))
    return found


# Words of ImageType (PS3.3 C.7.6.1.1.2, C.8.3.1.1.1, C.8.13.3.1.1; those of Siemens and GE too) of images whose voxels lie elsewhere than
# the scanner measured: reformats, projections, resampled volumes.
_REFORMATTED = re.compile(
    r"\b(MPR|CPR|MIP|MINIP|MAXIMUM|MINIMUM|REFORMAT\w*|RESAMPLED|PROJECTION|CURVED|VOLREN|RENDER\w*|SCREEN\w*|CSAPARALLEL)\b"
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def _origin(series: Stack, allow_derived: bool) -> list[Finding]:
    """Whether the series is the scanner's own: copies are refused, derived planning images are told."""
    kinds = sorted({s.header.object_type for s in series.series.slices if s.header.object_type[:1] == ("DERIVED",)})
    captured = series.header.sop_class.startswith(_SECONDARY_CAPTURE)
    if not kinds and not captured:
        return []
    named = "/".join(kinds[0]) if kinds else "a secondary capture"
    # DERIVED/PRIMARY alone is what scanners write of images that they have corrected (distortion, intensity) before they leave it.
    copied = captured or any(
        k[1:2] == ("SECONDARY",) or _REFORMATTED.search(" ".join(k[2:]).replace("_", " ")) for k in kinds
    )
    if copied and not allow_derived:
        return [
            Finding(
                "origin",
                "error",
                f"{series.folder} holds a derived series (ImageType {named}), a reformat or a secondary copy; planning systems refuse "
                "contours on one, so the original series of the scanner is needed. Where this is the series that is planned on, allow it: "
                f"{option('--allow-derived')}",
            )
        ]
    allowed = ", and it was allowed" if allow_derived else ""
    return [
        Finding(
            "origin",
            "warning",
            f"This is a derived series (ImageType {named}){allowed}; a planning system may refuse contours on it unless it is the series "
            "that is planned on.",
        )
    ]


def _age(acquired: str, planned_on: str) -> Finding:
    days = None
    if re.fullmatch(r"\d{8}", acquired):
        moment = lambda text: date(int(text[:4]), int(text[4:6]), int(text[6:]))
        try:
            days = abs((moment(planned_on) if planned_on else date.today()) - moment(acquired)).days
        except ValueError:
            days = None
    if days is None:
        return Finding(
            "age", "warning", f"The MR has no date, so it is not known whether it is older than {OLD_DAYS} days."
        )
    told = f"{days} {'day' if days == 1 else 'days'}"
    sentence = f"The MR and the planning CT are {told} apart" if planned_on else f"The MR is {told} old"
    if days > OLD_DAYS:
        advice = f"a cavity moves and shrinks within weeks, so one of at most {OLD_DAYS} days is advised"
        return Finding("age", "warning", f"{sentence}; {advice}.")
    return Finding("age", "ok", f"{sentence}.")


def check_masks(
    rois: Sequence[Roi], masks: Sequence[np.ndarray], beyond: Sequence[float], series: Stack
) -> list[Finding]:
    """Grids, overlap with the slices, and holes, once the masks (z, y, x) lie on the series' grid.

    Parameters
    ----------
    beyond
        Share of each structure that lies outside the slices, 0-1.
    """
    found = []
    outside = [roi.name for roi, mask in zip(rois, masks) if not mask.any()]
    if outside:
        one = len(outside) == 1
        what, of, needed = (
            (f"ROI {outside[0]} does", "it", "a mask") if one else (f"ROIs {', '.join(outside)} do", "them", "masks")
        )
        found.append(
            Finding(
                "overlap",
                "error",
                f"{what} not overlap the series in {series.folder}: no voxel of {of} lies on the slices; "
                f"{needed} of the same patient and position {'is' if one else 'are'} needed",
            )
        )
    for roi, mask, share in zip(rois, masks, beyond):
        found += _carried(roi, mask, series)
        if not mask.any():
            continue
        if share > 0.001:
            volume = share * float(boolean(roi.mask).sum()) * Grid.of(roi.mask).voxel_cc
            found.append(
                Finding(
                    "overlap",
                    "warning",
                    f"ROI {roi.name}: {100 * share:.1f} % of it ({volume:.2f} cc) lies outside the slices and is not written",
                )
            )
        count, size = _holes(mask)
        if count:
            found.append(
                Finding(
                    "holes",
                    "warning",
                    f"ROI {roi.name} has {count} {'hole' if count == 1 else 'holes'} within slices "
                    f"({size * series.grid.voxel_cc:.2f} cc); they are written as keyholes, which readers keep open.",
                )
            )
    checks = {f.check for f in found}
    if "overlap" not in checks:
        found.append(Finding("overlap", "ok", "All structures lie on the slices."))
    if "holes" not in checks:
        found.append(Finding("holes", "ok", "No structure has holes within a slice."))
    return found


def _carried(roi: Roi, mask: np.ndarray, series: Stack) -> list[Finding]:
    """What becomes of a mask on another grid than the series; one with the series' own number of voxels may have lost its place."""
    unlike, sentence = change(roi.mask, series.grid.image(mask), f"ROI {roi.name}", "the series")
    return [Finding("grid", "warning" if unlike else "ok", f"{sentence}.")] if sentence else []


def _holes(mask: np.ndarray) -> tuple[int, int]:
    """Holes within slices, and their voxels."""
    count = size = 0
    for plane in mask[mask.any(axis=(1, 2))]:
        rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        part = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Outlines come apart at corners, so what is around reaches a hole through a corner: 8-connected background.
        around, _ = ndimage.label(np.pad(~part, 1, constant_values=True), np.ones((3, 3)))
        holes = around[around > 1]
        if holes.size:
            count += int(around.max()) - 1
            size += int(holes.size)
    return count, size
