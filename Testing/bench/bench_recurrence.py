"""Recurrence predicted by trees (``--kind voxelwise``) or a network against target volumes by margins, five folds by patient, with bars.

All patients are simulated, of seeds that no model was chosen on. The threshold of a fold is chosen on the held-out probabilities of the
other folds. Patients are simulated once and kept under ``--cache``; each takes seconds, a dozen with perfusion.
The network is trained once, under ``--cache`` too, where a run that was stopped goes on; what the images tell is then measured by hiding
kinds of scan from it, which it met in training, and with ``--modalities`` by training it anew without them.

``python Testing/bench/bench_recurrence.py [--cache DIR] [--patients N] [--shells | --modalities | --speed | --forests | --arms]``
``python Testing/bench/bench_recurrence.py --network [--cache DIR] [--patients N] [--epochs N] [--modalities]``
``python Testing/bench/bench_recurrence.py --losses [--cache DIR] [--patients N] [--epochs N] [--base N]`` compares losses on one fold.
``python Testing/bench/bench_recurrence.py --network --shipped [--cache DIR] [--patients N]`` asks the shipped network, trained on others.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing")]

import numpy as np
from gliosuite.commands.judged import judged, reached, summary
from gliosuite.commands.recurred import recurred
from gliosuite.recurrence import CHANNELS, Inputs, predict, shipped
from gliosuite.recurrence.ensemble import Grown, calibrated, folds_of, reliability
from gliosuite.recurrence.features import NAMES, features
from gliosuite.recurrence.inputs import SEEN
from gliosuite.recurrence.network.ask import log_odds, of_member
from gliosuite.recurrence.network.shown import Shown
from gliosuite.recurrence.network.train import train_network
from gliosuite.recurrence.settings import NETWORK, NetworkTraining, VoxelwiseTraining
from gliosuite.recurrence.train import grow
from gliosuite.statistics.groups import bootstrap, wilcoxon
from gliosuite.statistics.roc import auc
from gliosuite.training import Model

SETTINGS = VoxelwiseTraining()
EPOCHS = 25  # of the network
MOST_NETWORK_S = 15.0
CONTROLS = ("null", "random-field", "shifted")
FIRST = {"default": 1610000, "arms": 1630000, **dict.fromkeys(CONTROLS, 1620000)}
SPEED_SEED, MOST_S = 1750000, 20.0
SHELLS = ((0, 4), (4, 8), (8, 14), (14, 25))  # mm
# Of S3 (Tran 2025), test set of 18: sensitivity, specificity, PCC.
S3 = {"model": (0.92, 0.89, 0.81), "s3-rtog": (0.95, 0.79, 0.79), "s3-eortc": (0.74, 0.92, 0.68)}
WITHOUT = {
    "T1c, T1, FLAIR": ("diffusion", "perfusion", "spectroscopy"),
    "+ diffusion": ("perfusion", "spectroscopy"),
    "+ perfusion": ("diffusion", "spectroscopy"),
    "+ spectroscopy": ("diffusion", "perfusion"),
    "+ diffusion, spectroscopy (S3)": ("perfusion",),
}
BOTH = "without diffusion, spectroscopy"
WITHOUT_NETWORK = {
    "T1c, FLAIR": ("diffusion", "perfusion", "spectroscopy"),
    "+ diffusion": ("perfusion", "spectroscopy"),
    "+ spectroscopy": ("diffusion", "perfusion"),
    "+ diffusion, spectroscopy (S3)": ("perfusion",),
    BOTH: ("diffusion", "spectroscopy"),
    "without spectroscopy": ("spectroscopy",),
}
missed = 0


def bar(name: str, said: str, met: bool) -> None:
    """Print a bar, and whether it is met."""
    global missed
    missed += not met
    print(f"{name:<66} {said:<44} {'met' if met else 'MISSED'}", flush=True)


def cohort(preset: str, n: int, cache: Path) -> list[Inputs]:
    """Patients of a preset who progressed."""
    return list(by_seed(preset, n, cache).values())


def by_seed(preset: str, n: int, cache: Path) -> dict[int, Inputs]:
    """The same by their seeds."""
    found = {}
    for seed in range(FIRST[preset], FIRST[preset] + n):
        path = cache / f"{preset}-{seed}.npz"
        if not path.exists():
            patient = recurred(seed, preset, perfusion=preset == "default")
            if patient is None:
                continue
            patient.write(path)
        found[seed] = Inputs.read(path)
    return found


def held_out_pcc(patients: list[Inputs], maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of each patient, the threshold that the other folds chose, and the PCC at it."""
    levels, pcc = reached(patients, maps)
    fold = folds_of(len(patients), SETTINGS.folds, SETTINGS.seed)
    best = np.array([int(pcc[fold != f].mean(axis=0).argmax()) for f in fold])
    return levels[best], pcc[np.arange(len(patients)), best]


