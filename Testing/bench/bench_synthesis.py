"""A model's maps against the truth of simulated patients, from raw series, beside the fit's.

Run alone: ``python Testing/bench/bench_synthesis.py [--model posterior|lyoo2025] [--patients N] [--seed S] [--preset NAME] [--without NAME
...] [--cohort DIR [--work DIR]]``. Each patient's DCE and flip angle series are simulated in memory (anatomy of 2 mm) and go through what
the commands call: motion, T1 and B1, automatic AIF, fit with the patient's haematocrit, and the model; ``--without t1`` assumes T1, as for
a user who has no flip angle series. Of the first patient the model and the fit are timed three times, after one that does not count; the
bar of 5 s is for an idle machine with two cores, the ratio of medians for any. With ``--cohort`` patients of 1 mm go through ``gliosuite t1
--onto`` and ``gliosuite synthesize predict`` themselves, from DICOM; what ``--work`` holds is not computed again. ``--model lyoo2025``
takes the raw series alone, its motion corrected, prints the same figures, and then the paper's ablation: both stages against the first
alone. That bar alone binds it; the others bind the posterior. Seeds of patients are none of training's (curves without images; heads from
1300010 on; lyoo2025's patients from 1200000 on).

The truth of a voxel is what it holds of all its tissues. A voxel counts for a tissue where that fills at least 97 % of it by the truth;
coverage and the use of uncertainty are printed of all voxels by their main tissue too.
The fit's 95 % interval is 1.96 SDs either way. NRMSE
is the RMSE over the range of the truth, in %, over enhancing tumour; SSIM is scikit-image's (window 7, data range the 99.9th
percentile of the truth in the brain, 0 outside the brain), over the head's box and over the tumour's.
"""

import argparse
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing" / "bench")]

import numpy as np
from bench_patients import LEAKY, gliosuite, truth_of
from gliosuite.commands.heads import FittedHead, Measured, fitted_head
from gliosuite.dicom import read_dicom_series
from gliosuite.errors import InputError
from gliosuite.images import array, boolean, read_image
from gliosuite.perfusion.settings import DceSettings
from gliosuite.perfusion.synthesis.features import PARAMETERS, to_scale
from gliosuite.perfusion.synthesis.fitted import Fitted
from gliosuite.perfusion.synthesis.lyoo2025 import lyoo2025
from gliosuite.perfusion.synthesis.lyoo2025.figures import LEAST_SD
from gliosuite.perfusion.synthesis.posterior import Synthesis, distribution, posterior
from gliosuite.perfusion.synthesis.spatial import LEVELS
from gliosuite.registration.steady import steady
from gliosuite.simulate.acquisition import CLASSES
from gliosuite.simulate.cohort import write_cohort
from gliosuite.statistics.roc import auc
from gliosuite.training import Model, read_model
from gliosuite.training.model_folder import shipped
from scipy.special import ndtr
from scipy.stats import ttest_rel

SEED = 97771
PURE = 0.97
NORMAL = 0.005  # 1/min; true ktrans of normal brain, at most
SHOWN = ("ktrans", "vp", "ve")
KNOWN = ("t1", "b1", "hematocrit")  # of a patient, beside the series
TISSUES = ("gm", "wm", "oedema", "cel", "necrosis")
COVERED = {"default": 3.0, "shifted": 6.0}  # points either way, by preset
NRMSE = {"ktrans": 1.0, "vp": 1.0, "ve": 0.7}  # of the fit's (clipped to 0-1, which is the harder bar), at most
SSIM = {"ktrans": 0.961, "vp": 0.962, "ve": 0.890}  # S4's, over the whole brain
DROPPED, LOWER_BY, AUROC = 0.2, 15.0, 0.7
FEW = 20  # voxels of a tissue
VOXELS, SECONDS = 600_000, 5.0  # of a large brain, and what its maps may take
# S4's Table 1 by map: SSIM of the first stage alone and of both, NRMSE likewise over the whole brain and the tumour.
TABLE_1 = {
    "ktrans": ((0.948, 0.961), (3.505, 2.657), (16.27, 14.82)),
    "vp": ((0.941, 0.962), (3.152, 2.422), (9.06, 9.061)),
    "ve": ((0.816, 0.890), (8.547, 6.053), (43.64, 37.06)),
}


