"""DSC: every figure that the engine is held to, printed with machine and versions.

Run by ``make bench``, or alone: ``python Testing/bench/bench_dsc.py [part ...]`` with parts of ``osipi deconvolution volume leakage arrival
speed device white``; all of them where none is given. Nothing is written. All but the first are on simulated data.
"""

import csv
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import scipy
from gliosuite.curves import enhancing_mean, find_bolus
from gliosuite.errors import InputError
from gliosuite.images import array
from gliosuite.perfusion.dsc import DscSettings, dsc_maps, perfusion_maps
from gliosuite.perfusion.kinetics import convolve
from gliosuite.perfusion.leakage import correct_bsw
from gliosuite.perfusion.nawm import find_nawm
from gliosuite.simulate import simulate_case
from gliosuite.simulate.acquisition import CLASSES
from gliosuite.simulate.blood import Blood
from scipy.special import gammaincc

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data") / "osipi-reference"
PATIENTS = range(1000, 1030)
FRAME, STEP = 1.5, 0.05
TIMES = FRAME * np.arange(60)
FINE = STEP * np.arange(int(TIMES[-1] / STEP) + 1)


def osipi():
    csv.field_size_limit(10**7)
    with (DATA / "dsc_data_rows_odd.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    curves = np.array([r["C_tis"].split() for r in rows], float)
    aif, dt = np.array(rows[0]["C_aif"].split(), float), float(rows[0]["tr"].split()[0])
    cbv, cbf = (np.array([float(r[k]) for r in rows]) for k in ("cbv", "cbf"))
    print(f"OSIPI, {len(rows)} curves: error, mean / max")
    for method, bar in (("osvd", "2.6"), ("tikhonov", "2.6"), ("ssvd", "-"), ("csvd", "-")):
        fit = perfusion_maps(curves, dt, aif, "none", method)
        error = np.abs(fit.cbf - cbf)
        print(f"  cbf {method:<10}{error.mean():.2f} / {error.max():.1f} ml/100ml/min   bar {bar}")
    error = fit.cbv - cbv
    print(f"  cbv           {np.abs(error).mean():.3f} / {np.abs(error).max():.3f} ml/100ml   bar 0.33")
    # The curves are rectangle sums with the residue's first sample in full, so their area is too large by cbf x dt / 2.
    own = cbf * dt / 120.0
    print(
        f"  of that {own.mean():.3f} lies in how the curves were made (cbf x dt / 2); without: {np.abs(error - own).mean():.3f}"
    )


def gamma(t0, alpha, beta):
    u = np.maximum(FINE - t0, 0)
    return u**alpha * np.exp(-u / beta) / (alpha * beta) ** alpha * np.exp(alpha)


# The phantom of the notes (gamma variates), and one that served for no choice: the simulated patients' artery.
ARTERIES = {
    "gamma": 60 * (gamma(15, 3, 1.5) + 0.15 * gamma(27, 3, 4) + 0.06 / (1 + np.exp(-(FINE - 30) / 3))),
    "patient": 7.6 * Blood().arterial(FINE, 18.0),
}
RESIDUES = {"exponential": 1.0, "gamma 2": 2.0, "gamma 3": 3.0, "box": np.inf}


def vessel(artery, shape, mtt, delay=0.0, dispersion=0.0):
    """ΔR2* of a voxel with a blood volume of 2 %, on the fine grid."""
    share = gammaincc(shape, shape * FINE / mtt) if np.isfinite(shape) else (mtt > FINE) * 1.0
    curve = smear(artery, np.exp(-FINE / dispersion)) if dispersion else artery
    return 0.02 * np.interp(FINE - delay, FINE, smear(curve, share), left=0.0)


def smear(curve, kernel):
    kernel = kernel.copy()
    kernel[0] /= 2.0
    kernel /= kernel.sum()
    length = 2 * curve.size
    return np.fft.irfft(np.fft.rfft(curve, length) * np.fft.rfft(kernel, length), length)[: curve.size]


def sampled(curve):
    return np.interp(TIMES, FINE, curve)


def deconvolution():
    u = np.maximum(TIMES - 20, 0)
    aif = 40 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5)
    delays = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    curves = np.concatenate([0.4 * convolve(TIMES, aif, 60 / m, delays, TIMES) for m in (3.0, 5.0, 8.0)])
    print("delays of 0-5 s, transit 3, 5, 8 s: largest change of cbf; largest error of tmax against no delay")
    for method in ("osvd", "csvd", "ssvd"):
        fit = perfusion_maps(curves, FRAME, aif, "none", method)
        flow, tmax = (v.reshape(3, -1) for v in (fit.cbf, fit.tmax_s))
        change = np.abs(flow / flow[:, :1] - 1).max()
        late = np.abs(tmax - tmax[:, :1] - delays).max() / FRAME
        bars = "bars 5 %, 0.5 frames" if method != "ssvd" else "expected to fail: its flow falls with the delay"
        print(f"  {method:<6}{100 * change:6.1f} %  {late:.2f} frames   {bars}")


