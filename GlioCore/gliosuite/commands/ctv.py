"""``ctv``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .masks import MASK, add_geometry, drafts_among, grid_of_masks, mask_on, require_one_patient

if TYPE_CHECKING:
    from ..images import Grid
    from ..rt.barriers import BarrierMasks
    from ..rt.targets import Structures, TargetVolumes, Validated

Progress = Callable[[float, str], None]


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``ctv``."""
    p = add(
        "ctv",
        "target volume of a scheme (rtog, s3-eortc, estro-eano ...), inside the brain",
        description=f"Make a clinical target volume by a scheme's rule, inside the brain. A mask is {MASK}.",
    )
    p.add_argument(
        "--scheme",
        required=True,
        metavar="NAME",
        help="rtog, rtog-boost, eortc, estro-acrop, estro-eano, nrg, s3-rtog, s3-eortc or model",
    )
    p.add_argument("--schemes", metavar="FILE", help="an edited copy of ctv_schemes.json to take the scheme from")
    p.add_argument("--brain", required=True, metavar="MASK", help="brain mask; no CTV leaves it")
    p.add_argument("--cel", metavar="MASK", help="enhancing lesion")
    p.add_argument("--t2l", metavar="MASK", help="T2 lesion")
    p.add_argument("--cavity", metavar="MASK", help="resection cavity")
    p.add_argument("--necrosis", metavar="MASK", help="necrosis; counted with the enhancing lesion")
    p.add_argument(
        "--critical",
        action="extend",
        nargs="+",
        default=[],
        metavar="MASK",
        help="structures to remove from the target volume",
    )
    p.add_argument(
        "--margin-mm",
        type=float,
        metavar="MM",
        help="margin from the surface of the GTV, mm (default the scheme's)",
    )
    p.add_argument(
        "--ptv-mm", type=float, metavar="MM", help="make the PTV too: the CTV and this margin, mm (default not)"
    )
    p.add_argument(
        "--barriers",
        default="none",
        metavar="DIR",
        help="what margins go round: a folder of masks named brain, falx, tentorium, ventricles, brainstem, chiasm, callosum, peduncles; "
        "auto: the template registered to --image; none: margins run straight (default none)",
    )
    p.add_argument(
        "--through",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of brainstem and chiasm, those that stop no margin (default both stop it, where there is a mask)",
    )
    p.add_argument("--probability", metavar="P", help="scheme model: recurrence probability image, 0-1")
    p.add_argument(
        "--probability-source",
        metavar="TEXT",
        help="scheme model: what made the probability, for the record (default what its file says of itself)",
    )
    p.add_argument("--threshold", type=float, metavar="T", help="scheme model: least probability included, 0-1")
    p.add_argument("--volume-cc", type=float, metavar="V", help="scheme model: volume of the CTV, cc")
    p.add_argument("--like", metavar="SCHEME", help="scheme model: give it the volume of this scheme")
    p.add_argument(
        "--sensitivity",
        type=float,
        metavar="S",
        help="scheme model: the highest threshold that covers this share of the progression, 0-1, on average over --validation",
    )
    p.add_argument(
        "--validation",
        metavar="DIR",
        help="validation cases: folders with images probability, progression, brain and any of cel, t2l, cavity",
    )
    p.add_argument(
        "--smoothing-mm",
        type=float,
        default=2.0,
        metavar="MM",
        help="scheme model: scale at which the probability is smoothed and outlines are closed, mm (default 2)",
    )
    p.add_argument(
        "--keep-satellites",
        action="store_true",
        help="scheme model: keep predicted parts that do not touch the lesion (default they are listed and left out)",
    )
    add_geometry(
        p, "default the grid of the first of --cel --cavity --t2l --brain that is a file; --barriers auto needs it"
    )
    p.add_argument("--gtv-out", metavar="G.nii.gz", help="write the GTV too (default not)")
    p.add_argument("--out", required=True, metavar="M.nii.gz", help="the CTV; its rule and volumes go to M.json")
    p.set_defaults(run=_ctv)


