"""DSC: the bars of accuracy and speed, each printed with what was measured, on this machine.

Run by ``make bench``, or alone: ``python Testing/bench/bench_dsc.py [part ...]``, the parts being those of `PARTS`. Nothing is written. All
but ``osipi`` are on simulated data.
"""

import csv
import os
import platform
import statistics
import sys
import time
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy
from gliosuite.curves import enhancing_mean, find_bolus
from gliosuite.errors import InputError
from gliosuite.images import array
from gliosuite.perfusion.dsc import DscSettings, dsc_aif, dsc_maps, perfusion_maps
from gliosuite.perfusion.dsc.leakage.corrections import correct_bsw
from gliosuite.perfusion.dsc.leakage.excitation import Excitation
from gliosuite.perfusion.dsc.nawm import find_nawm
from gliosuite.perfusion.kinetics import convolve
from gliosuite.simulate.acquisition import CLASSES
from gliosuite.simulate.blood import Blood
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.protocols import DEFAULT
from scipy.special import gammaincc

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data") / "osipi-reference"
PATIENTS = range(1000, 1030)
FRAME, STEP = 1.5, 0.05
SCAN = Excitation(0.03, 1.5, 60.0, 1.5)
TIMES = FRAME * np.arange(60)
FINE = STEP * np.arange(int(TIMES[-1] / STEP) + 1)


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    print(f"{what:<66}{found:<34}{bar:<26}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)


def osipi():
    """Flow and volume of OSIPI's reference curves, developer half; unscaled."""
    if not DATA.exists():
        print(f"reference data are not at {DATA}; set GLIOSUITE_DATA")
        return
    csv.field_size_limit(10**7)
    with (DATA / "dsc_data_rows_odd.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    curves = np.array([r["C_tis"].split() for r in rows], float)
    aif, dt = np.array(rows[0]["C_aif"].split(), float), float(rows[0]["tr"].split()[0])
    cbv, cbf = (np.array([float(r[k]) for r in rows]) for k in ("cbv", "cbf"))
    for method, bar in (("osvd", 2.6), ("tikhonov", 2.6), ("ssvd", None), ("csvd", None)):
        error = np.abs(perfusion_maps(curves, dt, aif, "none", method).cbf - cbf)
        limit = ("mean 2.6", error.mean() <= bar) if bar else ()
        line(f"OSIPI, cbf {method}, ml/100ml/min", f"mean {error.mean():.2f}, max {error.max():.1f}", *limit)
    error = perfusion_maps(curves, dt, aif, "none").cbv - cbv
    mean = np.abs(error).mean()
    line("OSIPI, cbv, ml/100ml", f"mean {mean:.3f}, max {np.abs(error).max():.3f}", "mean 0.33", mean <= 0.33)
    # The curves are rectangle sums with the residue's first sample in full, so their area is too large by cbf x dt / 2.
    own = cbf * dt / 120.0
    line(
        "  of that in the curves themselves (cbf dt/2), the rest", f"{own.mean():.3f}, {np.abs(error - own).mean():.3f}"
    )
    early = int(120 / dt)
    for what, other in (
        ("ratio of areas", curves.sum(axis=1) / aif.sum()),
        ("ratio of areas by trapezoids", np.trapezoid(curves, axis=1) / np.trapezoid(aif)),
        (
            "ratio of areas to 120 s (what is cut off makes up for it)",
            curves[:, :early].sum(axis=1) / aif[:early].sum(),
        ),
        ("K1 of the residue correction", perfusion_maps(curves, dt, aif, "residue").k1),
    ):
        line(f"  tried: {what}", f"mean {np.abs(100 * other - cbv).mean():.3f}")


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
    """Whether flow and time of the maximum depend on the delay: 0-5 s, transit 3, 5, 8 s."""
    u = np.maximum(TIMES - 20, 0)
    aif = 40 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5)
    delays = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    curves = np.concatenate([0.4 * convolve(TIMES, aif, 60 / m, delays, TIMES) for m in (3.0, 5.0, 8.0)])
    for method in ("osvd", "csvd", "ssvd"):
        fit = perfusion_maps(curves, FRAME, aif, "none", method)
        flow, tmax = (v.reshape(3, -1) for v in (fit.cbf, fit.tmax_s))
        change = 100 * np.abs(flow / flow[:, :1] - 1).max()
        late = np.abs(tmax - tmax[:, :1] - delays).max() / FRAME
        bar = ("5 %, 0.5 frames", change <= 5 and late <= 0.5) if method != "ssvd" else ("expected to fail",)
        line(f"delay, {method}: change of cbf, error of tmax", f"{change:.1f} %, {late:.2f} frames", *bar)


def volume():
    """Blood volume without leakage while agent recirculates, beside the plain ratio of areas: delays 0-2 s; then the spread by noise."""
    aif = sampled(ARTERIES["patient"])
    for name in ("exponential", "gamma 2", "gamma 3"):
        cases = [(m, d) for m in (3, 4, 5, 6, 8) for d in (0, 1, 2)]
        curves = np.array([sampled(vessel(ARTERIES["patient"], RESIDUES[name], *c)) for c in cases])
        found = 100 * (perfusion_maps(curves, FRAME, aif, "none").cbv / 2 - 1)
        plain = 100 * (curves.sum(1) / aif.sum() / 0.02 - 1)
        span = f"{found.min():+.2f} to {found.max():+.2f} %"
        line(f"cbv, noise-free, {name}", span, "0.35 %", np.abs(found).max() <= 0.35)
        line("  ratio of areas", f"{plain.min():+.1f} to {plain.max():+.1f} %")
    curve = sampled(vessel(ARTERIES["patient"], 2.0, 5.0, 1.0))
    for cnr in (50, 20, 5):
        noisy = curve + np.random.default_rng(0).normal(0, curve.max() / cnr, (8000, 60))
        found, plain = perfusion_maps(noisy, FRAME, aif, "none").cbv / 2, noisy.sum(1) / aif.sum() / 0.02
        both = [100 * v.std() / v.mean() for v in (found, plain)]
        line(f"cbv, CNR {cnr}: relative SD; of the ratio of areas", f"{both[0]:.2f} %; {both[1]:.2f} %")


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
    """Mean error of cbv by correction on the notes' phantom and on one that served for no choice; CNR inf / 50 / 20; the sign of K2."""
    for phantom, artery in ARTERIES.items():
        aif = sampled(artery)
        signs = []
        for name, shape in RESIDUES.items():
            for delay, dispersion in ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (1.5, 1.5)):
                reference = sampled(vessel(artery, shape, 4.0, delay, dispersion))
                found = {}
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
                    found[method] = errors
                late = f"delay {delay:g} s" + (", dispersed 1.5 s" if dispersion else "")
                middle, high = found["residue"][1:]
                bar = ("-, 6, - %", middle <= 6) if dispersion else ("-, 3.5, 6 %", middle <= 3.5 and high <= 6)
                for method, errors in found.items():
                    text = ", ".join(f"{e:.1f}" for e in errors) + " %"
                    line(f"{phantom}, {name}, {late}: {method}", text, *(bar if method == "residue" else ()))
        line(
            f"{phantom}: sign of K2 right, |K2| >= .02, lowest", f"{100 * min(signs):.1f} %", "99 %", min(signs) >= 0.99
        )
    reference = sampled(vessel(ARTERIES["patient"], 1.0, 4.0))
    fit = correct_bsw(np.outer([0.5, 1, 2, 4], reference), FRAME, reference)
    error = 100 * np.abs(fit.corrected.sum(1) / reference.sum() / [0.5, 1, 2, 4] - 1).max()
    line("bsw without leakage, matched transit", f"{error:.3f} %", "1 %", error <= 1)


