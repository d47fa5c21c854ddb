"""Dynamic series: the DCE and DSC scans that a patient's blood and tissues give.

The forward physics is that of `gliosuite.perfusion`: concentrations are convolved on a grid of 0.1 s, once for each of a few hundred rates,
and each voxel takes its own from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from scipy import special

from ...images import Grid
from ...perfusion.kinetics import convolve, convolve_sampled
from ...perfusion.signal import RELAXIVITY, spgr_signal
from ..acquisition import BRAIN, CLASSES, TISSUE, Effects, scan_grid
from ..blood import STEP_S, Blood
from ..properties import BLOOD, LEAKY, TYPICAL, Physiology
from ..protocols import Dce, Dsc
from .scanning import LEAST_FRACTION, Packed, Scanned, finish, scan_truth

POST_CONTRAST_S = 330.0  # from the injection to the middle of T1c; chosen, half a minute after a DCE series of 5 min
T10_ASSUMED_S = 1.5  # what a user without a T1 map would take; chosen
_KEP = (2e-4, 30.0)  # 1/min, tabulated; up to ktrans / ve at the ends of `properties.LIMITS`
_TRANSIT = (2.4, 60.0)  # 1/min: mean transit times of 1-25 s
# Height that fresh blood gains per second. Chosen: carotid blood is ten times faster, but bends, and a slab is excited well beyond its
# lowest slice, so that what is left of the effect is in the lowest slices (it falls to a third over 6 mm at TR 3.5 ms, 10 degrees).
_INFLOW_MM_S = 30.0


@dataclass(frozen=True)
class Responses:
    """Unit responses of tissue to an arterial curve, tabulated over rates and times; `at` reads them with rates and delays per voxel."""

    rates: np.ndarray
    table: np.ndarray
    curve: np.ndarray
    times_s: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, times_s: np.ndarray, curve: np.ndarray, low: float, high: float, n: int = 240) -> "Responses":
        """Convolve `curve` with ``exp(-rate t)`` for `n` rates (1/min) from `low` to `high`."""
        rates = np.geomspace(low, high, n)
        return cls(rates, convolve(times_s, curve, rates).astype(np.float32), curve.astype(np.float32), times_s)

    @classmethod
    def transit(cls, times_s: np.ndarray, curve: np.ndarray, shape: float, n: int = 160) -> "Responses":
        """Convolve `curve` with the share of blood still in the tissue when transit times are gamma distributed with this `shape` and a
        mean of ``60 / rate`` s; 1 is the exponential, and exact.
        """
        if shape == 1:
            return cls.of(times_s, curve, *_TRANSIT)
        rates = np.geomspace(*_TRANSIT, n)
        remaining = special.gammaincc(shape, shape * rates[:, None] / 60 * times_s)
        table = convolve_sampled(curve, remaining, STEP_S / 60)
        return cls(rates, table.astype(np.float32), curve.astype(np.float32), times_s)

    def at(self, times_s: np.ndarray, rate: np.ndarray, delay_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The convolution and the arterial curve itself, both (n, t), at times less each voxel's delay (n,)."""
        span = np.log(self.rates[-1] / self.rates[0]) / (len(self.rates) - 1)
        u = np.clip(np.log(np.clip(rate, self.rates[0], None) / self.rates[0]) / span, 0, len(self.rates) - 1.001)
        row = u.astype(np.int32)
        weight = (u - row).astype(np.float32)[:, None]
        flat, n = self.table.ravel(), self.table.shape[1]
        convolved = np.empty((len(rate), len(times_s)), np.float32)
        arterial = np.empty_like(convolved)
        for j, t in enumerate(times_s):
            v = np.clip((t - delay_s) / STEP_S, 0, n - 1.001)
            column = v.astype(np.int32)
            part = (v - column).astype(np.float32)
            first = row * n + column
            low = flat[first] * (1 - part) + flat[first + 1] * part
            high = flat[first + n] * (1 - part) + flat[first + n + 1] * part
            convolved[:, j] = low + (high - low) * weight[:, 0]
            arterial[:, j] = self.curve[column] * (1 - part) + self.curve[column + 1] * part
        return convolved, arterial