def grown_pcc(patients: list[Inputs]) -> np.ndarray:
    return held_out_pcc(patients, grow(patients, SETTINGS).held_out)[1]


def distance_only(patients: list[Inputs]) -> list[Inputs]:
    return [replace(p, images={}) for p in patients]


def said(p: float) -> str:
    return f"P = {p:.2g}"


def main_bars(patients: list[Inputs], grown: Grown) -> np.ndarray:
    thresholds, pcc = held_out_pcc(patients, grown.held_out)
    bars(patients, grown.held_out, thresholds, pcc)
    print("\nheld-out probability, share that came true, voxels:")
    for r in grown.about["reliability"]:
        print(f"  {r['predicted']:.3f}  {r['recurred']:.3f}  {r['voxels']}")
    return pcc


def bars(patients: list[Inputs], maps: list[np.ndarray], thresholds: np.ndarray, pcc: np.ndarray) -> None:
    rows = judged(patients, maps, thresholds)
    found = summary(rows)
    print(
        f"\n{len(patients)} simulated patients of preset default, mean +- SD; S3's test set (18 patients) beside it\n"
    )
    print("| target volume | sensitivity | specificity | PCC | cc | S3 |\n|---|---|---|---|---|---|")
    for name, values in found["mean_and_sd"].items():
        cells = " | ".join(f"{values[c][0]:.3f} +- {values[c][1]:.3f}" for c in ("sensitivity", "specificity", "pcc"))
        print(f"| {name} | {cells} | {values['ctv_cc'][0]:.0f} | {', '.join(map(str, S3.get(name, ())))} |")
    print()
    mean = lambda ctv, column: found["mean_and_sd"][ctv][column][0]
    tests = found["p_wilcoxon"]
    p = tests["sensitivity, model and s3-eortc"]
    gain = mean("model", "sensitivity") - mean("s3-eortc", "sensitivity")
    bar("sensitivity, model > EORTC (P < .01)", f"{gain:+.3f}, {said(p)}", gain > 0 and p < 0.01)
    p = tests["specificity, model and s3-rtog"]
    gain = mean("model", "specificity") - mean("s3-rtog", "specificity")
    bar("specificity, model > RTOG (P < .01)", f"{gain:+.3f}, {said(p)}", gain > 0 and p < 0.01)
    gain = mean("model", "pcc") - mean("s3-rtog", "pcc")
    bar("PCC, model - RTOG >= .02", f"{gain:+.4f}, {said(tests['pcc, model and s3-rtog'])}", gain >= 0.02)
    for name in ("s3-rtog", "s3-eortc"):
        gain = mean(f"model at {name}", "sensitivity") - mean(name, "sensitivity")
        bar(f"sensitivity at the volume of {name}, model >= margin", f"{gain:+.4f}", gain >= 0)
    other = np.mean([r["sensitivity"] / (2 - r["specificity"]) for r in rows if r["ctv"] == "model"])
    bar(
        "PCC agrees with sens / (2 - spec) within .02",
        f"{pcc.mean():.4f}, {other:.4f}",
        abs(pcc.mean() - other) <= 0.02,
    )
    for name in ("s3-rtog", "s3-eortc"):
        share = np.mean(
            [r["pcc"] for r in rows if r["ctv"] == "model"] > np.array([r["pcc"] for r in rows if r["ctv"] == name])
        )
        print(f"model has the higher PCC than {name} in {100 * share:.0f} % of patients (S3: 72, 94 %)")
    new = [(p.target[w], m[w]) for p, m in zip(patients, maps) for w in [(m > 0) & ~p.masks["t2l"]]]
    areas = [auc(*one).value for one in new if one[0].any()]
    print(f"AUC of voxels that progress, outside the lesion, mean over patients: {np.mean(areas):.3f}")


