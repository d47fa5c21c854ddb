"""Arterial input functions, DCE and DSC maps: ``aif``, ``dce``, ``dsc``."""

import argparse
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, option, require, together
from ..files import staged
from ..perfusion.settings import POPULATION_AIFS, T10_LESION_S, T10_TISSUE_S, DceSettings, DscSettings, preset_names
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .series import (
    format_option,
    mask_of,
    motion_option,
    read,
    region_option,
    regions_of,
    signal_options,
    steadied,
    times_of,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..images import Series
    from ..perfusion.result import PerfusionMaps
    from ..registration.steady import Steady


def register(add: Callable) -> None:
    """Add ``aif``, ``dce`` and ``dsc``."""
    _register_aif(add)
    _register_dce(add)
    _register_dsc(add)


def _bounds(text: str) -> tuple[str, tuple[float, float]]:
    try:
        name, values = text.split("=")
        low, high = (float(v) for v in values.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=LOW,HIGH such as ktrans=0,5") from error
    return name, (low, high)


def _points(text: str) -> list[tuple[float, float, float]]:
    try:
        points = [[float(v) for v in point.split(",")] for point in text.split(";") if point.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of points such as '12,30,-5;40,28,-4'") from error
    if not points or any(len(point) != 3 for point in points):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of points of three numbers such as '12,30,-5;40,28,-4'"
        )
    return [(right, anterior, superior) for right, anterior, superior in points]


def _aif_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--aif-points",
        type=_points,
        metavar="R,A,S;...",
        help="the AIF is the mean over the voxels of these points, R,A,S in mm as 3D Slicer shows them",
    )
    p.add_argument(
        "--aif-radius",
        type=float,
        default=0.0,
        metavar="MM",
        help="all voxels within it of a point (default 0: one each)",
    )
    add_options(p, DceSettings, "aif_search", unset=True)


def _dce_options(p: argparse.ArgumentParser) -> None:
    add_options(p, DceSettings, "flip_angle_deg")
    p.add_argument(
        "--t10",
        metavar="S or T1MAP",
        help=f"T1 before contrast in s, or a map in s where the head lies in the series, as `gliosuite t1 --onto SERIES` makes it "
        f"(default {T10_TISSUE_S:.1f}, or the preset's)",
    )
    p.add_argument("--b1", metavar="B", help="map of actual over nominal flip angle, for the tissue (default 1)")
    # Left open, so that a preset decides where they are not given.
    add_options(p, DceSettings, "t10_blood_s", "hematocrit", "relaxivity", unset=True)


def _register_aif(add: Callable) -> None:
    p = add("aif", "arterial input function of a DCE or DSC series as a table")
    signal_options(p)
    # Points and masks were drawn on the series as it lies.
    motion_option(p, None, "yes with --method auto")
    _dce_options(p)
    p.add_argument("--kind", choices=("dce", "dsc"), required=True, help="what the series is")
    p.add_argument(
        "--method",
        choices=("auto", "manual", "population"),
        default="auto",
        help="manual: the mean over --roi or --aif-points (default auto)",
    )
    p.add_argument(
        "--population",
        choices=POPULATION_AIFS,
        default=POPULATION_AIFS[0],
        help=f"whose average --method population takes: Parker 2006 or Georgiou 2019 (default {POPULATION_AIFS[0]})",
    )
    p.add_argument("--roi", metavar="MASK", help="mask of the artery for --method manual")
    _aif_options(p)
    add_options(p, DceSettings, "sinus", unset=True)
    add_options(p, DscSettings, "vof")
    add_options(p, DceSettings, "baseline", "arrival_s")
    text = "echo time in ms (DCE: for T2* decay in blood; default: as the DICOM files say)"
    add_options(p, DceSettings, "te_ms", help=text)
    p.add_argument(
        "--input", choices=("signal", "concentration", "dr2star"), default="signal", help="what SERIES holds"
    )
    add_options(p, DceSettings, "n_aif_voxels")
    p.add_argument(
        "--out", required=True, metavar="aif.csv", help="table time_s,concentration; mask and picture beside it"
    )
    p.set_defaults(run=_aif)


def dce_series_options(p: argparse.ArgumentParser, kinetic: bool = True) -> None:
    """Add what turns a DCE series into a fit: all of ``dce`` but where results go, and the model where it is not `kinetic`."""
    signal_options(p)
    motion_option(p)
    _dce_options(p)
    p.add_argument(
        "--preset",
        choices=preset_names(),
        help="settings as that paper states them; options given beside it take precedence, and fit.json says which",
    )
    p.add_argument(
        "--aif",
        default="auto",
        metavar="|".join(("auto", *POPULATION_AIFS, "CSV", "MASK")),
        help="arterial input (default auto)",
    )
    _aif_options(p)
    add_options(p, DceSettings, "sinus", "aif_fit", "noise_floor", unset=True)
    if kinetic:
        add_options(p, DceSettings, "model", unset=True, more=", or the preset's")
    add_options(p, DceSettings, "delay", "dispersion_s", unset=True)
    p.add_argument(
        "--bounds",
        action="append",
        type=_bounds,
        default=[],
        metavar="NAME=LOW,HIGH",
        help="in place of the fit's own, e.g. kep=0.001,20 (1/min; default 0.001 to 5, which is a brain's: phantoms and bodies need more)",
    )
    add_options(p, DceSettings, "baseline", "arrival_s")
    add_options(p, DceSettings, "input", "te_ms", "r2star", "unclamped", "semiquantitative")


def _register_dce(add: Callable) -> None:
    p = add("dce", "kinetic maps (ktrans, ve, vp, kep) of a DCE series")
    dce_series_options(p)
    format_option(p)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for maps, aif.csv, fit.json, qc.png")
    region_option(p)
    p.set_defaults(run=_dce)


def _register_dsc(add: Callable) -> None:
    p = add("dsc", "blood volume, flow and timing maps of a DSC series")
    signal_options(p)
    motion_option(p)
    add_options(p, DscSettings, "te_ms", "flip_angle_deg")
    p.add_argument(
        "--t10",
        metavar="S or T1MAP",
        help=f"{settings_of(DscSettings)['t10_s'].help}, or a map in s (default {T10_LESION_S:g}); after a preload that of then",
    )
    p.add_argument("--b1", metavar="B", help="map of actual over nominal flip angle (default 1)")
    p.add_argument("--aif", default="auto", metavar="auto|CSV|MASK", help="arterial input, CSV in 1/s (default auto)")
    _aif_options(p)
    add_options(p, DscSettings, "vof", "leakage", "deconvolution", "aif_r2star", "tissue_r2star")
    p.add_argument(
        "--nawm", metavar="MASK|auto", help="normal white matter for ncbv and ncbf; auto needs --brain and --lesion"
    )
    p.add_argument("--brain", metavar="MASK", help="brain mask for --nawm auto")
    p.add_argument("--lesion", metavar="MASK", help="lesion mask for --nawm auto and the leakage reference")
    add_options(p, DscSettings, "baseline", "arrival_s", "input")
    format_option(p)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for maps, aif.csv, fit.json, qc.png")
    region_option(p)
    p.set_defaults(run=_dsc)


def _t10(text: str) -> "float | sitk.Image":
    from ..images import read_image, suffix

    try:
        return float(text)
    except ValueError:
        if not suffix(text):
            raise InputError(f"{option('--t10')} is {text!r}; a T1 in s or a T1 map is needed") from None
    from ..perfusion.t1 import check_t10

    image = read_image(text)
    check_t10(image, text)
    return image


def _arterial_input(args: argparse.Namespace, series: "Series", times: Any, words: tuple[str, ...]) -> Any:
    from ..images import chosen, suffix
    from ..perfusion.aif import points_mask, read_aif

    text = args.aif
    if args.aif_points:
        if text != "auto":
            raise InputError("both --aif and --aif-points are given; one of them is needed")
        return points_mask(args.aif_points, series.grid, args.aif_radius)
    if text in words:
        return text
    if text.lower().endswith((".csv", ".txt")):
        return read_aif(text, times)
    if suffix(chosen(text)[0]):
        return mask_of(text, series)
    raise InputError(f"{option('--aif')} is {text!r}; {', '.join(words)}, a table (.csv) or a mask image is needed")


def _dce_settings(args: argparse.Namespace, acquisition: dict[str, Any], **more: Any) -> Any:
    from ..perfusion.dce import preset_settings

    return preset_settings(
        getattr(args, "preset", None),
        tr_ms=args.tr_ms if args.tr_ms is not None else acquisition.get("tr_ms"),
        flip_angle_deg=args.flip_angle if args.flip_angle is not None else acquisition.get("flip_angle_deg"),
        relaxivity=args.relaxivity,
        hematocrit=args.hematocrit,
        t10_blood_s=args.t10_blood,
        te_ms=args.te_ms if args.te_ms is not None else acquisition.get("te_ms"),
        aif_search=args.aif_search,
        sinus=args.sinus,
        allow_invalid_voxels=args.allow_invalid_voxels,
        baseline=args.baseline,
        arrival_s=args.arrival,
        **more,
    )


# ----------------------------------------------------------------------------------------------------------- commands


def _aif(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.aif import points_mask
    from ..perfusion.output import write_aif_files

    series, acquisition = read(args.series)
    if (args.method == "manual") != bool(args.roi or args.aif_points) or (args.roi and args.aif_points):
        raise InputError(
            "--method manual and --roi MASK (or --aif-points) belong together; give both or neither, and one of the two"
        )
    source: str | sitk.Image
    if args.aif_points:
        source = points_mask(args.aif_points, series.grid, args.aif_radius)
    else:
        source = {"auto": "auto", "population": args.population, "manual": None}[args.method] or mask_of(
            args.roi, series
        )
    settings: Any
    check: Callable[..., None]
    find: Callable[..., Any]
    if args.kind == "dsc":
        from ..perfusion import dsc

        if args.method == "population":
            raise InputError("there is no population AIF for DSC; use --method auto or manual")
        settings = DscSettings(
            te_ms=args.te_ms if args.te_ms is not None else acquisition.get("te_ms"),
            input="dr2star" if args.input == "concentration" else args.input,
            allow_invalid_voxels=args.allow_invalid_voxels,
            n_aif_voxels=args.n_voxels,
            aif_search=args.aif_search or DscSettings.aif_search,
            vof=args.vof,
            baseline=args.baseline,
            arrival_s=args.arrival,
        )
        check, find = dsc.check_settings, dsc.dsc_aif
    else:
        from ..perfusion import dce

        settings = _dce_settings(args, acquisition, input=args.input, n_aif_voxels=args.n_voxels)
        check, find = dce.check_settings, dce.dce_aif
    together(lambda: check(settings, series), lambda: times_of(args, series, acquisition))
    times = times_of(args, series, acquisition)
    mask = mask_of(args.mask, series)
    notes: tuple[str, ...] = ()
    if args.method == "auto" if args.motion is None else args.motion:
        still = steadied(args, series, part(progress, 0.0, 0.6))
        series, notes = still.series, still.notes
    progress(0.6, "arterial input function")
    chosen = find(series, times, settings, source, mask)
    for note in (*notes, *chosen.notes):
        warnings.warn(note, stacklevel=1)
    files = write_aif_files(chosen, series.grid, args.out, "ΔR2* (1/s)" if args.kind == "dsc" else "plasma (mM)")
    return {"out": args.out, "files": files, **chosen.record()}


def _dce(args: argparse.Namespace, progress: Progress) -> dict:
    return written(args, *fitted_series(args, progress), args.out)


def fitted_series(
    args: argparse.Namespace, progress: Progress
) -> "tuple[PerfusionMaps, Steady, dict[str, sitk.Image]]":
    """The maps that the options of `dce_series_options` ask for, the series they are of, and the regions."""
    # While the file is inflated on one core, what computes is loaded on another, and what draws while motion is estimated.
    aside = ThreadPoolExecutor(1)
    reading = aside.submit(read, args.series)
    from ..compute.compiled import FEWEST, worthwhile
    from ..images import read_image
    from ..perfusion.dce import check_settings, dce_maps, preset

    worthwhile(FEWEST)
    series, acquisition = reading.result()
    aside.submit(require, "matplotlib.figure", "pictures")
    aside.shutdown(wait=False)
    settings = _dce_settings(
        args,
        acquisition,
        unclamped=args.unclamped,
        semiquantitative=args.semiquantitative,
        r2star=args.r2star,
        device=args.device,
        model=args.model,
        delay=args.delay,
        dispersion_s=args.dispersion,
        input=args.input,
        aif_fit=args.aif_fit,
        noise_floor=args.noise_floor,
        bounds=dict(args.bounds),
    )
    together(lambda: check_settings(settings, series), lambda: times_of(args, series, acquisition))
    times = times_of(args, series, acquisition)
    aif = _arterial_input(args, series, times, ("auto", *POPULATION_AIFS))
    if args.hematocrit is not None and args.aif.lower().endswith((".csv", ".txt")):
        warnings.warn(
            f"{option('--hematocrit')} has no effect on an AIF table, which holds plasma concentrations already",
            stacklevel=1,
        )
    regions = regions_of(args, series)
    t10 = _t10(args.t10) if args.t10 else (preset(args.preset).t10_s if args.preset else None) or T10_TISSUE_S
    b1 = read_image(args.b1) if args.b1 else None
    mask = mask_of(args.mask, series)
    still = steadied(args, series, part(progress, 0.0, 0.4))
    return dce_maps(still.series, times, settings, aif, t10, mask, part(progress, 0.4, 1.0), b1), still, regions


def _dsc(args: argparse.Namespace, progress: Progress) -> dict:
    from ..images import read_image
    from ..perfusion.dsc import check_settings, dsc_maps

    series, acquisition = read(args.series)
    t10 = _t10(args.t10) if args.t10 else T10_LESION_S
    settings = DscSettings(
        te_ms=args.te_ms if args.te_ms is not None else acquisition.get("te_ms"),
        tr_ms=args.tr_ms if args.tr_ms is not None else acquisition.get("tr_ms"),
        leakage=args.leakage,
        deconvolution=args.deconvolution,
        aif_r2star=args.aif_r2star,
        tissue_r2star=args.tissue_r2star,
        input=args.input,
        allow_invalid_voxels=args.allow_invalid_voxels,
        flip_angle_deg=args.flip_angle if args.flip_angle is not None else acquisition.get("flip_angle_deg"),
        t10_s=t10 if isinstance(t10, float) else T10_LESION_S,
        aif_search=args.aif_search or DscSettings.aif_search,
        vof=args.vof,
        baseline=args.baseline,
        arrival_s=args.arrival,
    )
    if args.times is None and args.dt is None and acquisition.get("times_s") is None and settings.tr_ms:
        args.dt = settings.tr_ms / 1000.0  # single-shot EPI: one volume per repetition
    together(lambda: check_settings(settings, series), lambda: times_of(args, series, acquisition))
    times = times_of(args, series, acquisition)
    aif = _arterial_input(args, series, times, ("auto",))
    brain, lesion = mask_of(args.brain, series), mask_of(args.lesion, series)
    if args.nawm == "auto" and (brain is None or lesion is None):
        raise InputError(
            "--nawm auto needs --brain and --lesion, so that normal white matter is sought away from the lesion"
        )
    nawm = "auto" if args.nawm == "auto" else mask_of(args.nawm, series)
    regions = regions_of(args, series)
    mask = mask_of(args.mask, series)
    b1 = read_image(args.b1) if args.b1 else None
    still = steadied(args, series, part(progress, 0.0, 0.4))
    result = dsc_maps(
        still.series,
        times,
        settings,
        aif,
        mask,
        nawm,
        brain,
        lesion,
        part(progress, 0.4, 1.0),
        args.device,
        None if isinstance(t10, float) else t10,
        b1,
    )
    return written(args, result, still, regions, args.out)


def written(
    args: argparse.Namespace,
    result: "PerfusionMaps",
    still: "Steady",
    regions: "dict[str, sitk.Image]",
    out: str | Path,
) -> dict:
    """Write the maps and how the head moved into a folder, all or nothing; what the command prints."""
    from ..perfusion.output import write

    result = replace(result, notes=[*still.notes, *result.notes], record={**result.record, **still.record})
    with staged(out) as folder:
        drawn = still.write(folder)
        record = write(result, folder, args.format, regions, args.max_uncertainty)
    names = [*result.maps, *(f"{n}_sd" for n in result.sd), "mask", *(["t10"] if result.t10 is not None else [])]
    tables = ["aif.csv", "fit.json", *(["regions.csv", "regions_histogram.csv"] if args.regions else [])]
    return {
        "out": str(out),
        "files": [f"{n}.{args.format}" for n in names] + tables + drawn,
        "units": record["units"],
        "medians": record["medians"],
        "fitted_voxels": record["fitted_voxels"],
        "arrival_s": record["arrival_s"],
        "aif": {k: record["aif"][k] for k in ("method", "how", "voxels", "fitted", "peak", "quality")},
        "notes": record["notes"],
        **({"preset": record["preset"]} if "preset" in record else {}),
    }
