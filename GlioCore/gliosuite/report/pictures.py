"""The report's pictures, drawn with matplotlib; apart from `report`, so that a report without them can still be written.

All functions take arrays (z, y, x) in LPS orientation (`canonical`): rows run to posterior, columns to the patient's left, so a
picture shows the patient's right on its left side, as radiologists read it.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import require
from ..resources import look

_BACK, _INK = "#101418", "#e8eaed"


def canonical(image: sitk.Image) -> sitk.Image:
    """The image with its axes nearest to left, posterior, superior."""
    return sitk.DICOMOrient(image, "LPS")


def slices_that_matter(mask: np.ndarray, count: int = 3) -> list[int]:
    """Axial slices through a lesion: the one with its largest area between two towards its ends; the middle where it is empty."""
    area = mask.sum(axis=(1, 2))
    if not area.any():
        middle = mask.shape[0] // 2
        return sorted({max(0, middle - 15), middle, min(mask.shape[0] - 1, middle + 15)})[:count]
    largest = int(area.argmax())
    share = np.cumsum(area) / area.sum()
    ends = [int(np.searchsorted(share, w)) for w in np.linspace(0, 1, count + 1)[1:-1]]
    near = sorted({largest, *ends})
    while len(near) < count and len(near) < np.count_nonzero(
        area
    ):  # two picks fell on one slice: take a neighbour with lesion
        near = sorted({*near, next(i for i in np.argsort(-area) if i not in near)})
    return near


def _figure(width: float, height: float) -> Any:
    figure = require("matplotlib.figure", "pictures", "matplotlib").Figure(figsize=(width, height), facecolor=_BACK)
    require("matplotlib.backends.backend_agg", "pictures", "matplotlib").FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as a data URI for a self-contained page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _window(image: np.ndarray, brain: np.ndarray) -> tuple[float, float]:
    inside = image[brain & np.isfinite(image)]
    if not inside.size:
        return 0.0, 1.0
    low, high = np.percentile(inside, [0.5, 99.7])
    return float(low), float(high)


def _box(brain: np.ndarray, spacing: Sequence[float], margin_mm: float = 8.0) -> tuple[slice, slice, slice]:
    where = [np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(w.size for w in where):
        return slice(None), slice(None), slice(None)
    pad = [int(np.ceil(margin_mm / s)) for s in spacing[::-1]]
    z, y, x = (slice(max(0, w[0] - p), min(n, w[-1] + p + 1)) for w, p, n in zip(where, pad, brain.shape))
    return z, y, x


def _cut(volume: np.ndarray, plane: str, index: int) -> np.ndarray:
    """One slice, the patient's top up in coronal and sagittal ones."""
    return {
        "axial": lambda: volume[index],
        "coronal": lambda: volume[::-1, index],
        "sagittal": lambda: volume[::-1, :, index],
    }[plane]()


def _aspect(plane: str, spacing: Sequence[float]) -> float:
    dx, dy, dz = spacing
    return {"axial": dy / dx, "coronal": dz / dx, "sagittal": dz / dy}[plane]


_LETTERS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}