def modalities(patients: list[Inputs], whole: np.ndarray) -> None:
    print("\nPCC by what the model is shown (mean, difference from all channels, exact Wilcoxon):")
    print(f"  all                               {whole.mean():.4f}")
    for name, kinds in WITHOUT.items():
        pcc = grown_pcc([p.without(kinds) for p in patients])
        print(
            f"  {name:<33} {pcc.mean():.4f}  {pcc.mean() - whole.mean():+.4f}  {said(wilcoxon(pcc, whole))}", flush=True
        )
    pcc = grown_pcc([p.without(("diffusion", "spectroscopy")) for p in patients])
    p = wilcoxon(pcc, whole)
    lost = whole.mean() - pcc.mean()
    bar(
        "removing MRSI and diffusion lowers PCC by >= .01 (P < .05)",
        f"{lost:.4f}, {said(p)}",
        lost >= 0.01 and p < 0.05,
    )


def without_both(patients: list[Inputs], whole: np.ndarray) -> None:
    pcc = grown_pcc([p.without(("diffusion", "spectroscopy")) for p in patients])
    p = wilcoxon(pcc, whole)
    lost = whole.mean() - pcc.mean()
    bar(
        "removing MRSI and diffusion lowers PCC by >= .01 (P < .05)",
        f"{lost:.4f}, {said(p)}",
        lost >= 0.01 and p < 0.05,
    )


def shells(patients: list[Inputs]) -> None:
    """What single features tell of voxels that are as far from the T2 lesion."""
    column = {n: i for i, n in enumerate(NAMES)}
    seen = [(v, p.target[w]) for p in patients for v, w in [features(p)]]
    shown = [
        n
        for n in NAMES
        if not n.startswith(("log_", "from_t2l")) and any(np.isfinite(v[:, column[n]]).any() for v, _ in seen)
    ]
    print(
        "\nAUC of single features for progression in shells round the T2 lesion, mean over patients with 20 voxels of either kind:"
    )
    print(f"  {'mm':<12}" + "".join(f"{f'{a}-{b}':>9}" for a, b in SHELLS))
    for name in shown:
        cells = []
        for near, far in SHELLS:
            areas = []
            for values, y in seen:
                away = values[:, column["from_t2l_mm"]]
                inside = (away > near) & (away <= far) & np.isfinite(values[:, column[name]])
                if min(y[inside].sum(), (~y[inside]).sum()) >= 20:
                    areas.append(auc(y[inside], values[inside, column[name]]).value)
            cells.append(f"{np.mean(areas):9.2f}" if areas else f"{'-':>9}")
        print(f"  {name:<12}" + "".join(cells), flush=True)
    share = np.mean([np.isfinite(v[y, column["cni"]]).mean() for v, y in seen if y.any()])
    print(f"of the voxels that progress, {100 * share:.0f} % lie in the box of spectroscopy")


