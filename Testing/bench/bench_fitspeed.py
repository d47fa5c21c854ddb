"""The speed of the kinetic fit and of T1: compiled kernels beside the arrays of numpy, their agreement, and the optimum beside scipy's.

Run by ``make bench``, or alone: ``python Testing/bench/bench_fitspeed.py [part ...]``, parts as in `PARTS`. Nothing is written.
All curves are simulated. The seeds of this file were used for nothing else; the kernels were made on seeds 5, 7, 31-36, 55, 66, 77, 91-93,
101-104, 9101, 9102, 9203, 9204, 9303 and 9304.
Bars of time are for an idle machine with two cores: where others compute too, the time that the processor spent, over two, is compared.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from bench_dce import ANGLES, ROOT, cohort, lowest_of_scipy
from gliosuite.compute.compiled import FEWEST, worthwhile
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.signal import spgr_signal
from gliosuite.perfusion.t1 import fit_vfa

SEEDS = (9403, 9404)
CORES = 2  # that the bars are for
IDLE = 0.5  # load above which others compute too
ONE_BY_ONE = 20  # curves that are fitted alone: some take several times as long as most
_missed: list[str] = []


def line(what: str, found: str, bar: str = "", met: bool | None = None) -> None:
    """One row of the table."""
    if met is False:
        _missed.append(what)
    print(f"{what:<58}{found:<48}{bar:<14}{'' if met is None else 'met' if met else 'MISSED'}", flush=True)


def measured(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median wall time, and processor time, of a call after a warm-up."""
    work()
    wall, busy = [], []
    for _ in range(repeats):
        start, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        busy.append(time.process_time() - spent)
    return statistics.median(wall), statistics.median(busy)


