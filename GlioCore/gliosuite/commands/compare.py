"""``compare``."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .masks import MASK, add_geometry, drafts_among, grid_of_masks, mask_on, require_one_patient

if TYPE_CHECKING:
    import SimpleITK as sitk

    from ..rt.compare import Dvh, Share

Progress = Callable[[float, str], None]
_number = "{:.6g}".format


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``compare``."""
    p = add(
        "compare",
        "target volumes against the lesion at progression, or against each other; with a dose, their histograms",
        description="Compare target volumes. With --reference: against the lesion at progression inside the brain (sensitivity, "
        "specificity, Dice, surface distances, Tversky(.02,.98), PCC, coverage at equal volume, cc of normal brain). Without: with each "
        "other (overlaps, surface Dice at 2 mm, a coloured map of who covers what). With --dose: dose-volume histograms, D98 and V95. "
        f"A mask is {MASK}.",
    )
    p.add_argument("ctvs", nargs="+", metavar="NAME=CTV", help="target volumes to compare, each with a name")
    p.add_argument("--reference", metavar="MASK", help="lesion at progression, on the baseline image (default none)")
    p.add_argument(
        "--brain", metavar="MASK", help="brain mask; everything is counted inside it; needed with --reference"
    )
    p.add_argument(
        "--volume-cc",
        type=float,
        metavar="V",
        help="with --reference: volume at which coverage is compared, cc (default that of the first target volume)",
    )
    p.add_argument("--dose", metavar="RD.dcm", help="RT dose file; writes dose.csv, dvh.csv and dvh.png")
    p.add_argument(
        "--prescription-gy",
        type=float,
        default=60.0,
        metavar="D",
        help="prescribed dose for V95, Gy (default 60)",
    )
    add_geometry(p, "also the picture's background; default the grid of --brain, else of the first file")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for comparison.csv and comparison.png")
    p.set_defaults(run=_compare)


