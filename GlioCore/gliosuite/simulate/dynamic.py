"""Dynamic series: a patient's arterial curves, kinetic parameters of each tissue, and the DCE and DSC scans they give.

The forward physics is that of `gliosuite.perfusion`: concentrations are convolved on a grid of 0.1 s, once for each of a few hundred rates,
and each voxel takes its own from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ..images import Grid, Series, array
from ..perfusion.kinetics import convolve, parker_aif
from ..perfusion.signal import spgr_signal
from .acquisition import CLASSES, TISSUE, Effects, bias_field, rician, sample, scan_grid
from .treatment import rigid

STEP_S = 0.1
R1_PER_MM = 4.5  # 1/(mM s), gadobutrol at 3 T


@dataclass(frozen=True)
class Dce:
    """A DCE scan: spoiled gradient echo (defaults: Yoon et al. 2024's protocol)."""

    tr_s: float = 0.0035
    te_s: float = 0.0015
    flip_angle_deg: float = 10.0
    dt_s: float = 5.0
    frames: int = 60
    spacing_mm: tuple[float, float, float] = (1.875, 1.875, 3.0)
    slab_mm: tuple[float, float] = (-44.0, 67.0)
    snr: float = 25.0
    arrival_s: float = 30.0


@dataclass(frozen=True)
class Dsc:
    """A DSC scan: gradient echo EPI. `tissue_r2star` and `blood_r2star`, 1/(mM s): how strongly contrast agent acts within tissue (large,
    by the field around vessels) and within an artery (Kjolby BF et al., Magn Reson Med 2006;56:187; van Osch MJP et al. 2003;49:1067).
    """

    tr_s: float = 1.5
    te_s: float = 0.030
    flip_angle_deg: float = 60.0
    frames: int = 60
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 5.0)
    slab_mm: tuple[float, float] = (-44.0, 76.0)
    snr: float = 55.0
    arrival_s: float = 18.0
    tissue_r2star: float = 45.0
    blood_r2star: float = 7.6
    outside_r2star: float = 12.0


@dataclass(frozen=True)
class Kinetics:
    """Typical kinetic parameters of a tissue: ktrans 1/min, ve and vp fractions, cbv ml/100ml, mtt s, delay s."""

    ktrans: float
    ve: float
    vp: float
    cbv: float
    mtt: float
    delay: float


# Ranges as in digital reference objects of glioma: white matter ktrans about .001 and vp .01-.02, grey matter vp .03-.05, rim ktrans
# .03-.3, necrosis ktrans below .01 with a large ve.
KINETICS = {
    "gm": Kinetics(0.0018, 0.15, 0.030, 4.2, 4.2, 0.5),
    "wm": Kinetics(0.0008, 0.12, 0.013, 2.0, 4.8, 0.9),
    "csf": Kinetics(0, 0.2, 0, 0, 4.0, 0),
    "bone": Kinetics(0, 0.2, 0, 0, 4.0, 0),
    "marrow": Kinetics(0.020, 0.15, 0.02, 1.0, 6.0, 2.0),
    "fat": Kinetics(0.008, 0.10, 0.010, 0.6, 6.0, 2.0),
    "muscle": Kinetics(0.060, 0.15, 0.025, 1.5, 6.0, 2.0),
    "cel": Kinetics(0.075, 0.30, 0.060, 8.0, 5.5, 0.8),
    "necrosis": Kinetics(0.006, 0.45, 0.004, 0.4, 8.0, 1.5),
    "oedema": Kinetics(0.0025, 0.25, 0.011, 1.5, 6.0, 1.2),
    "cavity": Kinetics(0, 0.2, 0, 0, 4.0, 0),
}
TISSUE_CLASSES = tuple(KINETICS)  # artery and vein carry blood itself
# Relative SD of the parameters within a class (log-normal), and which texture field drives each.
_SPREAD = {"ktrans": 0.55, "ve": 0.28, "vp": 0.38, "cbv": 0.35, "mtt": 0.15}
_WITHIN_NORMAL = 0.35  # normal tissue varies this much as tumour does


