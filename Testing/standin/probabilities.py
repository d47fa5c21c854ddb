"""A recurrence probability made from the truth, until a model makes one: every use has to say so."""

import numpy as np
from scipy import ndimage

SOURCE = "simulated truth, blurred (Gaussian, SD 6 mm) and noised (smooth, SD .08): no model made it"


def blurred_truth(recurrence: np.ndarray, spacing: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """`SOURCE`: the mask (z, y, x) of what recurs, float32 0-1; `spacing` in mm, in array order."""
    step = np.asarray(spacing, float)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(recurrence.shape), 3 / step)
    soft = ndimage.gaussian_filter(recurrence.astype(np.float64), 6 / step)
    return np.clip(soft + 0.08 * noise / noise.std(), 0, 1).astype(np.float32)
