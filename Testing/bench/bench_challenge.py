"""The formula of the ISMRM-OSIPI DCE challenge on a rebuilt digital reference object: accuracy, repeatability, reproducibility.

Run alone: ``python Testing/bench/bench_challenge.py [patients]``; nothing is written. The challenge's own images (Shalom et al., Magn Reson
Med 2024;91:1803) are not among our data: its recipe is rebuilt here on our digital patients, so these figures are of simulated data
and stand beside no published entry. Two synthetic patients with the published tumour means at two visits, and eight "clinical" ones
scanned twice with another dose, bolus, noise and motion.

The rule for a tumour's value: the frames from 30 s after arrival on, without the bolus' first pass, are fitted by Patlak's and by the
extended Tofts model, voxel by voxel with the whole AIF and without a delay; the tumour as a whole takes the model whose corrected Akaike
criterion, summed over its voxels, is lower; its value is the mean of that model's unclamped ktrans (a bound at 0 would cut off half of the
noise). The first pass is left out because what remains of it after a fit is mostly the error of the AIF's shape (its peak was read up to
37 % too high here when the rule was made). That says nothing of agent that leaks back, but extended Tofts takes it for such, and the
criterion then prefers it. Later frames hang on the AIF's area and late level, which are within some 10 %, and agent that leaks back shows
in them alone. A delay of some seconds, too, shows in the first pass only.

The cut at 30 s was chosen on twelve development patients (those of the seeds 2-18 with a tumour of 4 cc, every published mean on each):
accuracy .970, .969, .964, .961, .944, .934 with a cut at 20, 25, 30, 35, 40, 60 s. It was not taken at the best of these.
Former rules took all frames, with a delay per voxel: extended Tofts alone scored an accuracy of .692 on seeds from 1000 (one clinical
patient), the model by the criterion .777 on seeds from 2000 (two). The present rule scored .946 on seeds from 3000 (eight) before the AIF's
fit took the mean of tissue in place of its median; seeds from 4000 were used after that alone. Other rules
are printed for comparison and not held against the bars. The pipeline is told what a scan's protocol says (angles, times, relaxivity of
the agent); it is not told hematocrit, T1 and T2* decay of blood, delay or AIF.
"""

import dataclasses
import json
import os
import platform
import sys
import time

import numpy as np
from gliosuite.files import plain
from gliosuite.images import Grid, Series, array
from gliosuite.perfusion.dce import dce_maps
from gliosuite.perfusion.dce.settings import acquisition
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts
from gliosuite.perfusion.result import PerfusionMaps
from gliosuite.perfusion.settings import DceSettings
from gliosuite.perfusion.signal import concentrations, spgr_signal
from gliosuite.perfusion.t1 import T1Settings, t1_maps
from gliosuite.registration.motion import correct_motion
from gliosuite.simulate.acquisition import CLASSES, TISSUE, rician
from gliosuite.simulate.blood import Blood, draw_blood
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.scans.scanning import motion, moved
from scipy.ndimage import median_filter