def speed() -> None:
    """How long the shipped trees take for a brain of 1 mm: the median of three, after one that does not count."""
    model = shipped()
    fine = Model(model.weights, model.about | {"grid_mm": 1.0})
    seed, patient = SPEED_SEED, None
    while patient is None:
        patient = recurred(seed, perfusion=False, grid_mm=1.0)
        seed += 1
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        found = predict(patient, fine)
        seconds.append(time.perf_counter() - start)
    taken = float(np.median(seconds[1:]))
    asked = int(found.predicted.sum())
    told = f"{taken:.1f} s for {asked} of {int(patient.masks['brain'].sum())} voxels"
    bar(f"a brain of 1 mm in <= {MOST_S:g} s", told, taken <= MOST_S)


def gain_of(name: str, pcc: np.ndarray, null: np.ndarray, wanted: bool) -> None:
    """PCC of the model less that of the distance-only model, with its interval."""
    e = bootstrap([pcc - null], lambda d: float(d.mean()), seed=3)
    met = e.low > 0 if wanted else e.low <= 0
    bar(
        f"{name}: gain over the distance-only model {'> 0' if wanted else 'none'}",
        f"{e.value:+.4f} ({e.low:+.4f} to {e.high:+.4f})",
        met,
    )


def controls(patients: list[Inputs], whole: np.ndarray, others: dict[str, list[Inputs]]) -> None:
    print()
    null = grown_pcc(distance_only(patients))
    gain_of("default", whole, null, True)
    own = others["null"]
    gain_of("null", grown_pcc(own), grown_pcc(distance_only(own)), False)
    order = np.roll(np.arange(len(patients)), 1)
    mixed = [
        replace(p, images={n: _laid(v, p) for n, v in patients[i].images.items()}) for p, i in zip(patients, order)
    ]
    gain_of("images of another patient", grown_pcc(mixed), null, False)
    rng = np.random.default_rng(4)
    shuffled = []
    for p in patients:
        target = p.masks["t2l"].copy()
        where = p.masks["brain"] & ~p.masks["cavity"] & ~target & (p.away("t2l") <= 40)
        target[where] = rng.permutation(p.target[where])
        shuffled.append(replace(p, target=target))
    maps = grow(shuffled, SETTINGS).held_out
    areas = [
        auc(p.target[w], m[w]).value
        for p, m in zip(shuffled, maps)
        for w in [(m > 0) & ~p.masks["t2l"]]
        if p.target[w].any()
    ]
    bar("labels shuffled among voxels: AUC .5 +- .03", f"{np.mean(areas):.3f}", abs(np.mean(areas) - 0.5) <= 0.03)
    models = {}
    for name, shown in (("images", patients), ("distance", distance_only(patients))):
        grown = grow(shown, SETTINGS)
        levels, pcc = reached(patients, grown.held_out)
        more = {"trained_on": "bench", "threshold": float(levels[pcc.mean(axis=0).argmax()]), "weights_sha256": ""}
        models[name] = Model(grown.weights, grown.about | more)
    for preset in ("random-field", "shifted"):
        cases = others[preset]
        maps = [predict(p, models["images"]).probability for p in cases]
        plain = [_without_images(p, models["distance"]) for p in cases]
        scores = []
        for found, model in ((maps, models["images"]), (plain, models["distance"])):
            levels, pcc = reached(cases, found)
            scores.append(pcc[:, int(np.abs(levels - model.about["threshold"]).argmin())])
        gain_of(f"trained on default, {preset}", *scores, True)


