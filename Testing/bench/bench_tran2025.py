"""What Tran 2025 (S3) reports beside target volumes, on simulated patients: ``bench_recurrence.py --forests``, ``--arms``, ``--losses``."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from gliosuite.commands.judged import MODEL, SCHEMES, best_threshold, judged, summary
from gliosuite.commands.recurred import followed
from gliosuite.recurrence import CHANNELS, Inputs, predict
from gliosuite.recurrence.ensemble import folds_of
from gliosuite.recurrence.features import feature_of
from gliosuite.recurrence.followup.classes import CLASSES, STABLE, Followed, compared, medians
from gliosuite.recurrence.followup.evaluated import PLACES, evaluation
from gliosuite.recurrence.followup.forest import TARGETS, Judged, Voxels, all_targets, drawn, foresee, importances
from gliosuite.recurrence.followup.outcomes import Outcomes
from gliosuite.recurrence.followup.settings import ForestSettings
from gliosuite.recurrence.network.ask import log_odds
from gliosuite.recurrence.network.shown import Shown
from gliosuite.recurrence.network.train import train_member
from gliosuite.recurrence.settings import BETA, LOSSES, NetworkTraining, VoxelwiseTraining
from gliosuite.recurrence.train import grow
from gliosuite.rt.compare import compare_ctv
from gliosuite.statistics.agreement import Estimate
from gliosuite.statistics.roc import auc
from gliosuite.training import Model
from scipy import ndimage

# S3, Fig. 1: AUC of all patients, of those who progressed before the median of 7 months, and of the others.
S3_AUC = {"CEL": (0.88, 0.94, 0.74), "NEL": (0.81, 0.83, 0.73)}
S3_SPLIT = (67, 16, 18)  # patients to train on, to choose by and to test on
S3_PLACES = {
    "all": (0.07, 0.65, 0.29),
    "radiotherapy": (5 / 44, 26 / 44, 13 / 44),
    "radiotherapy+bevacizumab": (1 / 27, 19 / 27, 7 / 27),
    "radiotherapy+enzastaurin": (1 / 30, 20 / 30, 9 / 30),
}
SPLIT_SEED = 11
BETAS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # S3: .5, which is the loss dice, to .99
SETTINGS, FORESTS = VoxelwiseTraining(), ForestSettings()
MEASURES = (
    "sensitivity",
    "specificity",
    "pcc",
    "ppv",
    "dice",
    "hd95_mm",
    "specificity_to_2cm",
    "sensitivity_beyond_2cm",
)


def with_progression(patients: dict[int, Inputs], preset: str) -> tuple[list[Followed], Outcomes]:
    """The patients with what became of them."""
    found = [followed(seed, p, preset) for seed, p in patients.items()]
    clinical = [facts for _, facts in found]
    column = lambda name: np.array([facts[name] for facts in clinical], float)
    event = lambda name: column(name).astype(bool)
    outcomes = Outcomes(
        [facts["treatment"] for facts in clinical],
        column("pfs_days"),
        event("pfs_event"),
        column("os_days"),
        event("os_event"),
    )
    return [p for p, _ in found], outcomes


def shuffled(patients: list[Voxels]) -> list[Voxels]:
    """Classes dealt out anew among the voxels of each patient, whose order, by class before, is lost too."""
    rng = np.random.default_rng(9)
    order = [rng.permutation(v.became.size) for v in patients]
    return [Voxels(v.values[o], rng.permutation(v.became), np.ones_like(v.stands_for)) for v, o in zip(patients, order)]


def said(e: Estimate) -> str:
    return f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def line(j: Judged, s3: str) -> str:
    folds = f"{j.folds.mean():.3f} +- {j.folds.std(ddof=1):.3f}"
    cells = (j.target, j.group, j.patients, said(j.auc), folds, said(j.within), said(j.of_normal), s3)
    return f"| {' | '.join(map(str, cells))} |"


def forests(by_seed: dict[int, Inputs]) -> None:
    """Classes of voxels, random forests, and the control that must find nothing."""
    patients, outcomes = with_progression(by_seed, "default")
    print(f"\n{len(patients)} simulated patients of preset default\n")
    table = np.stack([medians(p)[0] for p in patients])
    print(
        "medians of images by class (medians over patients), and P by Holm against NAV to NAV; of NEL to CEL against NEL to NEL too:\n"
    )
    tests = {(t["feature"], t["first"], t["second"]): t["p_holm"] for t in compared(table)}
    shown = [CLASSES.index(n) for n in (STABLE, "NAV to NEL", "NAV to CEL", "NEL to NEL", "NEL to CEL")]
    print("| image | " + " | ".join(CLASSES[i] for i in shown) + " |\n|---|" + "---|" * len(shown))
    for k, feature in enumerate(map(feature_of, CHANNELS)):
        if not np.isfinite(table[:, :, k]).any():
            continue
        cells = []
        for i in shown:
            p = [tests[key] for other in (STABLE, "NEL to NEL") if (key := (feature, CLASSES[i], other)) in tests]
            against = f" ({', '.join(f'{v:.2g}' for v in p)})" if p else ""
            cells.append(f"{np.nanmedian(table[:, i, k]):.3g}{against}")
        print(f"| {feature} | " + " | ".join(cells) + " |", flush=True)
    voxels, names, notes = drawn(patients, FORESTS)
    print("\n".join(["", *notes]))
    days = outcomes.pfs_days
    print(f"median time to progression: {np.median(days):.0f} days (S3: 7 months)\n")
    found, missing = all_targets(voxels, days, FORESTS)
    print(
        "| progression | patients | n | AUC, voxels of all patients | mean of folds | within patients | voxels normal before | S3 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for j in found:
        s3 = S3_AUC.get(j.target)
        print(line(j, f"{s3[('all', 'early', 'late').index(j.group)]:.2f}" if s3 else ""), flush=True)
    for target in TARGETS:
        print(line(foresee(shuffled(voxels), target, "classes shuffled", FORESTS), "(.5)"), flush=True)
    print("\n".join(missing))
    print("AUC lost when an image is shuffled (mean of folds), and its share of impurity's fall:")
    for j in (j for j in found if j.group == "all"):
        rows = sorted(importances(j, names), key=lambda r: -r["permutation"])
        print(f"  {j.target}: " + ", ".join(f"{r['feature']} {r['permutation']:.3f} {r['impurity']:.2f}" for r in rows))


def split(arms: list[str], sizes: tuple[int, ...], seed: int) -> np.ndarray:
    """The part (n,) of each patient, parts of these sizes, each with its share of every arm."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random(len(arms)))
    order = order[np.argsort(np.array(arms)[order], kind="stable")]
    # Each part's members stand evenly along the patients in order of their arms.
    at = np.concatenate([(np.arange(n) + 0.5) / n for n in sizes])
    dealt = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(at, kind="stable")]
    part = np.empty(len(arms), int)
    part[order] = dealt
    return part