@dataclass(frozen=True)
class Blood:
    """A patient's blood: hematocrit, and concentration curves for each injection.

    Parameters
    ----------
    dose, dispersion_s, late_delay_s
        Scale of the population curve, exponential dispersion, transit from artery to sagittal sinus.
    """

    hematocrit: float
    dose: float
    dispersion_s: float
    venous_s: float

    def arterial(self, times_s: np.ndarray, arrival_s: float) -> np.ndarray:
        """Concentration in arterial blood, mM: Parker's population curve, scaled and dispersed."""
        grid = np.arange(0.0, float(np.max(times_s)) + STEP_S, STEP_S)
        curve = _disperse(grid, self.dose * parker_aif(grid, arrival_s), self.dispersion_s)
        return np.interp(times_s, grid, curve)

    def venous(self, times_s: np.ndarray, arrival_s: float) -> np.ndarray:
        """Concentration in the sagittal sinus, mM: later, and dispersed by the passage through tissue."""
        grid = np.arange(0.0, float(np.max(times_s)) + STEP_S, STEP_S)
        late = _disperse(grid, self.arterial(grid, arrival_s), self.venous_s)
        return np.interp(np.asarray(times_s) - 2.0, grid, late, left=0.0)


def _disperse(times_s: np.ndarray, curve: np.ndarray, tau_s: float) -> np.ndarray:
    return convolve(times_s, curve, 60.0 / tau_s)[0] * (60.0 / tau_s)


def draw_blood(rng: np.random.Generator) -> Blood:
    """A patient's own curve."""
    return Blood(
        hematocrit=round(float(rng.uniform(0.38, 0.47)), 3),
        dose=float(np.clip(rng.lognormal(0, 0.15), 0.7, 1.4)),
        dispersion_s=float(rng.uniform(0.6, 2.0)),
        venous_s=float(rng.uniform(3.5, 5.5)),
    )


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


def parameters(name: str, fields: Mapping[str, np.ndarray], effects: Effects) -> dict[str, np.ndarray]:
    """Kinetic parameters of one tissue where its texture fields (n,) are given; ktrans and vp rise together, as in tumours."""
    typical = KINETICS[name]
    varied = 1.0 if name in ("cel", "necrosis") else _WITHIN_NORMAL
    varied *= effects.texture
    n = len(fields["vascular"])
    waves = {
        "ktrans": 0.6 * fields["vascular"] + 0.8 * fields["leaky"],
        "ve": fields["cellular"],
        "vp": fields["vascular"],
        "cbv": fields["vascular"],
        "mtt": fields["leaky"],
    }
    values = {key: getattr(typical, key) * np.exp(varied * sd * waves[key]) for key, sd in _SPREAD.items()}
    values["ve"] = np.clip(values["ve"], 0.02, 0.75)
    values["ktrans"] = np.clip(values["ktrans"], 0, 0.45)
    late = typical.delay + 0.4 * fields["cellular"] if effects.delay else np.zeros(n)
    values["delay"] = np.clip(late, 0, 4.0)
    return {key: np.broadcast_to(np.asarray(v, np.float32), (n,)) for key, v in values.items()}


@dataclass(frozen=True)
class Packed:
    """A head's volume fractions (`CLASSES`) and texture fields, ready to be sampled on any scan's grid."""

    fractions: sitk.Image
    fields: sitk.Image
    field_names: tuple[str, ...]
    finest_mm: float

    @classmethod
    def of(cls, grid: Grid, fractions: Mapping[str, np.ndarray], fields: Mapping[str, np.ndarray]) -> "Packed":
        """Pack arrays (z, y, x) on the head's grid; fractions are kept to 1/255."""
        stack = np.stack([np.round(fractions[name] * 255).astype(np.uint8) for name in CLASSES], axis=-1)
        images = []
        for values in (stack, np.stack(list(fields.values()), axis=-1)):
            image = sitk.GetImageFromArray(values, isVector=True)
            image.SetSpacing(grid.spacing)
            image.SetOrigin(grid.origin)
            images.append(image)
        return cls(images[0], images[1], tuple(fields), grid.spacing[2])

    def on(self, grid: Grid, to_head: sitk.Transform | None, effects: Effects) -> tuple[dict, dict]:
        """Fractions and fields on a scan's grid, both by name (z, y, x)."""
        mixed = sample(self.fractions, grid, to_head, self.finest_mm) / np.float32(255)
        if not effects.partial_volume:
            most = np.where(mixed.sum(axis=-1) > 0.5, mixed.argmax(axis=-1), -1)
            mixed = (most[..., None] == np.arange(len(CLASSES))).astype(np.float32)
        image = sitk.Resample(self.fields, grid.blank(), to_head or sitk.Transform(), sitk.sitkLinear, 0.0)
        waves = sitk.GetArrayViewFromImage(image)
        names = enumerate(self.field_names)
        return dict(zip(CLASSES, np.moveaxis(mixed, -1, 0))), {name: waves[..., i].copy() for i, name in names}


