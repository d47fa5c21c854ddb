"""The kinetic fit of many voxels, block by block in threads or on a CUDA device: project, search, polish, and what follows from it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import Device, back, blocks, cast, choose_device, dots, each, product, product_rows, subset
from ...steps import Progress, part
from .bases import Bases
from .cells import Nodes, best_cells
from .models import KINETIC, with_flow
from .polish import SINGLE, polish
from .starts import Starts
from .uncertainty import UNKNOWN, covariance, misfit_limit, natural, widen_by_profile

_SLAB = 2**20  # voxels whose coordinates are held at a time: bounds the memory
_BLOCK = 2**16  # voxels per task: small ones wait for the interpreter, large ones leave the cache
_BLOCK_EXCHANGE = 100_000  # models that take many short steps
_BLOCK_MIXED = 1024  # voxels of different cells, whose tables are larger than the voxels
_NEAR = 1e-2  # of the residual: two places of which the next may turn out to be the lower one
_APART = 0.05  # of a parameter
_MOVES = 8  # how often a voxel may go on to a neighbouring cell between delays


@dataclass(frozen=True)
class Fitted:
    """Parameters (float64), standard deviations (float32), sum of squares and misfit of all voxels; NaN where a curve is not finite."""

    values: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    sse: np.ndarray
    misfit: np.ndarray


def fit_blocks(
    curves: np.ndarray,
    bases: Bases,
    name: str,
    delay: bool,
    limits: Mapping[str, tuple[float, float]],
    device: str,
    progress: Progress,
) -> Fitted:
    """Fit the model `name` to curves (n, t)."""
    n = curves.shape[0]
    fit = _Fit(choose_device(device), bases, name, delay, limits, n, curves.dtype == np.float32)
    for slab in blocks(n, _SLAB):
        share = part(progress, slab.start / n, slab.stop / n)
        _fit_slab(fit, curves[slab], slab.start, share)
    return Fitted(fit.values, fit.sd, fit.sse, fit.misfit)


class _Fit:
    """What all blocks of one fit share, and the arrays that they fill."""

    def __init__(
        self,
        device: Device,
        bases: Bases,
        name: str,
        delay: bool,
        limits: Mapping[str, tuple[float, float]],
        n: int,
        short: bool,
    ) -> None:
        self.device, self.xp, self.name, self.delay = device, device.xp, name, delay
        self.model = KINETIC[name]
        self.bases = bases.to(device)
        # The way to near the optimum is gone in single precision, which takes half the time, and ended in double. Frames that come in
        # single precision stay so: their projections lose a thousandth of what noise does to them. With a delay, on the corners between
        # cells, rounding would decide which side is taken.
        self.quick = self.bases if delay else bases.to(device, "float32")
        self.short = short and not delay
        self.dtype = "float32" if self.short else "float64"
        self.directions = (self.quick if self.short else self.bases).directions
        self.names = [*self.model.names, "delay"] if delay else list(self.model.names)
        box = [tuple(np.log(limits["kep"])) if m == "log_kep" else limits[m] for m in self.names]
        self.lowest, self.highest = np.array(box, np.float64).T
        weights = [m for m in self.model.names if m in ("ktrans", "ps", "vp")]
        self.signed = name in ("tofts", "etm", "patlak") and all(limits[m][0] < 0 for m in weights)
        self.starts = Starts(name, bases, self.signed, self.quick)
        # What the exchange models become where flow is beyond their bounds: the best pair of exponentials may be none they can have.
        limit = {"2cxm": "etm", "2cum": "patlak"}.get(name)
        self.limit = Starts(limit, bases, False, self.quick) if limit and not delay else None
        self.values: dict[str, np.ndarray] = {}
        self.sd: dict[str, np.ndarray] = {}
        self.sse = np.full(n, np.nan)
        self.misfit = np.zeros(n, bool)
        self.n = n
        self.lock = threading.Lock()
        self.block = device.block if device.place else _BLOCK_EXCHANGE if self.model.exchange else _BLOCK

    def place(self, store: dict[str, np.ndarray], name: str, rows: Any, values: Any, kind: type) -> None:
        """Put a block's result where it belongs; the array is made by the first block."""
        if name not in store:
            with self.lock:
                store.setdefault(name, np.full(self.n, np.nan, kind))
        store[name][rows] = back(values)


