"""Where the fit starts: the best node of a grid of rates and delays, the weights being solved for exactly and held at or above 0.

For a column e (one exponential) beside a companion p (the AIF, its integral, or another exponential), the sum of squares that the pair
explains is the square of the curve's projection on p plus that on the part of e that stands upright on p: one matrix product for all
nodes. Where the best pair would need a weight below 0, the search is done again among the solutions that are allowed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import back, product_rows, put
from .bases import Bases
from .models import from_exponentials

_RATES = 64
_RATES_WITH_DELAY = 24
_PAIRS = 28  # rates of the 2CXM's search
_SLOWEST, _FASTEST = (
    5e-3,
    300.0,
)  # 1/min: beyond, exponentials of the exchange models look like an integral or like the AIF


@dataclass(frozen=True)
class Nodes:
    """Tables of a search: `d` delays times `k` columns, each beside its delay's companion; float32.

    Attributes
    ----------
    upright
        (r, d k) unit vectors along the part of the column that stands upright on the companion.
    companion
        (r, d) unit vectors; zeros where there is none.
    length, overlap
        (d k,) length of the upright part, and projection of the column on the companion.
    size
        (d,) length of the companion.
    log_rates
        (k,) of the columns.
    delays
        (d,) s.
    """

    xp: Any
    upright: Any
    companion: Any
    length: Any
    overlap: Any
    size: Any
    log_rates: Any
    delays: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of delays and of columns."""
        return self.delays.shape[0], self.log_rates.shape[0]


@dataclass(frozen=True)
class Found:
    """The best node for every voxel (n,): weight of the column and of the companion, ln rate, delay (s), what they explain."""

    weight: Any
    other: Any
    log_rate: Any
    delay: Any
    gain: Any


def build_nodes(bases: Bases, columns: list[np.ndarray], companions: list[np.ndarray], log_rates: np.ndarray) -> Nodes:
    """Tables from columns (r, k) and companions (r,) for every delay of `bases`."""
    upright, unit, length, overlap, size = [], [], [], [], []
    for table, companion in zip(columns, companions):
        norm = float(np.linalg.norm(companion))
        beside = companion / norm if norm > 0 else companion
        along = beside @ table
        apart = table - beside[:, None] * along
        floor = np.maximum(np.linalg.norm(apart, axis=0), 1e-9 * np.linalg.norm(table, axis=0))
        floor = np.maximum(floor, 1e-30)
        upright.append(apart / floor)
        unit.append(beside)
        length.append(floor)
        overlap.append(along)
        size.append(max(norm, 1e-30))
    device = str(getattr(bases.plasma, "device", "cpu"))
    single = lambda values: put(bases.xp, np.asarray(values), device, single=True)
    return Nodes(
        bases.xp,
        single(np.concatenate(upright, axis=1)),
        single(np.stack(unit, axis=1)),
        single(np.concatenate(length)),
        single(np.concatenate(overlap)),
        single(size),
        single(log_rates),
        single(bases.delays),
    )


