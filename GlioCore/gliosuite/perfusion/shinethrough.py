"""T1 shine-through in DSC: leaked agent brightens the signal by what the signal equation says, and that saturates.

Leakage corrections write the effect of leaked agent as a weight times what has leaked, which is a first-order term. At a flip angle of 60
degrees and a TR of 1.5 s, half a millimole per litre outside the vessels has used up most of what T1 can add to the signal. The term is
then too small while the bolus passes and too large at the end, and least squares take the difference from the blood volume. Here

    ΔR2*(t) = K1 v(t) - ln[S(R10 + w(t)) / S(R10)] / TE + RATIO w(t),    w(t) = amount l(t),

with S the spoiled gradient echo's signal, w what leaked agent adds to R1 (1/s), and v and l as in `leakage`: as many numbers per voxel as
with the first-order term.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .dsc_device import Device
from .leakage import Leakage
from .vascular import DELAY_S, KEP, MTT_S, Vessels

# How much leaked agent adds to R2* for each R1. Chosen: that of agent in water, the least there can be; what its uneven distribution in
# tissue adds differs between tumours and cannot be told from T1 in one voxel. On simulated patients 0.5 to 2 give nearly the same.
RATIO = 1.0
# What agent would add to R1 if all that passes the voxel's vessels once stayed outside them, 1/s.
_AMOUNT = np.geomspace(0.03, 30.0, 13)
_SIGNIFICANT = 3.0  # standard deviations of K2 from which leakage is taken to be there
_WORSE = 4.0  # by how much of the Akaike criterion the first-order term must fit better to be kept
_STEPS = (4, 2, 2)  # of the first search in transit time, delay and kep
# What is tried around its result, in this order: steps in transit time, delay and kep, and the factor of the amount.
_SWEEPS = ((2, 1, 1, 1.4), (1, 1, 1, 1.2), (1, 1, 1, 1.1), (1, 1, 1, 1.04))
_BLOCK = 2048


@dataclass(frozen=True)
class Excitation:
    """How a series was excited, and the tissue's T1 before the bolus."""

    te_s: float
    tr_s: float
    flip_angle_deg: float
    t10_s: float


def shine_through(rate: Any, scan: Excitation, xp: Any = np) -> Any:
    """Apparent change of R2* (1/s, negative) by a change `rate` (1/s, at least 0) of R1."""
    cosine = float(np.cos(np.deg2rad(scan.flip_angle_deg)))
    rest = float(np.exp(-scan.tr_s / scan.t10_s))
    e1 = rest * xp.exp(-scan.tr_s * rate)
    # The ratio of the signals; the angle's sine cancels.
    gain = (1.0 - e1) / (1.0 - cosine * e1) * ((1.0 - cosine * rest) / (1.0 - rest))
    return -xp.log(gain) / scan.te_s


def first_order(scan: Excitation) -> float:
    """Apparent change of R2* per change of R1 where it is small."""
    cosine = np.cos(np.deg2rad(scan.flip_angle_deg))
    e1 = np.exp(-scan.tr_s / scan.t10_s)
    return float(-scan.tr_s / scan.te_s * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1)))


def correct_shine_through(
    dr2star: np.ndarray, dt_s: float, aif: np.ndarray, linear: Leakage, table: Vessels, scan: Excitation, device: Device
) -> tuple[Leakage, np.ndarray]:
    """Carry leakage through the signal equation where it acts on T1: in voxels whose K2 is above three standard deviations.

    Parameters
    ----------
    dr2star
        (n, t) 1/s.
    aif
        (t,) 1/s.
    linear
        Result of `leakage.correct_residue` with `table`.

    Returns
    -------
    Leakage
        `linear` with those voxels replaced, but for the few where the first-order term fits clearly better. There K2 is the weight of small
        concentrations.
    numpy.ndarray
        Boolean (n,): which were replaced.
    """
    replaced = np.zeros(linear.k1.shape, bool)
    leaky = np.flatnonzero(linear.k2 > _SIGNIFICANT * linear.k2_sd)
    if not leaky.size:
        return linear, replaced
    search = _Search(table, dt_s * float(aif.sum()), scan, device)
    curves = dr2star[leaky]
    node, amount = search.best(curves)
    k1, k1_sd, amount_sd, sse, corrected = search.solved(curves, node, amount)
    good = (sse < linear.sse[leaky] * np.exp(_WORSE / dr2star.shape[1])) & (k1 > 0)
    rows = leaky[good]
    replaced[rows] = True
    weight = -(first_order(scan) + RATIO) / search.unit
    mtt, delay, kep = table.nodes()
    values = {
        "corrected": corrected,
        "k1": k1,
        "k2": weight * amount,
        "k1_sd": k1_sd,
        "k2_sd": abs(weight) * amount_sd,
        "sse": sse,
        "kep": kep[node],
        "mtt_s": mtt[node],
        "delay_s": delay[node],
        "node": node,
    }
    merged = {}
    for name, value in values.items():
        merged[name] = getattr(linear, name).copy()
        merged[name][rows] = value[good]
    return replace(linear, **merged), replaced


