"""Bars of the later visit on the earlier one's grid: landmarks of a real pair, and where the progression of simulated patients lies.

Real: `glioma-preop-followup` (before surgery and 262 days later, six landmarks); tumour and cavity of both visits are drafts, since
nobody has drawn them. Simulated: preset default on 2 mm, seeds that served nothing else. Their follow-up lies in another position, and the
cavity or the recurrence has shifted tissue; the masks of both visits are the simulation's. The surface error of a patient is the mean
distance between the surfaces of the carried progression and the true one, enhancing where it enhances, else T2.

``python Testing/bench/bench_followup.py [--patients N] [--seed S] [--real]``
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing")]

import numpy as np
from conftest import DATA
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, read_image
from gliosuite.lesions import LesionSettings, find_lesions
from gliosuite.registration import FollowupSettings, align_visits, read_landmarks, register_followup
from gliosuite.rt.compare.distances import edge_distances
from gliosuite.simulate.cohort import simulate_case

VISITS = "glioma-preop-followup"
SEED, GRID_MM = 1761000, 2.0
SURFACE_MM = 1.5  # median over patients
ROLES = ("t1c", "flair")
AFFINE = FollowupSettings(deformable=None)


def bar(name: str, said: str, met: bool) -> int:
    """Print a bar; 1 where it is missed."""
    print(f"{name:<66} {said:<36} {'met' if met else 'MISSED'}", flush=True)
    return int(not met)


def real() -> int:
    """Landmarks of the real pair."""
    if not (DATA / VISITS).exists():
        print(f"{VISITS}: test data are not at {DATA}")
        return 0
    names = {"t1c": "t1ce", "flair": "flair", "t1": "t1"}
    path = lambda visit, what: DATA / VISITS / f"BraTSReg_002_{visit}_{what}"
    days = ("00_0000", "01_0262")
    images = [{r: read_image(path(d, f"{n}.nii.gz")) for r, n in names.items()} for d in days]
    marks = tuple(read_landmarks(path(d, "landmarks.csv")) for d in days)
    drafts = [
        find_lesions(i, settings=LesionSettings(post_operative=later)).masks for i, later in zip(images, (False, True))
    ]
    failed = 0
    for said, masks in (("whole brain", ({}, {})), ("without tumour and cavity", drafts)):
        found = register_followup(*images, masks[1], landmarks=marks, masks=masks[0]).summary
        told = f"{found['landmark_error_after_mm']:.2f} mm, affine {found['landmark_error_linear_mm']:.2f}"
        failed += bar(
            f"real pair, landmarks (before {found['landmark_error_before_mm']:.2f} mm), {said}",
            told,
            found["landmark_error_after_mm"] < found["landmark_error_linear_mm"],
        )
        print(f"  left out {found['not_compared_cc']:.1f} cc; smallest Jacobian {found['jacobian_min']:.2f}")
    return failed


def patient(seed: int) -> tuple[float, list[float]] | None:
    """Mean shift (mm) of a simulated patient's tissue, and surface errors (mm): affine, whole brain, without tumour and cavity."""
    made = simulate_case(seed, "default", GRID_MM, ("structural",))
    if made.case.later is None:
        return None
    truth = next((made.truth[n] for n in ("progression_cel", "progression_t2l") if n in made.truth.maps), None)
    if truth is None:
        return None
    role = "cel" if "progression_cel" in made.truth.maps else "t2l"
    now, then = made.case, made.case.later
    baseline, later = ({r: v.image(r) for r in ROLES} for v in (now, then))
    drawn = [{r: v.mask(r) for r in ("cel", "t2l", "cavity") if r in v.masks} for v in (now, then)]
    carried = {role: drawn[1][role]}
    brain = made.truth["brain"]
    errors = []
    visits = align_visits(baseline, later)
    for settings, masks, later_masks in (
        (AFFINE, None, carried),
        (None, None, {"t2l": drawn[1][role]}),  # as T2L it is carried, and looked at
        (None, drawn[0], drawn[1]),
    ):
        found = register_followup(
            baseline, later, later_masks, brain=brain, settings=settings, visits=visits, masks=masks
        )
        name = "progression_t2l" if later_masks is not carried and masks is None else f"progression_{role}"
        errors.append(edge_distances(boolean(found.masks[name]), boolean(truth), Grid.of(truth))[0])
    return float(made.truth.facts["mean_shift_mm"]), errors


def simulated(n: int, first: int) -> int:
    """Surface errors of simulated patients."""
    rows = []
    for seed in range(first, first + 3 * n):
        if len(rows) == n:
            break
        try:
            found = patient(seed)
        except InputError as error:
            print(f"  {seed} refused: {error}")
            continue
        if found is not None:
            rows.append(found)
            shift, errors = found
            print(f"  {seed}: mean shift {shift:.1f} mm; surface " + ", ".join(f"{e:.2f}" for e in errors), flush=True)
    shifts, errors = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    affine, whole, apart = np.median(errors, axis=0)
    print(
        f"{len(rows)} simulated patients from seed {first} on; mean shift {shifts.mean():.1f} mm ({shifts.min():.1f} to {shifts.max():.1f})"
    )
    told = f"{apart:.2f} mm; whole brain {whole:.2f}, affine {affine:.2f}"
    return bar(f"simulated, surface of the progression, median <= {SURFACE_MM:g} mm", told, apart <= SURFACE_MM)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--real", action="store_true", help="the real pair alone")
    args = parser.parse_args()
    failed = real()
    if not args.real:
        failed += simulated(args.patients, args.seed)
    print(f"{failed} bars missed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
