"""Pictures of survival: Kaplan and Meier's curves with numbers at risk, forest plots, the choice of a LASSO's penalty."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...statistics.agreement import Estimate
from ..drawing import COLOURS, bare, blank, save
from .fit import Group
from .lasso import Choice

_LINE, _LEFT, _RIGHT, _WIDE, _TALL = 0.22, 0.75, 0.25, 5.6, 3.6  # inches


def draw_curves(groups: Sequence[Group], p: float, x: str, unit: str, path: Path) -> None:
    """Kaplan and Meier's curves with 95 % bands, censored times as ticks, the log-rank test and numbers at risk.

    Parameters
    ----------
    p
        Of the log-rank test.
    x, unit
        Label of the axis of times, and their unit, empty where it is not known.
    """
    # What is written at the left is as wide as its longest name; the legend stands above the curves, which may run anywhere.
    left = max(_LEFT, 0.45 + 0.075 * max(len(g.name) for g in groups))
    below, above = 0.75 + _LINE * (len(groups) + 1), 0.2 + _LINE * (len(groups) + 1)
    width, height = left + _WIDE + _RIGHT, below + _TALL + above
    figure = blank(width, height)
    axes = figure.add_axes((left / width, below / height, _WIDE / width, _TALL / height))
    for group, colour in zip(groups, COLOURS):
        curve = group.curve()
        at, start = np.concatenate([[0.0], curve.times]), np.ones(1)
        steps = lambda values, start=start: np.concatenate([start, values])
        axes.fill_between(at, steps(curve.low), steps(curve.high), step="post", color=colour, alpha=0.15, lw=0)
        axes.step(at, steps(curve.survival), where="post", color=colour, lw=1.8, label=_said(group, unit))
        ended = group.times[~group.events]
        left_over = curve.survival[np.searchsorted(curve.times, ended)]
        axes.plot(ended, left_over, "|", color=colour, ms=7, mew=1.2)
    last = max(float(g.times.max()) for g in groups)
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.03))
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel("share without the event", fontsize=10)
    axes.legend(
        fontsize=9,
        frameon=False,
        title=f"log-rank {p_value(p)}",
        title_fontsize=9,
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        labelspacing=0.3,
    )
    bare(axes)
    ticks = [v for v in axes.get_xticks() if 0 <= v <= last * 1.02]
    axes.set_xticks(ticks)
    inch = lambda down: -down / _TALL  # in shares of the axes' height
    axes.text(0, inch(0.75), "number at risk", transform=axes.transAxes, fontsize=9, va="center", ha="left")
    for i, (group, colour) in enumerate(zip(groups, COLOURS)):
        down = inch(0.75 + _LINE * (i + 1))
        axes.text(
            -0.3 / _WIDE, down, group.name, transform=axes.transAxes, color=colour, fontsize=9, ha="right", va="center"
        )
        for tick in ticks:
            n = int((group.times >= tick).sum())
            axes.text(tick, down, str(n), transform=axes.get_xaxis_transform(), fontsize=9, ha="center", va="center")
    save(figure, path)


def _said(group: Group, unit: str) -> str:
    median = group.curve().median.value
    return f"{group.name}: n {group.times.size}, events {int(group.events.sum())}, median " + (
        f"{median:.4g} {unit}".rstrip() if np.isfinite(median) else "not reached"
    )


def draw_forest(ratios: Mapping[str, tuple[Estimate, float]], title: str, path: Path) -> None:
    """Hazard ratios with their intervals on a logarithmic axis, and what they are in figures.

    Parameters
    ----------
    ratios
        By covariate: the ratio, and its P value.
    """
    names = list(ratios)
    left = 0.4 + 0.085 * max(len(n) for n in (*names, "covariate"))
    plot, right = 3.6, 2.75
    width, tall = left + plot + right, 0.34 * (len(names) + 1)
    height = tall + 1.05
    figure = blank(width, height)
    axes = figure.add_axes((left / width, 0.65 / height, plot / width, tall / height))
    axes.axvline(1, color="#888888", lw=0.9, ls="--")
    level = 0.0
    for i, (ratio, _) in enumerate(ratios.values()):
        axes.plot([ratio.low, ratio.high], [i, i], color="#0072B2", lw=1.6, solid_capstyle="butt")
        axes.plot(ratio.value, i, "s", color="#0072B2", ms=6)
        level = ratio.level
    # A row more at the top, for the heads.
    axes.set(xscale="log", ylim=(len(names) - 0.5, -1.5), xlim=_reach([r for r, _ in ratios.values()]))
    axes.set_yticks([])
    _ticks(axes)
    axes.set_xlabel("hazard ratio (log scale)", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left", x=-(left - 0.1) / plot)
    write = lambda at, row, text, **more: axes.text(
        at, row, text, transform=axes.get_yaxis_transform(), fontsize=9, va="center_baseline", **more
    )
    beside = lambda inches, row, text, **more: write(1 + inches / plot, row, text, **more)
    beside(0.15, -1, f"HR ({100 * level:g} % interval)", weight="bold")
    beside(2.0, -1, "P", weight="bold")
    for i, (name, (ratio, p)) in enumerate(ratios.items()):
        write(-0.1 / plot, i, name, ha="right")
        beside(0.15, i, f"{_short(ratio.value)} ({_short(ratio.low)}–{_short(ratio.high)})")
        beside(2.0, i, p_value(p).removeprefix("P ").removeprefix("= "))
    bare(axes)
    axes.spines["left"].set_visible(False)
    save(figure, path)


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.3g}"


def _reach(ratios: Sequence[Estimate]) -> tuple[float, float]:
    low, high = min(0.9, *(r.low for r in ratios)), max(1.1, *(r.high for r in ratios))
    # An interval without end would leave no room for the others.
    low, high = max(low, 1e-3), min(high, 1e3)
    room = (high / low) ** 0.05
    return low / room, high * room


def _ticks(axes: Any) -> None:
    low, high = axes.get_xlim()
    fine = [v * 10.0**k for k in range(-4, 4) for v in (1, 2, 5)]
    coarse = [10.0**k for k in range(-4, 4)]
    near = [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.7]
    shown = [v for v in (coarse if high / low > 300 else fine if high / low > 4 else near) if low <= v <= high]
    axes.set_xticks(shown, [f"{v:g}" for v in shown], fontsize=8.5)
    axes.set_xticks([], minor=True)


def draw_choice(choice: Choice, path: Path) -> None:
    """Deviance of what was left out along the penalties, with both choices, and how many covariates each penalty leaves."""
    figure = blank(8.0, 4.2)
    axes = figure.add_axes((0.1, 0.13, 0.66, 0.70))
    log = -np.log10(choice.path.penalties)
    best, sd = choice.deviance[choice.smallest], choice.sd[choice.smallest]
    axes.errorbar(
        log, choice.deviance, choice.sd, fmt="o", ms=3, color="#0072B2", ecolor="#b9cfe0", elinewidth=1, capsize=0
    )
    for index, style, name in ((choice.smallest, "-", "lambda.min"), (choice.sparsest, ":", "lambda.1se")):
        said = f"{name} {choice.path.penalties[index]:.3g}"
        axes.axvline(log[index], color="#D55E00", ls=style, lw=1.2, label=said)
    # Far along the path models fit chance, and their deviance would flatten all that matters.
    axes.set_ylim(best - 3 * sd, max(choice.deviance[0], best) + 5 * sd)
    axes.set_xlabel("-log10 of the penalty lambda", fontsize=10)
    axes.set_ylabel("partial deviance per left-out event", fontsize=10)
    axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    bare(axes)
    counts = (choice.path.coefficients != 0).sum(axis=1)
    shown = np.unique(np.linspace(0, log.size - 1, 9).astype(int))
    top = axes.secondary_xaxis("top")
    top.set_xticks(log[shown], [str(counts[i]) for i in shown], fontsize=8.5)
    top.set_xlabel("covariates with a coefficient other than 0", fontsize=9)
    save(figure, path)


def p_value(p: float) -> str:
    """``P = 0.034``; small ones as ``P < 0.001``."""
    return "P < 0.001" if p < 0.001 else f"P = {p:.3f}" if p < 0.1 else f"P = {p:.2f}"
