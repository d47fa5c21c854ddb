"""What DCE and DSC results look like on disk: maps with units, mask, AIF, the record, and a picture to look at."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..compute import each
from ..errors import InputError, require
from ..files import staged, write_csv, write_json
from ..images import Grid, array, boolean, write_image
from ..resources import colors, look, rgb
from ..steps import silent
from .aif import Aif
from .regions import CATEGORIES, write_regions
from .result import PerfusionMaps
from .settings import FORMATS

_SURE = 5.0  # SD that a value lies above 0 to count; chosen: noise hardly ever does
_CEREBRUM_MM = (20.0, 90.0)  # below the top of the head; chosen: from above the ventricles to above the orbits
_AXIAL = 0.7  # cosine of the angle between slices' normal and the body's axis, at least; chosen: half way to coronal
SIGNED = ("k2",)  # maps whose sign says something


def write(
    result: PerfusionMaps,
    out_dir: str | Path,
    format: str = FORMATS[0],
    regions: Mapping[str, sitk.Image] | None = None,
    max_uncertainty: float | None = None,
) -> dict[str, Any]:
    """Write maps, their SD, masks, aif.csv, fit.json and qc.png into a folder, all or nothing.

    With `regions` (masks by name on the grid of the maps), regions.csv and regions_histogram.csv too; see `write_regions`.

    Returns
    -------
    dict
        What fit.json holds.

    Raises
    ------
    InputError
        If nothing could be computed in any voxel, the folder cannot be written or the format is not known.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is not known; choose from {', '.join(FORMATS)}")
    if not any(value is not None and np.isfinite(value) for value in result.medians.values()):
        why = f": {'; '.join(result.notes)}" if result.notes else ""
        raise InputError(
            f"nothing could be computed: {', '.join(result.medians)} are undefined in all {int(boolean(result.mask).sum())} voxels{why}"
        )
    record = {
        "step": result.step,
        "settings": result.settings,
        "units": result.units,
        "heads": result.heads,
        "medians": result.medians,
        "steady_frame": result.bolus.steady,
        "arrival_frame": result.bolus.arrival,
        "arrival_s": float(result.times_s[result.n_baseline]),
        "n_baseline": result.n_baseline,
        "times_s": result.times_s,
        "fitted_voxels": int(boolean(result.mask).sum()),
        "aif": result.aif.record(),
        "mean_curve": result.mean,
        **result.record,
        "notes": result.notes,
    }
    with staged(out_dir) as folder:
        tasks = [(image, name, _description(name, result.units[name])) for name, image in result.maps.items()]
        tasks += [(image, f"{n}_sd", _description(f"{n}_sd", result.units[n])) for n, image in result.sd.items()]
        masks = {"mask": result.mask, **result.masks}
        if result.aif.voxels is not None:
            masks["aif_mask"] = Grid.of(result.mask).image(result.aif.voxels)
        if result.aif.sinus is not None:
            masks["sinus_mask"] = Grid.of(result.mask).image(result.aif.sinus)
        tasks += [(mask, name, f"{name} [0 or 1]") for name, mask in masks.items()]
        if result.t10 is not None:
            tasks.append((result.t10, "t10", _description("t10", "s")))
        save = lambda task: write_image(task[0], folder / f"{task[1]}.{format}", task[2])
        each(save, tasks, silent, "writing maps")
        write_aif(result.aif, folder / "aif.csv")
        if regions:
            record["notes"] = [*record["notes"], *write_regions(result, regions, folder, max_uncertainty)]
        write_json(folder / "fit.json", record)
        draw(lambda path: _picture(result, path), folder / "qc.png")
    return record


def _description(name: str, unit: str) -> str:
    return f"{name} [{unit}]"


def write_aif(aif: Aif, path: str | Path) -> None:
    """Write ``time_s,concentration``."""
    rows = [(f"{t:.6g}", f"{c:.7g}") for t, c in zip(aif.times_s, aif.concentration)]
    write_csv(path, ["time_s", "concentration"], rows)