def cases(args: argparse.Namespace) -> list[Path]:
    """The cohort's cases, simulated where they are not there yet."""
    if not (args.cohort / "cohort.json").exists() and not args.ids:
        write_cohort(args.cohort, args.patients, args.seed, args.preset, scans=("vfa", "dce"), dicom=True)
    names = args.ids or [c["id"] for c in json.loads((args.cohort / "cohort.json").read_text())["cases"]]
    return [args.cohort / name for name in names][: args.patients]


def predicted(case: Path, work: Path) -> Path:
    """The folder of ``synthesize predict`` for a case."""
    if not (work / "synthesis" / "synthesis.json").exists():
        about = json.loads((case / "case.json").read_text())["images"]
        flips, b1 = ",".join(f"{f:g}" for f in about["vfa"]["flip_angle_deg"]), ("--b1", case / "b1.nii.gz")
        vfa = ("--vfa", case / "vfa.nii.gz", "--flip-angles", flips, "--tr-ms", about["vfa"]["tr_ms"])
        gliosuite("t1", *vfa, *b1, "--onto", case / "dicom" / "dce", "--out", work / "t1")
        known = ("--t10", work / "t1" / "t1.nii.gz", *b1, "--hematocrit", about["dce"]["hematocrit"])
        gliosuite("synthesize", "predict", case / "dicom" / "dce", *known, "--out", work / "synthesis")
    return work / "synthesis"


def of_case(case: Path, work: Path, raw: bool) -> FittedHead:
    """A patient of a cohort as the commands left it; the series only where it is needed (`raw`)."""
    folder, truth = predicted(case, work) / "fitted", truth_of(case)
    image = lambda name: array(read_image(truth / f"dce_{name}.nii.gz"))
    held, main = ({name: image(f"{kind}{name}") for name in SHOWN} for kind in ("held_", ""))
    series, known = read_dicom_series(case / "dicom" / "dce") if raw else (None, {"times_s": []})
    settings = DceSettings(tr_ms=known.get("tr_ms"), flip_angle_deg=known.get("flip_angle_deg"))
    still = steady(series).series if raw else None
    truths = held | {"delay": image("delay")}
    measured = Measured(still, known["times_s"], settings, 1.0, None)
    return FittedHead(measured, Fitted.read(folder), truths, main, image("tissue"), image("share"))


def of_seed(seed: int, preset: str, without: list[str], keep: Path | None = None) -> FittedHead | None:
    """A patient of a seed; None, and a line, where the series is refused, as of one without a usable artery.

    With a folder to `keep` it in, without its series.
    """
    path = keep / f"{'-'.join((preset, *without))}-{seed}.pickle" if keep else None
    if path is None or not path.exists():
        try:
            head = fitted_head(seed, preset, **{name: name not in without for name in KNOWN})
        except InputError as error:
            print(f"patient {seed} is refused: {error}")
            return None
        if path is None:
            return head
        path.write_bytes(pickle.dumps(replace(head, measured=None)))
    return pickle.loads(path.read_bytes())


def timed(what: Callable[[], object]) -> float:
    """Seconds, the median of three after one that does not count."""
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def speed(head: FittedHead, model: Model) -> list[str]:
    """Print how long a model's maps take beside the fit of the same series; the bar, where it was missed."""
    ours, fit = timed(lambda: maps_of(head, model)), timed(head.measured.fit)
    n = int(boolean(head.fitted.mask).sum())
    whole = ours * VOXELS / n
    print(
        f"maps of {n} voxels: {ours:.2f} s, the fit {fit:.2f} s, ratio {ours / fit:.2f} (median of 3); "
        f"{VOXELS} voxels at this rate: {whole:.1f} s (<= {SECONDS:g}){mark(whole <= SECONDS)}"
    )
    return [] if whole <= SECONDS else ["time"]


