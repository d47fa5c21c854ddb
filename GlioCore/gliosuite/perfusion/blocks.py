"""The kinetic fit of many voxels, block by block in threads or on a CUDA device: project, search, polish, and what follows from it."""

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
        self.block = _BLOCK if xp is np else _BLOCK_CUDA

    def place(self, store: dict[str, np.ndarray], name: str, rows: Any, values: Any, kind: type) -> None:
        """Put a block's result where it belongs; the array is made by the first block."""
        store.setdefault(name, np.full(self.n, np.nan, kind))[rows] = back(values)


def _fit_slab(fit: _Fit, curves: np.ndarray, offset: int, progress: Progress) -> None:
    xp, n = fit.xp, curves.shape[0]
    rank = fit.directions.shape[1]
    if not fit.delay:
        # One pass: what a block needs is still in the cache when it is polished.
        def whole(rows: slice) -> None:
            block, y, energy, start, _ = _project(fit, curves[rows])
            _finish(fit, 0, np.arange(rows.start, rows.stop) + offset, block, y, energy, start, None)

        each(whole, list(blocks(n, fit.block)), progress, f"fitting {fit.name}")
        return
    coordinates = np.empty((rank, n)) if xp is np else put(xp, np.empty((rank, n)), fit.device)
    energies, cells = np.empty(n), np.empty(n, np.int64)
    starts = np.empty((len(fit.names), n))
    first, gap = fit.bases.delays[0], fit.bases.delays[1] - fit.bases.delays[0]

    def look(rows: slice) -> None:
        _, coordinates[:, rows], energy, start, late = _project(fit, curves[rows])
        energies[rows], starts[:-1, rows], starts[-1, rows] = back(energy), back(start), back(late)
        late = np.clip(starts[-1, rows], fit.lowest[-1], fit.highest[-1])
        cells[rows] = np.clip(((late - first) / gap).astype(np.int64), 0, fit.bases.n_cells - 1)

    each(look, list(blocks(n, fit.block)), part(progress, 0.0, 0.3), f"searching {fit.name}")
    waiting = np.flatnonzero(np.isfinite(energies))
    came_from = np.full(n, -1)
    for move in range(_MOVES):
        order = waiting[np.argsort(cells[waiting], kind="stable")]
        edges = np.searchsorted(cells[order], np.arange(fit.bases.n_cells + 1))
        tasks = [
            (cell, order[a:b][rows])
            for cell, (a, b) in enumerate(zip(edges[:-1], edges[1:]))
            for rows in blocks(b - a, fit.block)
        ]
        last = move == _MOVES - 1

        def refine(task: tuple[int, np.ndarray], last: bool = last) -> np.ndarray:
            cell, rows = task
            block = put(xp, curves[rows], fit.device)
            y = coordinates[:, rows]
            energy, start = put(xp, energies[rows], fit.device), put(xp, starts[:, rows], fit.device)
            wish, p = _finish(fit, cell, rows + offset, block, y, energy, start, None if last else came_from[rows])
            gone = rows[wish != cell]
            starts[:, gone] = p[:, wish != cell]
            cells[gone], came_from[gone] = wish[wish != cell], cell
            return gone

        done = each(refine, tasks, part(progress, 0.3 + 0.6 * (move > 0), 0.9 + 0.1 * (move > 0)), f"fitting {fit.name}")
        waiting = np.sort(np.concatenate(done)) if done else waiting[:0]
        if not waiting.size:
            break


def _project(fit: _Fit, curves: np.ndarray) -> tuple[Any, Any, Any, Any, Any]:
    """A block's curves (n, t), their coordinates (r, n), sums of squares (NaN where not finite), and where to start."""
    xp = fit.xp
    block = put(xp, curves, fit.device)
    energy = xp.einsum("nt,nt->n", block, block)
    if not bool(xp.isfinite(energy).all()):
        bad = ~xp.isfinite(energy)
        block[bad] = 0.0
        energy[bad] = xp.nan
    y = product(fit.directions.T, block.T)
    start, late = fit.starts.find(y)
    return block, y, energy, start, late


