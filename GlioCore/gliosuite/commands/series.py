"""Four-dimensional series as the perfusion commands take them: options, frames, times, masks and regions."""

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..errors import InputError, option
from ..perfusion.settings import FORMATS, DceSettings, RegionSettings
from ..settings import add_options
from ..steps import Progress

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..images import Series
    from ..registration.steady import Steady


def _region(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not name.strip() or not path.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MASK such as cel=cel.nii.gz")
    return name.strip(), path.strip()


def region_option(p: argparse.ArgumentParser) -> None:
    """Add ``--regions``."""
    p.add_argument(
        "--regions",
        nargs="+",
        action="extend",
        type=_region,
        default=[],
        metavar="NAME=MASK",
        help="write regions.csv (mean, SD, median, percentiles, hot spot; one row per map and region) and regions_histogram.csv",
    )
    add_options(p, RegionSettings, "max_uncertainty")


def signal_options(p: argparse.ArgumentParser) -> None:
    """Add the series, its timing and its mask."""
    p.add_argument("series", metavar="SERIES", help="4-D image (NIfTI, NRRD, MHA) or a DICOM folder")
    p.add_argument(
        "--times", metavar="FILE", help="text file with one time in s per frame, or a CSV with a column time_s"
    )
    p.add_argument("--dt", type=float, metavar="S", help="frame interval in s, in place of --times")
    add_options(p, DceSettings, "tr_ms")
    p.add_argument(
        "--mask",
        metavar="M|brain",
        help="voxels to fit, on any grid; brain: the brain, found on the series' mean (default: the head, found automatically)",
    )
    add_options(p, DceSettings, "allow_invalid_voxels")


def motion_option(p: argparse.ArgumentParser, default: bool | None = True, shown: str = "yes") -> None:
    """Add ``--motion``."""
    p.add_argument(
        "--motion",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="move each frame to where the head was in the first ones before anything else, as `gliosuite motion` does, where the series "
        f"shows a head and holds signal (default: {shown})",
    )


def format_option(p: argparse.ArgumentParser) -> None:
    """Add ``--format``."""
    p.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help=f"file format of the maps (default {FORMATS[0]})"
    )


def read(path: str) -> "tuple[Series, dict[str, Any]]":
    """A 4-D image, or a DICOM folder with what its files say of the acquisition."""
    from ..images import read_series

    if Path(path).is_dir():
        from ..dicom import read_dicom_series

        return read_dicom_series(path)
    return read_series(path), {}


def steadied(args: argparse.Namespace, series: "Series", progress: Progress) -> "Steady":
    """The series with its frames where the head was in the first ones, where that is wanted."""
    from ..registration.steady import steady, uncorrected

    if args.motion and args.input == "signal":
        return steady(series, progress)
    return uncorrected(series, "" if args.input == "signal" else f"the series holds {args.input}, not signal")


def volumes(paths: list[str], flip_angles: bool = False) -> "tuple[Series, dict[str, Any]]":
    """One 4-D image, or 3-D images on one grid as a series, and what DICOM files say of it; each an image file or a DICOM folder.

    With `flip_angles` one folder may hold a series for each, and ``flip_angle_deg`` lists them, where all are known.
    """
    from ..dicom.volumes import read_dicom_flip_angles, read_dicom_image, shared_tr, stack
    from ..images import read_image

    if len(paths) == 1:
        return read_dicom_flip_angles(paths[0]) if flip_angles and Path(paths[0]).is_dir() else read(paths[0])
    found = [read_dicom_image(path) if Path(path).is_dir() else (read_image(path), {}) for path in paths]
    series = stack([image for image, _ in found], paths, Path(paths[0]).name)
    known: dict[str, Any] = {"tr_ms": shared_tr([k for _, k in found], paths)}
    if flip_angles and all("flip_angle_deg" in k for _, k in found):
        known["flip_angle_deg"] = [float(k["flip_angle_deg"]) for _, k in found]
    return series, known


def times_of(args: argparse.Namespace, series: "Series", acquisition: dict[str, Any]) -> Any:
    """Times (t,) of the frames in s: as given, or as the DICOM files say; those in another unit are refused."""
    from ..curves import check_duration

    return check_duration(_times_of(args, series, acquisition), series.name)


def _times_of(args: argparse.Namespace, series: "Series", acquisition: dict[str, Any]) -> Any:
    import numpy as np

    from ..curves import check_times

    if args.times and args.dt:
        raise InputError(f"both {option('--times')} and {option('--dt')} are given; one of them is needed")
    if args.times:
        return check_times(_read_times(args.times), series.n_times, series.name, args.times)
    if args.dt is not None:
        if not args.dt > 0:
            raise InputError(f"{option('--dt')} is {args.dt:g}; a frame interval above 0 s is needed")
        return args.dt * np.arange(series.n_times)
    if acquisition.get("times_s") is not None:
        return check_times(acquisition["times_s"], series.n_times, series.name, "its DICOM files")
    raise InputError(
        f"{series.name}: the frame times are not known; give them with {option('--times')} or {option('--dt')}"
    )


def frame_times(path: str, times: str | None, dt_s: float | None) -> list[float]:
    """Times in s of the frames of a 4-D image, from a file of times or a frame interval."""
    from ..images import read_series

    series = read_series(path)
    args = argparse.Namespace(times=times, dt=dt_s)
    return [float(t) for t in times_of(args, series, {})]


def _read_times(path: str) -> list[float]:
    import csv

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist; a file with one time in s per frame is needed ({option('--times')})"
        ) from error
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


@overload
def mask_of(path: str, series: "Series") -> "sitk.Image": ...
@overload
def mask_of(path: None, series: "Series") -> None: ...
def mask_of(path: str | None, series: "Series") -> "sitk.Image | None":
    """A mask file on the series' grid, the brain of the series itself for ``brain``, or None."""
    from ..images import read_mask

    if path == "brain":
        from ..lesions import series_brain

        found = series_brain(series)
        warnings.warn(f"brain mask: {found.how}", stacklevel=1)
        return found.mask
    return read_mask(path, series.grid) if path else None


def regions_of(args: argparse.Namespace, series: "Series") -> "dict[str, sitk.Image]":
    """The masks of ``--regions`` by name."""
    names = [name for name, _ in args.regions]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f"--regions gives {twice} twice; each region needs a name of its own")
    return {name: mask_of(path, series) for name, path in args.regions}
