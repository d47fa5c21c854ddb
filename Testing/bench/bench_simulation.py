"""Simulated patients: what the library's fits find in noise-free scans, beside the truth.

Run by ``make bench``, or alone: ``python Testing/bench/bench_simulation.py``. Prints tables; nothing is written. All figures come from
simulated patients.
"""

from dataclasses import replace

import numpy as np
from gliosuite.images import Grid, array
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.signal import signal_to_dr2star, spgr_to_concentration
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.blood import draw_blood
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.phantom import stream
from gliosuite.simulate.properties import draw_physiology, textures
from gliosuite.simulate.protocols import DEFAULT, SHIFTED
from gliosuite.simulate.scans.dynamic import scan_dce, scan_dsc
from gliosuite.simulate.scans.scanning import Packed

SEEDS = range(1000, 1006)
QUIET = Effects.none(texture=True)  # tissue varies, and nothing else does


def noise_free(grid_mm: float = 2.5) -> None:
    """Fits with the true AIF and T1 in scans without noise, mixing, delay, motion and the like: bar 1 %."""
    print(
        "Noise-free scans, effects off, simulated: relative error in enhancing tissue, median / 99th percentile / largest"
    )
    print(f"{'seed':<7}{'voxels':>7}  {'ktrans':<26}{'ve':<26}{'vp':<26}")
    for seed in SEEDS:
        patient = _patient(seed, grid_mm)
        for name, protocols in (("default", DEFAULT), ("shifted", SHIFTED)):
            n, errors = _dce(*patient, protocols.dce, seed)
            cells = "".join(f"{_three(errors[p]):<26}" for p in ("ktrans", "ve", "vp"))
            print(f"{seed:<7}{n:>7}  {cells}{name}")
    print(
        "\nCBV of enhancing tissue over normal white matter, no leakage correction: error of the mean (bar 1 %); of voxels"
    )
    print(
        f"{'seed':<7}{'all agent passes, 100 frames':<34}{'with recirculation, 60 frames':<34}{'a ratio of areas would miss'}"
    )
    for seed in SEEDS:
        grid, packed, physiology, blood = _patient(seed, grid_mm)
        # Where agent circulates on, some is on its way through the tissue when the series ends: a plain ratio of areas misses what
        # arrived within the mean age of blood in the tissue, MTT (1 + 1/shape) / 2, and tumour and white matter differ in it.
        passing = replace(blood, recirculation=0.0, tail=0.0)
        long = replace(DEFAULT.dsc, frames=100)
        rows = [
            _dsc(grid, packed, physiology, b, protocol, seed) for b, protocol in ((passing, long), (blood, DEFAULT.dsc))
        ]
        cells = "".join(f"{100 * mean:+.3f} %; {_three(voxels):<24}" for mean, voxels, _ in rows)
        print(f"{seed:<7}{cells}{100 * rows[1][2]:+.3f} %")


def _three(errors: np.ndarray) -> str:
    return " / ".join(f"{100 * e:.3f}" for e in (np.median(errors), np.quantile(errors, 0.99), errors.max())) + " %"


def _patient(seed: int, grid_mm: float):
    """A patient's tissues without mixing, and textures, physiology and blood of the same seed."""
    truth = simulate_case(seed, grid_mm=grid_mm, scans=()).truth
    grid, tissue = Grid.of(truth["tissue"]), array(truth["tissue"], np.uint8)
    fractions = {name: (tissue == i + 1).astype(np.float32) for i, name in enumerate(CLASSES)}
    packed = Packed.of(grid, fractions, textures(grid, stream(seed, "texture")))
    return grid, packed, draw_physiology(stream(seed, "physiology")), draw_blood(stream(seed, "blood"))


def _dce(grid, packed, physiology, blood, protocol, seed):
    scanned = scan_dce(packed, grid, physiology, blood, protocol, None, QUIET, stream(seed, "dce"))
    inside = array(scanned.maps["dce_tissue"]) == CLASSES.index("cel") + 1
    curves = scanned.images["dce"].curves(inside)
    t10 = array(scanned.maps["dce_t10"])[inside]
    n_baseline = int((protocol.arrival_s + blood.late_s) / protocol.dt_s)
    concentration = spgr_to_concentration(curves, protocol.tr_s, protocol.flip_angle_deg, t10, 4.5, n_baseline)
    times = np.array(scanned.acquisition["dce"]["times_s"])
    aif = scanned.curves["aif_dce"]
    fit = fit_curves(concentration, times, aif[:, 1], "etm", aif_times_s=aif[:, 0])
    truth = {p: array(scanned.maps[f"dce_{p}"])[inside] for p in ("ktrans", "ve", "vp")}
    return int(inside.sum()), {p: np.abs(getattr(fit, p) / truth[p] - 1) for p in truth}


def _dsc(grid, packed, physiology, blood, protocol, seed):
    scanned = scan_dsc(packed, grid, physiology, blood, protocol, None, QUIET, stream(seed, "dsc"))
    tissue = array(scanned.maps["dsc_tissue"])
    enhancing, white = (tissue == CLASSES.index(n) + 1 for n in ("cel", "wm"))
    times = np.array(scanned.acquisition["dsc"]["times_s"])
    n_baseline = int((protocol.arrival_s + blood.late_s) / protocol.tr_s)
    curves = scanned.images["dsc"].curves(enhancing | white)
    aif = np.interp(times, *scanned.curves["aif_dsc"].T)
    fit = perfusion_maps(signal_to_dr2star(curves, protocol.te_s, n_baseline), protocol.tr_s, aif, "none")
    of = {n: array(scanned.maps[f"dsc_{n}"])[enhancing | white] for n in ("cbv", "mtt", "residue")}
    where = {"cel": enhancing[enhancing | white], "wm": white[enhancing | white]}
    ratio = fit.cbv / fit.cbv[where["wm"]].mean()
    truth = of["cbv"] / of["cbv"][where["wm"]].mean()
    error = ratio[where["cel"]] / truth[where["cel"]] - 1
    age = of["mtt"] * (1 + 1 / of["residue"]) / 2
    missed = aif[-1] / (aif.sum() * protocol.tr_s)
    mean = ratio[where["cel"]].mean() / truth[where["cel"]].mean() - 1
    return mean, np.abs(error), missed * (age[where["wm"]].mean() - age[where["cel"]].mean())


if __name__ == "__main__":
    noise_free()