class _Search:
    """Nodes of a table of vessels, searched together with the amount that has leaked."""

    def __init__(self, table: Vessels, unit: float, scan: Excitation, device: Device) -> None:
        count = table.vessel.shape[-1]
        self.scan, self.unit, self.device = scan, unit, device
        self.grid = (MTT_S.size, DELAY_S.size, KEP.size)
        vessel = np.broadcast_to(table.vessel, table.leak.shape).reshape(-1, count)
        self.vessel = device.put(vessel, "float64")
        self.leak = device.put(table.leak.reshape(-1, count) / unit, "float64")
        grids = (np.arange(0, n, step) for n, step in zip(self.grid, _STEPS))
        self.coarse = np.ravel_multi_index(np.meshgrid(*grids, indexing="ij"), self.grid).ravel()

    def best(self, dr2star: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Node and amount of each curve: all coarse nodes and amounts are compared, then the neighbours of the best."""
        parts = [self._best(dr2star[i : i + _BLOCK]) for i in range(0, len(dr2star), _BLOCK)]
        return tuple(np.concatenate(p) for p in zip(*parts))

    def _best(self, dr2star: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        xp, device = self.device.xp, self.device
        y = device.put(dr2star, "float64")
        at = device.put(self.coarse, "int64")
        vessel, leak = self.vessel[at], self.leak[at]
        unit = vessel / xp.sqrt((vessel**2).sum(axis=1))[:, None]
        on_vessel = y @ unit.T
        square = (y**2).sum(axis=1)
        least = np.full(len(dr2star), np.inf)
        node, amount = np.zeros(len(dr2star), np.int64), np.zeros(len(dr2star))
        for value in _AMOUNT:
            effect = shine_through(value * leak, self.scan, xp) + RATIO * value * leak
            height = on_vessel - (effect * unit).sum(axis=1)
            rest = (effect**2).sum(axis=1) - 2.0 * (y @ effect.T) - xp.where(height > 0, height, 0.0 * height) ** 2
            top = xp.argmin(rest, axis=1)
            sse = device.get(square + rest[device.put(np.arange(len(dr2star)), "int64"), top])
            lower = sse < least
            node[lower], amount[lower], least[lower] = self.coarse[device.get(top)[lower]], value, sse[lower]
        for steps in _SWEEPS:
            for axis in (3, 0, 3, 1, 2):
                for sign in (-1, 1):
                    where = np.array(np.unravel_index(node, self.grid))
                    tried = np.clip(amount * steps[3] ** sign, 0.0, _AMOUNT[-1]) if axis == 3 else amount
                    if axis < 3:
                        where[axis] = np.clip(where[axis] + sign * steps[axis], 0, self.grid[axis] - 1)
                    other = np.ravel_multi_index(where, self.grid)
                    sse = self._squares(y, other, tried)
                    lower = sse < least
                    node, amount, least = (
                        np.where(lower, a, b) for a, b in ((other, node), (tried, amount), (sse, least))
                    )
        return node, amount

    def _effect(self, node: np.ndarray, amount: np.ndarray) -> tuple[Any, Any, Any]:
        at = self.device.put(node, "int64")
        change = self.leak[at] * self.device.put(amount, "float64")[:, None]
        return self.vessel[at], change, shine_through(change, self.scan, self.device.xp) + RATIO * change

    def _squares(self, y: Any, node: np.ndarray, amount: np.ndarray) -> np.ndarray:
        xp = self.device.xp
        vessel, _, effect = self._effect(node, amount)
        without = y - effect
        on = (without * vessel).sum(axis=1)
        explained = xp.where(on > 0, on, 0.0 * on) ** 2 / (vessel**2).sum(axis=1)
        return self.device.get((without**2).sum(axis=1) - explained)

    def solved(self, dr2star: np.ndarray, node: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, ...]:
        """K1, its SD, the amount's SD, sum of squares, and curves without the effect (float32)."""
        parts = []
        for i in range(0, len(dr2star), _BLOCK):
            rows = slice(i, i + _BLOCK)
            y = self.device.put(dr2star[rows], "float64")
            vessel, change, effect = (self.device.get(a) for a in self._effect(node[rows], amount[rows]))
            without = self.device.get(y) - effect
            vv = (vessel**2).sum(axis=1)
            k1 = (without * vessel).sum(axis=1) / vv
            sse = ((without - k1[:, None] * vessel) ** 2).sum(axis=1)
            # Slope of the effect with the amount, by which its SD follows.
            small = 1e-4
            slope = (shine_through((1 + small) * change, self.scan) - shine_through(change, self.scan)) / small
            slope = (slope + RATIO * change) / amount[rows, None]
            ll, vl = (slope**2).sum(axis=1), (slope * vessel).sum(axis=1)
            spread = np.sqrt(sse / max(dr2star.shape[1] - 5, 1) / np.maximum(vv * ll - vl**2, 1e-300))
            parts.append((k1, spread * np.sqrt(ll), spread * np.sqrt(vv), sse, without.astype(np.float32)))
        return tuple(np.concatenate(p) for p in zip(*parts))
