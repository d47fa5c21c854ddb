"""DSC leakage that acts on T1: nCBV of leaky lesions against the truth of fresh simulated patients, by the commands with default options.

Run alone: ``python Testing/bench/bench_dsc_leakage.py [--seed S] [--patients N] [--protocol NAME ...] [--aif auto|true]``.
Each patient is simulated (``simulate_case``, 2 mm), the raw series corrected by ``gliosuite motion``, T1 mapped by ``gliosuite t1`` with
the scanner's B1 map, the AIF found by ``gliosuite aif``, and ``gliosuite dsc`` run with ``--t10`` and ``--b1``; beside it without maps, and
with the correction that is linear in what has leaked (flip angle unknown), which is what a user without them gets. Maps are asked for in a
mask, to save time: the tumour, and every eighth voxel of the head (of which normal white matter is the reference).

A voxel counts where enhancing tumour fills at least 90 % of it; nCBV is over the mean of white matter that fills 90 %. The truth of a voxel
is the mean of the head's over it, since tissues mix. A patient counts with at least
10 voxels of ktrans above .1 /min. Bars are for ktrans above .1 /min: the mean error over all voxels within 8 %, its SD
at most 18 %. Below, and with preload or 30 degrees, the error must not be larger than without the signal equation (by 2 points).
Seeds 7101-7140 served for development. `speed` is 5 000 leaky voxels, wall and CPU seconds. Simulated figures.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "GlioCore"))

import numpy as np
import SimpleITK as sitk
from gliosuite.images import array, read_image, write_image, write_series
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.leakage.excitation import Excitation
from gliosuite.perfusion.kinetics import convolve, parker_aif
from gliosuite.perfusion.signal import spgr_signal
from gliosuite.simulate.acquisition import CLASSES, sample
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.protocols import DEFAULT

SEED = 94000  # not looked at before the method was fixed
PROTOCOLS = {
    "60 degrees": {"flip_angle_deg": 60.0},
    "75 degrees": {"flip_angle_deg": 75.0},
    "90 degrees": {"flip_angle_deg": 90.0},
    "60, preload": {"preload": True},
    "30 degrees": {"flip_angle_deg": 30.0},
}
PURE, FEW = 0.9, 20
HIGH, FEW_HIGH = 0.1, 10  # 1/min, and the voxels above it that a patient must have
MEAN, SD, WORSE = 8.0, 18.0, 2.0  # %; points
missed = 0


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    global missed
    missed += met is False
    print(f"{what:<52}{found:<58}{bar:<22}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)


def gliosuite(*arguments: object) -> str:
    """Run the command line of this tree; "" or what it refused with."""
    command = [sys.executable, "-m", "gliosuite", *map(str, arguments), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "GlioCore")
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def errors(seed: int, protocol: dict, folder: Path, aif: str) -> dict[str, np.ndarray] | None:
    """Relative errors (%) of nCBV by method and the ktrans of each voxel; None where few of its voxels count."""
    protocols = replace(DEFAULT, dsc=replace(DEFAULT.dsc, **protocol))
    patient = simulate_case(seed, grid_mm=2.0, scans=("dsc", "vfa"), protocols=protocols)
    truth = {n: array(patient.truth[f"dsc_{n}"]) for n in ("tissue", "share")}
    pure = {n: (truth["tissue"] == CLASSES.index(n) + 1) & (truth["share"] > PURE) for n in ("cel", "wm")}
    if pure["cel"].sum() < FEW:
        return None
    series, grid = patient.case.series("dsc"), patient.case.series("dsc").grid
    known, angles = patient.case.acquisition("dsc"), patient.case.acquisition("vfa")
    head = patient.truth.transforms["dsc"].GetInverse()
    on_scan = lambda name: sample(sitk.Cast(patient.truth[name], sitk.sitkFloat32), grid, head, 2.0)
    cbv, ktrans = on_scan("cbv"), on_scan("ktrans")
    pure["wm"] &= ktrans < 0.002
    if (ktrans[pure["cel"]] > HIGH).sum() < FEW_HIGH:
        return None
    write_series(series, folder / "raw.nii.gz", known["times_s"][1] - known["times_s"][0])
    write_series(patient.case.series("vfa"), folder / "vfa.nii.gz", 1.0)
    write_image(patient.case.image("b1"), folder / "b1.nii.gz")
    some = np.arange(grid.image(truth["share"]).GetNumberOfPixels()).reshape(truth["share"].shape) % 8 == 0
    write_image(grid.image(pure["cel"] | (some & (array(patient.truth["dsc_tissue"]) > 0))), folder / "mask.nii.gz")
    if aif == "true":
        curve = patient.truth.curves["aif_dsc"]
        c = np.interp(known["times_s"], curve[:, 0], curve[:, 1])
        rows = [f"{t},{7.6 * v + 0.57 * v * v}" for t, v in zip(known["times_s"], c)]
        (folder / "aif.csv").write_text("\n".join(["time_s,concentration", *rows]) + "\n")
    at = lambda name: folder / name
    flips = ("--flip-angles", ",".join(f"{a:g}" for a in angles["flip_angle_deg"]))
    steps = [
        ("motion", at("raw.nii.gz"), "--out", at("dsc.nii.gz")),
        (
            "t1",
            "--vfa",
            at("vfa.nii.gz"),
            *flips,
            "--tr-ms",
            angles["tr_ms"],
            "--b1",
            at("b1.nii.gz"),
            "--out",
            at("t1"),
        ),
    ]
    timing = ("--te-ms", known["te_ms"], "--dt", known["times_s"][1] - known["times_s"][0])
    if aif == "auto":
        steps.append(("aif", at("dsc.nii.gz"), "--kind", "dsc", *timing, "--out", at("aif.csv")))
    base = ("dsc", at("dsc.nii.gz"), *timing, "--mask", at("mask.nii.gz"), "--aif", at("aif.csv"))
    flip = ("--tr-ms", known["tr_ms"], "--flip-angle", known["flip_angle_deg"])
    steps += [
        (*base, *flip, "--t10", at("t1/t1.nii.gz"), "--b1", at("b1.nii.gz"), "--out", at("maps")),
        (*base, *flip, "--out", at("no maps")),
        (*base, "--out", at("linear")),
    ]
    for step in steps:
        if refused := gliosuite(*step):
            print(f"  {seed}: {step[0]}: {refused}", flush=True)
            return None
    found: dict[str, np.ndarray] = {"ktrans": ktrans[pure["cel"]]}
    for name in ("maps", "no maps", "linear"):
        values = array(read_image(folder / name / "cbv.nii.gz"))
        white = pure["wm"] & some
        level = np.nanmean(values[white]) / cbv[white].mean()
        found[name] = 100.0 * (values[pure["cel"]] / level / cbv[pure["cel"]] - 1.0)
    return found


def lesions(seed: int, patients: int, names: list[str], aif: str) -> None:
    """The table of errors by protocol."""
    for name in names:
        rows, number, tried = [], 0, 0
        while number < patients and tried < 20 * patients:
            with tempfile.TemporaryDirectory() as folder:
                found = errors(seed + tried, PROTOCOLS[name], Path(folder), aif)
            tried += 1
            if found is None:
                continue
            number += 1
            rows.append(found)
            high = found["ktrans"] > HIGH
            parts = [
                f"{m} {np.nanmean(found[m][high]):+.0f} / {np.nanmean(found[m][~high]):+.0f}"
                for m in ("maps", "no maps", "linear")
            ]
            print(f"  {seed + tried - 1} {name}: {int(high.sum())} / {int((~high).sum())} voxels: " + ", ".join(parts))
        whole = {k: np.concatenate([r[k] for r in rows]) for k in rows[0]}
        high = whole["ktrans"] > HIGH
        usual = name in ("60, preload", "30 degrees")
        for what, where in (("ktrans > .1", high), ("ktrans <= .1", ~high)):
            level = {}
            for method in ("maps", "no maps", "linear"):
                e = whole[method][where]
                e = e[np.isfinite(e)]
                level[method] = float(np.sqrt(np.mean(e**2)))
                each = [np.nanmean(r[method][(r["ktrans"] > HIGH) == (what == "ktrans > .1")]) for r in rows]
                text = f"{e.mean():+.1f} +- {e.std():.1f} % ({e.size} voxels); patients {np.nanmean(each):+.1f} +- {np.nanstd(each):.1f}"
                bar: tuple = ()
                if method == "maps" and where is high and not usual:
                    bar = (f"{MEAN:g}, {SD:g} %", abs(e.mean()) <= MEAN and e.std() <= SD)
                line(f"nCBV, {name}, {what}: {method}", text, *bar)
            if where is not high or usual:
                text = f"{level['maps']:.1f}, {level['linear']:.1f} %"
                line(
                    f"  root mean square error, maps and linear ({what})",
                    text,
                    "no worse",
                    level["maps"] <= level["linear"] + WORSE,
                )


def speed(n: int = 5000) -> None:
    """Seconds for voxels that all go through the signal equation."""
    fine = np.arange(0.0, 90.0, 0.05)
    times = 1.5 * np.arange(60)
    blood = parker_aif(fine, 18.0)
    ktrans = np.random.default_rng(4).uniform(0.05, 0.3, n)
    late = lambda curve: np.interp(times - 1.0, fine, curve, left=0.0)
    vessel = late(12.0 * convolve(fine, blood, 12.0)[0])
    rates = np.linspace(0.1, 1.1, 200)
    held = np.stack([late(c) for c in convolve(fine, blood / 0.58, rates)])
    added = 4.5 * ktrans[:, None] * held[np.searchsorted(rates, ktrans / 0.3).clip(0, 199)]
    signal = spgr_signal(1 / 1.5 + added, 1.5, 60.0) / spgr_signal(1 / 1.5, 1.5, 60.0)
    signal = signal * np.exp(-0.03 * (2.25 * vessel + 2.0 * added))
    signal += 0.018 * np.random.default_rng(5).standard_normal(signal.shape)
    curves, aif = -np.log(np.maximum(signal, 0.01)) / 0.03, 7.6 * np.interp(times, fine, blood)
    scan = Excitation(0.03, 1.5, 60.0, 1.5)
    perfusion_maps(curves[:200], 1.5, aif, "residue", scan=scan)
    wall, cpu = [], []
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        fit = perfusion_maps(curves, 1.5, aif, "residue", scan=scan)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    assert fit.shine_through is not None
    text = f"{np.median(wall):.1f} s, CPU {np.median(cpu):.1f} s ({int(fit.shine_through.sum())} fitted)"
    line(f"{n} leaky voxels, residue and oSVD", text, "30 s", np.median(wall) <= 30)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--patients", type=int, default=8, help="that count")
    parser.add_argument("--protocol", action="append", choices=tuple(PROTOCOLS))
    parser.add_argument("--aif", choices=("auto", "true"), default="auto")
    given = parser.parse_args()
    speed()
    lesions(given.seed, given.patients, given.protocol or list(PROTOCOLS), given.aif)
    sys.exit(1 if missed else 0)
