"""Grid search of the two-compartment exchange model (DCE): the best pair of neighbouring rates, and the best pair of rates far apart.

A single exponential whose rate lies between two nodes is mimicked by the pair of its neighbours. That pair can explain more than the true
one, whose slower rate is only nearly a node: both are found, and refined, before one is chosen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compute import back
from .bases import Bases
from .search import BestNodes, SearchGrid, build_grid, search

# ln of 1/min: faster rates are those of plasma that is washed through, slower ones those of the exchange with tissue. Chosen between kep
# of tumours (below 5 /min) and the usual Fp / vp (0.5 / 0.04 = 12 /min); it decides only which pairs count as far apart.
LOG_WASH_OUT = np.log(8.0)


@dataclass(frozen=True)
class RateLine:
    """A line of the grid of rate pairs: one faster rate `fast` (its index) with all slower ones."""

    fast: int
    grid: SearchGrid


@dataclass(frozen=True)
class RatePair:
    """The best pair for every curve (n,): what the search found, and indices of the faster rate, the slower rate and the delay."""

    found: BestNodes
    fast: Any
    slow: Any
    delay: Any


def rate_pair_lines(
    device_bases: Bases, tables: np.ndarray, log_rates: np.ndarray
) -> tuple[list[RateLine], list[RateLine]]:
    """Lines whose faster rate is one of exchange, and lines of the rest.

    `tables` are convolutions (d, r, k) at rates that rise; `device_bases` are the bases where the fit runs.
    """
    exchange: list[RateLine] = []
    wash_out: list[RateLine] = []
    for fast in range(1, log_rates.size):
        grid = build_grid(device_bases, tables[:, :, :fast], tables[:, :, fast], log_rates[:fast])
        (exchange if log_rates[fast] < LOG_WASH_OUT else wash_out).append(RateLine(fast, grid))
    return exchange, wash_out


def best_rate_pair(lines: list[RateLine], y: Any) -> RatePair:
    """The best pair for curves y (r, n)."""
    best = _best_of_line(lines[0], y)
    for line in lines[1:]:
        new = _best_of_line(line, y)
        better = new.found.explained > best.found.explained
        pick = lambda a, b, xp=line.grid.xp, better=better: xp.where(better, a, b)
        a, b = new.found, best.found
        found = BestNodes(
            pick(a.node, b.node),
            pick(a.weight, b.weight),
            pick(a.second_weight, b.second_weight),
            pick(a.explained, b.explained),
            np.where(back(better), a.kind, b.kind),
        )
        best = RatePair(found, pick(new.fast, best.fast), pick(new.slow, best.slow), pick(new.delay, best.delay))
    return best


def _best_of_line(line: RateLine, y: Any) -> RatePair:
    found = search(line.grid, y)
    n_rates = line.grid.shape[1]
    slow, delay = found.node % n_rates, found.node // n_rates
    return RatePair(found, line.fast + 0 * slow, slow, delay)
