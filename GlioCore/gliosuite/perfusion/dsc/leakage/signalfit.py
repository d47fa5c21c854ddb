"""Leakage fitted in the signal domain: vessels, and leaked agent that acts on T2* and, through the signal equation, on T1.

A voxel's signal over its baseline is modelled as

    S(t) / S0 = s G(w(t)) / G(0) exp(-TE [K v(t) + RATIO w(t)]),    w(t) = r1 ktrans int_0^t Cp(u - delay) exp(-kep (t - u)) du

with v the vessels of `vascular` at the voxel's transit time and delay, G the spoiled gradient echo's signal at R10 plus w, and w what
leaked agent adds to R1 (extended Tofts). Noise is the same at all signals, so that signals are fitted, not ΔR2*. Not all of these can be
known from one curve: the fit is the maximum a posteriori, with priors of what is known of tissue (`PRIORS`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import interpolate

from ....compute import Device, back, blocks, each
from ....steps import silent
from ...kinetics import convolve_sampled
from ...settings import HEMATOCRIT, RELAXIVITY
from ...signal import BLOOD_R2STAR
from .excitation import Excitation
from .vascular import DELAY_S, MTT_S, delayed, fine_times, vessels

KEP = np.geomspace(
    0.02, 5.0, 61
)  # 1/min; chosen: neighbouring curves hardly differ, and in brain nothing returns faster
# Median and SD of a normal distribution; of logarithms but for the delay (s). All chosen: transit times of tumours scatter widely
# about 5 s; delays are those between arteries of a head; ktrans of enhancing tumour is within a factor of 2.7 of .1 /min, so that an AIF
# whose scale is wrong by 2 still counts little; kep is .16 to 1 /min; RATIO is what agent outside vessels adds to R2* over what it adds
# to R1: at least that of agent in water (1), and in tissue more, since it is spread unevenly.
PRIORS = {"mtt_s": (5.0, 0.5), "delay_s": (1.0, 1.0), "kep": (0.4, 0.9), "ktrans": (0.1, 1.0), "ratio": (2.0, 0.4)}
# Of the vessels' transit times. Chosen: those of enhancing tumour scatter more widely than normal tissue's (`vascular.SHAPE`); 1 is the
# exponential residue function.
SHAPE = 1.0
_LEAST, _MOST = 1e-3, 5.0  # of ktrans, 1/min
_SIZE = 8  # parameters: places of transit time, delay and kep; ln ktrans, ln T10 / T10 assumed, ln RATIO, ln s; K
_BLOCK = 256  # voxels; their derivatives then stay in a processor's cache
_ITERATIONS = (6, 24)  # from every start, and from the best of them
_QUIET = 1e-5  # of the baseline; chosen: less noise is rounding
_FLOOR = 0.02  # of the baseline; chosen: a signal below is noise, and its logarithm would outweigh all others
# The coarse grid of the first search (numbers of nodes; ktrans in 1/min).
_START_MTT, _START_DELAY = np.arange(6, 30, 5), np.arange(1, DELAY_S.size, 3)
_START_KEP, _START_KTRANS = (10, 24, 36, 46, 56), np.geomspace(0.02, 0.8, 7)


@dataclass(frozen=True)
class SignalFit:
    """What was found; arrays float64 (n,), `vascular` and `remaining` (n, t).

    Attributes
    ----------
    vascular
        ΔR2* of the vessels, 1/s.
    remaining
        What the model leaves, as ΔR2*.
    k1, k1_sd
        Weight of the vessels.
    ktrans, ktrans_sd, kep
        1/min; with the AIF's scale.
    mtt_s, delay_s
        Of the vessels.
    t10_s, ratio
        As the curve and the priors have them.
    chi2
        Sum of squared residuals over the noise's variance.
    """

    vascular: np.ndarray
    remaining: np.ndarray
    k1: np.ndarray
    k1_sd: np.ndarray
    ktrans: np.ndarray
    ktrans_sd: np.ndarray
    kep: np.ndarray
    mtt_s: np.ndarray
    delay_s: np.ndarray
    t10_s: np.ndarray
    ratio: np.ndarray
    chi2: np.ndarray


def signal_noise(signal: np.ndarray) -> np.ndarray:
    """SD (n,) of the noise of curves (n, t), from second differences, which a bolus hardly changes: half of each one's own, half of all."""
    second = np.abs(signal[:, :-2] - 2.0 * signal[:, 1:-1] + signal[:, 2:])
    own = 1.4826 / np.sqrt(6.0) * np.median(second, axis=1)
    return np.sqrt(np.maximum(0.5 * own**2 + 0.5 * np.median(own) ** 2, _QUIET**2))