def search(nodes: Nodes, y: Any, signed: bool = False) -> Found:
    """The best node for curves y (r, n); with `signed`, weights may be below 0."""
    xp = nodes.xp
    n_delays, n_columns = nodes.shape
    y = y.astype(np.float32) if xp is np else y.float()
    a = product_rows(y, nodes.upright)
    b = product_rows(y, nodes.companion)
    rows = xp.arange(a.shape[0]) if xp is np else xp.arange(a.shape[0], device=a.device)
    if signed or n_delays > 1:
        gain = a * a if signed else xp.clip(a, 0.0, None)
        if not signed:
            gain *= gain
        gain = (gain.reshape(-1, n_delays, n_columns) + (b * b)[:, :, None]).reshape(a.shape)
    else:
        gain = a
    best = xp.argmax(gain, axis=1)
    on_upright, on_companion = a[rows, best], b[rows, best // n_columns]
    weight, other = _weights(nodes, on_upright, on_companion, best)
    explained = on_upright**2 + on_companion**2
    if not signed:
        bad = xp.where((weight <= 0) | (other < 0))[0]
        if bad.shape[0]:
            best[bad], weight[bad], other[bad], allowed = allowed_pairs(nodes, a[bad], b[bad])
            explained[bad] = allowed.max(axis=1) if xp is np else allowed.max(dim=1).values
            gain[bad] = allowed
    rate = best % n_columns
    log_rate = nodes.log_rates[rate]
    if n_columns > 2:
        shift = _vertex(xp, gain, rows, best, (rate > 0) & (rate < n_columns - 1), 1)
        log_rate = log_rate + shift * (nodes.log_rates[1] - nodes.log_rates[0])
    late = best // n_columns
    delay = nodes.delays[late]
    if n_delays > 1:
        shift = _vertex(xp, gain, rows, best, (late > 0) & (late < n_delays - 1), n_columns)
        delay = delay + shift * (nodes.delays[1] - nodes.delays[0])
    return Found(weight, other, log_rate, delay, explained)


def _weights(nodes: Nodes, a: Any, b: Any, node: Any) -> tuple[Any, Any]:
    weight = a / nodes.length[node]
    return weight, (b - weight * nodes.overlap[node]) / nodes.size[node // nodes.shape[1]]


def allowed_pairs(nodes: Nodes, a: Any, b: Any) -> tuple[Any, Any, Any, Any]:
    """The best node among weights at or above 0: node, both weights, and what each node explains (n, d k)."""
    xp = nodes.xp
    n_columns = nodes.shape[1]
    rows = xp.arange(a.shape[0]) if xp is np else xp.arange(a.shape[0], device=a.device)
    b_all = b[:, :, None].repeat(n_columns, 2) if xp is np else b.repeat_interleave(n_columns, dim=1)
    b_all = b_all.reshape(a.shape)
    norm = xp.sqrt(nodes.length**2 + nodes.overlap**2)
    alone = xp.clip(a * (nodes.length / norm) + b_all * (nodes.overlap / norm), 0.0, None)
    beside = xp.clip(b_all, 0.0, None)
    inside = (a >= 0) & (b_all - a * (nodes.overlap / nodes.length) >= 0)
    value = xp.where(inside, a * a + b_all * b_all, xp.maximum(alone, beside) ** 2)
    node = xp.argmax(value, axis=1)
    delay = node // n_columns
    weight, other = _weights(nodes, a[rows, node], b[rows, delay], node)
    ok, single, pair = inside[rows, node], alone[rows, node], beside[rows, node]
    column_only = ~ok & (single >= pair)
    weight = xp.where(ok, weight, xp.where(column_only, single / norm[node], 0.0 * weight))
    other = xp.where(ok, other, xp.where(column_only, 0.0 * other, pair / nodes.size[delay]))
    return node, xp.clip(weight, 0.0, None), xp.clip(other, 0.0, None), value


def _vertex(xp: Any, gain: Any, rows: Any, best: Any, inner: Any, stride: int) -> Any:
    """Where between neighbouring nodes (-0.5 to 0.5 of their distance) a parabola through the gains is highest."""
    step = xp.where(inner, 0 * best + stride, 0 * best)
    before, here, after = gain[rows, best - step], gain[rows, best], gain[rows, best + step]
    bend = before - 2.0 * here + after
    safe = xp.where(bend < 0, bend, -1.0 + 0.0 * bend)
    shift = xp.clip(0.5 * (before - after) / safe, -0.5, 0.5)
    # In eighths: further digits of float32 gains are rounding, and would differ from machine to machine.
    return xp.where(bend < 0, xp.round(8.0 * shift) / 8.0, 0.0 * bend)


class Starts:
    """Where a model's fit starts; tables are made once, for `find` to be called on any block of curves."""

    def __init__(self, model: str, bases: Bases, signed: bool = False) -> None:
        self.model, self.bases, self.signed = model, bases, signed
        flow = model in ("2cum", "2cxm")
        low, high = bases.log_rates
        if flow:
            low, high = max(low, np.log(_SLOWEST)), min(high, np.log(_FASTEST))
        count = _PAIRS if model == "2cxm" else _RATES if bases.delays.size == 1 else _RATES_WITH_DELAY
        self.log_rates = np.linspace(low, high, count)
        plasma, integral = back(bases.plasma), back(bases.integral)
        nothing = np.zeros_like(plasma)
        tables = lambda: [back(bases.exponentials(self.log_rates, i)) for i in range(bases.delays.size)]
        if model == "2cxm":
            tables = tables()
            self.nodes = [
                build_nodes(bases, [t[:, :i] for t in tables], [t[:, i] for t in tables], self.log_rates[:i])
                for i in range(1, count)
            ]
        elif model == "patlak":
            self.nodes = [build_nodes(bases, [i[:, None] for i in integral], list(plasma), np.zeros(1))]
        else:
            companions = {"tofts": nothing, "etm": plasma, "2cum": integral}[model]
            self.nodes = [build_nodes(bases, tables(), list(companions), self.log_rates)]

    def find(self, y: Any) -> tuple[Any, Any]:
        """Parameters (p, n) and delays (n,) to start from, for curves y (r, n)."""
        xp = self.bases.xp
        found = search(self.nodes[0], y, self.signed)
        w, v, u = found.weight, found.other, found.log_rate
        if self.model == "tofts":
            return xp.stack([w, u]), found.delay
        if self.model == "etm":
            return xp.stack([w, u, v]), found.delay
        if self.model == "patlak":
            return xp.stack([w, v]), found.delay
        if self.model == "2cum":
            flow = xp.clip(w + v, 1e-6, None)
            ps = flow * v / xp.clip(w, 1e-6, None)
            return xp.stack([100 * flow, ps, (flow + ps) / xp.exp(u)]), found.delay
        best, fast, slow = found.gain, self.log_rates[1] + 0 * u, u
        slow_weight, fast_weight, delay = w, v, found.delay
        for i, nodes in enumerate(self.nodes[1:], 2):
            found = search(nodes, y, self.signed)
            better = found.gain > best
            pick = lambda new, old, better=better: xp.where(better, new, old)
            best, slow_weight, fast_weight = (
                pick(found.gain, best),
                pick(found.weight, slow_weight),
                pick(found.other, fast_weight),
            )
            slow, fast = pick(found.log_rate, slow), pick(self.log_rates[i] + 0 * u, fast)
            delay = pick(found.delay, delay)
        # A pair of which one weight is 0 has no derivative by its rate: a little of it is given.
        total = slow_weight + fast_weight
        slow_weight, fast_weight = xp.maximum(slow_weight, 0.02 * total), xp.maximum(fast_weight, 0.02 * total)
        return xp.stack(from_exponentials(xp, fast_weight, slow_weight, xp.exp(fast), xp.exp(slow))), delay
