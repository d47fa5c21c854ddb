"""Pictures of a pattern model: ROC curves, calibration, the four cells at the threshold."""

from pathlib import Path

import numpy as np

from ...statistics.groups import proportion
from ..drawing import COLOURS, bare, blank, save

_BINS = 5  # of calibration: few patients


def draw_roc(
    y: np.ndarray,
    probability: np.ndarray,
    called: np.ndarray,
    area: str,
    title: str,
    path: Path,
    fold: np.ndarray | None = None,
) -> None:
    """ROC curve of held-out patients, those of the folds, and the point of the thresholds with its intervals.

    Parameters
    ----------
    y, probability, called
        (n,).
    area
        AUC and its interval, as the legend says them.
    fold
        (n,); None for one curve.
    """
    figure = blank(5.4, 5.2)
    axes = figure.add_axes((0.13, 0.12, 0.83, 0.78))
    axes.plot([0, 1], [0, 1], color="#888888", lw=0.9, ls="--")
    for k in np.unique(fold) if fold is not None else ():
        inside = fold == k
        axes.plot(*_curve(y[inside], probability[inside]), color="#9db8cc", lw=1, label=None if k else "folds")
    axes.plot(*_curve(y, probability), color=COLOURS[0], lw=2, label=f"AUC {area}")
    sensitivity = proportion(int((called & y).sum()), int(y.sum()))
    false = proportion(int((called & ~y).sum()), int((~y).sum()))
    axes.errorbar(
        false.value,
        sensitivity.value,
        xerr=[[false.value - false.low], [false.high - false.value]],
        yerr=[[sensitivity.value - sensitivity.low], [sensitivity.high - sensitivity.value]],
        fmt="o",
        color=COLOURS[1],
        ms=6,
        lw=1.3,
        capsize=3,
        label="at the thresholds, 95 %",
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    axes.set_xlabel("1 - specificity", fontsize=10)
    axes.set_ylabel("sensitivity", fontsize=10)
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=9, frameon=False, loc="lower right")
    bare(axes)
    save(figure, path)


def _curve(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 - specificity and sensitivity at every threshold, from the highest down."""
    order = np.argsort(-score, kind="stable")
    hit, false = np.cumsum(y[order]) / y.sum(), np.cumsum(~y[order]) / (~y).sum()
    last = np.append(np.diff(score[order]) != 0, True)  # tied scores fall together
    return np.append(0, false[last]), np.append(0, hit[last])


def draw_calibration(y: np.ndarray, probability: np.ndarray, title: str, path: Path) -> None:
    """How often the outcome came true among patients of about one probability (fifths), with intervals, and who had which."""
    figure = blank(5.4, 5.2)
    axes = figure.add_axes((0.13, 0.30, 0.83, 0.62))
    axes.plot([0, 1], [0, 1], color="#888888", lw=0.9, ls="--")
    for inside in np.array_split(np.argsort(probability, kind="stable"), _BINS):
        if inside.size:
            found = proportion(int(y[inside].sum()), inside.size)
            axes.errorbar(
                probability[inside].mean(),
                found.value,
                yerr=[[found.value - found.low], [found.high - found.value]],
                fmt="o",
                color=COLOURS[0],
                ms=6,
                lw=1.3,
                capsize=3,
            )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticklabels=[])
    axes.set_ylabel("share with the outcome, 95 %", fontsize=10)
    axes.set_title(title, fontsize=10, loc="left")
    bare(axes)
    below = figure.add_axes((0.13, 0.11, 0.83, 0.16))
    for one, colour, name in ((y, COLOURS[1], "with the outcome"), (~y, COLOURS[0], "without")):
        below.hist(probability[one], np.linspace(0, 1, 21), histtype="step", color=colour, lw=1.5, label=name)
    below.set_xlim(-0.02, 1.02)
    below.set_xlabel("predicted probability, held-out patients", fontsize=10)
    below.set_ylabel("patients", fontsize=9)
    below.legend(fontsize=8, frameon=False)
    bare(below)
    save(figure, path)


def draw_confusion(y: np.ndarray, called: np.ndarray, title: str, path: Path) -> None:
    """Patients by what they have and what they were called."""
    counts = np.array([[(called & y).sum(), (~called & y).sum()], [(called & ~y).sum(), (~called & ~y).sum()]])
    figure = blank(4.6, 4.0)
    axes = figure.add_axes((0.27, 0.08, 0.68, 0.72))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3)
    for i in range(2):
        for j in range(2):
            said = f"{counts[i, j]}\n{100 * shares[i, j]:.0f} %"
            axes.text(
                j, i, said, ha="center", va="center", fontsize=13, color="white" if shares[i, j] > 0.7 else "black"
            )
    axes.xaxis.tick_top()
    axes.set_xticks([0, 1], ["called yes", "called no"], fontsize=10)
    axes.set_yticks([0, 1], ["has the\noutcome", "has it not"], fontsize=10)
    axes.tick_params(length=0)
    figure.text(0.03, 0.94, title, fontsize=10)
    save(figure, path)
