"""Pictures of what follow-up tells: classes of voxels, forests, target volumes patient by patient, whether probabilities came true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..drawing import COLOURS, bare, blank, save
from ..features import feature_of
from ..inputs import CHANNELS
from ..survival.pictures import p_value
from .classes import CLASSES, PAIRS, titles
from .forest import GROUPS, Judged

_SHOWN = ("NAV to NAV", "NAV to NEL", "NAV to CEL", "NEL to NEL", "NEL to CEL")
_STARS = ((0.0001, "****"), (0.001, "***"), (0.01, "**"), (0.05, "*"))  # as Tran 2025 marks them
_GREY = "#888888"


def draw_classes(of_patients: np.ndarray, tests: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Box plots of patients' medians by class, a panel for each image; pairs that differ (P by Holm below .05) are marked.

    Parameters
    ----------
    of_patients
        Medians (patients, classes, channels).
    tests
        Rows of `classes.compared`.
    """
    shown = [i for i in range(of_patients.shape[2]) if np.isfinite(of_patients[:, :, i]).any()]
    names = list(CHANNELS)
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    wide, tall, left, right, below, above = 2.95, 2.6, 0.6, 0.1, 0.5, 0.3
    width, height = columns * (wide + left + right), rows * (tall + below + above) + 0.45
    figure = blank(width, height)
    for number, channel in enumerate(shown):
        row, column = divmod(number, columns)
        x, y = column * (wide + left + right) + left, height - (row + 1) * (tall + below + above) + below
        axes = figure.add_axes((x / width, y / height, wide / width, tall / height))
        feature = feature_of(names[channel])
        _boxes(axes, of_patients[:, :, channel], [t for t in tests if t["feature"] == feature])
        axes.set_title(titles()[feature], fontsize=10, loc="left")
    said = "a point is a patient's median; * P < .05, ** .01, *** .001, **** .0001, exact Wilcoxon tests of pairs, by Holm over all of them"
    figure.text(0.1 / width, 0.15 / height, said, fontsize=8.5, va="center", color="#444444")
    save(figure, path)


def _boxes(axes: Any, medians: np.ndarray, tests: Sequence[Mapping[str, Any]]) -> None:
    there = [v[np.isfinite(v)] for v in (medians[:, CLASSES.index(n)] for n in _SHOWN)]
    at = [i for i, v in enumerate(there) if v.size]
    drawn = axes.boxplot(
        [there[i] for i in at],
        positions=at,
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black", "lw": 1.3},
    )
    for patch, i in zip(drawn["boxes"], at):
        patch.set(facecolor=COLOURS[i], alpha=0.45, lw=0.8)
    for i in at:
        beside = np.linspace(-0.18, 0.18, there[i].size) if there[i].size > 1 else np.zeros(1)
        # Spread by order in the table and not by value, so that it says nothing.
        axes.plot(i + beside, there[i], ".", ms=2.5, color="#333333", alpha=0.6)
    every = np.concatenate([there[i] for i in at])
    low, high = float(every.min()), float(every.max())
    step = 0.085 * max(high - low, 1e-9)
    top = high + step
    for one, two in PAIRS:
        p = next((t["p_holm"] for t in tests if (t["first"], t["second"]) == (one, two)), 1.0)
        stars = next((s for limit, s in _STARS if p < limit), "")
        if stars:
            a, b = sorted((_SHOWN.index(one), _SHOWN.index(two)))
            axes.plot([a, a, b, b], [top, top + 0.25 * step, top + 0.25 * step, top], color="#333333", lw=0.8)
            axes.text((a + b) / 2, top + 0.05 * step, stars, ha="center", va="bottom", fontsize=8)
            top += 1.35 * step
    axes.set(xlim=(-0.6, len(_SHOWN) - 0.4), ylim=(low - step, top + 0.4 * step))
    labels = [f"{n.replace(' to ', '→')}\nn {there[i].size}" for i, n in enumerate(_SHOWN)]
    axes.set_xticks(range(len(_SHOWN)), labels)
    bare(axes)
    axes.tick_params(axis="x", labelsize=7)


def draw_roc(found: Sequence[Judged], path: Path) -> None:
    """ROC curves of held-out voxels: a panel for each target, a curve for each group of patients, areas with intervals."""
    targets = list(dict.fromkeys(j.target for j in found))
    side, left, right, below, above = 3.4, 0.7, 0.15, 0.6, 0.35
    width, height = len(targets) * (side + left + right), side + below + above
    figure = blank(width, height)
    for i, target in enumerate(targets):
        x = i * (side + left + right) + left
        axes = figure.add_axes((x / width, below / height, side / width, side / height))
        axes.plot([0, 1], [0, 1], color=_GREY, lw=0.8, ls="--")
        for j in (j for j in found if j.target == target):
            e = j.auc
            said = f"{j.group} ({j.patients}): {e.value:.2f} ({e.low:.2f}–{e.high:.2f})"
            axes.plot(*j.curve, color=COLOURS[GROUPS.index(j.group) % len(COLOURS)], lw=1.6, label=said)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set_xlabel("1 - specificity", fontsize=9)
        axes.set_ylabel("sensitivity", fontsize=9)
        axes.set_title(f"{target} progression", fontsize=10, loc="left")
        axes.legend(fontsize=8, frameon=False, loc="lower right", title="patients: AUC", title_fontsize=8)
        bare(axes)
    save(figure, path)