def _compare(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import staged

    named = _named(args.ctvs)
    if args.reference and not args.brain:
        raise InputError("--brain is missing; a brain mask is needed to compare with --reference")
    if args.volume_cc is not None and not args.reference:
        raise InputError("--volume-cc belongs to --reference, which is not given")
    if not args.reference and not args.dose and len(named) < 2:
        raise InputError(
            "one target volume was given; --reference, --dose or a second one is needed to compare it with"
        )
    if not args.prescription_gy > 0:
        raise InputError(f"--prescription-gy is {args.prescription_gy:g}; a dose above 0 Gy is needed")
    given = [m for m in (args.brain, *named.values()) if m]
    require_one_patient([*given, args.reference], args.series)
    drafts = drafts_among(named)
    named = {f"{name} (draft)" if name in drafts else name: path for name, path in named.items()}
    grid = grid_of_masks(args, given)
    brain = mask_on(args.brain, grid, args.series) if args.brain else None
    progression = mask_on(args.reference, grid, args.series) if args.reference else None
    ctvs = {name: mask_on(path, grid, args.series) for name, path in named.items()}
    progress(0.3, "comparing")
    result: dict[str, Any] = {}
    with staged(args.out) as folder:
        if progression is not None and brain is not None:
            result |= _against(folder, args, ctvs, progression, brain)
        elif len(ctvs) > 1:
            result |= _among(folder, args, ctvs, brain)
        if args.dose:
            progress(0.7, "dose")
            result |= _doses(folder, args, named, ctvs, progression)
    out = Path(args.out)
    return {k: out / v if isinstance(v, Path) else v for k, v in result.items()}


def _named(texts: list[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in texts:
        name, found, path = text.partition("=")
        if not (name and found and path):
            raise InputError(f"{text} is not of the form NAME=CTV; a name, =, and a mask are needed")
        if name in named:
            raise InputError(f"the name {name} is given twice; each target volume needs its own")
        named[name] = path
    return named


def _against(
    folder: Path,
    args: argparse.Namespace,
    ctvs: Mapping[str, "sitk.Image"],
    progression: "sitk.Image",
    brain: "sitk.Image",
) -> dict[str, Any]:
    """Comparison with the lesion at progression: table and picture."""
    from ..files import write_csv
    from ..images import boolean
    from ..report import canonical
    from ..resources import colors
    from ..rt.compare import TITLES, comparison_table

    rows = comparison_table(ctvs, progression, brain, args.volume_cc)
    write_csv(
        folder / "comparison.csv", ["name", *TITLES], [[r["name"], *(_number(r[k]) for k in TITLES)] for r in rows]
    )
    target = boolean(canonical(progression))
    outlines = _outlines(ctvs) | {"progression": (target, colors(["progression"])["progression"])}
    picture = _drawn(folder / "comparison.png", lambda: _picture(args, outlines, brain, brain, target))
    return {"comparison": Path("comparison.csv"), "picture": picture, "rows": rows}


def _among(
    folder: Path, args: argparse.Namespace, ctvs: Mapping[str, "sitk.Image"], brain: "sitk.Image | None"
) -> dict[str, Any]:
    """Comparison with each other: table, map with its colours, picture."""
    from ..files import write_csv, write_text
    from ..images import Grid, array, write_image
    from ..report import canonical
    from ..resources import rgb
    from ..rt.compare import PAIR_TITLES, agreement_table, difference_map

    grid = Grid.of(next(iter(ctvs.values())))
    rows = agreement_table(ctvs, grid, brain)
    labels, shares = difference_map(ctvs, grid, brain)
    mixed = _mixed(shares, list(ctvs))
    write_csv(
        folder / "comparison.csv",
        ["first", "second", *PAIR_TITLES],
        [[r["first"], r["second"], *(_number(r[k]) for k in PAIR_TITLES)] for r in rows],
    )
    write_image(labels, folder / "difference.nii.gz", "label = sum of 2^i of the CTVs that cover")
    covered = lambda s: " + ".join(s.covered_by)
    write_csv(
        folder / "difference.csv",
        ["label", "covered_by", "volume_cc", "color"],
        [[s.label, covered(s), _number(s.volume_cc), mixed[s.label]] for s in shares],
    )
    triple = lambda color: " ".join(map(str, rgb(color)))
    table = "".join(f"{s.label} {covered(s).replace(' ', '')} {triple(mixed[s.label])} 255\n" for s in shares)
    write_text(folder / "difference.ctbl", f"0 none 0 0 0 0\n{table}")
    flat = array(canonical(labels), int)
    fills = {s.label: (("only " if len(s.covered_by) == 1 else "") + covered(s), mixed[s.label]) for s in shares}
    everywhere = max(s.label for s in shares) if len(shares[-1].covered_by) == len(ctvs) else -1
    focus = (flat > 0) & (flat != everywhere)
    picture = _drawn(
        folder / "comparison.png",
        lambda: _picture(args, _outlines(ctvs), labels, brain, focus if focus.any() else flat > 0, (flat, fills)),
    )
    return {
        "comparison": Path("comparison.csv"),
        "difference": Path("difference.nii.gz"),
        "picture": picture,
        "rows": rows,
        "shares": shares,
    }


def _doses(
    folder: Path,
    args: argparse.Namespace,
    named: Mapping[str, str],
    ctvs: Mapping[str, "sitk.Image"],
    progression: "sitk.Image | None",
) -> dict[str, Any]:
    """Dose-volume histograms of the target volumes and of the progression: tables and picture."""
    import warnings

    import numpy as np

    from ..files import write_csv
    from ..report import dvh_figure
    from ..resources import colors
    from ..rt.compare import DOSE_TITLES, dvh, read_dose

    dose = read_dose(args.dose)
    masks = [args.brain, args.reference, *named.values()]
    require_one_patient(masks, args.series, (dose.path, dose.patient_id, dose.frame_of_reference))
    for caveat in dose.caveats:
        warnings.warn(f"{dose.path}: {caveat}", stacklevel=2)
    structures = dict(ctvs) | ({"progression": progression} if progression is not None else {})
    histograms: dict[str, Dvh] = {}
    for name, mask in structures.items():
        try:
            histograms[name] = dvh(dose.image, mask)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if histograms[name].outside_percent > 0.01:
            warnings.warn(
                f"{histograms[name].outside_percent:.1f} % of {name} lies beyond the dose grid, where the dose was taken as 0",
                stacklevel=2,
            )
    rows = [{"name": n} | h.summary(args.prescription_gy) for n, h in histograms.items()]
    write_csv(
        folder / "dose.csv", ["name", *DOSE_TITLES], [[r["name"], *(_number(r[k]) for k in DOSE_TITLES)] for r in rows]
    )
    axis = max((h.dose_gy for h in histograms.values()), key=len)
    share = {n: np.interp(axis, h.dose_gy, h.volume_percent, right=0.0) for n, h in histograms.items()}
    table = [[f"{d:.2f}", *(f"{share[n][i]:.4f}" for n in share)] for i, d in enumerate(axis.tolist())]
    write_csv(folder / "dvh.csv", ["dose_gy", *(f"{n}_percent" for n in share)], table)
    shades = colors(list(structures))
    picture = _drawn(
        folder / "dvh.png",
        lambda: dvh_figure(axis, {n: (share[n], shades[n]) for n in share}, args.prescription_gy),
    )
    return {
        "dose": Path("dose.csv"),
        "dvh": Path("dvh.csv"),
        "dvh_picture": picture,
        "doses": rows,
        "dose_caveats": dose.caveats,
    }


# ---------------------------------------------------------------------------------------------------------- pictures


def _drawn(path: Path, draw: Callable[[], bytes]) -> Path | None:
    """Write a picture; one that cannot be drawn never fails a comparison, but is said."""
    import warnings

    try:
        path.write_bytes(draw())
    except InputError as error:
        warnings.warn(f"{path.name} was not drawn: {error}", stacklevel=3)
        return None
    return Path(path.name)


def _outlines(ctvs: Mapping[str, "sitk.Image"]) -> dict[str, Any]:
    from ..images import boolean
    from ..report import canonical
    from ..resources import colors

    shades = colors(list(ctvs))
    return {n: (boolean(canonical(m)), shades[n]) for n, m in ctvs.items()}


def _mixed(shares: tuple["Share", ...], names: list[str]) -> dict[int, str]:
    """A colour per label: a target volume's own where it covers alone, grey where all do, a mixture where some do."""
    from ..resources import colors, rgb

    own = colors(names)
    found = {}
    for share in shares:
        parts = [rgb(own[n]) for n in share.covered_by]
        mixed = [round(sum(c) / len(parts)) for c in zip(*parts)]
        whole = len(share.covered_by) == len(names)
        found[share.label] = "#9e9e9e" if whole else "#" + "".join(f"{c:02x}" for c in mixed)
    return found


def _background(args: argparse.Namespace) -> "sitk.Image | None":
    """What is drawn on: the image, else the series' own pixels, where they can be read."""
    from ..dicom.volumes import read_dicom_volume
    from ..images import read_image

    if args.image:
        return read_image(args.image)
    try:
        return read_dicom_volume(args.series) if args.series else None
    except InputError:
        return None


def _picture(
    args: argparse.Namespace,
    outlines: dict[str, Any],
    like: "sitk.Image",
    brain: "sitk.Image | None",
    focus: Any,
    fills: Any = None,
) -> bytes:
    from ..images import array, boolean, resample
    from ..report import canonical, contours_figure

    image = _background(args)
    title = "image" if image is not None else "brain mask" if brain is not None else ""
    background = resample(image, like) if image is not None else brain if brain is not None else like * 0
    shown = array(canonical(background))
    inside = boolean(canonical(brain)) if brain is not None else (shown > 0 if image is not None else focus)
    return contours_figure({title: shown}, outlines, inside, focus, canonical(like).GetSpacing(), fills)
