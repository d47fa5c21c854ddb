"""The report's pictures, drawn with matplotlib; apart from `report`, so that a report without them can still be written.

All functions take arrays (z, y, x) in LPS orientation (`canonical`): rows run to posterior, columns to the patient's left, so a
picture shows the patient's right on its left side, as radiologists read it.
"""

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import require
from ..resources import look

BACK, INK = "#101418", "#e8eaed"
DPI = 130  # chosen: pictures are finer than the page shows them, and are enlarged with a click
COUNT = 6  # axial slices per picture; chosen: they cross a glioma every 5 to 10 mm
_WIDTH = 11.8  # inches
_ABREAST = 5  # names in a line of a legend
_PNG = {"pil_kwargs": {"compress_level": 4}}  # 0-9; chosen: half the time of the usual 6 for a twentieth more
_QUALITY = 90  # of WebP, 0-100; chosen: outlines stay sharp at twice the size


def canonical(image: sitk.Image) -> sitk.Image:
    """The image with its axes nearest to left, posterior, superior."""
    return sitk.DICOMOrient(image, "LPS")


def slices_that_matter(mask: np.ndarray, count: int = COUNT) -> list[int]:
    """Axial slices through a lesion: the one with its largest area, and others that cut its volume in equal parts."""
    area = mask.sum(axis=(1, 2))
    if not area.any():
        middle, step = mask.shape[0] // 2, max(1, mask.shape[0] // (2 * count))
        return sorted({min(max(0, middle + step * (i - count // 2)), mask.shape[0] - 1) for i in range(count)})
    share = np.cumsum(area) / area.sum()
    chosen = {int(area.argmax()), *(int(np.searchsorted(share, w)) for w in (np.arange(count) + 0.5) / count)}
    if len(chosen) > count:  # the largest stands for its nearest neighbour
        chosen.discard(min(chosen - {int(area.argmax())}, key=lambda i: abs(i - int(area.argmax()))))
    for i in np.argsort(-area, kind="stable"):  # picks that fell on one slice: others with lesion take their place
        if len(chosen) >= min(count, int(np.count_nonzero(area))):
            break
        chosen.add(int(i))
    return sorted(chosen)


def new_figure(width: float, height: float) -> Any:
    """An empty figure (inches) in the report's colours."""
    figure = require("matplotlib.figure", "pictures", "matplotlib").Figure(figsize=(width, height), facecolor=BACK)
    require("matplotlib.backends.backend_agg", "pictures", "matplotlib").FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """A figure as a PNG without date or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None}, **_PNG)
    return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as a data URI for a self-contained page; as WebP, an eighth of the size, where Pillow can write it."""
    image, features = require("PIL.Image", "pictures", "pillow"), require("PIL.features", "pictures", "pillow")
    kind = "png"
    if features.check("webp"):
        buffer = io.BytesIO()
        with image.open(io.BytesIO(png)) as picture:
            picture.convert("RGB").save(buffer, format="WEBP", quality=_QUALITY)
        kind, png = "webp", buffer.getvalue()
    return f"data:image/{kind};base64," + base64.b64encode(png).decode("ascii")


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
            handles=handles, loc="lower center", ncol=_abreast(names), frameon=False, labelcolor=INK, fontsize=9
        )


def _legend_height(names: Collection[str]) -> float:
    """What `_legend` takes, in inches."""
    return 0.2 + 0.2 * -(-len(names) // _abreast(names))


def _abreast(names: Collection[str]) -> int:
    """Names in a line of a legend: as many as its width holds, each with its sign."""
    widest = 0.6 + 0.072 * max(map(len, names), default=0)  # inches, of letters of 9 points
    return max(1, min(len(names), _ABREAST, int(_WIDTH / widest)))


def contours_figure(
    backgrounds: Mapping[str, np.ndarray],
    outlines: Mapping[str, tuple[np.ndarray, str]],
    brain: np.ndarray,
    focus: np.ndarray,
    spacing: Sequence[float],
    fills: tuple[np.ndarray, Mapping[int, tuple[str, str]]] | None = None,
) -> bytes:
    """Images with outlines: axial slices through `focus`, then a coronal and a sagittal one, four in a line.

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
    columns = 4
    lines = len(backgrounds) * -(-len(cuts) // columns)
    names = dict(fills[1].values()) if fills is not None else {n: color for n, (_, color) in outlines.items()}
    foot = _legend_height(names)
    height = 3.45 * lines + foot
    figure = new_figure(_WIDTH, height)
    grid = figure.add_gridspec(
        lines, columns, left=0.003, right=0.997, top=1 - 0.25 / height, bottom=foot / height, wspace=0.02, hspace=0.08
    )
    places = iter(grid[i // columns, i % columns] for i in range(lines * columns))
    for title, volume in backgrounds.items():
        window = _window(volume, brain)
        for plane, index in cuts:
            axes = figure.add_subplot(next(places))
            _show(axes, volume[box], plane, index, spacing, window)
            if fills is not None:
                _fill(axes, fills[0][box], fills[1], plane, index, spacing)
            for mask, color in outlines.values():
                _outline(axes, mask[box], plane, index, color)
            axes.set_title(f"{title}, {plane}" if title else plane, color=INK, fontsize=9)
        for _ in range(-len(cuts) % columns):
            next(places)
    _legend(figure, names)
    return png_of(figure)


def slices_figure(
    rows: Sequence[tuple[str, np.ndarray, Mapping[str, tuple[np.ndarray, str]]]],
    brain: np.ndarray,
    focus: np.ndarray,
    spacing: Sequence[float],
) -> bytes:
    """Rows of the same axial slices, each with a title, an image and outlines of its own (as in `contours_figure`); a PNG."""
    box = _box(brain, spacing)
    slices = slices_that_matter(focus[box])
    wide = _WIDTH / max(len(slices), 4)
    tall = wide * brain[box].shape[1] * spacing[1] / (brain[box].shape[2] * spacing[0])
    named = {name: color for _, _, outlines in rows for name, (_, color) in outlines.items()}
    height = (tall + 0.28) * len(rows) + _legend_height(named)
    figure = new_figure(_WIDTH, height)
    for row, (title, volume, outlines) in enumerate(rows):
        window = _window(volume, brain)
        top = height - (row + 1) * (tall + 0.28)
        for column, index in enumerate(slices):
            place = [(column * wide + 0.02) / _WIDTH, top / height, (wide - 0.04) / _WIDTH, tall / height]
            axes = figure.add_axes(place)
            _show(axes, volume[box], "axial", index, spacing, window)
            for mask, color in outlines.values():
                _outline(axes, mask[box], "axial", index, color, 1.0)
        figure.text(0.05 / _WIDTH, (top + tall + 0.05) / height, title, color=INK, fontsize=9, va="bottom")
    _legend(figure, named)
    return png_of(figure)


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
    count: int = COUNT,
) -> bytes:
    """Maps over an image, a line of `count` slices that matter per map, its colour bar and unit at the end; a PNG.

    Without `oriented`, no sides are named: for arrays whose source gives no orientation. Maps of few slices stand side by side.
    """
    box = _box(brain, spacing)
    slices = slices_that_matter(focus[box], count)
    beside = max(1, min(len(maps), COUNT // len(slices)))
    stretch, bar, head = _WIDTH / beside, 0.95, 0.3  # inches: a map's line of slices, its colour bar, its title
    wide = (stretch - bar) / len(slices)
    tall = wide * brain[box].shape[1] * spacing[1] / (brain[box].shape[2] * spacing[0])
    height = (tall + head) * -(-len(maps) // beside) + _legend_height(outlines)
    figure = new_figure(_WIDTH, height)
    window = _window(background, brain)
    for number, (name, values) in enumerate(maps.items()):
        row, column = divmod(number, beside)
        left, bottom = column * stretch, height - (row + 1) * (tall + head)
        shown_as = look(name)
        low, high = map_range(name, values[brain])
        shown = np.ma.masked_where(~brain | ~np.isfinite(values), values)[box]
        for i, index in enumerate(slices):
            place = [(left + i * wide + 0.02) / _WIDTH, bottom / height, (wide - 0.04) / _WIDTH, tall / height]
            axes = figure.add_axes(place)
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
        title = f"{shown_as.title}: {shown_as.name}" if shown_as.name and beside == 1 else shown_as.title
        figure.text((left + 0.05) / _WIDTH, (bottom + tall + 0.06) / height, title, color=INK, fontsize=10, va="bottom")
        place = [(left + len(slices) * wide + 0.08) / _WIDTH, (bottom + 0.08 * tall) / height]
        scale = figure.colorbar(drawn, cax=figure.add_axes([*place, 0.13 / _WIDTH, 0.84 * tall / height]))
        scale.set_label(shown_as.head, color=INK, fontsize=8, labelpad=2)
        scale.ax.tick_params(colors=INK, labelsize=8, length=2)
        scale.outline.set_visible(False)
    _legend(figure, {name: color for name, (_, color) in outlines.items()})
    return png_of(figure)


def checkerboards_figure(
    fixed: np.ndarray, moved: Mapping[str, np.ndarray], brain: np.ndarray, spacing: Sequence[float]
) -> bytes:
    """Checkerboards of a fixed image and each registered one, at the brain's middle slice; a PNG."""
    box = _box(brain, spacing)
    index = fixed[box].shape[0] // 2
    figure = new_figure(_WIDTH, _WIDTH / max(len(moved), 3) * 1.1)
    squares = np.indices(fixed[box].shape[1:]) * np.asarray(spacing[1::-1])[:, None, None] // 20
    even = squares.sum(axis=0) % 2 == 0
    low, high = _window(fixed, brain)
    base = np.clip((fixed[box][index] - low) / max(high - low, 1e-9), 0, 1)
    for column, (title, volume) in enumerate(moved.items()):
        low, high = _window(volume, brain)
        other = np.clip((volume[box][index] - low) / max(high - low, 1e-9), 0, 1)
        axes = figure.add_axes([column / len(moved) + 0.003, 0.01, 1 / len(moved) - 0.006, 0.9])
        axes.imshow(np.where(even, base, other), cmap="gray", vmin=0, vmax=1, aspect=spacing[1] / spacing[0])
        axes.set_title(title, color=INK, fontsize=9)
        axes.set_axis_off()
    return png_of(figure)
