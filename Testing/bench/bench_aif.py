"""Arterial input functions: every figure that they are held to, printed with machine and versions.

Run by ``make bench``, or alone: ``python Testing/bench/bench_aif.py [part ...]`` with parts of ``arteries motion searches icc speed``, all
of them where none is given, or ``dce dce_corrected dsc_corrected``: what ``arteries`` and ``motion`` say, of one alone and on
patients that neither saw.
Nothing is written. All on simulated data.
"""

import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "GlioCore"))

from gliosuite.images import Series, array
from gliosuite.perfusion.aif import Aif, bloodfit
from gliosuite.perfusion.aif.bloodfit import optimum
from gliosuite.perfusion.aif.bloodmodel import BloodModel, BloodSignals, relative_signal
from gliosuite.perfusion.aif.venous import tail_factor
from gliosuite.perfusion.dce import dce_aif
from gliosuite.perfusion.dce.aif import maybe_form
from gliosuite.perfusion.dsc import DscSettings, dsc_aif
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.kinetics import extended_tofts
from gliosuite.perfusion.settings import DceSettings
from gliosuite.perfusion.signal import Spgr, signal_to_dr2star
from gliosuite.registration.motion import correct_motion
from gliosuite.simulate.acquisition import CLASSES
from gliosuite.simulate.blood import Blood, draw_blood
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.protocols import DEFAULT
from gliosuite.simulate.scans.scanning import moved
from gliosuite.statistics.regions import icc21

PATIENTS = range(1000, 1030)
CORRECTED_PATIENTS = range(2000, 2030)
DSC_PATIENTS = range(
    32000, 32030
)  # for the DSC AIF, whose code changed after patients up to 33014 but these had been seen
DCE_PATIENTS = range(2100, 2130)  # for the DCE AIF, whose code changed after the others had been seen
ARTERY, VEIN = (CLASSES.index(name) + 1 for name in ("artery", "vein"))


def found_aif(kind, series, acquisition, **settings):
    times = np.array(acquisition["times_s"])
    if kind == "dsc":
        return dsc_aif(series, times, DscSettings(te_ms=acquisition["te_ms"], tr_ms=acquisition["tr_ms"], **settings))
    keys = ("tr_ms", "te_ms", "flip_angle_deg", "hematocrit", "relaxivity")
    return dce_aif(series, times, DceSettings(**{k: acquisition[k] for k in keys}, **settings))


def truth(kind, patient):
    """The artery's curve at the frames: plasma (mM) or ΔR2* (1/s)."""
    times = np.array(patient.case.acquisition(kind)["times_s"])
    at, blood = patient.truth.curves[f"aif_{kind}"].T
    if kind == "dsc":
        blood = DEFAULT.dsc.blood_r2star * blood + DEFAULT.dsc.blood_r2star_square * blood**2
    return times, np.interp(times, at, blood)


def compared(kind, patient, found):
    """Share of arterial voxels; peak and tail over the truth's, and shift of the first moment (s), at the frames."""
    tissue = array(patient.truth[f"{kind}_tissue"])
    times, true = truth(kind, patient)
    curve = np.interp(times, found.times_s, found.concentration, left=0.0)
    pass_ = np.abs(times - times[true.argmax()] - 2.5) < 17.5
    moment = [np.sum(times * np.maximum(c, 0) * pass_) / np.sum(np.maximum(c, 0) * pass_) for c in (curve, true)]
    late = times > times[-1] - 120.0 if kind == "dce" else times > times[-1] - 20.0
    return (
        float((tissue[found.voxels] == ARTERY).mean()),
        curve.max() / true.max() - 1,
        moment[0] - moment[1],
        curve[late].mean() / true[late].mean() - 1,
    )