FIRST_SEED = 4000
SEED_STEP = 100
GRID_MM = 3.0
LEAST = 150  # voxels of a tumour, 4 cc
TRUTH = ((0.0111, 0.00415), (0.109, 0.0691))  # tumour means of the two synthetic patients at two visits, 1/min
TR_S, TE_S, FLIP_DEG, RELAXIVITY, R2STAR = 0.00443, 0.0021, 25.0, 3.9, 10.0
ANGLES = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
TIMES = 4.8 * np.arange(65)
ARRIVAL_S, HEMATOCRIT, T1_BLOOD_S, PLASMA_PEAK_MM = 34.0, 0.45, 1.48, 6.0
FINE = 0.1 * np.arange(3200)
SETTINGS = DceSettings(tr_ms=1000 * TR_S, flip_angle_deg=FLIP_DEG, relaxivity=RELAXIVITY, delay=True, unclamped=True)
MODELS = {"patlak": 2, "etm": 3}  # and their free numbers, besides the delay
FIRST_PASS_S = 30.0  # after arrival


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    print(f"{what:<66}{found:<40}{bar:<14}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)


@dataclasses.dataclass(frozen=True)
class Object:
    """Truth of a patient on the scan's grid: parameters by name (z, y, x), tissue (1 + index in `CLASSES`), its share, the tumour."""

    grid: Grid
    maps: dict[str, np.ndarray]
    tissue: np.ndarray
    share: np.ndarray
    tumour: np.ndarray

    def rescaled(self, mean: float, power: float) -> "Object":
        """The tumour's ktrans to a power, brought to a mean: another visit as the recipe makes it."""
        ktrans = self.maps["ktrans"].copy()
        inside = np.maximum(ktrans[self.tumour], 1e-4) ** power
        ktrans[self.tumour] = inside * mean / inside.mean()
        return dataclasses.replace(self, maps=self.maps | {"ktrans": ktrans})


def digital(seed: int) -> Object:
    """The first patient from `seed` on whose tumour has at least `LEAST` voxels, its maps smoothed by a 3 x 3 median in the slice."""
    maps = simulate_case(seed, grid_mm=GRID_MM, scans=("dce",)).truth.maps
    if (array(maps["dce_tissue"]).astype(int) == 1 + CLASSES.index("cel")).sum() < LEAST:
        return digital(seed + SEED_STEP)
    tissue = array(maps["dce_tissue"]).astype(int)
    names = {"ktrans": "ktrans", "ve": "ve", "vp": "vp", "delay": "delay", "t1": "t10"}
    values = {n: median_filter(array(maps[f"dce_{m}"]), (1, 3, 3)) for n, m in names.items()}
    tumour = (tissue == 1 + CLASSES.index("cel")) & (values["ktrans"] > 0)
    return Object(Grid.of(maps["dce_tissue"]), values, tissue, array(maps["dce_share"]), tumour)


def blood_of(peak_mM: float | None, rng: np.random.Generator) -> tuple[Blood, float]:
    """Blood, and the factor that brings its plasma peak to `peak_mM`; a drawn one and 1 where that is None."""
    if peak_mM is None:
        return dataclasses.replace(draw_blood(rng), hematocrit=HEMATOCRIT), 1.0
    blood = Blood(hematocrit=HEMATOCRIT)
    return blood, peak_mM * (1 - HEMATOCRIT) / float(blood.arterial(FINE, ARRIVAL_S).max())


def scan(patient: Object, peak_mM: float | None, snr: float, moving: bool, seed: int) -> tuple[Series, Series]:
    """A VFA and a DCE series of a patient; blood fills a voxel by its share, the rest of which is grey matter."""
    rng = np.random.default_rng(seed)
    blood, factor = blood_of(peak_mM, rng)
    head = patient.tissue > 0
    code, share = patient.tissue[head], patient.share[head].astype(float)
    p = {n: v[head].astype(float) for n, v in patient.maps.items()}
    plasma = factor * blood.feeding(FINE, ARRIVAL_S) / (1 - HEMATOCRIT)
    concentration = np.zeros((code.size, TIMES.size), np.float32)
    for i in range(0, code.size, 4000):
        rows = slice(i, i + 4000)
        parameters = (p["ktrans"][rows], np.maximum(p["ve"][rows], 0.01), p["vp"][rows], p["delay"][rows])
        concentration[rows] = extended_tofts(TIMES, plasma, *parameters, FINE)
    density = np.array([0.0, *(TISSUE[c].pd for c in CLASSES)])[code]
    grey = TISSUE["gm"]
    vessels = {1 + CLASSES.index("artery"): blood.arterial, 1 + CLASSES.index("vein"): blood.venous}
    pure = np.where(np.isin(code, list(vessels)), share, 1.0)[:, None]
    t1 = np.where(np.isin(code, list(vessels)), T1_BLOOD_S, np.maximum(p["t1"], 0.1))
    for tissue, curve in vessels.items():
        concentration[code == tissue] = factor * curve(TIMES, ARRIVAL_S)

    def frame(added: np.ndarray, angle: float) -> np.ndarray:
        own = spgr_signal(1 / t1[:, None] + RELAXIVITY * added, TR_S, angle) * np.exp(-TE_S * R2STAR * added)
        return 1e4 * (
            pure * density[:, None] * own + (1 - pure) * grey.pd * spgr_signal(np.array(1 / 1.45), TR_S, angle)
        )

    sd = 1e4 * TISSUE["wm"].pd * float(spgr_signal(np.array(1 / 0.9), TR_S, FLIP_DEG)) / snr

    def series(values: np.ndarray, name: str, path: np.ndarray | None) -> Series:
        frames = np.zeros((values.shape[1], *patient.grid.shape), np.float32)
        frames[:, head] = values.T
        for i in range(len(frames)):
            still = frames[i] if path is None else moved(frames[i], patient.grid, path[i])
            frames[i] = np.round(rician(still, sd, rng))
        return Series(frames, patient.grid, name)

    nothing = np.zeros((code.size, 1))
    vfa = series(np.concatenate([frame(nothing, a) for a in ANGLES], axis=1), "vfa", None)
    return vfa, series(frame(concentration, FLIP_DEG), "dce", motion(rng, TIMES.size) if moving else None)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Unclamped ktrans of a tumour's voxels (n,) by one model, their sums of squares, the frames used and the free numbers."""

    ktrans: np.ndarray
    sse: np.ndarray
    frames: int
    free: int

    def mean(self) -> float:
        """Over the voxels that could be fitted."""
        return float(self.ktrans[np.isfinite(self.ktrans)].mean())

    def criterion(self) -> float:
        """Corrected Akaike criterion, the mean over the voxels."""
        n, free = self.frames, self.free
        known = np.isfinite(self.ktrans) & (self.sse > 0)
        penalty = 2 * free + 2 * free * (free + 1) / (n - free - 1)
        return float(np.mean(n * np.log(self.sse[known].astype(float)) + penalty))


@dataclasses.dataclass(frozen=True)
class Entry:
    """What our pipeline says of a scan: maps of each model from all frames with a delay, and fits after the first pass without one."""

    whole: list[PerfusionMaps]
    late: list[Fit]


def entry(patient: Object, vfa: Series, dce: Series, settings: list[DceSettings]) -> Entry:
    """Our own pipeline on the tumour, nothing but its outline given: T1 map, automatic AIF in the whole head, a fit per model."""
    region = patient.grid.image(patient.tumour)
    head = patient.grid.image(patient.tissue > 0)
    t1 = t1_maps(vfa, T1Settings(1000 * TR_S, ANGLES), mask=head).t1
    first = dce_maps(dce, TIMES, settings[0], t10=t1, mask=region)
    whole = [first, *(dce_maps(dce, TIMES, s, aif=first.aif, t10=t1, mask=region) for s in settings[1:])]
    fitted, bolus, aif = array(first.mask) > 0, first.bolus, first.aif
    n_baseline = bolus.arrival - bolus.steady
    signal = dce.curves(fitted)[:, bolus.steady :]
    curves = concentrations(signal, acquisition(settings[0]), array(t1)[fitted], n_baseline)
    passed = first.times_s >= first.times_s[n_baseline] + FIRST_PASS_S
    times, curves = first.times_s[passed], curves[:, passed]
    late = []
    for s in settings:
        fit = fit_curves(curves, times, aif.concentration, s.model, False, aif.times_s, s.bounds, unclamped=True)
        rate = fit.unclamped["ps" if s.model == "patlak" else "ktrans"]
        late.append(Fit(rate, fit.sse, times.size, MODELS[s.model]))
    return Entry(whole, late)


def whole_fits(fits: list[PerfusionMaps], tumour: np.ndarray) -> list[Fit]:
    """The same numbers from maps of all frames."""
    found = []
    for maps, (model, free) in zip(fits, MODELS.items()):
        ktrans, rmse = (
            array(maps.maps[n])[tumour] for n in ("ps_unclamped" if model == "patlak" else "ktrans_unclamped", "rmse")
        )
        n = maps.times_s.size
        found.append(Fit(ktrans, n * rmse**2, n, free + 1))
    return found


def chosen(fits: list[Fit]) -> float:
    """The tumour's mean by the model that its voxels together prefer."""
    return min(fits, key=Fit.criterion).mean()


def values(found: Entry, tumour: np.ndarray) -> dict[str, float]:
    """A tumour's value by each rule; the first is the one that is scored."""
    whole = whole_fits(found.whole, tumour)
    shown = {
        "after the first pass, model of the tumour": chosen(found.late),
        "all frames, model of the tumour": chosen(whole),
    }
    for model, late, all_frames in zip(MODELS, found.late, whole):
        shown |= {f"{model} after the first pass": late.mean(), f"{model}, all frames": all_frames.mean()}
    return shown


def cv(a: float, b: float) -> float:
    """The challenge's coefficient of variation of two values: SD (of the population) over mean."""
    if a == b:
        return 0.0
    return abs(a - b) / (a + b) if a + b > 0 else 1.0


def score(pairs: list[tuple[float, float]]) -> float:
    """exp(-mean CV)."""
    return float(np.exp(-np.mean([cv(a, b) for a, b in pairs])))


def main(clinical: int = 8) -> None:
    """Simulate, fit, score, print."""
    start = time.perf_counter()
    print(f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"Simulated: 2 synthetic patients and {clinical} clinical ones, two visits each, seeds from {FIRST_SEED}")
    scans = []
    for i, means in enumerate(TRUTH):
        whole = digital(FIRST_SEED + i)
        for visit, mean in enumerate(means):
            patient = whole.rescaled(mean, 1.0 if visit == 0 else 0.9)
            scans.append((patient, *scan(patient, PLASMA_PEAK_MM, 25.0, False, 10 * i + visit), mean))
    for i in range(clinical):
        patient = digital(FIRST_SEED + 10 + i)
        for visit in range(2):
            snr = float(np.random.default_rng(100 * i + visit).uniform(18, 32))
            vfa, dce = scan(patient, None, snr, True, 1000 + 10 * i + visit)
            scans.append((patient, vfa, correct_motion(dce).series, float("nan")))
        print(f"  patient {i + 1} of {clinical} after {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    found, again = [], []
    for patient, vfa, dce, truth in scans:
        ours = entry(patient, vfa, dce, [dataclasses.replace(SETTINGS, model=m) for m in MODELS])
        found.append(values(ours, patient.tumour))
        # A neutral evaluator has the record that was written, and nothing else.
        records = [json.loads(json.dumps(plain(maps.settings))) for maps in ours.whole]
        again.append(values(entry(patient, vfa, dce, [DceSettings(**r) for r in records]), patient.tumour))
        shown = ", ".join(f"{n} {v:.5f}" for n, v in found[-1].items())
        true_mean = float(patient.maps["ktrans"][patient.tumour].mean())
        print(
            f"  truth {true_mean:.5f}{' (published)' if np.isfinite(truth) else ''}: {shown}; {ours.whole[0].aif.how}",
            flush=True,
        )
    for j, rule in enumerate(found[0]):
        v = [f[rule] for f in found]
        a = score([(v[i], t) for i, t in enumerate(np.ravel(TRUTH))])
        r = score([(v[i], v[i + 1]) for i in range(4, len(v), 2)])
        p = score([(f[rule], g[rule]) for f, g in zip(found, again)])
        bars = ((">= 0.92", a >= 0.92), (">= 0.86", r >= 0.86), ("1.00", p == 1.0)) if j == 0 else [("", None)] * 3
        for name, value, (bar, met) in zip(("accuracy", "repeatability", "reproducibility"), (a, r, p), bars):
            line(f"{name} ({rule})", f"{value:.3f}", bar, met)
        line(f"silver, gold ({rule})", f"{100 * a * r:.1f} %, {100 * a * r * p:.1f} %")
    constant = score([(0.1, t) for t in np.ravel(TRUTH)])
    line(
        "check: accuracy of an entry that says 0.1 /min everywhere",
        f"{constant:.3f}",
        "0.615",
        round(constant, 3) == 0.615,
    )


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:2]))
