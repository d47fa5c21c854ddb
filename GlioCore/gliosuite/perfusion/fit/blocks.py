"""The kinetic fit of many voxels (DCE), block by block in threads or on a CUDA device: projection, search, polish, and what follows."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...compute import back, blocks, cast, choose_device, dots, each, product, product_rows, subset
from ...compute.compiled import worthwhile
from ...steps import Progress, part
from ..noise import SignalNoise
from .bases import Bases
from .compiled import CompiledFit, Profile, prepare
from .compiled import covariance as compiled_covariance
from .delaycells import StartNodes, join, starting_cells
from .models import KINETIC, with_flow
from .polish import SINGLE, Problem, polish
from .starts import Starts, profile_grid
from .uncertainty import (
    UNKNOWN,
    covariance,
    misfit_limit,
    noise_matrix,
    parameters_with_sd,
    widen_by_profile,
    with_signal_noise,
    without_unknown,
)

# Sizes in voxels; chosen, because small blocks wait for the interpreter and large ones leave the cache.
_SLAB = 2**20  # whose coordinates are held at a time: bounds the memory
_BLOCK = 2**16  # per task
_BLOCK_EXCHANGE = 100_000  # models that take many short steps
_BLOCK_LEAST = 1000  # in compiled kernels, where few voxels are shared among a few threads; by their number alone
_BLOCK_MIXED = 1024  # voxels of different delay cells, whose tables are larger than the voxels
_TIE = 1e-2  # of the residual: chosen, because two roughly polished starts that differ less may change places
_APART = 0.05  # of a parameter: chosen, starts that differ less lead to one optimum
_AT_END_S = 1e-3  # of the delays; chosen, far below what noise does
_MOST_MOVES = 8  # to a neighbouring delay cell; chosen as a bound on the work

Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class FitSettings:
    """What is fitted: model, whether with a delay, lowest and highest value by parameter, device; and what the curves' noise is."""

    model: str
    delay: bool
    bounds: Bounds
    device: str
    noise: SignalNoise | None = None


@dataclass
class Fitted:
    """Parameters (float64), standard deviations (float32), sum of squares and misfit of all voxels; NaN where a curve is not finite.

    The blocks of a fit fill the arrays.
    """

    values: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    sse: np.ndarray
    misfit: np.ndarray
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def empty(cls, n: int) -> "Fitted":
        """Of n voxels, none of them fitted yet."""
        return cls({}, {}, np.full(n, np.nan), np.zeros(n, bool))

    def put(self, rows: np.ndarray, values: dict[str, Any], sd: dict[str, Any], sse: Any, misfit: Any) -> None:
        """Put a block's result where it belongs."""
        for store, arrays, kind in ((self.values, values, np.float64), (self.sd, sd, np.float32)):
            for name, array in arrays.items():
                if name not in store:
                    with self._lock:
                        store.setdefault(name, np.full(self.sse.size, np.nan, kind))
                store[name][rows] = back(array)
        self.sse[rows], self.misfit[rows] = back(sse), back(misfit)


def fit_blocks(curves: np.ndarray, bases: Bases, settings: FitSettings, progress: Progress) -> Fitted:
    """Fit a model to curves (n, t)."""
    n = curves.shape[0]
    fit = _Fit(bases, settings, curves)
    result = Fitted.empty(n)
    for slab in blocks(n, _SLAB):
        share = part(progress, slab.start / n, slab.stop / n)
        _fit_slab(_Slab.of(fit, curves[slab], slab.start, result), share)
    return result