def write_aif_files(aif: Aif, grid: Grid, path: str | Path, unit: str) -> list[str]:
    """Write an AIF's table to `path`, and beside it the voxels it was taken from and a picture; returns the names."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} is not the name of a table; it must end in .csv")
    with staged(path.parent) as folder:
        write_aif(aif, folder / path.name)
        if aif.voxels is not None:
            write_image(grid.image(aif.voxels), folder / f"{path.stem}_mask.nii.gz", "aif_mask [0 or 1]")
        if aif.sinus is not None:
            write_image(grid.image(aif.sinus), folder / f"{path.stem}_sinus.nii.gz", "sinus_mask [0 or 1]")
        draw(lambda target: _aif_picture(aif, unit, target), folder / f"{path.stem}.png")
        return sorted(p.name for p in folder.iterdir())


def _aif_picture(aif: Aif, unit: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    draw_aif(axes, aif, unit)
    axes.set_title(aif.how, fontsize=8, wrap=True)
    axes.legend(fontsize=7, frameon=False)
    save_figure(figure, path)


def draw(picture: Any, path: Path) -> bool:
    """Draw a picture if matplotlib is there; a missing one is said and never fails the computation."""
    try:
        require("matplotlib.figure", f"the picture {path.name}")
    except InputError as error:
        warnings.warn(f"{path.name} was not drawn: {error}", stacklevel=2)
        return False
    picture(path)
    return True


def save_figure(figure: Any, path: Path) -> None:
    """Save a figure without the version of matplotlib in it, so that the same input gives the same bytes."""
    figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_aif(axes: Any, aif: Aif, unit: str) -> None:
    """Draw an AIF, with the samples that it was fitted to."""
    axes.plot(
        aif.times_s, aif.concentration, color="#b2182b", lw=1.5, label="AIF" + (" (fitted)" if aif.fitted else "")
    )
    if aif.measured is not None:
        axes.plot(aif.measured_times_s, aif.measured, "o", color="#b2182b", ms=3, label="AIF samples")
    axes.set_xlabel("time (s)")
    axes.set_ylabel(unit)


def _picture(result: PerfusionMaps, path: Path) -> None:
    from matplotlib.figure import Figure

    inside, mean = boolean(result.mask), result.mean
    shown = [n for n in result.maps if n not in ("rmse", "misfit", "fast", *CATEGORIES)][:12]
    masks = {n: boolean(m) for n, m in result.masks.items()}
    if result.aif.voxels is not None:
        masks["AIF"] = result.aif.voxels
    level = np.nan_to_num(array(result.maps[shown[0]])) * inside
    z = _telling(result, shown[0], level, inside)
    columns = 4
    rows = 1 + -(-len(shown) // columns)
    # A layout that matplotlib finds takes longer than the rest of the picture: inches here.
    wide, tall = 3.2 * columns, 2.75 * rows + 0.6
    figure = Figure(figsize=(wide, tall))
    place = {"left": 0.6 / wide, "right": 1 - 0.45 / wide}
    upper = figure.add_gridspec(1, 8, top=1 - 0.6 / tall, bottom=1 - 2.7 / tall, wspace=0.75, **place)
    lower = figure.add_gridspec(
        rows - 1, columns, top=1 - 3.5 / tall, bottom=0.15 / tall, hspace=0.2, wspace=0.2, **place
    )
    span = 3 if masks else 4
    left, right = figure.add_subplot(upper[:span]), figure.add_subplot(upper[span : 2 * span])
    draw_aif(left, result.aif, result.aif_unit)
    left.axvline(result.times_s[result.n_baseline], color="0.6", lw=0.8, ls="--", label="arrival")
    left.set_title("arterial input function", fontsize=10)
    left.legend(fontsize=7, frameon=False)
    right.plot(result.times_s, mean.data, "o", ms=3, color="0.3", label="data")
    if np.isfinite(mean.model).any():
        right.plot(result.times_s, mean.model, color="#2166ac", lw=1.5, label=mean.label)
    right.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    right.set_title(mean.title, fontsize=10 if len(mean.title) < 40 else 8)
    right.set_xlabel("time (s)")
    right.set_ylabel(mean.unit)
    right.legend(fontsize=7, frameon=False)
    box = np.argwhere(inside.any(axis=0)) if inside.any() else np.array([[0, 0], list(inside.shape[1:])])
    (top, first), (bottom, last) = box.min(axis=0), box.max(axis=0) + 1
    cut = (slice(top, bottom), slice(first, last))
    aspect = result.mask.GetSpacing()[1] / result.mask.GetSpacing()[0]
    if masks:
        _masks(figure.add_subplot(upper[6:]), level, inside, masks, cut, aspect)
    for i, name in enumerate(shown):
        axes = figure.add_subplot(lower[divmod(i, columns)])
        told = inside[z]
        if name in result.sd:
            # Where the SD says that the data do not tell a parameter, its value would be taken for one.
            told = told & np.isfinite(array(result.sd[name])[z])
        values = np.where(told, array(result.maps[name])[z], np.nan)[cut]
        low, high = _range(name, result.units[name], values[np.isfinite(values)])
        signed = name in SIGNED
        picture = axes.imshow(
            values, cmap="RdBu_r" if signed else look(name).colormap, vmin=low, vmax=high, aspect=aspect
        )
        axes.set_title(f"{name} ({result.heads[name]})", fontsize=9 if len(result.heads[name]) < 16 else 7)
        axes.set_facecolor("0.85")
        axes.set_xticks([])
        axes.set_yticks([])
        bar = figure.colorbar(picture, ax=axes, fraction=0.046)
        bar.ax.tick_params(labelsize=7)
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "undefined or unknown", transform=axes.transAxes, ha="center", fontsize=8)
    figure.suptitle(
        f"slice {z + 1} of {inside.shape[0]}; grey: undefined or unknown; research use only",
        fontsize=8,
        y=1 - 0.1 / tall,
    )
    save_figure(figure, path)


def _telling(result: PerfusionMaps, name: str, level: np.ndarray, inside: np.ndarray) -> int:
    """The slice of the brain with most of a map that stands out from noise.

    With a mask of the whole head, noise of its ends and the face, which enhances, would win: of axial slices those count that lie as far
    below the top of the head as the cerebrum does, of others the middle half.
    """
    told = inside
    if name in result.sd:
        sd = np.nan_to_num(array(result.sd[name]), nan=np.inf)
        told = inside & (level > _SURE * np.where(sd > 0, sd, np.inf))
    cut = np.clip(level, 0, np.percentile(level[inside], 99) if inside.any() else 1)
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    if not slices.size:
        return 0
    along = result.mask.GetDirection()[8] * result.mask.GetSpacing()[2]  # mm upwards, from slice to slice
    if abs(result.mask.GetDirection()[8]) > _AXIAL:
        depth = (slices * along).max() - slices * along
        near = slices[(depth >= _CEREBRUM_MM[0]) & (depth <= _CEREBRUM_MM[1])]
    else:
        near = slices[slices.size // 4 : -(-3 * slices.size // 4)]
    near = near if near.size else slices
    weight = (cut * told)[near].sum(axis=(1, 2))
    return int(near[np.argmax(weight)] if weight.any() else near[near.size // 2])


def _range(name: str, unit: str, known: np.ndarray) -> tuple[float, float]:
    """Display range of a map: symmetric where its sign matters, else from 0 or the 2nd to the 95th percentile."""
    if not known.size:
        return 0.0, 1.0
    if name in SIGNED:
        far = max(float(np.percentile(np.abs(known), 98)), 1e-6)
        return -far, far
    low, high = np.percentile(known, [2, 95])
    low = low if name == "delay" else min(low, 0.0) if name == "tmax" else 0.0
    high = min(high, 1.0) if unit == "fraction" else high
    return float(low), max(float(high), float(low) + 1e-6)


def _masks(
    axes: Any,
    level: np.ndarray,
    inside: np.ndarray,
    masks: dict[str, np.ndarray],
    cut: tuple[slice, slice],
    aspect: float,
) -> None:
    """All masks over the slice that shows most of them, each by its area there beside that in its fullest slice."""
    share = [m.sum(axis=(1, 2)) / max(m.sum(axis=(1, 2)).max(), 1) for m in masks.values()]
    z = int(np.argmax(np.sum(share, axis=0)))
    values = np.where(inside[z], level[z], np.nan)[cut]
    known = values[np.isfinite(values)]
    axes.imshow(values, cmap="gray", vmin=0, vmax=np.percentile(known, 97) if known.size else 1, aspect=aspect)
    axes.set_facecolor("0.85")
    shades = colors(["artery" if name == "AIF" else name for name in masks])
    for (name, mask), color in zip(masks.items(), shades.values()):
        layer = np.zeros((*values.shape, 4))
        layer[mask[z][cut]] = [*(c / 255 for c in rgb(color)), 0.8]
        axes.imshow(layer, aspect=aspect, interpolation="nearest")
        axes.plot(
            [],
            [],
            "s",
            ms=5,
            color=color,
            label=f"{name.replace('_', ' ')} ({int(mask[z].sum())} of {int(mask.sum())})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"masks, slice {z + 1}", fontsize=9)
    axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=1, frameon=False)