class Model:
    """The signal equation with the tables of one AIF, and its fit."""

    def __init__(self, aif: np.ndarray, dt_s: float, scan: Excitation, device: Device) -> None:
        self.scan, self.device = scan, device
        self.vessel = device.put(vessels(aif, dt_s, False, SHAPE).vessel[:, :, 0])
        self.leak = device.put(_leaked(aif, dt_s))
        self.ends = [device.put(np.array(e, np.float64)) for e in zip(*_ENDS)]
        centre = np.array([p for p, _ in _scaled(scan)])
        weight = np.array([1.0 / sd if np.isfinite(sd) else 0.0 for _, sd in _scaled(scan)])
        self.centre, self.weight = device.put(centre), device.put(weight)

    def fit(self, signal: np.ndarray, noise: np.ndarray) -> SignalFit:
        """Fit signals (n, t) over their baseline, row i with `scan`'s T1 and flip angle i; `noise` (n,) is their SD."""
        rows = list(blocks(len(signal), _BLOCK if self.device.place is None else self.device.block // 8))
        threads = None if self.device.place is None else 1
        parts = each(lambda r: self._block(signal[r], noise[r], r), rows, silent, "leakage", threads)
        return SignalFit(*(np.concatenate(p) for p in zip(*parts)))

    def _block(self, signal: np.ndarray, noise: np.ndarray, rows: slice) -> tuple[np.ndarray, ...]:
        xp, put = self.device.xp, self.device.put
        s, sd = put(np.maximum(signal, _FLOOR)), put(noise)
        cosine, t10 = put(self.scan.cosine()[rows]), put(np.asarray(self.scan.t10_s)[rows])
        ends = [self._polished(s, sd, cosine, t10, start, _ITERATIONS[0]) for start in self._starts(s, sd)]
        least = np.argmin(np.stack([cost for _, cost in ends]), axis=0)
        start = np.stack([point for point, _ in ends])[least, np.arange(least.size)]
        found, _ = self._polished(s, sd, cosine, t10, start, _ITERATIONS[1])
        point = put(found)
        model, slopes, vessel = self._model(point, cosine, t10)
        square = slopes @ xp.swapaxes(slopes, 1, 2) / (sd**2)[:, None, None] + xp.diag(self.weight**2)
        # A parameter that no curve and no prior knows anything of would make it singular.
        covariance = back(xp.linalg.inv(square + put(1e-9 * np.eye(_SIZE))))
        chi2 = back((((s - model) / sd[:, None]) ** 2).sum(axis=1))
        vascular = back(point[:, 7:] * vessel)
        remaining = back(xp.log(model / s)) / self.scan.te_s
        log = lambda axis, values: np.exp(np.interp(found[:, axis], np.arange(values.size), np.log(values)))
        ktrans = np.exp(found[:, 3])
        return (
            vascular,
            remaining,
            found[:, 7],
            np.sqrt(covariance[:, 7, 7]),
            ktrans,
            ktrans * np.sqrt(covariance[:, 3, 3]),
            log(2, KEP),
            log(0, MTT_S),
            DELAY_S[0] + (DELAY_S[1] - DELAY_S[0]) * found[:, 1],
            back(t10) * np.exp(found[:, 4]),
            np.exp(found[:, 5]),
            chi2,
        )

    def _starts(self, s: Any, sd: Any) -> list[np.ndarray]:
        """For each kep of a coarse grid the point with the least cost; residuals are those of logarithms, weighted by signals.

        T1 and flip angle are the medians of all voxels here, so that products of matrices compare all nodes with all voxels.
        """
        xp, put, te = self.device.xp, self.device.put, self.scan.te_s
        y, heavy = -xp.log(s) / te, (te * s / sd[:, None]) ** 2
        heavy_y = heavy * y
        mtt, delay = (put(i, "int64") for i in (_START_MTT, _START_DELAY))
        vessel = self.vessel[mtt][:, delay].reshape(-1, s.shape[1])
        on, square = heavy_y @ vessel.T, heavy @ (vessel**2).T
        cosine, t10 = float(np.median(self.scan.cosine())), float(np.median(self.scan.t10_s))
        centre, weight = back(self.centre), back(self.weight)
        nodes = np.tile(centre, (len(vessel), 1))
        nodes[:, 0], nodes[:, 1] = np.repeat(_START_MTT, _START_DELAY.size), np.tile(_START_DELAY, _START_MTT.size)
        every = put(np.arange(s.shape[0]), "int64")
        starts = []
        for kep in _START_KEP:
            least, start = np.full(s.shape[0], np.inf), np.zeros((s.shape[0], _SIZE))
            for ktrans in _START_KTRANS:
                nodes[:, 2], nodes[:, 3] = kep, np.log(ktrans)
                change = ktrans * self.leak[delay, kep]
                rest = float(np.exp(-self.scan.tr_s / t10))
                e1 = rest * xp.exp(-self.scan.tr_s * change)
                gain = (1.0 - e1) / (1.0 - cosine * e1) * ((1.0 - cosine * rest) / (1.0 - rest))
                effect = -xp.log(gain) / te + PRIORS["ratio"][0] * change
                late = put(np.tile(np.arange(_START_DELAY.size), _START_MTT.size), "int64")
                effect = effect[late]
                above = on - heavy @ (vessel * effect).T
                above = xp.where(above > 0, above, 0.0 * above)
                prior = put((((nodes - centre) * weight) ** 2).sum(axis=1))
                cost = heavy @ (effect**2).T - 2.0 * (heavy_y @ effect.T) - above**2 / square + prior
                top = xp.argmin(cost, axis=1)
                lowest, k = back(cost[every, top]), back(above[every, top] / square[every, top])
                lower = lowest < least
                least[lower] = lowest[lower]
                found = nodes[back(top)]
                found[:, 7] = k
                start[lower] = found[lower]
            starts.append(start)
        return starts

    def _polished(
        self, s: Any, sd: Any, cosine: Any, t10: Any, start: np.ndarray, iterations: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Point and cost after Levenberg's and Marquardt's steps, each kept where it lowers the cost."""
        xp, low, high = self.device.xp, *self.ends
        point, precision = self.device.put(start), (1.0 / sd**2)[:, None]
        unit, prior = self.device.put(np.eye(_SIZE)), xp.diag(self.weight**2)
        most = self.device.put(np.array([6.0, 6.0, 6.0, 2.0, 1.0, 1.0, 1.0, np.inf]))

        def state(point: Any) -> tuple[Any, Any, Any]:
            model, slopes, _ = self._model(point, cosine, t10)
            rest = s - model
            return (
                rest,
                slopes,
                (precision * rest**2).sum(axis=1) + (((point - self.centre) * self.weight) ** 2).sum(axis=1),
            )

        rest, slopes, cost = state(point)
        damping = 0.0 * cost + 1e-2
        for _ in range(iterations):
            square = slopes @ xp.swapaxes(slopes, 1, 2) * precision[:, :, None] + prior
            down = (slopes @ rest[:, :, None])[:, :, 0] * precision - self.weight**2 * (point - self.centre)
            scale = (square * unit).sum(axis=2)
            ridge = (damping[:, None] * scale + 1e-12)[:, :, None] * unit
            step = xp.linalg.solve(square + ridge, down[:, :, None])[:, :, 0]
            tried = xp.clip(point + xp.clip(step, -most, most), low, high)
            new_rest, new_slopes, new_cost = state(tried)
            better = new_cost < cost
            point = xp.where(better[:, None], tried, point)
            rest = xp.where(better[:, None], new_rest, rest)
            slopes = xp.where(better[:, None, None], new_slopes, slopes)
            cost = xp.where(better, new_cost, cost)
            damping = xp.where(better, 0.3 * damping, 5.0 * damping)
        return back(point), back(cost)

    def _model(self, point: Any, cosine: Any, t10: Any) -> tuple[Any, Any, Any]:
        """Signal (n, t), its slopes (n, 8, t), and the vessel's curve."""
        xp, te, tr = self.device.xp, self.scan.te_s, self.scan.tr_s
        mtt, delay, kep = (self._cell(point[:, i], n) for i, n in enumerate((MTT_S.size, DELAY_S.size, KEP.size)))
        vessel, vessel_by_mtt, vessel_by_delay = _between(self.vessel, mtt, delay)
        leak, leak_by_delay, leak_by_kep = _between(self.leak, delay, kep)
        ktrans, ratio, level, weight = (
            xp.exp(point[:, 3:4]),
            xp.exp(point[:, 5:6]),
            xp.exp(point[:, 6:7]),
            point[:, 7:],
        )
        cosine, t1 = cosine[:, None], t10[:, None] * xp.exp(point[:, 4:5])
        change = ktrans * leak
        rest = xp.exp(-tr / t1)
        e1 = rest * xp.exp(-tr * change)
        gain = (1.0 - e1) / (1.0 - cosine * e1) * ((1.0 - cosine * rest) / (1.0 - rest))
        signal = level * gain * xp.exp(-te * (weight * vessel + ratio * change))
        steep = e1 * (1.0 / (1.0 - e1) - cosine / (1.0 - cosine * e1))  # how fast the logarithm falls with that of E1
        steep_rest = rest * (1.0 / (1.0 - rest) - cosine / (1.0 - cosine * rest))
        by_change = tr * steep - te * ratio
        slopes = xp.stack(
            [
                -te * weight * vessel_by_mtt,
                -te * weight * vessel_by_delay + by_change * ktrans * leak_by_delay,
                by_change * ktrans * leak_by_kep,
                by_change * change,
                -tr / t1 * (steep - steep_rest),
                -te * ratio * change,
                0.0 * vessel + 1.0,
                -te * vessel,
            ],
            axis=1,
        )
        return signal, slopes * signal[:, None], vessel

    def _cell(self, place: Any, n: int) -> tuple[Any, Any]:
        """The node before each place along an axis of `n`, and the part of the way to the next one."""
        before = self.device.xp.clip(self.device.xp.floor(place), 0, n - 2)
        return self.device.put(back(before), "int64"), (place - before)[:, None]


def _between(table: Any, first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any, Any]:
    """Curves between four nodes of a table (m, n, t), and their slopes along both axes."""
    (i, a), (j, b) = first, second
    here, right, down, across = table[i, j], table[i, j + 1], table[i + 1, j], table[i + 1, j + 1]
    near, far = here + (right - here) * b, down + (across - down) * b
    return near + (far - near) * a, far - near, (right - here) * (1.0 - a) + (across - down) * a


def _leaked(aif: np.ndarray, dt_s: float) -> np.ndarray:
    """What agent that leaks at 1 /min adds to R1 (1/s), (delays, kep, t)."""
    frames = dt_s * np.arange(aif.size)
    fine, step = fine_times(frames.size, dt_s)
    plasma = interpolate.CubicSpline(frames, aif)(fine) / BLOOD_R2STAR[0] / (1.0 - HEMATOCRIT)
    held = convolve_sampled(plasma, np.exp(-KEP[:, None] / 60.0 * fine), step)
    return RELAXIVITY / 60.0 * np.moveaxis(delayed(held, frames, step), 0, 1)


def _scaled(scan: Excitation) -> list[tuple[float, float]]:
    """Centre and SD of the prior of each parameter, as `Model` has them."""
    per = np.log(MTT_S[1] / MTT_S[0]), DELAY_S[1] - DELAY_S[0], np.log(KEP[1] / KEP[0])
    place = lambda value, sd, at: ((value - at[0]) / at[1], sd / at[1])
    (mtt, delay, kep), (ktrans, ratio) = (
        [PRIORS[n] for n in names] for names in (("mtt_s", "delay_s", "kep"), ("ktrans", "ratio"))
    )
    return [
        place(np.log(mtt[0]), mtt[1], (np.log(MTT_S[0]), per[0])),
        place(*delay, (DELAY_S[0], per[1])),
        place(np.log(kep[0]), kep[1], (np.log(KEP[0]), per[2])),
        (np.log(ktrans[0]), ktrans[1]),
        (0.0, scan.t10_sd),
        (np.log(ratio[0]), ratio[1]),
        (0.0, np.inf),
        (0.0, np.inf),
    ]


_ENDS = [
    (0.0, MTT_S.size - 1.0),
    (0.0, DELAY_S.size - 1.0),
    (0.0, KEP.size - 1.0),
    (np.log(_LEAST), np.log(_MOST)),
    (-1.0, 1.0),
    (-2.0, 3.0),
    (-0.3, 0.3),
    (0.0, np.inf),
]
