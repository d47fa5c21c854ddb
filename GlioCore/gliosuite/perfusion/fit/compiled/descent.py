"""The compiled kinetic fit (DCE) of models with one rate or none: the way of one voxel to its local minimum.

Newton's method on the rate and the delay, the two weights being solved for within their bounds at each step (variable projection).
Between two delays the AIF is a line, so that the column b of the rate is, at the place tau (min before the later delay) of a cell,

    b = exp(-k tau) L + (1 - exp(-k tau)) / k late + (k tau - 1 + exp(-k tau)) / (k^2 T) gain

with L the convolution at the later delay, ``late`` the AIF there, ``gain`` what it gains over the cell's length T. All scalar products
follow from those of L, its two derivatives by v = ln(k + damping), late and gain.
"""

import math

import numpy as np

from ....compute.compiled import inlined, kernel
from .algebra import decayed, two_weights
from .tables import GRAM_TERMS, TERMS

_MOST_STEPS = 60  # of Newton's method; chosen as a bound on the work
# Of the residual: what Newton's last step, taken without looking, may still gain (the next would gain about its square), and what any
# step may leave.
_CLOSE, _NOTHING = 1e-6, 1e-9
_ROUGHLY = 1e-2  # the same of what is left when the way beyond a border is first looked for
_ROUNDING = 1e-15  # of the curve's own sum of squares
_LONGEST = 1.0  # step of ln(k + damping); chosen, so that one step leads no further than a few nodes
_GIVEN_UP = 1e12  # damping beyond which no step changes anything


# A state: the place, the sum of squares and the best weights w and p there; the gradient of half the sum of squares by v and tau; J^T J
# for w, p, v and tau (bb, bv, vv, bs, sv, ss, bt, vt, st, tt); how w and p follow v and tau; the residual's products with db/dv, db/dtau,
# ds/dtau, and with the second derivatives of w b; whether the weights lie inside their bounds.
V, TAU, CELL, SSE, W, P, BY_V, BY_TAU = 0, 1, 2, 3, 4, 5, 6, 7
JTJ, FOLLOW, BY_B_V, BY_B_TAU, BY_S_TAU, BEND, FREE_W, FREE_P = 8, 18, 22, 23, 24, 25, 28, 29
FOUND, STATE = 18, 30  # numbers that a result needs, the first ones, and in all


