"""Target volumes of several schemes together: those that are the same volume are drawn once, under one name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from ...images import boolean
from .ctv import TargetVolumes


@dataclass(frozen=True)
class DrawnTarget:
    """A GTV or CTV that is drawn: its mask (uint8), what is said of it, and its dose level (empty for none)."""

    name: str
    interpreted_type: str
    mask: sitk.Image
    rule: str
    dose: str = ""


def drawn_once(made: Sequence[TargetVolumes]) -> tuple[list[DrawnTarget], list[str]]:
    """GTVs, then CTVs of several schemes without repetition.

    ``s3-eortc`` and ``estro-eano`` share both rule and margin, and a T2 lesion that adds nothing makes more schemes alike. Two target
    volumes are one where every voxel is the same and their dose levels do not contradict; levels of one scheme stay apart.

    Parameters
    ----------
    made
        From `target_volumes`, all on one grid.

    Returns
    -------
    list of DrawnTarget
        The first of equal ones has its name and says what else it is.
    list of str
        One sentence for each that was merged.
    """
    pairs = [(volumes, target) for volumes in made for target in volumes.targets]
    named = lambda volumes: volumes.scheme.title
    ours = [(DrawnTarget(t.rule.gtv_name, "GTV", t.gtv, t.holds), named(v)) for v, t in pairs]
    ours += [(DrawnTarget(t.rule.ctv_name, "CTV", t.ctv, v.said(t), t.rule.dose or ""), named(v)) for v, t in pairs]
    kept: list[tuple[DrawnTarget, str]] = []
    notes: list[str] = []
    for one, title in ours:
        at = next((i for i, (other, of) in enumerate(kept) if of != title and _same(one, other)), None)
        if at is None:
            kept.append((one, title))
            continue
        other, of = kept[at]
        also = f"; the same volume as {one.name} ({title})"
        kept[at] = replace(other, rule=other.rule + also, dose=other.dose or one.dose), of
        notes.append(f"{one.name} is the same volume as {other.name} and is drawn once, as {other.name}.")
    return [one for one, _ in kept], notes


def _same(one: DrawnTarget, other: DrawnTarget) -> bool:
    if one.interpreted_type != other.interpreted_type or (one.dose and other.dose and one.dose != other.dose):
        return False
    return bool(np.array_equal(boolean(one.mask), boolean(other.mask)))
