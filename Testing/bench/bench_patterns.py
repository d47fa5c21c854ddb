"""Models of recurrence patterns on tables of known truth: what is selected, what chance looks like, what a wrong cross-validation says.

``planted``: 190 patients, half with the outcome, 1702 features in blocks of 23 that correlate by .3; 32 of them differ between the classes
by .8 SD. ``shuffled``: 125 patients, 60 % with the outcome, the same features without any effect. ``compared``: the effect is .45 SD. With
``--texture TABLE.csv`` (`gliosuite pattern simulate`) the models of simulated patients, too, by 5-fold cross-validation.

``python Testing/bench/bench_patterns.py [--seed N] [--draws N] [--texture TABLE.csv]``
"""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore")]

import numpy as np
from gliosuite.errors import InputError
from gliosuite.recurrence.patterns.classifiers import fit_classifier, select
from gliosuite.recurrence.patterns.evaluate import compared, figures, folds_of, said, train
from gliosuite.recurrence.patterns.patients import patients
from gliosuite.recurrence.patterns.selection import eliminate, standardised
from gliosuite.recurrence.patterns.settings import KINDS, RECURRENCE, TITLES, PatternSettings
from gliosuite.recurrence.survival.table import read_table
from gliosuite.statistics.roc import auc

FEATURES, KEPT, BLOCK, TOGETHER = 1702, 32, 23, 0.3
EFFECT, FOUND = 0.8, 28
WEAK = 0.45  # SD, of the tables on which classifiers are compared
SETTINGS = PatternSettings()
missed = 0


def bar(name: str, said: str, met: bool) -> None:
    """Print a bar, and whether it is met."""
    global missed
    missed += not met
    print(f"{name:<84} {said:<40} {'met' if met else 'MISSED'}", flush=True)


def table(seed: int, n: int, share: float, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 1702), classes, and which columns are planted, half of them with the opposite sign."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) < round(share * n))
    block = np.arange(FEATURES) // BLOCK
    common = rng.standard_normal((n, block.max() + 1))[:, block]
    x = np.sqrt(TOGETHER) * common + np.sqrt(1 - TOGETHER) * rng.standard_normal((n, FEATURES))
    columns = rng.choice(FEATURES, KEPT, replace=False)
    x[:, columns] += effect * (y[:, None] - 0.5) * np.where(np.arange(KEPT) % 2, 1, -1)
    return x, y, columns


def held_out(x: np.ndarray, y: np.ndarray, kinds: Sequence[str], wrong: bool = False) -> list[float]:
    """AUC of 5 folds of each kind with selection inside them, or, `wrong`, by all patients before them."""
    fold, scores = folds_of(y, SETTINGS), np.empty((len(kinds), y.size))
    before = select(x, y, KEPT) if wrong else None
    for k in range(SETTINGS.folds):
        inside = fold != k
        kept = before if before is not None else select(x[inside], y[inside], KEPT)
        for score, kind in zip(scores, kinds):
            model = fit_classifier(kind, x[inside][:, kept], y[inside], (), SETTINGS)
            score[~inside] = model.score(x[~inside][:, kept])
    return [auc(y, score, within=fold).value for score in scores]


def planted(seed: int, draws: int) -> None:
    """How many planted columns the elimination leaves."""
    found, seconds = [], []
    for i in range(draws):
        x, y, columns = table(seed + i, 190, 0.5, EFFECT)
        begun = time.monotonic()
        found.append(len(set(eliminate(standardised(x)[0], y, KEPT)) & set(columns)))
        seconds.append(time.monotonic() - begun)
    said = f"least {min(found)}, mean {np.mean(found):.1f}"
    bar(
        f"190 x {FEATURES}, {KEPT} planted of {EFFECT} SD, {draws} tables: >= {FOUND} left in each",
        said,
        min(found) >= FOUND,
    )
    print(f"one elimination: median {np.median(seconds):.2f} s")


