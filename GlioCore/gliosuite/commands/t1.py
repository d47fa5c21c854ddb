"""T1 mapping: ``t1``."""

import argparse
from collections.abc import Callable

from ..errors import InputError
from ..perfusion.settings import InversionSettings, T1Settings
from ..settings import add_options
from ..steps import Progress
from .series import format_option, mask_of, volumes


def register(add: Callable) -> None:
    """Add ``t1``."""
    p = add("t1", "T1 and M0 maps from a variable flip angle series")
    p.add_argument(
        "--vfa",
        required=True,
        nargs="+",
        metavar="SERIES",
        help="4-D image with one volume per flip angle, or one image each",
    )
    p.add_argument("--flip-angles", required=True, type=_numbers, metavar="DEG,DEG,...", help="flip angles in degrees")
    p.add_argument("--tr-ms", required=True, type=float, metavar="MS", help="repetition time in ms")
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


def _t1(args: argparse.Namespace, progress: Progress) -> dict:
    from ..images import read_image
    from ..perfusion.t1 import t1_maps, write

    series = volumes(args.vfa)
    settings = T1Settings(args.tr_ms, tuple(args.flip_angles), args.allow_invalid_voxels, args.linear, args.device)
    mask = mask_of(args.mask, series)
    if args.ir:
        from ..perfusion.t1 import hifi_maps

        if args.b1 or args.linear:
            raise InputError("--ir estimates B1 in a nonlinear fit; leave --b1 and --linear out")
        if args.ti_ms is None or args.ir_flip_angle is None or args.ir_pulses is None:
            raise InputError("--ir needs --ti-ms, --ir-flip-angle and --ir-pulses: how its images were taken")
        spacing = args.tr_ms if args.ir_spacing_ms is None else args.ir_spacing_ms
        train = (args.ir_flip_angle, spacing, args.ir_pulses, args.ir_recovery_ms, args.ir_centre)
        maps = hifi_maps(
            series, volumes(args.ir), InversionSettings(settings, tuple(args.ti_ms), *train), mask, progress
        )
    else:
        b1 = read_image(args.b1) if args.b1 else None
        maps = t1_maps(series, settings, b1, mask, progress)
    return {"out": args.out, **write(maps, args.out, args.format)}