def peers():
    """osipy's leakage corrections on the notes' phantom where it is installed, with the reference voxels given to it; no dependency.

    Run this file with a Python that has osipy beside numpy, scipy and SimpleITK, with ``PYTHONPATH=GlioCore``.
    """
    if find_spec("osipy") is None:
        print("osipy is not installed")
        return
    from osipy.dsc.leakage import LeakageCorrectionParams, correct_leakage

    aif = sampled(ARTERIES["gamma"])
    curves, k1, k2 = leaky(ARTERIES["gamma"], 1.0, 0.0)
    reference = sampled(vessel(ARTERIES["gamma"], 1.0, 4.0))
    here = np.concatenate([curves, np.tile(reference, (120, 1))])
    marked = np.arange(len(here)) >= len(curves)
    for method in ("bsw", "bidirectional"):
        params = LeakageCorrectionParams(method, reference_tissue="custom", custom_reference_mask=marked)
        result = correct_leakage(here, aif, TIMES, np.ones(len(here), bool), params)
        ratio = np.asarray(result.corrected_delta_r2)[: len(curves)].sum(axis=1) / reference.sum() / k1
        error = 100 * np.abs(ratio - 1)
        text = f"mean {error.mean():.0f}, max {error.max():.0f}, K2 = 0: {error[k2 == 0].mean():.0f} %"
        line(f"osipy {metadata.version('osipy')}, {method}", text)
        own = perfusion_maps(here, FRAME, aif, method, reference=marked).cbv[: len(curves)] / 2 / k1
        error = 100 * np.abs(own - 1)
        text = f"mean {error.mean():.0f}, max {error.max():.0f}, K2 = 0: {error[k2 == 0].mean():.0f} %"
        line(f"GlioSuite, {method}", text)


