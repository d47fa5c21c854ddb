"""Pairs of exponentials (DCE, compiled): their scalar products, the pair nearest to a curve, and the exchange model that a pair is."""

import math

import numpy as np

from ....compute.compiled import inlined, kernel
from .algebra import two_weights
from .tables import TERMS

_STEPS, _GAP = 6, 1e-3  # of a pair of rates, and what stays between their logarithms; chosen
_LEAST_AREA = 1e-3  # as in `starts`
_LOWEST_RATE = 1e-4  # 1/min, as in `models`


@inlined
def place(rate: float, grid: np.ndarray, pieces: int) -> tuple[int, float, float, float]:
    """Piece and place (-1 to 1) of a rate in 1/min, 1 / (k + damping), and the part of a beyond the fastest rate of the table."""
    fastest = grid[4]
    beyond = min(fastest / rate, 1.0)
    shifted = min(rate, fastest) + grid[2]
    at = (math.log(shifted) - grid[0]) / (2.0 * grid[1])
    piece = min(max(int(at), 0), pieces - 1)
    return piece, 2.0 * (at - piece) - 1.0, 1.0 / shifted, beyond


@inlined
def to_pair(flow: float, ps: float, ve: float, vp: float) -> tuple[float, float, float, float]:
    """`models.exponentials` for one voxel; flow and ps in 1/min."""
    plasma, tissue = flow / vp, ps / ve
    total = (flow + ps) / vp + tissue
    fast = 0.5 * (total + math.sqrt(max(total * total - 4.0 * tissue * plasma, 0.0)))
    slow = tissue * plasma / max(fast, 1e-30)
    share = (fast - plasma) / max(fast - slow, 1e-30)
    return flow * (1.0 - share), flow * share, max(fast, _LOWEST_RATE), max(slow, _LOWEST_RATE)


@inlined
def from_pair(w_slow: float, w_fast: float, slow: float, fast: float, state: np.ndarray) -> None:
    """`starts.Starts.parameters` of the exchange model for one voxel, into `state`."""
    # An exponential whose weight is 0 has no derivative by its rate: a little of it is given, measured by its area.
    second, first = max(w_slow, _LEAST_AREA * slow / fast * w_fast), max(w_fast, _LEAST_AREA * fast / slow * w_slow)
    flow = max(first + second, 1e-6)
    share = second / flow
    plasma = max(fast - share * (fast - slow), 1e-9)
    tissue = fast * slow / plasma
    vp = flow / plasma
    ps = max((fast + slow - tissue) * vp - flow, 1e-6)
    state[0], state[1], state[2], state[3] = 100.0 * flow, ps, ps / max(tissue, 1e-9), vp


@inlined
def write_curve_of_pair(state: np.ndarray, columns: np.ndarray, grid: np.ndarray, curve: np.ndarray) -> None:
    """The fitted curve (R,) of a state."""
    first, second, fast, slow = to_pair(0.01 * state[0], state[1], max(state[2], 1e-9), max(state[3], 1e-9))
    p1, x1, h1, beyond1 = place(fast, grid, columns.shape[0])
    p2, x2, h2, beyond2 = place(slow, grid, columns.shape[0])
    first, second = first * h1 * beyond1, second * h2 * beyond2
    for i in range(curve.shape[0]):
        f, g = columns[p1, TERMS - 1, i], columns[p2, TERMS - 1, i]
        for m in range(TERMS - 2, -1, -1):
            f = f * x1 + columns[p1, m, i]
            g = g * x2 + columns[p2, m, i]
        curve[i] = first * f + second * g


