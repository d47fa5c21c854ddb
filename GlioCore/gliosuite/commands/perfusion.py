"""T1 mapping, arterial input functions, DCE and DSC maps: ``t1``, ``aif``, ``dce``, ``dsc``."""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..steps import Progress

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..images import Series


def register(add: Callable) -> None:
    """Add ``t1``, ``aif``, ``dce`` and ``dsc``."""
    _register_t1(add)
    _register_aif(add)
    _register_dce(add)
    _register_dsc(add)


def _numbers(text: str) -> list[float]:
    try:
        return [float(v) for v in text.replace(";", ",").split(",") if v.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 2,5,10") from error


def _bounds(text: str) -> tuple[str, tuple[float, float]]:
    try:
        name, values = text.split("=")
        low, high = (float(v) for v in values.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=LOW,HIGH such as ktrans=0,5") from error
    return name, (low, high)


def _signal_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("series", metavar="SERIES", help="4-D image (NIfTI, NRRD, MHA) or a DICOM folder")
    p.add_argument(
        "--times", metavar="FILE", help="text file with one time in s per frame, or a CSV with a column time_s"
    )
    p.add_argument("--dt", type=float, metavar="S", help="frame interval in s, in place of --times")
    p.add_argument("--tr-ms", type=float, metavar="MS", help="repetition time in ms (default: as the DICOM files say)")
    p.add_argument(
        "--mask",
        metavar="M|brain",
        help="voxels to fit, on any grid; brain: the brain, found on the series' mean (default: the head, found automatically)",
    )
    p.add_argument(
        "--allow-invalid-voxels",
        action="store_true",
        help="leave voxels with NaN or negative signal out instead of refusing",
    )


def _dce_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--flip-angle", type=float, metavar="DEG", help="flip angle in degrees (default: as the DICOM files say)"
    )
    p.add_argument(
        "--t10", default="1.0", metavar="S or T1MAP", help="T1 before contrast in s, or a map in s (default 1.0)"
    )
    p.add_argument(
        "--t10-blood", type=float, default=1.65, metavar="S", help="T1 of blood in s for the AIF (default 1.65)"
    )
    p.add_argument("--hematocrit", type=float, metavar="F", help="fraction; no effect on an AIF table (default 0.42)")
    p.add_argument("--relaxivity", type=float, default=4.5, metavar="R1", help="relaxivity in 1/(mM s) (default 4.5)")


def _register_t1(add: Callable) -> None:
    p = add("t1", "T1 and M0 maps from a variable flip angle series")
    p.add_argument("--vfa", required=True, metavar="SERIES", help="4-D image with one volume per flip angle")
    p.add_argument("--flip-angles", required=True, type=_numbers, metavar="DEG,DEG,...", help="flip angles in degrees")
    p.add_argument("--tr-ms", required=True, type=float, metavar="MS", help="repetition time in ms")
    p.add_argument("--b1", metavar="B", help="map of actual over nominal flip angle (default 1)")
    p.add_argument("--mask", metavar="M", help="voxels to fit (default: the head, found automatically)")
    p.add_argument("--allow-invalid-voxels", action="store_true", help="leave voxels with NaN or negative signal out")
    p.add_argument("--linear", action="store_true", help="straight line instead of the nonlinear fit (biased by noise)")
    p.add_argument(
        "--format", choices=("nii.gz", "nrrd"), default="nii.gz", help="file format of the maps (default nii.gz)"
    )
    p.add_argument("--out", required=True, metavar="DIR", help="folder for t1 (s), m0, mask")
    p.set_defaults(run=_t1)


def _register_aif(add: Callable) -> None:
    p = add("aif", "arterial input function of a DCE or DSC series as a table")
    _signal_options(p)
    _dce_options(p)
    p.add_argument("--kind", choices=("dce", "dsc"), required=True, help="what the series is")
    p.add_argument(
        "--method",
        choices=("auto", "manual", "population"),
        default="auto",
        help="manual: the mean over --roi (default auto)",
    )
    p.add_argument("--roi", metavar="MASK", help="mask of the artery for --method manual")
    p.add_argument("--te-ms", type=float, metavar="MS", help="echo time in ms (DSC)")
    p.add_argument(
        "--input", choices=("signal", "concentration", "dr2star"), default="signal", help="what SERIES holds"
    )
    p.add_argument("--n-voxels", type=int, default=20, metavar="N", help="voxels that auto takes at most (default 20)")
    p.add_argument(
        "--out", required=True, metavar="aif.csv", help="table time_s,concentration; mask and picture beside it"
    )
    p.set_defaults(run=_aif)


def _register_dce(add: Callable) -> None:
    p = add("dce", "kinetic maps (ktrans, ve, vp, kep) of a DCE series")
    _signal_options(p)
    _dce_options(p)
    p.add_argument("--aif", default="auto", metavar="auto|parker|CSV|MASK", help="arterial input (default auto)")
    p.add_argument(
        "--aif-fit",
        action=argparse.BooleanOptionalAction,
        help="replace the AIF by Parker's form fitted to it (default: see fit.json)",
    )
    p.add_argument(
        "--model",
        choices=("tofts", "etm", "patlak", "2cxm", "2cum", "auto"),
        default="etm",
        help="kinetic model (default etm)",
    )
    p.add_argument("--delay", action="store_true", help="fit each voxel's arrival after the AIF")
    p.add_argument(
        "--bounds", action="append", type=_bounds, default=[], metavar="NAME=LOW,HIGH", help="e.g. ktrans=0,5 (1/min)"
    )
    p.add_argument("--input", choices=("signal", "concentration"), default="signal", help="what SERIES holds (mM)")
    p.add_argument("--te-ms", type=float, metavar="MS", help="echo time in ms, with --r2star (default: no T2* decay)")
    p.add_argument("--r2star", type=float, metavar="R2", help="T2* relaxivity in 1/(mM s), with --te-ms")
    p.add_argument(
        "--unclamped",
        action="store_true",
        help="add ktrans (or ps) and vp that may be below 0, for means over a region (tofts, etm, patlak)",
    )
    p.add_argument(
        "--semiquantitative",
        action="store_true",
        help="add iauc60, iauc90 (mM s), wash_in, wash_out (mM/min), ttp (s), max_enhancement (mM)",
    )
    p.add_argument(
        "--format", choices=("nii.gz", "nrrd"), default="nii.gz", help="file format of the maps (default nii.gz)"
    )
    p.add_argument("--out", required=True, metavar="DIR", help="folder for maps, aif.csv, fit.json, qc.png")
    p.set_defaults(run=_dce)


def _register_dsc(add: Callable) -> None:
    p = add("dsc", "blood volume, flow and timing maps of a DSC series")
    _signal_options(p)
    p.add_argument("--te-ms", type=float, metavar="MS", help="echo time in ms (default: as the DICOM files say)")
    p.add_argument("--aif", default="auto", metavar="auto|CSV|MASK", help="arterial input, CSV in 1/s (default auto)")
    p.add_argument(
        "--leakage",
        choices=("none", "bsw", "bidirectional", "residue", "auto"),
        default="bsw",
        help="leakage correction; auto: the one that the Akaike criterion prefers in each voxel (default bsw)",
    )
    p.add_argument(
        "--deconvolution",
        choices=("osvd", "csvd", "ssvd", "tikhonov"),
        default="osvd",
        help="for cbf and tmax (default osvd)",
    )
    p.add_argument(
        "--nawm", metavar="MASK|auto", help="normal white matter for ncbv and ncbf; auto needs --brain and --lesion"
    )
    p.add_argument("--brain", metavar="MASK", help="brain mask for --nawm auto")
    p.add_argument("--lesion", metavar="MASK", help="lesion mask for --nawm auto and the leakage reference")
    p.add_argument(
        "--input", choices=("signal", "dr2star"), default="signal", help="what SERIES holds (dr2star in 1/s)"
    )
    p.add_argument(
        "--format", choices=("nii.gz", "nrrd"), default="nii.gz", help="file format of the maps (default nii.gz)"
    )
    p.add_argument("--out", required=True, metavar="DIR", help="folder for maps, aif.csv, fit.json, qc.png")
    p.set_defaults(run=_dsc)


# ------------------------------------------------------------------------------------------------------------ reading


def _read(path: str) -> "tuple[Series, dict[str, Any]]":
    """A 4-D image, or a DICOM folder with what its files say of the acquisition."""
    from ..images import read_series

    if Path(path).is_dir():
        from ..dicom import read_dicom_series

        return read_dicom_series(path)
    return read_series(path), {}


def _times(args: argparse.Namespace, series: "Series", acquisition: dict[str, Any]) -> Any:
    import numpy as np

    from ..curves import check_times

    if args.times and args.dt:
        raise InputError("both --times and --dt are given; one of them is needed")
    if args.times:
        return check_times(_read_times(args.times), series.n_times, series.name, args.times)
    if args.dt is not None:
        if not args.dt > 0:
            raise InputError(f"--dt is {args.dt:g}; a frame interval above 0 s is needed")
        return args.dt * np.arange(series.n_times)
    if acquisition.get("times_s") is not None:
        return check_times(acquisition["times_s"], series.n_times, series.name, "its DICOM files")
    raise InputError(f"{series.name}: the frame times are not known; give them with --times FILE or --dt S")


def _read_times(path: str) -> list[float]:
    import csv

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; a file with one time in s per frame is needed (--times)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        if lines and "time_s" in lines[0]:
            return [float(row["time_s"]) for row in csv.DictReader(lines)]
        return [float(value) for value in " ".join(lines).replace(",", " ").split()]
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} holds a value that is no number ({error}); one time in s per frame is needed"
        ) from error


