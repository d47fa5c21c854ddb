"""Survival of tables: reference figures of real glioma patients, R's glmnet, and how often the interval of C holds the truth, with bars.

The real tables lie in ``../shared/data/survival-glioma`` (or GLIOSUITE_DATA), whose README has the reference figures; draws are
simulated.

``python Testing/bench/bench_survival.py [--seed N] [--draws N]``
"""

import argparse
import csv
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore")]

import numpy as np
from gliosuite.recurrence.survival.fit import fit
from gliosuite.recurrence.survival.lasso import choose, folds_of, path
from gliosuite.recurrence.survival.settings import SurvivalSettings
from gliosuite.recurrence.survival.table import read_table
from gliosuite.statistics.survival import harrell_c, kaplan_meier, log_rank
from scipy import stats

DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data") / "survival-glioma"
FIXTURES = ROOT / "Testing" / "unit" / "recurrence" / "survival" / "fixtures.json"
COIN = {
    "age": (0.04344, 0.02152),
    "sex=Male": (0.06410, 0.49754),
    "histology=GBM": (1.48468, 0.61825),
    "group=RIT": (-2.44429, 0.58154),
}
LGG = {"age_years": (0.053631, 0.007497), "gender=male": (0.065570, 0.182628), "grade=g3": (1.091180, 0.202034)}
LOG_RANK = {"Grade3": 6.0629, "GBM": 12.6122, "": 17.7363}
CLOSE = 1e-4
END = 3.0  # of follow-up, in mean times to the event at the mean risk
COHORTS = 40  # of which a figure is the mean
missed = 0


def bar(name: str, said: str, met: bool) -> None:
    """Print a bar, and whether it is met."""
    global missed
    missed += not met
    print(f"{name:<78} {said:<40} {'met' if met else 'MISSED'}", flush=True)


def close(name: str, found: float, known: float) -> None:
    bar(name, f"{found:.6g}, reference {known:.6g}", abs(found - known) <= CLOSE)


