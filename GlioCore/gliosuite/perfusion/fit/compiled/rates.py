"""The compiled kinetic fit (DCE) of extended Tofts, Tofts and Patlak: what is prepared once, and a block of voxels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....compute import product_rows
from ....compute.compiled import compiled
from ..bases import Bases
from ..search import SearchGrid, build_grid
from . import descent, tofts
from .tables import Tables, build_tables

MODELS = ("tofts", "etm", "patlak")
# Rates of the search, even in ln(k + damping). Chosen: with more, no more curves end in a lower minimum (bench_fitspeed).
_RATES, _RATES_WITH_DELAY = 32, 20
# Where the products of two of w, v, p and tau stand in `descent.JTJ`: a lower triangle.
_ORDER = {"ktrans": 0, "ps": 0, "log_kep": 1, "vp": 2, "delay": 3}

Bounds = Mapping[str, tuple[float, float]]


class FittedBlock(NamedTuple):
    """Parameters (p, n), lower triangle of J^T J (rows of (n,)), coordinates (R, n) of the fitted curves, and delay cells (n,)."""

    p: np.ndarray
    curvature: list[list[np.ndarray]]
    curve: np.ndarray
    cell: np.ndarray


@dataclass(frozen=True)
class RateFit:
    """What all blocks of one fit share.

    Attributes
    ----------
    names
        Of the parameters, in the order of `FittedBlock.p`.
    has_delay
        Whether the delay is the last one.
    signed
        Whether weights may be below 0.
    log_rates
        Lowest and highest ln of the rate in 1/min.
    limits
        See `descent.descend`.
    nodes, nodes_v
        See `tofts.fit_rates`.
    """

    names: tuple[str, ...]
    has_delay: bool
    signed: bool
    log_rates: tuple[float, float]
    tables: Tables
    grid: SearchGrid
    limits: np.ndarray
    nodes: np.ndarray
    nodes_v: np.ndarray

    @property
    def directions(self) -> np.ndarray:
        """(t, R): curves times this are their coordinates."""
        return self.tables.directions

    def fit(self, y: np.ndarray, energy: np.ndarray) -> FittedBlock:
        """Fit curves of coordinates y (n, R) and sums of squares `energy` (n,)."""
        single = y[:, : self.grid.orthogonal.shape[0]].astype(np.float32).T
        state, curve = np.empty((descent.FOUND, y.shape[0])), np.empty(y.shape)
        has_rate = "log_kep" in self.names
        compiled(tofts).fit_rates(
            y,
            energy,
            product_rows(single, self.grid.orthogonal),
            product_rows(single, self.grid.second),
            has_rate,
            "vp" in self.names,
            self.has_delay,
            self.signed,
            self.nodes,
            self.nodes_v,
            self.limits,
            self.tables.grid,
            self.tables.powers,
            self.tables.gram,
            self.tables.products,
            state,
            curve,
        )
        cell = state[descent.CELL].astype(np.int64)
        shifted = np.exp(state[descent.V]) if has_rate else 1.0
        rate = np.clip(shifted - self.tables.grid[2], *np.exp(self.log_rates))
        late_s = self.tables.products[cell, 3]
        values = {"log_kep": np.log(rate), "vp": state[descent.P], "delay": late_s - 60.0 * state[descent.TAU]}
        p = [values.get(name, state[descent.W]) for name in self.names]
        if self.has_delay:
            p[-1] = np.clip(p[-1], *self.limits[6:8])
        # The kernel's columns are derivatives by v and by minutes before the later delay.
        scale = {"log_kep": rate / shifted, "delay": -1.0 / 60.0}
        curvature = []
        for i, a in enumerate(self.names):
            row = []
            for b in self.names[: i + 1]:
                high, low = max(_ORDER[a], _ORDER[b]), min(_ORDER[a], _ORDER[b])
                row.append(state[descent.JTJ + high * (high + 1) // 2 + low] * (scale.get(a, 1.0) * scale.get(b, 1.0)))
            curvature.append(row)
        return FittedBlock(np.stack(p), curvature, curve.T, cell)


def prepare(model: str, names: tuple[str, ...], bases: Bases, bounds: Bounds, signed: bool) -> RateFit:
    """Make the tables of a fit; `names` are its parameters, the delay last."""
    has_delay = "delay" in names
    low, high = bases.log_rates
    first_v, last_v = (float(np.log(np.exp(v) + bases.damping)) for v in (low, high))
    plasma = bases.plasma
    if model == "patlak":
        nodes_v = np.zeros(1)
        first, log_rates = bases.integral[:, :, None], np.zeros(1)
    else:
        nodes_v = np.linspace(first_v, last_v, _RATES_WITH_DELAY if has_delay else _RATES)
        log_rates = np.log(np.clip(np.exp(nodes_v) - bases.damping, np.exp(low), np.exp(high)))
        first = bases.exponentials(log_rates)
    grid = build_grid(bases, first, 0.0 * plasma if model == "tofts" else plasma, log_rates)
    norm = np.sqrt(grid.length**2 + grid.overlap**2)
    limits = [*bounds[names[0]], *(bounds["vp"] if "vp" in names else (0.0, 0.0)), first_v, last_v, *bounds["delay"]]
    return RateFit(
        names,
        has_delay,
        signed,
        (low, high),
        build_tables(bases, model == "patlak"),
        grid,
        np.array(limits, np.float64),
        np.stack([grid.overlap / grid.length, grid.length / norm, grid.overlap / norm]).astype(np.float32),
        nodes_v,
    )