def _laid(values: np.ndarray, patient: Inputs) -> np.ndarray:
    """An image of another patient in the field of view of this one, middle on middle."""
    result = np.full(patient.grid.shape, np.nan, np.float32)
    here, there = [], []
    for mine, theirs in zip(result.shape, values.shape):
        n = min(mine, theirs)
        here.append(slice((mine - n) // 2, (mine - n) // 2 + n))
        there.append(slice((theirs - n) // 2, (theirs - n) // 2 + n))
    result[tuple(here)] = values[tuple(there)]
    return result


def _without_images(patient: Inputs, model: Model) -> np.ndarray:
    """What a model of distances alone says."""
    from gliosuite.recurrence.trees import Trees

    values, where = features(replace(patient, images={}))
    scores = Trees.of(model.weights).log_odds(values[:, [NAMES.index(n) for n in model.about["features"]]])
    probability = np.zeros(patient.grid.shape, np.float32)
    probability[where] = calibrated(scores, model.about["calibration"]).mean(axis=0)
    probability[patient.masks["t2l"]] = 1.0
    return probability


def network(patients: list[Inputs], settings: NetworkTraining, folder: Path, anew: bool) -> None:
    """The bars of the network, what hiding kinds of scan from it loses, and its time."""
    started = time.perf_counter()
    told = lambda share, text: print(
        f"{100 * share:.0f} % {time.perf_counter() - started:.0f} s {text}", file=sys.stderr
    )
    train = lambda some, name: train_network(
        some, settings, folder / f"network-{settings.base}-{settings.epochs}{name}", progress=told
    )
    grown = train(patients, "")
    print(f"network: {settings.base} features, {settings.epochs} epochs at most, loss {settings.loss}")
    for name, member in grown.about["learning"].items():
        print(f"  {name}: best of {member['epochs']} epochs: {member['best']}, loss {member['held_out_loss']:.4f}")
    pcc = main_bars(patients, grown)
    half = grown.about["half_differs"]
    bar("half and single precision differ by <= .005", f"{half:.5f}", half <= 0.005)
    trees = grown_pcc(patients)
    print(
        f"trees on the same folds: PCC {trees.mean():.4f}, network {pcc.mean() - trees.mean():+.4f}, {said(wilcoxon(pcc, trees))}"
    )
    null = grown_pcc(distance_only(patients))
    gain_of("network", pcc, null, True)
    print("\nPCC of the same network by what it is shown (mean, difference from all channels, exact Wilcoxon):")
    _modality_rows(
        pcc, {n: held_out_pcc(patients, _hiding(patients, grown, kinds))[1] for n, kinds in WITHOUT_NETWORK.items()}
    )
    speed_network(patients[0])
    if anew:
        print("\nPCC of a network trained anew on what it is shown:")
        for i, (name, kinds) in enumerate(WITHOUT_NETWORK.items()):
            other = train([p.without(kinds) for p in patients], f"-without-{i}")
            _modality_rows(pcc, {name: held_out_pcc(patients, other.held_out)[1]})


def shipped_network(patients: list[Inputs]) -> None:
    """The bars of the shipped network, at the threshold that its own validation chose, on patients that it was not trained on."""
    model, trees = shipped(NETWORK), shipped()
    ask = lambda some, of: [predict(p, of).probability for p in some]
    at = lambda maps, of: at_threshold(patients, maps, float(of.about["threshold"]))
    maps = ask(patients, model)
    pcc = at(maps, model)
    bars(patients, maps, np.full(len(patients), model.about["threshold"]), pcc)
    chances = [m[w] for p, m in zip(patients, maps) for w in [(m > 0) & ~p.masks["t2l"]]]
    labels = [p.target[w] for p, m in zip(patients, maps) for w in [(m > 0) & ~p.masks["t2l"]]]
    print("\nprobability (mean of the members), share that came true, voxels:")
    for r in reliability(chances, labels):
        print(f"  {r['predicted']:.3f}  {r['recurred']:.3f}  {r['voxels']}")
    other = at(ask(patients, trees), trees)
    print(
        f"\nshipped trees: PCC {other.mean():.4f}, network {pcc.mean() - other.mean():+.4f}, {said(wilcoxon(pcc, other))}"
    )
    print("\nPCC of the same network by what it is shown (mean, difference from all channels, exact Wilcoxon):")
    fewer = {n: at(ask([p.without(k) for p in patients], model), model) for n, k in WITHOUT_NETWORK.items()}
    _modality_rows(pcc, fewer)
    speed_network(patients[0])


def at_threshold(patients: list[Inputs], maps: list[np.ndarray], threshold: float) -> np.ndarray:
    levels, pcc = reached(patients, maps)
    return pcc[:, int(np.abs(levels - threshold).argmin())]


def _hiding(patients: list[Inputs], grown: Grown, kinds: tuple[str, ...]) -> list[np.ndarray]:
    """Held-out maps of networks from which kinds of scan are hidden."""
    fold = folds_of(len(patients), SETTINGS.folds, SETTINGS.seed)
    maps = []
    for patient, k in zip(patients, fold):
        one = Shown.of(patient).showing([n for n in SEEN if CHANNELS[n].kind not in kinds])
        found = np.zeros(patient.grid.shape, np.float32)
        found[one.where] = calibrated(log_odds(of_member(grown.weights, int(k)), one), grown.about["calibration"])
        found[patient.masks["t2l"]] = 1.0
        maps.append(found)
    return maps


def _modality_rows(whole: np.ndarray, others: dict[str, np.ndarray]) -> None:
    for name, pcc in others.items():
        p = wilcoxon(pcc, whole)
        print(f"  {name:<33} {pcc.mean():.4f}  {pcc.mean() - whole.mean():+.4f}  {said(p)}", flush=True)
        if name == BOTH:
            lost = whole.mean() - pcc.mean()
            bar(
                "  without MRSI and diffusion PCC falls by >= .01 (P < .05)",
                f"{lost:.4f}, {said(p)}",
                lost >= 0.01 and p < 0.05,
            )


def speed_network(patient: Inputs) -> None:
    """How long the shipped network takes at 3 mm: the median of three, after one that does not count."""
    model, seconds = shipped(NETWORK), []
    for _ in range(4):
        start = time.perf_counter()
        predict(patient, model)
        seconds.append(time.perf_counter() - start)
    taken = float(np.median(seconds[1:]))
    bar(f"the shipped network at 3 mm in <= {MOST_NETWORK_S:g} s", f"{taken:.1f} s", taken <= MOST_NETWORK_S)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--patients", type=int, default=66)
    parser.add_argument("--shells", action="store_true", help="single features alone")
    parser.add_argument("--modalities", action="store_true", help="what the model is shown alone")
    parser.add_argument("--speed", action="store_true", help="the time of a brain of 1 mm alone")
    parser.add_argument("--network", action="store_true", help="the network alone")
    parser.add_argument("--shipped", action="store_true", help="the shipped network, not trained anew")
    parser.add_argument("--losses", action="store_true", help="losses of the network alone, one fold (Tran 2025)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the network")
    parser.add_argument("--base", type=int, default=NetworkTraining.base, help="features of its first stage")
    parser.add_argument("--forests", action="store_true", help="random forests alone (Tran 2025, Fig. 1)")
    parser.add_argument(
        "--arms", action="store_true", help="preset arms alone: 101 patients, Tran 2025's own split too"
    )
    args = parser.parse_args()
    if args.speed:
        speed()
        return
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        if args.arms:
            from bench_tran2025 import arms

            arms(by_seed("arms", 101, cache))
            return
        if args.forests:
            from bench_tran2025 import forests

            forests(by_seed("default", args.patients, cache))
            return
        patients = cohort("default", args.patients, cache)
        how = NetworkTraining(folds=SETTINGS.folds, seed=SETTINGS.seed, epochs=args.epochs, base=args.base)
        if args.losses:
            from bench_tran2025 import losses

            losses(patients, how, cache / f"losses-{args.base}-{args.epochs}")
            return
        if args.network and args.shipped:
            shipped_network(patients)
        elif args.network:
            network(patients, how, cache, args.modalities)
        if args.network:
            print(f"\n{missed} bars missed")
            return
        if args.modalities:
            modalities(patients, grown_pcc(patients))
            return
        shells(patients)
        if args.shells:
            return
        pcc = main_bars(patients, grow(patients, SETTINGS))
        without_both(patients, pcc)
        controls(patients, pcc, {p: cohort(p, args.patients - 4, cache) for p in CONTROLS})
        modalities(patients, pcc)
    speed()
    print(f"\n{missed} bars missed")


if __name__ == "__main__":
    main()