@dataclass(frozen=True)
class Scanned:
    """A dynamic series and its truth on the series' own grid: parameter maps, and each voxel's main tissue and its share."""

    series: Series
    times_s: np.ndarray
    maps: dict[str, np.ndarray]


def _truth(grid: Grid, fractions: Mapping, fields: Mapping, effects: Effects, names: tuple[str, ...]) -> dict:
    """Parameters of each voxel's main tissue, that tissue (index in `CLASSES` + 1; 0 air) and its share."""
    shares = np.stack([fractions[name] for name in CLASSES])
    main = np.where(shares.max(axis=0) > 0.05, shares.argmax(axis=0) + 1, 0)
    maps = {name: np.zeros(grid.shape, np.float32) for name in names}
    for name in TISSUE_CLASSES:
        inside = main == CLASSES.index(name) + 1
        values = parameters(name, {k: v[inside] for k, v in fields.items()}, effects)
        for key in names:
            maps[key][inside] = values[key]
    return maps | {"tissue": main.astype(np.uint8), "share": shares.max(axis=0)}


def _finish(
    frames: np.ndarray, grid: Grid, reference: float, snr: float, effects: Effects, rng: np.random.Generator
) -> Series:
    """Motion, bias and noise; whole numbers with the reference tissue near 400."""
    frames *= np.float32(400 / reference)
    if effects.motion:
        drift = rigid(rng, 0.25, 0.25).GetParameters()
        for i in range(len(frames)):
            move = sitk.Euler3DTransform()
            move.SetCenter((0.0, 18.0, 10.0))
            move.SetParameters([float(p * (i / len(frames)) ** 1.5 + rng.normal(0, abs(p) / 8)) for p in drift])
            frames[i] = array(sitk.Resample(grid.image(frames[i]), move, sitk.sitkLinear))
    if effects.bias:
        frames *= bias_field(grid, rng)
    if effects.noise:
        for frame in frames:
            frame[...] = np.round(rician(frame, 400 / snr, rng))
    return Series(frames, grid, "simulated series")


