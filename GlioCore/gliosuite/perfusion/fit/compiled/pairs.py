"""The compiled kinetic fit (DCE) of the two-compartment exchange model: what is prepared once, and a block of voxels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ....compute import product_rows
from ....compute.compiled import compiled
from ..bases import Bases
from ..starts import FASTEST, SLOWEST
from . import exchange
from .rates import Bounds, FittedBlock, RateFit
from .rates import prepare as prepare_rates
from .tables import TERMS

_APART, _SLOWEST_NODES = 3, 3  # nodes; chosen
_BANDS = (
    0.0,
    2.5,
    7.0,
    20.0,
    np.inf,
)  # 1/min, of the faster rate; chosen: exchange, and wash-out of plasma in a tumour and elsewhere
_RATES = 28  # of the search, even in ln(k + 1 / T); chosen, as many as in `starts`


@dataclass(frozen=True)
class PairFit:
    """What all blocks of one fit share; see `exchange.fit_exchange`.

    Attributes
    ----------
    on_pairs, on_rates
        (r, pairs), (r, k) unit vectors of the slower exponentials, orthogonalised against the faster ones, and of the faster ones; float32.
    """

    names: tuple[str, ...]
    tofts: RateFit
    on_pairs: np.ndarray
    on_rates: np.ndarray
    pairs: np.ndarray
    pair_tables: np.ndarray
    lengths: np.ndarray
    rates: np.ndarray
    members: np.ndarray
    edges: np.ndarray
    columns: np.ndarray
    bounds: np.ndarray

    @property
    def directions(self) -> np.ndarray:
        """(t, R): curves times this are their coordinates."""
        return self.tofts.directions

    def fit(self, y: np.ndarray, energy: np.ndarray) -> FittedBlock:
        """Fit curves of coordinates y (n, R) and sums of squares `energy` (n,)."""
        ktrans, log_kep, vp = self.tofts.fit(y, energy).p
        single = y[:, : self.on_pairs.shape[0]].astype(np.float32).T
        found, curve = np.empty((y.shape[0], exchange.STATE)), np.empty(y.shape)
        compiled(exchange).fit_exchange(
            y,
            energy,
            product_rows(single, self.on_pairs),
            product_rows(single, self.on_rates),
            ktrans,
            np.exp(log_kep),
            vp,
            self.pairs,
            self.pair_tables,
            self.lengths,
            self.rates,
            self.members,
            self.edges,
            self.columns,
            self.tofts.tables.grid,
            *self.bounds,
            found,
            curve,
        )
        state = np.ascontiguousarray(found.T)
        rows = iter(state[exchange.JTJ :])
        curvature = [[next(rows) for _ in range(i + 1)] for i in range(4)]
        return FittedBlock(state[:4], curvature, curve.T, np.zeros(y.shape[0], np.int64))


def prepare(names: tuple[str, ...], bases: Bases, bounds: Bounds) -> PairFit:
    """Make the tables of a fit without a delay."""
    first_v, last_v = np.log(np.array([SLOWEST, FASTEST]) + bases.damping)
    log_rates = np.log(np.exp(np.linspace(first_v, last_v, _RATES)) - bases.damping)
    curves = bases.exponentials(log_rates)[0]
    lengths = np.linalg.norm(curves, axis=0)
    units = curves / lengths
    fast, slow = np.tril_indices(_RATES, -1)
    overlap = np.einsum("rp,rp->p", units[:, fast], curves[:, slow])
    rest = curves[:, slow] - units[:, fast] * overlap
    length = np.maximum(np.linalg.norm(rest, axis=0), 1e-9 * lengths[slow])
    norm = np.sqrt(length**2 + overlap**2)
    free = {"ktrans": (0.0, np.inf), "vp": (0.0, np.inf), "delay": (0.0, 0.0)}
    tofts = prepare_rates("etm", ("ktrans", "log_kep", "vp"), bases, free, False)
    # A single exponential between two nodes is mimicked by its neighbours, which explain more than a true pair that lies between nodes:
    # the best of all, the best pairs of rates far apart by the faster one, and of an uptake that hardly comes back.
    apart, rate = fast - slow >= _APART, np.exp(log_rates)[fast]
    bands = [(rate >= low) & (rate < high) & apart for low, high in pairwise(_BANDS)]
    groups = [np.flatnonzero(group) for group in (fast > slow, *bands, slow < _SLOWEST_NODES)]
    single = lambda v: np.ascontiguousarray(v, np.float32)
    return PairFit(
        names,
        tofts,
        single(rest / length),
        single(units),
        np.stack([fast, slow]).astype(np.int64),
        single([overlap / length, length / norm, overlap / norm, length, overlap]),
        lengths,
        np.exp(log_rates),
        np.concatenate(groups),
        np.cumsum([0, *map(len, groups)]),
        np.ascontiguousarray(tofts.tables.powers[0, :, :, :TERMS].swapaxes(1, 2)),
        np.array([bounds[name] for name in names], np.float64).T.copy(),
    )
