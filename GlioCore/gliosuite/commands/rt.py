"""``compare``, ``rtstruct``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..images import Grid

Add = Callable[..., argparse.ArgumentParser]
Progress = Callable[[float, str], None]
MASK = "an image file, or RS.dcm:ROI for a structure of an RT structure set"


def register(add: Add) -> None:
    """Add ``compare`` and ``rtstruct``."""
    p = add(
        "compare",
        "target volumes against the lesion at progression",
        description="Compare target volumes with the lesion at progression inside the brain: sensitivity, specificity, Dice, HD95, "
        f"Tversky(.02,.98), PCC, coverage at equal volume, cc of normal brain. A mask is {MASK}.",
    )
    p.add_argument("ctvs", nargs="+", metavar="NAME=CTV", help="target volumes to compare, each with a name")
    p.add_argument("--reference", required=True, metavar="MASK", help="lesion at progression, on the baseline image")
    p.add_argument("--brain", required=True, metavar="MASK", help="brain mask; everything is counted inside it")
    p.add_argument(
        "--volume-cc",
        type=float,
        metavar="V",
        help="volume at which coverage is compared, cc (default that of the first target volume)",
    )
    geometry(p, "also the picture's background; default the grid of --brain")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for comparison.csv and comparison.png")
    p.set_defaults(run=_compare)

    p = add(
        "rtstruct",
        "RT structure set that refers to the original DICOM series; --check re-reads any",
        description="Write masks as an RT structure set that refers to the original images, slice by slice; it is read back and compared "
        f"before it appears. A mask is {MASK}.",
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
    p.add_argument("--out", metavar="RS.dcm", help="the structure set to write")
    p.add_argument(
        "--check",
        metavar="RS.dcm",
        help="read a structure set and report volumes and problems; with --series its references too",
    )
    p.set_defaults(run=_rtstruct)


def geometry(p: argparse.ArgumentParser, default: str) -> None:
    """The options that say which grid results get."""
    p.add_argument("--image", metavar="I", help=f"image whose grid the result gets ({default})")
    p.add_argument(
        "--series",
        metavar="DIR",
        help="DICOM series that RS.dcm:ROI masks were drawn on (default: contours are taken by position alone)",
    )


def _compare(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..files import staged, write_csv
    from ..rt.compare import TITLES, comparison_table

    named: dict[str, str] = {}
    for text in args.ctvs:
        name, found, path = text.partition("=")
        if not (name and found and path):
            raise InputError(f"{text} is not of the form NAME=CTV; a name, =, and a mask are needed")
        if name in named:
            raise InputError(f"the name {name} is given twice; each target volume needs its own")
        named[name] = path
    grid = grid_of(args, [args.brain])
    brain, progression = mask_on(args.brain, grid, args.series), mask_on(args.reference, grid, args.series)
    ctvs = {name: mask_on(path, grid, args.series) for name, path in named.items()}
    progress(0.3, "comparing")
    rows = comparison_table(ctvs, progression, brain, args.volume_cc)
    progress(0.7, "picture")
    number = lambda v: f"{v:.6g}"
    with staged(args.out) as folder:
        write_csv(
            folder / "comparison.csv", ["name", *TITLES], [[r["name"], *(number(r[k]) for k in TITLES)] for r in rows]
        )
        try:
            (folder / "comparison.png").write_bytes(_picture(args.image, ctvs, progression, brain))
            picture = Path(args.out) / "comparison.png"
        except InputError as error:
            warnings.warn(f"comparison.png was not drawn: {error}", stacklevel=2)
            picture = None
    return {"comparison": Path(args.out) / "comparison.csv", "picture": picture, "rows": rows}


def _picture(image: str | None, ctvs: dict[str, "sitk.Image"], progression: "sitk.Image", brain: "sitk.Image") -> bytes:
    from ..images import array, boolean, read_image, resample
    from ..pictures import canonical, contours_figure, display

    background = resample(read_image(image), brain) if image else brain
    flat = lambda mask: boolean(canonical(mask))
    colors = display()["ctvs"]
    outlines = {name: (flat(mask), colors[i % len(colors)]) for i, (name, mask) in enumerate(ctvs.items())}
    outlines["progression"] = (flat(progression), display()["regions"]["progression"]["color"])
    return contours_figure(
        {"image" if image else "brain mask": array(canonical(background))},
        outlines,
        flat(brain),
        flat(progression),
        canonical(brain).GetSpacing(),
    )


def _rtstruct(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..rt.check import check_structures
    from ..rt.dicomseries import read_dicom_series
    from ..rt.rtstruct import Roi, write_rtstruct
    from ..rt.structures import read_structures

    if args.check:
        if args.roi or args.out:
            raise InputError("--check reads a structure set and takes neither --roi nor --out")
        contents = read_structures(args.check)
        series = read_dicom_series(args.series, contents.series_uid) if args.series else None
        return {"checked": args.check, **check_structures(contents, series)}
    for option, value in (("--series", args.series), ("--roi", args.roi), ("--out", args.out)):
        if not value:
            raise InputError(
                f"{option} is missing; --series DIR, --roi NAME:TYPE=MASK and --out RS.dcm are needed, or --check RS.dcm"
            )
    named = [_roi(text) for text in args.roi]
    grid = None
    rois = []
    for name, kind, path in named:
        if _in_structure_set(path) and grid is None:
            grid = read_dicom_series(args.series).grid
        mask, description = _described(path, grid, args.series)
        rois.append(Roi(name, mask, kind, None, description))
    progress(0.3, "contours")
    written = write_rtstruct(args.out, args.series, rois, args.label)
    return {"rtstruct": args.out, "label": args.label, "rois": written}


def _roi(text: str) -> tuple[str, str, str]:
    head, found, path = text.partition("=")
    name, colon, kind = head.partition(":")
    if not (found and colon and name and kind and path):
        raise InputError(f"--roi {text} is not of the form NAME:TYPE=MASK, e.g. CTV_6000:CTV=ctv.nii.gz")
    return name, kind, path


# ------------------------------------------------------------------------------------------------------------- masks


def _in_structure_set(text: str) -> tuple[str, str] | None:
    """``RS.dcm:ROI`` as file and ROI, split after the last ``.dcm:``; None for anything else."""
    at = text.lower().rfind(".dcm:")
    return None if at < 0 else (text[: at + 4], text[at + 5 :])


def grid_of(args: argparse.Namespace, masks: list[str]) -> "Grid":
    """The grid of the result: the image's, else the first mask file's, else the series'."""
    from ..images import Grid, read_image
    from ..rt.dicomseries import read_dicom_series

    if args.image:
        return Grid.of(read_image(args.image))
    for text in masks:
        if not _in_structure_set(text):
            return Grid.of(read_image(text))
    if not args.series:
        raise InputError(
            f"{masks[0]} has no grid of its own; --image or --series is needed where masks come from a structure set"
        )
    return read_dicom_series(args.series).grid


def mask_on(text: str, grid: "Grid", series: str | None) -> "sitk.Image":
    """A mask on a grid, from an image file or from a structure set."""
    from ..images import read_mask
    from ..rt.dicomseries import read_dicom_series
    from ..rt.rtstruct import require_same_frame
    from ..rt.structures import on_grid, read_structures

    inside = _in_structure_set(text)
    if inside is None:
        return read_mask(text, grid)
    contents = read_structures(inside[0])
    if series:
        require_same_frame(contents.frame_of_reference, read_dicom_series(series, contents.series_uid), inside[0])
    return on_grid(contents, inside[1], grid)


def _described(text: str, grid: "Grid | None", series: str | None) -> tuple["sitk.Image", str]:
    """A mask as it lies, and what its file says of itself."""
    from ..images import read_image, read_mask

    if _in_structure_set(text):
        return mask_on(text, grid, series), f"from {Path(_in_structure_set(text)[0]).name}"
    image = read_image(text)
    return read_mask(text), image.GetMetaData("descrip").strip() if image.HasMetaDataKey("descrip") else ""
