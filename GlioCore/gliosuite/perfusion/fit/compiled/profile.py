"""The profile likelihood of kep (DCE), compiled: what `uncertainty.longest_sides` does, voxel by voxel."""

import sys
from typing import Any

import numpy as np

from ....compute.compiled import compiled, kernel
from ..search import SearchGrid


@kernel
def profile_sides(
    y: np.ndarray,
    delay: np.ndarray,
    within: np.ndarray,
    kep: np.ndarray,
    ve: np.ndarray,
    orthogonal: np.ndarray,
    second: np.ndarray,
    length: np.ndarray,
    overlap: np.ndarray,
    rates: np.ndarray,
    sides: np.ndarray,
) -> None:
    """How far kep and ve are from those of any rate that explains the curve up to `within` less than the best: (2, n) into `sides`.

    Parameters
    ----------
    y, delay, within, kep, ve
        (n, r) coordinates and (n,) index of the delay, a sum of squares, and the fitted values.
    orthogonal, second
        (d, r, k), (d, r) unit vectors of the grid; see `search.SearchGrid`.
    length, overlap
        (d, k).
    rates
        (k,) 1/min.
    """
    n_rates = rates.shape[0]
    a, explained, weight = np.empty(n_rates), np.empty(n_rates), np.empty(n_rates)
    for i in range(y.shape[0]):
        d = delay[i]
        b = 0.0
        for j in range(n_rates):
            a[j] = 0.0
        for m in range(y.shape[1]):
            here = y[i, m]
            b += here * second[d, m]
            for j in range(n_rates):
                a[j] += here * orthogonal[d, m, j]
        positive = max(b, 0.0)
        best = 0.0
        for j in range(n_rates):
            on_first, share = length[d, j], overlap[d, j]
            norm = on_first * on_first + share * share
            alone = max(a[j] * on_first + b * share, 0.0)
            inside = a[j] >= 0.0 and b * on_first >= a[j] * share
            explained[j] = a[j] * a[j] + b * b if inside else max(alone * alone / norm, positive * positive)
            weight[j] = a[j] / on_first if inside else alone / norm
            best = max(best, explained[j])
        side_kep = side_ve = 0.0
        for j in range(n_rates):
            if explained[j] >= best - within[i]:
                side_kep = max(side_kep, abs(rates[j] - kep[i]))
                side_ve = max(side_ve, abs(weight[j] / rates[j] - ve[i]))
        sides[0, i], sides[1, i] = side_kep, side_ve


class Profile:
    """Tables of a grid for `profile_sides`."""

    def __init__(self, grid: SearchGrid) -> None:
        n_delays, n_rates = grid.shape
        rank = grid.orthogonal.shape[0]
        wide = lambda v: np.ascontiguousarray(v, np.float64)
        self._tables = (
            wide(grid.orthogonal.reshape(rank, n_delays, n_rates).transpose(1, 0, 2)),
            wide(grid.second.T),
            wide(grid.length.reshape(n_delays, n_rates)),
            wide(grid.overlap.reshape(n_delays, n_rates)),
            np.exp(wide(grid.log_rates)),
        )

    def longest_sides(
        self, delay_index: int | np.ndarray, y: Any, within: Any, values: dict[str, Any]
    ) -> dict[str, np.ndarray]:
        """See `uncertainty.longest_sides`."""
        n = y.shape[1]
        sides = np.empty((2, n))
        delay = np.ascontiguousarray(np.broadcast_to(delay_index, n), np.int64)
        kep, ve = (np.ascontiguousarray(values[name], np.float64) for name in ("kep", "ve"))
        here = np.ascontiguousarray(y.T, np.float64)
        compiled(sys.modules[__name__]).profile_sides(here, delay, np.asarray(within), kep, ve, *self._tables, sides)
        return {"kep": sides[0], "ve": sides[1]}