def maps_of(head: FittedHead, model: Model, one_stage: bool = False) -> Synthesis:
    """A model's maps of a patient; with `one_stage`, those of lyoo2025's first stage alone."""
    if model.about["kind"] == "posterior":
        return posterior(head.fitted, model)
    raw = head.measured
    return lyoo2025(raw.series, raw.times_s, raw.settings, model=model, one_stage=one_stage)


class Patient:
    """One patient's maps and truth (z, y, x) by parameter: ``true`` (held), ``main``, ``fit``, ``fit_sd``, ``post``, ``sd``.

    ``off`` is the error in SDs on the model's scales and ``covered`` by level whether the interval holds the truth, in the order of the
    mask's voxels; ``first`` is the map of lyoo2025's first stage alone.
    """

    def __init__(self, head: FittedHead, model: Model) -> None:
        fitted = head.fitted
        self.mask, self.true, self.main = boolean(fitted.mask), head.truth, head.main
        self.fit = {n: array(fitted.values[n]) for n in SHOWN}
        self.fit_sd = {n: array(fitted.sd[n]) for n in SHOWN}
        made = maps_of(head, model)
        if model.about["kind"] == "posterior":
            found = distribution(fitted, model)
            scaled = {n: to_scale(n, self.true[n][self.mask]) for n in SHOWN}
            at = {n: PARAMETERS.index(n) for n in SHOWN}
            self.off = {n: (scaled[n] - found.mean[:, i]) / found.spread[:, i] for n, i in at.items()}
            held = found.held
        else:
            first = maps_of(head, model, one_stage=True)
            self.first = {n: array(first.maps[n]) for n in SHOWN}
            sds = {n: np.maximum(array(made.sd[n]), LEAST_SD) for n in SHOWN}
            self.off = {n: ((self.true[n] - array(made.maps[n])) / sds[n])[self.mask] for n in SHOWN}
            held = model.about["intervals"]
        self.covered = {n: {q: np.abs(self.off[n]) <= held[f"{q:g}"][n] for q in LEVELS} for n in SHOWN}
        self.post, self.sd = ({n: array(of[n]) for n in SHOWN} for of in (made.maps, made.sd))
        self.outside = array(made.outside) > 0
        self.mainly = {t: self.mask & (head.tissue == CLASSES.index(t) + 1) for t in TISSUES}
        self.of = {t: where & (head.share >= PURE) for t, where in self.mainly.items()}
        self.brain = np.isin(head.tissue, [CLASSES.index(t) + 1 for t in (*TISSUES, "csf", "cavity")])


def rmse(error: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(error**2)))


