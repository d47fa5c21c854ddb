"""The compiled kinetic fit (DCE) of the two-compartment exchange model without a delay.

For every voxel by itself: the best pairs of rates in several groups of the search grid, each refined by variable projection; from the best
of them, and from extended Tofts at the highest flow, a bounded Levenberg-Marquardt iteration on fp, ps, ve and vp as in `polish`, which is
gone roughly first and to the end from the lowest.
"""

import math

import numpy as np

from ....compute.compiled import kernel
from ..polish import (
    DOUBLE,
    GIVEN_UP,
    LEAST_RECIPROCAL,
    LONG_STEP,
    SHORT_STEP,
    SINGLE,
)
from .exponentials import from_pair, multiply, separate, to_pair, write_curve_of_pair

# A state: the four parameters, the gradient J^T r, J^T J (lower triangle), the sum of squares.
P, GRADIENT, JTJ, SSE = 0, 4, 8, 18
STATE = 19
_TIE, _APART = 1e-1, 0.05  # as in `blocks`: when a second start is polished too
# Pairs that are polished: at most so many, whose sum of squares is above the lowest by no more than this share of it. Chosen: with two,
# more than .1 % of curves end higher than in arrays.
_KEPT, _NEAR = 5, 1e-3
_SAME = 1e-2  # of weights, logarithms of rates and sums of squares; chosen
SINGLE_LIMITS, SINGLE_STEPS = SINGLE[:5], SINGLE.iterations
# A step costs less here than in arrays: the last ones along flat valleys of the flow are gone too.
DOUBLE_LIMITS, DOUBLE_STEPS = (3e-8, 1e-10, 1e-12, *DOUBLE[3:5]), DOUBLE.iterations


@kernel
def look_at(
    y: np.ndarray,
    yy: float,
    columns: np.ndarray,
    grid: np.ndarray,
    products: np.ndarray,
    mix: np.ndarray,
    mixed: np.ndarray,
    state: np.ndarray,
) -> None:
    """Gradient, J^T J and sum of squares at the parameters in `state`; the rest is room to work in (4, 4)."""
    flow, ps = 0.01 * state[0], state[1]
    ve, vp = max(state[2], 1e-9), max(state[3], 1e-9)
    plasma, tissue = flow / vp, ps / ve
    first, second, fast, slow = to_pair(flow, ps, ve, vp)
    multiply(y, columns, grid, fast, slow, products)
    ya, yb, ya1, yb1 = products[4, 0], products[4, 1], products[4, 2], products[4, 3]
    r0 = ya - first * products[0, 0] - second * products[0, 1]
    r1 = yb - first * products[1, 0] - second * products[1, 1]
    r2 = ya1 - first * products[2, 0] - second * products[2, 1]
    r3 = yb1 - first * products[3, 0] - second * products[3, 1]
    state[SSE] = yy - first * (ya + r0) - second * (yb + r1)
    # The rates are the roots of x^2 - (plasma + leak + tissue) x + plasma tissue; see `models`.
    per_gap, per_ve, per_vp = 1.0 / max(fast - slow, 1e-9), 1.0 / ve, 1.0 / vp
    share, first_per, second_per = second / max(flow, 1e-12), first / fast, second / slow
    for i in range(4):
        by_flow = by_plasma = by_tissue = by_total = 0.0
        if i == 0:
            by_flow, by_plasma, by_total = 0.01, 0.01 * per_vp, 0.01 * per_vp
        elif i == 1:
            by_tissue, by_total = per_ve, per_vp + per_ve
        elif i == 2:
            by_tissue, by_total = -tissue * per_ve, -tissue * per_ve
        else:
            by_plasma, by_total = -plasma * per_vp, -(flow + ps) * per_vp * per_vp
        by_product = by_plasma * tissue + plasma * by_tissue
        by_fast, by_slow = (fast * by_total - by_product) * per_gap, (by_product - slow * by_total) * per_gap
        by_share = (by_fast - by_plasma - share * (by_fast - by_slow)) * per_gap
        mix[i, 0] = by_flow * (1.0 - share) - flow * by_share
        mix[i, 1] = by_flow * share + flow * by_share
        mix[i, 2] = by_fast * first_per
        mix[i, 3] = by_slow * second_per
        state[GRADIENT + i] = mix[i, 0] * r0 + mix[i, 1] * r1 + mix[i, 2] * r2 + mix[i, 3] * r3
    for i in range(4):
        for j in range(4):
            total = 0.0
            for m in range(4):
                total += mix[i, m] * products[m, j]
            mixed[i, j] = total
    at = JTJ
    for i in range(4):
        for j in range(i + 1):
            total = 0.0
            for m in range(4):
                total += mixed[i, m] * mix[j, m]
            state[at] = total
            at += 1