def _finish(
    fit: _Fit, index: int, rows: np.ndarray, block: Any, y: Any, energy: Any, start: Any, came_from: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Polish a block in one cell between delays and store what is final.

    Returns
    -------
    wish, p
        The cell that each voxel belongs to, and its parameters: those that must go on to a neighbouring cell are not stored.
    """
    xp = fit.xp
    cell = fit.bases.cell(index)
    lowest, highest = fit.lowest.copy(), fit.highest.copy()
    early = cell.late_s - cell.gap_s
    if fit.delay:
        lowest[-1], highest[-1] = max(lowest[-1], early), min(highest[-1], cell.late_s)
    column = lambda values: put(xp, values[:, None], fit.device)
    low, high = column(lowest), column(highest)
    known = xp.isfinite(energy)
    start = xp.clip(start, low, high)
    outside = xp.clip(xp.where(known, energy, 0.0 * energy) - dots(xp, y, y), 0.0, None)
    p, inside, gradient, curvature, curve = polish(cell, fit.model, y, outside, start.astype(float) if xp is np else start.double(), low, high, fit.delay)
    wish = np.full(rows.size, index)
    if fit.delay and came_from is not None:
        late, slope = back(p[-1]), back(gradient[-1])
        wish = wish - ((late <= lowest[-1]) & (slope < 0) & (lowest[-1] > fit.lowest[-1]))
        wish = wish + ((late >= highest[-1]) & (slope > 0) & (highest[-1] < fit.highest[-1]))
        wish[wish == came_from] = index  # an optimum on the corner between two cells
        wish = np.clip(wish, 0, fit.bases.n_cells - 1)
        stay = np.flatnonzero(wish == index)
        if stay.size < rows.size:
            keep = stay if xp is np else xp.as_tensor(stay, device=p.device)
            rows, block, known = rows[stay], block[keep], known[keep]
            y, curve, curvature, inside = y[:, keep], curve[:, keep], curvature[:, :, keep], inside[keep]
            final = p[:, keep]
        else:
            final = p
    else:
        final = p
    _store(fit, index, rows, block, known, y, curve, curvature, final)
    return wish, back(p)


def _store(
    fit: _Fit, index: int, rows: np.ndarray, block: Any, known: Any, y: Any, curve: Any, curvature: Any, p: Any
) -> None:
    xp = fit.xp
    residual = block - product_rows(curve, fit.directions.T)
    sse = xp.einsum("nt,nt->n", residual, residual)
    neighbours = xp.einsum("nt,nt->n", residual[:, 1:], residual[:, :-1])
    n_times = residual.shape[1]
    variance = sse / max(n_times - len(fit.names), 1)
    spread = covariance(xp, curvature)
    values, sd = natural(xp, fit.name, fit.names, p, spread)
    scale = xp.sqrt(variance)
    sd = {name: xp.where(s < 1e-3 * UNKNOWN**0.5, s * scale, xp.inf + 0.0 * s) for name, s in sd.items()}
    if "log_kep" in fit.names and not fit.signed:
        at = fit.names.index("log_kep")
        nearest = 0
        if fit.delay:
            nearest = index + 1 if fit.bases.delays.size > 1 else 0
        widen_by_profile(fit.starts.nodes[0], nearest, y, variance, values, sd, scale * xp.sqrt(spread[at, at]))
    nothing = xp.nan + 0.0 * sse
    for store, arrays, kind in ((fit.values, values, np.float64), (fit.sd, sd, np.float32)):
        for name, array in arrays.items():
            fit.place(store, name, rows, xp.where(known, array, nothing), kind)
    fit.sse[rows] = back(xp.where(known, sse, nothing))
    fit.misfit[rows] = back((neighbours > misfit_limit(n_times, len(fit.names)) * sse) & known)