def crps(off: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of a standard normal forecast, `off` its error in SDs (Gneiting and Raftery 2007)."""
    density = np.exp(-0.5 * off**2) / np.sqrt(2 * np.pi)
    return off * (2 * ndtr(off) - 1) + 2 * density - 1 / np.sqrt(np.pi)


def together(patients: list[Patient], of: str, name: str, tissue: str, where: str = "of") -> np.ndarray:
    """A map's values in a tissue of all patients (n,); `where` is ``of``, or ``mainly`` for mixed voxels too."""
    return np.concatenate([getattr(p, of)[name][getattr(p, where)[tissue]] for p in patients])


def mark(good: bool) -> str:
    """Behind a number whose bar was missed."""
    return "" if good else " *"


def share(patients: list[Patient], name: str, tissue: str, level: float, where: str) -> tuple[float, float]:
    """How many % of a tissue's voxels an interval holds the truth in, and its standard error: patients are drawn, not voxels."""
    counted = [p.covered[name][level][getattr(p, where)[tissue][p.mask]] for p in patients]
    hits, n = (np.array([f(c) for c in counted], float) for f in (np.sum, np.size))
    mean, k = hits.sum() / n.sum(), np.count_nonzero(n)
    error = np.sqrt(k / max(k - 1, 1) * np.sum((hits - mean * n) ** 2)) / n.sum()
    return 100 * float(mean), 100 * float(error)


def coverage(patients: list[Patient], preset: str, where: str = "of") -> list[str]:
    """Print how often intervals hold the truth, by tissue; the bars that were missed. `where` as in `together`."""
    failed, chance, bars = [], 0.0, 0
    voxels = {"of": f"of one tissue (at least {PURE:.0%})", "mainly": "all, by their main tissue"}[where]
    print(
        f"coverage of 50/90/95 % intervals, % of voxels ({preset}), {voxels}, and its standard error over patients; CRPS in SDs of the "
        "model; fit's 95 %"
    )
    for name in SHOWN:
        for tissue in TISSUES:
            true, fit, sd = (together(patients, of, name, tissue, where) for of in ("true", "fit", "fit_sd"))
            if true.size < FEW:
                continue
            off = np.concatenate([p.off[name][getattr(p, where)[tissue][p.mask]] for p in patients])
            shares = {q: share(patients, name, tissue, q, where) for q in LEVELS}
            missed = [q for q, (v, _) in shares.items() if abs(v - 100 * q) > COVERED[preset]]
            failed += [f"{name} {tissue} {q:g}" for q in missed]
            chance += sum(2 * float(ndtr(-COVERED[preset] / max(e, 1e-9))) for _, e in shares.values())
            bars += len(LEVELS)
            said = " ".join(f"{v:5.1f}{'*' if q in missed else ' '}" for q, (v, _) in shares.items())
            errors = " ".join(f"{e:4.1f}" for _, e in shares.values())
            fits = 100 * float(np.mean(~np.isfinite(sd) | (np.abs(fit - true) <= 1.96 * sd)))
            score = float(np.mean(crps(off)))
            print(f"  {name:8}{tissue:10}{said}   SE {errors}   CRPS {score:5.2f}   fit {fits:5.1f}   n {off.size}")
    print(
        f"  missed {len(failed)} of {bars}; intervals that are right would miss {chance:.0f} with patients as different as these"
    )
    return [f"coverage {'of all ' if where == 'mainly' else ''}{one}" for one in failed]


def accuracy(patients: list[Patient]) -> list[str]:
    """Print errors in enhancing tumour and normal brain beside the fit's; the bars that were missed."""
    failed = []
    print(
        "enhancing tumour: NRMSE of the model, fit (clipped to 0-1), ratio (bar); bias of the median model, fit; each patient's own ratio, "
        "median, and the share of the model's square that the two patients with most make"
    )
    for name in SHOWN:
        true, fit, post = (together(patients, of, name, "cel") for of in ("true", "fit", "post"))
        both = np.isfinite(fit)
        ours, theirs, clipped = (
            100 * rmse((v - true)[both]) / float(np.ptp(true)) for v in (post, fit, np.clip(fit, 0, 1))
        )
        bias = [100 * (np.median(v[both]) / np.median(true) - 1) for v in (post, fit)]
        good = ours <= NRMSE[name] * clipped
        failed += [] if good else [f"NRMSE {name}"]
        said = f"{ours:8.2f} {theirs:8.2f} ({clipped:.2f}) {ours / clipped:6.2f} (<= {NRMSE[name]}){mark(good)}"
        squares = np.array([_squares(p, name) for p in patients if p.of["cel"].any()])
        each = float(np.median(np.sqrt(squares[:, 0] / squares[:, 1])))
        most = 100 * np.sort(squares[:, 0])[-2:].sum() / squares[:, 0].sum()
        print(f"  {name:8}{said}   {bias[0]:+6.1f} {bias[1]:+6.1f} %   {each:6.2f} {most:6.0f} %")
    shares = []
    for of in ("post", "fit"):
        values = np.concatenate(
            [getattr(p, of)["ktrans"][(p.of["gm"] | p.of["wm"]) & (p.true["ktrans"] < NORMAL)] for p in patients]
        )
        shares.append(100 * float(np.mean(values > LEAKY)))
    good = shares[0] <= 0.5 * shares[1] or shares[0] <= 0.05
    failed += [] if good else ["normal brain"]
    print(f"normal brain with ktrans > {LEAKY}: {shares[0]:.3f} %, fit {shares[1]:.3f} % (<= half, or .05){mark(good)}")
    outside = 100 * float(np.mean(np.concatenate([p.outside[p.mask] for p in patients])))
    print(f"outside what the network was trained on: {outside:.2f} % of the voxels")
    return failed


def _squares(p: Patient, name: str) -> tuple[float, float]:
    """Sums of squared errors of the model and of the clipped fit in a patient's enhancing tumour."""
    where = p.of["cel"] & np.isfinite(p.fit[name])
    true = p.true[name][where]
    ours, fit = p.post[name][where] - true, np.clip(p.fit[name][where], 0, 1) - true
    return float((ours**2).sum()), float((fit**2).sum())


def usefulness(patients: list[Patient], where: str = "of") -> list[str]:
    """Print what leaving out uncertain voxels of the tumour does; the bars that were missed. `where` as in `together`."""
    failed = []
    voxels = "" if where == "of" else ", all voxels that are mainly it"
    print(
        f"enhancing tumour{voxels}: RMSE without the 20 % most uncertain, change; AUROC of uncertainty against the largest 20 % of errors"
    )
    for name in SHOWN:
        true, post, sd = (together(patients, of, name, "cel", where) for of in ("true", "post", "sd"))
        error = np.abs(post - true)
        change = 100 * (1 - rmse(error[sd <= np.quantile(sd, 1 - DROPPED)]) / rmse(error))
        large = error > np.quantile(error, 1 - DROPPED)
        auroc = auc(large, sd).value
        if change < LOWER_BY or auroc < AUROC:
            failed.append(f"uncertainty {'of all ' if where == 'mainly' else ''}{name}")
        said = f"{change:6.1f} % (>= {LOWER_BY:g}){mark(change >= LOWER_BY)}   {auroc:.2f} (>= {AUROC}){mark(auroc >= AUROC)}"
        print(f"  {name:8}{said}")
    return failed


def data_range(p: Patient, name: str, truth: str = "true") -> float:
    """The 99.9th percentile of a map's truth in the brain."""
    return float(np.percentile(getattr(p, truth)[name][p.brain & p.mask], 99.9))


def likenesses(p: Patient, name: str, maps: tuple[str, ...], truth: str = "true") -> list[float]:
    """SSIM of a patient's maps ``post``, ``fit`` ... against a truth: over the head's box, each, and then over the tumour's."""
    from skimage.metrics import structural_similarity

    box = lambda m: tuple(slice(w.min(), w.max() + 1) for w in np.nonzero(m))
    brain = p.brain & p.mask
    right = getattr(p, truth)[name]
    top = data_range(p, name, truth)
    true = np.where(brain, right, 0.0)
    shown = [np.where(brain, np.clip(np.nan_to_num(getattr(p, of)[name]), 0, 1), 0.0) for of in maps]
    seen = [structural_similarity(true, v, win_size=7, data_range=top, full=True)[1] for v in shown]
    tumour = p.of["cel"].sum() >= FEW
    return [float(s[box(brain)].mean()) for s in seen] + [
        float(s[box(p.of["cel"])].mean()) if tumour else np.nan for s in seen
    ]


def likeness(patients: list[Patient]) -> list[str]:
    """Print SSIM of the whole brain and of the tumour's box, means over patients; the bars that were missed."""
    failed = []
    print(
        "SSIM over the head's box: model, fit (bar: S4's); over the tumour's: model, fit; the model's over the head's in the half of the "
        "patients with the larger data range, and that range's median"
    )
    for name in SHOWN:
        found = np.array([likenesses(p, name, ("post", "fit")) for p in patients])
        mean, ranges = np.nanmean(found, axis=0), np.array([data_range(p, name) for p in patients])
        large = ranges >= np.median(ranges)
        good = bool(mean[0] >= SSIM[name])
        failed += [] if good else [f"SSIM {name}"]
        print(
            f"  {name:8}{mean[0]:.3f} {mean[1]:.3f} (>= {SSIM[name]}){mark(good)}   {mean[2]:.3f} {mean[3]:.3f}   "
            f"{found[large, 0].mean():.3f} {np.median(ranges):.3f}"
        )
    return failed


def ablation(patients: list[Patient]) -> list[str]:
    """Print S4's Table 1: both stages of lyoo2025 against the first alone, means over patients; the bars that were missed.

    The truth is that of each voxel's main tissue, which is what the networks were taught.
    """
    failed = []
    print("Table 1, first stage alone and both stages (S4's beside them), P of a paired t-test over patients")
    for name in SHOWN:
        ssim = np.array([likenesses(p, name, ("first", "post"), "main")[:2] for p in patients])
        rows = [("SSIM brain", ssim)]
        for said, of in (("NRMSE brain", lambda p: p.brain & p.mask), ("NRMSE tumour", lambda p: p.of["cel"])):
            some = [p for p in patients if of(p).sum() >= FEW]
            error = lambda p, maps, of=of, name=name: 100 * rmse((maps[name] - p.main[name])[of(p)])
            span = lambda p, of=of, name=name: float(np.ptp(p.main[name][of(p)]))
            rows.append((said, np.array([[error(p, m) / span(p) for m in (p.first, p.post)] for p in some])))
        good = bool(ssim[:, 1].mean() > ssim[:, 0].mean())
        failed += [] if good else [f"ablation {name}"]
        for (said, values), theirs in zip(rows, TABLE_1[name]):
            if not len(values):
                continue
            one, both = values.mean(axis=0)
            p_value = float(ttest_rel(values[:, 0], values[:, 1]).pvalue) if len(values) > 1 else np.nan
            bar = mark(good) if said == "SSIM brain" else ""
            print(
                f"  {name:8}{said:13}{one:7.3f} {both:7.3f}{bar}   S4 {theirs[0]:.3f} {theirs[1]:.3f}   P {p_value:.2g}"
            )
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("posterior", "lyoo2025"), default="posterior")
    parser.add_argument(
        "--model-folder", type=Path, help="of `gliosuite synthesize train` (default: the shipped model)"
    )
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first patient or, with --cohort, of the cohort")
    parser.add_argument("--preset", choices=COVERED, default="default")
    parser.add_argument(
        "--without", nargs="+", choices=KNOWN, default=[], help="what is not known of patients (not with --cohort)"
    )
    parser.add_argument(
        "--cohort", type=Path, help="folder of a cohort, made where it is not there, for the commands themselves"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="folder of patients that are not simulated again (not with --cohort, nor for lyoo2025)",
    )
    parser.add_argument("--ids", nargs="*", help="cases of the cohort (default all)")
    parser.add_argument("--work", type=Path, help="folder for what the commands make of it")
    args = parser.parse_args()
    model = read_model(args.model_folder or shipped(args.model), args.model)
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
        if args.cohort:
            raw = args.model == "lyoo2025"
            patients, failed = [Patient(of_case(case, work / case.name, raw), model) for case in cases(args)], []
        else:
            patients, failed = [], []
            for seed in range(args.seed, args.seed + args.patients):
                # The first one's series is timed.
                head = of_seed(seed, args.preset, args.without, args.keep if patients else None)
                if head is None:
                    continue
                if not patients:
                    failed = speed(head, model)
                patients.append(Patient(head, model))
    source = args.cohort.name if args.cohort else f"seeds {args.seed} to {args.seed + args.patients - 1}"
    weights = f"{args.model} {model.about['weights_sha256'][:8]}"
    less = f", without {' and '.join(args.without)}" if args.without else ""
    print(f"{len(patients)} simulated patients, preset {args.preset}{less}, {source}; weights {weights}")
    flagged = [p for p in patients if p.outside[p.mask].all()]
    if flagged and args.model == "lyoo2025":
        print(f"{len(flagged)} series are flagged as unlike what was trained on; their maps stand and are looked at")
    elif flagged:
        print(
            f"{len(flagged)} series are flagged as unlike what was trained on and show the fit; they are left out of what follows"
        )
        patients = [p for p in patients if not p.outside[p.mask].all()]
    if not patients:
        print("no patient is left")
        return 1
    failed += [*coverage(patients, args.preset), *coverage(patients, args.preset, "mainly")]
    failed += [*accuracy(patients), *usefulness(patients), *usefulness(patients, "mainly")]
    failed += likeness(patients)
    if args.model == "lyoo2025":
        print(f"of the posterior's bars (*) these maps miss {len(failed)}; none of them binds lyoo2025")
        failed = ablation(patients)
    print(f"bars missed: {len(failed)}" + (f" ({', '.join(failed)})" if failed else ""))
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
