"""Reference tissues of a DSC series: artery, grey matter, white matter and fluid, given or found in the brain away from the lesion."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...errors import InputError, option
from ...images import Grid, signed_distance

TISSUES = ("artery", "gm", "wm", "csf")
# All chosen. White matter: as deep, as far from the lesion, and between the percentiles of blood volume that `gliosuite dsc` takes.
_FROM_SURFACE_MM, _FROM_LESION_MM, _VESSELS, _WHITE = 8.0, 10.0, 95.0, (10.0, 40.0)
_LEAST = 200  # voxels of white matter, which all curves are scaled by
_GREY = (1.7, 3.0)  # blood volume over that of white matter
_EMPTY = 0.35  # likewise, below which there is fluid, as bright as white matter at least
_ARTERIES, _STRONG, _AFTER_S = (
    30,
    99.0,
    30.0,
)  # voxels (as many as Yun et al. drew), percentile of the strongest change, first pass


@dataclass(frozen=True)
class References:
    """Voxels (z, y, x) of the tissues that there are, by name of `TISSUES`, and how each was found."""

    voxels: Mapping[str, np.ndarray]
    how: Mapping[str, str]


def find_references(
    frames: np.ndarray,
    times_s: np.ndarray,
    n_baseline: int,
    grid: Grid,
    brain: np.ndarray,
    lesion: np.ndarray,
    given: Mapping[str, np.ndarray] | None = None,
) -> References:
    """Find what is not given.

    Parameters
    ----------
    frames
        Signal (t, z, y, x).
    times_s, n_baseline
        (t,) s, and how many frames lie before the bolus.
    brain, lesion
        Boolean (z, y, x).
    given
        Voxels by name of `TISSUES`.

    Raises
    ------
    InputError
        If there is no white matter: fewer than 200 voxels are like it, or what is given has no signal.
    """
    given = dict(given or {})
    usable = brain & (frames.min(axis=0) > 0)
    signal = frames[:, usable].astype(np.float64)
    before = signal[:n_baseline].mean(axis=0)
    passing = (times_s >= times_s[n_baseline]) & (times_s <= times_s[n_baseline] + _AFTER_S)
    change = np.log(before / signal)
    volume, baseline, strongest = (np.zeros(grid.shape) for _ in range(3))
    volume[usable], baseline[usable], strongest[usable] = (
        change[passing].sum(axis=0),
        before,
        change[passing].max(axis=0),
    )
    away = usable & (_distance(grid, lesion) > _FROM_LESION_MM) if lesion.any() else usable
    level = _smooth(volume, away)
    found = {n: v & (frames.min(axis=0) > 0) for n, v in given.items()}
    how = dict.fromkeys(found, "given")
    if "wm" not in found:
        deep = away & (_distance(grid, brain) < -_FROM_SURFACE_MM) & (volume > 0)
        if deep.any():
            below = deep & (level <= np.percentile(level[deep], _VESSELS))
            low, high = np.percentile(level[below], _WHITE)
            found["wm"], how["wm"] = below & (level >= low) & (level <= high), "found"
        if "wm" not in found or found["wm"].sum() < _LEAST:
            raise InputError(
                f"fewer than {_LEAST} voxels of the brain away from the lesion are like white matter, which curves are scaled by; a mask "
                f"of it is needed ({option('--wm')})"
            )
    if not found["wm"].any():
        raise InputError("the mask of white matter has no voxel with signal in the brain")
    white = float(volume[found["wm"]].mean())
    bright = float(baseline[found["wm"]].mean())
    for name, like in (
        ("gm", away & (level > _GREY[0] * white) & (level < _GREY[1] * white)),
        ("csf", away & (level < _EMPTY * white) & (baseline >= bright)),
    ):
        if name not in found:
            found[name], how[name] = like, "found"
    if "artery" not in found:
        strong = usable & ~lesion & (strongest >= np.percentile(strongest[usable], _STRONG))
        weight = np.maximum(np.log(before / signal), 0)[passing]
        middle = np.full(grid.shape, np.inf)
        middle[usable] = (weight * times_s[passing, None]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9)
        first = np.sort(middle[strong])[:_ARTERIES][-1:]
        found["artery"], how["artery"] = strong & (middle <= (first[0] if first.size else -np.inf)), "found"
    there = {n: found[n] for n in TISSUES if found[n].any()}
    return References(there, {n: f"{how[n]}, {int(v.sum())} voxels" for n, v in there.items()})


def _distance(grid: Grid, mask: np.ndarray) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(signed_distance(grid.image(mask)))


def _smooth(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean over the 27 neighbours that lie in a region: by a voxel's own value, those would be taken that noise has made low."""
    weight = ndimage.uniform_filter(where.astype(np.float64), 3, mode="constant")
    total = ndimage.uniform_filter(np.where(where, values, 0.0), 3, mode="constant")
    return total / np.maximum(weight, 1e-9)
