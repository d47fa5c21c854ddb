"""Outlines of voxels without steps: level lines of the lightly smoothed mask, each at the level that keeps its voxels' area.

In pixel coordinates, as `contours`. A component and each of its holes are smoothed on their own, so none of them merges or vanishes, and
every one keeps its area (to 0.02 %); the staircase goes, corners are rounded. A component that is too thin for it keeps its voxel edges:
where the two sides of a wall would cross, or no level has its area (a line one pixel wide breaks up as the level rises).
"""

import numpy as np
from scipy import ndimage

from .contours import MAX_POINTS, outlines
from .polygons import shoelace

_SIGMA = 1.0  # pixels: as much as a step is wide
_TOLERANCE = 2e-4  # of the area: a tenth of what a smooth structure's volume may be off by
# From one edge of a cell of four pixel centres to another, the inside on the left hand; cells by tl + 2 tr + 4 br + 8 bl.
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_SEGMENTS = {
    1: ((_LEFT, _TOP),), 2: ((_TOP, _RIGHT),), 4: ((_RIGHT, _BOTTOM),), 8: ((_BOTTOM, _LEFT),),
    3: ((_LEFT, _RIGHT),), 6: ((_TOP, _BOTTOM),), 12: ((_RIGHT, _LEFT),), 9: ((_BOTTOM, _TOP),),
    7: ((_LEFT, _BOTTOM),), 14: ((_TOP, _LEFT),), 13: ((_RIGHT, _TOP),), 11: ((_BOTTOM, _RIGHT),),
    5: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)), 10: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
}  # fmt: skip


