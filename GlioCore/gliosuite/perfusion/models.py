"""The kinetic models as the fit sees them: curves with their derivatives in the subspace, from parameters (p, n) to columns (r, n).

Every model gives its curve, the list of its derivatives by its parameters, and the derivative by the delay (None without a delay). A
column that is the same for all voxels has the shape (r, 1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .bases import Cell

FLOW_RATES = (1e-4, 600.0)  # 1/min: rates of the exchange models, whose bounds lie on fp, ps, ve and vp

Curve = tuple[Any, list[Any], Any]


@dataclass(frozen=True)
class Model:
    """A model as the fit sees it: named parameters, curves with derivatives, and the range of its rates."""

    names: tuple[str, ...]
    curve: Callable[[Cell, Any, Any], Curve]
    rates: Callable[[Mapping[str, tuple[float, float]]], tuple[float, float]]


def _tofts(cell: Cell, p: Any, delay: Any) -> Curve:
    ktrans = p[0]
    basis, by_rate, by_delay = cell.at(p[1], delay)
    by_rate *= ktrans
    return ktrans * basis, [basis, by_rate], None if delay is None else ktrans * by_delay


def _extended_tofts(cell: Cell, p: Any, delay: Any) -> Curve:
    ktrans, vp = p[0], p[2]
    basis, by_rate, by_delay = cell.at(p[1], delay)
    plasma, plasma_slope = cell.plasma(delay)
    by_rate *= ktrans
    curve = ktrans * basis
    curve += vp * plasma
    return curve, [basis, by_rate, plasma], None if delay is None else ktrans * by_delay + vp * plasma_slope


def _patlak(cell: Cell, p: Any, delay: Any) -> Curve:
    ps, vp = p[0], p[1]
    integral, integral_slope = cell.integral(delay)
    plasma, plasma_slope = cell.plasma(delay)
    curve = ps * integral + vp * plasma
    return curve, [integral, plasma], None if delay is None else ps * integral_slope + vp * plasma_slope


def _two_cum(cell: Cell, p: Any, delay: Any) -> Curve:
    xp = cell.xp
    flow, ps, vp = p[0] / 100.0, p[1], xp.clip(p[2], 1e-9, None)
    out = xp.clip(flow + ps, 1e-12, None)
    weight, kept = flow**2 / out, flow * ps / out
    basis, moved, by_delay = cell.at(xp.log(out / vp), delay)
    integral, integral_slope = cell.integral(delay)
    moved *= weight
    columns = [
        ((2 * flow * out - flow**2) / out**2 / 100.0) * basis
        + ((ps / out) ** 2 / 100.0) * integral
        + (0.01 / out) * moved,
        (flow / out) ** 2 * (integral - basis) + (1.0 / out) * moved,
        (-1.0 / vp) * moved,
    ]
    by_delay = None if delay is None else weight * by_delay + kept * integral_slope
    return weight * basis + kept * integral, columns, by_delay


def _two_cxm(cell: Cell, p: Any, delay: Any) -> Curve:
    xp = cell.xp

    def split(q: Any) -> tuple[Any, ...]:
        first, second, fast, slow = exponentials(xp, *q)
        return first, second, xp.log(xp.clip(fast, 1e-12, None)), xp.log(xp.clip(slow, 1e-12, None))

    given = [p[i] for i in range(4)]
    first, second, log_fast, log_slow = here = split(given)
    fast, fast_rate, fast_delay = cell.at(log_fast, delay)
    slow, slow_rate, slow_delay = cell.at(log_slow, delay)
    fast_rate *= first
    slow_rate *= second
    columns = []
    for i in range(4):
        step = 1e-6 * xp.clip(xp.abs(given[i]), 1e-3, None)
        moved = split([q + step if j == i else q for j, q in enumerate(given)])
        change = [(b - a) / step for a, b in zip(here, moved)]
        columns.append(change[0] * fast + change[1] * slow + change[2] * fast_rate + change[3] * slow_rate)
    return first * fast + second * slow, columns, None if delay is None else first * fast_delay + second * slow_delay


def exponentials(xp: Any, fp: Any, ps: Any, ve: Any, vp: Any) -> tuple[Any, Any, Any, Any]:
    """`kinetics.two_cxm_exponentials` in any namespace: weights and rates of the fast and the slow exponential, 1/min."""
    flow, ve, vp = fp / 100.0, xp.clip(ve, 1e-9, None), xp.clip(vp, 1e-9, None)
    plasma, tissue_out = flow / vp, ps / ve
    total = (flow + ps) / vp + tissue_out
    fast = 0.5 * (total + xp.sqrt(xp.clip(total**2 - 4.0 * tissue_out * plasma, 0.0, None)))
    slow = tissue_out * plasma / xp.clip(fast, 1e-30, None)  # the product of the rates: no cancellation
    share = (fast - plasma) / xp.clip(fast - slow, 1e-30, None)
    return flow * (1.0 - share), flow * share, fast, slow


def from_exponentials(xp: Any, first: Any, second: Any, fast: Any, slow: Any) -> tuple[Any, Any, Any, Any]:
    """Parameters of the 2CXM from its two exponentials (1/min): fp (ml/100ml/min), ps (1/min), ve, vp."""
    flow = xp.clip(first + second, 1e-6, None)
    share = second / flow
    plasma = xp.clip(fast - share * (fast - slow), 1e-9, None)  # 1 / Tb
    tissue = fast * slow / plasma  # 1 / Te
    vp = flow / plasma
    ps = xp.clip((fast + slow - tissue) * vp - flow, 1e-6, None)
    return 100 * flow, ps, ps / xp.clip(tissue, 1e-9, None), vp


def with_flow(xp: Any, model: str, p: Any, fp: float) -> Any:
    """Parameters of the 2CXM or 2CUM with the flow `fp` (ml/100ml/min) whose transfer is that of extended Tofts or Patlak ones (p, n)."""
    flow = fp / 100.0
    transfer, vp = xp.clip(p[0], 0.0, 0.9 * flow), p[-1]
    ps = transfer * flow / (flow - transfer)
    fp = fp + 0.0 * ps
    if model == "2cum":
        return xp.stack([fp, ps, vp])
    return xp.stack([fp, ps, p[0] / xp.exp(p[1]), vp])


KINETIC = {
    "tofts": Model(("ktrans", "log_kep"), _tofts, lambda m: m["kep"]),
    "etm": Model(("ktrans", "log_kep", "vp"), _extended_tofts, lambda m: m["kep"]),
    "patlak": Model(("ps", "vp"), _patlak, lambda m: m["kep"]),
    "2cum": Model(("fp", "ps", "vp"), _two_cum, lambda m: FLOW_RATES),
    "2cxm": Model(("fp", "ps", "ve", "vp"), _two_cxm, lambda m: FLOW_RATES),
}
