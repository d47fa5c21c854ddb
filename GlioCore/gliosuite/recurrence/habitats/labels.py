"""What patterns of curves are called: Yun's rules as a ranked list, each with a margin, ADC as support."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .curves import Parameters

# By name, what reports call it.
TITLES = {
    "angiogenic": "high angiogenic tumour",
    "cellular": "low angiogenic/cellular tumour",
    "perinecrotic": "perinecrotic",
    "infiltrated": "infiltrated oedema",
    "vasogenic": "vasogenic oedema",
}
OF_REGION = {
    "cel": ("angiogenic", "cellular", "perinecrotic"),
    "nel": ("angiogenic", "cellular", "infiltrated", "vasogenic"),
}
_REST = {"cel": "angiogenic", "nel": "infiltrated"}  # what is left
_CLEAR = 0.5  # of the distance to that, within which a pattern has another one's name; chosen
_DOUBT = 0.1  # margin below which a label is in doubt; chosen


@dataclass(frozen=True)
class Label:
    """What a pattern is called.

    Attributes
    ----------
    name
        Of `TITLES`.
    margin
        By how much it won over the next pattern (or label), 0-1: a share of the spread of the patterns of its region.
    doubts
        Why it may be wrong; empty where nothing speaks against it.
    """

    name: str
    margin: float
    doubts: tuple[str, ...] = ()


def label_patterns(
    region: str, found: Parameters, adc: np.ndarray, references: Mapping[str, Parameters]
) -> tuple[Label, ...]:
    """Label the patterns of a region.

    In this order: the highest baseline is perinecrotic (CEL) or vasogenic oedema (NEL); of the rest, the highest drop is high angiogenic;
    of the rest, the lowest baseline is low angiogenic or cellular. What is left is high angiogenic in CEL, and in NEL infiltrated oedema,
    in the middle between vasogenic oedema and cellular tumour, unless it lies twice as near, in baseline and drop, to a pattern of
    another name; it is not cellular where its ADC is above that of high angiogenic tumour. Of fewer than three patterns, one that does not
    drop as grey matter does is not high angiogenic.

    Parameters
    ----------
    region
        ``"cel"`` or ``"nel"``.
    found
        Of the k patterns' mean curves.
    adc
        Mean of each (k,), NaN where it is not known.
    references
        Of reference tissues, by name.

    References
    ----------
    Yun J et al., AJNR Am J Neuroradiol 2023, 10.3174/ajnr.A7853.
    """
    k = len(found.baseline)
    baseline, drop, psr = (_share(getattr(found, n)) for n in ("baseline", "drop", "psr"))
    fluid = OF_REGION[region][-1]
    grey = float(references["gm"].drop[0]) if "gm" in references else float("-inf")
    white = float(references["wm"].drop[0]) if "wm" in references else float("-inf")
    names: dict[int, Label] = {}
    for name, score in ((fluid, baseline), ("angiogenic", drop), ("cellular", -baseline)):
        left = [i for i in range(k) if i not in names]
        if not left or (k == 1 and name == fluid):
            continue
        best = max(left, key=lambda i: score[i])
        if name == "angiogenic" and k < 3 and not found.drop[best] > grey:
            continue
        others = [score[i] for i in left if i != best]
        margin = float(score[best] - max(others)) if others else 1.0
        names[best] = Label(name, margin, _doubts(name, best, margin, found, psr, adc, white))
    anchors = [(label.name, baseline[i], drop[i]) for i, label in names.items()]
    held = {label.name: i for i, label in names.items()}
    if region == "nel" and {fluid, "cellular"} <= held.keys():
        between = [held[fluid], held["cellular"]]
        anchors.append(("infiltrated", float(baseline[between].mean()), float(drop[between].mean())))
    for i in [i for i in range(k) if i not in names]:
        away: dict[str, float] = {}
        vetoed = {"angiogenic", "cellular"} <= held.keys() and adc[i] > adc[held["angiogenic"]]
        for name, b, d in anchors:
            if not (name == "cellular" and vetoed):
                away[name] = min(away.get(name, np.inf), float(np.hypot(baseline[i] - b, drop[i] - d)))
        nearest = min(away, key=lambda name: away[name])
        rest = _REST[region]
        name = rest if rest in away and away[nearest] > _CLEAR * away[rest] else nearest
        other = min((d for n, d in away.items() if n != name), default=np.inf)
        margin = float(np.clip(other - away[name], 0.0, 1.0))
        names[i] = Label(name, margin, _doubts(name, i, margin, found, psr, adc, white))
    return tuple(names[i] for i in range(k))


def _share(values: np.ndarray) -> np.ndarray:
    """Values (k,) as shares of their spread, 0-1; a half where they are all one."""
    low, high = np.nanmin(values), np.nanmax(values)
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _doubts(
    name: str, i: int, margin: float, found: Parameters, psr: np.ndarray, adc: np.ndarray, white: float
) -> tuple[str, ...]:
    said = []
    known = np.isfinite(adc)
    if margin < _DOUBT:
        said.append("another is about as likely")
    if name == "angiogenic" and not found.drop[i] > white:
        said.append("its drop is not above that of white matter")
    if known[i] and known.sum() > 1:
        if name == "cellular" and adc[i] > np.nanmin(adc):
            said.append("its ADC is not the lowest")
        if name in ("perinecrotic", "vasogenic") and adc[i] < np.nanmedian(adc):
            said.append("its ADC is not high")
    if name in ("perinecrotic", "vasogenic") and psr[i] > 0.5:
        said.append("its recovery is not low")
    return tuple(said)


def counted(names: Sequence[str]) -> list[str]:
    """Names with a number where there are several of one: ``angiogenic 1``, ``angiogenic 2``."""
    return [n if names.count(n) == 1 else f"{n} {list(names[: i + 1]).count(n)}" for i, n in enumerate(names)]
