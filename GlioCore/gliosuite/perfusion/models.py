"""The kinetic models as the fit sees them: curves with derivatives in the subspace, and where to start.

Each model is a function from parameters (n, p) to curves (n, r) and their derivatives, all in the coordinates of `Bases`, and a search
over the nodes of the tables that finds the best start: for one exponential alone or beside the plasma or integral curve, for the line of
Patlak, and for pairs of exponentials.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import kinetics
from .bases import Bases

_FLOW_RATES = (1e-4, 600.0)  # 1/min: rates of the exchange models, whose bounds lie on fp, ps, ve and vp


@dataclass(frozen=True)
class Model:
    """A model as the fit sees it: named parameters, and curves with their derivatives in the subspace."""

    names: tuple[str, ...]
    curve: Callable[[Bases, np.ndarray, np.ndarray], tuple[np.ndarray, list[np.ndarray], np.ndarray]]
    start: Callable[[Bases, np.ndarray], np.ndarray]
    rates: Callable[[Mapping[str, tuple[float, float]]], tuple[float, float]]


def _tofts_curve(bases: Bases, p: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    ktrans = p[:, :1]
    basis, by_rate, by_delay = bases.at(p[:, 1], delay)
    return ktrans * basis, [basis, ktrans * by_rate], ktrans * by_delay


def _etm_curve(bases: Bases, p: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    ktrans, vp = p[:, :1], p[:, 2:3]
    basis, by_rate, by_delay = bases.at(p[:, 1], delay)
    plasma, plasma_slope = bases.plasma_at(delay)
    return (
        ktrans * basis + vp * plasma,
        [basis, ktrans * by_rate, plasma],
        ktrans * by_delay + vp * plasma_slope,
    )


def _patlak_curve(bases: Bases, p: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    ps, vp = p[:, :1], p[:, 1:2]
    integral, integral_slope = bases.integral_at(delay)
    plasma, plasma_slope = bases.plasma_at(delay)
    return ps * integral + vp * plasma, [integral, plasma], ps * integral_slope + vp * plasma_slope


def _two_cum_curve(bases: Bases, p: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    flow, ps, vp = p[:, :1] / 100.0, p[:, 1:2], np.maximum(p[:, 2:3], 1e-9)
    out = np.maximum(flow + ps, 1e-12)
    weight, kept = flow**2 / out, flow * ps / out
    basis, by_rate, by_delay = bases.at(np.log(out / vp)[:, 0], delay)
    integral, integral_slope = bases.integral_at(delay)
    moved = weight * by_rate
    return (
        weight * basis + kept * integral,
        [
            ((2 * flow * out - flow**2) / out**2 * basis + (ps / out) ** 2 * integral + moved / out) / 100.0,
            (flow / out) ** 2 * (integral - basis) + moved / out,
            -moved / vp,
        ],
        weight * by_delay + kept * integral_slope,
    )


def _two_cxm_curve(bases: Bases, p: np.ndarray, delay: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    def split(q: np.ndarray) -> tuple[np.ndarray, ...]:
        first, second, fast, slow = kinetics.two_cxm_exponentials(*q[:, :4].T)
        return first, second, np.log(np.maximum(fast, 1e-12)), np.log(np.maximum(slow, 1e-12))

    here = split(p)
    fast, fast_rate, fast_delay = bases.at(here[2], delay)
    slow, slow_rate, slow_delay = bases.at(here[3], delay)
    first, second = here[0][:, None], here[1][:, None]
    columns = []
    for i in range(4):
        step = 1e-6 * np.maximum(p[:, i], 1e-3)
        moved = p.copy()
        moved[:, i] += step
        change = [((b - a) / step)[:, None] for a, b in zip(here, split(moved))]
        columns.append(
            change[0] * fast + change[1] * slow + first * change[2] * fast_rate + second * change[3] * slow_rate
        )
    return first * fast + second * slow, columns, first * fast_delay + second * slow_delay


def _start_with(companion: str) -> Callable[[Bases, np.ndarray], np.ndarray]:
    """Search over rate and delay for models of one exponential, alone or beside the plasma or integral curve.

    The starting function returns (n, 4): weight of the exponential, ln rate, weight of the companion, delay.
    """

    def start(bases: Bases, y: np.ndarray) -> np.ndarray:
        stride = 1 if bases.n_delays == 1 else 8
        columns = bases.exponential[:, ::stride]
        log_rates = np.log(bases.rates[::stride])
        n_delays, n_rates, rank = columns.shape
        columns = columns.reshape(-1, rank)
        norm = np.maximum(np.linalg.norm(columns, axis=1), 1e-30)
        if not companion:
            best = np.argmax(y @ (columns / norm[:, None]).T, axis=1)
            weight = np.maximum((y * columns[best]).sum(1) / norm[best] ** 2, 0.0)
            return np.stack(
                [weight, log_rates[best % n_rates], np.zeros_like(weight), bases.delays[best // n_rates]], axis=1
            )
        beside = np.repeat(getattr(bases, companion), n_rates, axis=0)
        size = np.maximum(np.linalg.norm(beside, axis=1), 1e-30)
        unit = beside / size[:, None]
        overlap = (columns * unit).sum(1)
        apart = columns - overlap[:, None] * unit
        apart_norm = np.maximum(np.linalg.norm(apart, axis=1), 1e-9 * norm)
        on_beside = y @ unit[::n_rates].T
        on_apart = y @ (apart / apart_norm[:, None]).T
        gain = np.maximum(on_apart, 0.0) ** 2 * np.sign(on_apart)
        if n_delays > 1:
            gain += np.repeat(on_beside**2 * np.sign(on_beside), n_rates, axis=1)
        best = np.argmax(gain, axis=1)
        rows = np.arange(y.shape[0])
        weight = np.maximum(on_apart[rows, best], 0.0) / apart_norm[best]
        other = (on_beside[rows, best // n_rates] - weight * overlap[best]) / size[best]
        # Where the best node wants a negative companion, search again among solutions that are allowed.
        bad = np.flatnonzero((other < 0) | (weight <= 0))
        if bad.size:
            a, b = on_apart[bad], np.repeat(on_beside[bad], n_rates, axis=1)
            w = a / apart_norm
            inside = (w >= 0) & (b - w * overlap >= 0)
            alone = np.maximum(a * apart_norm + b * overlap, 0.0) / norm
            value = np.where(inside, a**2 + b**2, np.maximum(alone, np.maximum(b, 0.0)) ** 2)
            best[bad] = node = np.argmax(value, axis=1)
            pick = np.arange(bad.size)
            ok, only = inside[pick, node], alone[pick, node] >= b[pick, node]
            weight[bad] = np.where(ok, w[pick, node], np.where(only, alone[pick, node] / norm[node], 0.0))
            rest = (b[pick, node] - w[pick, node] * overlap[node]) / size[node]
            other[bad] = np.where(ok, rest, np.where(only, 0.0, np.maximum(b[pick, node], 0.0) / size[node]))
        return np.stack([weight, log_rates[best % n_rates], other, bases.delays[best // n_rates]], axis=1)

    return start


def _patlak_start(bases: Bases, y: np.ndarray) -> np.ndarray:
    """Best delay of the linear model; (n, 3): ps, vp, delay."""
    best = np.full(y.shape[0], -np.inf)
    result = np.zeros((y.shape[0], 3))
    for delay, plasma, integral in zip(bases.delays, bases.plasma, bases.integral):
        columns = np.stack([integral, plasma], axis=1)
        unit, triangle = np.linalg.qr(columns)
        gain = ((y @ unit) ** 2).sum(1)
        weights = (y @ unit) @ np.linalg.inv(triangle).T
        better = gain > best
        best[better] = gain[better]
        result[better] = np.column_stack([weights[better], np.full(int(better.sum()), delay)])
    return result


def _two_cum_start(bases: Bases, y: np.ndarray) -> np.ndarray:
    """(n, 4): fp, ps, vp, delay, from the exponential and the integral."""
    weight, log_rate, kept, delay = _start_with("integral")(bases, y).T
    flow = np.maximum(weight + kept, 1e-6)
    ps = flow * kept / np.maximum(weight, 1e-6)
    return np.stack([100 * flow, ps, (flow + ps) / np.exp(log_rate), delay], axis=1)


def _two_cxm_start(bases: Bases, y: np.ndarray) -> np.ndarray:
    """(n, 5): fp, ps, ve, vp, delay, from the best pair of exponentials with weights above 0."""
    nodes = np.arange(0, bases.rates.size, 5)
    slow, fast = (nodes[i] for i in np.triu_indices(nodes.size, 1))
    best = np.full(y.shape[0], -np.inf)
    result = np.zeros((y.shape[0], 5))
    stride = max(1, bases.n_delays // 9)
    for delay, table in list(zip(bases.delays, bases.exponential))[::stride]:
        a, b = table[slow], table[fast]
        aa, bb, ab = (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)
        determinant = np.maximum(aa * bb - ab**2, 1e-12 * aa * bb)
        p = y @ table.T
        pa, pb = p[:, slow], p[:, fast]
        wa, wb = (bb * pa - ab * pb) / determinant, (aa * pb - ab * pa) / determinant
        gain = np.where((wa >= 0) & (wb >= 0), wa * pa + wb * pb, -np.inf)
        node = np.argmax(gain, axis=1)
        rows = np.arange(y.shape[0])
        # Where no pair is allowed, one exponential is: the fast weight goes to 0.
        none = ~np.isfinite(gain[rows, node])
        single = np.argmax(np.maximum(pa, 0) ** 2 / aa, axis=1)
        node = np.where(none, single, node)
        gain = np.where(none, (np.maximum(pa, 0) ** 2 / aa)[rows, node], gain[rows, node])
        w_slow = np.where(none, np.maximum(pa[rows, node], 0) / aa[node], wa[rows, node])
        w_fast = np.where(none, 0.05 * w_slow, wb[rows, node])
        better = gain > best
        best[better] = gain[better]
        natural = _from_exponentials(w_fast, w_slow, bases.rates[fast[node]], bases.rates[slow[node]])
        result[better] = np.column_stack([*natural, np.full(y.shape[0], delay)])[better]
    return result


def _from_exponentials(
    first: np.ndarray, second: np.ndarray, fast: np.ndarray, slow: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parameters of the 2CXM from its two exponentials (1/min): fp (ml/100ml/min), ps (1/min), ve, vp."""
    flow = np.maximum(first + second, 1e-6)
    share = second / flow
    plasma = np.maximum(fast - share * (fast - slow), 1e-9)  # 1 / Tb
    tissue = fast * slow / plasma  # 1 / Te
    vp = flow / plasma
    ps = np.maximum((fast + slow - tissue) * vp - flow, 1e-6)
    return 100 * flow, ps, ps / np.maximum(tissue, 1e-9), vp


KINETIC = {
    "tofts": Model(
        ("ktrans", "log_kep"), _tofts_curve, lambda b, y: _start_with("")(b, y)[:, [0, 1, 3]], lambda m: m["kep"]
    ),
    "etm": Model(("ktrans", "log_kep", "vp"), _etm_curve, _start_with("plasma"), lambda m: m["kep"]),
    "patlak": Model(("ps", "vp"), _patlak_curve, _patlak_start, lambda m: m["kep"]),
    "2cum": Model(("fp", "ps", "vp"), _two_cum_curve, _two_cum_start, lambda m: _FLOW_RATES),
    "2cxm": Model(("fp", "ps", "ve", "vp"), _two_cxm_curve, _two_cxm_start, lambda m: _FLOW_RATES),
}