def late_cohort(
    n: int, seed: int, latest: float = 6.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times, coarse AIF, fine AIF and its times, and curves that arrive 0 to `latest` s late."""
    late = np.random.default_rng(seed).uniform(0, latest, n)
    times, aif, fine_aif, fine, _, curves = cohort(n, 0.02, seed=seed, late=late)
    return times, aif, fine_aif, fine, curves


def speed(n: int = 600_000, repeats: int = 5) -> None:
    """Time of each fit on many voxels, tables included, beside the arrays of numpy."""
    idle = os.getloadavg()[0] < IDLE
    print(f"\n{n} voxels x 60 frames, float32, tables and SD included; load {os.getloadavg()[0]:.1f}")
    times, aif, _, _, late = late_cohort(n, SEEDS[0])
    prompt = late_cohort(n, SEEDS[0], 0.0)[-1]
    for label, model, delay, bar in (
        ("extended Tofts", "etm", False, 0.4),
        ("extended Tofts with delay", "etm", True, 1.6),
        ("2CXM", "2cxm", False, 5.0),
        ("Tofts", "tofts", False, None),
        ("Patlak with delay", "patlak", True, None),
    ):
        curves = late if delay else prompt
        wall, busy = measured(lambda c=curves, m=model, d=delay: fit_curves(c, times, aif, m, d), repeats)
        start = time.process_time()
        fit_curves(curves[: n // 10], times, aif, model, delay, device="numpy")
        ratio = (time.process_time() - start) * 10 / busy
        judged = wall if idle else busy / CORES
        found = f"{wall:.2f} s, processor {busy:.2f} s, arrays {ratio:.1f} x"
        line(label, found, f"<= {bar} s" if bar else "", judged <= bar if bar else None)
    relaxation = 1 / np.random.default_rng(SEEDS[0]).uniform(0.4, 4, n)[:, None]
    signals = 1000 * spgr_signal(relaxation, 0.005, ANGLES) + np.random.default_rng(SEEDS[1]).normal(0, 1, (n, 6))
    signals = signals.astype(np.float32)
    wall, busy = measured(lambda: fit_vfa(signals, ANGLES, 0.005), repeats)
    start = time.process_time()
    fit_vfa(signals, ANGLES, 0.005, device="numpy")
    ratio = (time.process_time() - start) / busy
    found = f"{wall:.3f} s, processor {busy:.3f} s, arrays {ratio:.1f} x"
    line("T1 of 6 flip angles", found, "<= 0.1 s", (wall if idle else busy / CORES) <= 0.1)
    tracemalloc.start()
    for model, delay in (("etm", False), ("etm", True), ("2cxm", False)):
        tracemalloc.reset_peak()
        fit_curves(late, times, aif, model, delay)
        peak = tracemalloc.get_traced_memory()[1] / 2**30
        line(f"memory beyond the data, {model}{', delay' if delay else ''}", f"{peak:.2f} GB", "<= 1 GB", peak <= 1)
    tracemalloc.stop()


def few(n: int = 2000, repeats: int = 15) -> None:
    """A few thousand curves, where tables count, and a single curve."""
    times, aif, fine_aif, fine, curves = late_cohort(n, SEEDS[0])
    print(f"\n{n} curves, extended Tofts with delay; compiled beside the arrays of numpy")
    for label, a, nodes in (("AIF at frame times", aif, None), ("AIF every 0.1 s", fine_aif, fine)):
        ours, arrays = (
            measured(lambda d=d, a=a, t=nodes: fit_curves(curves, times, a, "etm", True, t, device=d), repeats)
            for d in ("cpu", "numpy")
        )
        found = f"{1e3 * ours[0]:.1f} ms, processor {1e3 * ours[1]:.1f} ms; arrays {1e3 * arrays[1]:.1f} ms"
        line(label, found)
    print(f"\nOne curve (arrays of numpy alone), processor time: median of {ONE_BY_ONE} curves, longest of them")
    for model in ("etm", "tofts", "patlak", "2cum"):
        for delay in (False, True):
            for label, a, nodes in (("", aif, None), (", AIF every 0.1 s", fine_aif, fine)):
                spent = [
                    measured(lambda c=c, a=a, t=nodes, m=model, d=delay: fit_curves(c, times, a, m, d, t), 3)[1]
                    for c in np.split(curves[:ONE_BY_ONE], ONE_BY_ONE)
                ]
                middle = statistics.median(spent)
                found = f"{1e3 * middle:.1f} ms, longest {1e3 * max(spent):.1f} ms"
                line(f"{model}{' with delay' if delay else ''}{label}", found, "<= 10 ms", middle <= 0.010)


def peers(n: int = 2000) -> None:
    """Beside osipy and dcmri, with delay, on the same curves and two threads; those that cannot be imported are left out.

    osipy 0.1.4 needs Python 3.12: run this part there, with GlioCore on PYTHONPATH.
    """
    print(f"\nBeside other software: the same {n} curves, extended Tofts with delay")
    times, aif, _, _, curves = late_cohort(n, SEEDS[1])
    ours = measured(lambda: fit_curves(curves, times, aif, "etm", True), 15)[0] / n
    line("GlioSuite", f"{1 / ours:,.0f} curves/s")
    try:
        from osipy.dce.fitting import fit_model
    except ImportError:
        line("osipy", "not installed")
    else:
        block = curves.reshape(n // 100, 100, 1, -1).astype(float)
        theirs = measured(lambda: fit_model("extended_tofts", block, aif, times, fit_delay=True), 1)[0] / n
        line("osipy, its Levenberg-Marquardt on arrays", f"{theirs / ours:,.0f} x", ">= 100 x", theirs / ours >= 100)
    try:
        import dcmri
    except ImportError:
        line("dcmri", "not installed")
    else:
        from scipy.optimize import curve_fit

        def forward(t: np.ndarray, ktrans: float, kep: float, vp: float, late: float) -> np.ndarray:
            shifted = np.interp(t - late, times, aif, left=0.0)
            return dcmri.conc_tissue(shifted, t=t, kinetics="HF", H=0.0, vb=vp, vi=ktrans / kep, PS=ktrans / 60)

        bounds = ([0, 1e-3, 0, -5], [5, 5, 1, 12])
        fit = lambda: [curve_fit(forward, times, c, p0=(0.1, 0.5, 0.02, 1.0), bounds=bounds) for c in curves[:100]]
        theirs = measured(fit, 1)[0] / 100
        line("dcmri with curve_fit, one core", f"{theirs / ours:,.0f} x", ">= 800 x", theirs / ours >= 800)


def exchange_cohort(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times every 1.5 s, AIF and noisy curves of the exchange model."""
    rng = np.random.default_rng(seed)
    times = 1.5 * np.arange(160)
    aif = kinetics.parker_aif(times, 12.0) / 0.58
    truth = [rng.uniform(*r, n) for r in ((5, 100), (0, 0.3), (0.05, 0.6), (0.005, 0.1))]
    curves = kinetics.two_cxm(times, aif, *truth)
    return times, aif, curves + rng.normal(0, 0.03, curves.shape)


def agreement(n: int = 20_000) -> None:
    """How often kernels and arrays end at the same sum of squares, and how often higher."""
    print(f"\nSum of squares of kernels beside those of arrays, {n} curves (an AIF at frame times)")
    for seed in SEEDS:
        times, aif, _, _, curves = late_cohort(n, seed)
        for model, delay in (("etm", True), ("etm", False), ("tofts", True), ("patlak", True), ("2cxm", False)):
            some = curves[:4000] if model == "2cxm" else curves
            fits = (fit_curves(some, times, aif, model, delay, device=d) for d in ("cpu", "numpy"))
            # Of predict() in double precision: arrays sum in single where curves come so.
            a, b = (((some - fit.predict()) ** 2).sum(axis=1) for fit in fits)
            ratio = a / b - 1
            same, higher = 100 * np.mean(np.abs(ratio) <= 1e-6), 100 * np.mean(ratio > 1e-6)
            found = f"equal to 1e-6 {same:.2f} %, higher {higher:.3f} %"
            line(f"{model}{' with delay' if delay else ''}, seed {seed}", found, "<= 0.1 %", higher <= 0.1)


def optimality(n: int = 1000) -> None:
    """The share of curves whose sum of squares is at most scipy's lowest of five starts times 1 + 1e-6."""
    print(f"\nSum of squares of predict() against the lowest of scipy trf from 5 starts, x (1 + 1e-6); {n} curves each")
    for seed in SEEDS:
        times, aif, _, _, late = late_cohort(n, seed)
        prompt = late_cohort(n, seed, 0.0)[-1]
        exchange = exchange_cohort(n, seed)
        for label, model, delay, t, a, curves in (
            ("extended Tofts with delay", "etm", True, times, aif, late),
            ("extended Tofts", "etm", False, times, aif, prompt),
            ("2CXM on curves of extended Tofts", "2cxm", False, times, aif, prompt),
            ("2CXM on curves of its own", "2cxm", False, *exchange),
        ):
            curves = curves.astype(np.float64)
            found = ((curves - fit_curves(curves, t, a, model, delay).predict()) ** 2).sum(axis=1)
            with ProcessPoolExecutor(os.cpu_count()) as pool:
                tasks = [(model, t, a, curve, delay) for curve in curves]
                best = np.array(list(pool.map(lowest_of_scipy, tasks, chunksize=8)))
            share = 100 * np.mean(found <= best * (1 + 1e-6))
            shown = f"{share:.2f} %, worst {np.max(found / best - 1):+.1e}"
            line(f"{label}, seed {seed}", shown, ">= 99.9 %", share >= 99.9)


def start(n: int = 20_000) -> None:
    """What a fresh process waits for: compiling once, then what was kept on disk."""
    print(f"\nA fresh process: imports and a fit of {n} curves, extended Tofts with delay")
    words = (
        "import sys, time, numpy as np\nfrom pathlib import Path\n"
        "from gliosuite.compute import compiled\n"
        "from gliosuite.perfusion import kinetics\nfrom gliosuite.perfusion.fit import fit_curves\n"
        "folder, device = Path(sys.argv[1]), sys.argv[2]\n"
        "compiled._cache_folder = lambda *a: folder\n"
        "times = 5.0 * np.arange(60)\naif = kinetics.parker_aif(times, 25.0)\n"
        f"rng = np.random.default_rng({SEEDS[0]})\nu = rng.uniform(0, 1, (3, {n}))\n"
        "curves = kinetics.extended_tofts(times, aif, 0.3 * u[0], 0.1 + 0.5 * u[1], 0.1 * u[2])\n"
        "curves += rng.normal(0, 0.02, curves.shape)\n"
        "start, spent = time.perf_counter(), time.process_time()\n"
        "fit_curves(curves, times, aif, 'etm', True, device=device)\n"
        "print(time.perf_counter() - start, time.process_time() - spent)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for label, device in (("compiled, nothing kept", "cpu"), ("compiled, kept", "cpu"), ("arrays", "numpy")):
            done = subprocess.run(
                [sys.executable, "-c", words, folder, device],
                env=os.environ | {"PYTHONPATH": str(ROOT / "GlioCore")},
                check=True,
                capture_output=True,
                text=True,
            )
            wall, busy = map(float, done.stdout.split())
            line(label, f"{wall:.2f} s, processor {busy:.2f} s")


PARTS = {"speed": speed, "few": few, "peers": peers, "agreement": agreement, "start": start, "optimality": optimality}


def main(names: list[str]) -> int:
    """Print the parts asked for, all where none is; 1 where a bar is missed."""
    if not worthwhile(FEWEST):
        print("numba is not installed: there are no kernels to measure")
        return 0
    for name in names or PARTS:
        PARTS[name]()
    print(f"\n{len(_missed)} bars missed" + "".join(f"\n  {what}" for what in _missed))
    return int(bool(_missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
