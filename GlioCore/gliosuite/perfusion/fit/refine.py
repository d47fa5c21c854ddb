"""From the best node of a grid to the top of its patch, without touching the curves again.

Around every node, the unit vectors that the search compares a curve with are polynomials in two coordinates: ln k of the column, and the
delay or the companion's own ln k. A curve's projections on them are polynomials too: one matrix product gives their coefficients, and the
top of what they explain is found by Newton's iteration on scalars. The result is so near the optimum that one look at the curve itself is
mostly enough to be sure of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back, product, subset
from .bases import Bases

PAIR, ALONE, COMPANION = 0, 1, 2  # which of a node's two columns take part
_STEPS = 4
_LONGEST = 0.8  # step, of half the patch
_EDGE = 0.999  # of half the patch: a top so far out may go on beyond

Vectors = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Patches:
    """Polynomials around the nodes of a grid of `lines` times `nodes`, with coefficients (m, q) of x and z, which run from -1 to 1.

    x runs over ln k of the column around its node, z over the line's own coordinate.

    Attributes
    ----------
    beside, alone
        (lines, nodes, m q, r) unit vectors of the column's part that stands upright on the companion, and of the column itself.
    companion
        (lines, q, r) unit vectors of the companion.
    over_length, overlap, over_norm
        (m q, lines nodes) one over the length of the upright part, the column's projection on the companion, one over its length.
    over_size
        (q, lines) one over the companion's length; 0 where there is none.
    log_rates, reach
        (nodes,) centres in ln k and half the width of a patch.
    centres, gap
        (lines,) centres of the line's coordinate and half its width.
    shape
        m and q.
    """

    xp: Any
    beside: Any
    alone: Any
    companion: Any
    over_length: Any
    overlap: Any
    over_norm: Any
    over_size: Any
    log_rates: Any
    reach: float
    centres: Any
    gap: float
    shape: tuple[int, int]

    @property
    def n_nodes(self) -> int:
        """Number of nodes of ln k."""
        return self.log_rates.shape[0]

    def index(self, line: Any, node: Any) -> Any:
        """The number of a patch."""
        return line * self.n_nodes + node


def over_delays(bases: Bases, log_rates: np.ndarray, column: str, companion: str | None, there: Bases) -> Patches:
    """Patches whose lines are the cells between delays (one line without a delay).

    `column` is ``"exponential"`` or ``"integral"``, `companion` ``"plasma"``, ``"integral"`` or None; `log_rates` (nodes,) are even.
    `there` are `bases` where the fit runs.
    """
    late = bases.delays.size > 1
    moves = column == "exponential"
    # Neighbouring patches overlap, since the top can lie beyond half the way to the next node.
    reach = 0.75 * float(log_rates[1] - log_rates[0]) if moves else 0.0
    x, z = _points(8 if moves else 1), _points(5 if late else 1)
    rates = np.clip((log_rates[:, None] + reach * x).ravel(), *bases.log_rates)
    gap = float(bases.delays[1] - bases.delays[0]) / 2.0 if late else 0.0

    def line(index: int) -> Iterable[Vectors]:
        cell = bases.cell(index)
        for shift in z:
            at = np.array([cell.late_s - gap + gap * shift]) if late else None
            if moves:
                vectors = cell.at(rates, None if at is None else np.repeat(at, rates.size))[0]
            else:
                vectors = cell.integral(at)[0]
            if companion is None:
                yield vectors, 0.0 * vectors[:, :1]
            else:
                yield vectors, (cell.plasma if companion == "plasma" else cell.integral)(at)[0]

    centres = bases.delays[1:] - gap if late else np.zeros(1)
    return _patches(there, map(line, range(bases.n_cells)), log_rates, reach, x, z, centres, gap)


def over_pairs(bases: Bases, log_rates: np.ndarray, there: Bases) -> Patches:
    """Patches whose lines are the rates of a second, faster exponential; no delay."""
    # Half the way to the next node, so that the slower rate stays the slower one.
    reach = 0.5 * float(log_rates[1] - log_rates[0])
    x = z = _points(5)
    cell = bases.cell(0)
    vectors = cell.at((log_rates[:, None] + reach * x).ravel(), None)[0]
    line = lambda fast: ((vectors, cell.at(np.array([fast + reach * shift]), None)[0]) for shift in z)
    return _patches(there, map(line, log_rates), log_rates, reach, x, z, log_rates, reach)


def _points(count: int) -> np.ndarray:
    return -np.cos(np.pi * (np.arange(count) + 0.5) / count) if count > 1 else np.zeros(1)


def _patches(
    there: Bases,
    lines: Iterable[Iterable[Vectors]],
    log_rates: np.ndarray,
    reach: float,
    x: np.ndarray,
    z: np.ndarray,
    centres: np.ndarray,
    gap: float,
) -> Patches:
    """From the columns (r, nodes m) and the companion (r, 1) at every z of every line."""
    in_x, in_z = (np.linalg.inv(np.vander(v, v.size, increasing=True)) for v in (x, z))
    m, q = x.size, z.size

    def both(values: Sequence[np.ndarray]) -> np.ndarray:
        """Coefficients (nodes, m q, ...) from values at the points: q arrays (..., nodes m)."""
        grid = np.tensordot(in_z, np.stack(values), axes=(1, 0))
        grid = grid.reshape(*grid.shape[:-1], -1, m) @ in_x.T
        grid = np.moveaxis(grid, (-2, -1, 0), (0, 1, 2))
        return grid.reshape(grid.shape[0], m * q, *grid.shape[3:])

    tables: list[list[np.ndarray]] = [[] for _ in range(7)]
    for line in lines:
        rows: list[list[np.ndarray]] = [[] for _ in range(7)]
        for vectors, companion in line:
            size = float(np.linalg.norm(companion))
            unit = companion / size if size > 0 else companion
            overlap = unit.T @ vectors
            upright = vectors - unit * overlap
            norm = np.maximum(np.linalg.norm(vectors, axis=0), 1e-30)
            length = np.maximum(np.linalg.norm(upright, axis=0), 1e-9 * norm)
            found = (upright / length, vectors / norm, 1.0 / length, overlap[0], 1.0 / norm)
            for row, value in zip(rows, (*found, unit[:, 0], np.array(1.0 / size if size > 0 else 0.0))):
                row.append(value)
        for table, row in zip(tables[:5], rows[:5]):
            table.append(both(row))
        for table, row in zip(tables[5:], rows[5:]):
            table.append(np.tensordot(in_z, np.stack(row), axes=(1, 0)))
    beside, alone, over_length, overlap, over_norm, companion, over_size = (np.stack(t) for t in tables)
    whole = lambda table: there.device.put(table, there.dtype)
    flat = lambda table: whole(table.reshape(-1, m * q).T)
    return Patches(
        there.xp,
        whole(beside),
        whole(alone),
        whole(companion),
        flat(over_length),
        flat(overlap),
        flat(over_norm),
        whole(over_size.T),
        whole(log_rates),
        reach,
        whole(centres),
        gap,
        (m, q),
    )


def climb(
    patches: Patches, y: Any, patch: np.ndarray, kind: np.ndarray, start: Any, signed: bool = False
) -> tuple[Any, Any, Any, Any, Any]:
    """The top of each curve's patch.

    Parameters
    ----------
    y
        Curves in the subspace (r, n).
    patch
        (n,) numbers of their patches, rising; numpy.
    kind
        (n,) `PAIR`, `ALONE` or `COMPANION`; numpy. Where the top of a pair has a companion below 0, the column is taken alone.
    start
        (n,) z to begin at.
    signed
        Whether a companion may be below 0.

    Returns
    -------
    weight, other, log_rate, z, gain
        (n,) weights of the column and of the companion, ln k, the line's coordinate, and what they explain.
    """
    xp = patches.xp
    there = lambda v: subset(v, y)
    x, z, s, t, gain = _climb(patches, y, patch, kind, start)
    weight, other = _pair(patches, there(patch), x, z, s, t)
    odd = np.flatnonzero(kind == COMPANION)
    if odd.size:
        some = there(odd)
        weight[some] = 0.0
        other[some] = t[some] * _line(patches.over_size[:, there(patch[odd] // patches.n_nodes)], z[some])
    wrong = (kind == ALONE) if signed else (kind == ALONE) | (back((other < 0) | (weight < 0)) & (kind == PAIR))
    lone = np.flatnonzero(wrong)
    if lone.size:
        some = there(lone)
        alone = np.full(lone.size, ALONE)
        found = _climb(patches, y[:, some], patch[lone], alone, z[some])
        for whole, new in zip((x, z, s, t, gain), found):
            whole[some] = new
        norm = _value(patches.over_norm[:, there(patch[lone])].reshape(*patches.shape, -1), x[some], z[some])
        weight[some], other[some] = s[some] * norm, 0.0
    if not signed:
        weight, other = xp.clip(weight, 0.0, None), xp.clip(other, 0.0, None)
    at = there(patch)
    line, node = at // patches.n_nodes, at % patches.n_nodes
    return weight, other, patches.log_rates[node] + patches.reach * x, patches.centres[line] + patches.gap * z, gain


def climb_anywhere(
    patches: Patches, y: Any, line: np.ndarray, node: np.ndarray, kind: np.ndarray, signed: bool = False, walk: int = 0
) -> Any:
    """`climb` for patches in any order, and on into neighbouring ones, `walk` times at most, where the sum of squares falls towards them.

    Only pairs of exponentials walk, the faster one staying on a line above the slower one's node.

    Parameters
    ----------
    line, node
        (n,) of each curve's first patch; numpy.

    Returns
    -------
    (5, n), in the order of `climb`.
    """
    xp = patches.xp
    there = lambda v: subset(v, y)

    def sorted_climb(rows: np.ndarray, line: np.ndarray, node: np.ndarray) -> Any:
        patch = patches.index(line, node)
        order = np.argsort(patch, kind="stable")
        some = there(rows[order])
        found = xp.stack(climb(patches, y[:, some], patch[order], kind[rows[order]], 0.0 * y[0, some], signed))
        result = xp.empty_like(found)
        result[:, there(order)] = found
        return result

    best = sorted_climb(np.arange(line.size), line, node)
    walking = np.flatnonzero(kind == PAIR)
    line, node = line.copy(), node.copy()
    for _ in range(walk):
        here = back(best[2:4, there(walking)])
        x = (here[0] - back(patches.log_rates)[node[walking]]) / patches.reach
        z = (here[1] - back(patches.centres)[line[walking]]) / patches.gap
        to_node = node[walking] + np.where(np.abs(x) > _EDGE, np.sign(x), 0).astype(int)
        to_line = line[walking] + np.where(np.abs(z) > _EDGE, np.sign(z), 0).astype(int)
        moves = (to_node != node[walking]) | (to_line != line[walking])
        moves &= (to_node >= 0) & (to_node < to_line) & (to_line < patches.n_nodes)
        walking, to_line, to_node = walking[moves], to_line[moves], to_node[moves]
        if not walking.size:
            break
        found = sorted_climb(walking, to_line, to_node)
        higher = back(found[4] > best[4, there(walking)])
        walking, to_line, to_node = walking[higher], to_line[higher], to_node[higher]
        best[:, there(walking)] = found[:, there(np.flatnonzero(higher))]
        line[walking], node[walking] = to_line, to_node
    return best


def _pair(patches: Patches, at: Any, x: Any, z: Any, s: Any, t: Any) -> tuple[Any, Any]:
    """Weights of column and companion whose projections are s and t."""
    scalar = lambda table: _value(table[:, at].reshape(*patches.shape, -1), x, z)
    weight = s * scalar(patches.over_length)
    other = t - weight * scalar(patches.overlap)
    return weight, other * _line(patches.over_size[:, at // patches.n_nodes], z)


def _climb(patches: Patches, y: Any, patch: np.ndarray, kind: np.ndarray, start: Any) -> Any:
    """x, z, the projections on column and companion and what they explain, at the top; see `climb`."""
    xp = patches.xp
    m, q = patches.shape
    n = y.shape[1]
    new = (lambda *s: np.empty(s, y.dtype)) if xp is np else (lambda *s: y.new_empty(s))
    column, other = new(m * q, n), new(q, n)
    alone = kind.size > 0 and (kind == ALONE).all()
    edges = np.flatnonzero(np.diff(patch, prepend=-1, append=-1))
    for first, last in zip(edges[:-1], edges[1:]):
        line, node = divmod(int(patch[first]), patches.n_nodes)
        some = slice(int(first), int(last))
        column[:, some] = product((patches.alone if alone else patches.beside)[line, node], y[:, some])
        if not alone:
            other[:, some] = product(patches.companion[line], y[:, some])
    if alone:
        other[:] = 0.0
    elif (kind == COMPANION).any():
        odd = np.flatnonzero(kind == COMPANION)
        column[:, subset(odd, y)] = 0.0
    if q == 1:
        return _top_of_line(xp, column, other[0])
    return _top(xp, column.reshape(m, q, n), other, start)


def _top_of_line(xp: Any, column: Any, t: Any) -> tuple[Any, ...]:
    """`_top` where there is nothing to choose but x: coefficients (m, n), the companion's projection t (n,)."""
    x = 0.0 * t
    for _ in range(_STEPS if column.shape[0] > 1 else 0):
        value, first, second = _powers(column, x)
        # Towards a top of s^2, whatever its sign: where it bends the other way, uphill.
        bend = first * first + value * second
        slope = value * first
        move = xp.where(bend < 0, -slope / xp.where(bend < 0, bend, -1.0 + 0.0 * x), xp.sign(slope) * _LONGEST)
        x = xp.clip(x + xp.clip(move, -_LONGEST, _LONGEST), -1.0, 1.0)
    s = _powers(column, x)[0]
    return x, 0.0 * x, s, 1.0 * t, s * s + t * t