def _show(
    axes: Any,
    volume: np.ndarray,
    plane: str,
    index: int,
    spacing: Sequence[float],
    window: tuple[float, float],
    letters: bool = True,
) -> None:
    axes.imshow(
        _cut(volume, plane, index),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        aspect=_aspect(plane, spacing),
        interpolation="bilinear",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if not letters:
        return
    left, right, top, bottom = _LETTERS[plane]
    for x, y, letter in ((0.02, 0.5, left), (0.98, 0.5, right), (0.5, 0.97, top), (0.5, 0.03, bottom)):
        axes.text(x, y, letter, transform=axes.transAxes, color="#9aa0a6", fontsize=8, ha="center", va="center")


def _outline(
    axes: Any, mask: np.ndarray, plane: str, index: int, color: str, width: float = 1.2, style: str = "solid"
) -> None:
    cut = _cut(mask, plane, index)
    if cut.any() and not cut.all():
        axes.contour(cut.astype(np.float32), levels=[0.5], colors=[color], linewidths=width, linestyles=style)


def _legend(figure: Any, names: Mapping[str, str]) -> None:
    lines = require("matplotlib.lines", "pictures", "matplotlib")
    handles = [lines.Line2D([], [], color=color, linewidth=2, label=name) for name, color in names.items()]
    if handles:
        figure.legend(
            handles=handles, loc="lower center", ncol=min(len(handles), 5), frameon=False, labelcolor=_INK, fontsize=9
        )


def contours_figure(
    backgrounds: Mapping[str, np.ndarray],
    outlines: Mapping[str, tuple[np.ndarray, str]],
    brain: np.ndarray,
    focus: np.ndarray,
    spacing: Sequence[float],
    fills: tuple[np.ndarray, Mapping[int, tuple[str, str]]] | None = None,
) -> bytes:
    """Images with outlines: three axial slices through `focus`, then a coronal and a sagittal one; one row per background.

    Parameters
    ----------
    backgrounds
        Title to volume (z, y, x).
    outlines
        Name to (mask, colour).
    brain, focus
        Boolean masks: what to crop to, and what to choose slices by.
    spacing
        Voxel size (x, y, z) in mm.
    fills
        A label map, and per label its name and colour, laid over the images; the legend then names the fills.

    Returns
    -------
    bytes
        A PNG.
    """
    box = _box(brain, spacing)
    centre = (
        [int(np.median(a)) for a in np.nonzero(focus[box])] if focus[box].any() else [s // 2 for s in brain[box].shape]
    )
    cuts = [("axial", z) for z in slices_that_matter(focus[box])] + [("coronal", centre[1]), ("sagittal", centre[2])]
    height = 3.3 * len(backgrounds) + 0.5
    figure = _figure(3.1 * len(cuts), height)
    grid = figure.add_gridspec(
        len(backgrounds), len(cuts), left=0.005, right=0.995, top=0.94, bottom=0.4 / height, wspace=0.03, hspace=0.08
    )
    for row, (title, volume) in enumerate(backgrounds.items()):
        window = _window(volume, brain)
        for column, (plane, index) in enumerate(cuts):
            axes = figure.add_subplot(grid[row, column])
            _show(axes, volume[box], plane, index, spacing, window)
            if fills is not None:
                _fill(axes, fills[0][box], fills[1], plane, index, spacing)
            for mask, color in outlines.values():
                _outline(axes, mask[box], plane, index, color)
            axes.set_title(f"{title}, {plane}" if title else plane, color=_INK, fontsize=9)
    names = dict(fills[1].values()) if fills is not None else {n: color for n, (_, color) in outlines.items()}
    _legend(figure, names)
    return _png(figure)


def _fill(
    axes: Any,
    labels: np.ndarray,
    looks: Mapping[int, tuple[str, str]],
    plane: str,
    index: int,
    spacing: Sequence[float],
) -> None:
    cut = _cut(labels, plane, index)
    painted = np.zeros((*cut.shape, 4), np.uint8)
    for label, (_, color) in looks.items():
        painted[cut == label] = [*(int(color[i : i + 2], 16) for i in (1, 3, 5)), 130]
    axes.imshow(painted, aspect=_aspect(plane, spacing), interpolation="nearest")


def map_range(name: str, values: np.ndarray) -> tuple[float, float]:
    """The display range of a map: the table's, or 0 to the 99th percentile of `values`."""
    fixed = look(name).range
    if fixed:
        return fixed[0], fixed[1]
    positive = values[np.isfinite(values) & (values > 0)]
    return 0.0, float(np.percentile(positive, 99)) if positive.size else 1.0


def maps_figure(
    background: np.ndarray,
    maps: Mapping[str, np.ndarray],
    outlines: Mapping[str, tuple[np.ndarray, str]],
    brain: np.ndarray,
    focus: np.ndarray,
    spacing: Sequence[float],
    oriented: bool = True,
) -> bytes:
    """Maps over an image, one column per map with its colour bar and unit, one row per slice that matters; a PNG.

    Without `oriented`, no sides are named: for arrays whose source gives no orientation.
    """
    box = _box(brain, spacing)
    rows = slices_that_matter(focus[box])
    height = 3.0 * len(rows) + 1.1
    figure = _figure(3.1 * len(maps), height)
    grid = figure.add_gridspec(
        len(rows),
        len(maps),
        left=0.005,
        right=0.995,
        top=1 - 0.3 / height,
        bottom=1.0 / height,
        wspace=0.03,
        hspace=0.03,
    )
    window = _window(background, brain)
    for column, (name, values) in enumerate(maps.items()):
        shown_as = look(name)
        low, high = map_range(name, values[brain])
        shown = np.ma.masked_where(~brain | ~np.isfinite(values), values)[box]
        for row, index in enumerate(rows):
            axes = figure.add_subplot(grid[row, column])
            _show(axes, background[box], "axial", index, spacing, window, oriented)
            drawn = axes.imshow(
                shown[index],
                cmap=shown_as.colormap,
                vmin=low,
                vmax=high,
                alpha=0.75,
                aspect=spacing[1] / spacing[0],
                interpolation="nearest",
            )
            for mask, color in outlines.values():
                _outline(axes, mask[box], "axial", index, color, 0.9)
            if row == 0:
                axes.set_title(shown_as.title, color=_INK, fontsize=11)
        place = grid[len(rows) - 1, column].get_position(figure)
        bar = figure.colorbar(
            drawn,
            cax=figure.add_axes([place.x0 + 0.1 * place.width, 0.68 / height, 0.8 * place.width, 0.12 / height]),
            orientation="horizontal",
        )
        bar.set_label(shown_as.head, color=_INK, fontsize=8, labelpad=1)
        bar.ax.tick_params(colors=_INK, labelsize=8, length=2)
        bar.outline.set_visible(False)
    _legend(figure, {name: color for name, (_, color) in outlines.items()})
    return _png(figure)


def curve_figure(times_s: np.ndarray, values: np.ndarray, title: str, unit: str) -> bytes:
    """An arterial input function over time; a PNG."""
    figure = _figure(6.4, 2.8)
    axes = figure.add_axes([0.11, 0.2, 0.86, 0.68], facecolor=_BACK)
    axes.plot(times_s, values, color="#ff6e6e", linewidth=1.6, marker=".", markersize=4)
    axes.set_xlabel("time (s)", color=_INK, fontsize=9)
    axes.set_ylabel(unit, color=_INK, fontsize=9)
    axes.set_title(title, color=_INK, fontsize=10)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(color="#3c4043", linewidth=0.5)
    for side in axes.spines.values():
        side.set_color("#5f6368")
    return _png(figure)


def dvh_figure(dose_gy: np.ndarray, shares: Mapping[str, tuple[np.ndarray, str]], prescription_gy: float) -> bytes:
    """Cumulative dose-volume histograms: name to (volume in percent per dose, colour); a PNG."""
    figure = _figure(7.4, 4.2)
    axes = figure.add_axes([0.1, 0.14, 0.87, 0.76], facecolor=_BACK)
    for name, (percent, color) in shares.items():
        axes.plot(dose_gy, percent, color=color, linewidth=1.8, label=name)
    axes.axvline(0.95 * prescription_gy, color="#9aa0a6", linewidth=0.8, linestyle="--")
    axes.text(0.95 * prescription_gy, 101.5, f"95 % of {prescription_gy:g} Gy", color="#9aa0a6", fontsize=8, ha="right")
    axes.axhline(98, color="#5f6368", linewidth=0.6, linestyle=":")
    axes.set_xlim(0, float(dose_gy[-1]))
    axes.set_ylim(0, 106)
    axes.set_xlabel("dose (Gy)", color=_INK, fontsize=9)
    axes.set_ylabel("volume that gets at least that (%)", color=_INK, fontsize=9)
    axes.set_title("Dose-volume histograms", color=_INK, fontsize=10)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(color="#3c4043", linewidth=0.5)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9, loc="lower left")
    for side in axes.spines.values():
        side.set_color("#5f6368")
    return _png(figure)


def checkerboards_figure(
    fixed: np.ndarray, moved: Mapping[str, np.ndarray], brain: np.ndarray, spacing: Sequence[float]
) -> bytes:
    """Checkerboards of a fixed image and each registered one, at the brain's middle slice; a PNG."""
    box = _box(brain, spacing)
    index = fixed[box].shape[0] // 2
    figure = _figure(3.1 * len(moved), 3.4)
    squares = np.indices(fixed[box].shape[1:]) * np.asarray(spacing[1::-1])[:, None, None] // 20
    even = squares.sum(axis=0) % 2 == 0
    low, high = _window(fixed, brain)
    base = np.clip((fixed[box][index] - low) / max(high - low, 1e-9), 0, 1)
    for column, (title, volume) in enumerate(moved.items()):
        low, high = _window(volume, brain)
        other = np.clip((volume[box][index] - low) / max(high - low, 1e-9), 0, 1)
        axes = figure.add_axes([column / len(moved) + 0.003, 0.01, 1 / len(moved) - 0.006, 0.9])
        axes.imshow(np.where(even, base, other), cmap="gray", vmin=0, vmax=1, aspect=spacing[1] / spacing[0])
        axes.set_title(title, color=_INK, fontsize=9)
        axes.set_axis_off()
    return _png(figure)
