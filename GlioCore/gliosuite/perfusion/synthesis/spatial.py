"""The spatial stage in numpy: what a voxel's neighbours say of it, multiplied with what the voxel says itself.

Small convolutional networks look at the maps of the voxels' own posteriors, at how sharp they are, how well the model fits there, and at
T1. They answer, as a mixture, with a Gaussian that is never sharper than a sixth of the prior, so that where the data are
strong the product hardly differs from the voxel's own; with a gate, whether that Gaussian is about the voxel's own value, as at a tumour's
edge, or about the prior's, as in white matter, whose own ve is noise; with a factor on the product's SD; and with how likely a voxel is of
each tissue. Convolutions are products of matrices, plane by plane: no torch is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...compute import each
from ...steps import Progress, part, silent
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
WIDTH = 24  # of the hidden layers; chosen for two networks, so that a large head takes 5 s on two cores
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
# ktrans of enhancing tumour is told by its own curve: what surrounds the brightest part of a tumour is not what it is like.
_KTRANS, _CEL = PARAMETERS.index("ktrans"), GROUPS.index("cel")


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
    weights: Sequence[Mapping[str, np.ndarray]],
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
        Of each network ``0.weight`` (taps, in, out), ``0.bias`` (out,) ... of `LAYERS`.
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
    means, spreads, tissues = [], [], []
    for k, network in enumerate(weights):
        out = _said(network, volume, inside, part(progress, k / len(weights), (k + 1) / len(weights)))
        likely = np.exp(out[:, N_OUT:] - out[:, N_OUT:].max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        one, sd = product(np, out, likely, mean, spread, _MEAN, _SD)
        means.append(one)
        spreads.append(sd)
        tissues.append(likely)
    # Of the mixture of what the networks say. Their outputs must not be averaged instead: one may take a value from the voxel, another from
    # its neighbours.
    together = np.sqrt(np.mean(np.square(spreads), axis=0) + np.var(means, axis=0))
    return np.mean(means, axis=0), together, np.mean(tissues, axis=0)


def _said(weights: Mapping[str, np.ndarray], volume: np.ndarray, inside: np.ndarray, progress: Progress) -> np.ndarray:
    """What a network says of the voxels inside (n, out); what lies beyond them says nothing, however far the image reaches."""
    held = None
    for i, (kernel, dilation) in enumerate(LAYERS):
        told = lambda share, text, i=i: progress((i + share) / len(LAYERS), text)
        new = _convolved(volume, inside, weights[f"{i}.weight"], weights[f"{i}.bias"], kernel, dilation, told)
        if i + 1 < len(LAYERS):
            np.maximum(new, 0.0, out=new)
        volume, held = (new + held if i == 2 else new), new
    return volume[inside]


def _convolved(
    volume: np.ndarray,
    inside: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    kernel: tuple[int, int, int],
    dilation: tuple[int, int, int],
    progress: Progress,
) -> np.ndarray:
    """A convolution of (z, y, x, in) that keeps the size, of the voxels inside; 0 at others and beyond the edges."""
    reach = [(k // 2) * d for k, d in zip(kernel, dilation)]
    padded = np.pad(volume, (*((r, r) for r in reach), (0, 0)))
    around = sliding_window_view(padded, [2 * r + 1 for r in reach], axis=(0, 1, 2))
    dz, dy, dx = dilation
    around = np.moveaxis(around[..., ::dz, ::dy, ::dx], 3, -1)  # (z, y, x, *kernel, in), a view
    result = np.zeros((*volume.shape[:3], weight.shape[2]), np.float32)
    flat = np.ascontiguousarray(weight.reshape(-1, weight.shape[2]))

    def plane(z: int) -> None:
        result[z, inside[z]] = around[z, inside[z]].reshape(-1, len(flat)) @ flat + bias

    each(plane, range(len(volume)), progress, "posterior with neighbours")
    return result


def product(
    library: Any, out: Any, likely: Any, mean: Any, spread: Any, prior_mean: Any, prior_sd: Any
) -> tuple[Any, Any]:
    """Mean and SD of the voxel's own Gaussian times its neighbours', by numpy or torch; channels are the second axis.

    `out` is what the network says: mean, width, factor, gate. `likely` is how likely each tissue is: by as much as a voxel is enhancing
    tumour, the precision of its neighbours' ktrans is less.
    """
    gate = 0.5 + 0.5 * library.tanh(out[:, 3 * N : N_OUT])
    around = prior_mean + gate * (mean - prior_mean) + prior_sd * out[:, :N]
    width = prior_sd * library.exp(_within(library, out[:, N : 2 * N] + _BEGINS, WIDTH_LIMITS))
    own, other = 1.0 / spread**2, 1.0 / width**2
    other[:, _KTRANS] = other[:, _KTRANS] * (1.0 - likely[:, _CEL])
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
