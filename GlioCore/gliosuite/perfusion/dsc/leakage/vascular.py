"""What an artery's curve looks like in the vessels of a tissue, for many mean transit times and delays, and which of them a voxel has.

The vascular curve v of a voxel is the AIF, a cubic spline through its samples (straight lines between frames of 1.5 s would cut the top off
the bolus), delayed and convolved with a residue function of area 1. The residue function is the share of blood still in the tissue when
transit times are gamma distributed with shape 1.5: between an exponential (shape 1; well mixed) and a box (plug flow), so that none of them
is far from it, and close to an exponential that is reached by a dispersed bolus. The shape is chosen: on a simulated phantom with
exponential, gamma and box residues, with and without dispersion, it had the smallest largest error of 1, 1.5, 2 and 2.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import interpolate, special

from ....compute import Device, back
from ...kinetics import convolve_sampled

SHAPE = 1.5  # see above
# Chosen: from capillaries of well-perfused tissue to where a longer transit outlasts the series; steps that noise does not tell apart.
MTT_S = np.geomspace(1.5, 16.0, 33)
DELAY_S = np.arange(-1.5, 5.01, 0.25)  # s; chosen: below 0 for tissue that the AIF's artery does not feed
KEP = np.linspace(0.0, 1.2, 5)  # 1/min: a faster way back looks like the first pass
_FINE_S = 0.1  # s; chosen: convolutions on this grid differ by less than 0.1 % from finer ones
_COARSE = (4, 2)  # steps of the first search in transit time and delay
_NEAR = (4, 3)  # how far around its result the second one looks


@dataclass(frozen=True)
class Vessels:
    """Curves on the nodes of a grid; float64.

    Attributes
    ----------
    vessel
        (transit times, delays, 1, t); unit of the AIF.
    leak
        (transit times, delays, kep, t): what has leaked from it and not come back, in that unit times seconds; None without leakage.
    """

    vessel: np.ndarray
    leak: np.ndarray | None

    def nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean transit time (s), delay (s) and kep (1/min) of each node, in the order of the flattened grid."""
        keps = KEP if self.leak is not None else KEP[:1]
        return tuple(g.ravel() for g in np.meshgrid(MTT_S, DELAY_S, keps, indexing="ij"))


def vessels(aif: np.ndarray, dt_s: float, leak: bool, shape: float = SHAPE) -> Vessels:
    """Tabulate the vascular curves of an AIF (t,) sampled every `dt_s`, and what leaks from them; `shape` is that of the transit times."""
    frames = dt_s * np.arange(aif.size)
    fine, step = fine_times(aif.size, dt_s)
    share = special.gammaincc(shape, shape * fine / MTT_S[:, None])
    share *= 1.0 / MTT_S[:, None]
    through = convolve_sampled(interpolate.CubicSpline(frames, aif)(fine), share, step)
    vessel = delayed(through, frames, step)[:, :, None]
    if not leak:
        return Vessels(vessel, None)
    back = np.exp(-KEP[:, None] / 60.0 * fine)
    out = convolve_sampled(through[:, None], back, step)
    return Vessels(vessel, np.moveaxis(delayed(out, frames, step), 2, 1))


def fine_times(count: int, dt_s: float) -> tuple[np.ndarray, float]:
    """Times (s) from the first to the last of `count` frames on which curves are convolved, and their step."""
    parts = int(np.ceil(dt_s / _FINE_S))
    return dt_s / parts * np.arange((count - 1) * parts + 1), dt_s / parts


def delayed(curves: np.ndarray, frames: np.ndarray, step: float) -> np.ndarray:
    """Curves (..., fine times) at the frames after each delay: (..., delays, t); 0 before the first sample."""
    late = (frames[None] - DELAY_S[:, None]) / step
    before = np.clip(np.floor(late).astype(int), 0, curves.shape[-1] - 2)
    part = np.clip(late - before, 0.0, 1.0)
    return np.where(late < 0, 0.0, curves[..., before] * (1 - part) + curves[..., before + 1] * part)


@dataclass(frozen=True)
class Basis:
    """An orthonormal pair of curves per node, ready to be compared with voxels; arrays (n, t) and (n,)."""

    first: np.ndarray
    second: np.ndarray | None
    vessel_norm: np.ndarray
    overlap: np.ndarray | None

    @classmethod
    def of(cls, vessel: np.ndarray, leak: np.ndarray | None) -> "Basis":
        """From curves (n, t)."""
        norm = np.sqrt((vessel**2).sum(axis=1))
        first = vessel / norm[:, None]
        if leak is None:
            return cls(first, None, norm, None)
        apart = leak - (leak * first).sum(axis=1)[:, None] * first
        apart_norm = np.sqrt((apart**2).sum(axis=1))
        # The vessel's weight is a / norm - b * overlap / norm, with a and b the projections on first and second.
        return cls(first, apart / apart_norm[:, None], norm, (leak * first).sum(axis=1) / apart_norm)