def volume():
    print(
        "blood volume without noise or leakage, agent recirculating, 60 frames of 1.5 s, delays 0-2 s: error, lowest to highest; bar 0.3 %"
    )
    aif = sampled(ARTERIES["patient"])
    for name in ("exponential", "gamma 2", "gamma 3"):
        cases = [(m, d) for m in (3, 4, 5, 6, 8) for d in (0, 1, 2)]
        curves = np.array([sampled(vessel(ARTERIES["patient"], RESIDUES[name], *c)) for c in cases])
        found = 100 * (perfusion_maps(curves, FRAME, aif, "none").cbv / 2 - 1)
        plain = 100 * (curves.sum(1) / aif.sum() / 0.02 - 1)
        print(
            f"  {name:<13}{found.min():+.2f} to {found.max():+.2f} %   ratio of areas: {plain.min():+.1f} to {plain.max():+.1f} %"
        )
    curve = sampled(vessel(ARTERIES["patient"], 2.0, 5.0, 1.0))
    for cnr in (50, 20, 5):
        noisy = curve + np.random.default_rng(0).normal(0, curve.max() / cnr, (8000, 60))
        found, plain = perfusion_maps(noisy, FRAME, aif, "none").cbv / 2, noisy.sum(1) / aif.sum() / 0.02
        print(
            f"  CNR {cnr:<4}relative SD {100 * found.std() / found.mean():.2f} %   ratio of areas: {100 * plain.std() / plain.mean():.2f} %"
        )


def leaky(artery, shape, delay, dispersion=0.0):
    """Curves, blood volumes relative to 2 %, leakage and transit times of the notes' phantom."""
    rows, truth = [], []
    for mtt in (4.0, 6.0):
        v = vessel(artery, shape, mtt, delay, dispersion)
        for kep in (0.0, 0.005):
            kernel = np.exp(-kep * FINE)
            out = (
                STEP * np.fft.irfft(np.fft.rfft(v, 2 * v.size) * np.fft.rfft(kernel, 2 * v.size), 2 * v.size)[: v.size]
            )
            for k1 in (0.5, 1.0, 2.0, 4.0):
                for k2 in (0.0, 0.02, -0.02, 0.05, -0.05):
                    rows.append(sampled(k1 * v - k2 * out))
                    truth.append((k1, k2))
    return np.array(rows), *np.array(truth).T