def both_ways(seed: int, draws: int, kinds: Sequence[str], effect: float) -> tuple[np.ndarray, np.ndarray]:
    """AUC (draws, kinds) with the features selected inside the folds, and before them, of 125 patients, 60 % with the outcome."""
    tables = [table(seed + i, 125, 0.6, effect)[:2] for i in range(draws)]
    right, wrong = (np.array([held_out(x, y, kinds, w) for x, y in tables]) for w in (False, True))
    return right, wrong


def shuffled(seed: int, draws: int) -> None:
    """What is said where there is nothing to say; a perceptron takes longer and gets fewer tables."""
    for kind, n in (("logistic", draws), ("mlp", draws // 4)):
        right, wrong = both_ways(seed, n, [kind], 0.0)
        said = f"{right.mean():.3f} (SD {right.std():.3f})"
        bar(f"no effect, {TITLES[kind]}, {n} tables: mean AUC .5 +- .1", said, abs(right.mean() - 0.5) <= 0.1)
        print(
            f"  the same with the features selected before the folds: {wrong.mean():.3f} (SD {wrong.std():.3f})",
            flush=True,
        )


def with_effect(seed: int, draws: int) -> None:
    """The classifiers beside each other, and how much a wrong cross-validation adds, where there is an effect."""
    right, wrong = both_ways(seed, draws, KINDS, WEAK)
    for kind, r, w in zip(KINDS, right.T, wrong.T):
        said = f"{r.mean():.3f} (SD {r.std():.3f}), selected before the folds {w.mean():.3f}"
        print(f"effect {WEAK} SD, {TITLES[kind]}, {draws} tables: mean AUC {said}", flush=True)


def texture(path: str) -> None:
    """Both outcomes of simulated patients; no bar: what CBV shows of the planted texture is what there is to tell."""
    read = read_table(path)
    for outcome in RECURRENCE:
        for who in ("recurrent", "all"):
            settings = PatternSettings(patients=who)
            given = patients(read, outcome, (), settings)
            try:
                made = train(given.x, given.y, given.names, settings)
            except InputError as error:
                print(f"{outcome}, {given.said}: {error}")
                continue
            f, s = figures(made.folds, given.y), figures(made.split, given.y)
            print(f"{outcome}, {given.said}: n {f['n']}, {f['with_outcome']} with it")
            print(f"  5-fold, perceptron: AUC {said(f['auc'])}; folds {f['auc_mean']:.2f} +- {f['auc_sd']:.2f}")
            at = ", ".join(f"{k} {said(f[k])}" for k in ("sensitivity", "specificity", "accuracy"))
            print(f"  {at}; Brier {f['brier']:.3f} (of the share alone {f['brier_of_the_share']:.3f})")
            print(f"  one split 80/20, n {s['n']}: AUC {said(s['auc'])}")
            for kind, other in compared(made.folds, given.y).items():
                print(
                    f"  {TITLES[kind]}, same features: AUC {said(other['auc'])}, P {other['p']:.2g} against the perceptron"
                )
            wrong = held_out(given.x, given.y, ["mlp"], wrong=True)[0]
            rng = np.random.default_rng(1)
            chance = [held_out(given.x, rng.permutation(given.y), ["logistic"])[0] for _ in range(10)]
            print(f"  selected before the folds: AUC {wrong:.3f}")
            bar(
                "  labels shuffled, logistic regression, 10 times: mean AUC .5 +- .1",
                f"{np.mean(chance):.3f} (SD {np.std(chance):.3f})",
                abs(float(np.mean(chance)) - 0.5) <= 0.1,
            )


def main() -> int:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1850000, help="of the tables (default: that of the published figures)"
    )
    parser.add_argument("--draws", type=int, default=20, help="tables; a quarter as many where perceptrons are trained")
    parser.add_argument("--texture", metavar="TABLE.csv", help="of `gliosuite pattern simulate`")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    planted(args.seed, args.draws)
    shuffled(args.seed + 1000, args.draws)
    with_effect(args.seed + 2000, args.draws // 4)
    if args.texture:
        texture(args.texture)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
