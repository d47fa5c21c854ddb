"""Perfusion: errors on the OSIPI reference data beside those of the exact least-squares optimum, and speed beside scipy's curve_fit.

Run by ``make bench``, or alone: ``python Testing/bench/bench_perfusion.py``. Prints one table; nothing is written.
"""

import csv
import os
import platform
import time
from pathlib import Path

import numpy as np
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.t1 import fit_vfa
from scipy.optimize import curve_fit

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data") / "osipi-reference"
# Mean and largest error of an exact variable-projection fit on the same data.
EXACT = {
    "tofts": {"ktrans": (0.000791, 0.00224), "ve": (0.000722, 0.00425)},
    "etm": {"ktrans": (0.000307, 0.00183), "ve": (0.00062, 0.0020), "vp": (0.000271, 0.0013)},
    "etm, delay 5 s": {
        "ktrans": (0.00034, 0.0026),
        "ve": (0.0007, 0.0026),
        "vp": (0.00036, 0.0016),
        "delay": (0.126, 0.74),
    },
    "patlak": {"ps": (0.000152, 0.00038), "vp": (0.000612, 0.00177)},
}


def rows(name):
    csv.field_size_limit(10**7)
    with (DATA / name).open(newline="", encoding="utf-8-sig") as stream:
        yield from csv.DictReader(stream)


def numbers(row, *names):
    return [np.array(row[n].split(), float) for n in names]


def osipi():
    print(f"{'OSIPI set':<16}{'parameter':<10}{'mean / max error':<24}{'exact optimum':<24}{'ratio of means'}")
    cases = [
        ("tofts", "tofts", "dce_DRO_data_tofts.csv", ("t", "C", "ca"), 0),
        ("etm", "etm", "dce_DRO_data_extended_tofts.csv", ("t", "C", "ca"), 0),
        ("etm, delay 5 s", "etm", "dce_DRO_data_extended_tofts.csv", ("t", "C", "ca"), 5),
        ("patlak", "patlak", "patlak_sd_0.02_delay_0.csv", ("t", "C_t", "cp_aif"), 0),
    ]
    for label, model, name, columns, shift in cases:
        errors = {p: [] for p in EXACT[label]}
        for row in rows(name):
            times, curve, aif = numbers(row, *columns)
            curve = np.r_[np.zeros(shift), curve[: curve.size - shift]]
            fit = fit_curves(curve[None], times, aif, model, delay=bool(shift))
            truth = {"delay": times[shift]} | {
                k.lower(): float(v) for k, v in row.items() if k in ("Ktrans", "ve", "vp", "ps")
            }
            for p in errors:
                errors[p].append(abs(float(fit.values[p][0]) - truth[p]))
        for p, (mean, largest) in EXACT[label].items():
            found = f"{np.mean(errors[p]):.6f} / {np.max(errors[p]):.5f}"
            print(f"{label:<16}{p:<10}{found:<24}{f'{mean:.6f} / {largest:.5f}':<24}{np.mean(errors[p]) / mean:.3f}")
    table = list(rows("t1_brain_data.csv"))
    t1, _ = fit_vfa(
        np.array([r["s"].split() for r in table], float), table[0]["FA"].split(), float(table[0]["TR"].split()[0])
    )
    error = np.abs(1 / t1 - [float(r["R1"]) for r in table])
    print(f"{'T1 brain':<16}{'r1':<10}{f'{error.mean():.6f} / {error.max():.5f}':<24}{'0.006190 / 0.10900 (all)':<24}")
    table = list(rows("dsc_data_rows_odd.csv"))
    curves = np.array([r["C_tis"].split() for r in table], float)
    aif, dt = np.array(table[0]["C_aif"].split(), float), float(table[0]["tr"].split()[0])
    for method in ("osvd", "ssvd", "tikhonov"):
        fit = perfusion_maps(curves, dt, aif, "none", method)
        error = np.abs(fit.cbf - [float(r["cbf"]) for r in table])
        print(f"{'DSC ' + method:<16}{'cbf':<10}{f'{error.mean():.2f} / {error.max():.1f}':<24}{'bar: mean 2.6':<24}")
    error = np.abs(fit.cbv - [float(r["cbv"]) for r in table])
    print(f"{'DSC':<16}{'cbv':<10}{f'{error.mean():.3f} / {error.max():.3f}':<24}{'bar: mean 0.33':<24}")


def synthetic(n, frames=60, dt=5.0):
    rng = np.random.default_rng(0)
    times = dt * np.arange(frames)
    fine = 0.1 * np.arange(int(dt * frames / 0.1))
    aif = kinetics.parker_aif(fine, 25.0) / 0.58
    truth = rng.uniform(0, 0.3, n), rng.uniform(0.05, 0.6, n), rng.uniform(0, 0.1, n)
    parts = []
    for i in range(0, n, 5000):
        parts.append(kinetics.extended_tofts(times, aif, *(p[i : i + 5000] for p in truth), aif_times_s=fine))
    curves = np.concatenate(parts)
    return (
        times,
        kinetics.parker_aif(times, 25.0) / 0.58,
        (curves + rng.normal(0, 0.02, curves.shape)).astype(np.float32),
    )


def best_of(count, function):
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def speed(n=100_000):
    times, aif, curves = synthetic(n)
    print(
        f"\nspeed, {n} voxels x {times.size} frames, {os.cpu_count()} cores, {platform.machine()}, numpy {np.__version__}"
    )

    def forward(t, ktrans, kep, vp):
        return kinetics.extended_tofts(t, aif, ktrans, ktrans / kep, vp)[0]

    some = curves[:40]
    bounds = ([0, 1e-3, 0], [5, 20, 1])

    def scipy_fit():
        for curve in some:
            curve_fit(forward, times, curve, p0=(0.1, 0.5, 0.02), bounds=bounds)

    slow = len(some) / best_of(1, scipy_fit)
    print(f"{'scipy curve_fit, extended Tofts (40 curves)':<48}{slow:>12.0f} voxels/s")
    for model, delay in (("etm", False), ("tofts", False), ("patlak", False), ("auto", False), ("etm", True)):
        seconds = best_of(2, lambda model=model, delay=delay: fit_curves(curves, times, aif, model, delay))
        label = f"{model}{' with delay' if delay else ''}"
        ratio = f"{n / seconds / slow:.0f} x curve_fit" if label == "etm" else ""
        print(f"{label:<48}{n / seconds:>12.0f} voxels/s  {ratio}")
    signals = np.abs(np.random.default_rng(1).normal(500, 100, (n, 6))).astype(np.float32)
    seconds = best_of(2, lambda: fit_vfa(signals, [2, 5, 10, 15, 20, 30], 0.005))
    print(f"{'T1, 6 flip angles':<48}{n / seconds:>12.0f} voxels/s")
    reference = 0.02 * curves.mean(axis=0)
    dsc = reference + np.random.default_rng(2).normal(0, 0.02 * reference.max(), (n, 60)).astype(np.float32)
    for leakage in ("bsw", "bidirectional", "residue"):
        seconds = best_of(2, lambda leakage=leakage: perfusion_maps(dsc, 1.5, aif, leakage, "osvd"))
        print(f"{f'DSC {leakage} + osvd':<48}{n / seconds:>12.0f} voxels/s")


if __name__ == "__main__":
    if DATA.exists():
        osipi()
    else:
        print(f"reference data are not at {DATA}; set GLIOSUITE_DATA")
    speed()
