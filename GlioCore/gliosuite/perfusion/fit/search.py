"""Grid search of the kinetic fit (DCE): the best node of a grid of rates and delays, weights being non-negative least squares.

At a node stand two basis functions: the first depends on the rate (one exponential, or the AIF's integral), the second only on the delay
(the AIF, its integral, or another exponential). With the first orthogonalised against the second (Gram-Schmidt), the sum of squares that
both explain is the sum of the squares of the curve's two projections: one matrix product for all nodes. Where the best node would need a
weight below 0, the search is done again among non-negative solutions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back, cast, product_rows
from .bases import Bases
from .refine import BOTH, FIRST, SECOND

# Local maxima that explain less than the best node by at most this fraction of the residual are refined too. Chosen: a higher one costs
# time, and with this one nearly all voxels end in the lowest minimum along the delay (test_delaycells asks for 99.5 %).
_WORTH_REFINING = 0.1


@dataclass(frozen=True)
class SearchGrid:
    """Tables of a search over `d` delays times `k` rates, each rate's basis function beside its delay's second one; float32.

    Attributes
    ----------
    orthogonal
        (r, d k) unit vectors along the first basis functions, orthogonalised against the second.
    second
        (r, d) unit vectors along the second basis functions; zeros where there is none.
    length, overlap
        (d k,) length of the orthogonalised basis function, and projection of the first basis function on the second.
    second_length
        (d,) length of the second basis function.
    log_rates
        (k,) ln of the rates in 1/min.
    delays
        (d,) s.
    """

    xp: Any
    orthogonal: Any
    second: Any
    length: Any
    overlap: Any
    second_length: Any
    log_rates: Any
    delays: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of delays and of rates."""
        return self.delays.shape[0], self.log_rates.shape[0]


@dataclass(frozen=True)
class BestNodes:
    """The best node for every curve (n,): its number, the weights of its two basis functions, and the sum of squares that they explain.

    `kind` is `refine.BOTH`, `refine.FIRST` or `refine.SECOND`, which of them have a weight; numpy. `maxima` are further local maxima along
    the delay, nearly as good: the curve's index, the node and the kind; numpy, or None where they were not asked for.
    """

    node: Any
    weight: Any
    second_weight: Any
    explained: Any
    kind: np.ndarray
    maxima: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


def build_grid(bases: Bases, first: np.ndarray, second: np.ndarray, log_rates: np.ndarray) -> SearchGrid:
    """Tables from first basis functions (d, r, k) and second ones (d, r) for every delay of `bases`, in numpy."""
    norm = np.linalg.norm(second, axis=1)
    unit = second / np.where(norm > 0, norm, 1.0)[:, None]
    overlap = (unit[:, None] @ first)[:, 0]
    rest = first - unit[:, :, None] * overlap[:, None]
    length = np.maximum(np.linalg.norm(rest, axis=1), 1e-9 * np.linalg.norm(first, axis=1))
    length = np.maximum(length, 1e-30)
    single = lambda values: bases.device.put(values, "float32")
    return SearchGrid(
        bases.xp,
        single((rest / length[:, None]).transpose(1, 0, 2).reshape(first.shape[1], -1)),
        single(unit.T),
        single(length.ravel()),
        single(overlap.ravel()),
        single(np.maximum(norm, 1e-30)),
        single(log_rates),
        single(bases.delays),
    )