@dataclass(frozen=True)
class _State:
    """What is known of the voxels of a slab until they are done.

    With a delay, their coordinates (r, n); sum of squares, parameters, and cell between delays.
    """

    fit: _Fit
    y: Any
    energy: np.ndarray
    start: np.ndarray
    cell: np.ndarray
    came_from: np.ndarray
    curves: np.ndarray
    offset: int


def _fit_slab(fit: _Fit, curves: np.ndarray, offset: int, progress: Progress) -> None:
    n = curves.shape[0]
    y = np.empty((fit.directions.shape[1], n if fit.delay else 0))
    state = _State(
        fit,
        fit.device.put(y),
        np.full(n, np.nan),
        np.empty((len(fit.names), n)),
        np.zeros(n, np.int64),
        np.full(n, -1),
        curves,
        offset,
    )
    if not fit.delay:
        # What a block needs is still in the cache when it is polished.
        def work(rows: slice) -> tuple[np.ndarray, ...]:
            index, block, y, close, second = _start(state, rows)
            return _polish(state, 0, index, block, y, False), close, second

        found = each(work, list(blocks(n, fit.block)), part(progress, 0, 0.8), f"fitting {fit.name}")
        left, close, second = (np.concatenate(of, axis=-1) for of in zip(*found))
        _polish_all(state, left, part(progress, 0.8, 0.9))
        state.start[:, close] = second
        _polish_all(state, close, part(progress, 0.9, 1.0))
        return
    found = each(lambda rows: _search(state, rows), list(blocks(n, fit.block)), part(progress, 0, 0.2), "searching")
    rows, start, cell = _choose_cells(state, found, part(progress, 0.2, 0.4))
    _polish_all(state, np.flatnonzero(np.isfinite(state.energy)), part(progress, 0.4, 0.9))
    state.start[:, rows], state.cell[rows], state.came_from[rows] = start, cell, -1
    _polish_all(state, rows, part(progress, 0.9, 1.0))


def _polish_all(state: _State, waiting: np.ndarray, progress: Progress) -> None:
    """Polish voxels, each in its cell between delays, until they are done or have moved on too often."""
    fit = state.fit
    for move in range(_MOVES + 1):
        if not waiting.size:
            break
        mixed = fit.delay and waiting.size <= 2 * _BLOCK_MIXED
        if mixed:
            # A few voxels here and there: all cells at once, each voxel with the tables of its own.
            tasks = [(state.cell[waiting[rows]], waiting[rows]) for rows in blocks(waiting.size, _BLOCK_MIXED)]
        else:
            order = waiting[np.argsort(state.cell[waiting], kind="stable")]
            edges = np.searchsorted(state.cell[order], np.arange(fit.bases.n_cells + 1))
            tasks = [
                (cell, order[a:b][rows])
                for cell, (a, b) in enumerate(zip(edges[:-1], edges[1:]))
                for rows in blocks(b - a, fit.block)
            ]
        last = move == _MOVES
        whole = not fit.delay or mixed

        def work(task: tuple[int | np.ndarray, np.ndarray], whole: bool = whole, last: bool = last) -> np.ndarray:
            cell, rows = task
            block = fit.device.put(state.curves[rows], fit.dtype)
            y = product(fit.directions.T, block.T)
            return _polish(state, cell, rows, block, y, whole, last)

        share = progress if not move else part(progress, 1.0, 1.0)
        waiting = np.concatenate(each(work, tasks, share, f"fitting {fit.name}"))


def _coordinates(state: _State, rows: slice) -> tuple[np.ndarray, Any, Any]:
    """Indices of the voxels of a block that can be fitted, their curves, and coordinates (r, n), both in the frames' precision."""
    fit, xp = state.fit, state.fit.xp
    block = fit.device.put(state.curves[rows], fit.dtype)
    energy = xp.einsum("nt,nt->n", block, block)
    index = np.arange(rows.start, rows.stop)
    if not bool(xp.isfinite(energy).all()):
        keep = xp.where(xp.isfinite(energy))[0]
        block, energy, index = block[keep], energy[keep], index[back(keep)]
        rows = index
    state.energy[rows] = back(energy)
    return index, block, product(fit.directions.T, block.T)


