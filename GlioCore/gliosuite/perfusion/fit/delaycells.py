"""In which cell of the delay grid each voxel's fit (DCE, with a delay) starts, and where in it.

Within a cell between two neighbouring delays all curves are smooth; between cells the AIF has corners, so that the sum of squares has local
minima along the delay. All local maxima of what the search saw explained are refined from both sides, on into the next cell where it rises
towards that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back, blocks, each
from ...steps import Progress, part, silent
from .starts import Starts

_TIE = 3e-3  # of the residual: chosen, because two starts that differ less may change places when they are polished
_MOST_CROSSINGS = 6  # of cells; chosen as a bound on the work
_ON_BORDER = 1e-4  # of a cell
_NEAR_BORDER = 0.3  # of a cell: chosen, because beyond the border there may be another maximum, as near to it
# Where a refinement starts, from the middle of the cell (-1 to 1): half the way to the node, or just beyond the border that was reached.
_TOWARDS_NODE, _BEYOND_BORDER, _NEXT_CELL = 0.5, 0.9, 0.2


@dataclass(frozen=True)
class StartNodes:
    """Grid nodes to start from (n,): the voxel's number, indices of the delay and of the rate, and `refine.BOTH` and the like."""

    voxel: np.ndarray
    delay: np.ndarray
    rate: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True)
class Maxima:
    """For voxels (n,): parameters with the delay last (p, n), the cell, and the sum of squares explained."""

    start: np.ndarray
    cell: np.ndarray
    explained: np.ndarray

    def replaced(self, at: np.ndarray, other: "Maxima", which: np.ndarray) -> "Maxima":
        """With the rows `at` taken from the rows `which` of another; where `at` repeats, the last one stays."""
        start, cell, explained = self.start.copy(), self.cell.copy(), self.explained.copy()
        start[:, at], cell[at], explained[at] = other.start[:, which], other.cell[which], other.explained[which]
        return Maxima(start, cell, explained)

    def rows(self, which: np.ndarray) -> "Maxima":
        """Some voxels only."""
        return Maxima(self.start[:, which], self.cell[which], self.explained[which])


def join(parts: list[StartNodes]) -> StartNodes:
    """One after the other."""
    joined = lambda name: np.concatenate([getattr(p, name) for p in parts])
    return StartNodes(joined("voxel"), joined("delay"), joined("rate"), joined("kind"))


def starting_cells(
    starts: Starts, y: Any, energy: np.ndarray, best: StartNodes, others: StartNodes, block: int, progress: Progress
) -> tuple[Maxima, np.ndarray, Maxima]:
    """The best start of each of the voxels of `best`; and, of some of them, another that only the polish can distinguish from it.

    Parameters
    ----------
    y, energy
        Coordinates (r, N) and sums of squares (N,) of all voxels.
    best, others
        One node per voxel, and further local maxima of some.
    block
        Starts per task.

    Returns
    -------
    first, ambiguous, second
        `first` in the order of `best`; `ambiguous` (m,) indices into it, `second` what else to polish for these.
    """
    count = best.voxel.size
    refinement = _Refinement(starts, y, join([best, others]), block)
    sides = refinement.from_both_sides(progress)
    higher, lower, lower_explains = refinement.ranked(sides)
    first, second = sides.rows(higher[:count]), sides.rows(lower[:count])
    second = Maxima(second.start, second.cell, lower_explains[:count])
    position = np.full(energy.size, -1)
    position[best.voxel] = np.arange(count)
    # Other local maxima, rising, so that of several of one voxel the highest is written last.
    local = higher[count:][np.argsort(sides.explained[higher[count:]], kind="stable")]
    owner = position[refinement.nodes.voxel[local % refinement.size]]
    wins = sides.explained[local] > first.explained[owner]
    loses = ~wins & (sides.explained[local] > second.explained[owner])
    second = second.replaced(owner[loses], sides, local[loses]).replaced(owner[wins], first, owner[wins])
    first = first.replaced(owner[wins], sides, local[wins])
    residual = energy[best.voxel] - first.explained
    ambiguous = np.flatnonzero((first.explained - second.explained <= _TIE * residual) & (first.cell != second.cell))
    return first, ambiguous, second.rows(ambiguous)


