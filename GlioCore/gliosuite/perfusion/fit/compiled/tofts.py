"""The compiled kinetic fit (DCE) of extended Tofts, Tofts and Patlak, with a delay or without: the way from curves to optima.

For every voxel by itself: the best node of the search grid and other local maxima along the delay, and `descent` from each.
"""

import math

import numpy as np

from ....compute.compiled import inlined, kernel
from .algebra import decayed
from .descent import CELL, FOUND, SSE, STATE, TAU, P, V, W, descend
from .tables import TERMS

# Of the residual, as in `search`: local maxima that explain less than the best node by more are left.
_WORTH_REFINING = 0.1
_NEAR_BORDER, _BEYOND = 0.3, 0.25  # of a cell; chosen
_FROM_NODE, _LEAST_FROM_NODE = 0.25, 0.1  # of a cell, where the way starts beside a node; chosen


@inlined
def peak(height: np.ndarray, d: int) -> float:
    """Where a parabola through a delay's neighbours has its maximum, in cells from it (at most half of one); 0 at the ends."""
    if d == 0 or d == height.shape[0] - 1:
        return 0.0
    bend = 2.0 * height[d] - height[d - 1] - height[d + 1]
    return min(max(0.5 * (height[d + 1] - height[d - 1]) / max(bend, 1e-300), -0.5), 0.5)


@inlined
def local_minima(
    on_first: np.ndarray,
    on_second: np.ndarray,
    energy: float,
    signed: bool,
    node_tables: np.ndarray,
    nodes_v: np.ndarray,
    explained: np.ndarray,
    height: np.ndarray,
    node_v: np.ndarray,
    chosen: np.ndarray,
) -> int:
    """Delays of the search grid whose best rate explains most of one voxel, locally, the best first: how many, into `chosen`.

    `height` is what is explained at every delay, `node_v` where.
    """
    n_delays, n_rates = on_second.shape[0], nodes_v.shape[0]
    spacing = nodes_v[1] - nodes_v[0] if n_rates > 1 else 0.0
    nothing = np.float32(0.0)
    best = 0
    for d in range(n_delays):
        b = on_second[d]
        positive = max(b, nothing)
        # Slices and no branches, so that the processor does several nodes at a time.
        nodes = slice(d * n_rates, (d + 1) * n_rates)
        here, least = on_first[nodes], node_tables[0, nodes]
        share, second_share = node_tables[1, nodes], node_tables[2, nodes]
        for j in range(n_rates):
            a = here[j]
            alone = a * share[j] + b * second_share[j]
            alone = alone if alone > positive else positive
            inside = signed | ((a >= nothing) & (b >= a * least[j]))
            explained[j] = a * a + b * b if inside else alone * alone
        at = 0
        top = explained[0]
        for j in range(1, n_rates):
            if explained[j] > top:
                at, top = j, explained[j]
        height[d], node_v[d] = explained[at], nodes_v[at]
        if 0 < at < n_rates - 1:
            # The rates lie apart: the maximum of a parabola through the highest three counts.
            before, after = float(explained[at - 1]), float(explained[at + 1])
            bend = max(2.0 * height[d] - before - after, 1e-30)
            height[d] += (after - before) ** 2 / (8.0 * bend)
            node_v[d] += min(max(0.5 * (after - before) / bend, -0.5), 0.5) * spacing
        if height[d] > height[best]:
            best = d
    chosen[0] = best
    count = 1
    limit = height[best] - _WORTH_REFINING * (energy - height[best])
    for d in range(n_delays):
        rises = d == 0 or height[d] >= height[d - 1]
        falls = d == n_delays - 1 or height[d] > height[d + 1]
        if d != best and rises and falls and height[d] > limit:
            chosen[count] = d
            count += 1
    return count