def _start(state: _State, rows: slice) -> tuple[np.ndarray, Any, Any, np.ndarray, np.ndarray]:
    """Voxels of a block that can be fitted, their curves and coordinates; their starts are found, without a delay.

    Then voxels that have a second start which only the polish can tell from the first, and these starts.
    """
    index, block, exact = _coordinates(state, rows)
    fit = state.fit
    y = cast(exact, single=True)
    starts = fit.starts.find(y)
    if fit.limit is None:
        state.start[:, index] = back(starts[0])
        return index, block, exact, index[:0], state.start[:, :0]
    (slower,) = fit.limit.find(y)
    starts.append(with_flow(fit.xp, fit.name, slower, float(fit.highest[0])))
    first, second, near = _two_lowest(fit, y, starts, fit.device.put(state.energy[index], "float32"))
    state.start[:, index] = back(first)
    near = back(near)
    return index, block, exact, index[near], back(second)[:, near]


def _two_lowest(fit: _Fit, y: Any, starts: list[Any], energy: Any) -> tuple[Any, Any, Any]:
    """Where rough polishing leads to from starts (p, n): the lowest place, the next, and where (n,) that one is as good but elsewhere."""
    xp, cell = fit.xp, fit.quick.cell(0)
    low, high = (fit.device.put(v[:, None], "float32") for v in (fit.lowest, fit.highest))
    first = least = second = higher = None
    for start in starts:
        start = xp.clip(start, low, high)
        p, _, _, curve, _ = polish(cell, fit.model, y, 0.0 * y[0], start, low, high, False, False, SINGLE)
        left = ((y - curve) ** 2).sum(0)
        if first is None:
            first, least, second, higher = p, left, p, left + xp.inf
            continue
        lower, between = left < least, (left >= least) & (left < higher)
        second = xp.where(lower, first, xp.where(between, p, second))
        higher = xp.where(lower, least, xp.where(between, left, higher))
        first, least = xp.where(lower, p, first), xp.where(lower, left, least)
    apart = (xp.abs(second - first) > _APART * (xp.abs(first) + _APART * (high - low))).any(0)
    rest = xp.clip(energy - (y * y).sum(0), 0.0, None)
    return first, second, apart & (higher - least < _NEAR * (least + rest))


def _search(state: _State, rows: slice) -> tuple[Nodes, Nodes] | None:
    """Coordinates of a block of voxels, and the nodes to start from: the best, and other hills; None where the nodes are the starts."""
    fit = state.fit
    index, _, y = _coordinates(state, rows)
    state.y[:, index] = y
    if fit.starts.patches is None:
        start, late = fit.starts.find_with_delay(y)
        state.start[:-1, index], state.start[-1, index] = back(start), back(late)
        return None
    found, late, rate = fit.starts.coarse(y, fit.device.put(state.energy[index]))
    row, node, kind = found.hills
    best = Nodes(index, back(late), back(rate), found.kind)
    return best, Nodes(index[row], *np.divmod(node, fit.starts.log_rates.size), kind)


