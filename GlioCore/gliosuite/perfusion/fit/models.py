"""The kinetic models as the fit (DCE) needs them: curves and their derivatives in the subspace, (r, n), from parameters (p, n).

Every model gives its curve, the list of its derivatives by its parameters, and the derivative by the delay (None without a delay). A
column that is the same for all voxels has the shape (r, 1). Where the derivatives are mixtures of a few columns, the columns and the
weights are given: what the fit needs of the derivatives follows from their scalar products, without a sum over the frames for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .bases import DelayCell

# 1/min: rates of the exchange models, whose bounds lie on fp, ps, ve and vp. Chosen: from none over a scan to 100 per second, beyond that
# a convolution is the AIF over the rate.
FLOW_RATES = (1e-4, 6000.0)


class Curve(NamedTuple):
    """A curve (r, n), columns (r, n or 1), the derivative by the delay, and the weights (n,) of the columns in each derivative.

    Without weights the columns are the derivatives.
    """

    value: Any
    columns: list[Any]
    by_delay: Any
    mix: list[list[Any]] | None = None


@dataclass(frozen=True)
class Model:
    """A model as the fit needs it.

    Attributes
    ----------
    names
        Of the parameters, in the order of p; the rate of Tofts models is fitted as its logarithm.
    curve
        From a delay cell, parameters (p, n) and delay (n,) or None to a `Curve`.
    rates
        Lowest and highest rate in 1/min, from the bounds.
    exchange
        Whether the model has flow and permeability of its own.
    """

    names: tuple[str, ...]
    curve: Callable[[DelayCell, Any, Any], Curve]
    rates: Callable[[Mapping[str, tuple[float, float]]], tuple[float, float]]
    exchange: bool = False


def _tofts(cell: DelayCell, p: Any, delay: Any) -> Curve:
    ktrans = p[0]
    basis, by_rate, by_delay = cell.at(p[1], delay)
    by_rate *= ktrans
    return Curve(ktrans * basis, [basis, by_rate], None if delay is None else ktrans * by_delay)


def _extended_tofts(cell: DelayCell, p: Any, delay: Any) -> Curve:
    ktrans, vp = p[0], p[2]
    basis, by_rate, by_delay = cell.at(p[1], delay)
    plasma, plasma_slope = cell.plasma(delay)
    by_rate *= ktrans
    curve = ktrans * basis
    curve += vp * plasma
    return Curve(curve, [basis, by_rate, plasma], None if delay is None else ktrans * by_delay + vp * plasma_slope)


def _patlak(cell: DelayCell, p: Any, delay: Any) -> Curve:
    ps, vp = p[0], p[1]
    integral, integral_slope = cell.integral(delay)
    plasma, plasma_slope = cell.plasma(delay)
    curve = ps * integral + vp * plasma
    return Curve(curve, [integral, plasma], None if delay is None else ps * integral_slope + vp * plasma_slope)


def _two_cum(cell: DelayCell, p: Any, delay: Any) -> Curve:
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
    return Curve(weight * basis + kept * integral, columns, by_delay)


def _two_cxm(cell: DelayCell, p: Any, delay: Any) -> Curve:
    xp = cell.xp
    flow, ps, ve, vp = 0.01 * p[0], p[1], xp.clip(p[2], 1e-9, None), xp.clip(p[3], 1e-9, None)
    first, second, fast, slow = exponentials(xp, p[0], ps, ve, vp)
    lowest = FLOW_RATES[0]
    fast, slow = xp.clip(fast, lowest, None), xp.clip(slow, lowest, None)
    a, a_rate, a_delay = cell.at(xp.log(fast), delay)
    b, b_rate, b_delay = cell.at(xp.log(slow), delay)
    # The rates are the roots of x^2 - (plasma + leak + tissue) x + plasma tissue.
    plasma, tissue, gap = flow / vp, ps / ve, xp.clip(fast - slow, 1e-9, None)
    share = second / xp.clip(flow, 1e-12, None)
    none = 0.0 * flow
    mix = []
    for by_flow, by_plasma, by_tissue, by_total in (
        (0.01, 0.01 / vp, none, 0.01 / vp),
        (0.0, none, 1.0 / ve, 1.0 / vp + 1.0 / ve),
        (0.0, none, -tissue / ve, -tissue / ve),
        (0.0, -plasma / vp, none, -(flow + ps) / vp**2),
    ):
        by_product = by_plasma * tissue + plasma * by_tissue
        by_fast = (fast * by_total - by_product) / gap
        by_slow = (by_product - slow * by_total) / gap
        by_share = (by_fast - by_plasma - share * (by_fast - by_slow)) / gap
        mix.append(
            [
                by_flow * (1.0 - share) - flow * by_share,
                by_flow * share + flow * by_share,
                by_fast * first / fast,
                by_slow * second / slow,
            ]
        )
    value = first * a
    value += second * b
    return Curve(value, [a, b, a_rate, b_rate], None if delay is None else first * a_delay + second * b_delay, mix)


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
    "tofts": Model(("ktrans", "log_kep"), _tofts, lambda bounds: bounds["kep"]),
    "etm": Model(("ktrans", "log_kep", "vp"), _extended_tofts, lambda bounds: bounds["kep"]),
    "patlak": Model(("ps", "vp"), _patlak, lambda bounds: bounds["kep"]),
    "2cum": Model(("fp", "ps", "vp"), _two_cum, lambda bounds: FLOW_RATES, exchange=True),
    "2cxm": Model(("fp", "ps", "ve", "vp"), _two_cxm, lambda bounds: FLOW_RATES, exchange=True),
}