def search(grid: SearchGrid, y: Any, signed: bool = False, energy: Any = None) -> BestNodes:
    """The best node for curves y (r, n); with `signed`, weights may be below 0.

    With the curves' sums of squares `energy` (n,), local maxima along the delay are found too.
    """
    xp = grid.xp
    n_delays, n_rates = grid.shape
    y = cast(y, single=True)
    a = product_rows(y, grid.orthogonal)
    b = product_rows(y, grid.second)
    rows = _range(xp, a.shape[0], a)
    if signed or n_delays > 1:
        explained = a * a if signed else xp.clip(a, 0.0, None)
        if not signed:
            explained *= explained
        explained = explained.reshape(-1, n_delays, n_rates)
        explained += (b * b)[:, :, None]
        best = xp.argmax(explained.reshape(a.shape), axis=1)
    else:
        explained = None
        best = xp.argmax(a, axis=1)
    on_orthogonal, on_second = a[rows, best], b[rows, best // n_rates]
    weight, second_weight = _weights(grid, on_orthogonal, on_second, best)
    at_best = on_orthogonal**2 + on_second**2
    kind = np.full(a.shape[0], BOTH)
    bounded = None
    if not signed:
        bounded = xp.where((weight <= 0) | (second_weight < 0))[0]
        if bounded.shape[0]:
            best[bounded], weight[bounded], second_weight[bounded], allowed, inside = best_non_negative(
                grid, a[bounded], b[bounded]
            )
            at_best[bounded] = allowed.max(axis=1) if xp is np else allowed.max(dim=1).values
            kind[back(bounded)] = _kind(weight[bounded], second_weight[bounded])
            if explained is not None:
                explained[bounded] = allowed.reshape(-1, n_delays, n_rates)
    if energy is None or n_delays == 1:
        return BestNodes(best, weight, second_weight, at_best, kind)
    row, node = _local_maxima(xp, explained, rows, best, energy)
    weights = _weights(grid, a[row, node], b[row, node // n_rates], node)
    maxima = [(back(row), back(node), _kind(*weights, signed))]
    if bounded is not None and bounded.shape[0]:
        # Where at the best node one weight is 0, the best node with both is a local maximum of its own.
        allowed *= inside
        node = xp.argmax(allowed, axis=1)
        highest = at_best[bounded]
        limit = xp.clip(highest - _WORTH_REFINING * (energy[bounded] - highest), 0.0, None)
        some = xp.where(allowed[rows[: bounded.shape[0]], node] > limit)[0]
        maxima.append((back(bounded[some]), back(node[some]), np.full(some.shape[0], BOTH)))
    row, node, kinds = (np.concatenate(part) for part in zip(*maxima))
    return BestNodes(best, weight, second_weight, at_best, kind, (row, node, kinds))


def _range(xp: Any, count: int, like: Any) -> Any:
    return xp.arange(count) if xp is np else xp.arange(count, device=like.device)


def _kind(weight: Any, second_weight: Any, signed: bool = False) -> np.ndarray:
    if signed:
        return np.full(weight.shape[0], BOTH)
    first, second = back(weight) > 0, back(second_weight) > 0
    return np.where(first & second, BOTH, np.where(first, FIRST, SECOND))


def _local_maxima(xp: Any, explained: Any, rows: Any, best: Any, energy: Any) -> tuple[Any, Any]:
    """Curves and nodes, the best left out, where what is explained (n, d, k), each delay at its best rate, has a local maximum."""
    n_delays, n_rates = explained.shape[1:]
    rate = xp.argmax(explained, axis=2)
    delays = _range(xp, n_delays, explained)
    at = lambda k: explained[rows[:, None], delays[None], k]
    height = at(rate)
    if n_rates > 2:
        # The rates lie far apart: the maximum of a parabola through the highest three is compared.
        inner = xp.clip(rate, 1, n_rates - 2)
        before, here, after = at(inner - 1), at(inner), at(inner + 1)
        bend = xp.clip(2.0 * here - before - after, 1e-30, None)
        height = xp.where(rate == inner, here + (after - before) ** 2 / (8.0 * bend), height)
    best_delay = best // n_rates
    highest = height[rows, best_delay]
    maximum = height > (highest - _WORTH_REFINING * (energy - highest))[:, None]
    maximum[:, 1:] &= height[:, 1:] >= height[:, :-1]
    maximum[:, :-1] &= height[:, :-1] > height[:, 1:]
    maximum[rows, best_delay] = False
    row, delay = xp.where(maximum)
    return row, delay * n_rates + rate[row, delay]


def _weights(grid: SearchGrid, a: Any, b: Any, node: Any) -> tuple[Any, Any]:
    """Weights of the two basis functions from the projections on the orthogonalised first (`a`) and the second (`b`)."""
    weight = a / grid.length[node]
    return weight, (b - weight * grid.overlap[node]) / grid.second_length[node // grid.shape[1]]


def best_non_negative(grid: SearchGrid, a: Any, b: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The best node among non-negative weights, from projections a (n, d k) and b (n, d) as in `search`.

    Returns
    -------
    node, weight, second_weight
        (n,).
    explained, inside
        (n, d k): the sum of squares that each node explains, and where it does so with both weights.
    """
    xp = grid.xp
    n_rates = grid.shape[1]
    rows = _range(xp, a.shape[0], a)
    b_all = b[:, :, None].repeat(n_rates, 2) if xp is np else b.repeat_interleave(n_rates, dim=1)
    b_all = b_all.reshape(a.shape)
    norm = xp.sqrt(grid.length**2 + grid.overlap**2)
    first_only = xp.clip(a * (grid.length / norm) + b_all * (grid.overlap / norm), 0.0, None)
    second_only = xp.clip(b_all, 0.0, None)
    inside = (a >= 0) & (b_all - a * (grid.overlap / grid.length) >= 0)
    explained = xp.where(inside, a * a + b_all * b_all, xp.maximum(first_only, second_only) ** 2)
    node = xp.argmax(explained, axis=1)
    delay = node // n_rates
    weight, second_weight = _weights(grid, a[rows, node], b[rows, delay], node)
    both, first, second = inside[rows, node], first_only[rows, node], second_only[rows, node]
    takes_first = ~both & (first >= second)
    weight = xp.where(both, weight, xp.where(takes_first, first / norm[node], 0.0 * weight))
    second_weight = xp.where(
        both, second_weight, xp.where(takes_first, 0.0 * second_weight, second / grid.second_length[delay])
    )
    return node, xp.clip(weight, 0.0, None), xp.clip(second_weight, 0.0, None), explained, inside
