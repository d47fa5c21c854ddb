"""The walk through trees, for numba."""

import numpy as np

from ..compute.compiled import exact


@exact
def sum_trees(
    values: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    missing_left: np.ndarray,
    value: np.ndarray,
    roots: np.ndarray,
    base: np.ndarray,
    result: np.ndarray,
) -> None:
    """`trees.Trees.log_odds` of values (n, f) into `result` (m, n)."""
    for member in range(roots.shape[0]):
        for i in range(values.shape[0]):
            total = base[member]
            for tree in range(roots.shape[1]):
                node = roots[member, tree]
                while feature[node] >= 0:
                    seen = values[i, feature[node]]
                    if seen != seen:
                        to_left = missing_left[node] == 1
                    else:
                        to_left = seen <= threshold[node]
                    node = left[node] if to_left else right[node]
                total += value[node]
            result[member, i] = total
