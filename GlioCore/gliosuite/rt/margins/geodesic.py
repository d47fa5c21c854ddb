"""Shortest ways from a surface round what blocks them and through what slows them.

Where the straight line to the surface is free, the way is that line. Elsewhere the eikonal equation ``|grad T| = cost`` is solved outwards
from there by upwind differences of second order, one thin front of voxels at a time (the group marching method).

References
----------
Sethian JA, SIAM Review 1999; 41:199-235 (fast marching, second order); Kim S, SIAM J Sci Comput 2001; 23:1178-1195 (group marching).
"""

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
from scipy import ndimage

_CHUNK = 65536  # chosen: lines that are looked at in one go, a few MB of memory


def geodesic(
    inside: np.ndarray,
    room: np.ndarray,
    cost: np.ndarray,
    spacing: np.ndarray,
    nearest: Callable[[np.ndarray], np.ndarray],
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
    nearest
        The nearest point of the mask's surface (n, 3; mm from the first voxel's centre) to voxels (n, 3).
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
    straight, closest = ndimage.distance_transform_edt(~inside, sampling=spacing, return_indices=True)
    straight = straight.astype(np.float32)
    room = room | inside
    band = room & ~inside & (straight < reach_mm + off_mm)
    free = tight(room & ((cost == 1) | inside)) | inside
    seen = _seen(band, free, closest, spacing)
    hidden = band & ~seen

    # Exact where it matters: for thresholds, and beside what is hidden, whose ways start there.
    beside = ndimage.binary_dilation(hidden, iterations=2)
    first = hidden & ndimage.binary_dilation(inside)
    exact = (beside & ~hidden & (seen | inside)) | first | (seen & (straight > exact_from_mm))
    index = np.argwhere(exact)
    points = nearest(index)
    # As for a plain margin, a voxel is no farther than the mask's nearest voxel centre, whatever the surface's smoothing.
    measured = np.linalg.norm(index * spacing - points, axis=1)
    straight[exact] = np.where(inside[exact], measured, np.minimum(measured, straight[exact]))
    ways = np.full(inside.shape, np.inf, np.float32)
    ways[seen] = straight[seen]
    ways[inside] = np.where(exact[inside], -straight[inside], 0)
    ways[first] = straight[first] * cost[first]
    if hidden.any():
        box = tuple(slice(max(b.start - 2, 0), b.stop + 2) for b in ndimage.find_objects(hidden.astype(np.uint8))[0])
        start = [b.start for b in box]
        known = beside[box] & seen[box]
        waiting = hidden[box] & ~first[box]
        part = march(ways[box], waiting, inside[box] & ~exact[box], cost[box], spacing, reach_mm)
        starts = beside[exact] & seen[exact]
        ends = np.argwhere(known), points[starts] / spacing - start
        ways[box] = taut(part, waiting & free[box], free[box], *ends, spacing)
    ways[inside] = 0
    ways[ways > reach_mm + off_mm] = np.inf
    return ways


def tight(free: np.ndarray) -> np.ndarray:
    """The same without voxels through which a straight line, looked at in steps, could slip between closed ones that do not share a face.

    Such a voxel is open, and so is one across an edge or a corner, but no way over faces leads from one to the other between them.
    """
    open_ = np.pad(free, 1, constant_values=True)
    at = lambda shift: open_[tuple(slice(1 + s, n - 1 + s) for s, n in zip(shift, open_.shape))]
    result = free.copy()
    for across in product((0, 1), (-1, 0, 1), (-1, 0, 1)):
        axes = np.flatnonzero(across)
        if len(axes) < 2:
            continue
        way = np.zeros_like(free)
        for order in permutations(axes):
            step, passed = np.zeros(3, int), np.ones_like(free)
            for axis in order[:-1]:
                step[axis] = across[axis]
                passed &= at(step)
            way |= passed
        result &= ~(free & at(across) & ~way)
    return result