def _mask(path: str | None, series: "Series") -> "sitk.Image | None":
    from ..images import read_mask

    if path == "brain":
        from ..brain import series_brain

        found = series_brain(series)
        warnings.warn(f"brain mask: {found.how}", stacklevel=1)
        return found.mask
    return read_mask(path, series.grid) if path else None


def _t10(text: str) -> "float | sitk.Image":
    from ..images import read_image, suffix

    try:
        return float(text)
    except ValueError:
        if not suffix(text):
            raise InputError(f"--t10 is {text!r}; a T1 in s or a T1 map is needed") from None
    from ..perfusion.dce import check_t10

    image = read_image(text)
    check_t10(image, text)
    return image


def _arterial_input(text: str, series: "Series", times: Any, words: tuple[str, ...]) -> Any:
    from ..images import suffix
    from ..perfusion.aif import read_aif

    if text in words:
        return text
    if text.lower().endswith((".csv", ".txt")):
        return read_aif(text, times)
    if suffix(text):
        return _mask(text, series)
    raise InputError(f"--aif is {text!r}; {', '.join(words)}, a table (.csv) or a mask image is needed")


def _dce_settings(args: argparse.Namespace, acquisition: dict[str, Any], **more: Any) -> Any:
    from ..perfusion.dce import DceSettings

    return DceSettings(
        tr_ms=args.tr_ms if args.tr_ms is not None else acquisition.get("tr_ms"),
        flip_angle_deg=args.flip_angle if args.flip_angle is not None else acquisition.get("flip_angle_deg"),
        relaxivity=args.relaxivity,
        hematocrit=0.42 if args.hematocrit is None else args.hematocrit,
        t10_blood_s=args.t10_blood,
        allow_invalid_voxels=args.allow_invalid_voxels,
        **more,
    )


