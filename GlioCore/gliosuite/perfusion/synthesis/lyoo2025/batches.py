"""What a step trains on: patches for the temporal network, slices for the U-Net, each from the step's number alone."""

from collections.abc import Sequence

import numpy as np

from .cases import TrainingCase

_HALF = 16  # voxels; half the width of a patch: 60 mm at 1.875 mm, as 64 voxels are of the .94 mm of Lyoo et al.


def patch_rows(case: TrainingCase, rng: np.random.Generator, of_lesion: bool) -> np.ndarray:
    """Rows (n,) of a case's voxels in a patch about a voxel of the lesion, where there is one and it is wanted, or of the head."""
    s, y, x = np.nonzero(case.rows >= 0)
    among = np.flatnonzero(case.lesion) if of_lesion and case.lesion.any() else np.arange(s.size)
    k = among[rng.integers(among.size)]
    spans = [slice(max(at - _HALF, 0), at + _HALF) for at in (int(y[k]), int(x[k]))]
    rows = case.rows[s[k]][tuple(spans)]
    return rows[rows >= 0]


def patches(cases: Sequence[TrainingCase], rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Curves (n, 60) and labels (n, 3), float32, of `count` patches, half of them about lesions."""
    curves, labels = [], []
    for k in range(count):
        case = cases[int(rng.integers(len(cases)))]
        rows = patch_rows(case, rng, k % 2 == 0)
        curves.append(case.curves[rows])
        labels.append(case.labels[rows])
    return np.concatenate(curves).astype(np.float32), np.concatenate(labels).astype(np.float32)


def slices(
    cases: Sequence[TrainingCase],
    maps: Sequence[np.ndarray],
    chosen: Sequence[tuple[int, int]],
    flipped: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps (n, 3, y, x), labels (n, 3, y, x) and the head (n, 1, y, x), float32, of slices given as case and number.

    Smaller slices are filled up with zeros, as the head's surroundings are. `flipped` ones are mirrored, left to right.
    """
    found = []
    for i, (c, s) in enumerate(chosen):
        case = cases[c]
        three = [case.slices(v, [s])[0] for v in (maps[c], case.labels)]
        three.append((case.rows[s] >= 0)[None].astype(np.float32))
        found.append([v[..., ::-1] if flipped is not None and flipped[i] else v for v in three])
    height, width = (max(one[0].shape[axis] for one in found) for axis in (1, 2))
    pad = lambda v: np.pad(v, ((0, 0), (0, height - v.shape[1]), (0, width - v.shape[2])))
    images, labels, inside = (np.stack([pad(one[k]) for one in found]) for k in range(3))
    return images, labels, inside
