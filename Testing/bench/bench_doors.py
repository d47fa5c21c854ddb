"""What DCE and DSC series are let in: where the agent arrives, series without a baseline, and spoiled frames; every figure with its bar.

Run by ``make bench``, or alone: ``python Testing/bench/bench_doors.py [part ...]`` with parts of ``phantoms qiba patients``, all where
none is given. Exits with 1 where a bar is missed. The patients and the phantoms are simulated; the method was developed on patients 7301,
7302, 7411 and 7412 and on phantoms of other seeds. ``qiba`` reads the QIBA objects, where the test data are.
"""

import os
import sys
from pathlib import Path

import numpy as np
import scipy.io

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "GlioCore"))

from gliosuite.curves import boolean, signal_mask
from gliosuite.errors import InputError
from gliosuite.images import Series
from gliosuite.perfusion.bolus import locate
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.settings import DceSettings, DscSettings
from gliosuite.perfusion.signal import concentration_to_spgr
from gliosuite.perfusion.spoiled import spoiled_frames
from gliosuite.simulate.cohort import simulate_case

DATA = Path(os.environ.get("GLIOSUITE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
PATIENTS = range(8140, 8150)  # 8120-8129 were looked at
FINE = 0.1 * np.arange(4000)
_AGENT, _TRACE = (
    0.01,
    0.0005,
)  # of the arterial peak: the first frame with more is the first with agent, with a trace of it
missed: list[str] = []


def bar(text: str, good: bool, bar_text: str) -> None:
    print(f"  {text}   bar {bar_text}{'' if good else '   MISSED'}", flush=True)
    if not good:
        missed.append(text)


def first_frame(times: np.ndarray, at: np.ndarray, blood: np.ndarray, share: float = _AGENT) -> int:
    return int(np.argmax(np.interp(times, at, blood) > share * blood.max()))


def phantoms(seed: int = 81, count: int = 30) -> None:
    print("clean phantoms: 300 voxels, Parker's AIF at random times; frames by which the arrival is found late")
    rng = np.random.default_rng(seed)
    for snr in (np.inf, 100.0, 30.0):
        for dt in (1.0, 2.0, 3.5, 5.0, 7.5):
            late = []
            for _ in range(count):
                times = np.arange(0.0, 300.0, dt)
                blood = parker_aif(FINE, rng.uniform(5 * dt, 45.0))
                ktrans, ve, vp = rng.uniform(0.01, 0.3, 300), rng.uniform(0.1, 0.5, 300), rng.uniform(0.0, 0.1, 300)
                curves = extended_tofts(times, blood / 0.58, ktrans, ve, vp, aif_times_s=FINE)
                signal = concentration_to_spgr(curves, 0.005, 15.0, 1.2, 4.5, 500.0)
                if np.isfinite(snr):
                    signal = signal + rng.normal(0, 500.0 / snr, signal.shape)
                found = locate(signal, times, DceSettings(), True, "phantom").arrival
                late.append(found - first_frame(times, FINE, blood))
            late = np.array(late)
            limit = 0.9 if np.isfinite(snr) else 1.0
            bar(
                f"SNR {snr:<5g} every {dt:g} s: none late in {(late <= 0).sum()}, early by one or more in {(late < 0).sum()} of {count}",
                bool((late == 0).mean() >= limit and np.abs(late).max() <= 1),
                f"0 in {100 * limit:.0f} %, within 1 in all",
            )


def qiba() -> None:
    """The first frame with agent: whose mean over all voxels leaves the baseline by more than a thousandth of the largest change."""
    for name in ("qiba6", "qiba4"):
        path = DATA / "qiba-tofts-dro" / f"{name}.mat"
        if not path.exists():
            print(f"  {path} is not there: skipped")
            continue
        m = {k: np.squeeze(v) for k, v in scipy.io.loadmat(path).items() if k[0] != "_"}
        signal, times = m["DCEdata"].reshape(m["DCEdata"].shape[0], -1).T.astype(float), m["t"]
        for step in (1, 2, 4, 10):
            some, at = signal[:, ::step], times[::step]
            change = np.abs(some.mean(axis=0) - some[:, 0].mean())
            first = int(np.argmax(change > 1e-3 * change.max()))
            found = locate(some, at, DceSettings(), True, name).arrival
            text = f"{name} every {at[1] - at[0]:g} s: first frame with agent {first}, found {found}"
            bar(text, abs(found - first) * (at[1] - at[0]) <= max(2.0, at[1] - at[0]), "within 2 s or a frame")


def outcome(curves: np.ndarray, times: np.ndarray, kind: str) -> int | None:
    settings, rising = (DceSettings(), True) if kind == "dce" else (DscSettings(), False)
    try:
        return locate(curves, times, settings, rising, "series").arrival
    except InputError:
        return None


def patients() -> None:
    print(
        f"simulated patients {PATIENTS[0]}-{PATIENTS[-1]} as they come: arrival; the same cut, so that they start in or after the bolus"
    )
    late: dict[str, list[tuple[int, int] | None]] = {"dce": [], "dsc": []}
    refused: dict[str, list[bool]] = {"dce": [], "dsc": []}
    clean, blank = [], []
    # Frames from the first with agent on: 15 s in DCE, and 7.5 s in DSC, whose agent reaches tissue some frames after the artery.
    cuts = {"dce": (3, 4, 6, 8, 12, 20, 30), "dsc": (5, 6, 8, 10, 12, 16)}
    for seed in PATIENTS:
        patient = simulate_case(seed, grid_mm=2.0, scans=("dce", "dsc"))
        for kind in late:
            series = patient.case.series(kind)
            times = np.array(patient.case.acquisition(kind)["times_s"])
            curves = series.curves(boolean(signal_mask(series)))
            first = first_frame(times, *patient.truth.curves[f"aif_{kind}"].T)
            found = outcome(curves, times, kind)
            trace = first_frame(times, *patient.truth.curves[f"aif_{kind}"].T, _TRACE)
            late[kind].append(None if found is None else (found - trace, found - first))
            ends = [outcome(curves[:, first + k :], times[first + k :], kind) is None for k in cuts[kind]]
            refused[kind].extend(ends)
            clean.append(not spoiled_frames(series, True, kind == "dce"))
            frames = series.frames.copy()
            frames[3], frames[40, : frames.shape[1] // 2] = 0.0, 0.0
            blank.append(sorted(spoiled_frames(Series(frames, series.grid), True, kind == "dce")) == [3, 40])
            accepted = [k for k, r in zip(cuts[kind], ends, strict=True) if not r]
            print(
                f"  {seed} {kind}: first frame with agent {first}, found {found}; cut by {accepted or 'none'} and not refused",
                flush=True,
            )
    count = len(PATIENTS)
    for kind, limit in (("dce", 0), ("dsc", 3)):
        good = sum(v is not None and v[0] >= 0 and v[1] <= limit for v in late[kind])
        text = f"{kind}: arrival not before a trace of agent and at most {limit} frames after 1 % of its peak in {good} of {count}"
        bar(text, good >= 0.9 * count, ">= 90 %")
    for kind, values in refused.items():
        bar(
            f"{kind}: cut series refused in {sum(values)} of {len(values)}",
            sum(values) >= 0.95 * len(values),
            ">= 95 %",
        )
    bar(f"whole series without a spoiled frame: {sum(clean)} of {len(clean)}", all(clean), "all")
    bar(f"a blank frame and a half blank one found: {sum(blank)} of {len(blank)}", all(blank), "all")


if __name__ == "__main__":
    parts = {p.__name__: p for p in (phantoms, qiba, patients)}
    for name in sys.argv[1:] or parts:
        parts[name]()
        print()
    sys.exit(bool(missed))
