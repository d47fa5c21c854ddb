"""``import``: a DICOM folder or a BIDS subject becomes a case folder."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from ..errors import InputError


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``import``."""
    p = add(
        "import",
        "sort a DICOM folder (or a BIDS subject) into a case folder, giving each series its role by its attributes",
        epilog="Roles: t1 t1c t2 flair dti adc fa dce dsc vfa b1 cho cre naa lac lip cni ccri crni ct dose; RT structure sets, "
        "registrations and segmentations are listed.\n"
        "case.json holds no patient name, number, birth date or calendar date unless --keep-identity.",
    )
    p.add_argument(
        "source",
        metavar="SRC",
        help="a folder with DICOM files of one patient (any mix of series, nested), or a BIDS subject",
    )
    p.add_argument("--out", metavar="CASE", help="the case folder to write (needed unless --dry-run)")
    p.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing; print which role each series gets and why (table on stderr, JSON on stdout)",
    )
    p.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="ROLE=SERIES",
        help="choose a role's series by its number in the table (1/2: series 2 of visit 1); may be repeated (default: by attributes)",
    )
    p.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="SERIES",
        help="leave a series out; may be repeated (default none)",
    )
    p.add_argument(
        "--baseline",
        metavar="DATE|N",
        help="the baseline visit, by date (YYYYMMDD) or number from 1; earlier ones are left out (default the earliest)",
    )
    p.add_argument("--id", dest="case_id", metavar="NAME", help="name of the case (default the name of CASE)")
    p.add_argument(
        "--keep-identity",
        action="store_true",
        help="write the patient's name, number, birth date and study dates into case.json (default not)",
    )
    p.set_defaults(run=_import)


def _import(args: argparse.Namespace, progress: Callable[[float, str], None]) -> dict[str, Any]:
    roles = _roles(args.role)
    if not args.out and not args.dry_run:
        raise InputError("--out CASE is needed (or --dry-run to see what there is)")
    from pathlib import Path

    from ..dicom.bids import is_bids

    if is_bids(args.source):
        if roles or args.skip or args.baseline or args.dry_run:
            raise InputError(
                f"{args.source} is a BIDS subject, whose file names give the roles; --role, --skip, --baseline and --dry-run are for DICOM"
            )
        from ..dicom.bids import import_bids

        case = import_bids(args.source, args.out, args.case_id, args.keep_identity, progress)
        return {"case": args.out, "id": case.id, "roles": list(case.images), "notes": case.data["notes"]}
    if args.dry_run:
        return _dry_run(args, roles, progress)
    from ..dicom.importing import import_study

    result = import_study(
        Path(args.source), Path(args.out), args.case_id, roles, args.baseline, args.skip, args.keep_identity, progress
    )
    return {"case": args.out, "id": result.case.id, **result.found, "notes": list(result.notes)}


def _roles(options: list[str]) -> dict[str, str]:
    """``ROLE=SERIES`` options as role -> series."""
    from ..dicom.study import IMAGE_ROLES

    roles: dict[str, str] = {}
    for option in options:
        role, _, series = option.partition("=")
        if not series or role not in IMAGE_ROLES:
            raise InputError(f"--role {option} is not ROLE=SERIES with a role out of {', '.join(IMAGE_ROLES)}")
        if role in roles:
            raise InputError(f"--role {role} is given twice; one series per role is needed")
        roles[role] = series
    return roles


def _dry_run(args: argparse.Namespace, roles: dict[str, str], progress: Callable[[float, str], None]) -> dict[str, Any]:
    from ..dicom.study import scan

    study = scan(args.source, roles, args.baseline, args.skip, progress=progress)
    found = study.table(args.keep_identity)
    say = getattr(progress, "say", lambda line: print(line, file=sys.stderr))  # on lines of their own, also below a bar
    for visit in found["visits"]:
        when = visit.get("date") or f"day {visit['days']}"
        say(f"visit {visit['visit']} ({when})")
        for s in visit["series"]:
            size = "x".join(map(str, [*s["size"], s["time_points"]])) if "size" in s else f"{s['files']} files"
            say(f"  {s['series']:>8}  {s['role'] or '-':9} {size:18} {s['description'][:40]:40}  {s['why']}")
    return found | {"losses": [s["problem"] for visit in found["visits"] for s in visit["series"] if s["problem"]]}
