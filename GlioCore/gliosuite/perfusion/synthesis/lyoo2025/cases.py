"""Cases to train on: raw curves of a few slices of a series, and what ktrans, vp and ve are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ....files import atomic
from ....images import Series, array, boolean
from ...prepared import prepare
from ...settings import DceSettings
from .raw import raw_curves

KIND = "lyoo2025"
NAMES = ("ktrans", "vp", "ve")  # the order of the networks' maps
# What the networks' numbers are in units of, by map: 1/min, fraction, fraction. Chosen: typical of brain and tumour, so that an error of
# ve, whose values are the largest, does not outweigh the others.
UNITS = np.array([0.05, 0.05, 0.2], np.float32)
_LEAST_LESION = 20  # voxels; chosen: a slice with fewer does not show the lesion
_LEAST_HEAD = 500  # voxels; chosen: a slice with fewer shows next to no brain


class Labelled(NamedTuple):
    """A raw series with its frame times in s, maps of `NAMES` on its grid, and the lesion (1 there)."""

    series: Series
    times_s: ArrayLike
    maps: Mapping[str, sitk.Image]
    lesion: sitk.Image


@dataclass(frozen=True)
class TrainingCase:
    """Some slices of a case.

    Attributes
    ----------
    curves
        (n, 60) float16, see `raw.Raw`.
    labels
        (n, 3) float16: `NAMES` clipped to 0-1, not in `UNITS`.
    lesion
        Voxels (n,) of the lesion.
    rows
        (slice, y, x) int32: the row of each voxel, -1 outside the head; cropped to the head.
    """

    curves: np.ndarray
    labels: np.ndarray
    lesion: np.ndarray
    rows: np.ndarray

    def slices(self, values: np.ndarray, which: Sequence[int] | np.ndarray) -> np.ndarray:
        """Values (n, m) of the voxels as images (slice, m, y, x) of some slices, 0 outside the head."""
        rows = self.rows[np.asarray(which)]
        found = np.where((rows >= 0)[..., None], values[np.maximum(rows, 0)], 0)
        return np.ascontiguousarray(np.moveaxis(found, -1, 1), np.float32)


def training_case(labelled: Labelled, rng: np.random.Generator, slices: int) -> TrainingCase:
    """Cut slices out of a case, half of them through the lesion where there is one.

    Raises
    ------
    InputError
        If the series cannot be used; the text says why.
    """
    prepared = prepare(labelled.series, labelled.times_s, DceSettings(), None)
    raw = raw_curves(prepared)
    lesion = boolean(labelled.lesion) & raw.region
    chosen = _chosen(raw.region, lesion, rng, slices)
    part = np.zeros_like(raw.region)
    part[chosen] = raw.region[chosen]
    across, along = (np.flatnonzero(part.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    rows = np.full(part.shape, -1, np.int32)
    rows[part] = np.arange(part.sum())
    rows = rows[chosen][:, across[0] : across[-1] + 1, along[0] : along[-1] + 1]
    maps = np.stack([array(labelled.maps[name])[part] for name in NAMES], axis=1)
    labels = np.clip(np.nan_to_num(maps), 0.0, 1.0).astype(np.float16)
    return TrainingCase(raw.curves[part[raw.region]].astype(np.float16), labels, lesion[part], rows)


def _chosen(region: np.ndarray, lesion: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Numbers of slices, rising."""
    head = np.flatnonzero(region.sum(axis=(1, 2)) >= _LEAST_HEAD)
    head = head if head.size else np.flatnonzero(region.any(axis=(1, 2)))
    seen = np.intersect1d(head, np.flatnonzero(lesion.sum(axis=(1, 2)) >= _LEAST_LESION))
    of_lesion = rng.permutation(seen)[: count // 2]
    others = rng.permutation(np.setdiff1d(head, of_lesion))[: count - of_lesion.size]
    return np.sort(np.concatenate([of_lesion, others]))


def save_case(case: TrainingCase, path: Path) -> None:
    """Write a case as ``.npz``, whole or not at all."""
    with atomic(path) as file, open(file, "wb") as out:
        np.savez(out, **vars(case))


def load_case(path: Path) -> TrainingCase:
    """Read what `save_case` wrote."""
    with np.load(path) as saved:
        return TrainingCase(saved["curves"], saved["labels"], saved["lesion"], saved["rows"])
