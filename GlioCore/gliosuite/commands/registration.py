"""``register``, ``motion``, ``progression``."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Progress = Callable[[float, str], None]


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this family's commands."""
    p = add("register", "put one image onto another and say how good the result is")
    p.add_argument("--fixed", required=True, metavar="F", help="image that stays, e.g. the T1c")
    p.add_argument("--moving", required=True, metavar="M", help="image that is moved")
    p.add_argument(
        "--out", required=True, metavar="O", help="moved image on the fixed grid; its quality goes to O.json"
    )
    p.add_argument(
        "--transform",
        required=True,
        metavar="T.tfm",
        help="ITK transform from fixed to moving points (LPS, mm); with a bspline stage its name ends in .h5",
    )
    p.add_argument(
        "--stages",
        default="rigid",
        metavar="LIST",
        help="of rigid,affine,bspline, in this order (default rigid: right for one patient on one day)",
    )
    p.add_argument("--label", metavar="L", help="mask or label map drawn on the moving image, to be carried along")
    p.add_argument("--label-out", metavar="LO", help="the carried mask or label map on the fixed grid")
    p.add_argument("--fixed-mask", metavar="M", help="where to look in the fixed image (default the head)")
    p.add_argument("--moving-mask", metavar="M", help="where to look in the moving image (default the head)")
    p.add_argument(
        "--spacing-mm",
        type=float,
        metavar="S",
        help="resample to an isotropic grid of S mm with the fixed image's field of view (default: the fixed grid)",
    )
    p.add_argument(
        "--start",
        choices=("search", "moments", "center-of-head", "geometry", "identity"),
        default="search",
        help="how to find a starting position (default search: several, the best is kept)",
    )
    p.add_argument("--picture", metavar="P.png", help="write a checkerboard of both images")
    _engine(p)
    p.set_defaults(run=_register)

    p = add("motion", "move every frame of a 4-D series onto its first ones")
    p.add_argument("series", metavar="SERIES", help="4-D image")
    p.add_argument(
        "--out",
        required=True,
        metavar="O",
        help="corrected 4-D image; the motion table and its picture go to O.csv and O.png beside it",
    )
    p.add_argument("--mask", metavar="M", help="where to look (default the head)")
    p.add_argument(
        "--reference-frames",
        type=int,
        metavar="N",
        help="the mean position in the first N frames is the reference (default a tenth of the series, 1 to 10)",
    )
    p.set_defaults(run=_motion)

    p = add("progression", "put the follow-up of a case onto its baseline and say what progressed")
    p.add_argument("case", metavar="CASE", help="case folder or case.json with a followup")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    p.add_argument(
        "--spacing-mm",
        type=float,
        default=1.0,
        metavar="S",
        help="isotropic voxel size in mm of the baseline grid (default 1; 0: the baseline image's own grid)",
    )
    p.add_argument("--no-bspline", action="store_true", help="rigid and affine stages alone")
    p.add_argument(
        "--landmarks",
        nargs=2,
        metavar=("BASELINE.csv", "FOLLOWUP.csv"),
        help="corresponding points (columns X, Y, Z in mm, LPS) of both visits; their mean distance is reported",
    )
    _engine(p)
    p.set_defaults(run=_progression)


def _engine(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--engine",
        choices=("auto", "brainsfit", "simpleitk"),
        default="auto",
        help="auto takes BRAINSFit where there is one and SimpleITK otherwise (default auto)",
    )
    p.add_argument("--brainsfit", metavar="FILE", help="BRAINSFit executable or Slicer folder (default: looked for)")


def _beside(name: str, ending: str) -> "tuple[Path, Path]":
    """An image to be written, and the file beside it with another ending; wrong names are refused before the work starts."""
    from pathlib import Path

    from ..errors import InputError
    from ..images import SUFFIXES, suffix

    path = Path(name)
    if not suffix(path):
        raise InputError(
            f"{path} is not an image name that GlioSuite writes; it must end in one of {', '.join(SUFFIXES)}"
        )
    return path, path.with_name(path.name[: len(path.name) - len(suffix(path))] + ending)


def _drawn(draw: Callable[..., Any], *what: Any) -> bool:
    """Draw a picture, whose path comes last; one that cannot be drawn never fails a computation, but is said."""
    import warnings

    from ..errors import InputError

    try:
        draw(*what)
    except InputError as error:
        warnings.warn(f"{what[-1].name} was not written: {error}", stacklevel=2)
        return False
    return True