def real_patients() -> None:
    """The figures of the README of survival-glioma."""
    table = read_table(DATA / "glioma_coin.csv")
    settings = SurvivalSettings(references=(("histology", "Grade3"),), unit="months")
    found = fit(table, "time", "event", ["age", "sex", "histology", "group"], settings)
    models("glioma_coin", found.cox, COIN, 0.8547)
    close("glioma_coin, partial log-likelihood", found.cox.log_likelihood, -54.5792)
    t, e = found.patients.times, found.patients.events
    histology, group = (np.array(table.categories(c)) for c in ("histology", "group"))
    for name, known in LOG_RANK.items():
        inside = (histology == name) | (name == "")
        chi2 = float(stats.chi2.isf(log_rank(t[inside], e[inside], group[inside]), 1))
        close(f"glioma_coin, log-rank of RIT against control, {name or 'all'}: chi2", chi2, known)
    with (DATA / "tcga_lgg_clinical_2015-11-01.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["time_days"] and float(r["time_days"]) > 0 and r["age_years"]]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "followed.csv"
        with kept.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        table = read_table(kept)
        found = fit(table, "time_days", "event", ["age_years", "gender", "grade"])
    median = kaplan_meier(table.numbers("time_days"), table.events("event")).median.value
    close(f"TCGA-LGG, n {len(table)}, median in days", median, 2660)
    models("TCGA-LGG", found.cox, LGG, 0.7873)


def models(name: str, cox, known, concordance: float) -> None:
    for one, (coef, se) in known.items():
        i = cox.names.index(one)
        close(f"{name}, {one}: coefficient", float(cox.coef[i]), coef)
        close(f"{name}, {one}: standard error", float(cox.se[i]), se)
    close(f"{name}, concordance", cox.concordance.value, concordance)


def against_glmnet() -> None:
    """Paths and choice beside R's, in units of the features."""
    r = json.loads(FIXTURES.read_text())
    print(f"{r['versions']['R']}, glmnet {r['versions']['glmnet']}, survival {r['versions']['survival']}")
    for names, key in ((("time", "event", "x"), "path"), (("wide_time", "wide_event", "wide"), "wide_path")):
        times, events, x = (np.array(r[n]) for n in names)
        found = path(times, events, x)
        worst = float(np.abs(found.coefficients - r[key]["beta"]).max())
        bar(
            f"glmnet's path, {x.shape[0]} x {x.shape[1]}, {len(found.penalties)} penalties: worst coefficient",
            f"{worst:.1e}",
            worst < CLOSE,
        )
    choice = choose(*(np.array(r[n]) for n in ("time", "event", "x", "fold")))
    for penalty in ("min", "1se"):
        index = choice.at(penalty)
        close(f"cv.glmnet's lambda.{penalty}", float(choice.path.penalties[index]), r["cv"][f"lambda_{penalty}"])
        worst = float(np.abs(choice.path.coefficients[index] - r["cv"][f"at_{penalty}"]).max())
        bar(f"coefficients at lambda.{penalty}: worst", f"{worst:.1e}", worst < CLOSE)


def truth(slope: float) -> tuple[float, float]:
    """C of a normal risk with exponential times, among pairs that follow-up until U(0, END) lets compare, and among all pairs."""
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    hazard = np.exp(slope * x)
    both = hazard[:, None] + hazard
    t = np.linspace(0, END, 4001)
    # Both of a pair are still followed at t.
    seen = np.array([np.trapezoid(np.exp(-v * t) * ((END - t) / END) ** 2, t) for v in both.ravel()]).reshape(
        both.shape
    )
    pairs, higher = weight[:, None] * weight, np.maximum(hazard[:, None], hazard)
    return float((pairs * seen * higher).sum() / (pairs * seen * both).sum()), float((pairs * higher / both).sum())


def draw(rng: np.random.Generator, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    death, end = rng.exponential(np.exp(-risk)), rng.uniform(0, END, risk.size)
    return np.minimum(death, end), death <= end


def coverage(seed: int, draws: int) -> None:
    """How near C comes to that of a known risk, and how often its interval holds it."""
    for n in (60, 120, 190):
        for slope in (0.5, 1.0):
            known, of_all = truth(slope)
            found, inside, plain = [], 0, 0
            for i in range(draws):
                rng = np.random.default_rng([seed, n, round(10 * slope), i])
                risk = slope * rng.standard_normal(n)
                one = harrell_c(*draw(rng, risk), risk)
                found.append(one.value)
                inside += one.low <= known <= one.high
                # What a normal interval of C itself would be, from the same variance.
                odds = lambda c: np.log(c / (1 - c))
                plain += abs(one.value - known) <= (odds(one.high) - odds(one.value)) * one.value * (1 - one.value)
            mean, share = float(np.mean(found)), 100 * inside / draws
            name = f"{n} patients, log hazard ratio {slope:g} per SD, {draws} draws"
            said = f"{mean:.4f}, truth {known:.4f} ({of_all:.4f} of all pairs)"
            bar(f"{name}: mean C within .02", said, max(abs(mean - known), abs(mean - of_all)) <= 0.02)
            bar(
                f"{name}: coverage 93-97 %",
                f"{share:.1f} % (normal in C: {100 * plain / draws:.1f} %)",
                93 <= share <= 97,
            )


def learned(seed: int) -> None:
    """A LASSO score of 64 features, three of which matter, on patients that it has not seen; no bar."""
    rows = []
    for i in range(COHORTS):
        rng = np.random.default_rng([seed, 64, i])
        features = lambda n, rng=rng: rng.standard_normal((n, 64)) + 0.5 * rng.standard_normal((n, 1))
        risk = lambda x: x[:, :3] @ [0.35, 0.3, 0.25]
        x = features(192)
        times, events = draw(rng, risk(x))
        choice = choose(times, events, x, folds_of(events, 10, 1))
        b = choice.path.coefficients[choice.smallest]
        others = features(2000)
        judged = draw(rng, risk(others))
        c = lambda t, e, score: harrell_c(t, e, score).value
        held_out = harrell_c(times, events, choice.held_out[:, choice.smallest], within=choice.fold).value
        rows.append(
            (c(times, events, x @ b), held_out, c(*judged, others @ b), c(*judged, risk(others)), (b != 0).sum())
        )
    own, held_out, new, best, count = np.mean(rows, axis=0)
    print(
        f"Cox-LASSO of 64 features, 3 of which matter, 192 patients, mean of {COHORTS} cohorts ({count:.1f} features chosen): C of its own"
    )
    print(
        f"patients {own:.3f}, of those that the folds had not seen {held_out:.3f}, of 2000 new ones {new:.3f}; the true risk's {best:.3f}"
    )


def main() -> int:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=1700000, help="of the draws (default: the one of the published figures)"
    )
    parser.add_argument("--draws", type=int, default=2000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if DATA.is_dir():
        real_patients()
    else:
        print(f"{DATA.name} is not there: no figures of real patients")
    against_glmnet()
    coverage(args.seed, args.draws)
    learned(args.seed)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
