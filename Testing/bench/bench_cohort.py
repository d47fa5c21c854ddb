"""Simulated cohorts against what they state: distributions, S3's order of target volumes, presets and twins, the null, time and memory.

All patients are simulated; seeds start at 1000, those below 100 were looked at while constants were chosen. Sections by name, e.g.
``bench_cohort.py distributions null``; all where none is named.
"""

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing")]

import numpy as np
import SimpleITK as sitk
from gliosuite.atlas import LABELS
from gliosuite.images import array, boolean
from gliosuite.rt.compare import compare_ctv
from gliosuite.rt.targets import Structures, target_volumes
from gliosuite.simulate import cohort
from gliosuite.simulate.acquisition import Effects
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.course import PATTERNS_OF_S3
from gliosuite.simulate.presets import preset
from scipy import ndimage, stats

FIRST_SEED = 1000
WORKERS = 2


def over(function: Callable, seeds: range, *args: object) -> list:
    """`function` of each seed, over processes."""
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), cohort._few_threads, (1,)) as pool:
        return list(pool.map(function, seeds, *([a] * len(seeds) for a in args), chunksize=4))


# -- distributions ------------------------------------------------------------------------------------------------------------------


def facts(seed: int, name: str) -> dict:
    """What a patient's truth says, without any scan."""
    patient = simulate_case(seed, name, 3.0, scans=())
    return patient.truth.facts | {"clinical": patient.case.clinical, "landmarks": patient.truth.landmarks}


def distributions(n: int = 200) -> None:
    """Realised volumes, extents and times against the laws that they are drawn from."""
    rows = over(facts, range(FIRST_SEED, FIRST_SEED + n), "default")
    chosen = preset("default")
    tumours, people = chosen.tumours, chosen.people
    t2l = np.array([r["baseline_t2l_cc"] for r in rows])
    # CEL before surgery is drawn below a limit of the patient's own, so each is turned into its share of the law first.
    grown = np.array([r["grown_cel_cc"] for r in rows])
    cel = np.array([tumours.cel_cc.cdf(v, r["biology"].room_cc) for v, r in zip(grown, rows)])
    pfs = [people.progression.cdf(r["clinical"]["pfs_days"], r["covariates"]) for r in rows]
    after = [people.after.cdf(r["death_days_after_progression"], r["covariates"]) for r in rows]
    removed = [
        dict(tumours.removed)[r["biology"].extent].cdf(r["removed_share"])
        for r in rows
        if r["biology"].extent != "biopsy" and r["biology"].removed == r["biology"].removed_drawn
    ]
    tests = {
        "T2L with CEL at baseline": stats.kstest(t2l, tumours.t2l_cc.cdf),
        "CEL before surgery": stats.kstest(cel, "uniform"),
        "share of CEL removed": stats.kstest(removed, "uniform"),
        "progression": stats.kstest(pfs, "uniform"),
        "death after progression": stats.kstest(after, "uniform"),
    }
    print(f"{n} simulated patients, preset default, seeds from {FIRST_SEED}: Kolmogorov-Smirnov against the stated law")
    for label, found in tests.items():
        print(f"  {label:28} D {found.statistic:.3f}  P {found.pvalue:.3f}")
    extents = Counter(r["biology"].extent for r in rows)
    expected = dict(tumours.extent.weights)
    scale = n / sum(expected.values())
    chi = stats.chisquare([extents[k] for k in expected], [v * scale for v in expected.values()])
    print(f"  extent of resection {dict(extents)}, chi square P {chi.pvalue:.3f}")
    print(
        f"  T2L with CEL {t2l.mean():.1f} +- {t2l.std():.1f} cc, median {np.median(t2l):.1f}, {t2l.min():.1f}-{t2l.max():.1f}"
    )
    print("  (S3: 34.4 +- 30.5, median 26.4, 1.2-153.6)")
    print(f"  CEL before surgery {grown.min():.1f}-{grown.max():.1f} cc, median {np.median(grown):.1f} (S3: 3-40)")
    days = [r["clinical"]["pfs_days"] / 30.44 for r in rows]
    lived = [(r["clinical"]["pfs_days"] + r["death_days_after_progression"]) / 30.44 for r in rows]
    print(
        f"  median progression {statistics.median(days):.1f}, survival {statistics.median(lived):.1f} months (S3: 7.0, 17.6)"
    )
    where = Counter(r["extent"] for r in rows)
    shares = ", ".join(f"{k} {100 * where[k] / n:.0f} % ({100 * v:.0f})" for k, v in PATTERNS_OF_S3.items())
    print(f"  progression, in brackets S3: {shares}")
    shift = [r["mean_shift_mm"] for r in rows]
    largest = [r["largest_shift_mm"] for r in rows]
    print(
        f"  shift of tissue within 3 cm of the lesion {np.mean(shift):.1f} mm, largest {min(largest):.1f}-{max(largest):.1f} mm"
    )


