"""What DCE and DSC results look like on disk: maps with units, mask, AIF, the record, and a picture to look at."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, require
from ..files import staged, write_csv, write_json
from ..images import Grid, array, boolean, write_image
from .aif import Aif

FORMATS = ("nii.gz", "nrrd")


def write_maps(result: Any, out_dir: str | Path, format: str, step: str) -> dict:
    """Write a `DceMaps` or `DscMaps` into a folder, all or nothing.

    Returns
    -------
    dict
        What fit.json holds.

    Raises
    ------
    InputError
        If the folder cannot be written or the format is not known.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r} is not known; choose from {', '.join(FORMATS)}")
    record = {
        "step": step,
        "settings": result.settings,
        "units": result.units,
        "medians": result.medians,
        "steady_frame": result.bolus.steady,
        "arrival_frame": result.bolus.arrival,
        "arrival_s": float(result.times_s[result.bolus.arrival - result.bolus.steady]),
        "n_baseline": result.bolus.arrival - result.bolus.steady,
        "times_s": result.times_s,
        "fitted_voxels": int(boolean(result.mask).sum()),
        "aif": result.aif.record(),
        **getattr(result, "record", {}),
        "notes": result.notes,
    }
    with staged(out_dir) as folder:
        for name, image in result.maps.items():
            write_image(image, folder / f"{name}.{format}", _description(name, result.units[name]))
        for name, image in result.sd.items():
            write_image(image, folder / f"{name}_sd.{format}", _description(f"{name}_sd", result.units[name]))
        for name, mask in {"mask": result.mask, **getattr(result, "masks", {})}.items():
            write_image(mask, folder / f"{name}.{format}", f"{name} [0 or 1]")
        if result.aif.voxels is not None:
            voxels = Grid.of(result.mask).image(result.aif.voxels)
            write_image(voxels, folder / f"aif_mask.{format}", "aif_mask [0 or 1]")
        if result.aif.sinus is not None:
            sinus = Grid.of(result.mask).image(result.aif.sinus)
            write_image(sinus, folder / f"sinus_mask.{format}", "sinus_mask [0 or 1]")
        write_aif(result.aif, folder / "aif.csv")
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


def _picture(result: Any, path: Path) -> None:
    from matplotlib.figure import Figure

    inside = boolean(result.mask)
    shown = [n for n in result.maps if n not in ("rmse", "model", "misfit")][:8]
    # The slice where most voxels were fitted, weighted by the first map so that it shows something.
    level = np.nan_to_num(array(result.maps[shown[0]])) * inside
    weight = np.clip(level, 0, np.percentile(level[inside], 99) if inside.any() else 1).sum(axis=(1, 2))
    z = int(np.argmax(weight))
    columns = 4
    rows = 1 + -(-len(shown) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.9 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    left, right = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    draw_aif(left, result.aif, result.aif_unit)
    left.axvline(
        result.times_s[result.bolus.arrival - result.bolus.steady], color="0.6", lw=0.8, ls="--", label="arrival"
    )
    left.set_title("arterial input function", fontsize=10)
    left.legend(fontsize=7, frameon=False)
    right.plot(result.times_s, result.mean_curve, "o", ms=3, color="0.3", label="data")
    if np.isfinite(result.mean_fit).any():
        right.plot(result.times_s, result.mean_fit, color="#2166ac", lw=1.5, label=result.fit_label)
    right.set_title(result.curve_title, fontsize=10)
    right.set_xlabel("time (s)")
    right.set_ylabel(result.curve_unit)
    right.legend(fontsize=7, frameon=False)
    box = np.argwhere(inside.any(axis=0)) if inside.any() else np.array([[0, 0], list(inside.shape[1:])])
    (top, first), (bottom, last) = box.min(axis=0), box.max(axis=0) + 1
    spacing = result.mask.GetSpacing()
    for i, name in enumerate(shown):
        axes = figure.add_subplot(grid[1 + i // columns, i % columns])
        values = np.where(inside[z], array(result.maps[name])[z], np.nan)[top:bottom, first:last]
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, [2, 95]) if known.size else (0.0, 1.0)
        low = min(low, 0.0) if low > 0 or name not in ("k1", "k2", "delay") else low
        high = min(high, 1.0) if result.units[name] == "fraction" else high
        picture = axes.imshow(
            values, cmap="inferno", vmin=low, vmax=max(high, low + 1e-6), aspect=spacing[1] / spacing[0]
        )
        axes.set_title(f"{name} ({result.units[name]})", fontsize=9)
        axes.set_facecolor("0.85")
        axes.set_xticks([])
        axes.set_yticks([])
        bar = figure.colorbar(picture, ax=axes, fraction=0.046)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(f"slice {z + 1} of {inside.shape[0]}; research use only", fontsize=8)
    save_figure(figure, path)