def shifted(series):
    """The series of a head that moves by 3 mm in mid-series, on top of what it does already."""
    frames = series.frames.copy()
    step = np.array([2.1, -1.7, 1.3, 0.0, 0.0, 0.0])  # mm; 3.0 mm long
    for i in range(len(frames) // 2, len(frames)):
        frames[i] = np.round(moved(frames[i], series.grid, step))
    return Series(frames, series.grid, series.name)


def as_is(series):
    return series


def corrected(series):
    """The series as `gliosuite run` hands it to perfusion."""
    return correct_motion(series).series


WAYS = {
    "dsc": ("dsc", {}, as_is),
    "dce": ("dce", {}, as_is),
    "dsc mouridsen": ("dsc", {"aif_search": "mouridsen"}, as_is),
    "dsc peruzzo": ("dsc", {"aif_search": "peruzzo"}, as_is),
    "dce no sinus": ("dce", {"sinus": False}, as_is),
    "dsc 3 mm more": ("dsc", {}, shifted),
    "dce 3 mm more": ("dce", {}, shifted),
    "dsc corrected": ("dsc", {}, corrected),
    "dce corrected": ("dce", {}, corrected),
}


def purest(patient, number=10):
    """Peak over the truth's of the mean ΔR2* of the voxels with the most artery in them: what knowing all would give."""
    share = np.where(array(patient.truth["dsc_tissue"]) == ARTERY, array(patient.truth["dsc_share"]), 0)
    level = np.sort(share[share > 0])[-number:].min()
    _, true = truth("dsc", patient)
    curves = patient.case.series("dsc").curves(share >= level)
    te_s = patient.case.acquisition("dsc")["te_ms"] / 1000
    found = signal_to_dr2star(curves, te_s, int(np.argmax(true > 0.01 * true.max())))
    return float(np.nanmean(found, axis=0).max() / true.max() - 1)


def arteries(patients=PATIENTS, ways=("dsc", "dce"), bar="bar of the peak: 29 of 30"):
    print(
        f"automatic AIF, simulated patients {patients[0]}-{patients[-1]}, series as they come or as said: arterial voxels; peak, first "
        "moment and tail against the artery, at the frames"
    )
    cases = {way: [] for way in ways}
    veins, ceiling = [], []
    scans = tuple(sorted({WAYS[way][0] for way in ways}))
    for seed in patients:
        patient = simulate_case(seed, grid_mm=2.0, scans=scans)
        if "dsc" in scans:
            ceiling.append(purest(patient))
        for way in ways:
            kind, settings, prepared = WAYS[way]
            series = prepared(patient.case.series(kind))
            found = found_aif(kind, series, patient.case.acquisition(kind), **settings)
            cases[way].append(compared(kind, patient, found))
            share, peak, moment, tail = cases[way][-1]
            known = found.quality.get("peak_relative_sd")
            more = "" if known is None else f"  its own SD of the peak {100 * known:.1f} %"
            if found.sinus is not None:
                veins.append(float((array(patient.truth["dce_tissue"])[found.sinus] == VEIN).mean()))
                more += f"  sinus {100 * veins[-1]:.0f} % vein"
            print(
                f"  {seed}  {way:<14}{100 * share:5.0f} %  {100 * peak:+6.1f} %  {moment:+.2f} s  tail {100 * tail:+6.1f} %  "
                f"{int(found.voxels.sum())} voxels{more}",
                flush=True,
            )
    for way, rows in cases.items():
        share, peak, moment, tail = np.array(rows).T
        print(
            f"  {way:<14}arterial >= 90 %: {(share >= 0.9).sum()}, peak within 10 %: {(np.abs(peak) <= 0.1).sum()} (median "
            f"{100 * np.median(peak):+.1f} %, SD {100 * peak.std():.1f} %), first moment within 1 s: {(np.abs(moment) <= 1).sum()}, tail "
            f"within 10 %: {(np.abs(tail) <= 0.1).sum()} of {share.size}   {bar}"
        )
    failed = 0
    for rows in cases.values():
        failed += bool(bar) and int((np.abs(np.array(rows)[:, 1]) <= 0.1).mean() < 29 / 30 - 1e-9)
    if ceiling:
        print(
            f"  DSC, mean of the 10 voxels with the most artery: peak within 10 %: {(np.abs(ceiling) <= 0.1).sum()} (median "
            f"{100 * np.median(ceiling):+.1f} %)"
        )
    good = np.array(veins)
    if good.size:
        print(f"  a sinus was used {good.size} times; at least 90 % vein in {(good >= 0.9).sum()} of them")
    return failed


def searches():
    return arteries(PATIENTS[:10], tuple(WAYS)[2:7], "")


def motion(patients=CORRECTED_PATIENTS):
    """As `arteries`, after the motion correction that `gliosuite run` does first; other patients, since some of those were looked at."""
    return arteries(patients, ("dsc corrected", "dce corrected"))


def dsc_corrected(patients=DSC_PATIENTS):
    """The DSC series alone, after motion correction."""
    return arteries(patients, ("dsc corrected",))


def dce(patients=DCE_PATIENTS):
    """The DCE series alone, as they come."""
    return arteries(patients, ("dce",))


def dce_corrected(patients=DCE_PATIENTS):
    """The DCE series alone, after motion correction."""
    return arteries(patients, ("dce corrected",))


def icc(patients=30, picks=8, voxels=60):
    print(
        f"AIF picks, {patients} patients x {picks}: artery's share U(.3, 1), noise .15 mM, dose +-25 %; {voxels} voxels per tumour, "
        "sigma .02 mM, 60 frames of 5 s"
    )
    times, fine = 5.0 * np.arange(60), 0.1 * np.arange(3100)
    settings = DceSettings(tr_ms=3.5, flip_angle_deg=10.0)
    true = {k: np.empty(patients) for k in ("ktrans", "ve", "vp")}
    found = {(way, k): np.empty((patients, picks)) for way in ("raw", "sinus") for k in true}
    for i in range(patients):
        rng = np.random.default_rng([1000, i])
        blood = draw_blood(rng)
        blood = Blood(**{**vars(blood), "dose": float(rng.uniform(0.75, 1.25))})
        arterial = blood.arterial(fine, 30.0) / (1 - blood.hematocrit)
        venous = blood.venous(times, 30.0) / (1 - blood.hematocrit)
        values = {
            "ktrans": np.exp(rng.normal(np.log(rng.uniform(0.02, 0.2)), 0.3, voxels)),
            "ve": np.clip(rng.normal(rng.uniform(0.2, 0.5), 0.05, voxels), 0.05, 0.8),
            "vp": np.clip(rng.normal(rng.uniform(0.02, 0.1), 0.01, voxels), 0.005, 0.2),
        }
        curves = extended_tofts(fine, arterial, **values)[:, np.round(times / 0.1).astype(int)]
        curves = curves + rng.normal(0, 0.02, curves.shape)
        sinus = venous + rng.normal(0, 0.05, times.size)
        for k in true:
            true[k][i] = np.mean(values[k])
        for j in range(picks):
            pick = rng.uniform(0.3, 1.0) * np.interp(times, fine, arterial) + rng.normal(0, 0.15, times.size)
            pick[times < 30.0] = 0.0
            for way, factor in (("raw", 1.0), ("sinus", tail_factor(pick, sinus, times))):
                aif, _ = maybe_form(Aif(times, factor * pick, "", "mask"), times, settings, 6)
                fit = fit_curves(curves, times, aif.concentration, "etm", False, aif.times_s)
                for k in true:
                    found[way, k][i, j] = np.nanmean(fit.values[k])
    for way in ("raw", "sinus"):
        for k in true:
            bias = found[way, k] / true[k][:, None] - 1
            bars = "bars .95, 10 %" if (way, k) == ("sinus", "ktrans") else ""
            print(
                f"  {way:<7}{k:<8}ICC(2,1) of logarithms {icc21(np.log(np.maximum(found[way, k], 1e-6))):.3f}   tumour mean: median bias "
                f"{100 * np.median(bias):+.1f} %, median absolute {100 * np.median(np.abs(bias)):.1f} %   {bars}"
            )


def speed(patients=12):
    """The fit of artery, sinus and tissue by one blood: exact derivatives against differences, on the same signals and model."""
    from unittest.mock import patch

    import scipy.optimize

    print(
        f"fit of one blood to the signals of artery, sinus and tissue, {patients} simulated bloods: derivatives exact, or by differences"
    )
    own = scipy.optimize.least_squares
    ways = {"differences": lambda f, x, jac, **more: own(f, x, **more), "exact": own}
    seconds, cost = {way: [] for way in ways}, {way: [] for way in ways}
    acquisition, times = Spgr(0.0035, 10.0, 4.5, 0.0015), 5.0 * np.arange(60)
    for seed in range(patients):
        rng = np.random.default_rng([4000, seed])
        blood = draw_blood(rng)
        plasma = blood.feeding(times, 30.0)
        shown = (
            (blood.arterial(times, 30.0), rng.normal(1.0, 0.08), 1.65, 0.85, 0.015),
            (blood.venous(times, 30.0), rng.normal(1.0, 0.08), 1.57, 1.0, 0.015),
            (0.03 * plasma, 1.0, 1.2, 1.0, 0.002),
        )
        data = [
            300.0 * (1.0 + share * (relative_signal(c, acquisition, flip, t10, 0.0015) - 1.0) + rng.normal(0.0, sd, 60))
            for c, flip, t10, share, sd in shown
        ]
        model = BloodModel.of(BloodSignals(times, *data, 6, noise=(0.015, 0.015)), acquisition, 1.65)
        for way, function in ways.items():
            start = time.process_time()
            starts = bloodfit.STARTS_S if way == "exact" else (-3.0, 0.0, 3.0)  # three at first
            with patch.object(scipy.optimize, "least_squares", function), patch.object(bloodfit, "STARTS_S", starts):
                cost[way].append(optimum(model).cost)
            seconds[way].append(time.process_time() - start)
    gain = np.array(cost["exact"]) / np.array(cost["differences"]) - 1.0
    for way in ways:
        print(
            f"  {way:<12} {np.median(seconds[way]):.2f} s of the processor (median; longest {max(seconds[way]):.2f} s)"
        )
    print(f"  cost, exact over differences: {gain.min():+.1e} to {gain.max():+.1e}   bar: at most +1e-3 in any")
    return int((gain > 1e-3).sum())


if __name__ == "__main__":
    parts = {p.__name__: p for p in (arteries, motion, searches, icc, speed, dce, dce_corrected, dsc_corrected)}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}"
    )
    failed = 0
    for name in sys.argv[1:] or ("arteries", "motion", "searches", "icc", "speed"):
        failed += parts[name]() or 0
        print()
    sys.exit(failed > 0)