class _Fit:
    """What all blocks of one fit share."""

    def __init__(self, bases: Bases, settings: FitSettings, curves: np.ndarray) -> None:
        """From `bases` in numpy, and the curves (n, t)."""
        name, self.delay, bounds = settings.model, settings.delay, settings.bounds
        self.name, self.model = name, KINETIC[name]
        self.device = choose_device(settings.device)
        self.xp = self.device.xp
        self.bases, self.noise = bases.to(self.device), settings.noise
        self.names = [*self.model.names, "delay"] if self.delay else list(self.model.names)
        limits = [tuple(np.log(bounds["kep"])) if m == "log_kep" else bounds[m] for m in self.names]
        self.lowest, self.highest = np.array(limits, np.float64).T
        weights = [m for m in self.model.names if m in ("ktrans", "ps", "vp")]
        self.signed = name in ("tofts", "etm", "patlak") and all(bounds[m][0] < 0 for m in weights)
        self.block = self.device.block if self.device.place else _BLOCK_EXCHANGE if self.model.exchange else _BLOCK
        # The way to near the optimum is gone in single precision, which takes half the time, and ended in double. Frames that come in
        # single precision stay so: their projections lose a thousandth of what noise does to them. With a delay, on the corners between
        # cells, rounding would decide which side is taken.
        self.single_bases = self.bases if self.delay else bases.to(self.device, "float32")
        self.profile = profile_grid(name, bases, self.single_bases)
        self.compiled: CompiledFit | None = None
        self.sides: Callable[..., dict[str, Any]] | None = None
        if self.device.compiled and worthwhile(curves.shape[0], self.device.repeated):
            self.compiled = prepare(name, tuple(self.names), bases, bounds, self.signed)
        if self.compiled is not None:
            self.single_frames, self.dtype, self.directions = False, "float64", self.compiled.directions
            if self.profile is not None:
                self.sides = Profile(self.profile).longest_sides
            self.block = min(self.device.block, max(_BLOCK_LEAST, -(-curves.shape[0] // 4)))
            return
        self.single_frames = curves.dtype == np.float32 and not self.delay
        self.dtype = "float32" if self.single_frames else "float64"
        self.directions = (self.single_bases if self.single_frames else self.bases).directions
        self.starts = Starts(name, bases, self.signed, self.single_bases)
        # What the exchange models become where flow is beyond their bounds: the best pair of exponentials may be none they can have.
        high_flow = {"2cxm": "etm", "2cum": "patlak"}.get(name)
        self.high_flow = Starts(high_flow, bases, False, self.single_bases) if high_flow and not self.delay else None


@dataclass
class _Slab:
    """What is known of the voxels of a slab until they are done; the arrays are filled as it goes.

    With a delay, their coordinates `y` (r, n); sum of squares `energy`, parameters `start`, and `cell` between delays.
    """

    fit: _Fit
    y: Any
    energy: np.ndarray
    start: np.ndarray
    cell: np.ndarray
    came_from: np.ndarray
    curves: np.ndarray
    offset: int
    result: Fitted

    @classmethod
    def of(cls, fit: _Fit, curves: np.ndarray, offset: int, result: Fitted) -> "_Slab":
        """Curves (n, t) that begin at the voxel `offset`."""
        n = curves.shape[0]
        y = np.empty((fit.directions.shape[1], n if fit.delay and fit.compiled is None else 0))
        return cls(
            fit,
            fit.device.put(y),
            np.full(n, np.nan),
            np.empty((len(fit.names), n)),
            np.zeros(n, np.int64),
            np.full(n, -1),
            curves,
            offset,
            result,
        )


@dataclass(frozen=True)
class _Block:
    """Voxels polished together: their indices in the slab, curves (n, t), coordinates (r, n), and the delay cell of all or of each."""

    rows: np.ndarray
    curves: Any
    y: Any
    cell: int | np.ndarray


def _fit_slab(slab: _Slab, progress: Progress) -> None:
    fit, n = slab.fit, slab.curves.shape[0]
    parts = list(blocks(n, fit.block))
    if fit.compiled is not None:
        each(lambda rows: _fit_compiled(slab, rows), parts, progress, f"fitting {fit.name}")
        return
    if not fit.delay:
        # What a block needs is still in the cache when it is polished.
        def work(rows: slice) -> tuple[np.ndarray, ...]:
            block, ambiguous, second = _start(slab, rows)
            return _polish(slab, block, False), ambiguous, second

        found = each(work, parts, part(progress, 0, 0.8), f"fitting {fit.name}")
        left, ambiguous, second = (np.concatenate(of, axis=-1) for of in zip(*found))
        _polish_all(slab, left, part(progress, 0.8, 0.9))
        slab.start[:, ambiguous] = second
        _polish_all(slab, ambiguous, part(progress, 0.9, 1.0))
        return
    rows, start, cell = _choose_cells(slab, parts, progress)
    _polish_all(slab, np.flatnonzero(np.isfinite(slab.energy)), part(progress, 0.4, 0.9))
    slab.start[:, rows], slab.cell[rows], slab.came_from[rows] = start, cell, -1
    _polish_all(slab, rows, part(progress, 0.9, 1.0))


def _fit_compiled(slab: _Slab, rows: slice) -> None:
    """Fit a block of voxels, each by itself, in a compiled kernel."""
    block, fit = _coordinates(slab, rows), slab.fit
    assert fit.compiled is not None
    if not block.rows.size:
        return
    found = fit.compiled.fit(block.y.T, slab.energy[block.rows])
    y = block.y[: fit.bases.directions.shape[1]]  # the rest are zeros that fill up vectors
    _store(slab, replace(block, cell=found.cell), y, found.curve, found.curvature, found.p)


# ----------------------------------------------------------------------------------------------------------- the starts


def _coordinates(slab: _Slab, rows: slice) -> _Block:
    """The voxels of a block that can be fitted, curves and coordinates in the frames' precision (in memory by voxel for kernels)."""
    fit, xp = slab.fit, slab.fit.xp
    curves = fit.device.put(slab.curves[rows], fit.dtype)
    energy = xp.einsum("nt,nt->n", curves, curves)
    index = np.arange(rows.start, rows.stop)
    if bool(xp.isfinite(energy).all()):
        slab.energy[rows] = back(energy)
    else:
        keep = xp.where(xp.isfinite(energy))[0]
        curves, energy, index = curves[keep], energy[keep], index[back(keep)]
        slab.energy[index] = back(energy)
    if fit.compiled is not None:
        return _Block(index, curves, product_rows(curves.T, fit.directions).T, 0)
    return _Block(index, curves, product(fit.directions.T, curves.T), 0)


def _start(slab: _Slab, rows: slice) -> tuple[_Block, np.ndarray, np.ndarray]:
    """A block of voxels whose starts are found, without a delay.

    Then voxels that have a second start which only the polish can distinguish from the first, and these starts.
    """
    block, fit = _coordinates(slab, rows), slab.fit
    index = block.rows
    y = cast(block.y, single=True)
    starts = fit.starts.find(y)
    if fit.high_flow is None:
        slab.start[:, index] = back(starts[0])
        return block, index[:0], slab.start[:, :0]
    (high_flow,) = fit.high_flow.find(y)
    starts.append(with_flow(fit.xp, fit.name, high_flow, float(fit.highest[0])))
    energy = fit.device.put(slab.energy[index], "float32")
    first, second, ambiguous = _two_lowest(fit, y, starts, energy)
    slab.start[:, index] = back(first)
    ambiguous = back(ambiguous)
    return block, index[ambiguous], back(second)[:, ambiguous]


def _two_lowest(fit: _Fit, y: Any, starts: list[Any], energy: Any) -> tuple[Any, Any, Any]:
    """Where rough polishing leads to from starts (p, n): the lowest place, the next, and where (n,) that one is as good but elsewhere."""
    xp = fit.xp
    low, high = (fit.device.put(v[:, None], "float32") for v in (fit.lowest, fit.highest))
    problem = Problem(fit.single_bases.cell(0), fit.model, False, low, high)

    def roughly(start: Any) -> tuple[Any, Any]:
        done = polish(problem, y, 0.0 * y[0], xp.clip(start, low, high), False, SINGLE)
        return done.p, ((y - done.curve) ** 2).sum(0)

    first, least = roughly(starts[0])
    second, next_least = first, least + xp.inf
    for start in starts[1:]:
        p, left = roughly(start)
        lower, between = left < least, (left >= least) & (left < next_least)
        second = xp.where(lower, first, xp.where(between, p, second))
        next_least = xp.where(lower, least, xp.where(between, left, next_least))
        first, least = xp.where(lower, p, first), xp.where(lower, left, least)
    apart = (xp.abs(second - first) > _APART * (xp.abs(first) + _APART * (high - low))).any(0)
    outside = xp.clip(energy - (y * y).sum(0), 0.0, None)
    return first, second, apart & (next_least - least < _TIE * (least + outside))


def _choose_cells(slab: _Slab, parts: list[slice], progress: Progress) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, and the delay cells they lie in; returns voxels that have a second one, these, and their cells."""
    fit, delays = slab.fit, slab.fit.bases.delays
    if not fit.starts.can_refine:
        each(lambda rows: _best_nodes_as_starts(slab, rows), parts, part(progress, 0, 0.2), "searching")
        inside = np.clip(slab.start[-1], fit.lowest[-1], fit.highest[-1])
        slab.cell[:] = np.clip(np.searchsorted(delays, inside, side="right") - 1, 0, fit.bases.n_cells - 1)
        return np.empty(0, np.int64), slab.start[:, :0], slab.cell[:0]
    found = each(lambda rows: _best_nodes(slab, rows), parts, part(progress, 0, 0.2), "searching")
    best, others = (join(list(nodes)) for nodes in zip(*found))
    refining = part(progress, 0.2, 0.4)
    first, ambiguous, second = starting_cells(fit.starts, slab.y, slab.energy, best, others, fit.block, refining)
    rows = best.voxel
    slab.start[:, rows], slab.cell[rows] = first.start, first.cell
    return rows[ambiguous], second.start, second.cell


def _best_nodes(slab: _Slab, rows: slice) -> tuple[StartNodes, StartNodes]:
    """Coordinates of a block of voxels, and the nodes to refine: the best, and other local maxima."""
    block, fit = _coordinates(slab, rows), slab.fit
    index = block.rows
    slab.y[:, index] = block.y
    found, delay, rate = fit.starts.best_nodes(block.y, fit.device.put(slab.energy[index]))
    assert found.maxima is not None
    row, node, kind = found.maxima
    best = StartNodes(index, back(delay), back(rate), found.kind)
    return best, StartNodes(index[row], *np.divmod(node, fit.starts.log_rates.size), kind)


def _best_nodes_as_starts(slab: _Slab, rows: slice) -> None:
    """Coordinates of a block of voxels, whose best nodes are the starts."""
    block = _coordinates(slab, rows)
    slab.y[:, block.rows] = block.y
    start, delay = slab.fit.starts.find_with_delay(block.y)
    slab.start[:-1, block.rows], slab.start[-1, block.rows] = back(start), back(delay)


# ----------------------------------------------------------------------------------------------------------- the polish


def _polish_all(slab: _Slab, waiting: np.ndarray, progress: Progress) -> None:
    """Polish voxels, each in its cell between delays, until they are done or have moved on too often."""
    fit = slab.fit
    for move in range(_MOST_MOVES + 1):
        if not waiting.size:
            break
        mixed = fit.delay and waiting.size <= 2 * _BLOCK_MIXED
        tasks: list[tuple[int | np.ndarray, np.ndarray]]
        if mixed:
            # A few voxels here and there: all cells at once, each voxel with the tables of its own.
            tasks = [(slab.cell[waiting[rows]], waiting[rows]) for rows in blocks(waiting.size, _BLOCK_MIXED)]
        else:
            order = waiting[np.argsort(slab.cell[waiting], kind="stable")]
            edges = np.searchsorted(slab.cell[order], np.arange(fit.bases.n_cells + 1))
            tasks = [
                (cell, order[a:b][rows])
                for cell, (a, b) in enumerate(zip(edges[:-1], edges[1:]))
                for rows in blocks(b - a, fit.block)
            ]
        last = move == _MOST_MOVES
        whole = not fit.delay or mixed

        def work(task: tuple[int | np.ndarray, np.ndarray], whole: bool = whole, last: bool = last) -> np.ndarray:
            cell, rows = task
            curves = fit.device.put(slab.curves[rows], fit.dtype)
            return _polish(slab, _Block(rows, curves, product(fit.directions.T, curves.T), cell), whole, last)

        share = progress if not move else part(progress, 1.0, 1.0)
        waiting = np.concatenate(each(work, tasks, share, f"fitting {fit.name}"))


def _polish(slab: _Slab, block: _Block, whole: bool, last: bool = False) -> np.ndarray:
    """Polish a block within its delay cell (or each voxel within its own) and store it; returns the voxels that are not done."""
    fit, xp, rows = slab.fit, slab.fit.xp, block.rows
    if not rows.size:
        return rows
    lowest, highest = _bounds_in_cell(fit, block.cell)
    low, high = (fit.device.put(v) for v in (lowest, highest))
    y = cast(block.y, single=False)
    start = xp.clip(fit.device.put(slab.start[:, rows]), low, high)
    outside = xp.clip(fit.device.put(slab.energy[rows]) - dots(xp, y, y), 0.0, None)
    problem = Problem(fit.bases.cell(block.cell), fit.model, fit.delay, low, high)
    done = polish(problem, y, outside, start, whole)
    move = np.zeros(rows.size, np.int64)
    if fit.delay and not last:
        delay, slope = back(done.p[-1]), back(done.gradient[-1])
        move -= (delay <= lowest[-1]) & (slope < 0) & (lowest[-1] > fit.lowest[-1])
        move += (delay >= highest[-1]) & (slope > 0) & (highest[-1] < fit.highest[-1])
        move[block.cell + move == slab.came_from[rows]] = 0  # an optimum on the corner between two cells
    unfinished = move != 0
    unfinished[back(done.left)] = True
    again = rows[unfinished]
    if again.size:
        slab.start[:, again] = back(done.p)[:, unfinished]
        here = np.broadcast_to(block.cell, rows.shape)[unfinished]
        slab.came_from[again] = np.where(move[unfinished] != 0, here, slab.came_from[again])
        slab.cell[again] = here + move[unfinished]
    # Voxels that are not done yet are stored with the rest, since picking them out would copy all of them.
    _store(slab, block, y, done.curve, done.curvature, done.p)
    return again


def _bounds_in_cell(fit: _Fit, cell: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest parameters (p, 1), or (p, n) where each voxel has its own cell; the delay within its cell."""
    lowest, highest = fit.lowest[:, None], fit.highest[:, None]
    if fit.delay:
        later = fit.bases.delays[np.asarray(cell) + 1]
        lowest, highest = (np.tile(v, np.size(later)) for v in (lowest, highest))
        lowest[-1] = np.maximum(lowest[-1], later - fit.bases.cell_s)
        highest[-1] = np.minimum(highest[-1], later)
    return lowest, highest


def _store(slab: _Slab, block: _Block, y: Any, curve: Any, curvature: list[list[Any]], p: Any) -> None:
    """Sum of squares, parameters and their standard deviations of a polished block, where they are better than what is there."""
    fit, xp, result = slab.fit, slab.fit.xp, slab.result
    rows, cell, frames = block.rows + slab.offset, block.cell, block.curves
    residual = product_rows(cast(curve, fit.single_frames), -fit.directions.T)
    residual += frames
    sse = cast(xp.einsum("nt,nt->n", residual, residual), single=False)
    before = result.sse[rows]
    if np.isfinite(before).any():
        # A second start: what was found from the first one stays where that is better.
        better = np.flatnonzero(~(back(sse) > before))
        if not better.size:
            return
        rows, keep = rows[better], subset(better, p)
        y, p, frames, residual, sse = y[:, keep], p[:, keep], frames[keep], residual[keep], sse[keep]
        curvature = [[v[keep] for v in line] for line in curvature]
        cell = cell[better] if isinstance(cell, np.ndarray) else cell
    neighbours = xp.einsum("nt,nt->n", residual[:, 1:], residual[:, :-1])
    n_times = residual.shape[1]
    variance = sse / max(n_times - len(fit.names), 1)
    curvature = _without_empty_plasma(fit, curvature, p)
    even: Any = compiled_covariance(curvature, UNKNOWN) if fit.compiled else covariance(xp, curvature)
    spread = even
    if fit.noise is not None:
        middle = _noise_matrix(fit, cell, p, frames, residual, rows)
        spread = with_signal_noise(xp, even, curvature, _without_empty_plasma(fit, middle, p))
    values, sd = parameters_with_sd(xp, fit.name, fit.names, p, spread)
    scale = xp.sqrt(variance)
    sd = {name: xp.where(s < 1e-3 * UNKNOWN**0.5, s * scale, xp.inf + 0.0 * s) for name, s in sd.items()}
    if "log_kep" in fit.names and not fit.signed and fit.profile is not None:
        at = fit.names.index("log_kep")
        nearest = cell + 1 if fit.delay else 0
        sd_log_kep = scale * xp.sqrt(spread[at][at])
        # The profile takes noise for even: it is widened as the variance of ln kep is by what the noise is in truth.
        wider = variance * spread[at][at] / even[at][at]
        sd |= widen_by_profile(fit.profile, nearest, y, wider, values, sd, sd_log_kep, fit.sides)
        sd |= without_unknown(xp, values, sd, p[at], sd_log_kep, float(fit.highest[at]))
    if fit.delay:
        # At an end of the delays that are tried, the curve has not told its own.
        ended = (p[-1] <= fit.lowest[-1] + _AT_END_S) | (p[-1] >= fit.highest[-1] - _AT_END_S)
        sd["delay"] = xp.where(ended, xp.inf + 0.0 * p[-1], sd["delay"])
    result.put(rows, values, sd, sse, neighbours > misfit_limit(n_times, len(fit.names)) * sse)


def _noise_matrix(
    fit: _Fit, cell: int | np.ndarray, p: Any, frames: Any, residual: Any, rows: np.ndarray
) -> list[list[Any]]:
    """J^T V J at parameters p (p, n) that leave `residual` of curves (n, t), for the noise of their signal; see `noise_matrix`."""
    assert fit.noise is not None
    xp = fit.xp
    found = fit.model.curve(fit.bases.cell(cell if fit.delay else 0), p, p[-1] if fit.delay else None)
    residual = cast(residual, single=False)
    gains = fit.noise.gains(xp, fit.device.put, rows, cast(frames, single=False) - residual)
    return noise_matrix(xp, found, fit.bases.directions, gains, fit.noise.n_baseline, residual)


def _without_empty_plasma(fit: _Fit, matrix: list[list[Any]], p: Any) -> list[list[Any]]:
    """J^T J (or J^T V J) in which, with a delay, a vp held at its lowest counts as known.

    Without plasma the derivative by the delay is a mixture.
    """
    if not fit.delay or "vp" not in fit.names:
        return matrix
    at = fit.names.index("vp")
    fitted = 1.0 * (p[at] > fit.lowest[at] + 1e-6)
    return [
        [v if i == j or at not in (i, j) else v * fitted for j, v in enumerate(line)] for i, line in enumerate(matrix)
    ]