def draw_importances(found: Sequence[Judged], names: Sequence[str], path: Path) -> None:
    """Bars of each image's importance in all patients: share of the fall of impurity, and fall of the AUC when it is shuffled (with SD)."""
    of_all = [j for j in found if j.group == GROUPS[0]]
    title = titles()
    labels = [title[feature_of(n)] for n in names]
    left, wide, gap, below, above = 0.3 + 0.075 * max(map(len, labels)), 2.1, 0.25, 0.65, 0.6
    tall = 0.24 * len(names)
    width, height = left + 2 * len(of_all) * (wide + gap), tall + below + above
    figure = blank(width, height)
    order = np.argsort(np.mean([j.permutation for j in of_all], axis=0))
    for i, judged in enumerate(of_all):
        for k, (values, sd, said) in enumerate(
            (
                (judged.impurity, None, "share of impurity's fall"),
                (judged.permutation, judged.permutation_sd, "AUC lost, shuffled"),
            )
        ):
            x = left + (2 * i + k) * (wide + gap)
            axes = figure.add_axes((x / width, below / height, wide / width, tall / height))
            axes.barh(
                range(len(names)),
                values[order],
                xerr=None if sd is None else sd[order],
                color=COLOURS[k],
                height=0.65,
                error_kw={"lw": 0.8},
            )
            axes.axvline(0, color="#333333", lw=0.8)
            first = i == 0 and k == 0
            axes.set_yticks(range(len(names)), [labels[j] for j in order] if first else [""] * len(names), fontsize=9)
            axes.locator_params(axis="x", nbins=4)
            axes.set_xlabel(said, fontsize=9)
            if k == 0:
                axes.set_title(f"{judged.target} progression", fontsize=10, loc="left")
            bare(axes)
            axes.tick_params(axis="x", labelsize=8)
    save(figure, path)


def draw_paired(rows: Sequence[Mapping[str, Any]], ctvs: Sequence[str], tests: Mapping[str, float], path: Path) -> None:
    """Sensitivity, specificity and PCC of each patient by target volumes, joined by a line, with means.

    Parameters
    ----------
    rows
        Of each patient and target volume.
    ctvs
        Which of these, in order; the first is the model.
    tests
        P values by ``"pcc, model and other"``.
    """
    side, tall, left, right, below, above = 2.6, 3.3, 0.65, 0.15, 0.8, 0.75
    columns = ("sensitivity", "specificity", "pcc")
    width, height = len(columns) * (side + left + right), tall + below + above
    figure = blank(width, height)
    order = [ctvs[1], ctvs[0], *ctvs[2:]] if len(ctvs) > 2 else list(ctvs)
    for i, column in enumerate(columns):
        values = np.array([[r[column] for r in rows if r["ctv"] == c] for c in order])
        x = i * (side + left + right) + left
        axes = figure.add_axes((x / width, below / height, side / width, tall / height))
        axes.plot(range(len(order)), values, color=_GREY, lw=0.6, alpha=0.6)
        for k, v in enumerate(values):
            axes.plot(np.full(v.size, k), v, "o", ms=3.5, color=COLOURS[k], alpha=0.7)
            axes.plot([k - 0.22, k + 0.22], [v.mean()] * 2, color="black", lw=2)
        said = [f"{c}: {p_value(tests[key])}" for c in ctvs[1:] if (key := f"{column}, {ctvs[0]} and {c}") in tests]
        axes.set(xlim=(-0.4, len(order) - 0.6))
        axes.set_xticks(range(len(order)), [f"{c}\n{v.mean():.2f}" for c, v in zip(order, values)], fontsize=8.5)
        heading = "PCC" if column == "pcc" else column
        axes.set_title("\n".join([heading, *said]), fontsize=9, loc="left")
        bare(axes)
    figure.text(0.1 / width, 0.15 / height, f"lines are patients, bars and numbers means; P of the {ctvs[0]} against each, exact Wilcoxon",
                fontsize=8, va="center", color="#444444")  # fmt: skip
    save(figure, path)


def draw_reliability(bins: Sequence[Mapping[str, float]], path: Path) -> None:
    """What was predicted and what share came true, with how many voxels each bin holds."""
    side, left, right, below, above = 3.6, 0.75, 0.2, 0.65, 0.2
    width, height = side + left + right, side + 1.1 + below + above + 0.15
    figure = blank(width, height)
    axes = figure.add_axes((left / width, (below + 1.25) / height, side / width, side / height))
    axes.plot([0, 1], [0, 1], color=_GREY, lw=0.8, ls="--")
    predicted = [b["predicted"] for b in bins]
    axes.plot(predicted, [b["recurred"] for b in bins], "o-", color=COLOURS[0], ms=4, lw=1.4)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks(axes.get_xticks(), [""] * len(axes.get_xticks()))
    axes.set_ylabel("share that came true", fontsize=9)
    bare(axes)
    counts = figure.add_axes((left / width, below / height, side / width, 1.1 / height))
    counts.bar(predicted, [b["voxels"] for b in bins], width=0.02, color=_GREY)
    counts.set(xlim=(0, 1), yscale="log")
    counts.set_xlabel("predicted probability", fontsize=9)
    counts.set_ylabel("voxels", fontsize=9)
    bare(counts)
    save(figure, path)
