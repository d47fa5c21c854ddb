"""Every engine of perfusion on another device: agreement with the processor's arrays, and time beside its kernels.

``make bench-cuda`` runs it on a CUDA device; ``make bench``, or alone, ``python Testing/bench/bench_devices.py [--device NAME]
[--voxels N]``, on torch's CPU tensors, which run the same code. The bar: of each result, at most .1 % of the voxels differ by more than
1e-4 (of their own value, or of the median where that is larger) and by more than a hundredth of the SD, where one is given: what the data
do not tell ends anywhere on a flat floor. SDs themselves may differ by 1 %: those of DSC's vascular model come from weights in single
precision. The two-compartment exchange model has several optima of like height and is judged by its sum of squares. (That the kernels find
the optima of the arrays is a matter of bench_fitspeed.py.) Times are for information. All curves are simulated; nothing is written.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench_dce import ANGLES, ROOT
from bench_dsc import synthetic
from bench_fitspeed import late_cohort

assert ROOT
from gliosuite.compute import choose_device
from gliosuite.errors import InputError
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.leakage.excitation import Excitation
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.signal import spgr_signal
from gliosuite.perfusion.t1 import fit_vfa

SEED = 9305
DT_S = 1.5
SCAN = Excitation(0.03, 1.5, 60.0, 1.5)
APART, APART_SD, OF_SD, SHARE = 1e-4, 1e-2, 1e-2, 1e-3  # differences that count; of the voxels that may
REPEATS = 3


@dataclass(frozen=True)
class Engine:
    """What is run: a function of the device's name, and the names of what it gives (arrays by name, or attributes)."""

    name: str
    run: Callable[[str], Any]
    results: tuple[str, ...]


def read(found: Any, name: str) -> np.ndarray:
    """One result of an engine."""
    if isinstance(found, tuple):
        return found[int(name)]
    values = getattr(found, "values", {})
    return np.asarray(values[name] if name in values else getattr(found, name), float)


def spread(found: Any, name: str) -> np.ndarray | float:
    """Its standard deviation, 0 where none is given."""
    known = getattr(found, "sd", {}).get(name)
    known = getattr(found, f"{name}_sd", None) if known is None else known
    return 0.0 if known is None else np.nan_to_num(known, nan=0.0)


def engines(n: int) -> list[Engine]:
    """All of them on `n` voxels."""
    times, _, fine_aif, fine, late = late_cohort(n, SEED)
    prompt = late_cohort(n, SEED, 0.0)[-1]

    def kinetic(model: str, delay: bool) -> Callable[[str], Any]:
        # The fine AIF: one of coarse frames has corners, at which optima of equal height lie on either side.
        return lambda d: fit_curves(late if delay else prompt, times, fine_aif, model, delay, fine, device=d)

    made = [
        Engine(f"{model}{', delay' if delay else ''}", kinetic(model, delay), (*parameters, "sse"))
        for model, delay, parameters in (
            ("tofts", False, ("ktrans", "ve")),
            ("etm", False, ("ktrans", "ve", "vp")),
            ("etm", True, ("ktrans", "ve", "vp", "delay")),
            ("patlak", True, ("ktrans", "vp", "delay")),
            ("2cum", False, ("ktrans", "vp")),
            ("2cxm", False, ()),
        )
    ]
    relaxation = 1 / np.random.default_rng(SEED).uniform(0.4, 4, n)[:, None]
    signals = 1000 * spgr_signal(relaxation, 0.005, ANGLES)
    signals = (signals + np.random.default_rng(SEED + 1).normal(0, 1, signals.shape)).astype(np.float32)
    made.append(Engine("T1 of flip angles", lambda d: fit_vfa(signals, ANGLES, 0.005, device=d), ("0", "1")))
    curves, blood = synthetic(n)
    marked = np.arange(n) % 7 == 0

    def dsc(leakage: str, method: str, scan: Excitation | None) -> Callable[[str], Any]:
        data = curves if scan is None else 6 * curves
        return lambda d: perfusion_maps(data, DT_S, blood, leakage, method, marked, d, scan=scan)

    volumes = ("cbv", "cbf", "mtt_s", "tmax_s")
    for leakage, method, scan, more in (
        ("bsw", "osvd", None, ("k2",)),
        ("residue", "osvd", None, ("k1", "k2")),
        ("residue", "osvd", SCAN, ("k1", "k2")),
        ("residue", "vascular", None, ("cbv_sd", "cbf_sd", "mtt_sd")),
        ("residue", "auto", SCAN, ("cbv_sd", "cbf_sd", "mtt_sd")),
    ):
        name = f"DSC, {leakage}{' through the signal' if scan else ''}, {method}"
        made.append(Engine(name, dsc(leakage, method, scan), (*volumes, *more)))
    return made


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its median time after a warm-up."""
    found, seconds = work(), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return found, statistics.median(seconds)


def main() -> int:
    """Print the table; the number of engines that do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "torch-cpu"), default="torch-cpu")
    parser.add_argument("--voxels", type=int, help="(default 5000, with cuda 200000)")
    args = parser.parse_args()
    try:
        choose_device(args.device)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    n = args.voxels or (200_000 if args.device == "cuda" else 5000)
    print(f"{args.device} beside cpu, {n} voxels x 60 frames; worst result: voxels apart by more than {APART:g}")
    print(f"  {'engine':44} {'cpu s':>7} {'here s':>7}   {'worst':9} voxels apart")
    failed = 0
    for engine in engines(n):
        _, cpu_s = timed(lambda e=engine: e.run("cpu"))
        here = engine.run("numpy")
        there, other_s = timed(lambda e=engine: e.run(args.device))
        shares = {}
        for name in engine.results:
            a, b = read(here, name), read(there, name)
            known = np.isfinite(a) & np.isfinite(b)
            forgiven = np.maximum(
                APART * np.maximum(np.abs(a), np.median(np.abs(a[known]))), OF_SD * spread(here, name)
            )
            apart = np.abs(b - a) > forgiven
            shares[name] = float(np.mean(np.where(known, apart, np.isfinite(a) != np.isfinite(b))))
        worst = max(shares, key=lambda k: shares[k])
        met = shares[worst] <= SHARE
        failed += not met
        line = f"  {engine.name:44} {cpu_s:7.2f} {other_s:7.2f}   {worst:9} {100 * shares[worst]:6.3f} %"
        print(f"{line}   bar .1 %  {'met' if met else 'MISSED'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