def _choose_cells(
    state: _State, found: list[tuple[Nodes, Nodes] | None], progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, and the cells they lie in; returns voxels that have a second one, these, and their cells."""
    fit, delays = state.fit, state.fit.bases.delays
    if found[0] is None:
        inside = np.clip(state.start[-1], fit.lowest[-1], fit.highest[-1])
        state.cell[:] = np.clip(np.searchsorted(delays, inside, side="right") - 1, 0, fit.bases.n_cells - 1)
        return np.empty(0, np.int64), state.start[:, :0], state.cell[:0]
    best, hills = (Nodes(*(np.concatenate(p) for p in zip(*(vars(n).values() for n in part)))) for part in zip(*found))
    first, close, second = best_cells(fit.starts, state.y, state.energy, best, hills, fit.block, progress)
    rows = best.voxel
    state.start[:, rows], state.cell[rows] = first.start, first.cell
    return rows[close], second.start, second.cell


def _polish(
    state: _State, cell_index: int | np.ndarray, rows: np.ndarray, block: Any, y: Any, whole: bool, last: bool = False
) -> np.ndarray:
    """Polish a block in one cell between delays (or each voxel in its own) and store it; returns the voxels that are not done."""
    fit, xp = state.fit, state.fit.xp
    if not rows.size:
        return rows
    cell = fit.bases.cell(cell_index)
    lowest, highest = fit.lowest[:, None], fit.highest[:, None]
    if fit.delay:
        late, gap = fit.bases.delays[np.asarray(cell_index) + 1], cell.gap_s
        lowest, highest = (np.tile(v, np.size(late)) for v in (lowest, highest))
        lowest[-1], highest[-1] = np.maximum(lowest[-1], late - gap), np.minimum(highest[-1], late)
    low, high = (fit.device.put(v) for v in (lowest, highest))
    y = cast(y, single=False)
    start = xp.clip(fit.device.put(state.start[:, rows]), low, high)
    outside = xp.clip(fit.device.put(state.energy[rows]) - dots(xp, y, y), 0.0, None)
    p, gradient, curvature, curve, left = polish(cell, fit.model, y, outside, start, low, high, fit.delay, whole)
    move = np.zeros(rows.size, np.int64)
    if fit.delay and not last:
        late, slope = back(p[-1]), back(gradient[-1])
        move -= (late <= lowest[-1]) & (slope < 0) & (lowest[-1] > fit.lowest[-1])
        move += (late >= highest[-1]) & (slope > 0) & (highest[-1] < fit.highest[-1])
        move[cell_index + move == state.came_from[rows]] = 0  # an optimum on the corner between two cells
    open_ = move != 0
    open_[back(left)] = True
    if open_.any():
        again = rows[open_]
        state.start[:, again] = back(p)[:, open_]
        here = np.broadcast_to(cell_index, rows.shape)[open_]
        state.came_from[again] = np.where(move[open_] != 0, here, state.came_from[again])
        state.cell[again] = here + move[open_]
    else:
        again = rows[:0]
    # Voxels that are not done yet are stored with the rest, since picking them out would copy all of them.
    _store(fit, cell_index, rows + state.offset, block, y, curve, curvature, p)
    return again


def _store(
    fit: _Fit, index: int | np.ndarray, rows: np.ndarray, block: Any, y: Any, curve: Any, curvature: Any, p: Any
) -> None:
    xp = fit.xp
    residual = product_rows(cast(curve, fit.short), -fit.directions.T)
    residual += block
    sse = cast(xp.einsum("nt,nt->n", residual, residual), single=False)
    before = fit.sse[rows]
    if np.isfinite(before).any():
        # A second start: what was found from the first one stays where that is better.
        better = np.flatnonzero(~(back(sse) > before))
        if not better.size:
            return
        rows, keep = rows[better], subset(better, p)
        block, y, p, residual, sse = block[keep], y[:, keep], p[:, keep], residual[keep], sse[keep]
        curvature = [[v[keep] for v in line] for line in curvature]
        index = index if np.ndim(index) == 0 else index[better]
    neighbours = xp.einsum("nt,nt->n", residual[:, 1:], residual[:, :-1])
    n_times = residual.shape[1]
    variance = sse / max(n_times - len(fit.names), 1)
    if fit.delay and "vp" in fit.names:
        # Without plasma the derivative by the delay is a mixture of the others: a vp held at 0 counts as known.
        at = fit.names.index("vp")
        told = 1.0 * (p[at] > fit.lowest[at] + 1e-6)
        curvature = [
            [v if i == j or at not in (i, j) else v * told for j, v in enumerate(line)]
            for i, line in enumerate(curvature)
        ]
    spread = covariance(xp, curvature)
    values, sd = natural(xp, fit.name, fit.names, p, spread)
    scale = xp.sqrt(variance)
    sd = {name: xp.where(s < 1e-3 * UNKNOWN**0.5, s * scale, xp.inf + 0.0 * s) for name, s in sd.items()}
    if "log_kep" in fit.names and not fit.signed:
        at = fit.names.index("log_kep")
        nearest = index + 1 if fit.delay else 0
        widen_by_profile(fit.starts.profile, nearest, y, variance, values, sd, scale * xp.sqrt(spread[at][at]))
    for store, arrays, kind in ((fit.values, values, np.float64), (fit.sd, sd, np.float32)):
        for name, array in arrays.items():
            fit.place(store, name, rows, array, kind)
    fit.sse[rows] = back(sse)
    fit.misfit[rows] = back(neighbours > misfit_limit(n_times, len(fit.names)) * sse)