@kernel
def fit_rates(
    y: np.ndarray,
    energy: np.ndarray,
    on_first: np.ndarray,
    on_second: np.ndarray,
    has_rate: bool,
    has_second: bool,
    has_delay: bool,
    signed: bool,
    node_tables: np.ndarray,
    nodes_v: np.ndarray,
    limits: np.ndarray,
    grid: np.ndarray,
    powers: np.ndarray,
    gram: np.ndarray,
    products: np.ndarray,
    found: np.ndarray,
    curve: np.ndarray,
) -> None:
    """Fit voxels (n,): the states at their optima into `found` (FOUND, n), the curves there into `curve` (n, R).

    Parameters
    ----------
    y, energy
        (n, R) coordinates; (n,) sums of squares of the curves, with what lies outside the subspace.
    on_first, on_second
        (n, d k), (n, d) projections on the search grid's basis functions, float32; see `search.SearchGrid`.
    signed
        Whether weights may be below 0.
    node_tables
        (3, d k) of every node, float32: overlap over length, and the two shares of the first basis function's direction.
    nodes_v
        (k,) ln(k + damping) of the nodes, even.
    limits, grid, powers, gram, products
        See `descend` and `tables.Tables`.
    """
    n_delays, n_rates = on_second.shape[1], nodes_v.shape[0]
    length, n_cells = grid[3], products.shape[0]
    explained = np.empty(n_rates, np.float32)
    height, node_v, chosen = np.empty(n_delays), np.empty(n_delays), np.empty(n_delays, np.int64)
    state, trial, best = np.empty(STATE), np.empty(STATE), np.empty(STATE)
    own = np.empty(TERMS + 3)
    sides = 2 if has_delay else 1
    for i in range(y.shape[0]):
        here = y[i]
        yy = 0.0
        for j in range(here.shape[0]):
            yy += here[j] * here[j]
        outside = max(energy[i] - yy, 0.0)
        count = local_minima(
            on_first[i], on_second[i], energy[i], signed, node_tables, nodes_v, explained, height, node_v, chosen
        )
        own[TERMS + 2] = -1.0  # of no piece yet
        best[SSE] = math.inf
        beyond = 2 if has_delay else 0
        place, cell_of_best = 0.0, 0
        for start in range(sides * count + beyond):
            # From both sides of each node, on one of them where its neighbours point. Then beyond a border that is near the best: there
            # may be another minimum, as near to it.
            node, side = start // sides, start % sides
            cell, tau, v = 0, 0.0, 0.0
            share = _FROM_NODE
            if has_delay and node < count:
                towards = peak(height, chosen[node])
                if (towards > 0.0) == (side == 1):
                    share = max(abs(towards), _LEAST_FROM_NODE)
            if start == sides * count:
                place, cell_of_best = best[TAU] / length, int(best[CELL])
            if node < count:
                v = min(max(node_v[chosen[node]], limits[4]), limits[5])
                cell = chosen[node] - 1 + side if has_delay else 0
                tau = (1.0 - share if side == 1 else share) * length
            else:
                v, cell = best[V], cell_of_best - 1 + 2 * side
                tau = (1.0 - _BEYOND if side == 1 else _BEYOND) * length
                if (place if side == 1 else 1.0 - place) > _NEAR_BORDER:
                    continue
            if has_delay:
                if cell < 0 or cell >= n_cells:
                    continue
                late_s = products[cell, 3]
                if late_s - 60.0 * length > limits[7] or late_s < limits[6]:
                    continue
                tau = min(max(tau, (late_s - limits[7]) / 60.0), (late_s - limits[6]) / 60.0)
            else:
                tau = 0.0
            state[V], state[TAU], state[CELL] = v, tau, cell
            descend(
                here,
                yy,
                outside,
                has_rate,
                has_second,
                has_delay,
                2 * side - 1,
                best[SSE],
                limits,
                grid,
                powers,
                gram,
                products,
                state,
                trial,
                own,
            )
            if state[SSE] < best[SSE]:
                for j in range(STATE):
                    best[j] = state[j]
        for j in range(FOUND):
            found[j, i] = best[j]
        write_curve(best, has_rate, has_second, grid, powers, curve[i])


@inlined
def write_curve(
    state: np.ndarray,
    has_rate: bool,
    has_second: bool,
    grid: np.ndarray,
    powers: np.ndarray,
    curve: np.ndarray,
) -> None:
    """The fitted curve (R,) of a state."""
    first, half, damping, length = grid[0], grid[1], grid[2], grid[3]
    cell, v, tau, w, p = int(state[CELL]), state[V], state[TAU], state[W], state[P]
    piece, x, h, k = 0, 0.0, 1.0, 0.0
    if has_rate:
        at = (v - first) / (2.0 * half)
        piece = min(max(int(at), 0), powers.shape[1] - 1)
        x = 2.0 * (at - piece) - 1.0
        h, k = math.exp(-v), max(math.exp(v) - damping, 0.0)
    f = decayed(k * tau)[0]
    share = tau * (1.0 - k * tau * f)
    by_column = w * (1.0 - k * share) * h
    by_late = w * share + (p if has_second else 0.0)
    by_gain = (w * tau * f + (p if has_second else 0.0)) * tau / length
    c = powers[cell, piece]
    for i in range(curve.shape[0]):
        value = c[i, TERMS - 1]
        for m in range(TERMS - 2, -1, -1):
            value = value * x + c[i, m]
        curve[i] = by_column * value + by_late * c[i, TERMS] + by_gain * c[i, TERMS + 1]
