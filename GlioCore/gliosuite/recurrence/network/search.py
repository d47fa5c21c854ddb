"""A search for base features, learning rate and batch: a grid, then random trials in the range that it shows, as Tran et al. 2025."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from ...errors import require
from ...steps import Progress, part, silent
from ..ensemble import check
from ..inputs import Inputs
from ..settings import NetworkTraining
from .shown import Shown
from .train import refuse_others, train_member

GRID, RANDOM = "grid", "random"
Range = tuple[float, float]


@dataclass(frozen=True)
class Trial:
    """One training of a search: in which phase it was, its settings, how many epochs it took, which was the best, and its Tversky index."""

    phase: str
    settings: NetworkTraining
    epochs: int
    best_epoch: int
    tversky: float


def search(
    patients: Sequence[Inputs],
    settings: NetworkTraining,
    grid: tuple[Sequence[int], Sequence[float], Sequence[int]],
    trials: int,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
) -> list[Trial]:
    """Train with all of a grid and then at random between the neighbours of its best; what was done in `folder` is taken up.

    Parameters
    ----------
    settings
        All but what is searched.
    grid
        Base features, learning rates and batches.
    trials
        Random ones.

    Raises
    ------
    InputError
        If torch is missing, a patient cannot be learned from, or `folder` holds a search of other patients or settings.
    """
    require("torch", "training the recurrence network")
    check(patients, settings)
    refuse_others(folder, patients, settings)
    views = [Shown.of(p) for p in patients]
    bases, rates, batches = grid
    planned = [
        replace(settings, base=b, learning_rate=r, batch=n)
        for b, r, n in product(sorted(bases), sorted(rates), sorted(batches))
    ]
    found: list[Trial] = []

    def add(phase: str, one: NetworkTraining) -> None:
        i, total = len(found), len(planned) + trials
        name = f"base-{one.base}-rate-{one.learning_rate:g}-batch-{one.batch}"
        share = part(progress, i / total, (i + 1) / total)
        rows = train_member(views, one, 0, folder / name, cuda, share, f"trial {i + 1} of {total}")[1]
        losses = [row[2] for row in rows]
        found.append(Trial(phase, one, len(rows), 1 + int(np.argmin(losses)), 1 - min(losses)))

    for one in planned:
        add(GRID, one)
    best = max(found, key=lambda t: t.tversky).settings
    base, rate, batch = (
        _beside(values, value) for values, value in zip(grid, (best.base, best.learning_rate, best.batch))
    )
    for i in range(trials):
        rng = np.random.default_rng([settings.seed, 4, i])
        drawn = replace(
            settings,
            base=4 * int(rng.integers(int(base[0]) // 4, int(base[1]) // 4 + 1)),
            learning_rate=float(f"{np.exp(rng.uniform(*np.log(rate))):.3g}"),
            batch=int(rng.integers(int(batch[0]), int(batch[1]) + 1)),
        )
        add(RANDOM, drawn)
    return found


def _beside(values: Sequence[float], value: float) -> Range:
    """The neighbours of a value of a grid; at its end, the value itself."""
    order = sorted(values)
    i = order.index(value)
    return order[max(i - 1, 0)], order[min(i + 1, len(order) - 1)]