def arrival():
    """Arrival in 600 voxels whose signal falls by 5-40 %, baselines of 5-40 of 60 frames, against where the mean has fallen by 5 %."""
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
            share, bias = 100 * np.mean(np.array(late) <= 1), 100 * np.mean(level)
            text = f"{share:.1f} %, worst {max(late)}; {bias:+.2f} %; {missed}"
            bar = ("100 %; 0.5 %; 0", share == 100 and abs(bias) < 0.5 and not missed) if after == 60 else ()
            line(f"arrival +-1 frame; bias of S0; not found: SNR {snr}, {label}", text, *bar)


def synthetic(n):
    rng = np.random.default_rng(2)
    curves = np.concatenate([leaky(ARTERIES["patient"], s, d)[0] for s in (1.0, 3.0) for d in (0.0, 1.0)])
    curves = curves[rng.integers(0, len(curves), n)]
    noise = rng.normal(0, 1, curves.shape) * curves.max(1, keepdims=True) / 30
    return (curves + noise).astype(np.float32), sampled(ARTERIES["patient"])


def speed(n=600_000):
    """Seconds for 60 frames, median of 5 after a warm-up; 40 % of the voxels leak so that K2 is above 0.

    Carrying leakage through the signal equation is timed with a hundredth of the voxels leaking, a large tumour in a whole brain.
    """
    curves, aif = synthetic(n)
    marked = np.arange(n) % 7 == 0
    # Agent acts six times as strongly in tissue as in the artery, so that T1 effects are as large as in a scan.
    some = 6 * curves
    quiet = np.arange(n) % 100 != 0
    dry = 6 * sampled(vessel(ARTERIES["patient"], 1.0, 4.0))
    noise = np.random.default_rng(3).normal(0, dry.max() / 30, (int(quiet.sum()), 60))
    some[quiet] = dry + noise
    print(f"{n} voxels x 60 frames; load before: {os.getloadavg()[0]:.1f}")
    for what, data, leak, method, scan, bar in (
        ("bsw, osvd", curves, "bsw", "osvd", None, 3),
        ("residue, osvd", curves, "residue", "osvd", None, 10),
        ("residue through the signal equation, osvd", some, "residue", "osvd", SCAN, 10),
        ("auto, osvd", curves, "auto", "osvd", None, None),
        ("bsw, tikhonov", curves, "bsw", "tikhonov", None, None),
    ):
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            perfusion_maps(data, FRAME, aif, leak, method, marked, scan=scan)
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds[1:])
        line(f"{what}", f"{median:.2f} s", *((f"{bar} s", median <= bar) if bar else ()))


def device(n=20_000):
    """Share of voxels in which numpy and torch (CUDA where there is one) differ by more than 1e-4; largest difference of the rest."""
    if find_spec("torch") is None:
        print("device: torch is not installed")
        return
    import torch

    other = "cuda" if torch.cuda.is_available() else "torch-cpu"
    curves, aif = synthetic(n)
    marked = np.arange(n) % 7 == 0
    print(f"numpy beside torch {torch.__version__} on {other}")
    for leak in ("bsw", "bidirectional", "residue", "auto"):
        for method in ("osvd", "csvd", "ssvd", "tikhonov"):
            here, there = (perfusion_maps(curves, FRAME, aif, leak, method, marked, d) for d in ("cpu", other))
            worst, share = 0.0, 0.0
            for name in ("cbv", "cbf", "mtt_s", "tmax_s", "k1", "k2", "k1_sd", "k2_sd"):
                a, b = getattr(here, name), getattr(there, name)
                apart = np.abs(a - b) / np.maximum(np.abs(a), 1e-3 * np.nanmedian(np.abs(a)))
                share = max(share, np.nanmean(apart > 1e-4))
                worst = max(worst, np.nanmax(apart[~(apart > 1e-4)]))
            line(f"{leak}, {method}", f"{100 * share:.3f} %, {worst:.1e}", "0.1 %, 1e-4", share <= 1e-3)