def _cpu(args: argparse.Namespace) -> None:
    if args.device == "cuda":
        raise InputError("perfusion runs on the CPU; use --device cpu or auto")


# ----------------------------------------------------------------------------------------------------------- commands


def _t1(args: argparse.Namespace, progress: Progress) -> dict:
    from ..images import read_image
    from ..perfusion.t1 import T1Settings, t1_maps, write

    series, _ = _read(args.vfa)
    settings = T1Settings(args.tr_ms, tuple(args.flip_angles), args.allow_invalid_voxels, args.linear, args.device)
    b1 = read_image(args.b1) if args.b1 else None
    maps = t1_maps(series, settings, b1, _mask(args.mask, series), progress)
    return {"out": args.out, **write(maps, args.out, args.format)}


def _aif(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.output import write_aif_files

    series, acquisition = _read(args.series)
    times = _times(args, series, acquisition)
    if (args.method == "manual") != bool(args.roi):
        raise InputError("--method manual and --roi MASK belong together; give both or neither")
    source = {"auto": "auto", "population": "parker", "manual": None}[args.method] or _mask(args.roi, series)
    mask = _mask(args.mask, series)
    progress(0.2, "arterial input function")
    if args.kind == "dsc":
        from ..perfusion.dsc import DscSettings, dsc_aif

        if args.method == "population":
            raise InputError("there is no population AIF for DSC; use --method auto or manual")
        settings = DscSettings(
            te_ms=args.te_ms if args.te_ms is not None else acquisition.get("te_ms"),
            input="dr2star" if args.input == "concentration" else args.input,
            allow_invalid_voxels=args.allow_invalid_voxels,
            n_aif_voxels=args.n_voxels,
        )
        chosen = dsc_aif(series, times, settings, source, mask)
    else:
        from ..perfusion.dce import dce_aif

        settings = _dce_settings(args, acquisition, input=args.input, n_aif_voxels=args.n_voxels)
        chosen = dce_aif(series, times, settings, source, mask)
    for note in chosen.notes:
        warnings.warn(note, stacklevel=1)
    files = write_aif_files(chosen, series.grid, args.out, "ΔR2* (1/s)" if args.kind == "dsc" else "plasma (mM)")
    return {"out": args.out, "files": files, **chosen.record()}


def _dce(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.dce import dce_maps, write

    series, acquisition = _read(args.series)
    settings = _dce_settings(
        args,
        acquisition,
        unclamped=args.unclamped,
        semiquantitative=args.semiquantitative,
        te_ms=args.te_ms,
        r2star=args.r2star,
        device=args.device,
        model=args.model,
        delay=args.delay,
        input=args.input,
        aif_fit=args.aif_fit,
        bounds=dict(args.bounds),
    )
    from ..perfusion.dce import check_settings

    check_settings(settings, series)
    times = _times(args, series, acquisition)
    aif = _arterial_input(args.aif, series, times, ("auto", "parker"))
    if args.hematocrit is not None and args.aif.lower().endswith((".csv", ".txt")):
        warnings.warn(
            "--hematocrit has no effect on an AIF table, which holds plasma concentrations already", stacklevel=1
        )
    result = dce_maps(series, times, settings, aif, _t10(args.t10), _mask(args.mask, series), progress)
    record = write(result, args.out, args.format)
    return _summary(args.out, args.format, result, record)


def _dsc(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.dsc import DscSettings, check_settings, dsc_maps, write

    series, acquisition = _read(args.series)
    settings = DscSettings(
        te_ms=args.te_ms if args.te_ms is not None else acquisition.get("te_ms"),
        tr_ms=args.tr_ms if args.tr_ms is not None else acquisition.get("tr_ms"),
        leakage=args.leakage,
        deconvolution=args.deconvolution,
        input=args.input,
        allow_invalid_voxels=args.allow_invalid_voxels,
    )
    check_settings(settings, series)
    if args.times is None and args.dt is None and acquisition.get("times_s") is None and settings.tr_ms:
        args.dt = settings.tr_ms / 1000.0  # single-shot EPI: one volume per repetition
    times = _times(args, series, acquisition)
    aif = _arterial_input(args.aif, series, times, ("auto",))
    brain, lesion = _mask(args.brain, series), _mask(args.lesion, series)
    if args.nawm == "auto" and (brain is None or lesion is None):
        raise InputError(
            "--nawm auto needs --brain and --lesion, so that normal white matter is sought away from the lesion"
        )
    nawm = "auto" if args.nawm == "auto" else _mask(args.nawm, series)
    result = dsc_maps(
        series, times, settings, aif, _mask(args.mask, series), nawm, brain, lesion, progress, args.device
    )
    record = write(result, args.out, args.format)
    return _summary(args.out, args.format, result, record)


def _summary(out: str, format: str, result: Any, record: dict) -> dict:
    names = [*result.maps, *(f"{n}_sd" for n in result.sd), "mask"]
    return {
        "out": out,
        "files": [f"{n}.{format}" for n in names] + ["aif.csv", "fit.json"],
        "units": record["units"],
        "medians": record["medians"],
        "fitted_voxels": record["fitted_voxels"],
        "arrival_s": record["arrival_s"],
        "aif": {k: record["aif"][k] for k in ("method", "how", "voxels", "fitted", "peak")},
        "notes": record["notes"],
    }
