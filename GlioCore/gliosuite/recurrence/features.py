"""Features of voxels: images in units that patients share, and where a voxel lies to the lesion."""

import numpy as np
from scipy import ndimage

from ..images import box_around
from .inputs import CHANNELS, REACH_MM, Inputs

# Seen with their surroundings too, since a voxel alone is noisy; the width is a voxel of Tran 2025.
_SMOOTHED = ("t1c", "flair", "adc", "fa")
_SMOOTH_MM = 3.0
_APART_MM = 10.0  # normal-appearing brain is so far from the lesion and the cavity; chosen
_LEAST = 500  # voxels of it, else all brain outside the lesion; chosen
_BINS, _BROAD = 256, 12  # of the histogram, and the width that its two peaks of tissue are one in; chosen
FAR_MM = 100.0  # what distance a missing mask has

NAMES = (
    *(f"n{name}" if channel.scaled else name for name, channel in CHANNELS.items()),
    *(f"n{name}_around" for name in _SMOOTHED),
    *("from_t2l_mm", "from_cel_mm", "from_cavity_mm", "log_t2l_cc", "log_cel_cc"),
)


def feature_of(channel: str) -> str:
    """The feature that is the value itself of one of `CHANNELS`."""
    return f"n{channel}" if CHANNELS[channel].scaled else channel


def features_of(channel: str) -> set[str]:
    """All features of one of `CHANNELS`: the value itself and the smoothed one."""
    return {feature_of(channel), f"n{channel}_around"} & set(NAMES)


def normal_brain(inputs: Inputs) -> np.ndarray:
    """Normal-appearing brain: away from lesion and cavity, boolean (z, y, x)."""
    apart = np.minimum(inputs.away("t2l"), inputs.away("cavity"))
    brain = inputs.masks["brain"]
    found = brain & (apart > _APART_MM)
    return found if found.sum() >= _LEAST else brain & (apart > 0)


def mode(values: np.ndarray) -> float:
    """The commonest of values (n,): the peak of their smoothed histogram between the 1st and 99th percentile; NaN for none."""
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan")
    low, high = np.percentile(values, (1, 99))
    if not high > low:
        return float(low)
    counts, edges = np.histogram(values, _BINS, (low, high))
    peak = int(np.argmax(ndimage.gaussian_filter1d(counts.astype(float), _BROAD, mode="constant")))
    return float(edges[peak : peak + 2].mean())


def relative(inputs: Inputs) -> dict[str, np.ndarray]:
    """Images in units that patients share: one whose unit is the scanner's own is divided by the commonest value of normal brain."""
    normal = normal_brain(inputs)
    unit = lambda name, image: max(mode(image[normal]), 1e-6) if CHANNELS[name].scaled else 1.0
    return {name: image / unit(name, image) for name, image in inputs.images.items()}


def features(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Features of the voxels in which it could recur.

    These are the brain without cavity and lesion within `inputs.REACH_MM` of the T2 lesion.

    Returns
    -------
    tuple
        Values (n, `NAMES`), float32, NaN where an image is missing or was not measured; and the voxels, boolean (z, y, x) with n true.
    """
    # Nothing is asked outside the brain, whose box is a third of a head's.
    box = box_around(inputs.masks["brain"])
    cut = lambda of: {name: v[box] for name, v in of.items()}
    inputs = Inputs(cut(inputs.images), cut(inputs.masks), inputs.grid)
    masks = inputs.masks
    away = inputs.away("t2l")
    where = masks["brain"] & ~masks["cavity"] & (away > 0) & (away <= REACH_MM)
    table = dict.fromkeys(NAMES)
    for name, values in relative(inputs).items():
        table[feature_of(name)] = values[where]
        if name in _SMOOTHED:
            table[f"n{name}_around"] = _around(values, masks["brain"], inputs.grid.spacing[::-1])[where]
    for name in ("t2l", "cel", "cavity"):
        table[f"from_{name}_mm"] = np.minimum(inputs.away(name)[where], FAR_MM)
    for name in ("t2l", "cel"):
        table[f"log_{name}_cc"] = np.full(where.sum(), np.log(0.1 + masks[name].sum() * inputs.grid.voxel_cc))
    missing = np.full(where.sum(), np.nan)
    everywhere = np.zeros(inputs.grid.shape, bool)
    everywhere[box] = where
    return np.stack([missing if v is None else v for v in table.values()], axis=1).astype(np.float32), everywhere


def _around(values: np.ndarray, brain: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Values smoothed within the brain."""
    known = brain & np.isfinite(values)
    width = _SMOOTH_MM / np.asarray(spacing)
    blur = lambda v: ndimage.gaussian_filter(v.astype(np.float32), width, truncate=3.0, mode="constant")
    return np.where(known, blur(np.where(known, values, 0)) / np.maximum(blur(known), 1e-3), np.nan)