def table(rows: list[dict], title: str) -> dict:
    found = summary(rows)
    print(
        f"\n{title}\n\n| target volume | " + " | ".join(MEASURES) + " | cc |\n|---" + "|---" * (len(MEASURES) + 1) + "|"
    )
    for name, values in found["mean_and_sd"].items():
        if " at " not in name:
            cells = " | ".join(f"{values[c][0]:.3f} +- {values[c][1]:.3f}" for c in MEASURES)
            print(f"| {name} | {cells} | {values['ctv_cc'][0]:.0f} |")
    tests = {k: p for k, p in found["p_wilcoxon"].items() if " at " not in k}
    print("exact Wilcoxon: " + "; ".join(f"{k} {p:.2g}" for k, p in tests.items()))
    return found


def shares(found: dict) -> None:
    of = lambda r: (
        f"{r['patients']} of {r['of']} ({100 * r['share']:.0f} %; {100 * r['low']:.0f} to {100 * r['high']:.0f})"
    )
    better = "; ".join(f"{n}: {of(found['better_than'][n])}" for n in SCHEMES)
    print(f"model has the higher PCC (S3: 72, 94 %): {better}")
    missed = "; ".join(f"{n}: {of(found['missed_more_than_13_percent'][n])}" for n in (MODEL, *SCHEMES))
    print(f"more than 13 % of the lesion at progression missed (S3: model 3 of 18): {missed}")
    spared = "; ".join(f"{n}: {m:.0f} +- {s:.0f} cc" for n, (m, s) in found["normal_brain_spared_cc"].items())
    print(f"normal brain spared by the model against: {spared}")