@inlined
def enter(y: np.ndarray, powers: np.ndarray, own: np.ndarray) -> None:
    """A voxel's scalar products with a piece's powers, with late and with gain (R, TERMS + 2), into `own`."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = a9 = 0.0
    for i in range(y.shape[0]):
        here = y[i]
        a0 += here * powers[i, 0]
        a1 += here * powers[i, 1]
        a2 += here * powers[i, 2]
        a3 += here * powers[i, 3]
        a4 += here * powers[i, 4]
        a5 += here * powers[i, 5]
        a6 += here * powers[i, 6]
        a7 += here * powers[i, 7]
        a8 += here * powers[i, 8]
        a9 += here * powers[i, 9]
    own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7] = a0, a1, a2, a3, a4, a5, a6, a7
    own[8], own[9] = a8, a9


@inlined
def evaluate(
    yy: float,
    v: float,
    tau: float,
    x: float,
    has_rate: bool,
    has_second: bool,
    limits: np.ndarray,
    grid: np.ndarray,
    own: np.ndarray,
    gram: np.ndarray,
    products: np.ndarray,
    state: np.ndarray,
) -> None:
    """The best weights at (v, tau) of a cell, and how the sum of squares changes from there; into `state`.

    Parameters
    ----------
    x
        The place of v in its piece, -1 to 1.
    limits
        Bounds of w, p, and more; see `descend`.
    grid
        See `tables.Tables`.
    own
        See `enter`.
    gram
        (GRAM_TERMS, 4) powers of the products of F = exp(v) L with late, gain and itself, and of dF/dx with itself.
    products
        Of late and gain with each other.
    """
    half, damping, length = grid[1], grid[2], grid[3]
    h, scale, growth, k = 1.0, 0.0, 0.0, 0.0
    if has_rate:
        growth = math.exp(v)
        h, scale, k = 1.0 / growth, 1.0 / half, max(growth - damping, 0.0)
    y0, y1, y2 = own[TERMS - 1], 0.0, 0.0
    for m in range(TERMS - 2, -1, -1):
        y2 = y2 * x + y1
        y1 = y1 * x + y0
        y0 = y0 * x + own[m]
    top = GRAM_TERMS - 1
    l0, g0, f00, f11 = gram[top, 0], gram[top, 1], gram[top, 2], gram[top, 3]
    l1 = l2 = g1 = g2 = f01 = f02 = 0.0
    for m in range(GRAM_TERMS - 2, -1, -1):
        l2 = l2 * x + l1
        g2 = g2 * x + g1
        f02 = f02 * x + f01
        l1 = l1 * x + l0
        g1 = g1 * x + g0
        f01 = f01 * x + f00
        l0 = l0 * x + gram[m, 0]
        g0 = g0 * x + gram[m, 1]
        f00 = f00 * x + gram[m, 2]
        f11 = f11 * x + gram[m, 3]
    y2, l2, g2 = 2.0 * y2, 2.0 * l2, 2.0 * g2
    # (F F)' = 2 F F', and (F F)'' = 2 F' F' + 2 F F''.
    f01, f02 = 0.5 * f01, f02 - f11
    # From the polynomials' derivatives by x to those of L = exp(-v) F by v.
    y2, y1, y0 = h * (scale * (scale * y2 - 2.0 * y1) + y0), h * (scale * y1 - y0), h * y0
    l2, l1, l0 = h * (scale * (scale * l2 - 2.0 * l1) + l0), h * (scale * l1 - l0), h * l0
    g2, g1, g0 = h * (scale * (scale * g2 - 2.0 * g1) + g0), h * (scale * g1 - g0), h * g0
    f02 = h * h * (scale * (scale * f02 - 2.0 * f01) + f00)
    f11 = h * h * (scale * (scale * f11 - 2.0 * f01) + f00)
    f01, f00 = h * h * (scale * f01 - f00), h * h * f00
    ll, lg, gg = products[0], products[1], products[2]
    ya, yg = own[TERMS], own[TERMS + 1]

    # b = E L + A late + C gain and its derivatives by k and tau.
    q = k * tau
    f, f1, f2 = decayed(q)
    phi, phi1, phi2 = 1.0 - q * f, -f - q * f1, -2.0 * f1 - q * f2
    e = 1.0 - q * phi
    per = 1.0 / length
    a, c = tau * phi, tau * tau * f * per
    a_k, c_k = tau * tau * phi1, tau**3 * f1 * per
    a_kk, c_kk = tau**3 * phi2, tau**4 * f2 * per
    e_k, e_tau, c_tau = -tau * e, -k * e, a * per
    u = tau * per if has_second else 0.0
    one = 1.0 if has_second else 0.0
    bv_0, bv_a, bv_g = growth * e_k, growth * a_k, growth * c_k

    b_0, b_1 = e * f00 + a * l0 + c * g0, e * f01 + a * l1 + c * g1
    b_2 = e * f02 + a * l2 + c * g2
    b_a, b_g = e * l0 + a * ll + c * lg, e * g0 + a * lg + c * gg
    s_a, s_g = one * ll + u * lg, one * lg + u * gg
    yb, ys = e * y0 + a * ya + c * yg, one * ya + u * yg
    bb, bs, ss = e * b_0 + a * b_a + c * b_g, one * b_a + u * b_g, one * s_a + u * s_g
    w, p, free_w, free_p = two_weights(yb, ys, bb, bs, ss, limits[0], limits[1], limits[2], limits[3])
    # The residual's products with L, its derivatives, late and gain.
    r0 = y0 - w * b_0 - p * (one * l0 + u * g0)
    r1 = y1 - w * b_1 - p * (one * l1 + u * g1)
    r2 = y2 - w * b_2 - p * (one * l2 + u * g2)
    ra, rg = ya - w * b_a - p * s_a, yg - w * b_g - p * s_g
    r_v = e * r1 + bv_0 * r0 + bv_a * ra + bv_g * rg
    r_tau = e_tau * r0 + e * ra + c_tau * rg
    r_s = one * per * rg
    r_vv = e * r2 + 2.0 * bv_0 * r1 + (growth * growth * tau * tau * e + bv_0) * r0
    r_vv += (growth * growth * a_kk + bv_a) * ra + (growth * growth * c_kk + bv_g) * rg
    r_vtau = e_tau * r1 + growth * ((q - 1.0) * e * r0 + e_k * ra + a_k * per * rg)
    r_tautau = k * k * e * r0 - k * e * ra + e * per * rg
    # J^T J: columns b, s, w db/dv, and w db/dtau + p ds/dtau = t0 L + ta late + tg gain.
    v_0 = e * f01 + bv_0 * f00 + bv_a * l0 + bv_g * g0
    v_1 = e * f11 + bv_0 * f01 + bv_a * l1 + bv_g * g1
    v_a = e * l1 + bv_0 * l0 + bv_a * ll + bv_g * lg
    v_g = e * g1 + bv_0 * g0 + bv_a * lg + bv_g * gg
    t0, ta, tg = w * e_tau, w * e, w * c_tau + p * one * per
    t_0, t_1 = t0 * f00 + ta * l0 + tg * g0, t0 * f01 + ta * l1 + tg * g1
    t_a, t_g = t0 * l0 + ta * ll + tg * lg, t0 * g0 + ta * lg + tg * gg
    vv = w * w * (e * v_1 + bv_0 * v_0 + bv_a * v_a + bv_g * v_g)
    bv, sv = w * (e * v_0 + a * v_a + c * v_g), w * (one * v_a + u * v_g)
    tt = t0 * t_0 + ta * t_a + tg * t_g
    bt, st = e * t_0 + a * t_a + c * t_g, one * t_a + u * t_g
    vt = w * (e * t_1 + bv_0 * t_0 + bv_a * t_a + bv_g * t_g)

    state[V], state[TAU] = v, tau
    state[SSE] = yy - 2.0 * (w * yb + p * ys) + w * (w * bb + 2.0 * p * bs) + p * p * ss
    state[W], state[P] = w, p
    state[BY_V], state[BY_TAU] = -w * r_v, -(w * r_tau + p * r_s)
    state[BY_B_V], state[BY_B_TAU], state[BY_S_TAU] = r_v, r_tau, r_s
    state[BEND], state[BEND + 1], state[BEND + 2] = w * r_vv, w * r_vtau, w * r_tautau
    state[FREE_W], state[FREE_P] = free_w, free_p
    state[JTJ], state[JTJ + 1], state[JTJ + 2], state[JTJ + 3] = bb, bv, vv, bs
    state[JTJ + 4], state[JTJ + 5], state[JTJ + 6], state[JTJ + 7] = sv, ss, bt, vt
    state[JTJ + 8], state[JTJ + 9] = st, tt


@inlined
def newton_step(state: np.ndarray, move_v: bool, move_tau: bool, damping: float) -> tuple[float, float, float, bool]:
    """A damped step of v and tau, by how much half the sum of squares would fall, and whether the step is Newton's.

    Where the sum of squares does not bend upwards, the step is Gauss-Newton's. The weights follow as `state[FOLLOW]` says.
    """
    g_v, g_t = state[BY_V], state[BY_TAU]
    bb, bv, vv, bs, sv = state[JTJ], state[JTJ + 1], state[JTJ + 2], state[JTJ + 3], state[JTJ + 4]
    ss, bt, vt, st, tt = state[JTJ + 5], state[JTJ + 6], state[JTJ + 7], state[JTJ + 8], state[JTJ + 9]
    free_w, free_p = state[FREE_W] > 0.0, state[FREE_P] > 0.0
    dv = dt = 0.0
    for attempt in range(2):
        more = 1.0 - attempt  # with what the residual adds to the second derivatives, then without
        h_vv, h_vt, h_tt = vv - more * state[BEND], vt - more * state[BEND + 1], tt - more * state[BEND + 2]
        h_wv, h_wt = bv - more * state[BY_B_V], bt - more * state[BY_B_TAU]
        h_pv, h_pt = sv, st - more * state[BY_S_TAU]
        w_v = w_t = p_v = p_t = 0.0
        if free_w and free_p:
            inverse = 1.0 / (bb * ss - bs * bs)
            w_v, w_t = (ss * h_wv - bs * h_pv) * inverse, (ss * h_wt - bs * h_pt) * inverse
            p_v, p_t = (bb * h_pv - bs * h_wv) * inverse, (bb * h_pt - bs * h_wt) * inverse
        elif free_w:
            w_v, w_t = h_wv / bb, h_wt / bb
        elif free_p:
            p_v, p_t = h_pv / ss, h_pt / ss
        h_vv -= h_wv * w_v + h_pv * p_v
        h_vt -= h_wv * w_t + h_pv * p_t
        h_tt -= h_wt * w_t + h_pt * p_t
        state[FOLLOW], state[FOLLOW + 1], state[FOLLOW + 2], state[FOLLOW + 3] = w_v, w_t, p_v, p_t
        newton = attempt == 0
        if not newton:
            # Where the weights leave nothing of a column, a little of it keeps its step finite.
            h_vv += 1e-12 * vv + 1e-300
            h_tt += 1e-12 * tt + 1e-300
        h_vv, h_tt = h_vv * (1.0 + damping), h_tt * (1.0 + damping)
        if move_v and move_tau:
            determinant = h_vv * h_tt - h_vt * h_vt
            if newton and not (h_vv > 0.0 and h_tt > 0.0 and determinant > 1e-6 * h_vv * h_tt):
                continue
            inverse = 1.0 / max(determinant, 1e-12 * h_vv * h_tt)
            dv, dt = (h_vt * g_t - h_tt * g_v) * inverse, (h_vt * g_v - h_vv * g_t) * inverse
        elif move_v:
            if newton and not h_vv > 1e-6 * vv:
                continue
            dv = -g_v / h_vv
        elif move_tau:
            if newton and not h_tt > 1e-6 * tt:
                continue
            dt = -g_t / h_tt
        return dv, dt, -0.5 * (g_v * dv + g_t * dt), newton
    return 0.0, 0.0, 0.0, False


@inlined
def look(
    y: np.ndarray,
    yy: float,
    cell: int,
    v: float,
    tau: float,
    has_rate: bool,
    has_second: bool,
    limits: np.ndarray,
    grid: np.ndarray,
    powers: np.ndarray,
    gram: np.ndarray,
    products: np.ndarray,
    own: np.ndarray,
    state: np.ndarray,
) -> None:
    """`evaluate` at a place of any cell; `own` remembers the piece that it belongs to."""
    piece, x = 0, 0.0
    if has_rate:
        at = (v - grid[0]) / (2.0 * grid[1])
        piece = min(max(int(at), 0), powers.shape[1] - 1)
        x = 2.0 * (at - piece) - 1.0
    here = cell * powers.shape[1] + piece
    if own[TERMS + 2] != here:
        enter(y, powers[cell, piece], own)
        own[TERMS + 2] = here
    evaluate(yy, v, tau, x, has_rate, has_second, limits, grid, own, gram[cell, piece], products[cell], state)
    state[CELL] = cell


@kernel
def descend(
    y: np.ndarray,
    yy: float,
    outside: float,
    has_rate: bool,
    has_second: bool,
    has_delay: bool,
    direction: int,
    enough: float,
    limits: np.ndarray,
    grid: np.ndarray,
    powers: np.ndarray,
    gram: np.ndarray,
    products: np.ndarray,
    state: np.ndarray,
    trial: np.ndarray,
    own: np.ndarray,
) -> None:
    """From the v, tau and cell in `state` to the local minimum, there too.

    Cells are left in `direction` alone (-1 earlier, 1 later). The way is broken off where it will not lead below the sum of squares
    `enough`. `limits` holds the bounds of w and p, of v, and of the delay in s.
    """
    low_v, high_v, low_delay, high_delay, length = limits[4], limits[5], limits[6], limits[7], grid[3]
    to_cell, to_v, to_tau = int(state[CELL]), state[V], state[TAU]
    state[SSE] = math.inf
    damping, to_leave = 0.0, _ROUGHLY if has_delay else 0.0
    low_tau = high_tau = 0.0
    for step in range(_MOST_STEPS):
        look(y, yy, to_cell, to_v, to_tau, has_rate, has_second, limits, grid, powers, gram, products, own, trial)
        if step > 0 and to_cell != state[CELL]:
            # Just beyond a border; it is left for good where the sum of squares falls on.
            taken = trial[BY_TAU] > 0.0 if to_cell > state[CELL] else trial[BY_TAU] < 0.0
            to_leave = _ROUGHLY if taken else (_CLOSE if to_leave == _ROUGHLY else 0.0)
            damping = 0.0
        else:
            taken = trial[SSE] < state[SSE]
            if not taken:
                damping = max(10.0 * damping, 1e-2)
            else:
                damping = 0.1 * damping if damping > 1e-4 else 0.0
        if taken:
            for i in range(STATE):
                state[i] = trial[i]
        cell, v, tau, sse = int(state[CELL]), state[V], state[TAU], state[SSE]
        if has_delay:
            late_s = products[cell, 3]
            low_tau = (late_s - min(late_s, high_delay)) / 60.0
            high_tau = min((late_s - low_delay) / 60.0, length)
        move_v = has_rate and not ((v <= low_v and state[BY_V] >= 0.0) or (v >= high_v and state[BY_V] <= 0.0))
        on_late, on_early = tau <= low_tau and state[BY_TAU] >= 0.0, tau >= high_tau and state[BY_TAU] <= 0.0
        move_tau = has_delay and not (on_late or on_early)
        dv, dt, falls, newton = newton_step(state, move_v, move_tau, damping)
        if step > 0 and sse - 8.0 * falls > enough:
            return
        residual = sse + outside
        if has_delay and not move_tau and falls <= to_leave * residual:
            to_cell = cell + 1 if on_late else cell - 1
            inner = low_tau <= 0.0 if on_late else high_tau >= length
            if inner and 0 <= to_cell < products.shape[0] and (to_cell - cell) * direction > 0:
                to_v, to_tau = v, length if on_late else 0.0
                continue
            to_leave = 0.0
        to_cell = cell
        to_v = min(max(v + min(max(dv, -_LONGEST), _LONGEST), low_v), high_v)
        to_tau = min(max(tau + dt, low_tau), high_tau)
        if falls <= _CLOSE * residual and newton and damping == 0.0 and to_v == v + dv and to_tau == tau + dt:
            # The last step gains next to nothing, but brings the parameters ever closer to the optimum; the weights follow.
            state[V], state[TAU] = to_v, to_tau
            state[W] = min(max(state[W] - state[FOLLOW] * dv - state[FOLLOW + 1] * dt, limits[0]), limits[1])
            state[P] = min(max(state[P] - state[FOLLOW + 2] * dv - state[FOLLOW + 3] * dt, limits[2]), limits[3])
            return
        if (falls <= _NOTHING * residual and damping <= 1e-3) or falls <= _ROUNDING * yy or damping > _GIVEN_UP:
            return
