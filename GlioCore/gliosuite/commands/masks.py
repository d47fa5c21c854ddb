"""Masks as commands take them: an image file, or a structure of an RT structure set, on the grid of the result."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..dicom.geometry import Stack
    from ..images import Grid

MASK = "an image file, FILE:2 for one label of it, or RS.dcm:ROI for a structure of an RT structure set"


def add_geometry(p: argparse.ArgumentParser, default: str) -> None:
    """Add ``--image`` and ``--series``, which say on which grid masks are put."""
    p.add_argument("--image", metavar="I", help=f"image whose grid the result gets ({default})")
    p.add_argument(
        "--series",
        metavar="DIR",
        help="DICOM series that RS.dcm:ROI masks were drawn on (default: contours are taken by position alone)",
    )


def in_structure_set(text: str) -> tuple[str, str] | None:
    """``RS.dcm:ROI`` as file and ROI; None for anything else.

    It is split at the last colon that comes after the name of a DICOM file that exists, whatever its ending (a ROI's name may hold
    ``.dcm:`` too); where there is none, after the last ``.dcm:``.
    """
    if ":" not in text or Path(text).is_file():
        return None
    at = len(text)
    while (at := text.rfind(":", 0, at)) > 0:
        if Path(text[:at]).is_file():
            from ..dicom.headers import is_dicom

            if is_dicom(Path(text[:at])):
                return text[:at], text[at + 1 :]
    at = text.lower().rfind(".dcm:")
    return None if at < 0 else (text[: at + 4], text[at + 5 :])


def require_one_patient(masks: Iterable[str | None], series: str | None, *more: tuple[Path, str, str]) -> None:
    """Refuse structure sets of different patients, or in different frames of reference, in one command.

    Parameters
    ----------
    masks
        As commands take them; image files say nothing of their patient.
    series
        Folder of the DICOM series that they were drawn on.
    more
        Other files: path, PatientID, FrameOfReferenceUID.

    Raises
    ------
    InputError
        If two of them differ where both say.
    """
    from ..dicom.geometry import read_stack
    from ..rt.rtstruct import read_structures

    sources = {inside[0] for m in masks if m and (inside := in_structure_set(m))}
    sets = [read_structures(f) for f in sorted(sources)]
    found = [(c.path, c.patient_id, c.frame_of_reference) for c in sets]
    if series and (found or more):
        placed = read_stack(series, sets[0].series_uid if sets else None)
        patient = str(placed.identity.get("PatientID", "") or "")
        found.append((Path(series), patient, placed.header.frame_of_reference))
    found += more
    one = {str(path): patient.strip() for path, patient, _ in found if patient.strip()}
    for path, patient in one.items():
        if patient != next(iter(one.values())):
            raise InputError(
                f"{path} and {next(iter(one))} are of different patients (PatientID differs); one patient is needed"
            )
    one = {str(path): frame.strip() for path, _, frame in found if frame.strip()}
    for path, frame in one.items():
        if frame != next(iter(one.values())):
            raise InputError(
                f"{path} lies in another frame of reference than {next(iter(one))}, so that positions do not compare; files drawn or "
                "planned on the same images are needed"
            )


def grid_of_masks(args: argparse.Namespace, masks: list[str]) -> "Grid":
    """The grid of the result: the image's, else the first mask file's, else the series'."""
    from ..dicom.geometry import read_stack
    from ..images import Grid, chosen, read_image

    if args.image:
        return Grid.of(read_image(args.image))
    for text in masks:
        if not in_structure_set(text):
            return Grid.of(read_image(chosen(text)[0]))
    if not args.series:
        raise InputError(
            f"{masks[0]} has no grid of its own; --image or --series is needed where masks come from a structure set"
        )
    return read_stack(args.series).grid


def mask_on(text: str, grid: "Grid", series: "str | Stack | None") -> "sitk.Image":
    """A mask on a grid, from an image file or from a structure set; `series` is what it was drawn on, or its folder."""
    from ..dicom.geometry import Stack, read_stack
    from ..images import read_mask
    from ..rt.rtstruct import on_grid, read_structures, require_same_frame, require_same_patient

    inside = in_structure_set(text)
    if inside is None:
        return read_mask(text, grid)
    contents = read_structures(inside[0])
    placed = None
    if series:
        placed = series if isinstance(series, Stack) else read_stack(series, contents.series_uid)
        require_same_patient(contents.patient_id, placed, inside[0])
        require_same_frame(contents.frame_of_reference, placed, inside[0])
    return on_grid(contents, inside[1], grid, placed)


def described(text: str, grid: "Grid | None", series: "str | Stack | None") -> tuple["sitk.Image", str]:
    """A mask as it lies, and how it came about: from the JSON that ``ctv`` writes beside it, else from what the image says of itself."""
    from ..files import read_json
    from ..images import DRAFT, chosen, is_draft, read_image, read_mask, said_of, suffix

    inside = in_structure_set(text)
    if inside is not None:
        assert grid is not None  # that of the series, which a structure of a set is drawn on
        draft = f"{DRAFT}, " if is_draft(_said(text)) else ""
        return mask_on(text, grid, series), f"{draft}{inside[1]} of {Path(inside[0]).name}"
    path = Path(chosen(text)[0])
    says = said_of(read_image(path))
    beside = path.with_name(path.name[: len(path.name) - len(suffix(path) or "")] + ".json")
    if beside.is_file():
        record = read_json(beside)
        record = record if isinstance(record, dict) else {}
        targets = record.get("targets") or []
        # A NIfTI header holds 80 characters, too few for a rule with its model, threshold and barriers.
        found = [t for t in targets if says.startswith(f"{t.get('name')}:")] or targets[:1]
        if found:
            dose = f", {found[0]['dose']}" if found[0].get("dose") else ""
            says = f"{record.get('title', '')} ({record.get('year', '')}){dose}: {found[0].get('how', '')}"
    return read_mask(text), says


def drafts_among(masks: Mapping[str, str | None]) -> list[str]:
    """Names of those masks whose files, or whose ROIs' descriptions, say that they are drafts."""
    from ..images import is_draft

    return [n for n, m in masks.items() if m and is_draft(_said(m))]


def _said(text: str) -> str:
    """What a mask's file says of it."""
    from ..images import chosen, read_image, said_of
    from ..rt.rtstruct import read_structures

    inside = in_structure_set(text)
    if inside is None:
        return said_of(read_image(chosen(text)[0]))
    return read_structures(inside[0]).find(inside[1]).description