def arms(by_seed: dict[int, Inputs]) -> None:
    """Preset arms: five folds, S3's own split, and what S3 says of arms and of early and late progression."""
    patients, outcomes = with_progression(by_seed, "arms")
    seen = [p.inputs for p in patients]
    treatment = outcomes.treatment
    print(f"\n{len(seen)} simulated patients of preset arms, who all progressed")
    grown = grow(seen, SETTINGS)
    fold = folds_of(len(seen), SETTINGS.folds, SETTINGS.seed)
    thresholds = np.empty(len(seen))
    for f in range(SETTINGS.folds):
        others = np.flatnonzero(fold != f)
        thresholds[fold == f] = best_threshold([seen[i] for i in others], [grown.held_out[i] for i in others])
    rows = judged(seen, grown.held_out, thresholds)
    table(rows, f"Five folds ({len(seen)} patients), mean +- SD")
    found = evaluation(rows, seen, MODEL, outcomes)
    shares(found)
    print("\nwhere progression lies (S3 beside it):")
    for arm, counted in found["progression"].items():
        cells = "; ".join(
            f"{p} {100 * counted[p]['share']:.0f} % ({100 * s:.0f})" for p, s in zip(PLACES, S3_PLACES[arm])
        )
        print(f"  {arm}: {cells}")
    for name in ("arms", "early_and_late"):
        print(f"\n{name} (S3, PCC: early .803, late .815; none differs):" if name != "arms" else f"\n{name}:")
        for group, v in found[name]["mean_and_sd"].items():
            cells = "; ".join(f"{c} {v[c][0]:.3f} +- {v[c][1]:.3f}" for c in ("sensitivity", "specificity", "pcc"))
            print(f"  {group} ({v['patients']}): {cells}")
        print("  Mann-Whitney: " + "; ".join(f"{k} {p:.2g}" for k, p in found[name]["p_mann_whitney"].items()))
    print("\nsurvival (S3, OS: 14.6, 20.3, 17.9 months, P = .0012, .22, .14; PFS: 4.7, 12.0, 7.1 months, P = .021):")
    for kind, v in found["survival"].items():
        median = lambda m: f"{m['median_days'] / 30.44:.1f} ({m['low'] / 30.44:.1f} to {m['high'] / 30.44:.1f})"
        print(f"  {kind}, median in months: " + "; ".join(f"{g} {median(m)}" for g, m in v["median"].items()))
        print("    log-rank: " + "; ".join(f"{k} {p:.2g}" for k, p in v["p_log_rank"].items()))
    part = split(treatment, S3_SPLIT, SPLIT_SEED)
    parts = [np.flatnonzero(part == k) for k in range(3)]
    for k, name in enumerate(("trained on", "chosen by", "tested on")):
        print(
            f"{name} {parts[k].size}: "
            + ", ".join(f"{a} {[treatment[i] for i in parts[k]].count(a)}" for a in sorted(set(treatment)))
        )
    trained = grow([seen[i] for i in parts[0]], SETTINGS)
    model = Model(trained.weights, trained.about | {"trained_on": "bench", "threshold": 0.0, "weights_sha256": ""})
    chosen, tested = ([seen[i] for i in parts[k]] for k in (1, 2))
    maps = lambda cases: [predict(p, model).probability for p in cases]
    rows = judged(tested, maps(tested), best_threshold(chosen, maps(chosen)))
    table(
        rows,
        "S3's split (S3, sens, spec, PCC: model .92, .89, .81; RTOG .95, .79, .79; EORTC .74, .92, .68), mean +- SD",
    )
    shares(evaluation(rows, tested, MODEL))


def losses(patients: list[Inputs], settings: NetworkTraining, folder: Path) -> None:
    """Losses and the weights of Tversky's index: one network each, learned without one fold and asked about it, at a probability of .5."""
    fold = folds_of(len(patients), settings.folds, settings.seed)
    views = [Shown.of(p) for p in patients]
    learned, asked = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    ways = [("tversky", b) for b in BETAS] + [(n, BETA) for n in LOSSES if n != "tversky"]
    print(
        f"\n{len(asked)} simulated patients of preset default, one fold; {settings.base} features, {settings.epochs} epochs; the other "
        f"{len(learned)} learned from; mean +- SD\n\n| loss | epoch | sensitivity | specificity | Dice | PCC | pieces | AUC of voxels |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    for name, beta in ways:
        own = replace(settings, loss=name, beta=beta)
        title = f"{name} {beta:g}" if name == "tversky" else name
        told = lambda share, text, title=title: print(f"{100 * share:.0f} % {title}: {text}", file=sys.stderr)
        weights, history = train_member([views[i] for i in learned], own, 0, folder / title, progress=told)
        rows = np.array([_at_half(patients[i], views[i], log_odds(weights, views[i])) for i in asked])
        cells = " | ".join(f"{m:.3f} +- {s:.3f}" for m, s in zip(rows.mean(axis=0), rows.std(axis=0, ddof=1)))
        print(f"| {title} | {1 + int(np.argmin([r[2] for r in history]))} | {cells} |", flush=True)


def _at_half(patient: Inputs, one: Shown, scores: np.ndarray) -> tuple[float, ...]:
    """Sensitivity, specificity, Dice, PCC, pieces that touch by faces, edges or corners, and AUC of the voxels that are asked about."""
    brain = patient.masks["brain"] & ~patient.masks["cavity"]
    volume = patient.masks["t2l"] & brain
    volume[one.where] |= scores > 0
    image = lambda mask: patient.grid.image(mask.astype(np.uint8))
    found = compare_ctv(image(volume), image(patient.target), image(brain))
    pieces = ndimage.label(volume, np.ones((3, 3, 3)))[1]
    area = auc(patient.target[one.where], scores).value
    return found.sensitivity, found.specificity, found.dice, found.pcc, pieces, area