@dataclass(frozen=True)
class _Refinement:
    """Refines `nodes`, each from the cell before its delay (entries 0 to n - 1) and from the one after it (n to 2 n - 1)."""

    starts: Starts
    y: Any
    nodes: StartNodes
    block: int

    @property
    def size(self) -> int:
        return self.nodes.voxel.size

    @property
    def cell_s(self) -> float:
        delays = self.starts.bases.delays
        return float(delays[1] - delays[0])

    def _refined(self, entry: np.ndarray, cells: np.ndarray, z: np.ndarray, progress: Progress) -> Maxima:
        """The local maxima of entries, each in a cell, from z (-1 to 1)."""
        starts, nodes = self.starts, self.nodes
        node = entry % self.size
        starts.need(cells, nodes.rate)
        expansion = starts.expansions.index(cells, nodes.rate[node])
        order = np.argsort(expansion, kind="stable")
        device = starts.bases.device

        def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
            some = order[rows]
            which = node[some]
            y = self.y[:, nodes.voxel[which]]
            parameters, delay, explained = starts.refined(y, expansion[some], nodes.kind[which], device.put(z[some]))
            return np.concatenate([back(parameters), back(delay)[None]]), back(explained)

        parts = list(blocks(entry.size, self.block))
        found = each(work, parts, progress, "searching")
        start, explained = np.empty((len(found[0][0]), entry.size)), np.empty(entry.size)
        for rows, (parameters, value) in zip(parts, found):
            start[:, order[rows]], explained[order[rows]] = parameters, value
        return Maxima(start, cells, explained)

    def from_both_sides(self, progress: Progress) -> Maxima:
        """The local maxima of all entries (2 n,), in the cell where they are highest."""
        delays, last = self.starts.bases.delays, self.starts.bases.n_cells - 1
        cells = np.concatenate([np.clip(self.nodes.delay - 1, 0, last), np.clip(self.nodes.delay, 0, last)])
        z = np.repeat([_TOWARDS_NODE, -_TOWARDS_NODE], self.size)
        found = self._refined(np.arange(2 * self.size), cells, z, part(progress, 0.0, 0.9))
        direction = np.repeat([-1, 1], self.size)

        def from_border(some: np.ndarray) -> np.ndarray:
            """Distance (cells) from the border that lies away from the node."""
            border = delays[found.cell[some] + (direction[some] > 0)]
            return np.abs(found.start[-1, some] - border) / self.cell_s

        crossing = np.flatnonzero(from_border(np.arange(2 * self.size)) < _NEAR_BORDER)
        for _ in range(_MOST_CROSSINGS):
            beyond = found.cell[crossing] + direction[crossing]
            crossing = crossing[(beyond >= 0) & (beyond <= last)]
            if not crossing.size:
                break
            on_border = from_border(crossing) < _ON_BORDER
            z = -np.where(on_border, _BEYOND_BORDER, _NEXT_CELL) * direction[crossing]
            further = self._refined(crossing, found.cell[crossing] + direction[crossing], z, silent)
            higher = further.explained > found.explained[crossing]
            crossing = crossing[higher]
            found = found.replaced(crossing, further, np.flatnonzero(higher))
            crossing = crossing[from_border(crossing) < _ON_BORDER]
        return found

    def ranked(self, sides: Maxima) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries of the higher and the lower side of each node (n,), and what the lower one explains (-inf where that is not new)."""
        inner = np.abs(sides.start[-1] - np.tile(self.starts.bases.delays[self.nodes.delay], 2)) > (
            _ON_BORDER * self.cell_s
        )
        before, after = np.arange(self.size), self.size + np.arange(self.size)
        # On a corner both sides are equal but for rounding, which must not decide.
        later = (sides.explained[after] > sides.explained[before]) & inner[after]
        higher, lower = np.where(later, after, before), np.where(later, before, after)
        # Where a side is highest at the node itself, it is nothing new.
        return higher, lower, np.where(inner, sides.explained, -np.inf)[lower]
