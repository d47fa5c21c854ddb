"""Standard deviations of the kinetic fit (DCE), compiled: what `uncertainty.covariance` does, voxel by voxel."""

import math
import sys

import numpy as np

from ....compute.compiled import compiled, kernel

_MOST = 8  # parameters, more than any model has


@kernel
def invert_normal(triangle: np.ndarray, unknown: float, result: np.ndarray) -> None:
    """Inverses of J^T J (p, p, n) from lower triangles (p (p + 1) / 2, n); a variance is `unknown` where its diagonal is 0."""
    count = result.shape[0]
    scale = np.empty(_MOST)
    lower, inverse = np.zeros((_MOST, _MOST)), np.zeros((_MOST, _MOST))
    for voxel in range(triangle.shape[1]):
        for i in range(count):
            size = triangle[i * (i + 1) // 2 + i, voxel]
            scale[i] = 1.0 / math.sqrt(size) if size > 0.0 else 1.0
        for i in range(count):
            for j in range(i + 1):
                value = 1.0 + 1e-14
                if j < i:
                    value = triangle[i * (i + 1) // 2 + j, voxel] * scale[i] * scale[j]
                for k in range(j):
                    value -= lower[i, k] * lower[j, k]
                lower[i, j] = math.sqrt(max(value, 1e-14)) if i == j else value / lower[j, j]
            for j in range(i + 1):
                value = 1.0 if i == j else 0.0
                for k in range(j, i):
                    value -= lower[i, k] * inverse[k, j]
                inverse[i, j] = value / lower[i, i]
        for i in range(count):
            for j in range(i + 1):
                value = 0.0
                for k in range(i, count):
                    value += inverse[k, i] * inverse[k, j]
                value *= scale[i] * scale[j]
                if i == j and not triangle[i * (i + 1) // 2 + i, voxel] > 0.0:
                    value = unknown
                result[i, j, voxel] = value
                result[j, i, voxel] = value


def covariance(curvature: list[list[np.ndarray]], unknown: float) -> np.ndarray:
    """Inverse (p, p, n) of J^T J, whose lower triangle has rows of (n,); see `uncertainty.covariance`."""
    triangle = np.stack([row for line in curvature for row in line])
    result = np.empty((len(curvature), len(curvature), triangle.shape[1]))
    compiled(sys.modules[__name__]).invert_normal(triangle, unknown, result)
    return result
