"""Outlines of voxels as polygons, and polygons back to voxels; all in pixel coordinates, where a pixel's centre has whole numbers.

An outline runs along voxel edges, so that its area is the voxels' area and every reader that tests voxel centres gets the same voxels
back. A hole is joined to what surrounds it by a keyhole (a cut of no width), since many readers fill nested loops.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .polygons import shoelace

# Voxels that touch at a corner alone get their corners cut by this share of a pixel: readers that undo keyholes look for coinciding points
# (SlicerRT: closer than 0.001 mm) and would take such a corner for one.
_CORNER = 0.02
# Explicit VR stores at most 65534 bytes in a DS element: 1900 points of three numbers with four decimals.
MAX_POINTS = 1900


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Trace a 2-D mask along its voxel edges, one closed polygon per component, holes joined to it by keyholes.

    Components are 4-connected: voxels that touch at a corner alone come apart. Only corners are kept, no points along straight edges.

    Parameters
    ----------
    mask
        Boolean (y, x).

    Returns
    -------
    list of (n, 2) arrays
        Points (x, y); the first is not repeated at the end. A component with more than `MAX_POINTS` points is cut in two.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    corner = np.array([columns[0], rows[0]])
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    polygons = []
    for polygon in _component_polygons(inside):
        if len(polygon) > MAX_POINTS:
            middle = int(np.clip(round(float(np.median(polygon[:, 1]))), 1, inside.shape[0] - 1))
            if len(inside) > 1:
                upper, lower = inside.copy(), inside.copy()
                upper[middle:], lower[:middle] = False, False
                return [p + corner for half in (upper, lower) for p in outlines(half)]
        polygons.append(polygon + corner)
    return polygons


def _component_polygons(mask: np.ndarray) -> list[np.ndarray]:
    loops, double = _loops(mask)
    labels, _ = ndimage.label(mask)
    outer: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    holes: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for loop, cut in zip(loops, double):
        start = int(np.lexsort((loop[:, 0], loop[:, 1]))[0])  # topmost, then leftmost
        loop, cut = np.roll(loop, -start, axis=0), np.roll(cut, -start)
        x, y = loop[0]
        # A lattice point (x, y) is the corner shared by pixels (x-1, y-1) ... (x, y). At the topmost point of an outline the pixel right
        # below belongs to the component; at that of a hole it does not, while the one left above does.
        hole = not (y < mask.shape[0] and x < mask.shape[1] and mask[y, x])
        if (
            shoelace(loop) > 0
        ) == hole:  # holes run the other way round, so that a keyholed polygon's signed area is right
            loop, cut = np.roll(loop[::-1], 1, axis=0), np.roll(cut[::-1], 1)
        if not hole:
            outer[labels[y, x]] = (loop, cut)
        else:
            holes.setdefault(labels[y - 1, x - 1], []).append((loop, cut))
    full = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), bool)  # lattice points with all four pixels inside
    full[1:-1, 1:-1] = mask[:-1, :-1] & mask[:-1, 1:] & mask[1:, :-1] & mask[1:, 1:]
    return [_finish(*_bridge(polygon, holes.get(label, []), full)) for label, polygon in outer.items()]


def _loops(mask: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All boundary loops as lattice corners (x, y), and per corner whether two voxels meet there at a corner alone."""
    p = np.pad(mask, 1)
    ul, ur, ll, lr = p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]
    count = ul.astype(np.int8) + ur + ll + lr
    single = np.argwhere((count & 1) == 1)
    falling = np.argwhere((count == 2) & ul & lr)  # touching along a falling diagonal
    rising = np.argwhere((count == 2) & ur & ll)
    nodes = np.concatenate([single, falling, falling, rising, rising])
    touching = np.repeat((False, True), (len(single), 2 * len(falling) + 2 * len(rising)))
    # A touching point is two corners, one of each voxel. Along its row the left voxel's comes first, along its column the upper one's.
    in_row = np.concatenate(
        [np.zeros(len(single)), *([np.full(len(d), k)] for d in (falling, rising) for k in (0, 1))], axis=None
    )
    in_column = np.concatenate(
        [
            np.zeros(len(single)),
            np.zeros(len(falling)),
            np.ones(len(falling)),
            np.ones(len(rising)),
            np.zeros(len(rising)),
        ]
    )
    y, x = nodes[:, 0], nodes[:, 1]
    across, along = np.empty(len(nodes), int), np.empty(len(nodes), int)
    for partner, order in ((across, np.lexsort((in_row, x, y))), (along, np.lexsort((in_column, y, x)))):
        pairs = order.reshape(-1, 2)  # edges start and end at corners, so corners of a row pair up in turn
        partner[pairs[:, 0]], partner[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    across_list, along_list = across.tolist(), along.tolist()
    seen = [False] * len(nodes)
    loops, double = [], []
    for start in range(len(nodes)):
        if seen[start]:
            continue
        loop: list[int] = []
        node = start
        while not seen[node]:
            after = across_list[node]
            seen[node] = seen[after] = True
            loop += (node, after)
            node = along_list[after]
        loops.append(np.stack([x[loop], y[loop]], axis=1))
        double.append(touching[loop])
    return loops, double


def _bridge(
    polygon: tuple[np.ndarray, np.ndarray], holes: list[tuple[np.ndarray, np.ndarray]], full: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Join holes to the polygon by keyholes that run left along a lattice line, inside the component, from each hole's first corner.

    Taken from top to bottom and left to right, what a hole's keyhole runs into has been joined before, so there is no cycle; and all
    keyholes lie half-way between voxel centres.
    """
    points, cut = polygon
    for hole, hole_cut in sorted(holes, key=lambda h: (h[0][0, 1], h[0][0, 0])):
        x, y = hole[0]
        stop = x - 1 - int(np.argmin(full[y, x - 1 :: -1]))
        at = np.flatnonzero((points[:, 0] == stop) & (points[:, 1] == y))
        if at.size:
            index = int(at[0])
            joint, joint_cut = np.empty((0, 2), points.dtype), np.empty(0, bool)
        else:
            after = np.roll(points, -1, axis=0)
            low, high = np.minimum(points[:, 1], after[:, 1]), np.maximum(points[:, 1], after[:, 1])
            index = int(np.flatnonzero((points[:, 0] == stop) & (after[:, 0] == stop) & (low < y) & (y < high))[0])
            joint, joint_cut = np.array([[stop, y]]), np.zeros(1, bool)
        end = np.array([[stop, y]])
        points = np.concatenate([points[: index + 1], joint, hole, hole[:1], end, points[index + 1 :]])
        cut = np.concatenate([cut[: index + 1], joint_cut, hole_cut, [False], [False], cut[index + 1 :]])
    return points, cut


def _finish(points: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Lattice corners to pixel coordinates, touching corners cut off."""
    result = points.astype(float)
    if cut.any():
        toward = lambda other: _CORNER * np.sign(other - points)
        pairs = np.stack([points + toward(np.roll(points, 1, 0)), points + toward(np.roll(points, -1, 0))], axis=1)
        keep = np.ones((len(points), 2), bool)
        keep[~cut, 1] = False
        pairs[~cut, 0] = points[~cut]
        result = pairs[keep]
    return result - 0.5


def fill(
    polygons: Sequence[np.ndarray], shape: tuple[int, int], groups: Sequence[Sequence[int]] | None = None
) -> np.ndarray:
    """Pixels (y, x) whose centre lies inside an odd number of the polygons' windings: holes, nested loops and keyholes alike.

    With `groups` (indices of polygons), what counts is the number of groups that a pixel lies in, within any of the group's polygons.
    """
    if groups is not None and any(len(g) > 1 for g in groups):
        parts = [np.any([fill([polygons[i]], shape) for i in g], axis=0) for g in groups]
        return np.logical_xor.reduce(parts)
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    for polygon in polygons:
        start, end = polygon, np.roll(polygon, -1, axis=0)
        upward = start[:, 1] > end[:, 1]
        start, end = np.where(upward[:, None], end, start), np.where(upward[:, None], start, end)
        # Half-open in y: a row through a vertex meets just one of its two edges, and level edges meet none. Both sides of a keyhole are
        # the same edge from the same end, so they meet a row at the very same place.
        first = np.clip(np.ceil(start[:, 1]), 0, shape[0]).astype(int)
        last = np.clip(np.ceil(end[:, 1]), 0, shape[0]).astype(int)
        edge = np.repeat(np.arange(len(polygon)), last - first)
        if not edge.size:
            continue
        rows = np.arange(edge.size) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[edge]
        share = (rows - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
        x = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
        np.add.at(crossings, (rows, np.clip(np.ceil(x), 0, shape[1]).astype(int)), 1)
    return (np.cumsum(crossings, axis=1)[:, :-1] & 1).astype(bool)
