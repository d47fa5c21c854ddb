"""Where a kinetic model's fit (DCE) starts: the search of its grid, and the local maximum next to the best node."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...compute import back
from .bases import Bases
from .models import from_exponentials
from .ratepairs import RatePair, best_rate_pair, rate_pair_lines
from .refine import Expansions, expand_over_delays, expand_over_rates, maximise, maximise_rate_pairs, maximise_unsorted
from .search import BestNodes, SearchGrid, build_grid, search

# Rates of the search. Chosen: enough that the local maximum next to the best node is the global one (test_search, test_ratepairs).
_RATES = 24
_RATES_OF_UPTAKE = 48  # with fewer, both local maxima of an uptake model can lie between two of them
_RATES_WITH_DELAY = 16  # fewer, since there are as many grids as delays
_RATES_OF_PROFILE = 64  # the ends of a profile are read to one spacing of ln k, 0.16 over the default bounds
_RATES_OF_EXCHANGE = 28
# Of two exponentials, the lesser has at least this fraction of the area under the other: chosen, small beside noise, but enough for a
# derivative by its rate.
_LEAST_AREA = 1e-3
_MOST_CROSSINGS = 6  # of expansions that a pair of rates goes through; chosen as a bound on the work
# 1/min: beyond, exponentials of the exchange models look like an integral or like the AIF over a scan of minutes with frames of seconds.
SLOWEST, FASTEST = 5e-3, 300.0


class Starts:
    """Where a model's fit starts; tables are made once, for any block of curves.

    Attributes
    ----------
    log_rates
        (k,) ln of the rates of the search.
    """

    def __init__(self, model: str, bases: Bases, signed: bool = False, device_bases: Bases | None = None) -> None:
        """From `bases` in numpy; `device_bases` are the same where the fit runs, in its precision. `signed`: weights may be below 0."""
        there = device_bases or bases
        self.model, self.bases, self.signed = model, there, signed
        has_delay = bases.delays.size > 1
        self.log_rates = _search_rates(model, bases, has_delay)
        self._grid: SearchGrid | None = None
        self._expansions: Expansions | None = None
        self._expand: Callable[[np.ndarray, np.ndarray], Expansions] | None = None
        plasma, integral = bases.plasma, bases.integral
        tables = bases.exponentials
        if model == "2cxm":
            self._lines = rate_pair_lines(there, tables(self.log_rates), self.log_rates)
            self._expansions = None if has_delay else expand_over_rates(bases, self.log_rates, there)
            return
        if model == "patlak":
            self._grid = build_grid(there, integral[:, :, None], plasma, self.log_rates)
            self._expand = partial(expand_over_delays, bases, self.log_rates, "integral", "plasma", there)
            return
        name = {"tofts": None, "etm": "plasma", "2cum": "integral"}[model]
        second = {None: np.zeros_like(plasma), "plasma": plasma, "integral": integral}[name]
        self._grid = build_grid(there, tables(self.log_rates), second, self.log_rates)
        self._expand = partial(expand_over_delays, bases, self.log_rates, "exponential", name, there)

    @property
    def grid(self) -> SearchGrid:
        """The grid of rates and delays; the 2CXM has one per faster rate instead."""
        assert self._grid is not None
        return self._grid

    @property
    def can_refine(self) -> bool:
        """Whether starts are taken from their node to the local maximum; not for the 2CXM with a delay."""
        return self._expansions is not None or self._expand is not None

    @property
    def expansions(self) -> Expansions:
        """What takes a start from its node to the local maximum next to it; without a delay, or after `need`."""
        if self._expansions is None:
            self.need(np.zeros(1, np.int64), np.arange(self.log_rates.size))
        assert self._expansions is not None
        return self._expansions

    def need(self, cells: np.ndarray, nodes: np.ndarray) -> None:
        """Make the expansions of cells between delays and of nodes of the rate that are not there yet: a few curves need few of them."""
        there, nodes = self._expansions, np.unique(nodes)
        if there is not None and (there.node_position[nodes] < 0).any():
            nodes = np.union1d(nodes, np.flatnonzero(there.node_position >= 0))
            cells, there = np.union1d(cells, np.flatnonzero(there.position >= 0)), None
        missing = np.unique(cells if there is None else cells[there.position[cells] < 0])
        if missing.size:
            assert self._expand is not None
            if there is None:
                self._expansions = self._expand(missing, nodes)
            else:
                self._expansions = there.joined(self._expand(missing, np.flatnonzero(there.node_position >= 0)))

    def best_nodes(self, y: Any, energy: Any = None) -> tuple[BestNodes, Any, Any]:
        """Best nodes for curves y (r, n), and indices of their delays and rates; not for the 2CXM."""
        found = search(self.grid, y, self.signed, energy)
        n_rates = self.grid.shape[1]
        return found, found.node // n_rates, found.node % n_rates

    def find(self, y: Any) -> list[Any]:
        """Parameters (p, n) to start from, best first, for curves y (r, n); without a delay."""
        if self.model != "2cxm":
            best, _, rate = self.best_nodes(y)
            node = back(rate)
            found = maximise_unsorted(self.expansions, y, 0 * node, node, best.kind, self.signed)
            return [self.parameters(*found[:4])]
        maxima = []
        for lines in self._lines:
            pair = best_rate_pair(lines, y)
            fast, slow = back(pair.fast), back(pair.slow)
            maxima.append(maximise_rate_pairs(self.expansions, y, fast, slow, pair.found.kind, _MOST_CROSSINGS))
        exchange, wash_out = maxima
        xp, swapped = self.bases.xp, wash_out.explained > exchange.explained
        choose = lambda a, b: self.parameters(*(xp.where(swapped, u, v) for u, v in zip(a[:4], b[:4])))
        return [choose(wash_out, exchange), choose(exchange, wash_out)]

    def find_with_delay(self, y: Any) -> tuple[Any, Any]:
        """Parameters (p, n) of the best node itself, and its delay (n,) in s; for the 2CXM."""
        xp = self.bases.xp
        exchange, wash_out = (best_rate_pair(lines, y) for lines in self._lines)
        better = wash_out.found.explained > exchange.found.explained
        pick: Callable[[Callable[[RatePair], Any]], Any] = lambda of: xp.where(better, of(wash_out), of(exchange))
        rates, delays = (self.bases.device.put(v, "float32") for v in (self.log_rates, self.bases.delays))
        fast, slow = rates[pick(lambda p: p.fast)], rates[pick(lambda p: p.slow)]
        weight, second_weight = pick(lambda p: p.found.weight), pick(lambda p: p.found.second_weight)
        return self.parameters(weight, second_weight, slow, fast), delays[pick(lambda p: p.delay)]

    def refined(self, y: Any, expansion: np.ndarray, kind: np.ndarray, z: Any) -> tuple[Any, Any, Any]:
        """Parameters (p, n), delays (n,) in s and what is explained at the local maxima; see `refine.maximise`."""
        found = maximise(self.expansions, y, expansion, kind, z, self.signed)
        return self.parameters(*found[:4]), found.z, found.explained

    def parameters(self, weight: Any, second_weight: Any, log_rate: Any, z: Any) -> Any:
        """The model's parameters (p, n) from the weights of both basis functions, ln k, and the grid line's coordinate."""
        xp = self.bases.xp
        if self.model == "tofts":
            return xp.stack([weight, log_rate])
        if self.model == "etm":
            return xp.stack([weight, log_rate, second_weight])
        if self.model == "patlak":
            return xp.stack([weight, second_weight])
        if self.model == "2cum":
            flow = xp.clip(weight + second_weight, 1e-6, None)
            ps = flow * second_weight / xp.clip(weight, 1e-6, None)
            return xp.stack([100 * flow, ps, (flow + ps) / xp.exp(log_rate)])
        # An exponential whose weight is 0 has no derivative by its rate: a little of it is given, measured by its area.
        slower, faster = xp.exp(log_rate), xp.exp(z)
        slow = xp.maximum(weight, _LEAST_AREA * slower / faster * second_weight)
        fast = xp.maximum(second_weight, _LEAST_AREA * faster / slower * weight)
        return xp.stack(from_exponentials(xp, fast, slow, faster, slower))


def profile_grid(model: str, bases: Bases, device_bases: Bases) -> SearchGrid | None:
    """Nodes of ln k close enough together for a profile of the sum of squares; None for models without kep."""
    if model not in ("tofts", "etm"):
        return None
    rates = np.linspace(*bases.log_rates, _RATES_OF_PROFILE)
    second = bases.plasma if model == "etm" else 0.0 * bases.plasma
    return build_grid(device_bases, bases.exponentials(rates), second, rates)


def _search_rates(model: str, bases: Bases, has_delay: bool) -> np.ndarray:
    """ln of the rates (k,) of the search, in 1/min."""
    if model == "patlak":
        return np.zeros(1)
    low, high = bases.log_rates
    if model in ("2cum", "2cxm"):
        low, high = max(low, np.log(SLOWEST)), min(high, np.log(FASTEST))
    count = _RATES_WITH_DELAY if has_delay else _RATES
    if model == "2cxm":
        count = _RATES_OF_EXCHANGE
    elif model == "2cum" and not has_delay:
        count = _RATES_OF_UPTAKE
    return np.linspace(low, high, count)
