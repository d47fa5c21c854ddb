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

from ...compute import Device, back
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
_VISIBLE = 0.03  # of the signal: a first-order term that never moves it by more needs no better one
_ITERATIONS = (3, 8)  # from every start, and from the best of them


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
    """Carry leakage through the signal equation where it acts on T1.

    That is in voxels whose K2 is above three standard deviations and whose first-order term changes the signal by more than 3 %.

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
    term = scan.te_s * np.abs(linear.corrected - dr2star).max(axis=1)
    leaky = np.flatnonzero((linear.k2 > _SIGNIFICANT * linear.k2_sd) & (term > _VISIBLE))
    if not leaky.size:
        return linear, replaced
    search = _Search(table, dt_s * float(aif.sum()), scan, device)
    curves = dr2star[leaky]
    point = search.best(curves)
    k1, k1_sd, amount_sd, sse, corrected = search.solved(curves, point)
    good = (sse < linear.sse[leaky] * np.exp(_WORSE / dr2star.shape[1])) & (k1 > 0)
    rows = leaky[good]
    replaced[rows] = True
    weight = -(first_order(scan) + RATIO) / search.unit
    places = np.round(point[:, :3]).astype(int).T
    values = {
        "corrected": corrected,
        "k1": k1,
        "k2": weight * np.exp(point[:, 3]),
        "k1_sd": k1_sd,
        "k2_sd": abs(weight) * amount_sd,
        "sse": sse,
        "kep": np.interp(point[:, 2], np.arange(KEP.size), KEP),
        "mtt_s": np.interp(point[:, 0], np.arange(MTT_S.size), MTT_S),
        "delay_s": np.interp(point[:, 1], np.arange(DELAY_S.size), DELAY_S),
        "node": np.ravel_multi_index(places, (MTT_S.size, DELAY_S.size, KEP.size)),
    }
    merged = {}
    for name, value in values.items():
        merged[name] = getattr(linear, name).copy()
        merged[name][rows] = value[good]
    return replace(linear, **merged), replaced


class _Search:
    """Vessels of a table, searched together with the amount that has leaked.

    A point is (n, 4): places along the table's axes (transit time, delay, kep; between nodes, curves are interpolated) and the logarithm
    of the amount.
    """

    def __init__(self, table: Vessels, unit: float, scan: Excitation, device: Device) -> None:
        self.scan, self.unit, self.device = scan, unit, device
        self.block = device.block // 8  # several curves per voxel are held at once
        self.vessel = device.put(table.vessel[:, :, 0])
        assert table.leak is not None  # tables of a correction have it
        self.leak = device.put(table.leak / unit)
        ends = [0.0, MTT_S.size - 1.0], [0.0, DELAY_S.size - 1.0], [0.0, KEP.size - 1.0], np.log(_AMOUNT[[0, -1]])
        self.low, self.high = (device.put(np.array(e)) for e in zip(*ends))

    def best(self, dr2star: np.ndarray) -> np.ndarray:
        """Point of each curve: all coarse nodes and amounts are compared, and the best one of each kep is polished."""
        parts = []
        for i in range(0, len(dr2star), self.block):
            y = self.device.put(dr2star[i : i + self.block])
            ends = [self._polished(y, start, _ITERATIONS[0]) for start in self._starts(y)]
            least = np.argmin(np.stack([sse for _, sse in ends]), axis=0)
            point = np.stack([point for point, _ in ends])[least, np.arange(least.size)]
            parts.append(self._polished(y, point, _ITERATIONS[1])[0])
        return np.concatenate(parts)

    def _starts(self, y: Any) -> list[np.ndarray]:
        xp, device = self.device.xp, self.device
        at = [np.arange(0, n, step) for n, step in zip((MTT_S.size, DELAY_S.size, KEP.size), _STEPS)]
        places = np.stack([g.ravel() for g in np.meshgrid(*at[:2], indexing="ij")], axis=1)
        rows, columns = (device.put(p, "int64") for p in places.T)
        vessel = self.vessel[rows, columns]
        unit = vessel / xp.sqrt((vessel**2).sum(axis=1))[:, None]
        on_vessel = y @ unit.T
        count = y.shape[0]
        every = device.put(np.arange(count), "int64")
        starts = []
        for kep in at[2]:
            leak = self.leak[rows, columns, int(kep)]
            least, start = np.full(count, np.inf), np.zeros((count, 4))
            for amount in _AMOUNT:
                effect = shine_through(amount * leak, self.scan, xp) + RATIO * amount * leak
                height = on_vessel - (effect * unit).sum(axis=1)
                rest = (effect**2).sum(axis=1) - 2.0 * (y @ effect.T) - xp.where(height > 0, height, 0.0 * height) ** 2
                top = xp.argmin(rest, axis=1)
                rest, top = back(rest[every, top]), back(top)
                lower = rest < least
                least[lower] = rest[lower]
                start[lower] = np.column_stack([places[top], np.full(count, kep), np.full(count, np.log(amount))])[
                    lower
                ]
            starts.append(start)
        return starts

    def _polished(self, y: Any, start: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
        """Point and residual after Levenberg's and Marquardt's steps, each kept where it lowers the residual; the vessel's weight is solved
        for (Kaufman 1975).
        """
        xp = self.device.xp
        point = self.device.put(start)
        rest, slopes = self._linearised(y, point)
        sse = (rest**2).sum(axis=1)
        damping = 0.0 * sse + 1e-2
        unit = self.device.put(np.eye(4))
        for _ in range(iterations):
            square = slopes @ xp.swapaxes(slopes, 1, 2)
            scale = (square * unit).sum(axis=2)
            ridge = damping[:, None] * scale + 1e-12 * scale.sum(axis=1)[:, None] + 1e-30
            step = xp.linalg.solve(square + ridge[:, :, None] * unit, slopes @ rest[:, :, None])[:, :, 0]
            tried = xp.clip(point + xp.clip(step, -4.0, 4.0), self.low, self.high)
            new, more = self._linearised(y, tried)
            new_sse = (new**2).sum(axis=1)
            better = new_sse < sse
            point = xp.where(better[:, None], tried, point)
            rest = xp.where(better[:, None], new, rest)
            slopes = xp.where(better[:, None, None], more, slopes)
            sse = xp.where(better, new_sse, sse)
            damping = xp.where(better, 0.3 * damping, 6.0 * damping)
        return back(point), back(sse)

    def _linearised(self, y: Any, point: Any) -> tuple[Any, Any]:
        """Residual (n, t), and how fast the model (n, 4, t) changes apart from the vessel's weight."""
        xp = self.device.xp
        (vessel, *along), change, effect, slopes, by_change = self.model(point)
        square = (vessel**2).sum(axis=1)
        rest = y - effect
        on = (rest * vessel).sum(axis=1)
        k1 = (xp.where(on > 0, on, 0.0 * on) / square)[:, None]
        by_leak = by_change * xp.exp(point[:, 3])[:, None]
        parts = [k1 * along[0] + by_leak * slopes[0], k1 * along[1] + by_leak * slopes[1], by_leak * slopes[2]]
        parts = xp.stack([*parts, by_change * change], axis=1)
        share = parts @ (vessel / square[:, None])[:, :, None]
        return rest - k1 * vessel, parts - share * vessel[:, None]

    def model(self, point: Any) -> tuple[Any, ...]:
        """Vessel with its slopes along transit time and delay; change of R1; its effect; slopes of the leak; slope of the effect."""
        xp = self.device.xp
        at, part = [], []
        for i, n in enumerate((MTT_S.size, DELAY_S.size, KEP.size)):
            before = xp.clip(xp.floor(point[:, i]), 0, n - 2)
            part.append((point[:, i] - before)[:, None])
            at.append(self.device.put(back(before), "int64"))
        (i, j, k), (a, b, c) = at, part

        def between(values: Any) -> tuple[Any, Any, Any]:
            """Value and slopes of four corners."""
            low, high = (values[0] * (1 - b) + values[1] * b for values in (values[:2], values[2:]))
            along = (values[1] - values[0]) * (1 - a) + (values[3] - values[2]) * a
            return low * (1 - a) + high * a, high - low, along

        corners = ((0, 0), (0, 1), (1, 0), (1, 1))
        vessel = between([self.vessel[i + u, j + v] for u, v in corners])
        near, far = (between([self.leak[i + u, j + v, k + w] for u, v in corners]) for w in (0, 1))
        leak = near[0] * (1 - c) + far[0] * c
        slopes = (near[1] * (1 - c) + far[1] * c, near[2] * (1 - c) + far[2] * c, far[0] - near[0])
        change = xp.exp(point[:, 3])[:, None] * leak
        return vessel, change, shine_through(change, self.scan, xp) + RATIO * change, slopes, self._slope(change)

    def _slope(self, change: Any) -> Any:
        """How fast the effect grows with the change of R1."""
        xp, scan = self.device.xp, self.scan
        cosine = float(np.cos(np.deg2rad(scan.flip_angle_deg)))
        e1 = float(np.exp(-scan.tr_s / scan.t10_s)) * xp.exp(-scan.tr_s * change)
        return RATIO - scan.tr_s / scan.te_s * e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1))

    def solved(self, dr2star: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, ...]:
        """K1, its SD, the amount's SD, sum of squares, and curves without the effect (float32)."""
        parts = []
        for i in range(0, len(dr2star), self.block):
            rows = slice(i, i + self.block)
            y = self.device.put(dr2star[rows])
            (vessel, *_), change, effect, _, slope = self.model(self.device.put(point[rows]))
            without = y - effect
            slope = slope * change / self.device.xp.exp(self.device.put(point[rows, 3:]))
            vessel, without, slope = (back(a) for a in (vessel, without, slope))
            vv, ll, vl = (vessel**2).sum(axis=1), (slope**2).sum(axis=1), (slope * vessel).sum(axis=1)
            k1 = (without * vessel).sum(axis=1) / vv
            sse = ((without - k1[:, None] * vessel) ** 2).sum(axis=1)
            spread = np.sqrt(sse / max(dr2star.shape[1] - 5, 1) / np.maximum(vv * ll - vl**2, 1e-300))
            parts.append((k1, spread * np.sqrt(ll), spread * np.sqrt(vv), sse, without.astype(np.float32)))
        return tuple(np.concatenate(p) for p in zip(*parts))
