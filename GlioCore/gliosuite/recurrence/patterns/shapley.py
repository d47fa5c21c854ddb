"""Shapley values as tables and as the summary, force and decision plots of the paper's Supplementary Figure 3."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from ...files import write_csv
from ..drawing import COLOURS, bare, blank, drawn, save
from ..explain import Explained

_SHOWN = 15  # features in a picture
_LEAST = 5  # patients of a summary
_FOR, _AGAINST = COLOURS[1], COLOURS[0]


def write(found: Explained, ids: list[str], outcome: str, threshold: float, folder: Path) -> None:
    """Write ``shapley.csv`` and the pictures: force plots of a few patients; summary and decisions where there are more.

    Parameters
    ----------
    ids
        Names of the rows.
    threshold
        Of the probability.
    """
    write_csv(
        folder / "shapley.csv",
        ["id", "log_odds", "log_odds_of_the_mean_patient", *found.names],
        [
            [i, f"{t:.6g}", f"{found.base:.6g}", *(f"{v:.6g}" for v in row)]
            for i, t, row in zip(ids, found.total(), found.values)
        ],
    )
    by_odds = np.argsort(found.total(), kind="stable")
    few = by_odds[::-1] if len(ids) <= 3 else by_odds[[-1, len(ids) // 2, 0]]
    drawn(lambda p: draw_force(found, [(ids[i], int(i)) for i in few], outcome, p), folder / "force.png")
    if len(ids) >= _LEAST:
        drawn(lambda p: draw_summary(found, outcome, p), folder / "summary.png")
        drawn(lambda p: draw_decision(found, outcome, float(logit(threshold)), p), folder / "decision.png")


def _left(names: list[str]) -> float:
    """Inches for names beside an axis."""
    return 0.35 + 0.073 * max(len(n) for n in names)


def draw_summary(found: Explained, outcome: str, path: Path) -> None:
    """Every patient's Shapley value of each feature, coloured by the feature's value; features by their mean absolute value."""
    order = found.order[:_SHOWN]
    mean = np.abs(found.values).mean(axis=0)
    names = [f"{found.names[i]}  {mean[i]:.2f}" for i in order]
    left, plot, height = _left(names), 4.6, 1.05 + 0.3 * len(order)
    width = left + plot + 1.0
    figure = blank(width, height)
    axes = figure.add_axes((left / width, 0.65 / height, plot / width, 0.3 * len(order) / height))
    axes.axvline(0, color="#888888", lw=0.9)
    shown = None
    for row, i in enumerate(order):
        values = found.values[:, i]
        shown = axes.scatter(
            values, row + _apart(values), c=np.clip(found.z[:, i], -2, 2), cmap="coolwarm", s=11, lw=0, vmin=-2, vmax=2
        )
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_yticks(range(len(order)), names, fontsize=9)
    axes.set_xlabel(f"Shapley value: log odds of {outcome}", fontsize=10)
    figure.text(0.1 / width, 1 - 0.22 / height, "feature and its mean absolute Shapley value", fontsize=9)
    bare(axes)
    bar = figure.colorbar(
        shown, cax=figure.add_axes(((left + plot + 0.2) / width, 0.65 / height, 0.12 / width, 1.6 / height))
    )
    bar.set_ticks([-2, 0, 2], labels=["≤ -2 SD", "mean", "≥ 2 SD"], fontsize=8)
    bar.ax.set_title("feature", fontsize=8)
    save(figure, path)


def _apart(values: np.ndarray) -> np.ndarray:
    """Heights (n,) that keep points of like values apart, by how many share a bin."""
    width = max(float(np.ptp(values)), 1e-9) / 40
    bins = np.round(values / width).astype(int)
    height = np.zeros(values.size)
    for b in np.unique(bins):
        inside = np.flatnonzero(bins == b)
        steps = np.arange(inside.size)
        height[inside] = np.where(steps % 2, 1, -1) * ((steps + 1) // 2)
    return 0.38 * height / max(np.abs(height).max(), 6)


def draw_force(found: Explained, rows: list[tuple[str, int]], outcome: str, path: Path) -> None:
    """What pushes a patient's log odds up (orange) and down (blue) from those of the mean patient, the strongest features named."""
    tall, width = 1.75, 9.6
    figure = blank(width, tall * len(rows) + 0.25)
    height = tall * len(rows) + 0.25
    total = found.total()
    for k, (name, i) in enumerate(rows):
        axes = figure.add_axes((0.04, (tall * (len(rows) - 1 - k) + 0.62) / height, 0.92, 0.5 / height))
        values, end = found.values[i], total[i]
        up, down = values[values > 0].sum(), values[values < 0].sum()
        # Orange ends at the patient's log odds from the left, blue from the right.
        at = {1: end, -1: end}
        for j in np.argsort(-np.abs(values), kind="stable"):
            v = float(values[j])
            sign = 1 if v > 0 else -1
            start = at[sign]
            axes.barh(0, -v, left=start, color=_FOR if v > 0 else _AGAINST, height=0.8, edgecolor="white", lw=0.6)
            at[sign] = start - v
        low, high = min(end - up, found.base), max(end - down, found.base)
        room = 0.04 * max(high - low, 1e-6)
        axes.set(xlim=(low - room, high + room), ylim=(-0.5, 0.5), yticks=[])
        axes.plot([end, end], [-0.5, 0.5], color="black", lw=1.6)
        axes.plot([found.base] * 2, [-0.5, 0.5], color="#666666", lw=1, ls=":")
        bare(axes)
        axes.spines["left"].set_visible(False)
        if k == len(rows) - 1:
            axes.set_xlabel(f"log odds of {outcome}; dotted: the mean patient of training", fontsize=9)
        top = f"{name}: probability {expit(end):.2f} (log odds {end:+.2f})"
        axes.text(0, 2.25, top, transform=axes.transAxes, fontsize=9, weight="bold", va="top")
        axes.text(0, 1.85, _strongest(found, i, 1), transform=axes.transAxes, fontsize=7.5, color=_FOR, va="top")
        axes.text(
            0.52, 1.85, _strongest(found, i, -1), transform=axes.transAxes, fontsize=7.5, color=_AGAINST, va="top"
        )
    save(figure, path)


