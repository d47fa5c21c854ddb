"""What the trained networks do on patients held out from training: errors of both stages, and how many SDs hold the truth."""

from collections.abc import Callable, Sequence

import numpy as np

from ..spatial import LEVELS
from .cases import NAMES, UNITS, TrainingCase
from .inference import Networks, values_of
from .raw import summary

_RANGE = 0.0005  # of the curves at either end, beyond which a voxel lies outside what was trained on; chosen
LEAST_SD = 1e-5  # below which four samples do not differ


def range_of(cases: Sequence[TrainingCase]) -> list[list[float]]:
    """Ends of the range of `raw.summary` over the curves trained on."""
    told = np.concatenate([summary(case.curves.astype(np.float32)) for case in cases])
    return np.quantile(told, (_RANGE, 1.0 - _RANGE), axis=0).round(4).tolist()


def _seen(networks: Networks, cases: Sequence[TrainingCase]) -> list[tuple[np.ndarray, ...]]:
    """Of each case's voxels (n, 3): truth, the temporal network's maps, mean and SD of the samples; and the lesion (n,)."""
    found: list[tuple[np.ndarray, ...]] = []
    for case in cases:
        maps = networks.first(case.curves)
        inside = case.rows >= 0
        mean, sd = values_of(networks.samples(case.slices(maps, np.arange(len(case.rows)))))
        rows = lambda images, inside=inside: np.moveaxis(images, 1, -1)[inside]
        truth = case.labels.astype(np.float32)
        found.append((truth, np.maximum(maps, 0.0) * UNITS, rows(mean), rows(sd), case.lesion))
    return found


def calibrated(networks: Networks, cases: Sequence[TrainingCase]) -> dict[str, dict[str, float]]:
    """How many of the samples' SDs hold the truth in 50, 90 and 95 % of the voxels of cases not trained on, by level and map.

    References
    ----------
    Lei J et al., J Am Stat Assoc 2018;113:1094.
    """
    seen = _seen(networks, cases)
    off = np.concatenate([np.abs(true - mean) / np.maximum(sd, LEAST_SD) for true, _, mean, sd, _ in seen])
    found = np.quantile(off, LEVELS, axis=0).round(4)
    return {f"{level:g}": dict(zip(NAMES, row.tolist())) for level, row in zip(LEVELS, found)}


def figures(networks: Networks, cases: Sequence[TrainingCase]) -> dict[str, dict[str, float]]:
    """NRMSE in % of the temporal network alone and of both stages, in the head and the lesion of cases not trained on."""
    seen = _seen(networks, cases)
    parts: dict[str, Callable[[tuple[np.ndarray, ...]], np.ndarray]] = {
        "head": lambda one: np.ones(len(one[0]), bool),
        "lesion": lambda one: one[4],
    }
    found: dict[str, dict[str, float]] = {}
    for place, chosen in parts.items():
        true = np.concatenate([one[0][chosen(one)] for one in seen])
        if not len(true):
            continue
        span = np.maximum(np.ptp(true, axis=0), 1e-6)
        for stage, k in (("tcn", 1), ("both", 2)):
            error = np.concatenate([one[k][chosen(one)] for one in seen]) - true
            nrmse = 100.0 * np.sqrt((error**2).mean(axis=0)) / span
            found[f"nrmse_{place}_{stage}"] = dict(zip(NAMES, nrmse.round(3).tolist()))
    return found