def enhancement(
    blood: Blood,
    physiology: Physiology,
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    effects: Effects,
) -> dict[str, np.ndarray | float]:
    """What contrast agent adds to R1 (1/s) of each class when T1c is taken: an array (z, y, x) in the lesion, a number elsewhere."""
    arrival = Dce().arrival_s
    fine = np.arange(0.0, arrival + POST_CONTRAST_S + 0.5, STEP_S)
    responses = Responses.of(fine, blood.arterial(fine, arrival) / (1 - blood.hematocrit), *_KEP)
    now = np.array([arrival + POST_CONTRAST_S])
    added: dict[str, np.ndarray | float] = {name: RELAXIVITY * float(blood.arterial(now, arrival)[0]) for name in BLOOD}
    for name in TYPICAL:
        if name in BLOOD:
            continue
        inside = fractions[name] > 0 if name in LEAKY else None
        here = {"vascular": np.zeros(1, np.float32)} if inside is None else {k: v[inside] for k, v in fields.items()}
        p = physiology.values(name, here, effects, ("ktrans", "ve", "vp"))
        convolved, arterial = responses.at(now, p["ktrans"] / p["ve"], np.zeros(len(p["ve"])))
        value = np.float32(RELAXIVITY) * (p["ktrans"] * convolved[:, 0] + p["vp"] * arterial[:, 0])
        if inside is None:
            added[name] = float(value[0])
        else:
            whole = np.zeros(inside.shape, np.float32)
            whole[inside] = value
            added[name] = whole
    return added


def flip_angle(
    nominal_deg: float, fields: Mapping[str, np.ndarray], inside: np.ndarray, effects: Effects
) -> np.ndarray | np.float32:
    """Actual flip angles in degrees, (n, 1) or a number."""
    if not effects.b1 or "b1" not in fields:
        return np.float32(nominal_deg)
    return np.float32(nominal_deg) * fields["b1"][inside][:, None]


def fresh_blood(
    signal: np.ndarray, rate: np.ndarray, tr_s: float, flip_deg: np.ndarray | np.float32, height_mm: np.ndarray
) -> np.ndarray:
    """Signal of arterial blood that has not reached the steady state: it enters the slab from below with full magnetisation.

    ``Mz(n) = M + (1 - M) (cos a exp(-TR R1))^n`` after n pulses, M being the steady state and ``n = height / velocity / TR`` with a
    velocity of 30 mm/s upwards.
    """
    angle = np.deg2rad(flip_deg)
    pulses = np.maximum(height_mm, 0)[:, None] / _INFLOW_MM_S / tr_s
    kept = (np.cos(angle) * np.exp(-tr_s * rate)) ** pulses
    return signal + (np.sin(angle) - signal) * kept


def height_above(grid: Grid, inside: np.ndarray) -> np.ndarray:
    """Height in mm of the voxels `inside` (n,) above the slab's lower face."""
    return (np.nonzero(inside)[0] + 0.5) * grid.spacing[2]


