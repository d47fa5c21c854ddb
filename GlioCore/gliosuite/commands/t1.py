"""T1 mapping: ``t1``."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError, together
from ..perfusion.settings import InversionSettings, T1Settings
from ..settings import add_options
from ..steps import Progress, part
from .series import format_option, mask_of, volumes

if TYPE_CHECKING:
    from ..images import Series


def register(add: Callable) -> None:
    """Add ``t1``."""
    p = add("t1", "T1 and M0 maps from a variable flip angle series")
    p.add_argument(
        "--vfa",
        required=True,
        nargs="+",
        metavar="SERIES",
        help="4-D image with one volume per flip angle, or one image or DICOM folder each, or one DICOM folder with a series each",
    )
    p.add_argument(
        "--flip-angles",
        type=_numbers,
        metavar="DEG,DEG,...",
        help="flip angles in degrees (default: as the DICOM files say)",
    )
    p.add_argument("--tr-ms", type=float, metavar="MS", help="repetition time in ms (default: as the DICOM files say)")
    p.add_argument("--b1", metavar="B", help="map of actual over nominal flip angle (default 1)")
    p.add_argument(
        "--ir",
        nargs="+",
        metavar="SERIES",
        help="inversion-prepared images (4-D, or one each): T1 and B1 are fitted together (DESPOT1-HIFI) and b1 is written",
    )
    p.add_argument(
        "--ti-ms", type=_numbers, metavar="MS,MS,...", help="inversion to first pulse, one per image of --ir"
    )
    p.add_argument("--ir-flip-angle", type=float, metavar="DEG", help="flip angle of the pulses after the inversion")
    p.add_argument("--ir-pulses", type=int, metavar="N", help="pulses after each inversion")
    p.add_argument("--ir-spacing-ms", type=float, metavar="MS", help="spacing of those pulses (default --tr-ms)")
    add_options(p, InversionSettings, "recovery_ms", "centre")
    p.add_argument(
        "--onto",
        metavar="SERIES",
        help="the DCE series (4-D image or DICOM folder) that T1 is for: the volumes are aligned to its first frames, and T1 has its grid",
    )
    p.add_argument(
        "--motion",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="lay each volume onto the brightest, or --onto, before T1 is fitted (default: yes; not with --ir)",
    )
    p.add_argument("--mask", metavar="M", help="voxels to fit (default: the head, found automatically)")
    add_options(p, T1Settings, "allow_invalid_voxels", "linear")
    format_option(p)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for t1 (s), m0, mask; b1 with --ir")
    p.set_defaults(run=_t1)


def _numbers(text: str) -> list[float]:
    try:
        return [float(v) for v in text.replace(";", ",").split(",") if v.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 2,5,10") from error


_SAME_DEG = 0.1  # between what is given and what headers say; chosen, headers round


def _flip_angles(
    given: list[float] | None, known: list[float] | None, ordered: bool, series: "Series"
) -> tuple[float, ...]:
    """Flip angles in degrees, one per volume: those of the headers where they are known, which must be the ones given.

    `ordered`: in the order of the volumes, which the user chose; the series of one folder have none.
    """
    if not isinstance(known, list):  # a header that has one for all says nothing
        known = None
    if given is None and known is None:
        raise InputError(f"{series.name}: the flip angles are not known; give them with --flip-angles")
    if given is None or known is None:
        return tuple(given or known or ())
    pairs = zip(given, known) if ordered else zip(sorted(given), sorted(known))
    if len(given) != len(known) or any(abs(a - b) > _SAME_DEG for a, b in pairs):
        said, found = (", ".join(f"{a:g}" for a in angles) for angles in (given, known))
        raise InputError(
            f"--flip-angles gives {said} degrees, and the DICOM files of {series.name} have {found} degrees"
            f"{', in this order' if ordered else ''}; the same are needed, or none given"
        )
    return tuple(known)


def _t1(args: argparse.Namespace, progress: Progress) -> dict:
    from ..images import read_image
    from ..perfusion.t1 import t1_maps, write

    series, known = volumes(args.vfa, flip_angles=True)
    of_headers = known.get("flip_angle_deg")
    together(
        lambda: _repetition_time(args, known, series),
        lambda: _flip_angles(args.flip_angles, of_headers, len(args.vfa) > 1, series),
        lambda: _inversion_options(args),
    )
    tr_ms = _repetition_time(args, known, series)
    angles = _flip_angles(args.flip_angles, of_headers, len(args.vfa) > 1, series)
    settings = T1Settings(tr_ms, angles, args.allow_invalid_voxels, args.linear, args.device)
    series, notes = _placed(args, series, part(progress, 0.0, 0.6))
    progress = part(progress, 0.6, 1.0)
    mask = mask_of(args.mask, series)
    if args.ir:
        from ..perfusion.t1 import hifi_maps

        spacing = tr_ms if args.ir_spacing_ms is None else args.ir_spacing_ms
        train = (args.ir_flip_angle, spacing, args.ir_pulses, args.ir_recovery_ms, args.ir_centre)
        maps = hifi_maps(
            series, volumes(args.ir)[0], InversionSettings(settings, tuple(args.ti_ms), *train), mask, progress
        )
    else:
        b1 = read_image(args.b1) if args.b1 else None
        maps = t1_maps(series, settings, b1, mask, progress)
    maps = replace(maps, notes=[*notes, *maps.notes])
    return {"out": args.out, **write(maps, args.out, args.format)}


def _repetition_time(args: argparse.Namespace, known: dict[str, Any], series: "Series") -> float:
    tr_ms = args.tr_ms if args.tr_ms is not None else known.get("tr_ms")
    if tr_ms is None:
        raise InputError(f"{series.name}: the repetition time is not known; give it with --tr-ms")
    return float(tr_ms)


def _inversion_options(args: argparse.Namespace) -> None:
    if not args.ir:
        return
    if args.b1 or args.linear:
        raise InputError("--ir estimates B1 in a nonlinear fit; leave --b1 and --linear out")
    if args.ti_ms is None or args.ir_flip_angle is None or args.ir_pulses is None:
        raise InputError("--ir needs --ti-ms, --ir-flip-angle and --ir-pulses: how its images were taken")


def _placed(args: argparse.Namespace, series: "Series", progress: Progress) -> tuple["Series", list[str]]:
    """The volumes where the head is to lie, and what is to be said of it."""
    from ..curves import before_bolus
    from ..registration.motion import align_flip_angles, align_onto

    if args.onto:
        if args.ir or not args.motion:
            raise InputError("--onto moves each volume of --vfa; leave --ir and --no-motion out")
        target = volumes([args.onto])[0]
        aligned = align_onto(series, before_bolus(target), progress)
        return aligned.series, [f"each volume was aligned to {target.name}, by up to {aligned.largest_mm:.1f} mm"]
    if args.ir or not args.motion:
        return series, []
    try:
        aligned = align_flip_angles(series, progress)
    except InputError as error:
        return series, [f"the volumes were used in their own positions: {error}"]
    return aligned.series, [f"each volume was aligned to the brightest, by up to {aligned.largest_mm:.1f} mm"]
