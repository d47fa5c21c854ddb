"""The second generator of recurrence: random fields, no equation of growth.

A model that wins because it shares the first generator's equation must lose here. A voxel's score is a random field minus its distance from
the treated lesion; the recurrence is where the score is highest. With `informed`, a second field that also shows on the scans raises the
score; without, nothing but distance from the lesion's shape says where tumour will come (preset ``null``), not even tissue.
"""

from dataclasses import dataclass

import numpy as np

from .draws import Uniform
from .growth import Region
from .lesion import Lesion, without_specks
from .phantom import stream
from .treatment import distance_to

REACH_MM = Uniform(5.0, 12.0)  # distance that costs as much as one SD of the field (chosen)
HIDDEN_MM = 14.0  # features of the field that scans show (chosen)
WEIGHT = 1.0  # of the field that scans show, against the one that they do not (chosen)


@dataclass(frozen=True)
class Scattered:
    """Core and T2L of a recurrence on the fine grid, and the score that they were cut from."""

    inside: np.ndarray
    t2l: np.ndarray
    score: np.ndarray


def hidden_field(part: Region, seed: int) -> np.ndarray:
    """The field that raises the score and shows on scans, fine grid, unit variance."""
    return part.field(stream(seed, "hidden"), HIDDEN_MM, True)


def scatter(
    part: Region, treated: Lesion, core_cc: float, t2l_cc: float, seed: int, hidden: np.ndarray | None
) -> Scattered:
    """Draw a recurrence.

    Parameters
    ----------
    treated
        The lesion at the time of radiotherapy.
    core_cc, t2l_cc
        Volumes of the recurrence: its core, and all that is bright on FLAIR.
    hidden
        The field that raises the score, see `hidden_field`; None where the scans know nothing.
    """
    rng = stream(seed, "scatter")
    field = 0.8 * part.field(rng, 13.0, True) + 0.6 * part.field(rng, 6.0, True)
    distance = distance_to(part, treated.t2l | treated.cavity)
    score = field - distance.astype(np.float32) / np.float32(REACH_MM.draw(rng))
    if hidden is None:
        free = part.fine_brain & ~part.fine_ventricles & ~treated.cavity
    else:
        score = score + np.float32(WEIGHT) * hidden
        free = part.fine_allowed & ~treated.cavity
    core = _top(score, free, core_cc / part.fine.voxel_cc)
    t2l = _top(score, free, t2l_cc / part.fine.voxel_cc) | core
    return Scattered(without_specks(core, part.fine, 0.15), without_specks(t2l, part.fine, 0.15), score)


def _top(score: np.ndarray, free: np.ndarray, n: float) -> np.ndarray:
    """The `n` highest voxels of what is free."""
    values = score[free]
    n = int(np.clip(round(n), 1, len(values)))
    return free & (score >= np.partition(values, -n)[-n])
