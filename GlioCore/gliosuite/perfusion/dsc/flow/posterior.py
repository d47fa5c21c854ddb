"""Bayesian vascular deconvolution: blood volume, flow, transit time and delay of each voxel with their uncertainty, from a vascular model.

For every node of a grid of residue shapes, dispersions, transit times and delays (`transit`) the amplitude, which is the blood volume, is
known in closed form, and so is what the node leaves unexplained. Noise of unknown size marginalised, the likelihood of a node is
``SSE^(-dof/2)``. What is reported are posterior means of the logarithms of volume, flow and transit time, so that MTT = CBV / CBF holds
for them too, and their spread. The prior is learned from the series (`prior`).

References
----------
Mouridsen K et al., Neuroimage 2006;33:570 and J Cereb Blood Flow Metab 2014;34:1511, for the vascular model with gamma distributed
transit times and its Bayesian estimation; here all its parameters but one are marginalised on a grid instead of being sought.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....compute import CPU, Device, back, blocks, each
from .prior import Learned, learn
from .transit import Transit, transit

# Of the squared length of a curve: no residual is known better, since nodes are apart. Chosen on matched simulated series (5, 6):
# intervals of cbv then cover 95 % at all noise; half a step between nodes, which is 8e-3, made them too wide with little noise (97.6 %).
GRID_ERROR = 2e-3
_BLOCK = 256  # voxels on a CPU; chosen so that a block's table of nodes stays in the cache
# Chosen on simulated series (seed 5): where so much of a curve is noise (a peak of about 10 times the noise), a box is taken for a shorter
# transit that starts later, and the flow is worse than that of oSVD. Curves of simulated brain give such shapes a share of a few percent.
_NOISY, _MOSTLY = 0.3, 0.5
_LEAST = 3e-4  # of the highest prior; chosen: nodes below it change cbv, cbf and mtt of 99 % of simulated voxels by less than 1 %
N_PARAMETERS = 5  # of each curve: amplitude, transit time, delay, residue shape; and the noise


@dataclass(frozen=True)
class Posterior:
    """What the vascular model says of each curve; float64 (n,), NaN where the curve is not finite or nowhere rises as blood does.

    Attributes
    ----------
    cbv, cbf, mtt_s, delay_s
        Area of the curve's vascular part over that of the AIF (1); that over the transit time (1/s); s; s.
    cbv_sd, cbf_sd, mtt_sd
        Standard deviations of the three.
    sse
        Sum of squared residuals of the best node, nuisance taken out.
    nuisance
        (t, m) orthonormal; see `transit`.
    said
        What the series said of its tissue, for a reader.
    doubt
        Why the model should not be used for this series; empty where it may.
    """

    cbv: np.ndarray
    cbf: np.ndarray
    mtt_s: np.ndarray
    delay_s: np.ndarray
    cbv_sd: np.ndarray
    cbf_sd: np.ndarray
    mtt_sd: np.ndarray
    sse: np.ndarray
    nuisance: np.ndarray
    said: str
    doubt: str


def fit_vascular(curves: np.ndarray, dt_s: float, aif: np.ndarray, device: Device = CPU) -> Posterior:
    """Fit the vascular model to curves (n, t) by an AIF (t,), 0 before its arrival, both in the same unit, sampled every `dt_s`."""
    table = transit(np.asarray(aif, np.float64), dt_s)
    learned = learn(curves, table, GRID_ERROR)
    prior = learned.nodes(table).ravel()
    kept = np.flatnonzero(prior >= _LEAST * prior.max())
    nodes = _Nodes.of(table, kept, np.log(prior[kept]), device)
    size = _BLOCK if device.place is None else max(device.block // 16, 1)
    pieces = each(lambda rows: _posterior(curves[rows], nodes, device), list(blocks(curves.shape[0], size)))
    found = np.concatenate(pieces, axis=1) if pieces else np.empty((8, 0))
    cbv, cbf, mtt, delay, cbv_sd, cbf_sd, mtt_sd, sse = found
    return Posterior(
        cbv, cbf, mtt, delay, cbv_sd, cbf_sd, mtt_sd, sse, table.nuisance, learned.said(), _doubt(learned, table)
    )


def _doubt(learned: Learned, table: Transit) -> str:
    if learned.noise > _NOISY and learned.plug(table) > _MOSTLY:
        return "the curves look like plug flow and are too noisy"
    return ""


@dataclass(frozen=True)
class _Nodes:
    """The nodes that count, on a device; float32. `mean` (nodes, 2): logarithm of the transit time, and delay."""

    onto: Any
    nuisance: Any
    parts: Any
    log_size: Any
    log_prior: Any
    mean: Any

    @classmethod
    def of(cls, table: Transit, kept: np.ndarray, log_prior: np.ndarray, device: Device) -> "_Nodes":
        index = np.unravel_index(kept, table.shape)
        mean = np.stack([np.log(table.axes[2][index[2]]), table.axes[3][index[3]]], axis=1)
        put = lambda a: device.put(a, "float32")
        return cls(
            device.put(table.onto),
            device.put(table.nuisance),
            put(table.parts[:, kept]),
            put(np.log(table.size[kept])),
            put(log_prior),
            put(mean),
        )


def _posterior(curves: np.ndarray, nodes: _Nodes, device: Device) -> np.ndarray:
    """Rows of `Posterior` (8, n) of a block of curves."""
    xp = device.xp
    y = device.put(curves)
    finite = xp.isfinite(y).all(axis=1)
    y = xp.where(finite[:, None], y, xp.zeros_like(y))
    y = y - (y @ nodes.nuisance) @ nodes.nuisance.T
    total = (y**2).sum(axis=1)
    free = y.shape[1] - nodes.nuisance.shape[1]
    # In units of each curve's own length, so that float32 is enough.
    scale = xp.sqrt(xp.where(total > 0, total, xp.ones_like(total)))
    z = (y / scale[:, None]) @ nodes.onto
    cosine = xp.clip(device.put(z, "float32") @ nodes.parts, 1e-6, None)
    top = xp.amax(cosine, axis=1)
    rest = 1.0 + GRID_ERROR - cosine**2
    log_w = nodes.log_prior - 0.5 * (free - 1) * xp.log(rest)
    weight = xp.exp(log_w - xp.amax(log_w, axis=1)[:, None])
    weight = weight / weight.sum(axis=1)[:, None]
    amplitude = xp.log(cosine) - nodes.log_size
    heavy = weight * amplitude
    volume = heavy.sum(axis=1)
    # Second moments around values near the mean: differences of large numbers would lose what float32 has.
    apart = amplitude - volume[:, None]
    times = weight @ nodes.mean
    log_mtt = nodes.mean[:, 0] - times[:, :1]
    spread = weight * apart
    var_volume = (spread * apart).sum(axis=1)
    var_mtt = (weight * log_mtt**2).sum(axis=1)
    both = (spread * log_mtt).sum(axis=1)
    # What noise does to the amplitude of one node.
    best = 1.0 - top**2
    own = xp.clip(best, 1e-12, None) / (free - N_PARAMETERS + 1) / top**2
    cbv = device.put(scale) * xp.exp(device.put(volume))
    mtt = xp.exp(device.put(times[:, 0]))
    sd = [
        xp.sqrt(device.put(v))
        for v in (var_volume + own, xp.clip(var_volume + own + var_mtt - 2.0 * both, 0.0, None), var_mtt)
    ]
    rows = [
        cbv,
        cbv / mtt,
        mtt,
        device.put(times[:, 1]),
        cbv * sd[0],
        cbv / mtt * sd[1],
        mtt * sd[2],
        total * device.put(best),
    ]
    known = back(finite & (total > 0)) & (back(top) > 1e-3)
    return np.stack([np.where(known, back(r), np.nan) for r in rows])
