"""``rtstruct``."""

import argparse
from collections.abc import Callable
from typing import Any

from ..errors import InputError
from .masks import MASK, described, in_structure_set

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
        "--roi",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME:TYPE=MASK",
        help="a structure: name (at most 16 characters), type (GTV CTV PTV ORGAN ...) and mask; may be repeated",
    )
    p.add_argument(
        "--label",
        default="GlioSuite",
        metavar="TEXT",
        help="structure set label, at most 16 characters (default GlioSuite)",
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
    from ..rt.rtstruct import Roi, accepted_registration, export_rtstruct, write_registration

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
    accepted = accepted_registration(args.transform, args.accepted_by) if args.transform else None
    named = [_roi(text) for text in args.roi]
    series = read_stack(args.series) if args.registration or any(in_structure_set(p) for *_, p in named) else None
    if accepted and not args.registration and any(in_structure_set(p) for *_, p in named):
        raise InputError(
            "a structure of a structure set cannot be carried by --transform; write it as an image on its own series first"
        )
    rois = []
    for name, kind, path in named:
        mask, description = described(path, series.grid if series else None, args.series)
        rois.append(Roi(name, mask, kind, None, description))
    progress(0.3, "contours")
    result: dict[str, Any] = {"rtstruct": args.out, "label": args.label}
    with contextlib.ExitStack() as stack:  # all of them or none
        beside = stack.enter_context(atomic(args.registration)) if args.registration else None
        planned_on = ""
        if beside is not None:
            assert series is not None
            assert accepted is not None  # refused above where it is missing
            planning = read_stack(args.planning)
            write_registration(beside, series, planning, accepted)
            result["registration"], planned_on = args.registration, planning.header.acquired
        carry = None if beside is not None else accepted
        exported = export_rtstruct(
            args.out,
            series or args.series,
            rois,
            args.label,
            args.smooth,
            carry,
            args.seg,
            planned_on,
            args.allow_derived,
        )
    if args.seg:
        result["seg"] = args.seg
    return result | {"rois": exported.rois, "preflight": exported.findings}


def _check(args: argparse.Namespace) -> dict[str, Any]:
    from ..dicom.geometry import read_stack
    from ..rt.rtstruct import check_structures, read_structures

    if args.roi or args.out:
        raise InputError("--check reads a structure set and takes neither --roi nor --out")
    contents = read_structures(args.check)
    series = read_stack(args.series, contents.series_uid) if args.series else None
    report = check_structures(contents, series)
    losses = [f"{args.check}: {p}" for p in report["problems"]]
    losses += [f"{args.check}:{roi['name']}: {p}" for roi in report["rois"] for p in roi["problems"]]
    return {"checked": args.check, **report, "losses": losses}


def _roi(text: str) -> tuple[str, str, str]:
    head, found, path = text.partition("=")
    name, colon, kind = head.partition(":")
    if not (found and colon and name and kind and path):
        raise InputError(f"--roi {text} is not of the form NAME:TYPE=MASK, e.g. CTV_6000:CTV=ctv.nii.gz")
    return name, kind, path
