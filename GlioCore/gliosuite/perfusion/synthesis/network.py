"""The posterior network in numpy: an ensemble of small perceptrons, each giving a Gaussian on the scales of `features`."""

from collections.abc import Mapping

import numpy as np

from .features import PARAMETERS, Inputs

N = len(PARAMETERS)
LOWER = np.tril_indices(N)
DIAGONAL = np.flatnonzero(LOWER[0] == LOWER[1])
N_OUT = N + len(LOWER[0])
# How far a member may move a diagonal entry of its Cholesky factor, as a logarithm: chosen, from a fit that is 20 times as sharp as it
# says to one that is 50 times as wide.
LOG_LIMITS = (-3.0, 4.0)
DEGREES = 6.0  # of freedom of both networks' losses (Student's t); chosen: near a Gaussian, with tails


def members(weights: Mapping[str, np.ndarray]) -> int:
    """How many networks the ensemble has."""
    return 1 + max(int(name.split(".")[0]) for name in weights if name[0].isdigit())


def layers(weights: Mapping[str, np.ndarray], member: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight (in, out) and bias (out,) of a member's layers."""
    count = sum(name.startswith(f"{member}.") for name in weights) // 2
    return [(weights[f"{member}.{i}.weight"], weights[f"{member}.{i}.bias"]) for i in range(count)]


def gaussian(weights: Mapping[str, np.ndarray], voxels: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n, 4) and SD (n, 4) of the ensemble, on the scales of `features.PARAMETERS`; float32.

    Of the mixture of the members' Gaussians: their mean, and the mean of their variances plus the variance of their means.
    """
    mean, square = np.zeros_like(voxels.centre), np.zeros_like(voxels.centre)
    count = members(weights)
    for member in range(count):
        x = voxels.told
        stack = layers(weights, member)
        for weight, bias in stack[:-1]:
            x = x @ weight
            x += bias
            np.maximum(x, 0.0, out=x)
        out = x @ stack[-1][0] + stack[-1][1]
        shift, factor = out[:, :N], cholesky(out[:, N:])
        mean += shift
        square += shift**2 + (factor**2).sum(axis=2)
    mean /= count
    spread = np.sqrt(np.maximum(square / count - mean**2, 1e-12))
    return voxels.centre + voxels.width * mean, voxels.width * spread


def cholesky(numbers: np.ndarray) -> np.ndarray:
    """Lower triangular factors (n, 4, 4) of the covariance in units of `Inputs.width`, from a network's last numbers (n, 10)."""
    entries = numbers.copy()
    entries[:, DIAGONAL] = np.exp(np.clip(entries[:, DIAGONAL], *LOG_LIMITS))
    result = np.zeros((len(numbers), N, N), np.float32)
    result[:, LOWER[0], LOWER[1]] = entries
    return result