# -- S3's order ---------------------------------------------------------------------------------------------------------------------


def margins(seed: int, name: str) -> dict[str, tuple[float, ...]]:
    """Sensitivity, specificity, Dice and PCC of S3's two margins and of the lesion alone."""
    truth = simulate_case(seed, name, 3.0, scans=()).truth.maps
    grid = sitk.Image(truth["brain"])
    held = array(truth["structures"])
    critical = sum(((held == LABELS[k]) for k in ("brainstem", "thalami")), np.zeros_like(held, bool))
    lesion = boolean(truth["t2l"]) | boolean(truth["cel"]) if "cel" in truth else boolean(truth["t2l"])
    target = lesion.copy()
    for role in ("progression_cel", "progression_t2l"):
        if role in truth:
            target |= boolean(truth[role])
    cavity = truth.get("cavity", grid * 0)
    # Normal tissue is brain without cavity and ventricles.
    brain = boolean(truth["brain"]) & ~boolean(truth["ventricles"]) & ~boolean(cavity)

    def image(mask: np.ndarray) -> sitk.Image:
        out = sitk.GetImageFromArray(mask.astype(np.uint8))
        out.CopyInformation(grid)
        return out

    given = {"cel": truth.get("cel", grid * 0), "t2l": truth["t2l"], "cavity": cavity, "brain": truth["brain"]}
    structures = Structures(**{k: v for k, v in given.items() if boolean(v).any()})
    volumes = {k: boolean(target_volumes(k, structures).ctv) for k in ("s3-rtog", "s3-eortc")}
    volumes["lesion alone"] = lesion
    result = {}
    for label, mask in volumes.items():
        m = compare_ctv(image(mask & ~critical), image(target), image(brain))
        result[label] = (m.sensitivity, m.specificity, m.dice, m.pcc)
    return result


def order(n: int = 60) -> None:
    """S3's order of RTOG, EORTC and the lesion alone."""
    rows = over(margins, range(FIRST_SEED, FIRST_SEED + n), "default")
    paper = {"s3-rtog": ".95 .79 -   .79", "s3-eortc": ".74 .92 -   .68", "lesion alone": "-   -   highest, worst PCC"}
    print(f"{n} simulated patients, preset default, target: CEL and T2L at both visits, without brainstem and thalami")
    print(f"  {'':14}{'sens':>14}{'spec':>14}{'Dice':>14}{'PCC':>14}   S3")
    mean = {}
    for label, numbers in paper.items():
        values = np.array([r[label] for r in rows])
        mean[label] = values.mean(axis=0)
        cells = "".join(f"{m:>8.2f} +- {s:.2f}"[:16].rjust(14) for m, s in zip(values.mean(axis=0), values.std(axis=0)))
        print(f"  {label:14}{cells}   {numbers}")
    rtog, eortc, alone = (mean[k] for k in paper)
    holds = {
        "sensitivity RTOG > EORTC": rtog[0] > eortc[0],
        "specificity EORTC > RTOG": eortc[1] > rtog[1],
        "lesion alone: best Dice": alone[2] > max(rtog[2], eortc[2]),
        "lesion alone: worst PCC": alone[3] < min(rtog[3], eortc[3]),
    }
    print("  " + "; ".join(f"{k}: {'yes' if v else 'NO'}" for k, v in holds.items()))


# -- features at fixed distance -----------------------------------------------------------------------------------------------------

BINS_MM = np.arange(0.0, 24.1, 2.0)
TRUTH_FEATURES = ("gm", "wm", "csf", "density", "ktrans", "ve", "vp", "cbv", "adc", "fa", "cho", "naa", "cni", "t10")
SCAN_FEATURES = ("t1", "t1c", "t2", "flair")


