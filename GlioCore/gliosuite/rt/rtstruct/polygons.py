"""Areas of closed polygons in one plane, however they lie: apart, nested, across each other or across themselves.

An area is exact: the plane is cut into strips at all vertices and crossings, and within a strip edges are straight and in a fixed order.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_SNAP = 1e-6  # of a mm or pixel: far below what files hold (1e-4), far above the rounding of turned coordinates
# Chosen, as shares of the smaller of two loops. Below the first they only touch; a loop is a hole where all but a tenth of it, drawn a
# little over the edge, lies in another; and two loops that share nearly all are one, drawn twice.
_TOUCH, _HOLE, _SAME = 1e-3, 0.9, 0.995
_CROSSES_ITSELF = 1e-3  # share of a loop's area that its windings may disagree by: corners that are cut, rounding
_PIECES = 2_000_000  # pieces of edges at a time: some 0.2 GB
_PASSES = 60  # of cutting strips at crossings: each finds at least one crossing more in every strip that has some


def shoelace(polygon: np.ndarray) -> float:
    """Signed area of one closed polygon (n, 2)."""
    x, y = (polygon - polygon[0]).T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def area(polygons: Sequence[np.ndarray], groups: Sequence[Sequence[int]] | None = None) -> float:
    """Area inside an odd number of windings of closed polygons (n, 2); square units of the points.

    With `groups` (indices of polygons), what counts is the number of groups that a point lies in, within any of the group's polygons.
    """
    if groups is not None and all(len(g) == 1 for g in groups):
        groups = None
    return sum(_area(edges, len(polygons), groups) for edges in _bands(*_edges(polygons))) if polygons else 0.0


def crossing_themselves(polygons: Sequence[np.ndarray]) -> int:
    """How many polygons lie across themselves: the signed areas of their windings do not add up to what is inside."""
    pairs = ((area([p]), abs(shoelace(p))) for p in polygons)
    return sum(abs(inside - signed) > _CROSSES_ITSELF * max(inside, signed) for inside, signed in pairs)


def grouped(polygons: Sequence[np.ndarray]) -> tuple[list[list[int]], int]:
    """Sort the loops of one plane into what belongs together: loops that overlap without one being a hole of the other are joined.

    Returns
    -------
    tuple
        Groups of indices, and how many loops lie across others.
    """
    root = list(range(len(polygons)))
    across: set[int] = set()
    near = _near(polygons)
    alone = {i: area([polygons[i]]) for i in np.unique(near).tolist()}
    for i, j in near.tolist():
        if not (alone[i] and alone[j]):
            continue
        shared = 0.5 * (alone[i] + alone[j] - area([polygons[i], polygons[j]]))
        small, large = sorted((alone[i], alone[j]))
        if shared > _SAME * large or _TOUCH * small < shared < _HOLE * small:
            old, new = root[j], root[i]
            root = [new if r == old else r for r in root]
        if _TOUCH * small < shared < (1 - _TOUCH) * small:
            across |= {i, j}
    groups: dict[int, list[int]] = {}
    for i, r in enumerate(root):
        groups.setdefault(r, []).append(i)
    return list(groups.values()), len(across)


def _near(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Pairs (n, 2) of polygons that may overlap: none where all lie apart, else those whose boxes do."""
    if len(polygons) < 2:
        return np.empty((0, 2), int)
    low, high = (np.array([f(p, axis=0) for p in polygons]) for f in (np.min, np.max))
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    stop = np.searchsorted(low[:, 0], high[:, 0])  # boxes from here on begin beyond this one's end
    pairs = [
        (i, j)
        for i in range(len(order))
        for j in i + 1 + np.flatnonzero((low[i + 1 : stop[i], 1] < high[i, 1]) & (high[i + 1 : stop[i], 1] > low[i, 1]))
    ]
    found = np.sort(order[np.array(pairs, int).reshape(-1, 2)], axis=1)
    if len(found) > len(polygons):  # many islands: mostly they only fit into each other's bays
        total = sum(area([p]) for p in polygons)
        if total - area(polygons) <= 1e-9 * total:
            return found[:0]
    return found


_Edges = tuple[np.ndarray, np.ndarray, np.ndarray]