def lesion(count=20):
    """nCBV of enhancing lesions by leakage correction, without and with preload, beside the truth of simulated patients.

    Enhancing tumour and white matter are the truth's voxels with a share above 90 %, so that errors are those of the maps; the AIF is
    automatic. ``residue, linear`` is what ``residue`` does where flip angle and TR are not known. Patients with fewer than 20 such voxels
    are left out; so is a scan whose automatic AIF cannot be used, which is said.
    """
    kinds = [(name, name, True) for name in ("none", "bsw", "bidirectional", "residue", "auto")]
    kinds.insert(4, ("residue, linear", "residue", False))
    print(f"nCBV of enhancing lesions, the first {count} simulated patients from 1000 on: relative error in %")
    errors: dict[tuple[str, str], list[float]] = {}
    seed = PATIENTS[0] - 1
    done = 0
    while done < 2 * count:
        seed += 1
        for label, preload in (("no preload", False), ("preload", True)):
            protocols = replace(DEFAULT, dsc=replace(DEFAULT.dsc, preload=preload))
            patient = simulate_case(seed, grid_mm=3.0, scans=("dsc",), protocols=protocols)
            truth = {n: array(patient.truth[f"dsc_{n}"]) for n in ("tissue", "share", "cbv")}
            pure = {n: (truth["tissue"] == CLASSES.index(n) + 1) & (truth["share"] > 0.9) for n in ("cel", "wm")}
            if pure["cel"].sum() < 20:
                break
            series, acquisition = patient.case.series("dsc"), patient.case.acquisition("dsc")
            times, mask = np.array(acquisition["times_s"]), series.grid.image(pure["cel"])
            true = truth["cbv"][pure["cel"]].mean() / truth["cbv"][pure["wm"]].mean()
            aif = dsc_aif(series, times, DscSettings(te_ms=acquisition["te_ms"]), "auto", patient.truth["brain"])
            fitted, row = series.grid.image(pure["cel"] | pure["wm"]), []
            for name, correction, known in kinds:
                settings = DscSettings(
                    te_ms=acquisition["te_ms"],
                    tr_ms=acquisition["tr_ms"],
                    flip_angle_deg=acquisition["flip_angle_deg"] if known else None,
                    leakage=correction,
                )
                try:
                    maps = dsc_maps(series, times, settings, aif, fitted, lesion=mask)
                except InputError as error:
                    print(f"  {seed}  {label:<11}{error}", flush=True)
                    break
                cbv = array(maps.maps["cbv"])
                level = {n: np.nanmean(cbv[where]) for n, where in pure.items()}
                error = 100 * (level["cel"] / level["wm"] / true - 1)
                errors.setdefault((label, name), []).append(error)
                row.append(f"{name} {error:+.0f}")
            done += 1
            if len(row) < len(kinds):
                continue
            said = "; T1 effect said" if any(n.startswith("strong T1") for n in maps.notes) else ""
            print(f"  {seed}  {label:<11}true {true:4.1f}   {', '.join(row)}{said}", flush=True)
    for (label, name), values in errors.items():
        v = np.array(values)
        text = f"{v.size}: mean {v.mean():+.1f}, abs {np.abs(v).mean():.1f}, worst {v[np.abs(v).argmax()]:+.0f} %"
        line(f"nCBV of enhancing lesions, {label}: {name}", text)


def white(count=12):
    """cbv of automatic white matter, found for two lesion masks of a simulated patient; share of it that is white matter."""
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
    line(
        "two automatic white matter regions, largest difference", f"{100 * max(apart):.1f} %", "5 %", max(apart) <= 0.05
    )


PARTS = {p.__name__: p for p in (osipi, deconvolution, volume, leakage, peers, arrival, speed, device, lesion, white)}

if __name__ == "__main__":
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}"
    )
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
        print()