def scan_dce(
    packed: Packed, head: Grid, blood: Blood, protocol: Dce, to_head: sitk.Transform | None, effects: Effects, rng
) -> Scanned:
    """Scan a DCE series; each tissue in a voxel gives its own spoiled gradient echo signal, and they add up."""
    grid = scan_grid(head, protocol.spacing_mm, protocol.slab_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    times = np.arange(protocol.frames) * protocol.dt_s
    fine = np.arange(0.0, times[-1] + 2 * STEP_S, STEP_S)
    plasma = blood.arterial(fine, protocol.arrival_s) / (1 - blood.hematocrit)
    responses = Responses.of(fine, plasma, 2e-4, 30.0)
    frames = np.zeros((protocol.frames, *grid.shape), np.float32)
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > 0.004
        if not inside.any():
            continue
        scale = (tissue.pd * np.exp(-protocol.te_s / tissue.t2star)) * fractions[name][inside]
        if name in ("artery", "vein"):
            curve = blood.arterial if name == "artery" else blood.venous
            concentration = curve(times, protocol.arrival_s)[None, :]
        else:
            p = parameters(name, {k: v[inside] for k, v in fields.items()}, effects)
            if not p["ktrans"].any() and not p["vp"].any():
                concentration = np.zeros((1, len(times)), np.float32)
            else:
                convolved, arterial = responses.at(times, p["ktrans"] / p["ve"], p["delay"])
                concentration = p["ktrans"][:, None] * convolved + p["vp"][:, None] * arterial
        rate = np.float32(1 / tissue.t1) + np.float32(R1_PER_MM) * concentration
        signal = spgr_signal(rate, protocol.tr_s, protocol.flip_angle_deg).astype(np.float32)
        frames[:, inside] += (signal * scale[:, None].astype(np.float32)).T
    white = TISSUE["wm"].pd * spgr_signal(1 / TISSUE["wm"].t1, protocol.tr_s, protocol.flip_angle_deg)
    maps = _truth(grid, fractions, fields, effects, ("ktrans", "ve", "vp", "delay"))
    maps["t10"] = _t10(maps["tissue"])
    return Scanned(_finish(frames, grid, float(white), protocol.snr, effects, rng), times, maps)


def scan_dsc(
    packed: Packed, head: Grid, blood: Blood, protocol: Dsc, to_head: sitk.Transform | None, effects: Effects, rng
) -> Scanned:
    """Scan a DSC series: exponential residue function of each voxel's MTT, and leakage that acts on T1 and T2*."""
    grid = scan_grid(head, protocol.spacing_mm, protocol.slab_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    times = np.arange(protocol.frames) * protocol.tr_s
    fine = np.arange(0.0, times[-1] + 2 * STEP_S, STEP_S)
    blood_curve = blood.arterial(fine, protocol.arrival_s)
    transit = Responses.of(fine, blood_curve, 2.0, 60.0)
    outside = Responses.of(fine, blood_curve / (1 - blood.hematocrit), 2e-4, 30.0) if effects.leakage else None
    frames = np.zeros((protocol.frames, *grid.shape), np.float32)
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > 0.004
        if not inside.any():
            continue
        scale = (tissue.pd * np.exp(-protocol.te_s / tissue.t2star)) * fractions[name][inside]
        rate = np.float32(1 / tissue.t1)
        if name in ("artery", "vein"):
            curve = blood.arterial if name == "artery" else blood.venous
            change = protocol.blood_r2star * curve(times, protocol.arrival_s)[None, :]
        else:
            p = parameters(name, {k: v[inside] for k, v in fields.items()}, effects)
            flow = p["cbv"] / 100 / (p["mtt"] / 60)  # ml blood per ml tissue and minute
            convolved, _ = transit.at(times, 60 / p["mtt"], p["delay"])
            change = protocol.tissue_r2star * flow[:, None] * convolved
            if outside is not None and name in ("cel", "necrosis"):
                leaked, _ = outside.at(times, p["ktrans"] / p["ve"], p["delay"])
                leaked = leaked * p["ktrans"][:, None]
                change = change + protocol.outside_r2star * leaked
                rate = rate + np.float32(R1_PER_MM) * leaked
        signal = spgr_signal(rate, protocol.tr_s, protocol.flip_angle_deg) * np.exp(-protocol.te_s * change)
        frames[:, inside] += (signal.astype(np.float32) * scale[:, None].astype(np.float32)).T
    wm = TISSUE["wm"]
    white = wm.pd * np.exp(-protocol.te_s / wm.t2star) * spgr_signal(1 / wm.t1, protocol.tr_s, protocol.flip_angle_deg)
    maps = _truth(grid, fractions, fields, effects, ("cbv", "mtt", "delay"))
    maps["cbf"] = np.where(maps["mtt"] > 0, 60 * maps["cbv"] / np.maximum(maps["mtt"], 1e-6), 0).astype(np.float32)
    return Scanned(_finish(frames, grid, float(white), protocol.snr, effects, rng), times, maps)


def _t10(tissue: np.ndarray) -> np.ndarray:
    """T1 (s) of each voxel's main tissue; 0 in air."""
    return np.array([0.0] + [TISSUE[name].t1 for name in CLASSES], np.float32)[tissue]