def scan_dce(
    packed: Packed,
    head_grid: Grid,
    physiology: Physiology,
    blood: Blood,
    protocol: Dce,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> Scanned:
    """Scan a DCE series; each tissue in a voxel gives its own spoiled gradient echo signal, and they add up."""
    grid = scan_grid(head_grid, protocol.spacing_mm, protocol.slab_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    times = np.arange(protocol.frames) * protocol.dt_s
    fine = np.arange(0.0, times[-1] + 2 * STEP_S, STEP_S)
    plasma = blood.feeding(fine, protocol.arrival_s, effects.dispersion) / (1 - blood.hematocrit)
    responses = Responses.of(fine, plasma, *_KEP)
    frames = np.zeros((protocol.frames, *grid.shape), np.float32)
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > LEAST_FRACTION
        if not inside.any():
            continue
        here = {k: v[inside] for k, v in fields.items()}
        p = physiology.values(name, here, effects, ("t1", "ktrans", "ve", "vp", "delay"))
        flip = flip_angle(protocol.flip_angle_deg, fields, inside, effects)
        scale = (tissue.pd * np.exp(-protocol.te_s / tissue.t2star)) * fractions[name][inside]
        if name in BLOOD:
            curve = blood.arterial if name == "artery" else blood.venous
            concentration = curve(times, protocol.arrival_s)[None, :]
        elif p["ktrans"].any() or p["vp"].any():
            convolved, arterial = responses.at(times, p["ktrans"] / p["ve"], p["delay"])
            concentration = p["ktrans"][:, None] * convolved + p["vp"][:, None] * arterial
        else:
            concentration = np.zeros((1, 1), np.float32)
        rate = 1 / p["t1"][:, None] + np.float32(RELAXIVITY) * concentration
        signal = spgr_signal(rate, protocol.tr_s, flip)
        if effects.inflow and name == "artery":
            signal = fresh_blood(signal, rate, protocol.tr_s, flip, height_above(grid, inside))
        if effects.saturation and name in BLOOD:
            signal = signal * np.exp(-protocol.te_s * blood_decay(concentration, Dsc()))
        frames[:, inside] += (signal.astype(np.float32) * scale[:, None].astype(np.float32)).T
    white = TISSUE["wm"].pd * spgr_signal(1 / TYPICAL["wm"].t1, protocol.tr_s, protocol.flip_angle_deg)
    names = ("ktrans", "ve", "vp")
    maps = scan_truth("dce", grid, fractions, fields, physiology, effects, (*names, "delay", "t1"), names)
    series, path = finish(frames, grid, float(white), protocol.snr, effects, rng)
    acquisition = _acquisition(protocol, blood, times) | {"t10_s": T10_ASSUMED_S, "relaxivity": RELAXIVITY}
    plasma = blood.arterial(fine, protocol.arrival_s) / (1 - blood.hematocrit)
    return Scanned({"dce": series}, {"dce": acquisition}, maps, {"aif_dce": np.stack([fine, plasma], axis=1)}, path)


def blood_decay(concentration_mM: np.ndarray, protocol: Dsc) -> np.ndarray:
    """What contrast agent adds to R2* (1/s) of whole blood: linear, and quadratic where much of it is there (van Osch 2003)."""
    return protocol.blood_r2star * concentration_mM + protocol.blood_r2star_square * concentration_mM**2


class _Transit:
    """What blood that passes through tissue adds to R2*: unit responses by the shape of the transit times, tabulated when needed."""

    def __init__(self, times_s: np.ndarray, feeding: np.ndarray) -> None:
        self.times_s, self.feeding = times_s, feeding
        self._responses: dict[float, Responses] = {}

    def change(self, p: Mapping[str, np.ndarray], times_s: np.ndarray, r2star: float) -> np.ndarray:
        """Change of R2* (n, t) in 1/s of voxels with the properties `p` (n,) at some times."""
        change = np.empty((len(p["residue"]), len(times_s)), np.float32)
        for shape in np.unique(p["residue"]):
            if shape not in self._responses:
                self._responses[shape] = Responses.transit(self.times_s, self.feeding, shape)
            rows = p["residue"] == shape
            convolved, _ = self._responses[shape].at(times_s, 60 / p["mtt"][rows], p["delay"][rows])
            flow = p["cbv"][rows] / 100 / (p["mtt"][rows] / 60)  # ml blood per ml tissue and minute
            change[rows] = np.float32(r2star) * flow[:, None] * convolved
        return change


def scan_dsc(
    packed: Packed,
    head_grid: Grid,
    physiology: Physiology,
    blood: Blood,
    protocol: Dsc,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> Scanned:
    """Scan a DSC series: transit times gamma distributed in each voxel, and leakage that acts on T1 and T2*."""
    grid = scan_grid(head_grid, protocol.spacing_mm, protocol.slab_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    times = np.arange(protocol.frames) * protocol.tr_s
    # With a preload, time starts at its injection, `wait` before the series.
    wait = protocol.preload_wait_s if protocol.preload else 0.0
    fine = np.arange(0.0, wait + times[-1] + 2 * STEP_S, STEP_S)

    def both(curve: Callable[[np.ndarray, float], np.ndarray]) -> np.ndarray:
        first = curve(fine, protocol.arrival_s) if protocol.preload else 0.0
        return first + curve(fine, wait + protocol.arrival_s)

    feeding = both(lambda t, arrival: blood.feeding(t, arrival, effects.dispersion))
    outside = Responses.of(fine, feeding / (1 - blood.hematocrit), *_KEP) if effects.leakage else None
    transit = _Transit(fine, feeding)
    now = wait + times
    white = TISSUE["wm"].pd * np.exp(-protocol.te_s / TISSUE["wm"].t2star)
    white *= float(spgr_signal(1 / TYPICAL["wm"].t1, protocol.tr_s, protocol.flip_angle_deg))
    frames = np.zeros((protocol.frames, *grid.shape), np.float32)
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > LEAST_FRACTION
        if not inside.any():
            continue
        here = {k: v[inside] for k, v in fields.items()}
        p = physiology.values(name, here, effects, ("t1", "ktrans", "ve", "cbv", "mtt", "residue", "delay"))
        flip = flip_angle(protocol.flip_angle_deg, fields, inside, effects)
        scale = tissue.pd * np.exp(-protocol.te_s / tissue.t2star)
        if name in BRAIN and "log_s0" in here:
            scale = scale * np.exp(here["log_s0"])[:, None]
        rate = 1 / p["t1"][:, None]
        if name in BLOOD:
            concentration = np.interp(now, fine, both(blood.arterial if name == "artery" else blood.venous))[None, :]
            change = (
                blood_decay(concentration, protocol) if effects.saturation else protocol.blood_r2star * concentration
            )
        elif p["cbv"].any():
            change = transit.change(p, now, protocol.tissue_r2star)
        else:
            change = np.zeros((1, 1), np.float32)
        if outside is not None and name in LEAKY:
            leaked, _ = outside.at(now, p["ktrans"] / p["ve"], p["delay"])
            leaked *= p["ktrans"][:, None]
            change = change + np.float32(protocol.outside_r2star) * leaked
            rate = rate + np.float32(RELAXIVITY) * leaked
        signal = spgr_signal(rate, protocol.tr_s, flip) * np.exp(-protocol.te_s * change) * scale
        if effects.saturation and name in BLOOD:
            signal = np.maximum(
                signal, 1.25 * white / protocol.snr
            )  # magnitude never falls below the mean of its noise
        frames[:, inside] += (signal.astype(np.float32) * fractions[name][inside][:, None]).T
    maps = scan_truth("dsc", grid, fractions, fields, physiology, effects, ("cbv", "mtt", "residue", "delay"))
    series, path = finish(frames, grid, white, protocol.snr, effects, rng)
    late = np.arange(0.0, times[-1] + 2 * STEP_S, STEP_S)
    curve = np.stack([late, blood.arterial(late, protocol.arrival_s)], axis=1)
    return Scanned({"dsc": series}, {"dsc": _acquisition(protocol, blood, times)}, maps, {"aif_dsc": curve}, path)


def _acquisition(protocol: Dce | Dsc, blood: Blood, times_s: np.ndarray) -> dict:
    return {
        "tr_ms": protocol.tr_s * 1000,
        "te_ms": protocol.te_s * 1000,
        "flip_angle_deg": protocol.flip_angle_deg,
        "times_s": [round(float(t), 3) for t in times_s],
        "hematocrit": blood.hematocrit,
    }