def gain(on_first: Any, on_second: Any, overlap: Any, xp: Any) -> Any:
    """Sum of squares that each node explains; with `overlap`, -1 where its vessel would have a weight below 0. Spoils its arguments."""
    below = None if overlap is None else on_first <= (0.0 if on_second is None else on_second * overlap)
    on_first *= on_first
    if on_second is not None:
        on_second *= on_second
        on_first += on_second
    return on_first if below is None else xp.where(below, 0.0 * on_first - 1.0, on_first)


def closest(curves: Any, table: Vessels, device: Device) -> np.ndarray:
    """For each curve (n, t) the node of `table` (index into the flattened grid) that leaves the smallest residual.

    All curves of the table lie in a space of few dimensions, onto which voxels are projected once. There, for each kep, a coarse grid of
    transit times and delays is compared with all voxels by one product; then, for the voxels of each coarse node, all nodes around it, in
    double precision, so that every device chooses the same. (Each kep on its own: a slow way back looks like a long transit time, and one
    search over all three ends in the wrong part of a long valley. This one finds what a search over all nodes finds.) Where the vessel's
    weight comes out below 0, which is rare, the search is repeated among nodes where it does not.
    """
    xp = device.xp
    keps = 1 if table.leak is None else KEP.size
    count = table.vessel.shape[-1]
    vessel = np.broadcast_to(table.vessel, (MTT_S.size, DELAY_S.size, keps, count)).reshape(-1, count)
    basis = Basis.of(vessel, None if table.leak is None else table.leak.reshape(-1, count))
    pair = [basis.first] if basis.second is None else [basis.first, basis.second]
    size, directions = np.linalg.eigh(sum(p.T @ p for p in pair))
    directions = directions[:, size > 1e-9 * size[-1]]
    onto = device.put(directions)
    parts = [(p @ directions).T for p in pair]
    projected = []
    for i in range(0, curves.shape[0], device.block):
        z = device.put(curves[i : i + device.block]) @ onto
        projected.append(xp.where(xp.isfinite(z), z, xp.zeros_like(z)))
    if not projected:
        return np.empty(0, np.int64)
    projected = xp.concatenate(projected)
    result = _search(projected, parts, None, keps, device)
    overlap = np.zeros(len(vessel)) if basis.overlap is None else basis.overlap
    weight = np.empty(result.size)
    sides, over = [device.put(p.T) for p in parts], device.put(overlap)
    for i in range(0, result.size, device.block):
        rows = slice(i, i + device.block)
        z, at = projected[rows], device.put(result[rows], "int64")
        a, *b = ((z * side[at]).sum(axis=1) for side in sides)
        weight[rows] = back(a - over[at] * b[0] if b else a)
    odd = np.flatnonzero(weight <= 0)
    if odd.size:
        result[odd] = _search(projected[device.put(odd, "int64")], parts, overlap, keps, device)
    return result


def _search(
    projected: Any, parts: list[np.ndarray], overlap: np.ndarray | None, keps: int, device: Device
) -> np.ndarray:
    xp = device.xp
    grid = (MTT_S.size, DELAY_S.size)
    steps = (np.arange(0, n, s) for n, s in zip(grid, _COARSE))
    coarse = np.ravel_multi_index(np.meshgrid(*steps, indexing="ij"), grid).ravel()
    first = [_compared(parts, overlap, keps * coarse + k, device, "float32") for k in range(keps)]
    found = []
    for i in range(0, projected.shape[0], device.block):
        z = device.put(projected[i : i + device.block], "float32")
        found.append(np.stack([back(xp.argmax(compare(z), axis=1)) for compare in first]))
    best = np.concatenate(found, axis=1)
    result, most = np.zeros(best.shape[1], np.int64), np.full(best.shape[1], -np.inf)
    for kep in range(keps):
        order = np.argsort(best[kep], kind="stable")
        ends = np.searchsorted(best[kep][order], np.arange(coarse.size + 1))
        for node, start, end in zip(coarse, ends[:-1], ends[1:]):
            if start == end:
                continue
            near = keps * _around(int(node), grid) + kep
            compare = _compared(parts, overlap, near, device, "float64")
            for i in range(start, end, device.block):
                rows = order[i : min(i + device.block, end)]
                explained = compare(projected[device.put(rows, "int64")])
                top = xp.argmax(explained, axis=1)
                height = back(explained[device.put(np.arange(rows.size), "int64"), top])
                better = height > most[rows]
                result[rows] = np.where(better, near[back(top)], result[rows])
                most[rows] = np.where(better, height, most[rows])
    return result


def _compared(
    parts: list[np.ndarray], overlap: np.ndarray | None, nodes: np.ndarray, device: Device, dtype: str
) -> Callable[[Any], Any]:
    """A function that gives what each of `nodes` explains of projected voxels."""
    curves = [device.put(p[:, nodes], dtype) for p in parts]
    over = None if overlap is None else device.put(overlap[nodes], dtype)
    return lambda z: gain(z @ curves[0], z @ curves[1] if curves[1:] else None, over, device.xp)


def _around(node: int, grid: tuple[int, int]) -> np.ndarray:
    where = (int(c) for c in np.unravel_index(node, grid))
    ranges = [np.arange(max(c - w, 0), min(c + w + 1, n)) for c, w, n in zip(where, _NEAR, grid)]
    return np.ravel_multi_index(np.meshgrid(*ranges, indexing="ij"), grid).ravel()