def _ctv(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..files import staged, write_json
    from ..images import DRAFT, read_image, suffix, write_image
    from ..rt.targets import Structures, scheme, target_volumes, told
    from ..steps import heard

    scheme(args.scheme, args.schemes)
    outs = [Path(p) for p in (args.out, args.gtv_out) if p]
    for path in outs:
        if not suffix(path):
            raise InputError(f"{path} is not an image name that GlioSuite writes; M.nii.gz is one")
    validated = _validated(args)
    given = [m for m in (args.cel, args.cavity, args.t2l, args.brain) if m]
    require_one_patient([*given, args.necrosis, *args.critical], args.series)
    grid = grid_of_masks(args, given)
    mask = lambda text: mask_on(text, grid, args.series) if text else None
    with heard() as said:
        structures = Structures(
            brain=mask_on(args.brain, grid, args.series),
            cel=mask(args.cel),
            t2l=mask(args.t2l),
            cavity=mask(args.cavity),
            necrosis=mask(args.necrosis),
            critical=tuple(mask_on(m, grid, args.series) for m in args.critical),
        )
    barriers, lost = _barriers(args, grid, structures, progress)
    probability = read_image(args.probability) if args.probability else None
    source = args.probability_source or ("" if probability is None else told(probability, Path(args.probability).name))
    progress(0.5, "growing")
    made = target_volumes(
        args.scheme,
        structures,
        grid,
        args.margin_mm,
        probability,
        args.threshold if validated is None else validated.threshold,
        args.volume_cc,
        args.like,
        barriers=barriers,
        ptv_mm=args.ptv_mm,
        table=args.schemes,
        smoothing_mm=args.smoothing_mm,
        keep_satellites=args.keep_satellites,
        probability_source=source,
    )
    for note in made.notes:
        warnings.warn(note, stacklevel=2)
    drafts = drafts_among({n: getattr(args, n) for n in ("cel", "t2l", "cavity", "necrosis")})
    if drafts:
        warnings.warn(
            f"{', '.join(drafts)}: a draft that no person has checked, and so is what rests on it", stacklevel=2
        )
    # First, since a NIfTI header holds 80 characters.
    mark = f"{DRAFT} ({', '.join(drafts)}), " if drafts else ""
    report = _report(made, structures, source, args, validated, mark)
    report["notes"] = [*([lost] if lost else []), *said, *made.notes]
    out = outs[0]
    stem = out.name[: -len(suffix(out))]
    images = {out.name: (made.targets[0].rule.ctv_name, made.ctv, made.targets[0].how)}
    for i, t in enumerate(made.targets):
        if i:
            images[f"{stem}_{t.rule.ctv_name}{suffix(out)}"] = (t.rule.ctv_name, t.ctv, t.how)
        if t.ptv is not None:
            how = f"{t.rule.ctv_name} + {args.ptv_mm:g} mm"
            images[f"{stem}_{t.rule.ptv_name}{suffix(out)}"] = (t.rule.ptv_name, t.ptv, how)
    if args.barriers == "auto" and barriers is not None:
        for name, found in barriers.masks.items():
            images[f"{stem}_barrier_{name}{suffix(out)}"] = (name, found, barriers.source)
    with staged(out.parent) as folder:
        for file, (name, image, how) in images.items():
            write_image(image, folder / file, f"{name}: {mark}{how}")
        write_json(folder / f"{stem}.json", report)
        if args.gtv_out:
            write_image(made.gtv, args.gtv_out, f"{made.targets[0].rule.gtv_name} ({mark}{made.scheme.name})")
    return {
        "ctv": out,
        "more": [out.with_name(n) for n in list(images)[1:]],
        "gtv": args.gtv_out,
        **report,
        "losses": [lost] if lost else [],
    }


def _report(
    made: "TargetVolumes",
    structures: "Structures",
    source: str,
    args: argparse.Namespace,
    validated: "Validated | None",
    mark: str,
) -> dict[str, Any]:
    from dataclasses import asdict

    report: dict[str, Any] = {
        "scheme": made.scheme.name,
        "title": made.scheme.title,
        "source": made.scheme.source,
        "year": made.scheme.year,
        "volumes_cc": made.volumes_cc,
        "targets": [
            {"name": t.rule.ctv_name, "gtv": t.rule.gtv_name, "dose": t.rule.dose, "how": f"{mark}{t.how}"}
            | ({"ptv": t.rule.ptv_name, "ptv_mm": args.ptv_mm} if t.ptv is not None else {})
            for t in made.targets
        ],
        "ptv_mm_usual": made.scheme.ptv_mm,
        "barriers": {"source": made.barriers_source, "rules": made.barriers},
        "critical_structures": len(structures.critical),
        "draft": bool(mark),
        "notes": made.notes,
        "research_use": "For research use only.",
    }
    if args.probability:
        report["probability"] = {
            "source": source,
            "smoothing_mm": args.smoothing_mm,
            "satellites_kept": args.keep_satellites,
            "satellites": [{k: round(v, 4) for k, v in asdict(s).items()} for s in made.satellites],
        }
    if validated is not None:
        report["probability"]["validation"] = asdict(validated)
    return report


def _validated(args: argparse.Namespace) -> "Validated | None":
    """The threshold chosen on validation cases, where it is asked for."""
    from ..rt.targets import read_validation, threshold_for

    if args.sensitivity is None and args.validation is None:
        return None
    if args.sensitivity is None or args.validation is None:
        raise InputError("--sensitivity S and --validation DIR belong together; one of them is missing")
    if not args.probability or any(v is not None for v in (args.threshold, args.volume_cc, args.like)):
        raise InputError(
            "--sensitivity needs --probability, and takes the place of --threshold, --volume-cc and --like"
        )
    return threshold_for(read_validation(args.validation, args.smoothing_mm, args.keep_satellites), args.sensitivity)


def _barriers(
    args: argparse.Namespace, grid: "Grid", structures: "Structures", progress: Progress
) -> tuple["BarrierMasks | None", str]:
    """The barriers that are asked for, or a sentence where they cannot be placed: the CTV is worth having without."""
    from ..images import read_image
    from ..rt.barriers import find_barriers, read_barriers

    if args.barriers == "none":
        if args.through:
            raise InputError(
                "--through names ways through barriers, and there are none; --barriers DIR or auto is needed"
            )
        return None, ""
    if args.barriers != "auto":
        return read_barriers(args.barriers, grid, args.through), ""
    if not args.image:
        raise InputError("--barriers auto registers the template to an image; --image I (a T1c, best) is needed")
    progress(0.1, "placing barriers")
    try:
        return find_barriers(read_image(args.image), structures.brain, structures.lesion, grid, args.through), ""
    except InputError as error:
        return None, f"the margins are straight, with no barriers: {error}"