def _strongest(found: Explained, row: int, sign: int) -> str:
    """The features that push most in one direction, a line each."""
    values = sign * found.values[row]
    first = [j for j in np.argsort(-values, kind="stable")[:3] if values[j] > 0]
    return "\n".join(f"{found.names[j]} = {found.z[row, j]:+.1f} SD: {sign * values[j]:+.2f}" for j in first)


def draw_decision(found: Explained, outcome: str, cut: float, path: Path) -> None:
    """Each patient's way from the mean patient's log odds to its own (top), the most important feature last; orange: from `cut` on."""
    order = found.order[:_SHOWN]
    others = np.setdiff1d(np.arange(len(found.names)), order)
    names = [found.names[i] for i in order] + ([f"{others.size} others"] if others.size else [])
    steps = np.stack(
        [found.values[:, i] for i in order] + ([found.values[:, others].sum(axis=1)] if others.size else [])
    )
    # From the bottom: the least important first.
    ways = found.base + np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps[::-1], axis=0)])
    left, plot, height = _left(names), 4.6, 1.1 + 0.3 * len(names)
    width = left + plot + 0.3
    figure = blank(width, height)
    axes: Any = figure.add_axes((left / width, 0.65 / height, plot / width, 0.3 * len(names) / height))
    levels = np.arange(len(names) + 1)
    for way in ways.T:
        axes.plot(way, levels, color=_FOR if way[-1] >= cut else _AGAINST, lw=0.9, alpha=0.55)
    axes.axvline(found.base, color="#666666", lw=1, ls=":")
    axes.axvline(cut, color="#666666", lw=1, ls="--")
    axes.set_ylim(0, len(names))
    axes.set_yticks(levels[1:] - 0.5, names[::-1], fontsize=9)
    axes.set_xlabel(f"log odds of {outcome}; dotted: the mean patient of training", fontsize=10)
    figure.text(
        0.1 / width,
        1 - 0.25 / height,
        "one line a patient; orange: called, at or above the threshold (dashed)",
        fontsize=9,
    )
    bare(axes)
    save(figure, path)