def leakage(repeats=16):
    print(
        "leakage: mean error of cbv in %, CNR inf / 50 / 20; K2 sign right where |K2| >= .02, lowest of all; bars - / 3.5 / 6 %, 99 %"
    )
    for phantom, artery in ARTERIES.items():
        aif = sampled(artery)
        signs = []
        for name, shape in RESIDUES.items():
            for delay, dispersion in ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (1.5, 1.5)):
                reference = sampled(vessel(artery, shape, 4.0, delay, dispersion))
                cells = []
                for method in ("residue", "bsw", "bidirectional"):
                    errors = []
                    for cnr in (np.inf, 50, 20):
                        curves, k1, k2 = (
                            np.repeat(a, 1 if cnr == np.inf else repeats, 0)
                            for a in leaky(artery, shape, delay, dispersion)
                        )
                        noise = np.random.default_rng(1).normal(0, reference.max() / cnr, curves.shape)
                        here = np.concatenate([curves + noise, np.tile(reference, (30, 1))])
                        marked = np.arange(len(here)) >= len(curves)
                        fit = perfusion_maps(here, FRAME, aif, method, reference=marked)
                        errors.append(100 * np.abs(fit.cbv[: len(curves)] / 2 / k1 - 1).mean())
                        if method == "residue":
                            some = np.abs(k2) >= 0.02
                            signs.append(np.mean(np.sign(fit.k2[: len(curves)][some]) == np.sign(k2[some])))
                    cells.append(" / ".join(f"{e:.1f}" for e in errors))
                late = f"delay {delay:g} s" + (", dispersed 1.5 s" if dispersion else "")
                print(
                    f"  {phantom:<8}{name:<12}{late:<27}residue {cells[0]:<18}bsw {cells[1]:<20}bidirectional {cells[2]}"
                )
        print(f"  {phantom:<8}sign of K2 right: {100 * min(signs):.1f} %")
    reference = sampled(vessel(ARTERIES["patient"], 1.0, 4.0))
    fit = correct_bsw(np.outer([0.5, 1, 2, 4], reference), FRAME, reference)
    error = np.abs(fit.corrected.sum(1) / reference.sum() / [0.5, 1, 2, 4] - 1).max()
    print(f"  bsw without leakage, matched transit: {100 * error:.3f} %   bar 1 %")


def arrival():
    print(
        "arrival in 600 voxels whose signal falls by 5-40 %, baselines of 5-40 of 60 frames: within 1 frame of where the mean has fallen"
    )
    print("by 5 %, largest error; bias of S0")
    rng = np.random.default_rng(0)
    curve = vessel(Blood().arterial(FINE, 0.0), 1.0, 4.0)
    curve /= curve.max()
    depth = np.linspace(0.05, 0.4, 600)[:, None]
    mean = ((1 - depth[-30:]) ** curve).mean(axis=0)
    begin = FINE[np.argmax(mean < 0.95)]
    for snr in (10, 20, 50):
        for label, after in (("whole", 60), ("ends 8 frames after the arrival", 8)):
            late, level, missed = [], [], 0
            for first in (5, 8, 12, 20, 30, 40):
                shifted = np.interp(TIMES - first * FRAME + begin, FINE, curve, left=0.0)[: min(first + after, 60)]
                for _ in range(50):
                    signal = 500 * (1 - depth) ** shifted + rng.normal(0, 500 / snr, (600, shifted.size))
                    try:
                        found = find_bolus(enhancing_mean(signal, False), False)
                    except InputError:
                        missed += 1
                        continue
                    late.append(abs(found.arrival - first))
                    level.append(signal[:, found.steady : found.arrival].mean() / 500 - 1)
            late = np.array(late)
            print(
                f"  SNR {snr:<4}{label:<33}{100 * np.mean(late <= 1):5.1f} %, {late.max()} frames; {100 * np.mean(level):+.2f} %; "
                f"no bolus found in {missed} of {late.size + missed}"
            )


def synthetic(n):
    rng = np.random.default_rng(2)
    curves = np.concatenate([leaky(ARTERIES["patient"], s, d)[0] for s in (1.0, 3.0) for d in (0.0, 1.0)])
    curves = curves[rng.integers(0, len(curves), n)]
    noise = rng.normal(0, 1, curves.shape) * curves.max(1, keepdims=True) / 30
    return (curves + noise).astype(np.float32), sampled(ARTERIES["patient"])