def _edges(polygons: Sequence[np.ndarray]) -> _Edges:
    """Lower and upper ends (n, 2) of all edges that are not level, and which polygon each belongs to."""
    snapped = [np.round(np.asarray(p, float) / _SNAP) * _SNAP for p in polygons]
    start = np.concatenate(snapped)
    end = np.concatenate([np.roll(p, -1, axis=0) for p in snapped])
    loop = np.repeat(np.arange(len(polygons)), [len(p) for p in polygons])
    rises = start[:, 1] != end[:, 1]
    start, end, loop = start[rises], end[rises], loop[rises]
    down = (start[:, 1] > end[:, 1])[:, None]
    return np.where(down, end, start), np.where(down, start, end), loop


def _bands(start: np.ndarray, end: np.ndarray, loop: np.ndarray) -> Iterator[_Edges]:
    """The edges in bands one above the other, so few in each that their pieces fit into memory."""
    levels = np.unique(np.concatenate([start[:, 1], end[:, 1]]))
    pieces = int((np.searchsorted(levels, end[:, 1]) - np.searchsorted(levels, start[:, 1])).sum())
    if pieces <= _PIECES or len(levels) < 3:
        yield start, end, loop
        return
    middle = levels[len(levels) // 2]
    share = ((middle - start[:, 1]) / (end[:, 1] - start[:, 1]))[:, None]
    cut = np.where((share > 0) & (share < 1), start + share * (end - start), np.where(share >= 1, end, start))
    cut[((share > 0) & (share < 1))[:, 0], 1] = middle
    for inside, low, high in ((share > 0, start, cut), (share < 1, cut, end)):
        kept = inside[:, 0]
        yield from _bands(low[kept], high[kept], loop[kept])


def _area(edges: _Edges, count: int, groups: Sequence[Sequence[int]] | None) -> float:
    """What `area` adds up in one band."""
    strip, loop, middle, height = _strips(*edges)
    if not strip.size:
        return 0.0
    if groups is None:
        # A strip's edges come in pairs, from left to right: an odd one opens what the even one behind it closes.
        first = np.flatnonzero(np.diff(strip, prepend=-1))
        place = np.arange(len(strip)) - np.repeat(first, np.diff(np.append(first, len(strip))))
        return float(np.sum((2 * (place & 1) - 1) * middle * height))
    passed = np.cumsum(loop[:, None] == np.arange(count), axis=0)  # every loop closes in each strip: parity starts anew
    inside = np.stack([(passed[:, list(g)] & 1).any(axis=1) for g in groups], axis=1).sum(axis=1) & 1
    return float(np.sum(inside * np.append(np.diff(middle), 0.0) * height))


def _strips(
    start: np.ndarray, end: np.ndarray, loop: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each edge's pieces, from strip to strip and from left to right: strip, polygon, middle in x, height."""
    slope = (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
    levels = np.unique(np.concatenate([start[:, 1], end[:, 1]]))
    for _ in range(_PASSES):
        first = np.searchsorted(levels, start[:, 1])
        count = np.searchsorted(levels, end[:, 1]) - first
        edge = np.repeat(np.arange(len(start)), count)
        strip = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        low, high = levels[strip], levels[strip + 1]
        x_low, x_high = (start[edge, 0] + (y - start[edge, 1]) * slope[edge] for y in (low, high))
        order = np.lexsort((x_low + x_high, strip))
        edge, strip, low, high, x_low, x_high = (v[order] for v in (edge, strip, low, high, x_low, x_high))
        # Neighbours in the middle that are the other way round at one end cross in between.
        a, b = x_low[1:] - x_low[:-1], x_high[1:] - x_high[:-1]
        swapped = np.flatnonzero((strip[1:] == strip[:-1]) & (np.minimum(a, b) < -_SNAP) & (np.maximum(a, b) > 0))
        if not swapped.size:
            break
        share = a[swapped] / (a[swapped] - b[swapped])
        crossing = low[swapped] + share * (high[swapped] - low[swapped])
        more = np.unique(np.concatenate([levels, crossing]))
        if len(more) == len(levels):
            break
        levels = more
    return strip, loop[edge], 0.5 * (x_low + x_high), high - low
