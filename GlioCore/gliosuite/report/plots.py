"""The report's plots of curves, in the style of its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .pictures import BACK, INK, new_figure, png_of

SOFT, FAINT = "#9aa0a6", "#3c4043"
# Chosen: told apart by colour-blind readers too (Okabe and Ito 2008), on a black ground.
SHADES = ("#ff6e6e", "#56b4e9", "#f0e442")


@dataclass(frozen=True)
class Curve:
    """A curve (t,) over its times (t,): its name in the legend (empty for none), colour, and how it is drawn (matplotlib's format)."""

    times: np.ndarray
    values: np.ndarray
    name: str
    color: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes; `at` is marked by an upright line with the name `mark`, `spans` by bars of one unit's width."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    at: float | None = None
    mark: str = ""
    spans: Sequence[float] = ()
    reach: float | None = None  # from -reach to reach on the y axis; None for what the curves need
    floor: float | None = None  # where the y axis begins; None likewise
    top: float | None = None  # and where it ends


def curves_figure(panels: Sequence[Panel]) -> bytes:
    """Panels side by side; a PNG."""
    width, height = 11.8, 3.1
    figure = new_figure(width, height)
    share = 1 / len(panels)
    for i, panel in enumerate(panels):
        axes = figure.add_axes([i * share + 0.65 / width, 0.2, share - 0.8 / width, 0.66])
        _plain(axes)
        for span in panel.spans:
            axes.axvspan(span - 0.5, span + 0.5, color="#fdb863", alpha=0.5, lw=0)
        for curve in panel.curves:
            label = curve.name or None
            axes.plot(
                curve.times, curve.values, curve.style, color=curve.color, linewidth=1.6, markersize=4, label=label
            )
        if panel.at is not None:
            axes.axvline(panel.at, color=SOFT, linewidth=0.9, linestyle="--", label=panel.mark or None)
        if panel.reach is not None:
            axes.set_ylim(-panel.reach, panel.reach)
        if panel.floor is not None:
            axes.set_ylim(bottom=panel.floor)
        if panel.top is not None:
            axes.set_ylim(top=panel.top)
        axes.set_xlabel(panel.x, color=INK, fontsize=9)
        axes.set_ylabel(panel.y, color=INK, fontsize=9)
        axes.set_title(panel.title, color=INK, fontsize=10)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return png_of(figure)


def _plain(axes: Any) -> None:
    axes.set_facecolor(BACK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=FAINT, linewidth=0.5)
    for side in axes.spines.values():
        side.set_color("#5f6368")


def dvh_figure(dose_gy: np.ndarray, shares: Mapping[str, tuple[np.ndarray, str]], prescription_gy: float) -> bytes:
    """Cumulative dose-volume histograms: name to (volume in percent per dose, colour); a PNG."""
    figure = new_figure(7.4, 4.2)
    axes = figure.add_axes([0.1, 0.14, 0.87, 0.76], facecolor=BACK)
    for name, (percent, color) in shares.items():
        axes.plot(dose_gy, percent, color=color, linewidth=1.8, label=name)
    axes.axvline(0.95 * prescription_gy, color="#9aa0a6", linewidth=0.8, linestyle="--")
    axes.text(0.95 * prescription_gy, 101.5, f"95 % of {prescription_gy:g} Gy", color="#9aa0a6", fontsize=8, ha="right")
    axes.axhline(98, color="#5f6368", linewidth=0.6, linestyle=":")
    axes.set_xlim(0, float(dose_gy[-1]))
    axes.set_ylim(0, 106)
    axes.set_xlabel("dose (Gy)", color=INK, fontsize=9)
    axes.set_ylabel("volume that gets at least that (%)", color=INK, fontsize=9)
    axes.set_title("Dose-volume histograms", color=INK, fontsize=10)
    _plain(axes)
    axes.legend(frameon=False, labelcolor=INK, fontsize=9, loc="lower left")
    return png_of(figure)
