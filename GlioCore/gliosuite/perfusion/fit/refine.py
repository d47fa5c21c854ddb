"""From the best node of a search grid to the local maximum next to it (DCE), without touching the curves again.

Around every node the unit vectors that the search compares a curve with are expanded as polynomials in two coordinates: ln k of the first
basis function, and the delay or the second one's own ln k. A curve's projections on them are polynomials too: one matrix product gives
their coefficients, and the maximum of the explained sum of squares is found by Newton's iteration on scalars. The result is so near the
optimum that one look at the curve itself is mostly enough to be sure of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ...compute import back, product, subset
from .bases import Bases

BOTH, FIRST, SECOND = 0, 1, 2  # which of a node's two basis functions have a weight
_STEPS = 4  # of Newton's method; chosen, because it doubles the digits at every step, and the polish follows
_LONGEST = 0.8  # step, of half the expansion's width; chosen, so that one step from the centre stays within
_EDGE = 0.999  # of half the width: a maximum so far out may go on beyond
# Points per coordinate (Chebyshev nodes): ln k over one and a half node spacings, the delay over one cell, both ln k of a rate pair over
# one spacing. Chosen as the fewest with which the maximum lies as near to the optimum as test_refine asks for.
_POINTS_RATE, _POINTS_DELAY, _POINTS_PAIR = 8, 5, 5

Vectors = tuple[np.ndarray, np.ndarray]


class Local(NamedTuple):
    """A curve's local maximum (n,): weights of both basis functions, ln k, the line's coordinate, and the sum of squares explained."""

    weight: Any
    second_weight: Any
    log_rate: Any
    z: Any
    explained: Any


@dataclass(frozen=True)
class Expansions:
    """Polynomials around the nodes of a grid of `lines` times `nodes`, with coefficients (m, q) of x and z, which run from -1 to 1.

    x runs over ln k of the first basis function around its node, z over the grid line's own coordinate: the delay within a cell, or ln k of
    a faster exponential.

    Attributes
    ----------
    orthogonal, first
        (lines, nodes, m q, r) unit vectors of the first basis function, orthogonalised against the second, and as it is.
    second
        (lines, q, r) unit vectors of the second basis function.
    inverse_length, overlap, inverse_norm
        (m q, lines nodes) one over the length of the orthogonalised first basis function, its projection on the second, one over its own
        length.
    inverse_second_length
        (q, lines) one over the length of the second; 0 where there is none.
    log_rates, half_width
        (nodes,) centres in ln k and half the width of an expansion; of those nodes that there are tables of.
    line_centres, line_half_width
        (lines,) centres of the line's coordinate and half its width.
    shape
        m and q.
    position, node_position
        Where a line, and a node, stands among those that there are tables of; -1 for the rest.
    """

    xp: Any
    orthogonal: Any
    first: Any
    second: Any
    inverse_length: Any
    overlap: Any
    inverse_norm: Any
    inverse_second_length: Any
    log_rates: Any
    half_width: float
    line_centres: Any
    line_half_width: float
    shape: tuple[int, int]
    position: np.ndarray
    node_position: np.ndarray

    @property
    def n_nodes(self) -> int:
        """Number of nodes of ln k that there are tables of."""
        return self.log_rates.shape[0]

    def index(self, line: Any, node: Any) -> Any:
        """The number of an expansion."""
        return self.position[line] * self.n_nodes + self.node_position[node]

    def joined(self, other: "Expansions") -> "Expansions":
        """With those of other lines of the same grid, and the same nodes."""
        xp = self.xp
        tables: dict[str, Any] = {}
        for axis, names in (
            (0, ("orthogonal", "first", "second", "line_centres")),
            (1, ("inverse_length", "overlap", "inverse_norm", "inverse_second_length")),
        ):
            tables |= {n: xp.concatenate([getattr(self, n), getattr(other, n)], axis=axis) for n in names}
        count = self.line_centres.shape[0]
        position = np.where(other.position >= 0, other.position + count, self.position)
        return replace(self, position=position, **tables)


# --------------------------------------------------------------------------------------------------------------- tables


class _Axes(NamedTuple):
    """The two coordinates of expansions: nodes of ln k and points x around them, points z along each grid line."""

    log_rates: np.ndarray
    half_width: float
    x: np.ndarray
    z: np.ndarray
    line_centres: np.ndarray
    line_half_width: float

    @property
    def rates_at_points(self) -> np.ndarray:
        """ln k (nodes m,) at every point of every node."""
        return (self.log_rates[:, None] + self.half_width * self.x).ravel()


def expand_over_delays(
    bases: Bases,
    log_rates: np.ndarray,
    first: str,
    second: str | None,
    device_bases: Bases,
    cells: np.ndarray,
    nodes: np.ndarray | None = None,
) -> Expansions:
    """Expansions whose lines are cells between delays (one line without a delay), of those in `cells` and, of the rates, `nodes` or all.

    `first` is ``"exponential"`` or ``"integral"``, `second` ``"plasma"``, ``"integral"`` or None; `log_rates` (nodes,) are even.
    `device_bases` are `bases` where the fit runs.
    """
    has_delay = bases.delays.size > 1
    has_rate = first == "exponential"
    line_half_width = float(bases.delays[1] - bases.delays[0]) / 2.0 if has_delay else 0.0
    nodes = np.arange(log_rates.size) if nodes is None else nodes
    axes = _Axes(
        log_rates[nodes],
        # Neighbours overlap, since the maximum can lie beyond half the way to the next node.
        0.75 * float(log_rates[1] - log_rates[0]) if has_rate else 0.0,
        _points(_POINTS_RATE if has_rate else 1),
        _points(_POINTS_DELAY if has_delay else 1),
        bases.delays[cells + 1] - line_half_width if has_delay else np.zeros(1),
        line_half_width,
    )
    rates = np.clip(axes.rates_at_points, *bases.log_rates)
    count = axes.z.size

    def line(index: int) -> Vectors:
        cell = bases.cell(index)
        at = cell.late_s - line_half_width + line_half_width * axes.z if has_delay else None
        if has_rate:
            vectors = cell.at(np.tile(rates, count), None if at is None else np.repeat(at, rates.size))[0]
            vectors = vectors.reshape(-1, count, rates.size).swapaxes(0, 1)
        else:
            vectors = cell.integral(at)[0].T[:, :, None]
        if second is None:
            return vectors, np.zeros(vectors.shape[:2])
        return vectors, (cell.plasma if second == "plasma" else cell.integral)(at)[0].T

    position, node_position = np.full(bases.n_cells, -1), np.full(log_rates.size, -1)
    position[cells], node_position[nodes] = np.arange(cells.size), np.arange(nodes.size)
    return _expand(device_bases, map(line, cells.tolist()), axes, position, node_position)


def expand_over_rates(bases: Bases, log_rates: np.ndarray, device_bases: Bases) -> Expansions:
    """Expansions whose lines are the rates of a second, faster exponential; no delay."""
    # Half the way to the next node, so that the slower rate stays the slower one.
    half_width = 0.5 * float(log_rates[1] - log_rates[0])
    points = _points(_POINTS_PAIR)
    axes = _Axes(log_rates, half_width, points, points, log_rates, half_width)
    cell = bases.cell(0)
    vectors = np.repeat(cell.at(axes.rates_at_points, None)[0][None], points.size, axis=0)
    line = lambda fast: (vectors, cell.at(fast + half_width * points, None)[0].T)
    every = np.arange(log_rates.size)
    return _expand(device_bases, map(line, log_rates), axes, every, every)


def _points(count: int) -> np.ndarray:
    return -np.cos(np.pi * (np.arange(count) + 0.5) / count) if count > 1 else np.zeros(1)


def _expand(
    device_bases: Bases, lines: Iterable[Vectors], axes: _Axes, position: np.ndarray, node_position: np.ndarray
) -> Expansions:
    """From the first basis functions (q, r, nodes m) and the second one (q, r) at every z of every line."""
    from_x, from_z = (np.linalg.inv(np.vander(v, v.size, increasing=True)) for v in (axes.x, axes.z))
    m, q = axes.x.size, axes.z.size

    def along_z(values: np.ndarray) -> np.ndarray:
        """Coefficients (q, ...) from values at the points z."""
        return (from_z @ values.reshape(q, -1)).reshape(values.shape)

    def along_both(values: np.ndarray) -> np.ndarray:
        """Coefficients (nodes, m q, ...) from values (q, ..., nodes m) at the points."""
        grid = along_z(values)
        grid = grid.reshape(*grid.shape[:-1], -1, m) @ from_x.T
        grid = np.moveaxis(grid, (-2, -1, 0), (0, 1, 2))
        return grid.reshape(grid.shape[0], m * q, *grid.shape[3:])

    tables = []
    for vectors in lines:
        tables.append([(along_both if i < 5 else along_z)(v) for i, v in enumerate(_directions(*vectors))])
    orthogonal, first, inverse_length, overlap, inverse_norm, second, inverse_second = map(np.stack, zip(*tables))
    there = lambda table: device_bases.device.put(table, device_bases.dtype)
    by_expansion = lambda table: there(table.reshape(-1, m * q).T)
    return Expansions(
        device_bases.xp,
        there(orthogonal),
        there(first),
        there(second),
        by_expansion(inverse_length),
        by_expansion(overlap),
        by_expansion(inverse_norm),
        there(inverse_second.T),
        there(axes.log_rates),
        axes.half_width,
        there(axes.line_centres),
        axes.line_half_width,
        (m, q),
        position,
        node_position,
    )


def _directions(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, ...]:
    """What `Expansions` expands, in its order: (q, r, nodes m), (q, nodes m), and for the second (q, r), (q,)."""
    second_length = np.linalg.norm(second, axis=1)
    empty = second_length <= 0
    inverse_second = np.where(empty, 0.0, 1.0 / np.where(empty, 1.0, second_length))
    unit = second * inverse_second[:, None]
    overlap = (unit[:, None] @ first)[:, 0]
    orthogonal = first - unit[:, :, None] * overlap[:, None]
    norm = np.maximum(np.sqrt(np.einsum("qrn,qrn->qn", first, first)), 1e-30)
    length = np.sqrt(np.einsum("qrn,qrn->qn", orthogonal, orthogonal))
    inverse_length, inverse_norm = 1.0 / np.maximum(length, 1e-9 * norm), 1.0 / norm
    first_unit = first * inverse_norm[:, None]
    return orthogonal * inverse_length[:, None], first_unit, inverse_length, overlap, inverse_norm, unit, inverse_second


# ----------------------------------------------------------------------------------------------------------- the maximum


def maximise(
    expansions: Expansions, y: Any, expansion: np.ndarray, kind: np.ndarray, start: Any, signed: bool = False
) -> Local:
    """The maximum of what each curve's expansion explains.

    Parameters
    ----------
    y
        Curves in the subspace (r, n).
    expansion
        (n,) numbers of their expansions, rising; numpy.
    kind
        (n,) `BOTH`, `FIRST` or `SECOND`; numpy. Where both would need a weight below 0, the first basis function is taken alone.
    start
        (n,) z to begin at.
    signed
        Whether weights may be below 0.
    """
    xp = expansions.xp
    indices = lambda v: subset(v, y)
    x, z, s, t, explained = _maximum(expansions, y, expansion, kind, start)
    weight, second_weight = _weights(expansions, indices(expansion), x, z, s, t)
    second_only = np.flatnonzero(kind == SECOND)
    if second_only.size:
        some = indices(second_only)
        weight[some] = 0.0
        line = indices(expansion[second_only] // expansions.n_nodes)
        second_weight[some] = t[some] * _polynomial(expansions.inverse_second_length[:, line], z[some])
    takes_first = kind == FIRST
    if not signed:
        takes_first |= back((second_weight < 0) | (weight < 0)) & (kind == BOTH)
    first_only = np.flatnonzero(takes_first)
    if first_only.size:
        some = indices(first_only)
        alone = np.full(first_only.size, FIRST)
        found = _maximum(expansions, y[:, some], expansion[first_only], alone, z[some])
        for whole, new in zip((x, z, s, t, explained), found):
            whole[some] = new
        inverse_norm = expansions.inverse_norm[:, indices(expansion[first_only])].reshape(*expansions.shape, -1)
        weight[some], second_weight[some] = s[some] * _polynomial_2d(inverse_norm, x[some], z[some]), 0.0
    if not signed:
        weight, second_weight = xp.clip(weight, 0.0, None), xp.clip(second_weight, 0.0, None)
    at = indices(expansion)
    line, node = at // expansions.n_nodes, at % expansions.n_nodes
    log_rate = expansions.log_rates[node] + expansions.half_width * x
    z = expansions.line_centres[line] + expansions.line_half_width * z
    return Local(weight, second_weight, log_rate, z, explained)


def maximise_unsorted(
    expansions: Expansions, y: Any, line: np.ndarray, node: np.ndarray, kind: np.ndarray, signed: bool = False
) -> Local:
    """`maximise` for expansions in any order: (n,) lines and nodes; numpy."""
    expansion = expansions.index(line, node)
    order = np.argsort(expansion, kind="stable")
    some = subset(order, y)
    xp = expansions.xp
    found = xp.stack(maximise(expansions, y[:, some], expansion[order], kind[order], 0.0 * y[0, some], signed))
    result = xp.empty_like(found)
    result[:, some] = found
    return Local(*result)


def maximise_rate_pairs(
    expansions: Expansions, y: Any, line: np.ndarray, node: np.ndarray, kind: np.ndarray, most_crossings: int
) -> Local:
    """`maximise_unsorted` for pairs of exponentials, and on into neighbouring expansions where the sum of squares falls towards them.

    The faster one stays on a line above the slower one's node; expansions are crossed at most `most_crossings` times.
    """
    indices = lambda v: subset(v, y)
    best = expansions.xp.stack(maximise_unsorted(expansions, y, line, node, kind))
    crossing = np.flatnonzero(kind == BOTH)
    line, node = line.copy(), node.copy()
    for _ in range(most_crossings):
        here = back(best[2:4, indices(crossing)])
        x = (here[0] - back(expansions.log_rates)[node[crossing]]) / expansions.half_width
        z = (here[1] - back(expansions.line_centres)[line[crossing]]) / expansions.line_half_width
        to_node = node[crossing] + np.where(np.abs(x) > _EDGE, np.sign(x), 0).astype(int)
        to_line = line[crossing] + np.where(np.abs(z) > _EDGE, np.sign(z), 0).astype(int)
        crosses = (to_node != node[crossing]) | (to_line != line[crossing])
        crosses &= (to_node >= 0) & (to_node < to_line) & (to_line < expansions.n_nodes)
        crossing, to_line, to_node = crossing[crosses], to_line[crosses], to_node[crosses]
        if not crossing.size:
            break
        found = maximise_unsorted(expansions, y[:, indices(crossing)], to_line, to_node, kind[crossing])
        higher = back(found.explained > best[4, indices(crossing)])
        crossing, to_line, to_node = crossing[higher], to_line[higher], to_node[higher]
        best[:, indices(crossing)] = expansions.xp.stack(found)[:, indices(np.flatnonzero(higher))]
        line[crossing], node[crossing] = to_line, to_node
    return Local(*best)


def _weights(expansions: Expansions, at: Any, x: Any, z: Any, s: Any, t: Any) -> tuple[Any, Any]:
    """Weights of the two basis functions whose projections are s (on the orthogonalised first) and t (on the second)."""
    scalar = lambda table: _polynomial_2d(table[:, at].reshape(*expansions.shape, -1), x, z)
    weight = s * scalar(expansions.inverse_length)
    second_weight = t - weight * scalar(expansions.overlap)
    line = at // expansions.n_nodes
    return weight, second_weight * _polynomial(expansions.inverse_second_length[:, line], z)


def _maximum(expansions: Expansions, y: Any, expansion: np.ndarray, kind: np.ndarray, start: Any) -> Any:
    """x, z, the projections on both basis functions and what they explain, at the maximum; see `maximise`."""
    xp = expansions.xp
    m, q = expansions.shape
    n = y.shape[1]
    new = (lambda *s: np.empty(s, y.dtype)) if xp is np else (lambda *s: y.new_empty(s))
    first, second = new(m * q, n), new(q, n)
    alone = kind.size > 0 and (kind == FIRST).all()
    edges = np.flatnonzero(np.diff(expansion, prepend=-1, append=-1))
    for begin, end in zip(edges[:-1], edges[1:]):
        line, node = divmod(int(expansion[begin]), expansions.n_nodes)
        some = slice(int(begin), int(end))
        first[:, some] = product((expansions.first if alone else expansions.orthogonal)[line, node], y[:, some])
        if not alone:
            second[:, some] = product(expansions.second[line], y[:, some])
    if alone:
        second[:] = 0.0
    elif (kind == SECOND).any():
        first[:, subset(np.flatnonzero(kind == SECOND), y)] = 0.0
    if q == 1:
        return _maximum_1d(xp, first, second[0])
    return _maximum_2d(xp, first.reshape(m, q, n), second, start)


def _maximum_1d(xp: Any, first: Any, t: Any) -> tuple[Any, ...]:
    """`_maximum_2d` where there is nothing to choose but x: coefficients (m, n), projection on the second basis function t (n,)."""
    x = 0.0 * t
    for _ in range(_STEPS if first.shape[0] > 1 else 0):
        value, by_x, by_xx = _derivatives(first, x)
        # Towards a maximum of s^2, whatever its sign: where the curvature is positive, uphill.
        bend = by_x * by_x + value * by_xx
        slope = value * by_x
        move = xp.where(bend < 0, -slope / xp.where(bend < 0, bend, -1.0 + 0.0 * x), xp.sign(slope) * _LONGEST)
        x = xp.clip(x + xp.clip(move, -_LONGEST, _LONGEST), -1.0, 1.0)
    s = _derivatives(first, x)[0]
    return x, 0.0 * x, s, 1.0 * t, s * s + t * t


def _maximum_2d(xp: Any, first: Any, second: Any, start: Any) -> Any:
    """x, z, both projections and what they explain (5, n) at the maximum of s^2 + t^2, polynomials (m, q, n) and (q, n)."""
    m = first.shape[0]
    x, z, best = 0.0 * start, start, None
    for step in range(_STEPS + 1):
        s, s_x, s_xx, s_z, s_zz, s_xz = _derivatives_2d(first, x, z)
        t, t_z, t_zz = _derivatives(second, z)
        here = xp.stack([x, z, s, t, s * s + t * t])
        best = here if best is None else xp.where(here[4] > best[4], here, best)
        if step == _STEPS:
            break
        f_x, f_z = s * s_x, s * s_z + t * t_z
        f_xx, f_zz = s_x * s_x + s * s_xx, s_z * s_z + s * s_zz + t_z * t_z + t * t_zz
        # A coordinate on its bound whose gradient points outwards stays there.
        x_is_free = ((xp.abs(x) < 1.0) | (f_x * x <= 0)) & (m > 1)
        z_is_free = (xp.abs(z) < 1.0) | (f_z * z <= 0)
        cross = (s_x * s_z + s * s_xz) * (x_is_free & z_is_free)
        determinant = f_xx * f_zz - cross * cross
        concave = (f_xx < 0) & (f_zz < 0) & (determinant > 0)
        safe = xp.where(concave, determinant, 1.0 + 0.0 * x)
        to_x = xp.where(concave, (cross * f_z - f_zz * f_x) / safe, f_x / (xp.abs(f_xx) + 1e-30))
        to_z = xp.where(concave, (cross * f_x - f_xx * f_z) / safe, f_z / (xp.abs(f_zz) + 1e-30))
        x = xp.clip(x + x_is_free * xp.clip(to_x, -_LONGEST, _LONGEST), -1.0, 1.0)
        z = xp.clip(z + z_is_free * xp.clip(to_z, -_LONGEST, _LONGEST), -1.0, 1.0)
    return best


def _derivatives_2d(c: Any, x: Any, z: Any) -> tuple[Any, ...]:
    """Polynomials of coefficients c (m, q, n): value, and derivatives by x, x x, z, z z, x z."""
    value, first, second = _derivatives(c, x)
    v, v_z, v_zz = _derivatives(value, z)
    d, d_z, _ = _derivatives(first, z)
    return v, d, _polynomial(second, z), v_z, v_zz, d_z


def _derivatives(c: Any, x: Any) -> tuple[Any, Any, Any]:
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


def _polynomial(c: Any, x: Any) -> Any:
    """Value of polynomials of coefficients c (m, ..., n)."""
    value = 1.0 * c[-1]
    for i in range(c.shape[0] - 2, -1, -1):
        value *= x
        value += c[i]
    return value


def _polynomial_2d(c: Any, x: Any, z: Any) -> Any:
    return _polynomial(_polynomial(c, x), z)