def _seen(band: np.ndarray, free: np.ndarray, closest: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Which voxels of the band see their closest voxel of the mask: the straight line between them is free."""
    seen = band & free
    if free[band].all() and free.all():
        return seen
    # Lines of voxels farther from everything closed than they are long need no look.
    clear = ndimage.distance_transform_edt(free, sampling=spacing)
    index = np.argwhere(seen)
    ends = np.stack([axis[seen] for axis in closest], axis=1)
    doubtful = clear[seen] <= np.linalg.norm((ends - index) * spacing, axis=1)
    index = index[doubtful]
    blocked = index[~sees(free, ends[doubtful], index)]
    seen[tuple(blocked.T)] = False
    return seen


def sees(free: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether each straight line between points (n, 3; in voxels) is free, looked at every half voxel."""
    flat = free.ravel()
    strides = np.array([free.shape[1] * free.shape[2], free.shape[2], 1], np.float32)
    result = np.ones(len(starts), bool)
    for begin in range(0, len(starts), _CHUNK):
        a = starts[begin : begin + _CHUNK].astype(np.float32)
        way = ends[begin : begin + _CHUNK] - a
        steps = np.ceil(2 * np.abs(way).max(axis=1))
        order = np.argsort(-steps)
        way = way / np.maximum(steps, 1)[:, None]
        open_ = np.ones(len(a), bool)
        left = order
        for i in range(1, int(steps.max(initial=0))):
            left = left[steps[left] > i]
            at = (np.rint(a[left] + way[left] * np.float32(i)) @ strides).astype(np.int64)
            passed = flat[at]
            open_[left[~passed]] = False
            left = left[passed]
            if not len(left):
                break
        result[begin : begin + _CHUNK] = open_
    return result


def taut(
    ways: np.ndarray,
    hidden: np.ndarray,
    free: np.ndarray,
    known: np.ndarray,
    known_points: np.ndarray,
    spacing: np.ndarray,
) -> np.ndarray:
    """Pull ways taut: straight from bend to bend, bends at the edges of what is closed.

    Differences of voxels on a lattice make a way round an edge about a voxel too long. Here each voxel looks back to the bends (or points
    of the surface) that its neighbours' ways come from, and where none is in sight, it bends round an edge beside a neighbour; the nearest
    point of a straight edge between two others follows from their distances to it (a taut string).

    Parameters
    ----------
    ways
        From `march`, whose order is kept (z, y, x).
    hidden
        Voxels to improve: open at a cost of 1.
    known, known_points
        Voxels (n, 3) beside them that see the surface, and where (n, 3; in voxels).

    References
    ----------
    Nash A et al., AAAI 2007:1177 (any-angle paths).
    """
    pad = 2
    shape = tuple(n + 2 * pad for n in ways.shape)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    t = np.pad(ways, pad, constant_values=np.inf).ravel()
    open_ = np.pad(free, pad)
    edges = _edges(open_)
    anchor = np.full(t.size, -1, np.int32)
    anchor[(known + pad) @ strides] = np.arange(len(known))
    places, bases = [np.asarray(known_points, np.float32) + pad], [np.zeros(len(known), np.float32)]
    count = len(known)
    step = spacing.astype(np.float32)
    cube = lambda r: np.stack(np.meshgrid(*[np.arange(-r, r + 1)] * 3, indexing="ij"), -1).reshape(-1, 3) @ strides
    around, wider = cube(1), cube(2)
    cornered = np.any([e[0] for e in edges], axis=0)
    todo = np.flatnonzero(np.pad(hidden, pad).ravel() & np.isfinite(t))
    todo = todo[np.argsort(t[todo], kind="stable")]
    bounds: list[int] = []
    if len(todo):
        bounds = np.searchsorted(t[todo], np.arange(t[todo[0]], t[todo[-1]] + 1, step.min() / 2)).tolist()
    length = lambda v: np.sqrt(((v * step) ** 2).sum(axis=-1))
    ordered = [todo[a:b] for a, b in zip(bounds, [*bounds[1:], len(todo)])]
    # What a first round left, since its neighbours came later, a second one finds.
    for at in [*ordered, *ordered]:
        at = at[anchor[at] < 0]
        if not len(at):
            continue
        place, base = np.concatenate(places), np.concatenate(bases)
        places, bases = [place], [base]
        here = np.stack(np.unravel_index(at, shape), axis=1).astype(np.float32)
        near = at[:, None] + around
        back = anchor[near]
        value = np.where(back >= 0, base[back] + length(here[:, None] - place[back]), np.inf)
        found, chosen, shortest = _straight(open_, here, back, value, place)
        t[at[found]], anchor[at[found]] = shortest, chosen
        row = np.setdiff1d(np.arange(len(at)), found)
        if not len(row):
            continue
        close = at[row][:, None] + wider
        turn, column = np.nonzero(cornered[close] & (anchor[close] >= 0))
        if not len(turn):
            continue
        by = close[turn, column]
        made = _bend(here[row], turn, by, anchor[by], edges, place, base, open_, length)
        bent, where, so_far, total = made
        t[at[row[bent]]] = total
        anchor[at[row[bent]]] = count + np.arange(len(total))
        places.append(where)
        bases.append(so_far)
        count += len(total)
    inner = (slice(pad, -pad),) * 3
    return t.reshape(shape)[inner]


def _straight(
    free: np.ndarray, here: np.ndarray, back: np.ndarray, value: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The shortest way from each voxel straight to a bend in sight; up to three bends are tried.

    `back` (n, neighbours) numbers the bends in `place` that a voxel's neighbours look back to, `value` is the way's length by each; what
    was tried in vain is struck out in it.

    Returns
    -------
    Which of the voxels have one, to which bend, and its length.
    """
    none = np.zeros(0, np.int64)
    found, chosen, length = [none], [none.astype(back.dtype)], [none.astype(value.dtype)]
    done = np.zeros(len(here), bool)
    for _ in range(3):
        best = value.argmin(axis=1)
        row = np.flatnonzero(~done & np.isfinite(value[np.arange(len(here)), best]))
        if not len(row):
            break
        bend = back[row, best[row]]
        clear = sees(free, place[bend], here[row])
        found.append(row[clear])
        chosen.append(bend[clear])
        length.append(value[row, best[row]][clear])
        done[row[clear]] = True
        value[row] = np.where(back[row] == bend[:, None], np.inf, value[row])
    return np.concatenate(found), np.concatenate(chosen), np.concatenate(length)


_OFF = 0.499  # a bend lies this far (in voxels) from the centre of the voxel beside the edge: just off the edge, so that lines graze it


def _edges(free: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Of each kind of edge: which open voxels have a closed one across it and open ones on both sides, the way to it, and its axis."""
    found = []
    roll = lambda shift: np.roll(free, [-s for s in shift], (0, 1, 2))
    for axis in range(3):
        u, v = (a for a in range(3) if a != axis)
        for p in (-1, 1):
            for q in (-1, 1):
                one, two = np.zeros(3, int), np.zeros(3, int)
                one[u], two[v] = p, q
                corner = free & ~roll(one + two) & roll(one) & roll(two)
                found.append((corner.ravel(), (one + two) * np.float32(_OFF), axis))
    return found


def _bend(
    here: np.ndarray,
    turn: np.ndarray,
    by: np.ndarray,
    back: np.ndarray,
    edges: list[tuple[np.ndarray, np.ndarray, int]],
    place: np.ndarray,
    base: np.ndarray,
    free: np.ndarray,
    length: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ways to voxels `here` that bend round an edge close by.

    `turn` is the voxel's number, `by` the voxel at the edge, `back` that one's own bend.

    Returns
    -------
    Which of the voxels have one, where it bends, its length to there and in all.
    """
    best = np.full(len(here), np.inf, np.float32)
    bend, so_far = np.zeros((len(here), 3), np.float32), np.zeros(len(here), np.float32)
    for corner, off, axis in edges:
        fits = corner[by]
        row = turn[fits]
        if not len(row):
            continue
        voxel = np.stack(np.unravel_index(by[fits], free.shape), axis=1)
        point, source, target = (voxel + off).astype(np.float32), place[back[fits]], here[row]
        # The string's point on the edge divides it as the distances of its ends from the edge do; it stays beside its voxel.
        across = np.arange(3) != axis
        to_source, to_target = length((source - point) * across), length((target - point) * across)
        share = to_source / np.maximum(to_source + to_target, 1e-6)
        along = source[:, axis] + share * (target[:, axis] - source[:, axis])
        point[:, axis] = np.clip(along, point[:, axis] - 0.5, point[:, axis] + 0.5)
        gone = base[back[fits]] + length(point - source)
        total = gone + length(target - point)
        order = np.argsort(-total, kind="stable")  # of equal rows, the last one written is the shortest
        order = order[total[order] < best[row[order]]]
        order = order[sees(free, point[order], target[order])]
        best[row[order]], bend[row[order]], so_far[row[order]] = total[order], point[order], gone[order]
    bent = np.isfinite(best)
    return bent, bend[bent], so_far[bent], best[bent]


def march(
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
        return _eikonal(np.stack(sides), np.stack(weights) ** 2)

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


def _eikonal(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The largest root of ``sum of w (value - a)^2 = 1`` over the axes that the way comes along: those with ``a`` below the value.

    `a` are the neighbours' values by axis (3, n), infinite where there is none, `w` the squares of the inverse steps.
    """
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
