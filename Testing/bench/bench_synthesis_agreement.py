"""What a choice changes in the tumour means of fit and posterior: the AIF picked, the visit, the protocol; and IDH and grade told by them.

Run alone: ``python Testing/bench/bench_synthesis_agreement.py [part ...] [--patients N] [--seed S]``, parts as in `PARTS`. Patients are
simulated in memory (anatomy of 2 mm) and go through what the commands call; their seeds are used for nothing else. Means are over voxels
that enhancing tumour fills to 90 % or more (whole tumour for ``idh``, where low grades do not enhance), of maps clipped to 0-1; a patient
counts with 20.

* ``aif``: eight picks of three voxels among the 80 that rise highest while the artery does, as readers choose. "raw" takes the curve as it
  is measured, "scaled" brings it to the level of the sagittal sinus (what every command does). ICC(2,1) of the tumour means beside their
  bias, the median over patients of the mean over picks. Bars: .95 and 10 %, for the posterior.
* ``visits``: the same tissue a few days later, another bolus, position and noise. * ``protocols``: 5, 3.5 and 2.5 s a frame, 10, 12 and
  15 degrees.
* ``idh``: AUROC of IDH and of grade 4 from the tumour means of the preset ``idh-grade``, as many of grade 2, 3 and 4 each, with intervals,
  lyoo2025 and the posterior against the fit by DeLong's test, and limits of agreement with the truth (Bland and Altman). Motion is left
  out, to save time. ``--cache DIR`` keeps what was measured of each patient, for a run that is stopped.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore")]

import numpy as np
from gliosuite.commands.heads import GRID_MM, Measured
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean
from gliosuite.perfusion.synthesis import Fitted, posterior
from gliosuite.perfusion.synthesis.lyoo2025 import lyoo2025
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.planted import plant_grade
from gliosuite.simulate.presets import preset
from gliosuite.simulate.protocols import DEFAULT
from gliosuite.statistics.agreement import bland_altman, icc
from gliosuite.statistics.roc import auc, compare_aucs
from scipy import ndimage

SHOWN = ("ktrans", "vp", "ve")
SEED = 1_401_000  # of the first part's first patient
APART = 1000  # seeds from one part to the next
COUNTS = {"aif": 10, "visits": 10, "protocols": 10, "idh": 150}
PICKS, OF, EACH = 8, 80, 3  # picks of a patient, voxels to choose from, voxels of a pick
FULL, FEW = 0.9, 20
AROUND_MM = 24.0  # voxels that are fitted around the tumour: more than the spatial stage reaches
LEAST_ICC, MOST_BIAS = 0.95, 10.0
_missed: list[str] = []
_cache: Path | None = None


class Tumour:
    """Where a patient's tumour lies in a visit's DCE series, and its true means."""

    def __init__(self, maps: dict[str, Any], prefix: str = "", classes: tuple[str, ...] = ("cel",)) -> None:
        of = lambda name: array(maps[f"{prefix}dce_{name}"])
        self.grid = Grid.of(maps[f"{prefix}dce_tissue"])
        here = np.isin(of("tissue"), [CLASSES.index(c) + 1 for c in classes])
        self.inside = here & (of("share") >= FULL)
        self.true = {n: float(of(f"held_{n}")[self.inside].mean()) if self.inside.any() else np.nan for n in SHOWN}

    def around(self) -> Any:
        """The mask that is fitted."""
        spacing = self.grid.spacing[::-1]
        near = ndimage.distance_transform_edt(~self.inside, sampling=spacing) <= AROUND_MM
        return self.grid.image(near.astype(np.uint8))

    def means(self, measured: Measured, aif: Any = "auto", raw: bool = False) -> dict[str, list[float]]:
        """Tumour means of the fit and of the posterior, with `raw` of lyoo2025 too, by name, in the order of `SHOWN`."""
        fitted = Fitted.of(measured.fit(aif, self.around()))
        found = {"fit": fitted.values, "posterior": posterior(fitted).maps}
        if raw:
            found["lyoo2025"] = lyoo2025(measured.series, measured.times_s, measured.settings).maps
        inside = self.inside & boolean(fitted.mask)
        mean = lambda image: float(np.clip(np.nan_to_num(array(image)[inside]), 0, 1).mean())
        return {kind: [mean(maps[n]) for n in SHOWN] for kind, maps in found.items()}


def picks(measured: Measured, rng: np.random.Generator) -> Iterator[Any]:
    """Masks of a few voxels each, as readers choose an artery: where much rises early."""
    frames, grid = measured.series.frames, measured.series.grid
    automatic = measured.fit("auto").aif
    first = int(np.searchsorted(measured.times_s, automatic.times_s[int(np.argmax(automatic.concentration))]))
    rise = frames - frames[: max(2, first - 4)].mean(axis=0)
    early = np.argmax(rise, axis=0) <= first + 1
    low = frames[: max(2, first - 4)].mean(axis=0)
    height = np.where(early & (low > np.percentile(low, 60)), rise[first - 1 : first + 2].max(axis=0), -np.inf)
    best = np.argsort(-height, axis=None)[:OF]
    for _ in range(PICKS):
        mask = np.zeros(grid.shape, np.uint8)
        mask.flat[rng.choice(best, EACH, replace=False)] = 1
        yield grid.image(mask)


def patients(part: str, n: int, first: int, one: Callable[[int], Any]) -> list[Any]:
    """What `one` gives for patients of seeds from `first` on; those without enough tumour, or refused, are passed over."""
    found, refused = [], 0
    for seed in range(first, first + 10 * n):
        if len(found) == n:
            break
        try:
            made = one(seed)
        except InputError as error:
            refused += 1
            print(f"  {seed} refused: {error}", flush=True)
            continue
        if made is not None:
            found.append(made)
    print(f"{part}: {len(found)} simulated patients from seed {first} on, {refused} refused", flush=True)
    return found


def table(rows: list[tuple[dict[str, np.ndarray], dict[str, float]]], binding: str) -> None:
    """Print ICC and bias of means (k, 3) by kind of each patient, with the true means."""
    for kind in rows[0][0]:
        for i, name in enumerate(SHOWN):
            values = np.array([one[kind][:, i] for one, _ in rows])
            true = np.array([truth[name] for _, truth in rows])
            found = icc(values)
            bias = 100 * float(np.median(values.mean(axis=1) / true - 1))
            good = found.value >= LEAST_ICC and abs(bias) <= MOST_BIAS
            mark = ""
            if kind == binding:
                mark = "met" if good else "MISSED"
                _missed.extend([] if good else [f"{kind} {name}"])
            print(
                f"  {kind:18}{name:8}ICC {found.value:.3f} ({found.low:.3f} to {found.high:.3f})  bias {bias:+6.1f} %  {mark}",
                flush=True,
            )


def aif(n: int, first: int) -> None:
    """ICC over eight picks of the AIF."""

    def one(seed: int) -> Any:
        made = simulate_case(seed, "default", GRID_MM, ("vfa", "dce"))
        tumour = Tumour(made.truth.maps)
        if tumour.inside.sum() < FEW:
            return None
        measured = Measured.of(made.case)
        rows: dict[str, list[list[float]]] = {}
        for mask in picks(measured, np.random.default_rng(seed)):
            for kind, sinus in (("raw", False), ("scaled", True)):
                how = replace(measured, settings=replace(measured.settings, sinus=sinus))
                for of, means in tumour.means(how, mask).items():
                    rows.setdefault(f"{of}, {kind}", []).append(means)
        return {k: np.array(v) for k, v in rows.items()}, tumour.true

    table(patients("aif", n, first, one), "posterior, scaled")


def visits(n: int, first: int) -> None:
    """ICC over two visits of the same tissue."""

    def one(seed: int) -> Any:
        made = simulate_case(seed, "visit-pairs", GRID_MM, ("structural", "vfa", "dce"))
        places = [Tumour(made.truth.maps), Tumour(made.truth.maps, "followup_")]
        if min(p.inside.sum() for p in places) < FEW:
            return None
        found = [p.means(Measured.of(v)) for p, v in zip(places, (made.case, made.case.later))]
        true = {k: (places[0].true[k] + places[1].true[k]) / 2 for k in SHOWN}
        return {k: np.array([f[k] for f in found]) for k in found[0]}, true

    table(patients("visits", n, first, one), "posterior")


def protocols(n: int, first: int) -> None:
    """ICC over three protocols of the same tissue."""
    ways = [(5.0, 60, 10.0), (3.5, 86, 12.0), (2.5, 120, 15.0)]  # s a frame, frames, degrees

    def one(seed: int) -> Any:
        found, true = [], []
        for dt_s, frames, flip in ways:
            own = replace(DEFAULT, dce=replace(DEFAULT.dce, dt_s=dt_s, frames=frames, flip_angle_deg=flip))
            made = simulate_case(seed, "default", GRID_MM, ("vfa", "dce"), protocols=own)
            tumour = Tumour(made.truth.maps)
            if tumour.inside.sum() < FEW:
                return None
            found.append(tumour.means(Measured.of(made.case)))
            true.append(tumour.true)
        mean = {k: float(np.mean([t[k] for t in true])) for k in SHOWN}
        return {k: np.array([f[k] for f in found]) for k in found[0]}, mean

    table(patients("protocols", n, first, one), "posterior")


def idh(n: int, first: int) -> None:
    """AUROC of IDH and of grade 4, and limits of agreement."""
    strength, taken = preset("idh-grade").strength, dict.fromkeys((2, 3, 4), 0)

    def measured(seed: int) -> Any:
        made = simulate_case(seed, "idh-grade", GRID_MM, ("vfa", "dce"), Effects(motion=False))
        tumour = Tumour(made.truth.maps, "", ("cel", "necrosis", "oedema"))
        if tumour.inside.sum() < FEW:
            return None
        return tumour.means(Measured.of(made.case), raw=True), tumour.true, made.case.clinical["idh"]

    def one(seed: int) -> Any:
        grade = plant_grade(seed, strength).clinical["grade"]
        if taken[grade] == n // len(taken):
            return None
        kept = _cache / f"idh-{seed}.json" if _cache else None
        found = json.loads(kept.read_text()) if kept and kept.exists() else measured(seed)
        if kept:
            kept.write_text(json.dumps(found))
        taken[grade] += found is not None
        return found and (*found, grade)

    rows = patients("idh", n // len(taken) * len(taken), first, one)
    wild = np.array([r[2] for r in rows]) == "wildtype"
    high = np.array([r[3] for r in rows]) == 4
    print(f"  grades 2, 3, 4: {list(taken.values())}; IDH wild type {int(wild.sum())}")
    for i, name in enumerate(SHOWN):
        values = {kind: np.array([r[0][kind][i] for r in rows]) for kind in rows[0][0]}
        true = np.array([r[1][name] for r in rows])
        for what, label in (("IDH", wild), ("grade 4", high)):
            said = []
            for kind, v in (*values.items(), ("truth", true)):
                found = auc(label, v)
                against = "" if kind in ("fit", "truth") else f" P {compare_aucs(label, values['fit'], v):.3f}"
                said.append(f"{kind} {found.value:.3f} ({found.low:.3f}-{found.high:.3f}){against}")
            print(f"  {name:8}{what:9}{'  '.join(said)}")
        for kind, v in values.items():
            limits = bland_altman(v, true)
            print(
                f"  {name:8}{kind:10}minus truth {limits.bias.value:+.4f}, 95 % limits {limits.low.value:+.4f} to {limits.high.value:+.4f}"
            )


PARTS = {"aif": aif, "visits": visits, "protocols": protocols, "idh": idh}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), default=[])
    parser.add_argument("--patients", type=int, help="of each part (default as the parts need)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the first part; the next lie {APART} on each")
    parser.add_argument("--cache", type=Path, help="folder for what was measured of each patient of ``idh``")
    args = parser.parse_args()
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
        global _cache
        _cache = args.cache
    for part in args.parts or PARTS:
        PARTS[part](args.patients or COUNTS[part], args.seed + APART * list(PARTS).index(part))
    print(f"bars missed: {len(_missed)}" + (f" ({', '.join(_missed)})" if _missed else ""))
    return bool(_missed)


if __name__ == "__main__":
    raise SystemExit(main())
