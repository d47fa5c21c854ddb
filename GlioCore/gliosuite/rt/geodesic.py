"""Shortest ways from a surface round what blocks them and through what slows them.

Where the straight line to the surface is free, the way is that line. Elsewhere the eikonal equation ``|grad T| = cost`` is solved outwards
from there by upwind differences of second order, one thin front of voxels at a time (the group marching method).

References
----------
Sethian JA, SIAM Review 1999; 41:199-235 (fast marching, second order); Kim S, SIAM J Sci Comput 2001; 23:1178-1195 (group marching).
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

_CROSS = ndimage.generate_binary_structure(3, 1)
_CHUNK = 65536


def geodesic(
    inside: np.ndarray,
    room: np.ndarray,
    cost: np.ndarray,
    spacing: np.ndarray,
    measure: Callable[[np.ndarray], np.ndarray],
    off_mm: float,
    reach_mm: float,
    exact_from_mm: float = 0.0,
) -> np.ndarray:
    """Length of the shortest way in mm from a mask's surface, each stretch weighted by its cost.

    Parameters
    ----------
    inside
        The mask, (z, y, x).
    room
        Where ways may run; the mask itself is always open.
    cost
        At least 1; how many mm a mm counts for.
    spacing
        mm, in array order.
    measure
        Straight distance in mm from voxels (n, 3) to the mask's surface.
    off_mm
        How far the surface lies at most from the mask's voxel centres (`surface.Surface`).
    reach_mm
        How far ways are followed.
    exact_from_mm
        Below this, free straight lines may be measured between voxel centres (up to a voxel too long): for a threshold above it.

    Returns
    -------
    numpy.ndarray
        float32 (z, y, x); 0 in the mask, inf where no way within the reach leads.
    """
    straight, nearest = ndimage.distance_transform_edt(~inside, sampling=spacing, return_indices=True)
    straight = straight.astype(np.float32)
    room = room | inside
    band = room & ~inside & (straight < reach_mm + off_mm)
    plain = room & ((cost == 1) | inside)
    seen = _seen(band, ndimage.binary_erosion(plain, _CROSS, border_value=1), nearest, spacing)
    hidden = band & ~seen

    # Exact where it matters: for thresholds, and beside what is hidden, whose ways start there.
    beside = hidden
    for _ in range(2):
        beside = ndimage.binary_dilation(beside, _CROSS)
    first = hidden & ndimage.binary_dilation(inside, _CROSS)
    exact = (beside & ~hidden & (seen | inside)) | first | (seen & (straight > exact_from_mm))
    index = np.argwhere(exact)
    straight[exact] = measure(index)
    ways = np.full(inside.shape, np.inf, np.float32)
    ways[seen] = straight[seen]
    ways[inside] = np.where(exact[inside], -straight[inside], 0)
    ways[first] = straight[first] * cost[first]
    if hidden.any():
        box = _box(hidden | first)
        ways[box] = _march(
            ways[box], hidden[box] & ~first[box], inside[box] & ~exact[box], cost[box], spacing, reach_mm
        )
    ways[inside] = 0
    ways[ways > reach_mm + off_mm] = np.inf
    return ways


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The box of a mask and two voxels round it."""
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in found)