def _register(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import contextlib
    import os
    from dataclasses import asdict
    from pathlib import Path

    import numpy as np

    from ..errors import InputError
    from ..files import atomic, write_json
    from ..images import (
        DRAFT,
        Grid,
        array,
        is_draft,
        read_image,
        read_mask,
        resample,
        resample_labels,
        resample_mask,
        said_of,
        write_image,
    )
    from ..registration import (
        RegistrationSettings,
        check_transform_name,
        common_grid,
        register,
        write_checkerboard,
        write_transform,
    )

    stages = tuple(s.strip() for s in args.stages.split(",") if s.strip())
    settings = RegistrationSettings(stages=stages, start=args.start)
    check_transform_name(args.transform, "bspline" in stages)
    out, quality_file = _beside(args.out, ".json")
    if (args.label is None) != (args.label_out is None):
        raise InputError("--label and --label-out belong together; one of them is missing")
    if args.spacing_mm is not None and not args.spacing_mm > 0:
        raise InputError(f"--spacing-mm is {args.spacing_mm:g}; a length above 0 mm is needed")
    fixed, moving = read_image(args.fixed), read_image(args.moving)
    labels = read_image(args.label) if args.label else None
    fixed_mask, moving_mask = (
        read_mask(mask, image) if mask else None
        for mask, image in ((args.fixed_mask, fixed), (args.moving_mask, moving))
    )
    before = os.times()
    result = register(fixed, moving, settings, fixed_mask, moving_mask, args.engine, args.brainsfit, progress)

    # This process and its children (BRAINSFit); told, and not written: results hold no duration.
    cpu_s = sum(after - was for after, was in zip(os.times()[:4], before[:4]))
    grid = common_grid(fixed, args.spacing_mm) if args.spacing_mm else Grid.of(fixed)
    image = resample(moving, grid, result.transform) if args.spacing_mm else result.image
    quality = asdict(result.quality) | {
        "engine": result.engine,
        "stages": list(result.stages),
        "notes": list(result.notes),
    }
    written = {"out": out, "transform": Path(args.transform), "quality": quality_file}
    if labels is not None:
        written["label"] = _beside(args.label_out, "")[0]
        several = len(np.unique(array(labels))) > 2
        carried = (resample_labels if several else resample_mask)(labels, grid, result.transform)
        if not several:  # a mask keeps its value
            carried = carried * int(array(labels).max())
        if not array(carried).any():
            raise InputError(f"{args.label} has no voxel on the fixed grid after registration")
    with contextlib.ExitStack() as stack:  # all of them or none
        to = {name: stack.enter_context(atomic(path)) for name, path in written.items()}
        write_image(image, to["out"], "registered")
        write_transform(result.transform, to["transform"])
        write_json(to["quality"], quality)
        if labels is not None:
            mark = f"{DRAFT}: " if is_draft(said_of(labels)) else ""
            write_image(carried, to["label"], f"{mark}carried by signed distance")
    if args.picture and _drawn(write_checkerboard, fixed, result.image, Path(args.picture)):
        written["picture"] = Path(args.picture)
    return (
        written
        | {"engine": result.engine, "cpu_s": round(cpu_s, 1), "notes": list(result.notes)}
        | {k: quality[k] for k in _TOLD}
    )


_TOLD = (
    "verdict",
    "mutual_information_before",
    "mutual_information_after",
    "overlap",
    "translation_mm",
    "rotation_deg",
    "min_jacobian",
)


def _motion(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..errors import InputError
    from ..files import atomic, write_csv
    from ..images import read_mask, read_series, write_series
    from ..registration import write_motion
    from ..registration.motion import MotionSettings, correct_motion

    out, table = _beside(args.out, ".csv")
    first = args.reference_frames
    series = read_series(args.series)
    if first is not None and not 1 <= first <= series.n_times:
        raise InputError(f"--reference-frames is {first}; 1 to {series.n_times} are possible with {args.series}")
    mask = read_mask(args.mask, series.grid) if args.mask else None
    result = correct_motion(series, MotionSettings(reference_frames=first), mask, progress)
    for note in result.notes:
        warnings.warn(note, stacklevel=1)
    with atomic(out) as image, atomic(table) as rows_file:
        write_series(result.series, image, series.file_dt_s, "motion corrected")
        write_csv(rows_file, *result.table())
    picture = table.with_suffix(".png")
    drawn = {"picture": picture} if _drawn(write_motion, result, picture) else {}
    return {"out": out, "table": table, **drawn, **result.summary}


def _progression(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import time
    from dataclasses import asdict
    from pathlib import Path

    from ..case import Case
    from ..errors import InputError
    from ..files import staged, write_json
    from ..images import said_of, write_image
    from ..registration import (
        FollowupSettings,
        common_grid,
        followup_of,
        read_landmarks,
        write_checkerboard,
        write_transform,
    )
    from ..steps import provenance

    if not args.spacing_mm >= 0:
        raise InputError(f"--spacing-mm is {args.spacing_mm:g}; 0 or a length above it in mm is needed")
    start = time.monotonic()
    case = Case.load(args.case)
    case.keep(args.out)
    points = (read_landmarks(args.landmarks[0]), read_landmarks(args.landmarks[1])) if args.landmarks else None
    settings = FollowupSettings(deformable=None) if args.no_bspline else FollowupSettings()
    reference = next((r for r in ("t1c", "flair", "t1", "t2") if r in case.images), None)
    grid = common_grid(case.image(reference), args.spacing_mm) if reference and args.spacing_mm else None
    result = followup_of(case, grid, points, settings, args.engine, args.brainsfit, progress)
    out = Path(args.out)
    ending = ".tfm" if args.no_bspline else ".h5"
    with staged(out) as folder:
        for role, image in result.images.items():
            write_image(image, folder / f"followup_{role}.nii.gz", f"follow-up {role} at baseline")
        for name, mask in result.masks.items():
            write_image(mask, folder / f"{name}.nii.gz", said_of(mask) or f"{name} at baseline")
        write_image(result.jacobian, folder / "jacobian.nii.gz", "volume at follow-up per volume at baseline")
        write_transform(result.transform, folder / f"baseline_to_followup{ending}")
        write_transform(result.inverse, folder / f"followup_to_baseline{ending}")
        quality = asdict(result.quality) | {"engine": result.engine, "notes": list(result.notes)}
        write_json(folder / "progression.json", result.summary | {"quality": quality})
        inputs = {f"baseline:{r}": p for r, p in case.files().items()}
        if case.followup is not None:
            inputs |= {f"followup:{r}": p for r, p in case.followup.files().items()}
        record = provenance("progression", settings, inputs, time.monotonic() - start, engine=result.engine)
        write_json(folder / "provenance.json", record)
        reference = result.summary["reference"]
        _drawn(write_checkerboard, case.image(reference), result.images[reference], folder / "checkerboard.png")
    return {"out": out, "engine": result.engine, **result.summary}
