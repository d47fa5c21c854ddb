"""The spatial stage in numpy: what a voxel's neighbours say of it, multiplied with what the voxel says itself.

A small convolutional network looks at the maps of the voxels' own posteriors, at how sharp they are, how well the model fits there, and at
T1. It answers with a Gaussian that is never sharper than a sixth of the prior, so that where the data are strong the product hardly differs
from the voxel's own; with a gate, whether that Gaussian is about the voxel's own value, as at a tumour's edge, or about the prior's, as in
white matter, whose own ve is noise; and with a factor on the product's SD. Convolutions are products of matrices, plane by plane: no torch
is needed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...compute import each
from ...steps import Progress, silent
from .features import NAMES, PARAMETERS, PRIOR

N = len(PARAMETERS)
# What of a voxel's inputs its neighbours are told, beside its posterior.
TOLD = (
    "ktrans over its SD",
    "vp over its SD",
    "ve not told",
    "kep at its bound",
    "residual over the AIF's peak",
    "residual over ktrans",
    "misfit",
)
CHANNELS = 2 * N + len(TOLD) + 3
# Kernel and dilation (z, y, x) of each layer; the third is added to the second. Chosen: reach of 8 voxels in plane and 2 slices.
LAYERS = (
    ((3, 3, 3), (1, 1, 1)),
    ((3, 3, 3), (1, 2, 2)),
    ((1, 3, 3), (1, 4, 4)),
    ((1, 1, 1), (1, 1, 1)),
    ((1, 1, 1), (1, 1, 1)),
)
WIDTH = 32  # of the hidden layers
N_OUT = 4 * N  # mean, width and gate of the neighbours' Gaussian, and the factor; the tissues' likelihoods follow
# Width of the neighbours' Gaussian over the prior's SD, and the factor on the product's SD, as logarithms; both chosen.
WIDTH_LIMITS, FACTOR_LIMITS = (-1.8, 2.0), (-2.0, 2.0)
# Tissues whose intervals are calibrated apart; the network says how likely a voxel is of each.
GROUPS = ("gm", "wm", "oedema", "cel", "necrosis", "fluid", "beside")
LEVELS = (0.5, 0.9, 0.95)  # of the intervals that are calibrated
_T1 = (0.2, 6.0, 1.3)  # s: a T1 outside the first two is none; the third is that of brain, about
_TOLD = [NAMES.index(name) for name in TOLD]
_BEGINS = 1.5  # what an untrained network's width begins with: so wide that neighbours say next to nothing
_MEAN, _SD = (np.array([PRIOR[name][i] for name in PARAMETERS], np.float32) for i in (0, 1))


def channels(told: np.ndarray, mean: np.ndarray, spread: np.ndarray, t10_s: np.ndarray | None = None) -> np.ndarray:
    """What the network reads of voxels (n, `CHANNELS`) float32.

    Parameters
    ----------
    told
        Their inputs (n, len(NAMES)).
    mean, spread
        Their posterior (n, 4) on its scales.
    t10_s
        Measured T1 (n,) in s, which tells tissues apart; None without one.
    """
    result = np.empty((len(told), CHANNELS), np.float32)
    result[:, :N] = (mean - _MEAN) / _SD
    result[:, N : 2 * N] = np.log(spread / _SD) / 2.0
    result[:, 2 * N : -3] = told[:, _TOLD]
    result[:, -3:-1] = 0.0
    if t10_s is not None:
        low, high, middle = _T1
        known = (t10_s >= low) & (t10_s <= high)
        result[known, -3], result[known, -2] = np.log(t10_s[known] / middle), 1.0
    result[:, -1] = 1.0
    return result


def refine(
    weights: Mapping[str, np.ndarray],
    mask: np.ndarray,
    read: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and SD (n, 4) of voxels with their neighbours, on the scales of `features.PARAMETERS`, and how likely each tissue is (n, k).

    Parameters
    ----------
    weights
        ``0.weight`` (taps, in, out), ``0.bias`` (out,) ... of `LAYERS`.
    mask
        Which voxels (z, y, x) those are, n in number.
    read
        `channels` of them.
    mean, spread
        (n, 4) of each voxel alone.
    """
    box = tuple(slice(w.min(), w.max() + 1) for w in np.nonzero(mask))
    inside = mask[box]
    volume = np.zeros((*inside.shape, read.shape[1]), np.float32)
    volume[inside] = read
    held = None
    for i, (kernel, dilation) in enumerate(LAYERS):
        told = lambda share, text, i=i: progress((i + share) / len(LAYERS), text)
        new = _convolved(volume, weights[f"{i}.weight"], weights[f"{i}.bias"], kernel, dilation, told)
        if i + 1 < len(LAYERS):
            np.maximum(new, 0.0, out=new)
            new[~inside] = 0.0  # so that what lies beyond the head says nothing, however far the image reaches
        volume, held = (new + held if i == 2 else new), new
    out = volume[inside]
    likely = np.exp(out[:, N_OUT:] - out[:, N_OUT:].max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    return *product(np, out, mean, spread, _MEAN, _SD), likely


def _convolved(
    volume: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    kernel: tuple[int, int, int],
    dilation: tuple[int, int, int],
    progress: Progress,
) -> np.ndarray:
    """A convolution of (z, y, x, in) that keeps the size; 0 beyond the edges."""
    nz, ny, nx, n = volume.shape
    if kernel == (1, 1, 1):
        return (volume.reshape(-1, n) @ weight[0] + bias).reshape(nz, ny, nx, -1)
    reach = [(k // 2) * d for k, d in zip(kernel, dilation)]
    padded = np.pad(volume, (*((r, r) for r in reach), (0, 0)))
    result = np.empty((nz, ny, nx, weight.shape[2]), np.float32)
    flat = np.ascontiguousarray(weight.reshape(-1, weight.shape[2]))
    starts = np.stack(np.meshgrid(*(d * np.arange(k) for k, d in zip(kernel, dilation)), indexing="ij"), -1).reshape(
        -1, 3
    )

    def plane(z: int) -> None:
        columns = np.empty((ny, nx, len(starts), n), np.float32)
        for tap, (dz, dy, dx) in enumerate(starts.tolist()):
            columns[:, :, tap] = padded[z + dz, dy : dy + ny, dx : dx + nx]
        result[z] = (columns.reshape(ny * nx, -1) @ flat + bias).reshape(ny, nx, -1)

    each(plane, range(nz), progress, "posterior with neighbours")
    return result


def product(library: Any, out: Any, mean: Any, spread: Any, prior_mean: Any, prior_sd: Any) -> tuple[Any, Any]:
    """Mean and SD of the voxel's own Gaussian times its neighbours', by numpy or torch; channels are the second axis.

    `out` is what the network says: mean, width, factor, gate.
    """
    gate = 0.5 + 0.5 * library.tanh(out[:, 3 * N : N_OUT])
    around = prior_mean + gate * (mean - prior_mean) + prior_sd * out[:, :N]
    width = prior_sd * library.exp(_within(library, out[:, N : 2 * N] + _BEGINS, WIDTH_LIMITS))
    own, other = 1.0 / spread**2, 1.0 / width**2
    factor = library.exp(_within(library, out[:, 2 * N : 3 * N], FACTOR_LIMITS))
    return (own * mean + other * around) / (own + other), factor / library.sqrt(own + other)


def _within(library: Any, values: Any, limits: tuple[float, float]) -> Any:
    """Any number to one within limits, smoothly; 0 to their middle."""
    low, high = limits
    return 0.5 * (low + high) + 0.5 * (high - low) * library.tanh(values)


def from_torch(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Weights as `refine` takes them from those of the network that was trained."""
    result = {}
    for i in range(len(LAYERS)):
        weight = np.asarray(state[f"{i}.weight"], np.float32)
        result[f"{i}.weight"] = np.ascontiguousarray(weight.reshape(*weight.shape[:2], -1).transpose(2, 1, 0))
        result[f"{i}.bias"] = np.asarray(state[f"{i}.bias"], np.float32)
    return result
