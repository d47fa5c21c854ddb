"""The kinetic fit of many voxels, block by block in threads or on a CUDA device: project, search, polish, and what follows from it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..steps import Progress, part
from .arrays import back, blocks, dots, each, namespace, product, product_rows, put
from .bases import Bases
from .models import KINETIC
from .polish import polish
from .search import Starts
from .uncertainty import UNKNOWN, covariance, misfit_limit, natural, widen_by_profile

_SLAB = 2**19  # voxels whose coordinates are held at a time: bounds the memory
_BLOCK = 8192  # voxels per task: larger blocks leave the cache
_BLOCK_CUDA = 2**17
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
    xp = namespace(device)
    n = curves.shape[0]
    fit = _Fit(xp, device, bases if xp is np else bases.to(xp, device), name, delay, limits, n)
    for slab in blocks(n, _SLAB):
        share = part(progress, slab.start / n, slab.stop / n)
        _fit_slab(fit, curves[slab], slab.start, share)
    return Fitted(fit.values, fit.sd, fit.sse, fit.misfit)


class _Fit:
    """What all blocks of one fit share, and the arrays that they fill."""

    def __init__(
        self,
        xp: Any,
        device: str,
        bases: Bases,
        name: str,
        delay: bool,
        limits: Mapping[str, tuple[float, float]],
        n: int,
    ) -> None:
        self.xp, self.device, self.bases, self.name, self.delay = xp, device, bases, name, delay
        self.model = KINETIC[name]
        self.names = [*self.model.names, "delay"] if delay else list(self.model.names)
        box = [tuple(np.log(limits["kep"])) if m == "log_kep" else limits[m] for m in self.names]
        self.lowest, self.highest = np.array(box, np.float64).T
        weights = [m for m in self.model.names if m in ("ktrans", "ps", "vp")]
        self.signed = name in ("tofts", "etm", "patlak") and all(limits[m][0] < 0 for m in weights)
        self.starts = Starts(name, bases, self.signed)
        self.directions = put(xp, back(bases.directions), device)
        self.values: dict[str, np.ndarray] = {}
        self.sd: dict[str, np.ndarray] = {}
        self.sse = np.full(n, np.nan)
        self.misfit = np.zeros(n, bool)
        self.n = n
        self.lock = threading.Lock()
        self.block = _BLOCK if xp is np else _BLOCK_CUDA

    def place(self, store: dict[str, np.ndarray], name: str, rows: Any, values: Any, kind: type) -> None:
        """Put a block's result where it belongs; the array is made by the first block."""
        if name not in store:
            with self.lock:
                store.setdefault(name, np.full(self.n, np.nan, kind))
        store[name][rows] = back(values)


def _fit_slab(fit: _Fit, curves: np.ndarray, offset: int, progress: Progress) -> None:
    n = curves.shape[0]
    state = _State(
        fit,
        np.empty((fit.directions.shape[1], n))
        if fit.xp is np
        else fit.xp.empty((fit.directions.shape[1], n), dtype=fit.xp.float64, device=fit.directions.device),
        np.full(n, np.nan),
        np.empty((len(fit.names), n)),
        np.zeros(n, np.int64),
        np.full(n, -1),
        curves,
        offset,
    )
    if fit.delay:
        each(lambda rows: _project(state, rows), list(blocks(n, fit.block)), part(progress, 0, 0.3), "searching")
        waiting = np.flatnonzero(np.isfinite(state.energy))
    else:
        # What a block needs is still in the cache when it is polished.
        work = lambda rows: _polish(state, 0, *_project(state, rows), False)
        left = each(work, list(blocks(n, fit.block)), part(progress, 0, 0.9), f"fitting {fit.name}")
        waiting = np.concatenate(left)
    for move in range(_MOVES + 1):
        if not waiting.size:
            break
        order = waiting[np.argsort(state.cell[waiting], kind="stable")]
        edges = np.searchsorted(state.cell[order], np.arange(fit.bases.n_cells + 1))
        tasks = [
            (cell, order[a:b][rows])
            for cell, (a, b) in enumerate(zip(edges[:-1], edges[1:]))
            for rows in blocks(b - a, fit.block)
        ]
        last = move == _MOVES
        whole = not fit.delay or move > 2

        def work(task: tuple[int, np.ndarray], whole: bool = whole, last: bool = last) -> np.ndarray:
            cell, rows = task
            block = put(fit.xp, curves[rows], fit.device)
            return _polish(state, cell, rows, block, state.y[:, rows], whole, last)

        share = part(progress, 0.9, 1.0) if move or not fit.delay else part(progress, 0.3, 0.9)
        waiting = np.concatenate(each(work, tasks, share, f"fitting {fit.name}"))


