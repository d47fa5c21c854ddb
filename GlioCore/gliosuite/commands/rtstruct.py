"""``rtstruct``."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .masks import MASK, described, in_structure_set, require_one_patient

if TYPE_CHECKING:
    from ..dicom.geometry import Stack

Progress = Callable[[float, str], None]


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``rtstruct``."""
    p = add(
        "rtstruct",
        "RT structure set that refers to the original DICOM series; --check re-reads any",
        description="Write masks as an RT structure set that refers to the original images, slice by slice; it is read back and compared "
        "before it appears, and a pre-flight list says what was looked at. On a planning CT: --series CT with --transform and "
        "--accepted-by. On the MR with a registration object beside it: --series MR with --planning CT and --registration too. "
        f"A mask is {MASK}.",
    )
    p.add_argument("--series", metavar="DIR", help="folder of the CT or MR series that the contours are drawn on")
    p.add_argument(
        "--series-uid", metavar="UID", help="SeriesInstanceUID, where the folder holds several series (default the one)"
    )
    p.add_argument(
        "--append",
        metavar="RS.dcm",
        help="an existing structure set of the series: its structures go into the new file too, contours as they are (default none)",
    )
    p.add_argument(
        "--roi",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME:TYPE=MASK",
        help="a structure: name (at most 16 characters), type (GTV CTV PTV ORGAN ...) and mask; may be repeated",
    )
    p.add_argument(
        "--label",
        metavar="TEXT",
        help="structure set label, at most 16 characters (default GlioSuite, with --append that of the existing set)",
    )
    p.add_argument(
        "--smooth",
        action="store_true",
        help="rounded contours with the voxels' area, to 0.2 %% (default: along voxel edges, which read back voxel by voxel)",
    )
    p.add_argument(
        "--transform",
        metavar="T.tfm",
        help="rigid registration of the MR (moving) to the planning CT (fixed), as gliosuite register writes it",
    )
    p.add_argument(
        "--accepted-by", metavar="NAME", help="who looked at the registration and accepts it; needed with --transform"
    )
    p.add_argument("--planning", metavar="DIR", help="planning CT that --registration ties the MR of --series to")
    p.add_argument(
        "--registration",
        metavar="REG.dcm",
        help="write --transform as a DICOM Spatial Registration object (default not)",
    )
    p.add_argument(
        "--allow-derived",
        action="store_true",
        help="draw on a series that is marked as a reformat or a secondary copy too (default it is refused)",
    )
    p.add_argument(
        "--drafts-accepted-by",
        metavar="NAME",
        help="who has looked at the structures that are drafts and accepts them (default nobody, and the file calls them drafts)",
    )
    p.add_argument("--seg", metavar="SEG.dcm", help="write the structures as a DICOM segmentation too (default not)")
    p.add_argument("--out", metavar="RS.dcm", help="the structure set to write")
    p.add_argument(
        "--check",
        metavar="RS.dcm",
        help="read a structure set and report volumes and problems; with --series its references too",
    )
    p.set_defaults(run=_rtstruct)


def _rtstruct(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import contextlib

    from ..dicom.geometry import read_stack
    from ..files import atomic
    from ..images import accepting, is_draft
    from ..rt.rtstruct import Finding, Roi, accepted_registration, export_rtstruct, read_structures, write_registration
    from ..steps import heard

    if args.check:
        return _check(args)
    for option, value in (("--series", args.series), ("--roi", args.roi), ("--out", args.out)):
        if not value:
            raise InputError(
                f"{option} is missing; --series DIR, --roi NAME:TYPE=MASK and --out RS.dcm are needed, or --check RS.dcm"
            )
    if bool(args.planning) != bool(args.registration):
        raise InputError("--planning and --registration belong together; one of them is missing")
    if not args.transform and (args.accepted_by or args.registration):
        raise InputError(
            "--transform is missing; --accepted-by and --registration need the registration that they are about"
        )
    drafts_accepted_by = accepting(args.drafts_accepted_by)
    accepted = accepted_registration(args.transform, args.accepted_by) if args.transform else None
    named = [_roi(text) for text in args.roi]
    require_one_patient([*(p for *_, p in named)], None)
    series = _series(args)
    if accepted and not args.registration and any(in_structure_set(p) for *_, p in named):
        raise InputError(
            "a structure of a structure set cannot be carried by --transform; write it as an image on its own series first"
        )
    rois = []
    with heard() as said:
        for name, kind, path in named:
            mask, description = described(path, series.grid, series)
            rois.append(Roi(name, mask, kind, None, description, draft=is_draft(description)))
    progress(0.3, "contours")
    label = args.label or (read_structures(args.append).label[:16] if args.append else "") or "GlioSuite"
    result: dict[str, Any] = {"rtstruct": args.out}
    with contextlib.ExitStack() as stack:  # all of them or none
        beside = stack.enter_context(atomic(args.registration)) if args.registration else None
        planned_on = ""
        if beside is not None:
            assert accepted is not None  # refused above where it is missing
            planning = read_stack(args.planning)
            write_registration(beside, series, planning, accepted)
            result["registration"], planned_on = args.registration, planning.header.acquired
        carry = None if beside is not None else accepted
        exported = export_rtstruct(
            args.out,
            series,
            rois,
            label,
            args.smooth,
            carry,
            args.seg,
            planned_on,
            args.allow_derived,
            args.append,
            timed=True,
            drafts_accepted_by=drafts_accepted_by,
        )
    if args.seg:
        result["seg"] = args.seg
    findings = [*(Finding("mask", "warning", f"{sentence}.") for sentence in said), *exported.findings]
    return result | {"label": exported.label, "rois": exported.rois, "preflight": findings}


def _check(args: argparse.Namespace) -> dict[str, Any]:
    from ..rt.rtstruct import check_structures, read_structures

    if args.roi or args.out:
        raise InputError("--check reads a structure set and takes neither --roi nor --out")
    contents = read_structures(args.check)
    series = _series(args, contents.series_uid) if args.series else None
    report = check_structures(contents, series)
    losses = [f"{args.check}: {p}" for p in report["problems"]]
    losses += [f"{args.check}:{roi['name']}: {p}" for roi in report["rois"] for p in roi["problems"]]
    return {"checked": args.check, **report, "losses": losses}


def _series(args: argparse.Namespace, otherwise: str | None = None) -> "Stack":
    """The series of ``--series`` and ``--series-uid``; `otherwise` is the UID to look for where none is asked for."""
    from ..dicom.geometry import read_stack

    return read_stack(args.series, args.series_uid or otherwise, required=bool(args.series_uid))


def _roi(text: str) -> tuple[str, str, str]:
    head, found, path = text.partition("=")
    name, colon, kind = head.partition(":")
    if not (found and colon and name and kind and path):
        raise InputError(f"--roi {text} is not of the form NAME:TYPE=MASK, e.g. CTV_6000:CTV=ctv.nii.gz")
    return name, kind, path