def speed(n=600_000):
    curves, aif = synthetic(n)
    marked = np.arange(n) % 7 == 0
    print(f"speed, {n} voxels x 60 frames, best of 5; load before: {os.getloadavg()[0]:.1f}")
    for leak, method, bar in (
        ("bsw", "osvd", 3),
        ("residue", "osvd", 10),
        ("auto", "osvd", None),
        ("bsw", "tikhonov", None),
    ):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            perfusion_maps(curves, FRAME, aif, leak, method, marked)
            seconds.append(time.perf_counter() - start)
        print(f"  {leak:<9}{method:<10}{min(seconds):6.2f} s   {f'bar {bar} s' if bar else ''}")


def device(n=20_000):
    from importlib.util import find_spec

    if find_spec("torch") is None:
        print("device: torch is not installed")
        return
    import torch

    other = "cuda" if torch.cuda.is_available() else "torch-cpu"
    curves, aif = synthetic(n)
    marked = np.arange(n) % 7 == 0
    print(
        f"numpy and torch {torch.__version__} on {other}: share of voxels that differ by more than 1e-4; of the rest, largest difference"
    )
    for leak in ("bsw", "bidirectional", "residue", "auto"):
        for method in ("osvd", "csvd", "ssvd", "tikhonov"):
            here, there = (perfusion_maps(curves, FRAME, aif, leak, method, marked, d) for d in ("cpu", other))
            worst, share = 0.0, 0.0
            for name in ("cbv", "cbf", "mtt_s", "tmax_s", "k1", "k2", "k1_sd", "k2_sd"):
                a, b = getattr(here, name), getattr(there, name)
                apart = np.abs(a - b) / np.maximum(np.abs(a), 1e-3 * np.nanmedian(np.abs(a)))
                share = max(share, np.nanmean(apart > 1e-4))
                worst = max(worst, np.nanmax(apart[~(apart > 1e-4)]))
            print(f"  {leak:<14}{method:<10}{100 * share:.3f} %   {worst:.1e}")


def white(count=12):
    print(
        "automatic white matter, simulated patients: cbv where it is found for two lesion masks; share of it that is white matter"
    )
    apart = []
    for seed in PATIENTS[:count]:
        patient = simulate_case(seed, grid_mm=2.0, scans=("dsc",))
        series, acquisition = patient.case.series("dsc"), patient.case.acquisition("dsc")
        settings = DscSettings(te_ms=acquisition["te_ms"], tr_ms=acquisition["tr_ms"])
        tissue, brain = array(patient.truth["dsc_tissue"]), patient.truth["brain"]
        masks = [patient.case.mask(name) for name in ("cel", "t2l")]
        if not all(array(m).any() for m in masks):
            continue
        times = np.array(acquisition["times_s"])
        maps = dsc_maps(series, times, settings, "auto", brain, brain=brain, lesion=masks[1])
        cbv, fitted = array(maps.maps["cbv"]), array(maps.mask) > 0
        found = [find_nawm(brain, m, series.grid, cbv, fitted).mask for m in masks]
        levels = [float(np.nanmean(cbv[f])) for f in found]
        pure = [np.mean(tissue[f] == CLASSES.index("wm") + 1) for f in found]
        apart.append(abs(levels[0] / levels[1] - 1))
        print(
            f"  {seed}  {levels[0]:.2f} and {levels[1]:.2f} ml/100ml, {100 * apart[-1]:4.1f} %; "
            f"white {100 * pure[0]:.0f}, {100 * pure[1]:.0f} %",
            flush=True,
        )
    print(f"  largest difference {100 * max(apart):.1f} %   bar 5 %")


if __name__ == "__main__":
    parts = {p.__name__: p for p in (osipi, deconvolution, volume, leakage, arrival, speed, device, white)}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}"
    )
    for name in sys.argv[1:] or parts:
        if name == "osipi" and not DATA.exists():
            print(f"reference data are not at {DATA}; set GLIOSUITE_DATA")
            continue
        parts[name]()
        print()
