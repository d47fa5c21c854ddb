"""In which cell between two delays each voxel's fit starts, and where in it.

Within a cell all curves are smooth; between cells the AIF has corners, so that the sum of squares has local minima along the delay. All
hills that the search saw are climbed from both sides, on into the next cell where they rise towards it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back, blocks, each
from ...steps import Progress, part, silent
from .starts import Starts

_NEAR = 3e-3  # of the residual: two starts that differ less are both polished
_WALK = 6  # cells at most
_EDGE = 1e-4  # of a cell: on its border
_BESIDE = 0.3


@dataclass(frozen=True)
class Nodes:
    """Nodes to start from (n,): the voxel's number, indices of the delay and of the rate, and `refine.PAIR` and the like."""

    voxel: np.ndarray
    late: np.ndarray
    rate: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class Tops:
    """For voxels (n,): parameters with the delay last (p, n), the cell, and what is explained."""

    start: np.ndarray
    cell: np.ndarray
    gain: np.ndarray

    def put(self, at: np.ndarray, other: "Tops", which: np.ndarray) -> None:
        """Replace some voxels by those of another."""
        self.start[:, at] = other.start[:, which]
        self.cell[at], self.gain[at] = other.cell[which], other.gain[which]

    def rows(self, which: np.ndarray) -> "Tops":
        """Some voxels only."""
        return Tops(self.start[:, which], self.cell[which], self.gain[which])


def best_cells(
    starts: Starts, y: Any, energy: np.ndarray, best: Nodes, hills: Nodes, block: int, progress: Progress
) -> tuple[Tops, np.ndarray, Tops]:
    """The best start of each of the voxels of `best`; and, of some of them, another that only the polish can tell from it.

    Parameters
    ----------
    y, energy
        Coordinates (r, N) and sums of squares (N,) of all voxels.
    best, hills
        One node per voxel, and further ones of some.

    Returns
    -------
    first, close, second
        `first` in the order of `best`; `close` (m,) indices into it, `second` what else to polish for these.
    """
    device = starts.bases.device
    count = best.voxel.size
    nodes = Nodes(*(np.concatenate(pair) for pair in zip(vars(best).values(), vars(hills).values())))
    top = starts.bases.n_cells - 1
    cell = np.stack([np.clip(nodes.late - 1, 0, top), np.clip(nodes.late, 0, top)])
    size = nodes.voxel.size

    def climb(entry: np.ndarray, cells: np.ndarray, z: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (p, n) and gains of entries in some cells."""
        node = entry % size
        patch = starts.patches.index(cells, nodes.rate[node])
        order = np.argsort(patch, kind="stable")
        parts = list(blocks(entry.size, block))

        def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
            some = order[rows]
            which = node[some]
            found = starts.refined(y[:, nodes.voxel[which]], patch[some], nodes.kind[which], device.put(z[some]))
            return np.concatenate([back(found[0]), back(found[1])[None]]), back(found[2])

        start, gain = None, np.empty(entry.size)
        for rows, (parameters, gains) in zip(parts, each(work, parts, progress, "searching")):
            start = np.empty((len(parameters), entry.size)) if start is None else start
            start[:, order[rows]], gain[order[rows]] = parameters, gains
        return start, gain

    # From the middle of the patch towards the node.
    start, gain = climb(np.arange(2 * size), cell.ravel(), np.repeat([0.5, -0.5], size), part(progress, 0.0, 0.9))
    cell = cell.ravel()
    delays, step = starts.bases.delays, np.repeat([-1, 1], size)
    gap = float(delays[1] - delays[0])
    off = lambda some: np.abs(start[-1, some] - delays[cell[some] + (step[some] > 0)]) / gap
    outer = lambda some, limit: off(some) < limit
    # Beyond the border there may be another top, as near to it.
    walking = np.flatnonzero(outer(np.arange(2 * size), _BESIDE))
    for _ in range(_WALK):
        walking = walking[(cell[walking] + step[walking] >= 0) & (cell[walking] + step[walking] <= top)]
        if not walking.size:
            break
        beyond = cell[walking] + step[walking]
        further, height = climb(walking, beyond, -np.where(outer(walking, _EDGE), 0.9, 0.2) * step[walking], silent)
        higher = height > gain[walking]
        walking = walking[higher]
        start[:, walking], gain[walking], cell[walking] = further[:, higher], height[higher], beyond[higher]
        walking = walking[outer(walking, _EDGE)]
    inner = np.abs(start[-1] - np.tile(delays[nodes.late], 2)) > _EDGE * gap
    before, after = np.arange(size), size + np.arange(size)
    # Where a side is highest at the node itself, it tells nothing new.
    gain_if_new = np.where(inner, gain, -np.inf)
    # On a corner both sides are equal but for rounding, which must not decide.
    late = (gain[after] > gain[before]) & inner[after]
    one, two = np.where(late, after, before), np.where(late, before, after)
    tops = Tops(start, cell, gain)
    first, second = tops.rows(one[:count]), tops.rows(two[:count])
    second = Tops(second.start, second.cell, gain_if_new[two[:count]])
    place = np.full(energy.size, -1)
    place[best.voxel] = np.arange(count)
    # Other hills, rising, so that of several on one voxel the highest is written last.
    hill = one[count:][np.argsort(gain[one[count:]], kind="stable")]
    owner = place[nodes.voxel[hill % size]]
    wins = gain[hill] > first.gain[owner]
    loses = ~wins & (gain[hill] > second.gain[owner])
    second.put(owner[loses], tops, hill[loses])
    second.put(owner[wins], first, owner[wins])
    first.put(owner[wins], tops, hill[wins])
    left = energy[best.voxel] - first.gain
    close = np.flatnonzero((first.gain - second.gain <= _NEAR * left) & (first.cell != second.cell))
    return first, close, second.rows(close)
