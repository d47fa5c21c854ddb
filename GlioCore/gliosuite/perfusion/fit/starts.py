"""Where a model's fit starts: the search of its nodes, and the climb from there."""

from typing import Any

import numpy as np

from ...compute import back
from .bases import Bases
from .models import from_exponentials
from .pairs import best_pair, pair_lines
from .refine import Patches, climb, climb_anywhere, over_delays, over_pairs
from .search import Found, Nodes, build_nodes, search

_RATES = 24
_RATES_OF_UPTAKE = 48  # fewer can have both of its hills between them
_RATES_WITH_DELAY = 16
_RATES_OF_PROFILE = 64
_PAIRS = 28  # rates of the 2CXM's search
_LITTLE = 1e-3  # of the area under one exponential: what the other one has at least
_WALK = 6  # patches at most that a pair of rates goes through
# 1/min: beyond, exponentials of the exchange models look like an integral or like the AIF.
_SLOWEST, _FASTEST = 5e-3, 300.0


class Starts:
    """Where a model's fit starts; tables are made once, for any block of curves.

    Attributes
    ----------
    patches
        What takes a start from its node to the top of the patch around it; None for the 2CXM with a delay.
    profile
        Nodes of ln k close enough together for a profile of the sum of squares; of models with kep.
    """

    patches: Patches | None
    profile: Nodes | None

    def __init__(self, model: str, bases: Bases, signed: bool = False, there: Bases | None = None) -> None:
        """From `bases` in numpy; `there` are the same where the fit runs, in its precision."""
        there = there or bases
        self.model, self.bases, self.signed = model, there, signed
        low, high = bases.log_rates
        late = bases.delays.size > 1
        if model in ("2cum", "2cxm"):
            low, high = max(low, np.log(_SLOWEST)), min(high, np.log(_FASTEST))
        count = _RATES_WITH_DELAY if late else _RATES
        if model == "2cxm":
            count = _PAIRS
        elif model == "2cum" and not late:
            count = _RATES_OF_UPTAKE
        self.log_rates = np.linspace(low, high, count)
        self.profile = None
        plasma, integral = bases.plasma, bases.integral
        tables = lambda rates: [bases.exponentials(rates, i) for i in range(bases.delays.size)]
        if model == "2cxm":
            every = tables(self.log_rates)
            self.pairs = pair_lines(there, every, self.log_rates)
            self.patches = None if late else over_pairs(bases, self.log_rates, there)
            return
        if model == "patlak":
            self.log_rates = np.zeros(1)
            self.nodes = build_nodes(there, [i[:, None] for i in integral], list(plasma), self.log_rates)
            self.patches = over_delays(bases, self.log_rates, "integral", "plasma", there)
            return
        name = {"tofts": None, "etm": "plasma", "2cum": "integral"}[model]
        companions = list({None: np.zeros_like(plasma), "plasma": plasma, "integral": integral}[name])
        self.nodes = build_nodes(there, tables(self.log_rates), companions, self.log_rates)
        self.patches = over_delays(bases, self.log_rates, "exponential", name, there)
        if model != "2cum":
            fine = np.linspace(low, high, _RATES_OF_PROFILE)
            self.profile = build_nodes(there, tables(fine), companions, fine)

    def coarse(self, y: Any, energy: Any = None) -> tuple[Found, Any, Any]:
        """Best nodes for curves y (r, n), and indices of their delays and rates; not for the 2CXM."""
        found = search(self.nodes, y, self.signed, energy)
        columns = self.nodes.shape[1]
        return found, found.node // columns, found.node % columns

    def find(self, y: Any) -> list[Any]:
        """Parameters (p, n) to start from, best first, for curves y (r, n); without a delay."""
        if self.model != "2cxm":
            found, _, rate = self.coarse(y)
            rate = back(rate)
            return [self.parameters(*climb_anywhere(self.patches, y, 0 * rate, rate, found.kind, self.signed)[:4])]
        tops = []
        for lines in self.pairs:
            pair = best_pair(lines, y)
            fast, slow = back(pair.fast), back(pair.slow)
            tops.append(climb_anywhere(self.patches, y, fast, slow, pair.found.kind, walk=_WALK))
        one, two = tops
        where, lower = self.bases.xp.where, two[4] > one[4]
        return [self.parameters(*where(lower, *pair)[:4]) for pair in ((two, one), (one, two))]

    def find_with_delay(self, y: Any) -> tuple[Any, Any]:
        """Parameters (p, n) of the best node itself, and its delay (n,) in s; for the 2CXM."""
        xp = self.bases.xp
        one, two = (best_pair(lines, y) for lines in self.pairs)
        better = two.found.gain > one.found.gain
        pick = lambda of: xp.where(better, of(two), of(one))
        rates, delays = (self.bases.device.put(v, "float32") for v in (self.log_rates, self.bases.delays))
        fast, slow = rates[pick(lambda p: p.fast)], rates[pick(lambda p: p.slow)]
        weight, other = pick(lambda p: p.found.weight), pick(lambda p: p.found.other)
        return self.parameters(weight, other, slow, fast), delays[pick(lambda p: p.late)]

    def refined(self, y: Any, patch: np.ndarray, kind: np.ndarray, z: Any) -> tuple[Any, Any, Any]:
        """Parameters (p, n), delays (n,) in s and gains at the top of the patches; see `refine.climb`."""
        weight, other, log_rate, z, gain = climb(self.patches, y, patch, kind, z, self.signed)
        return self.parameters(weight, other, log_rate, z), z, gain

    def parameters(self, weight: Any, other: Any, log_rate: Any, z: Any) -> Any:
        """The model's parameters (p, n) from the weights of column and companion, ln k, and the line's coordinate."""
        xp = self.bases.xp
        if self.model == "tofts":
            return xp.stack([weight, log_rate])
        if self.model == "etm":
            return xp.stack([weight, log_rate, other])
        if self.model == "patlak":
            return xp.stack([weight, other])
        if self.model == "2cum":
            flow = xp.clip(weight + other, 1e-6, None)
            ps = flow * other / xp.clip(weight, 1e-6, None)
            return xp.stack([100 * flow, ps, (flow + ps) / xp.exp(log_rate)])
        # A pair of which one weight is 0 has no derivative by its rate: a little of it is given, measured by its area.
        slower, faster = xp.exp(log_rate), xp.exp(z)
        slow = xp.maximum(weight, _LITTLE * slower / faster * other)
        fast = xp.maximum(other, _LITTLE * faster / slower * weight)
        return xp.stack(from_exponentials(xp, fast, slow, faster, slower))
