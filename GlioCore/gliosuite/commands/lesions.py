"""``lesions``."""

import argparse
from collections.abc import Callable
from typing import Any

from ..roles import IMAGES, MASKS

Progress = Callable[[float, str], None]
_IMAGES = {role: IMAGES[role] for role in ("t1c", "t1", "flair", "t2")}
_MASKS = {role: MASKS[role] for role in ("brain", "cel", "t2l", "nel", "necrosis", "cavity", "ventricles")}
_LESION = ("cel", "t2l", "nel", "necrosis", "cavity")


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``lesions``."""
    p = add(
        "lesions",
        "brain, enhancing lesion, T2 lesion, necrosis, cavity, ventricles: given masks, label maps, or drafts",
        description="Complete the masks of a visit. Given masks win; what is missing is drafted, and called a draft in lesions.json. "
        "Drafts are a start for a person to correct.",
    )
    for role, text in _IMAGES.items():
        p.add_argument(
            f"--{role}", metavar="IMAGE", help=f"{text}; images must be registered to each other (default none)"
        )
    for role, text in _MASKS.items():
        p.add_argument(f"--{role}", metavar="MASK", help=f"{text}, drawn already (default a draft)")
    p.add_argument(
        "--labelmap", metavar="M", help="label map with several of these masks; needs --convention (default none)"
    )
    p.add_argument(
        "--convention",
        metavar="C",
        help="what its numbers mean: brats2013, brats2017, brats2023, brats2024, hd-glio, or e.g. 1=necrosis,2=edema,4=cel with "
        "cel, necrosis, edema, core, cavity, brain, ventricles (no default: it is never guessed)",
    )
    p.add_argument(
        "--brain-method",
        choices=("auto", "atlas", "synthstrip", "hd-bet"),
        default="auto",
        help="how to find the brain where no mask is given: auto takes a skull-stripped image's foreground, else SynthStrip or HD-BET "
        "where installed, else the template (default auto)",
    )
    p.add_argument("--post-operative", action="store_true", help="look for a resection cavity (default not)")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for NAME.nii.gz and lesions.json")
    p.set_defaults(run=_lesions)


def _lesions(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import time
    import warnings
    from dataclasses import asdict
    from pathlib import Path

    from ..errors import InputError
    from ..files import staged, write_json
    from ..images import Grid, carried, chosen, read_image, read_mask, resample, write_image
    from ..lesions import SUGGESTIONS, LesionSettings, find_lesions, from_labelmap
    from ..steps import provenance
    from .masks import drafts_among

    started = time.perf_counter()
    paths = {role: getattr(args, role) for role in _IMAGES if getattr(args, role)}
    if not paths:
        raise InputError("lesions need an image: at least one of --t1c --t1 --flair --t2")
    if bool(args.labelmap) != bool(args.convention):
        raise InputError(
            "--labelmap and --convention go together: numbers in a label map mean different things in different collections"
        )
    images = {role: read_image(path) for role, path in paths.items()}
    first = next(iter(images))
    grid = Grid.of(images[first])
    for role, image in images.items():
        if not Grid.of(image).matches(grid):
            warnings.warn(
                f"{role} was resampled to the grid of {first} in its own position; gliosuite register aligns it",
                stacklevel=1,
            )
            images[role] = resample(image, grid)
    given = {}
    if args.labelmap:
        drawn = from_labelmap(read_image(args.labelmap), _convention(args.convention), args.labelmap)
        given = {role: carried(mask, grid, f"{role} of {args.labelmap}") for role, mask in drawn.items()}
    masks = {role: getattr(args, role) for role in _MASKS if getattr(args, role)}
    given |= {role: read_mask(path, grid) for role, path in masks.items()}
    settings = LesionSettings(args.brain_method, args.post_operative)
    found = find_lesions(images, given, settings, progress, unchecked=drafts_among(masks))
    inputs = (
        paths
        | {role: chosen(path)[0] for role, path in masks.items()}
        | ({"labelmap": args.labelmap} if args.labelmap else {})
    )
    record = provenance(
        "lesions", asdict(settings) | {"convention": args.convention}, inputs, time.perf_counter() - started
    )
    out = Path(args.out)
    with staged(out) as folder:
        for name, mask in found.masks.items():
            write_image(mask, folder / f"{name}.nii.gz", f"{name} ({found.sources[name]})")
        for name, mask in found.suggestions.items():
            write_image(mask, folder / SUGGESTIONS / f"{name}.nii.gz", f"{name} (suggestion)")
        write_json(
            folder / "lesions.json",
            {"masks": found.table(), "suggestions_cc": found.suggested_cc(), "notes": found.notes},
        )
        write_json(folder / "provenance.json", record)
    for note in found.notes:
        warnings.warn(note, stacklevel=1)
    volumes = found.volumes_cc()
    return {
        "masks": {name: str(out / f"{name}.nii.gz") for name in found.masks},
        "suggestions": {name: str(out / SUGGESTIONS / f"{name}.nii.gz") for name in found.suggestions},
        "volumes_cc": {name: round(v, 3) for name, v in volumes.items()},
        "sources": found.sources,
        "notes": found.notes,
        "losses": []
        if any(volumes[n] for n in _LESION if n in volumes)
        else ["no lesion was found, and none was given"],
    }


def _convention(text: str) -> str | dict[int, str]:
    """A convention's name, or a mapping like ``1=necrosis,4=cel``."""
    from ..errors import InputError

    if "=" not in text:
        return text
    try:
        return {int(number): tissue.strip() for number, tissue in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        raise InputError(f"--convention {text!r} cannot be read; e.g. 1=necrosis,2=edema,4=cel is needed") from None