def _top(xp: Any, column: Any, other: Any, start: Any) -> Any:
    """x, z, both projections and what they explain (5, n) at the top of polynomials (m, q, n) and (q, n)."""
    m = column.shape[0]
    x, z, best = 0.0 * start, start, None
    for step in range(_STEPS + 1):
        s, s_x, s_xx, s_z, s_zz, s_xz = _values(column, x, z)
        t, t_z, t_zz = _powers(other, z)
        here = xp.stack([x, z, s, t, s * s + t * t])
        best = here if best is None else xp.where(here[4] > best[4], here, best)
        if step == _STEPS:
            return best
        f_x, f_z = s * s_x, s * s_z + t * t_z
        f_xx, f_zz = s_x * s_x + s * s_xx, s_z * s_z + s * s_zz + t_z * t_z + t * t_zz
        # A coordinate at the edge that is pushed outwards stays there.
        free_x = ((xp.abs(x) < 1.0) | (f_x * x <= 0)) & (m > 1)
        free_z = (xp.abs(z) < 1.0) | (f_z * z <= 0)
        cross = (s_x * s_z + s * s_xz) * (free_x & free_z)
        determinant = f_xx * f_zz - cross * cross
        joint = (f_xx < 0) & (f_zz < 0) & (determinant > 0)
        safe = xp.where(joint, determinant, 1.0 + 0.0 * x)
        to_x = xp.where(joint, (cross * f_z - f_zz * f_x) / safe, f_x / (xp.abs(f_xx) + 1e-30))
        to_z = xp.where(joint, (cross * f_x - f_xx * f_z) / safe, f_z / (xp.abs(f_zz) + 1e-30))
        x = xp.clip(x + free_x * xp.clip(to_x, -_LONGEST, _LONGEST), -1.0, 1.0)
        z = xp.clip(z + free_z * xp.clip(to_z, -_LONGEST, _LONGEST), -1.0, 1.0)
    return best


def _values(c: Any, x: Any, z: Any) -> tuple[Any, ...]:
    """Polynomials of coefficients c (m, q, n): value, and derivatives by x, x x, z, z z, x z."""
    value, first, second = _powers(c, x)
    v, v_z, v_zz = _powers(value, z)
    d, d_z, _ = _powers(first, z)
    return v, d, _line(second, z), v_z, v_zz, d_z


def _powers(c: Any, x: Any) -> tuple[Any, Any, Any]:
    """Value and both derivatives of polynomials of coefficients c (m, ..., n)."""
    value, first, second = 1.0 * c[-1], 0.0 * c[-1], 0.0 * c[-1]
    for i in range(c.shape[0] - 2, -1, -1):
        second *= x
        second += first
        first *= x
        first += value
        value *= x
        value += c[i]
    second *= 2.0
    return value, first, second


def _line(c: Any, x: Any) -> Any:
    """Value of polynomials of coefficients c (m, ..., n)."""
    value = 1.0 * c[-1]
    for i in range(c.shape[0] - 2, -1, -1):
        value *= x
        value += c[i]
    return value


def _value(c: Any, x: Any, z: Any) -> Any:
    return _line(_line(c, x), z)
