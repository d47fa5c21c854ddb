"""Where the fit of two exponentials starts: the best pair of neighbouring rates, and the best pair of rates far apart.

A single exponential whose rate lies between two nodes is mimicked by the pair of its neighbours. That pair can explain more than the true
one, whose slower rate is only nearly a node: both are found, and climbed, before one is chosen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back
from .bases import Bases
from .search import Found, Nodes, build_nodes, search

_APART = np.log(8.0)  # ln of 1/min: rates above are those of plasma that is washed through


@dataclass(frozen=True)
class Line:
    """Pairs of one faster rate `fast` (its index) with all slower ones."""

    fast: int
    nodes: Nodes


@dataclass(frozen=True)
class Pair:
    """The best pair for every curve (n,): what the search found, and indices of the faster rate, the slower rate and the delay."""

    found: Found
    fast: Any
    slow: Any
    late: Any


def pair_lines(there: Bases, tables: list[np.ndarray], log_rates: np.ndarray) -> tuple[list[Line], list[Line]]:
    """Lines whose faster rate is slow, and lines of the rest, from convolutions (r, k) at rates that rise, one table a delay."""
    slow, quick = [], []
    for fast in range(1, log_rates.size):
        columns = [t[:, :fast] for t in tables]
        nodes = build_nodes(there, columns, [t[:, fast] for t in tables], log_rates[:fast])
        (slow if log_rates[fast] < _APART else quick).append(Line(fast, nodes))
    return slow, quick


def best_pair(lines: list[Line], y: Any) -> Pair:
    """The best pair for curves y (r, n)."""
    best = None
    for line in lines:
        found = search(line.nodes, y)
        xp, width = line.nodes.xp, line.nodes.shape[1]
        slow, late = found.node % width, found.node // width
        new = (found.node, found.weight, found.other, found.gain, line.fast + 0 * slow, slow, late)
        if best is None:
            best, kind = new, found.kind
            continue
        better = found.gain > best[3]
        best = tuple(xp.where(better, v, old) for v, old in zip(new, best))
        kind = np.where(back(better), found.kind, kind)
    return Pair(Found(*best[:4], kind), *best[4:])