@kernel
def multiply(
    y: np.ndarray, columns: np.ndarray, grid: np.ndarray, fast: float, slow: float, products: np.ndarray
) -> None:
    """Scalar products of the exponentials of two rates, their derivatives by the logarithms of these, and y, into `products` (5, 4).

    The first four rows are those of the four columns with each other, the last those with y.
    """
    pieces = columns.shape[0]
    p1, x1, h1, beyond1 = place(fast, grid, pieces)
    p2, x2, h2, beyond2 = place(slow, grid, pieces)
    a, b = columns[p1], columns[p2]
    ya = ya1 = yb = yb1 = aa = aa1 = a1a1 = bb = bb1 = b1b1 = ab = a1b = ab1 = a1b1 = 0.0
    for i in range(y.shape[0]):
        c2, c3, c4, c5, c6, c7 = a[2, i], a[3, i], a[4, i], a[5, i], a[6, i], a[7, i]
        f = ((((((c7 * x1 + c6) * x1 + c5) * x1 + c4) * x1 + c3) * x1 + c2) * x1 + a[1, i]) * x1 + a[0, i]
        d = (((((7.0 * c7 * x1 + 6.0 * c6) * x1 + 5.0 * c5) * x1 + 4.0 * c4) * x1 + 3.0 * c3) * x1 + 2.0 * c2) * x1
        d += a[1, i]
        c2, c3, c4, c5, c6, c7 = b[2, i], b[3, i], b[4, i], b[5, i], b[6, i], b[7, i]
        g = ((((((c7 * x2 + c6) * x2 + c5) * x2 + c4) * x2 + c3) * x2 + c2) * x2 + b[1, i]) * x2 + b[0, i]
        e = (((((7.0 * c7 * x2 + 6.0 * c6) * x2 + 5.0 * c5) * x2 + 4.0 * c4) * x2 + 3.0 * c3) * x2 + 2.0 * c2) * x2
        e += b[1, i]
        here = y[i]
        ya += here * f
        ya1 += here * d
        yb += here * g
        yb1 += here * e
        aa += f * f
        aa1 += f * d
        a1a1 += d * d
        bb += g * g
        bb1 += g * e
        b1b1 += e * e
        ab += f * g
        a1b += d * g
        ab1 += f * e
        a1b1 += d * e
    # Columns: both convolutions, and their derivatives by the logarithms of the rates.
    s = 1.0 / grid[1]
    k1, k2 = 1.0 - grid[2] * h1, 1.0 - grid[2] * h2
    h1, h2 = h1 * beyond1, h2 * beyond2
    hh = h1 * h2
    products[0, 0], products[1, 1], products[0, 1] = h1 * h1 * aa, h2 * h2 * bb, hh * ab
    products[0, 2] = k1 * h1 * h1 * (s * aa1 - aa)
    products[2, 2] = k1 * k1 * h1 * h1 * (s * (s * a1a1 - 2.0 * aa1) + aa)
    products[1, 3] = k2 * h2 * h2 * (s * bb1 - bb)
    products[3, 3] = k2 * k2 * h2 * h2 * (s * (s * b1b1 - 2.0 * bb1) + bb)
    products[0, 3], products[1, 2] = k2 * hh * (s * ab1 - ab), k1 * hh * (s * a1b - ab)
    products[2, 3] = k1 * k2 * hh * (s * (s * a1b1 - a1b - ab1) + ab)
    for i in range(4):
        for j in range(i):
            products[i, j] = products[j, i]
    products[4, 0], products[4, 1] = h1 * ya, h2 * yb
    products[4, 2], products[4, 3] = k1 * h1 * (s * ya1 - ya), k2 * h2 * (s * yb1 - yb)


@kernel
def separate(
    y: np.ndarray,
    yy: float,
    columns: np.ndarray,
    grid: np.ndarray,
    products: np.ndarray,
    pair: np.ndarray,
) -> float:
    """The pair of exponentials next to `pair` (slow weight, fast weight, ln of the slow rate, ln of the fast one) that explains most.

    Variable projection: Gauss and Newton's method on both rates, the weights being solved for, not below 0. Returns what it leaves.
    """
    lowest = math.log(_LOWEST_RATE)
    highest = math.log(grid[4])
    slow, fast = pair[2], pair[3]
    least, damping = math.inf, 0.0
    d_slow = d_fast = 0.0
    for _ in range(_STEPS + 1):
        multiply(y, columns, grid, math.exp(fast), math.exp(slow), products)
        aa, ab, bb, ya, yb = products[0, 0], products[0, 1], products[1, 1], products[4, 0], products[4, 1]
        w, p, free_w, free_p = two_weights(ya, yb, aa, ab, bb, 0.0, math.inf, 0.0, math.inf)
        left = yy - 2.0 * (w * ya + p * yb) + w * (w * aa + 2.0 * p * ab) + p * p * bb
        if left < least:
            gained, least = least - left, left
            pair[0], pair[1], pair[2], pair[3] = p, w, slow, fast
            damping *= 0.1
            # Derivatives by both logarithms, and J^T J with the weights eliminated.
            g_f = w * (products[4, 2] - w * products[0, 2] - p * products[1, 2])
            g_s = p * (products[4, 3] - w * products[0, 3] - p * products[1, 3])
            ff, fs, ss = w * w * products[2, 2], w * p * products[2, 3], p * p * products[3, 3]
            af, as_, bf, bs = w * products[0, 2], p * products[0, 3], w * products[1, 2], p * products[1, 3]
            h_ff, h_fs, h_ss = ff, fs, ss
            if free_w and free_p:
                inverse = 1.0 / (aa * bb - ab * ab)
                w_f, w_s = (bb * af - ab * bf) * inverse, (bb * as_ - ab * bs) * inverse
                p_f, p_s = (aa * bf - ab * af) * inverse, (aa * bs - ab * as_) * inverse
                h_ff, h_fs, h_ss = ff - af * w_f - bf * p_f, fs - af * w_s - bf * p_s, ss - as_ * w_s - bs * p_s
            elif free_w:
                h_ff, h_fs, h_ss = ff - af * af / aa, fs - af * as_ / aa, ss - as_ * as_ / aa
            elif free_p:
                h_ff, h_fs, h_ss = ff - bf * bf / bb, fs - bf * bs / bb, ss - bs * bs / bb
            if gained <= 1e-4 * least:
                return least
        else:
            damping = max(10.0 * damping, 1e-2)
        m_ff, m_ss = h_ff * (1.0 + damping) + 1e-9 * ff + 1e-300, h_ss * (1.0 + damping) + 1e-9 * ss + 1e-300
        inverse = 1.0 / max(m_ff * m_ss - h_fs * h_fs, 1e-9 * m_ff * m_ss)
        d_fast, d_slow = (m_ss * g_f - h_fs * g_s) * inverse, (m_ff * g_s - h_fs * g_f) * inverse
        fast = min(max(pair[3] + min(max(d_fast, -1.0), 1.0), lowest), highest)
        slow = min(max(pair[2] + min(max(d_slow, -1.0), 1.0), lowest), fast - _GAP)
    return least