def informative(seed: int, name: str) -> dict[str, tuple[float, float]]:
    """Per feature: sum over bins of distance of weight x AUC, and of weights; voxels of the brain outside the lesion."""
    patient = simulate_case(seed, name, 3.0, scans=("structural",), effects=Effects(offset=False))
    truth = patient.truth.maps
    lesion = boolean(truth["t2l"])
    taken = lesion | boolean(truth["ventricles"])
    if "cavity" in truth:
        taken |= boolean(truth["cavity"])
        lesion = lesion | boolean(truth["cavity"])
    new = boolean(truth["progression_t2l"])
    if "progression_cel" in truth:
        new = new | boolean(truth["progression_cel"])
    away = ndimage.distance_transform_edt(~lesion, sampling=truth["brain"].GetSpacing()[::-1])
    free = boolean(truth["brain"]) & ~taken
    features = {k: array(truth[k]) for k in TRUTH_FEATURES}
    like = truth["brain"]
    for role in SCAN_FEATURES:
        features[role] = array(sitk.Resample(patient.case.image(role), like, sitk.Transform(), sitk.sitkLinear, 0.0))
    sums = {k: [0.0, 0.0] for k in features}
    for low, high in zip(BINS_MM[:-1], BINS_MM[1:]):
        here = free & (away > low) & (away <= high)
        label = new[here]
        n1, n0 = int(label.sum()), int((~label).sum())
        if min(n1, n0) < 20:
            continue
        weight = n1 * n0 / (n1 + n0)
        for k, values in features.items():
            ranks = stats.rankdata(values[here])
            auc = (ranks[label].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
            sums[k][0] += weight * auc
            sums[k][1] += weight
    return {k: (a / w if w else np.nan) for k, (a, w) in sums.items()}


def null(n: int = 200) -> None:
    """Voxel AUC of each feature for progression at fixed distance from the lesion: .5 where the preset is null."""
    print(
        f"{n} simulated patients each: mean over patients of the voxel AUC at fixed distance (bins of 2 mm); null +- its SE"
    )
    found = {}
    for name in ("null", "random-field", "default"):
        rows = over(informative, range(FIRST_SEED, FIRST_SEED + n), name)
        found[name] = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    worst = 0.0
    for k, values in found["null"].items():
        values = values[np.isfinite(values)]
        worst = max(worst, abs(values.mean() - 0.5))
        others = "".join(f"{np.nanmean(found[o][k]):14.3f}" for o in ("random-field", "default"))
        print(f"  {k:10}{values.mean():8.3f} +- {values.std() / np.sqrt(len(values)):.3f}{others}")
    print(f"  null: largest distance from .5 {worst:.3f} (bar .03); columns: null, random-field, default")


# -- planted effects ----------------------------------------------------------------------------------------------------------------


def planted_row(seed: int, name: str) -> dict:
    """What a preset's effect is read from."""
    patient = simulate_case(seed, name, 3.0, scans=())
    truth, clinical = patient.truth.maps, patient.case.clinical
    cel = boolean(truth["cel"]) if "cel" in truth else boolean(truth["t2l"])
    nel = boolean(truth["t2l"]) & ~cel
    row = {"clinical": clinical, "facts": patient.truth.facts}
    row |= {k: float(array(truth[k])[cel].mean()) for k in ("ktrans", "vp", "ve")}
    row |= {
        f"cbv_sd_{k}": float(np.log(array(truth["cbv"])[m]).std()) for k, m in (("cel", cel), ("nel", nel)) if m.any()
    }
    if "recurrence_focus" in truth:
        focus, ve = boolean(truth["recurrence_focus"]), array(truth["ve"])
        row["ve_ratio"] = float(ve[focus].mean() / ve[nel & ~focus].mean())
    return row


def auc(positive: list[float], negative: list[float]) -> float:
    """Probability that a positive is larger."""
    return float(stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


def presets(n: int = 100) -> None:
    """The effect of each paper's preset, beside its twin's."""
    print(f"{n} simulated patients each, truth maps; effect | twin")
    for base, read in {
        "idh-grade": _grade,
        "ve-foci": _foci,
        "texture": _texture,
        "habitats": _habitats,
        "arms": _arms,
    }.items():
        both = [read(over(planted_row, range(FIRST_SEED, FIRST_SEED + n), base + tail)) for tail in ("", "-twin")]
        for k in both[0]:
            print(f"  {base:10} {k:44}{both[0][k]:>34} | {both[1][k]}")


def _grade(rows: list[dict]) -> dict[str, str]:
    split = [[r for r in rows if r["clinical"]["idh"] == k] for k in ("wildtype", "mutant")]
    out = {"WHO 2, 3, 4": str([sum(r["clinical"]["grade"] == g for r in rows) for g in (2, 3, 4)])}
    for k, paper in (("ktrans", ".84"), ("vp", ".76"), ("ve", ".82")):
        out[f"AUC of {k} in CEL for IDH (S4 {paper})"] = f"{auc(*([r[k] for r in s] for s in split)):.2f}"
    return out


def _foci(rows: list[dict]) -> dict[str, str]:
    with_focus = [r["ve_ratio"] for r in rows if "ve_ratio" in r]
    return {
        "recurrence within a year (S0 43 %)": f"{100 * np.mean([r['clinical']['recurrence_local'] for r in rows]):.0f} %",
        "ve in foci over ve in the rest of NEL": f"{np.mean(with_focus):.2f}",
    }


def _texture(rows: list[dict]) -> dict[str, str]:
    out = {}
    for k, where in (("recurrence_local", "nel"), ("recurrence_distant", "cel")):
        split = [
            [r[f"cbv_sd_{where}"] for r in rows if r["clinical"][k] == v and f"cbv_sd_{where}" in r] for v in (1, 0)
        ]
        out[f"AUC of log CBV's SD in {where} for {k}"] = f"{auc(*split):.2f} ({len(split[0])} of {len(rows)})"
    return out


def _habitats(rows: list[dict]) -> dict[str, str]:
    volumes = np.array([r["facts"]["covariates"]["infiltrated"] for r in rows])
    cc = np.array([r["facts"]["habitat_cc"]["nel infiltrated oedema"] for r in rows])
    days = [r["clinical"]["pfs_days"] for r in rows]
    egfr = [r["clinical"]["egfr"] == "amplified" for r in rows]
    del volumes
    return {
        "rank correlation of infiltrated oedema and PFS": f"{stats.spearmanr(cc, days).statistic:+.2f}",
        "AUC of PFS for EGFR": f"{auc([d for d, e in zip(days, egfr) if e], [d for d, e in zip(days, egfr) if not e]):.2f}",
    }


def _arms(rows: list[dict]) -> dict[str, str]:
    out = {}
    for arm in ("radiotherapy", "radiotherapy+bevacizumab", "radiotherapy+enzastaurin"):
        own = [r for r in rows if r["clinical"]["treatment"] == arm]
        kinds = Counter(r["facts"]["progression_kind"] for r in own)
        lived = [(r["clinical"]["pfs_days"] + r["facts"]["death_days_after_progression"]) / 30.44 for r in own]
        out[f"{arm}: CEL, T2L, both; median OS"] = (
            f"{kinds['CEL']}, {kinds['T2L']}, {kinds['both']}; {statistics.median(lived):.1f} months"
        )
    return out


# -- time ---------------------------------------------------------------------------------------------------------------------------

_ONE = """
import resource, sys, time
from gliosuite.simulate import simulate_case
start = time.perf_counter()
patient = simulate_case({seed}, "default", 1.0)
made = time.perf_counter()
patient.write(sys.argv[1] + "/case", sys.argv[1] + "/truth")
print(made - start, time.perf_counter() - made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def times() -> None:
    """Seconds and peak memory of one case at 1 mm in a fresh process; seconds of a case at 3 mm."""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = []
        for seed in (FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2):
            run = [sys.executable, "-c", _ONE.format(seed=seed), f"{folder}/{seed}"]
            out = subprocess.run(
                run, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": sys.path[0]}
            )
            found.append([float(v) for v in out.stdout.split()])
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 3
        made, written, peak = (statistics.median(v) for v in zip(*found))
        needed = cohort.space_bytes(1, 1.0, cohort.USUAL_SCANS, False)
        print(
            f"structural, DCE, DSC at 1 mm: {made:.1f} s and {written:.1f} s to write (bar 90), {peak:.1f} GiB (bar 6)"
        )
        print(f"  on disk {size / 2**20:.0f} MiB a case, {needed / 2**20:.0f} asked for")
    simulate_case(FIRST_SEED, grid_mm=3.0, scans=("structural",))
    spans = []
    for seed in range(FIRST_SEED, FIRST_SEED + 10):
        start = time.perf_counter()
        simulate_case(seed, grid_mm=3.0, scans=("structural",))
        spans.append(time.perf_counter() - start)
    print(f"structural and outcome at 3 mm: median {statistics.median(spans):.2f} s, worst {max(spans):.2f} s (bar 2)")


SECTIONS = {"times": times, "distributions": distributions, "order": order, "null": null, "presets": presets}


if __name__ == "__main__":
    for section in sys.argv[1:] or SECTIONS:
        SECTIONS[section]()
