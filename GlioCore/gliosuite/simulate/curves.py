"""Curves without images: what a DCE series of one simulated patient shows of single voxels, for training and quick trials."""

from dataclasses import dataclass

import numpy as np

from ..perfusion.kinetics import extended_tofts
from ..perfusion.signal import RELAXIVITY, Spgr, spgr_signal
from .acquisition import Effects, rician
from .blood import draw_blood
from .properties import LIMITS, TYPICAL, draw_physiology

# How often each tissue is drawn: chosen, so that what is rare in a head is learnt too. "any" has parameters of no tissue in particular.
SHARES = {
    "gm": 0.17,
    "wm": 0.19,
    "oedema": 0.14,
    "cel": 0.22,
    "necrosis": 0.08,
    "muscle": 0.03,
    "dura": 0.02,
    "artery": 0.01,
    "vein": 0.01,
    "any": 0.13,
}
# Share of the patients to learn from whose enhancing tumour leaks as few do, and by what factor (log-uniform); both chosen: without them
# the brightest tumours are so rare that they are drawn towards what most have.
_LEAKY, _LEAKS = 0.5, (0.7, 3.5)
_STEP_S = 0.5  # of the grid that blood is convolved on; chosen, a sixth of a first pass's width
_ANY = {"ktrans": (0.0005, 0.5), "ve": (0.03, 0.75), "vp": (0.001, 0.3)}  # ranges of "any", log-uniform
_AFTER_S = 110.0  # of a series lies at least behind the arrival; chosen, a first pass, recirculation and some minute of wash-out
_EMPTY_T1_S = 4.0  # of fluid that shares a voxel


@dataclass(frozen=True)
class Curves:
    """Curves of one simulated series.

    Attributes
    ----------
    signal
        (n, t) float32.
    times_s, n_baseline
        (t,) s, and how many frames lie before the bolus.
    acquisition
        Of the spoiled gradient echo.
    t10_s, b1
        True T1 before contrast (n,) in s and actual over nominal flip angle (n,).
    truth
        ktrans (1/min), ve, vp, delay (s), (n,) each: those of the whole voxel, where fluid takes a part of it.
    tissue
        Index into `SHARES`, (n,).
    blood_times_s, arterial
        (m,) s, and the concentration in blood of the artery (m,) in mM.
    hematocrit, feeding_s
        Of this patient, and the exponential dispersion between that artery and tissue in s.
    """

    signal: np.ndarray
    times_s: np.ndarray
    n_baseline: int
    acquisition: Spgr
    t10_s: np.ndarray
    b1: np.ndarray
    truth: dict[str, np.ndarray]
    tissue: np.ndarray
    blood_times_s: np.ndarray
    arterial: np.ndarray
    hematocrit: float
    feeding_s: float


def draw_leak(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Factors for `properties.draw_physiology` of a patient to learn from: half of them have an enhancing tumour of another ktrans."""
    leaks = float(np.exp(rng.uniform(*np.log(_LEAKS)))) if rng.random() < _LEAKY else 1.0
    return {"cel": {"ktrans": leaks}}


def draw_curves(rng: np.random.Generator, n: int) -> Curves:
    """Draw a protocol, a patient and `n` voxels; ranges of protocols are chosen around what glioma studies use."""
    dt_s = float(np.exp(rng.uniform(np.log(1.5), np.log(8.5))))
    n_baseline = int(rng.integers(max(1, round(8.0 / dt_s)), max(3, round(50.0 / dt_s)) + 1))
    lasts_s = float(rng.uniform(150.0, 420.0))
    n_times = int(np.clip(round(lasts_s / dt_s), max(20, n_baseline + round(_AFTER_S / dt_s)), 160))
    times = dt_s * np.arange(n_times)
    acquisition = Spgr(float(rng.uniform(0.0025, 0.0065)), float(rng.uniform(8.0, 25.0)), RELAXIVITY)
    blood, physiology = draw_blood(rng), draw_physiology(rng, draw_leak(rng))
    at = np.arange(0.0, times[-1] + 2 * dt_s, _STEP_S)
    # The last frame without agent lies up to a frame before the arrival.
    arrival_s = times[n_baseline - 1] + dt_s * float(rng.uniform(0.05, 1.0)) - blood.late_s
    arterial, feeding = blood.arterial(at, arrival_s), blood.feeding(at, arrival_s)
    names = list(SHARES)
    tissue = rng.choice(len(names), n, p=np.array(list(SHARES.values())) / sum(SHARES.values()))
    values = {key: np.zeros(n) for key in ("ktrans", "ve", "vp", "delay", "t1")}
    for i, name in enumerate(names):
        here = np.flatnonzero(tissue == i)
        fields = {f: rng.standard_normal(here.size) for f in ("vascular", "leaky", "cellular")}
        if name in ("oedema", "wm", "gm"):
            fields["density"] = np.where(rng.random(here.size) < 0.25, rng.beta(1.0, 2.0, here.size), 0.0)
        drawn = (
            _anything(rng, here.size)
            if name not in TYPICAL
            else physiology.values(name, fields, Effects(), tuple(values))
        )
        for key, value in drawn.items():
            values[key][here] = value
    share = np.where(rng.random(n) < 0.25, rng.uniform(0.6, 1.0, n), 1.0)
    plasma = feeding / (1.0 - blood.hematocrit)
    concentration = extended_tofts(times, plasma, values["ktrans"], values["ve"], values["vp"], values["delay"], at)
    b1 = np.clip(rng.normal(1.0, 0.06, n), 0.75, 1.25)
    flip = b1[:, None] * acquisition.flip_angle_deg
    r1 = 1.0 / values["t1"][:, None] + acquisition.r1 * concentration
    signal = share[:, None] * spgr_signal(r1, acquisition.tr_s, flip)
    signal += (1 - share[:, None]) * spgr_signal(1.0 / _EMPTY_T1_S, acquisition.tr_s, flip)
    signal *= rng.uniform(0.6, 1.0, (n, 1))  # proton density and receive field
    white = spgr_signal(1.0 / TYPICAL["wm"].t1, acquisition.tr_s, acquisition.flip_angle_deg)
    snr = float(np.exp(rng.uniform(np.log(8.0), np.log(70.0))))
    return Curves(
        rician(signal, 0.8 * float(white) / snr, rng).astype(np.float32),
        times,
        n_baseline,
        acquisition,
        1.0 / (share / values["t1"] + (1 - share) / _EMPTY_T1_S),
        b1,
        {key: share * values[key] for key in ("ktrans", "ve", "vp")} | {"delay": values["delay"]},
        tissue,
        at,
        arterial,
        blood.hematocrit,
        blood.feeding_s,
    )


def _anything(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Voxels whose parameters are those of no tissue in particular."""
    drawn = {key: np.exp(rng.uniform(np.log(low), np.log(high), n)) for key, (low, high) in _ANY.items()}
    return drawn | {"delay": rng.uniform(0.0, LIMITS["delay"][1], n), "t1": rng.uniform(0.6, 2.6, n)}
