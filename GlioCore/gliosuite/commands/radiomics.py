"""``radiomics``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..recurrence.settings import RadiomicsSettings
from ..settings import add_options, settings_of
from ..steps import Progress
from .masks import MASK, add_geometry, drafts_among, grid_of_masks, mask_on, require_one_patient


def register(add: Callable) -> None:
    """Add ``radiomics``."""
    p = add(
        "radiomics",
        "1702 radiomic features of a CBV map in the enhancing and the non-enhancing lesion (Shim et al. 2021), by pyradiomics",
        description="Measure 1702 radiomic features of a CBV map in the enhancing and the non-enhancing lesion, after Shim et al. 2021. "
        f"Map and masks must be registered to each other. A mask is {MASK}.",
    )
    p.add_argument(
        "--cbv", required=True, metavar="C", help="CBV over that of normal white matter (ncbv of `gliosuite dsc`)"
    )
    p.add_argument("--cel", required=True, metavar="MASK", help="enhancing lesion, without necrosis")
    p.add_argument("--nel", required=True, metavar="MASK", help="non-enhancing lesion: the rest of the T2 lesion")
    add_options(p, RadiomicsSettings, *settings_of(RadiomicsSettings))
    add_geometry(p, "default the grid of the first of --cel --nel that is a file")
    p.add_argument(
        "--out", required=True, metavar="F.csv", help="one row of features; grey levels, volumes and notes go to F.json"
    )
    p.set_defaults(run=_radiomics)


def _radiomics(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..files import staged
    from ..images import read_image
    from ..recurrence.radiomics import measure, record_of, write

    out = Path(args.out)
    if out.suffix.lower() != ".csv":
        raise InputError(f"{out} is not the name of a table; it must end in .csv")
    settings = RadiomicsSettings(**{n: getattr(args, n) for n in settings_of(RadiomicsSettings)})
    require_one_patient([args.cel, args.nel], args.series)
    grid = grid_of_masks(args, [args.cel, args.nel])
    if max(abs(s - settings.grid_mm) for s in grid.spacing) > _AS_WANTED * settings.grid_mm:
        grid = grid.isotropic(settings.grid_mm)
    cel, nel = (mask_on(m, grid, args.series) for m in (args.cel, args.nel))
    made = measure(read_image(args.cbv), cel, nel, grid, settings, progress)
    drafts = drafts_among({"cel": args.cel, "nel": args.nel})
    notes = [*made.notes]
    if drafts:
        notes.append(f"{', '.join(drafts)}: a draft that no person has checked, and so is what rests on it")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    record = record_of(made, settings) | {"notes": notes}
    with staged(out.parent) as folder:
        write(made, folder / out.name, record)
    return {"out": out, **record}


_AS_WANTED = 0.01  # share of the spacing by which an image's may differ; chosen
