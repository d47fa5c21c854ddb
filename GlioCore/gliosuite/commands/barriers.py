"""``barriers``."""

import argparse
from collections.abc import Callable
from typing import Any

from .masks import MASK, add_geometry, mask_on

Progress = Callable[[float, str], None]


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``barriers``."""
    p = add(
        "barriers",
        "place falx, tentorium, ventricles, callosum and brainstem by registration, to be looked at and taken by ctv --barriers",
        description="Register the template to an image (affine, B-spline) and write what stops a margin or lets it through, one mask each. "
        f"Look at them and correct them before ctv or run take the folder with --barriers. A mask is {MASK}.",
    )
    add_geometry(p, "needed; a T1c, best")
    p.add_argument("--brain", required=True, metavar="MASK", help="brain mask")
    p.add_argument(
        "--lesion",
        action="extend",
        nargs="+",
        default=[],
        metavar="MASK",
        help="lesion, cavity: kept out of the registration (default nothing is)",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="folder of masks falx, tentorium, ventricles ...")
    p.set_defaults(run=_barriers)


def _barriers(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from pathlib import Path

    import numpy as np

    from ..errors import InputError
    from ..files import staged
    from ..images import Grid, boolean, read_image, volume_cc, write_image
    from ..rt.barriers import find_barriers

    if not args.image:
        raise InputError("--image is missing; barriers are placed on an image (a T1c, best)")
    image = read_image(args.image)
    grid = Grid.of(image)
    brain = mask_on(args.brain, grid, args.series)
    parts = [boolean(mask_on(m, grid, args.series)) for m in args.lesion]
    progress(0.1, "registering the template")
    found = find_barriers(image, brain, grid.image(np.any(parts, axis=0)) if parts else None, grid)
    out = Path(args.out)
    with staged(out) as folder:
        for name, mask in found.masks.items():
            write_image(mask, folder / f"{name}.nii.gz", f"{name} ({found.source})")
    return {
        "barriers": {n: out / f"{n}.nii.gz" for n in found.masks},
        "source": found.source,
        "volumes_cc": {n: round(volume_cc(m), 3) for n, m in found.masks.items()},
        "notes": ["No person drew these: check them before they are used for a target volume."],
    }
