"""``ctv``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .masks import MASK, add_geometry, grid_of_masks, mask_on

Add = Callable[..., argparse.ArgumentParser]
Progress = Callable[[float, str], None]


def register(add: Add) -> None:
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
    p.add_argument("--brain", required=True, metavar="MASK", help="brain mask; no target volume leaves it")
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
    p.add_argument("--probability", metavar="P", help="scheme model: recurrence probability image, 0-1")
    p.add_argument("--threshold", type=float, metavar="T", help="scheme model: least probability included, 0-1")
    p.add_argument("--volume-cc", type=float, metavar="V", help="scheme model: volume of the target volume, cc")
    p.add_argument("--like", metavar="SCHEME", help="scheme model: give it the volume of this scheme")
    p.add_argument(
        "--barriers", metavar="DIR", help="masks that stop the margin; not in this version, which refuses the option"
    )
    add_geometry(p, "default the grid of the first of --cel --cavity --t2l --brain that is a file")
    p.add_argument("--gtv-out", metavar="G.nii.gz", help="write the GTV too (default not)")
    p.add_argument(
        "--out", required=True, metavar="M.nii.gz", help="the target volume; its rule and volumes go to M.json"
    )
    p.set_defaults(run=_ctv)


def _ctv(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..files import staged, write_json
    from ..images import read_image, suffix, write_image
    from ..rt.ctv import Structures, scheme, target_volumes

    scheme(args.scheme)
    if args.barriers:
        raise InputError(
            "--barriers is not part of this version: margins run straight inside the brain; leave the option out"
        )
    outs = [Path(p) for p in (args.out, args.gtv_out) if p]
    for path in outs:
        if not suffix(path):
            raise InputError(f"{path} is not an image name that GlioSuite writes; M.nii.gz is one")
    given = [m for m in (args.cel, args.cavity, args.t2l, args.brain) if m]
    grid = grid_of_masks(args, given)
    mask = lambda text: mask_on(text, grid, args.series) if text else None
    structures = Structures(
        brain=mask(args.brain),
        cel=mask(args.cel),
        t2l=mask(args.t2l),
        cavity=mask(args.cavity),
        necrosis=mask(args.necrosis),
        critical=tuple(mask(m) for m in args.critical),
    )
    progress(0.3, "growing")
    made = target_volumes(
        args.scheme,
        structures,
        grid,
        args.margin_mm,
        read_image(args.probability) if args.probability else None,
        args.threshold,
        args.volume_cc,
        args.like,
    )
    for note in made.notes:
        warnings.warn(note, stacklevel=2)
    out = outs[0]
    stem = out.name[: -len(suffix(out))]
    report = {
        "scheme": made.scheme.name,
        "title": made.scheme.title,
        "source": made.scheme.source,
        "year": made.scheme.year,
        "volumes_cc": made.volumes_cc,
        "targets": [
            {"name": t.rule.ctv_name, "gtv": t.rule.gtv_name, "dose": t.rule.dose, "how": t.how} for t in made.targets
        ],
        "notes": made.notes,
        "research_use": "For research use only.",
    }
    names = [out, *(out.with_name(f"{stem}_{t.rule.ctv_name}{suffix(out)}") for t in made.targets[1:])]
    with staged(out.parent) as folder:
        for path, target in zip(names, made.targets):
            write_image(target.ctv, folder / path.name, f"{target.rule.ctv_name}: {target.how}")
        write_json(folder / f"{stem}.json", report)
        if args.gtv_out:
            write_image(made.gtv, args.gtv_out, f"{made.targets[0].rule.gtv_name} ({made.scheme.name})")
    return {"ctv": out, "more": names[1:], "gtv": args.gtv_out, **report}
