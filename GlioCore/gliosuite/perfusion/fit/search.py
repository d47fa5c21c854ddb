"""Where the fit starts: the best node of a grid of rates and delays, the weights being solved for exactly and held at or above 0.

For a column e (one exponential) beside a companion p (the AIF, its integral, or another exponential), the sum of squares that the pair
explains is the square of the curve's projection on p plus that on the part of e that stands upright on p: one matrix product for all
nodes. Where the best pair would need a weight below 0, the search is done again among the solutions that are allowed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back, cast, product_rows
from .bases import Bases
from .refine import ALONE, COMPANION, PAIR

_HILL = 0.1  # of the residual: other delays that explain less than this short of the best are looked at


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
    """The best node for every curve (n,): its number, weights of its column and companion, what they explain, and which of them take part.

    `kind` is `refine.PAIR`, `refine.ALONE` (the column) or `refine.COMPANION`; numpy. `hills` are other nodes, nearly as good, with worse
    ones between: the curve's index, the node and the kind; numpy, or None where they were not asked for.
    """

    node: Any
    weight: Any
    other: Any
    gain: Any
    kind: np.ndarray
    hills: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


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
    single = lambda values: bases.device.put(values, "float32")
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


def search(nodes: Nodes, y: Any, signed: bool = False, energy: Any = None) -> Found:
    """The best node for curves y (r, n); with `signed`, weights may be below 0.

    With their sums of squares `energy` (n,), `hills` along the delay are found too.
    """
    xp = nodes.xp
    n_delays, n_columns = nodes.shape
    y = cast(y, single=True)
    a = product_rows(y, nodes.upright)
    b = product_rows(y, nodes.companion)
    rows = xp.arange(a.shape[0]) if xp is np else xp.arange(a.shape[0], device=a.device)
    if signed or n_delays > 1:
        gain = a * a if signed else xp.clip(a, 0.0, None)
        if not signed:
            gain *= gain
        gain = gain.reshape(-1, n_delays, n_columns)
        gain += (b * b)[:, :, None]
        best = xp.argmax(gain.reshape(a.shape), axis=1)
    else:
        best = xp.argmax(a, axis=1)
    on_upright, on_companion = a[rows, best], b[rows, best // n_columns]
    weight, other = _weights(nodes, on_upright, on_companion, best)
    explained = on_upright**2 + on_companion**2
    kind = np.full(a.shape[0], PAIR)
    if not signed:
        bad = xp.where((weight <= 0) | (other < 0))[0]
        if bad.shape[0]:
            best[bad], weight[bad], other[bad], allowed, inside = allowed_pairs(nodes, a[bad], b[bad])
            explained[bad] = allowed.max(axis=1) if xp is np else allowed.max(dim=1).values
            kind[back(bad)] = _kind(weight[bad], other[bad])
            if n_delays > 1:
                gain[bad] = allowed.reshape(-1, n_delays, n_columns)
    if energy is None or n_delays == 1:
        return Found(best, weight, other, explained, kind)
    row, node = _hills(xp, gain, rows, best, energy)
    pair = _weights(nodes, a[row, node], b[row, node // n_columns], node)
    hills = [(back(row), back(node), _kind(*pair, signed))]
    if not signed and bad.shape[0]:
        # Where the best node takes one column, the best that takes both is a hill of its own.
        allowed *= inside
        node = xp.argmax(allowed, axis=1)
        top = explained[bad]
        some = xp.where(allowed[rows[: bad.shape[0]], node] > xp.clip(top - _HILL * (energy[bad] - top), 0.0, None))[0]
        hills.append((back(bad[some]), back(node[some]), np.full(some.shape[0], PAIR)))
    return Found(best, weight, other, explained, kind, tuple(np.concatenate(part) for part in zip(*hills)))


def _kind(weight: Any, other: Any, signed: bool = False) -> np.ndarray:
    if signed:
        return np.full(weight.shape[0], PAIR)
    one, two = back(weight) > 0, back(other) > 0
    return np.where(one & two, PAIR, np.where(one, ALONE, COMPANION))


def _hills(xp: Any, gain: Any, rows: Any, best: Any, energy: Any) -> tuple[Any, Any]:
    """Curves and nodes, the best left out, where the gains (n, d, k), each delay at its best rate, have a local maximum."""
    n_delays, n_columns = gain.shape[1:]
    rate = xp.argmax(gain, axis=2)
    delays = xp.arange(n_delays) if xp is np else xp.arange(n_delays, device=gain.device)
    at = lambda k: gain[rows[:, None], delays[None], k]
    height = at(rate)
    if n_columns > 2:
        # The rates lie far apart: the height of a parabola through the highest three is compared.
        inner = xp.clip(rate, 1, n_columns - 2)
        before, here, after = at(inner - 1), at(inner), at(inner + 1)
        bend = xp.clip(2.0 * here - before - after, 1e-30, None)
        height = xp.where(rate == inner, here + (after - before) ** 2 / (8.0 * bend), height)
    late = best // n_columns
    top = height[rows, late]
    hill = height > (top - _HILL * (energy - top))[:, None]
    hill[:, 1:] &= height[:, 1:] >= height[:, :-1]
    hill[:, :-1] &= height[:, :-1] > height[:, 1:]
    hill[rows, late] = False
    row, delay = xp.where(hill)
    return row, delay * n_columns + rate[row, delay]


def _weights(nodes: Nodes, a: Any, b: Any, node: Any) -> tuple[Any, Any]:
    weight = a / nodes.length[node]
    return weight, (b - weight * nodes.overlap[node]) / nodes.size[node // nodes.shape[1]]


def allowed_pairs(nodes: Nodes, a: Any, b: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The best node among weights at or above 0: node, both weights, what each node explains, and where by both columns (n, d k)."""
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
    return node, xp.clip(weight, 0.0, None), xp.clip(other, 0.0, None), value, inside