def smooth_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Smooth closed polygons around a 2-D mask (y, x), one per component, holes joined to it by keyholes.

    Returns
    -------
    list of (n, 2) arrays
        Points (x, y); the first is not repeated at the end.
    """
    labels, _ = ndimage.label(mask)
    polygons = []
    for i, box in enumerate(ndimage.find_objects(labels), start=1):
        component = np.pad(labels[box] == i, 1)
        corner = np.array([box[1].start - 1, box[0].start - 1])
        around, count = ndimage.label(~component, np.ones((3, 3)))  # 1 is what lies around: it holds the first pixel
        lines = level_lines(around != 1)
        # A narrow bay may close to a hole of its own; then its line runs the other way round.
        outer = [loop for loop in lines if shoelace(loop) > 0]
        holes = [loop[::-1] for loop in lines if shoelace(loop) < 0]
        for k in range(2, count + 1):
            for loop in level_lines(around == k):
                (holes if shoelace(loop) > 0 else outer).append(loop if shoelace(loop) > 0 else loop[::-1])
        area = sum(map(shoelace, outer)) - sum(map(shoelace, holes))
        if abs(area / component.sum() - 1) > 1e-3 or not _apart(outer, holes):
            polygons += [p + corner for p in outlines(component)]
            continue
        total = sum(len(loop) for loop in (*outer, *holes)) + 4 * len(holes)
        stride = -(-total // MAX_POINTS)
        outer, holes = ([p[::stride] if len(p) >= 4 * stride else p for p in loops] for loops in (outer, holes))
        polygons += [p + corner for p in _joined(outer, holes)]
    return polygons


def _apart(outer: list[np.ndarray], holes: list[np.ndarray]) -> bool:
    """Whether every hole lies within one outline, and no hole within another."""
    in_one = all(any(_within(hole, loop).all() for loop in outer) for hole in holes)
    return in_one and not any(_within(a, b).any() for a in holes for b in holes if a is not b)


def _within(points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Which points (n, 2) lie inside a closed polygon."""
    low, high = loop.min(axis=0), loop.max(axis=0)
    result = ((points >= low) & (points <= high)).all(axis=1)
    if result.any():
        x, y = points[result].T
        after = np.roll(loop, -1, axis=0)
        spans = (loop[:, 1] <= y[:, None]) != (after[:, 1] <= y[:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (after[:, 0] - loop[:, 0]) / (after[:, 1] - loop[:, 1])
            at = loop[:, 0] + slope * (y[:, None] - loop[:, 1])
        result[result] = np.sum(spans & (at > x[:, None]), axis=1) % 2 == 1
    return result


def level_lines(mask: np.ndarray) -> list[np.ndarray]:
    """Closed level lines (n, 2) of a smoothed 2-D mask that together have its area; signed areas are positive around what is inside."""
    pad = int(np.ceil(4 * _SIGMA)) + 1
    field = ndimage.gaussian_filter(np.pad(mask, pad).astype(float), _SIGMA, mode="constant")
    wanted = float(mask.sum())
    low, high = 0.0, float(field.max())
    level = min(0.5, 0.5 * high)
    for _ in range(60):
        starts, ends = _segments(field, level)
        area = abs(0.5 * float(np.sum(starts[1][:, 0] * ends[1][:, 1] - ends[1][:, 0] * starts[1][:, 1])))
        if abs(area / wanted - 1) <= _TOLERANCE:
            break
        low, high = (level, high) if area > wanted else (low, level)
        # An outline of this length moves out by the missing area over its length; its slope there is that of the smoothed edge.
        length = float(np.linalg.norm(ends[1] - starts[1], axis=1).sum())
        guess = level + (area - wanted) / max(length, 1.0) / (_SIGMA * np.sqrt(2 * np.pi))
        level = guess if low < guess < high else 0.5 * (low + high)
    following = dict(zip(starts[0].tolist(), ends[0].tolist()))
    place = dict(zip(starts[0].tolist(), starts[1].tolist()))
    loops = []
    while following:
        first, node = next(iter(following.items()))
        del following[first]
        loop = [place[first]]
        while node != first:
            loop.append(place[node])
            node = following.pop(node)
        loops.append(np.array(loop)[::-1] - pad)
    return [loop for loop in loops if len(loop) >= 3 and abs(shoelace(loop)) > 1e-3]


def _segments(field: np.ndarray, level: float) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The pieces of the level lines: edge numbers and points (x, y) where each starts, and where it ends."""
    inside = field >= level
    code = inside[:-1, :-1] + 2 * inside[:-1, 1:] + 4 * inside[1:, 1:] + 8 * inside[1:, :-1].astype(np.int8)
    y, x = np.nonzero((code > 0) & (code < 15))
    kind = code[y, x]
    starts, ends = [], []
    for k, pieces in _SEGMENTS.items():
        chosen = kind == k
        if chosen.any():
            for start, end in pieces:
                starts.append(_crossing(field, level, y[chosen], x[chosen], start))
                ends.append(_crossing(field, level, y[chosen], x[chosen], end))
    joined = lambda parts: (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    return joined(starts), joined(ends)


def _crossing(
    field: np.ndarray, level: float, y: np.ndarray, x: np.ndarray, edge: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of cells' edges, and where (x, y) the level crosses them."""
    y, x = y + (edge == _BOTTOM), x + (edge == _RIGHT)
    upright = edge in (_LEFT, _RIGHT)
    a, b = field[y, x], field[y + upright, x + (not upright)]
    share = (level - a) / (b - a)
    points = np.stack([x + (0.0 if upright else share), y + (share if upright else 0.0)], axis=1)
    return (y * field.shape[1] + x) * 2 + upright, points


def _joined(outer: list[np.ndarray], holes: list[np.ndarray]) -> list[np.ndarray]:
    """Holes joined to what surrounds them by keyholes that run left, half-way between pixel centres where there is room."""
    starts = sorted((_start(hole) for hole in holes), key=lambda s: s[0][0])
    for at, hole in starts:
        best = None
        for i, polygon in enumerate(outer):
            after = np.roll(polygon, -1, axis=0)
            spans = np.flatnonzero((polygon[:, 1] <= at[1]) != (after[:, 1] <= at[1]))
            share = (at[1] - polygon[spans, 1]) / (after[spans, 1] - polygon[spans, 1])
            x = polygon[spans, 0] + share * (after[spans, 0] - polygon[spans, 0])
            x[x >= at[0]] = -np.inf
            if x.size and np.isfinite(x.max()) and (best is None or x.max() > best[0]):
                best = (float(x.max()), i, int(spans[np.argmax(x)]))
        if best is None:
            outer.append(hole)
            continue
        end = np.array([[best[0], at[1]]])
        polygon = outer[best[1]]
        cut = best[2] + 1
        outer[best[1]] = np.concatenate([polygon[:cut], end, at[None], hole[::-1], at[None], end, polygon[cut:]])
    return outer


def _start(hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a hole's keyhole leaves it, near its leftmost point, and the hole from there on round."""
    after = np.roll(hole, -1, axis=0)
    y = float(hole[np.argmin(hole[:, 0]), 1])
    y = float(np.clip(np.floor(y) + 0.5, hole[:, 1].min() + 1e-3, hole[:, 1].max() - 1e-3))
    spans = np.flatnonzero((hole[:, 1] <= y) != (after[:, 1] <= y))
    share = (y - hole[spans, 1]) / (after[spans, 1] - hole[spans, 1])
    x = hole[spans, 0] + share * (after[spans, 0] - hole[spans, 0])
    first = int(spans[np.argmin(x)])
    return np.array([float(x.min()), y]), np.roll(hole, -first - 1, axis=0)
