"""What a synthesis looks like on disk: maps, their SD and 95 % interval, where the network was not trained, and a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...compute import each
from ...files import staged, write_json
from ...images import array, boolean, is_draft, said_of, write_image
from ...resources import look
from ...steps import silent
from ..output import draw, save_figure
from ..regions import write_tables
from ..settings import FORMATS
from .fitted import Fitted
from .posterior import Synthesis

OUTSIDE = "out_of_distribution"
SHOWN = ("ktrans", "vp", "ve")


def images(made: Synthesis) -> dict[str, sitk.Image]:
    """All images of a synthesis by the name of their file."""
    result = dict(made.maps)
    for ending, of in (("sd", made.sd), ("lower", made.lower), ("upper", made.upper)):
        result |= {f"{name}_{ending}": image for name, image in of.items()}
    return result | {OUTSIDE: made.outside}


def write(
    made: Synthesis,
    fitted: Fitted | None,
    out: str | Path,
    format: str = FORMATS[0],
    regions: Mapping[str, sitk.Image] | None = None,
    max_uncertainty: float | None = None,
) -> dict[str, Any]:
    """Write maps, mask, synthesis.json and qc.png into a folder, all or nothing; with `regions`, their tables too.

    Parameters
    ----------
    fitted
        What was refined, if anything was; the picture shows it beside the result.
    regions, max_uncertainty
        As in `perfusion.regions.write_regions`.

    Returns
    -------
    dict
        What synthesis.json holds.
    """
    record = {**made.record, "units": {n: look(n).unit for n in made.maps}, "notes": list(made.notes)}
    record["medians"] = {n: _median(image, made.mask) for n, image in made.maps.items()}
    with staged(out) as folder:
        tasks = [(image, name, f"{name} [{look(name).unit}]") for name, image in images(made).items()]
        tasks.append((made.mask, "mask", "mask [0 or 1]"))
        each(lambda task: write_image(task[0], folder / f"{task[1]}.{format}", task[2]), tasks, silent)
        if regions:
            record["notes"] += _write_regions(made, regions, folder, max_uncertainty)
        write_json(folder / "synthesis.json", record)
        draw(lambda path: _picture(made, fitted, path), folder / "qc.png")
    return record


def _median(image: sitk.Image, mask: sitk.Image) -> float | None:
    inside = array(image)[boolean(mask)]
    known = inside[np.isfinite(inside)]
    return float(np.median(known)) if known.size else None


def _write_regions(
    made: Synthesis, regions: Mapping[str, sitk.Image], folder: Path, max_uncertainty: float | None
) -> list[str]:
    inside = boolean(made.mask)
    maps = {name: np.where(inside, array(image), np.nan) for name, image in made.maps.items()}
    heads = {name: look(name).head for name in maps}
    masks = {name: boolean(mask) for name, mask in regions.items()}
    drafts = {name for name, mask in regions.items() if is_draft(said_of(mask))}
    return write_tables(folder, maps, made.sd, heads, masks, drafts, made.mask.GetSpacing(), max_uncertainty)


def _picture(made: Synthesis, fitted: Fitted | None, path: Path) -> None:
    """Fit (where there is one), result and uncertainty of each parameter beside each other, in the slice that leaks most."""
    from matplotlib.figure import Figure

    inside = boolean(made.mask)
    level = np.clip(np.nan_to_num(array(made.maps["ktrans"])), 0, 0.3) * inside
    z = int(np.argmax(level.sum(axis=(1, 2)))) if level.any() else inside.shape[0] // 2
    rows, columns = np.flatnonzero(inside.any(axis=(0, 2))), np.flatnonzero(inside.any(axis=(0, 1)))
    cut = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if rows.size else (slice(None),) * 2
    spacing = made.mask.GetSpacing()
    tall, wide = len(range(*cut[0].indices(inside.shape[1]))), len(range(*cut[1].indices(inside.shape[2])))
    height = 2.6 * tall * spacing[1] / (wide * spacing[0])
    columns_shown = 2 if fitted is None else 3
    figure = Figure(figsize=(3.4 * columns_shown, 3 * (height + 0.35) + 0.4), layout="constrained")
    axes = figure.subplots(3, columns_shown)
    for row, name in zip(axes, SHOWN):
        own = look(name)
        value, sd = array(made.maps[name])[z], array(made.sd[name])[z]
        high = own.range[1] if own.range else float(np.nanpercentile(value[inside[z]], 99))
        with np.errstate(divide="ignore", invalid="ignore"):
            percent = 100 * sd / np.abs(value)
        uncertainty = look(f"{name}_uncertainty")
        shown = [
            (value, f"{own.title}, {made.record['model']}", own.colormap, high, own.unit),
            (percent, f"{own.title}, uncertainty", uncertainty.colormap, 100.0, uncertainty.unit),
        ]
        if fitted is not None:
            shown.insert(0, (array(fitted.values[name])[z], f"{own.title}, fitted", own.colormap, high, own.unit))
        for one, (values, title, colors, top, unit) in zip(row, shown):
            there = np.where(inside[z], values, np.nan)[cut]
            picture = one.imshow(there, cmap=colors, vmin=0, vmax=top, aspect=spacing[1] / spacing[0])
            one.set_title(title, fontsize=9)
            one.set_facecolor("0.85")
            one.set_xticks([])
            one.set_yticks([])
            bar = figure.colorbar(picture, ax=one, fraction=0.046)
            bar.ax.tick_params(labelsize=7)
            bar.set_label(unit, fontsize=7)
    figure.suptitle(
        f"slice {z + 1} of {inside.shape[0]}; a network trained on simulated patients; research use only", fontsize=8
    )
    save_figure(figure, path)