def _seen(band: np.ndarray, free: np.ndarray, nearest: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Which voxels of the band see their nearest voxel of the mask: each half voxel of the straight line between them is free.

    `free` is a voxel smaller than what is open, so that no line slips between two voxels of a wall that touch at an edge.
    """
    seen = band & free
    if free[band].all():
        return seen
    shape = np.array(band.shape, np.int32)
    flat = free.ravel()
    # Lines of voxels farther from everything closed than they are long need no look.
    clear = ndimage.distance_transform_edt(free, sampling=spacing).astype(np.float32)
    index = np.argwhere(seen).astype(np.int32)
    ends = np.stack([axis[seen] for axis in nearest], axis=1).astype(np.int32)
    length = np.linalg.norm((ends - index) * spacing, axis=1)
    doubtful = clear[seen] <= length
    index, ends = index[doubtful], ends[doubtful]
    result = np.ones(len(index), bool)
    strides = np.array([shape[1] * shape[2], shape[2], 1], np.int64)
    for start in range(0, len(index), _CHUNK):
        part = slice(start, start + _CHUNK)
        a, way = index[part].astype(np.float32), (ends[part] - index[part]).astype(np.float32)
        steps = 2 * np.abs(way).max(axis=1)
        open_ = np.ones(len(a), bool)
        left = np.arange(len(a))
        for i in range(1, int(steps.max(initial=0)) + 1):
            left = left[(steps[left] > i) & open_[left]]
            if not len(left):
                break
            at = np.rint(a[left] + way[left] * (i / steps[left])[:, None]).astype(np.int64) @ strides
            open_[left] = flat[at]
        result[part] = open_
    seen[tuple(index[~result].T)] = False
    return seen


def _march(
    ways: np.ndarray,
    hidden: np.ndarray,
    vague: np.ndarray,
    cost: np.ndarray,
    spacing: np.ndarray,
    reach_mm: float,
) -> np.ndarray:
    """Fill the hidden voxels from those around them; `vague` ones have a value that is no distance and start nothing."""
    pad = 2
    shape = tuple(n + 2 * pad for n in ways.shape)
    wide = lambda values, fill: np.pad(values, pad, constant_values=fill).ravel()
    t = wide(ways, np.inf).astype(np.float64)
    t[wide(vague, False)] = np.inf
    slow = wide(cost, 1).astype(np.float64)
    waiting = wide(hidden, False)
    known = np.isfinite(t)
    strides = (shape[1] * shape[2], shape[2], 1)
    around = np.array([s * sign for s in strides for sign in (-1, 1)])
    width = float(spacing.min()) / np.sqrt(3)

    def solve(at: np.ndarray) -> np.ndarray:
        """The value that the known neighbours of voxels give them."""
        sides, weights = [], []
        for stride, step in zip(strides, spacing):
            one = np.stack([at - stride, at + stride])
            first = np.where(known[one], t[one], np.inf)
            upper = (first[1] < first[0]).astype(np.int64)
            row = np.arange(len(at))
            best, near = first[upper, row], one[upper, row]
            far = at + (2 * upper - 1) * 2 * stride
            second = t[far]
            # An edge between two tissues counts half for each.
            way = step * (slow[at] + slow[near]) / 2
            smooth = known[far] & (second <= best) & (slow[at] == slow[near]) & (slow[near] == slow[far])
            with np.errstate(invalid="ignore"):
                sides.append(np.where(smooth, (4 * best - second) / 3, best))
            weights.append(np.where(smooth, 1.5, 1.0) / way)
        a, w = np.stack(sides), np.stack(weights) ** 2
        order = np.argsort(a, axis=0)
        a, w = np.take_along_axis(a, order, 0), np.take_along_axis(w, order, 0)
        value = a[0] + 1 / np.sqrt(w[0])
        sw, swa, swaa = w[0], w[0] * a[0], w[0] * a[0] ** 2
        for k in (1, 2):
            use = value > a[k]
            with np.errstate(invalid="ignore"):
                sw, swa, swaa = sw + w[k], swa + w[k] * a[k], swaa + w[k] * a[k] ** 2
                root = swa**2 - sw * (swaa - 1)
                wanted = (swa + np.sqrt(np.maximum(root, 0))) / sw
            value = np.where(use & (root >= 0), wanted, value)
            sw, swa, swaa = (np.where(use, s, np.inf) for s in (sw, swa, swaa))
        return value

    def beside(at: np.ndarray) -> np.ndarray:
        near = (at[:, None] + around).ravel()
        return np.unique(near[waiting[near]])

    front = np.flatnonzero(waiting)
    touching = np.zeros(len(front), bool)
    for step in around:
        touching |= known[front + step]
    front = front[touching]
    t[front] = solve(front)
    while len(front):
        least = t[front].min()
        if not least <= reach_mm + 2 * float(spacing.max()):
            break
        chosen = t[front] <= least + width
        group = front[chosen]
        known[group] = True
        for _ in range(2):
            t[group] = np.minimum(t[group], solve(group))
        waiting[group] = False
        fresh = beside(group)
        t[fresh] = solve(fresh)
        front = np.union1d(front[~chosen], fresh)
    t[~known & wide(hidden, False)] = np.inf
    inner = (slice(pad, -pad),) * 3
    result = ways.copy()
    result[hidden] = t.reshape(shape)[inner][hidden]
    return result