@dataclass(frozen=True)
class _State:
    """What is known of the voxels of a slab until they are done: coordinates (r, n), sum of squares, parameters, cell between delays."""

    fit: _Fit
    y: Any
    energy: np.ndarray
    start: np.ndarray
    cell: np.ndarray
    came_from: np.ndarray
    curves: np.ndarray
    offset: int


def _project(state: _State, rows: slice) -> tuple[np.ndarray, Any, Any]:
    """Coordinates and starts of a block of voxels; returns the indices of those that can be fitted, their curves and coordinates."""
    fit, xp = state.fit, state.fit.xp
    block = put(xp, state.curves[rows], fit.device)
    energy = xp.einsum("nt,nt->n", block, block)
    index = np.arange(rows.start, rows.stop)
    if not bool(xp.isfinite(energy).all()):
        keep = xp.where(xp.isfinite(energy))[0]
        block, energy, index = block[keep], energy[keep], index[back(keep)]
        rows = index
    y = product(fit.directions.T, block.T)
    start, late = fit.starts.find(y)
    state.energy[rows] = back(energy)
    state.start[: start.shape[0], rows] = back(start)
    if fit.delay:
        state.y[:, rows] = y
        state.start[-1, rows] = back(late)
        first, gap = fit.bases.delays[0], fit.bases.delays[1] - fit.bases.delays[0]
        inside = np.clip(state.start[-1, rows], fit.lowest[-1], fit.highest[-1])
        state.cell[rows] = np.clip(((inside - first) / gap).astype(np.int64), 0, fit.bases.n_cells - 1)
    return index, block, y


def _polish(
    state: _State, cell_index: int, rows: np.ndarray, block: Any, y: Any, whole: bool, last: bool = False
) -> np.ndarray:
    """Polish a block in one cell between delays and store what is final; returns the voxels that are not."""
    fit, xp = state.fit, state.fit.xp
    if not rows.size:
        return rows
    cell = fit.bases.cell(cell_index)
    lowest, highest = fit.lowest.copy(), fit.highest.copy()
    if fit.delay:
        lowest[-1], highest[-1] = max(lowest[-1], cell.late_s - cell.gap_s), min(highest[-1], cell.late_s)
    low, high = (put(xp, v[:, None], fit.device) for v in (lowest, highest))
    start = xp.clip(put(xp, state.start[:, rows], fit.device), low, high)
    outside = xp.clip(put(xp, state.energy[rows], fit.device) - dots(xp, y, y), 0.0, None)
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
        state.came_from[again] = np.where(move[open_] != 0, cell_index, state.came_from[again])
        state.cell[again] = cell_index + move[open_]
        if not fit.delay:
            state.y[:, again] = y[:, _index(xp, np.flatnonzero(open_), p)]
        keep = np.flatnonzero(~open_)
        rows, keep = rows[keep], _index(xp, keep, p)
        block, y, curve, p = block[keep], y[:, keep], curve[:, keep], p[:, keep]
        curvature = [[v[keep] for v in line] for line in curvature]
    else:
        again = rows[:0]
    if rows.size:
        _store(fit, cell_index, rows + state.offset, block, y, curve, curvature, p)
    return again


def _index(xp: Any, index: np.ndarray, like: Any) -> Any:
    return index if xp is np else xp.as_tensor(index, device=like.device)


def _store(fit: _Fit, index: int, rows: np.ndarray, block: Any, y: Any, curve: Any, curvature: Any, p: Any) -> None:
    xp = fit.xp
    residual = block - product_rows(curve, fit.directions.T)
    sse = xp.einsum("nt,nt->n", residual, residual)
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
        widen_by_profile(fit.starts.nodes[0], nearest, y, variance, values, sd, scale * xp.sqrt(spread[at][at]))
    for store, arrays, kind in ((fit.values, values, np.float64), (fit.sd, sd, np.float32)):
        for name, array in arrays.items():
            fit.place(store, name, rows, array, kind)
    fit.sse[rows] = back(sse)
    fit.misfit[rows] = back(neighbours > misfit_limit(n_times, len(fit.names)) * sse)