@kernel
def marquardt(
    state: np.ndarray,
    free: np.ndarray,
    damping: float,
    floor: float,
    lower: np.ndarray,
    step: np.ndarray,
    scale: np.ndarray,
) -> float:
    """`polish.solve` for one voxel: the step into `step` (4,); returns the decrease predicted of it."""
    for i in range(4):
        diagonal = state[JTJ + i * (i + 1) // 2 + i]
        scale[i] = free[i] / math.sqrt(diagonal if diagonal > 0.0 else 1.0)
    predicted = 0.0
    for i in range(4):
        for j in range(i + 1):
            value = 1.0 + damping
            if i != j:
                value = state[JTJ + i * (i + 1) // 2 + j] * scale[i] * scale[j]
            for m in range(j):
                value -= lower[i, m] * lower[j, m]
            lower[i, j] = math.sqrt(abs(value) + floor) if i == j else value / lower[j, j]
        value = state[GRADIENT + i] * scale[i]
        for m in range(i):
            value -= lower[i, m] * step[m]
        step[i] = value / lower[i, i]
        predicted += step[i] * step[i]
    for i in range(3, -1, -1):
        value = step[i]
        for m in range(i + 1, 4):
            value -= lower[m, i] * step[m]
        step[i] = value / lower[i, i]
    for i in range(4):
        step[i] *= scale[i]
    return predicted


@kernel
def settle(
    y: np.ndarray,
    yy: float,
    outside: float,
    steps: int,
    columns: np.ndarray,
    grid: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
    state: np.ndarray,
    trial: np.ndarray,
    room: np.ndarray,
) -> None:
    """`polish.polish` for one voxel, from the parameters in `state` to the optimum, there too, or as far as `steps` lead.

    Fewer steps than those of `DOUBLE` are gone with the precision `SINGLE`. `room` (6, 5, 4) is to work in.
    """
    tolerance, far, nothing, rounding, floor = SINGLE_LIMITS if steps < DOUBLE_STEPS else DOUBLE_LIMITS
    products, mix, mixed, lower = room[0], room[1], room[2], room[3]
    step, scale, free = room[4, 0], room[4, 1], room[4, 2]
    damping = 1e-6
    predicted = 0.0
    for i in range(4):
        trial[i] = min(max(state[i], lowest[i]), highest[i])
    state[SSE] = math.inf
    for number in range(steps + 1):
        look_at(y, yy, columns, grid, products, mix, mixed, trial)
        if trial[SSE] < state[SSE]:
            if number > 0:
                # Where much less is gained than a linear model promises, the full step overshoots and would go to and fro.
                as_predicted = state[SSE] - trial[SSE] > 0.5 * predicted
                damping = max(damping * (0.1 if as_predicted else 5.0), 1e-9)
            for i in range(STATE):
                state[i] = trial[i]
        else:
            damping *= 10.0
        for i in range(4):
            outwards = (state[i] <= lowest[i] and state[GRADIENT + i] <= 0.0) or (
                state[i] >= highest[i] and state[GRADIENT + i] >= 0.0
            )
            free[i] = 0.0 if outwards else 1.0
        predicted = marquardt(state, free, damping, floor, lower, step, scale)
        near = True
        for i in range(4):
            ahead = state[i] + step[i]
            if i == 0:
                # Where flow is high, curves are nearly linear in its reciprocal, and long steps go along that.
                part = step[0] / max(state[0], 1e-3)
                if abs(part) > LONG_STEP:
                    ahead = state[0] / max(1.0 - part, LEAST_RECIPROCAL)
            trial[i] = min(max(ahead, lowest[i]), highest[i])
            near = near and trial[i] == ahead
            near = near and abs(trial[i] - state[i]) <= SHORT_STEP * (abs(state[i]) + SHORT_STEP)
        residual = state[SSE] + outside
        settled = predicted <= (tolerance if near else far) * residual and damping <= 1e-3
        settled = settled or (predicted <= nothing * residual and damping <= 1.0)
        if settled or predicted <= rounding * yy or damping > GIVEN_UP:
            if near and damping <= 1e-3:
                for i in range(4):
                    state[i] = trial[i]
            return


@kernel
def fit_exchange(
    y: np.ndarray,
    energy: np.ndarray,
    on_slow: np.ndarray,
    on_fast: np.ndarray,
    tofts_w: np.ndarray,
    tofts_rate: np.ndarray,
    tofts_vp: np.ndarray,
    pairs: np.ndarray,
    pair_tables: np.ndarray,
    fast_length: np.ndarray,
    rates: np.ndarray,
    members: np.ndarray,
    edges: np.ndarray,
    columns: np.ndarray,
    grid: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
    found: np.ndarray,
    curve: np.ndarray,
) -> None:
    """Fit voxels (n,): states at their optima into `found` (n, STATE), the curves there into `curve` (n, R).

    Parameters
    ----------
    y, energy
        (n, R) coordinates; (n,) sums of squares of the curves, with what lies outside the subspace.
    on_slow, on_fast
        (n, pairs), (n, k) projections on the slower exponentials, orthogonalised against the faster ones, and on the faster ones; float32.
    tofts_w, tofts_rate, tofts_vp
        (n,) ktrans, kep and vp of extended Tofts.
    pairs
        (2, pairs) indices of the faster and the slower rate: of every faster one all slower ones.
    pair_tables
        (5, pairs) float32: overlap over length, the two shares of the slower exponential's direction, length and overlap.
    fast_length, rates
        (k,) lengths of the exponentials, and their rates in 1/min.
    members, edges
        Groups of pairs, one after the other, and (groups + 1,) where each begins: from the best pair of each the way begins.
    columns, grid
        (pieces, TERMS, R) and (5,); see `tables.Tables`.
    lowest, highest
        (4,) bounds.
    """
    count = pairs.shape[1]
    explained = np.empty(count, np.float32)
    groups = edges.shape[0] - 1
    starts = np.empty((groups + 1, STATE))
    pair, ends = np.empty(4), np.empty((groups, 4))
    trial, best, room = np.empty(STATE), np.empty(STATE), np.empty((6, 5, 4))
    nothing = np.float32(0.0)
    flow = 0.01 * highest[0]
    for i in range(y.shape[0]):
        here = y[i]
        yy = 0.0
        for j in range(here.shape[0]):
            yy += here[j] * here[j]
        j = 0
        for fast in range(1, rates.shape[0]):
            b = on_fast[i, fast]
            positive = max(b, nothing)
            for pair_of in range(j, j + fast):
                a = on_slow[i, pair_of]
                first = a * pair_tables[1, pair_of] + b * pair_tables[2, pair_of]
                alone = max(max(first, nothing), positive)
                inside = a >= nothing and b >= a * pair_tables[0, pair_of]
                explained[pair_of] = a * a + b * b if inside else alone * alone
            j += fast
        for group in range(groups):
            at = members[edges[group]]
            for m in range(edges[group] + 1, edges[group + 1]):
                if explained[members[m]] > explained[at]:
                    at = members[m]
            a, b = float(on_slow[i, at]), float(on_fast[i, pairs[0, at]])
            share_slow, share_fast = float(pair_tables[1, at]), float(pair_tables[2, at])
            length, overlap = float(pair_tables[3, at]), float(pair_tables[4, at])
            norm = math.sqrt(length * length + overlap * overlap)
            w_slow = a / length
            w_fast = (b - w_slow * overlap) / fast_length[pairs[0, at]]
            if w_slow < 0.0 or w_fast < 0.0:
                slow_only = max(a * share_slow + b * share_fast, 0.0)
                if slow_only >= b:
                    w_slow, w_fast = slow_only / norm, 0.0
                else:
                    w_slow, w_fast = 0.0, max(b, 0.0) / fast_length[pairs[0, at]]
            pair[0], pair[1] = w_slow, w_fast
            pair[2], pair[3] = math.log(rates[pairs[1, at]]), math.log(rates[pairs[0, at]])
            starts[group, SSE] = separate(here, yy, columns, grid, room[0], pair)
            from_pair(pair[0], pair[1], math.exp(pair[2]), math.exp(pair[3]), starts[group])
            for other in range(group):
                # The same again: where one weight is 0, its rate is anything.
                same = abs(starts[other, SSE] - starts[group, SSE]) <= _SAME * starts[group, SSE]
                for j in range(4):
                    same = same and abs(ends[other, j] - pair[j]) <= _SAME * (
                        abs(pair[j]) + 1.0 if j > 1 else abs(pair[j])
                    )
                if same:
                    starts[group, SSE] = math.inf
            for j in range(4):
                ends[group, j] = pair[j]
        # What the model becomes where flow is beyond its bounds: the best pair may be none it can have.
        transfer = min(max(tofts_w[i], 0.0), 0.9 * flow)
        starts[groups, 0], starts[groups, 1] = highest[0], transfer * flow / (flow - transfer)
        starts[groups, 2], starts[groups, 3] = tofts_w[i] / tofts_rate[i], tofts_vp[i]
        outside = max(energy[i] - yy, 0.0)
        # The best pairs and the highest flow, roughly; the lowest to the end, and those that are as good but elsewhere.
        lowest_at = 0
        for number in range(_KEPT + 1):
            least = number
            if number == _KEPT:
                least = groups
            else:
                for other in range(number + 1, groups):
                    if starts[other, SSE] < starts[least, SSE]:
                        least = other
            if least != number:
                for j in range(STATE):
                    starts[number, j], starts[least, j] = starts[least, j], starts[number, j]
            if number < _KEPT and starts[number, SSE] - starts[lowest_at, SSE] > _NEAR * (
                starts[lowest_at, SSE] + outside
            ):
                starts[number, SSE] = math.inf
                continue
            settle(here, yy, outside, SINGLE_STEPS, columns, grid, lowest, highest, starts[number], trial, room)
            if starts[number, SSE] < starts[lowest_at, SSE]:
                lowest_at = number
        best[SSE] = math.inf
        for rank in range(_KEPT + 1):
            number = (lowest_at + rank) % (_KEPT + 1)
            if rank > 0:
                if starts[number, SSE] - starts[lowest_at, SSE] > _TIE * (starts[lowest_at, SSE] + outside):
                    continue
                apart = False
                for j in range(4):
                    width = abs(best[j]) + _APART * (highest[j] - lowest[j])
                    apart = apart or abs(starts[number, j] - best[j]) > _APART * width
                if not apart:
                    continue
            settle(here, yy, outside, DOUBLE_STEPS, columns, grid, lowest, highest, starts[number], trial, room)
            if starts[number, SSE] < best[SSE]:
                for j in range(STATE):
                    best[j] = starts[number, j]
        for j in range(STATE):
            found[i, j] = best[j]
        write_curve_of_pair(best, columns, grid, curve[i])
