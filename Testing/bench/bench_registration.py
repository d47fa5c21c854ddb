"""Registration on six expert landmarks of two visits and on known moves: engine, CPU, error, smallest Jacobian; a bar for each.

Landmarks: BraTSReg-002, set by experts before surgery and after recurrence, 2.33 mm apart on average before registration. The bar is what
the real BRAINSFit reached with all three stages; it is run beside where there is one (``GLIOSUITE_BRAINSFIT``). Known
moves: a head of known shape, moved by 11 mm and 12 degrees, for the B-spline stage asked for alone, which alone folds the grid. Series:
DSC and DCE of simulated patients (3 mm grid) onto T1c, as they were taken and in nine more known positions each; of these results none is
to be questioned, and of the same images as they lay, more than 2.5 mm off, all are. That a turn is tried too, and how much
has to be gained, was found on 4301 and 4501; 4701 was not looked at before.
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing"), str(ROOT / "Testing" / "standin")]

import numpy as np
import SimpleITK as sitk
from conftest import DATA
from gliosuite.case import Case
from gliosuite.curves import before_bolus
from gliosuite.images import Grid, boolean, read_image, resample
from gliosuite.registration import RegistrationSettings, common_grid, find_brainsfit, register
from gliosuite.registration.quality import Pair, judge, landmark_error
from gliosuite.registration.register import Registration
from gliosuite.registration.similarity import positions
from gliosuite.simulate.cohort import simulate_case
from heads import head, probes, rigid

VISITS = "glioma-preop-followup"
ALL = ("rigid", "affine", "bspline")
BARS_MM = {"t1ce": 2.15, "flair": 1.77}  # mean over the landmarks
SERIES_MM = 1.5  # chosen: half a voxel; mean over the brain, of the worst position
SEEDS, UNSEEN = (4301, 4501), 4701  # the method was made with 14 and 4301
POSITIONS = 10
STUCK_MM = 2.5  # chosen: more than what a verdict looks around
MOVED_MM, JACOBIAN = 1.0, 0.5  # chosen: a fraction of the 4 mm voxels; no fold is near


def timed(*args: Any, **options: Any) -> tuple[Registration, float]:
    """A registration and the CPU seconds that this process and its children took for it."""
    before = os.times()
    found = register(*args, **options)
    return found, sum(b - a for a, b in zip(before[:4], os.times()[:4]))


def landmarks(name: str) -> np.ndarray:
    """Six points (LPS mm) of a visit."""
    path = DATA / VISITS / f"BraTSReg_002_{name}_landmarks.csv"
    return np.loadtxt(path, delimiter=",", skiprows=1)[:, -3:]


def displaced(image: sitk.Image, move: sitk.Euler3DTransform) -> sitk.Image:
    """The same voxels elsewhere."""
    rotation = np.reshape(move.GetMatrix(), (3, 3))
    moved = sitk.Image(image)
    moved.SetOrigin(move.TransformPoint(image.GetOrigin()))
    moved.SetDirection((rotation @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return moved


def series(seed: int, kind: str, case: Case, truth: Path) -> tuple[Registration, float, list[float], Counter[str]]:
    """The last registration of a series in known positions, CPU seconds of one, the mean error of each (mm), and verdicts.

    Verdicts are counted of results (``found``) and of the images as they lay, where that is off by more than `STUCK_MM` (``stuck``).
    """
    fixed = resample(case.image("t1c"), common_grid(case.image("t1c"), 3.0))
    brain = read_image(truth / "brain.nii.gz")
    points = positions(Grid.of(brain), boolean(brain))[::50]
    true = sitk.ReadTransform(str(truth / f"{kind}.tfm"))
    image, random = before_bolus(case.series(kind)), np.random.default_rng(seed)
    errors, spent, said = [], 0.0, Counter[str]()
    for k in range(POSITIONS):
        turn, shift = np.radians(random.normal(0, 3, 3)) * (k > 0), random.normal(0, 4, 3) * (k > 0)
        move = sitk.Euler3DTransform(points.mean(axis=0).tolist(), *turn.tolist(), shift.tolist())
        found, cpu = timed(fixed, displaced(image, move), RegistrationSettings(), engine="simpleitk")
        goal = np.array([move.TransformPoint(true.TransformPoint(p)) for p in points.tolist()])
        errors.append(float(landmark_error(found.transform, points, goal).mean()))
        spent += cpu
        said[f"found {found.quality.verdict}"] += 1
        if landmark_error(None, points, goal).mean() > STUCK_MM:
            as_it_lay = Pair.of(fixed, displaced(image, move), None, None)
            said[f"stuck {judge(as_it_lay, sitk.Euler3DTransform(), RegistrationSettings()).verdict}"] += 1
    return found, spent / POSITIONS, errors, said


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    failed = []
    print(f"{'images':22}{'stages asked for':22}{'engine':12}{'CPU s':>7}{'error mm':>10}{'bar':>7}{'Jacobian':>10}")

    def row(
        what: str, stages: tuple[str, ...], found: Registration, cpu: float, error: float, bar: float | None
    ) -> None:
        good = bar is None or error <= bar
        lowest = found.quality.min_jacobian
        if what == "moved head" and (lowest is None or lowest < JACOBIAN):
            good = False
        failed.extend([] if good else [f"{what} {found.engine}"])
        shown = "" if bar is None else f"{bar:g}"
        jacobian = "" if lowest is None else f"{lowest:.2f}"
        names = ",".join(stages)
        print(
            f"{what:22}{names:22}{found.engine:12}{cpu:7.1f}{error:10.2f}{shown:>7}{jacobian:>10}{'' if good else ' *'}",
            flush=True,
        )

    moved = rigid((5.0, -6.0, 9.0), (8.0, -6.0, 4.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, cpu = timed(
            head(),
            head(contrast="t2", moved=moved, seed=1),
            RegistrationSettings(stages=("bspline",)),
            engine="simpleitk",
        )
    back = moved.GetInverse()
    points = probes()
    mapped = np.array([found.transform.TransformPoint(p) for p in points.tolist()])
    error = float(np.linalg.norm(mapped - [back.TransformPoint(p) for p in points.tolist()], axis=1).mean())
    row("moved head", ("bspline",), found, cpu, error, MOVED_MM)
    for seed in (*SEEDS, UNSEEN):
        with tempfile.TemporaryDirectory() as folder:
            truth = Path(folder) / "truth"
            case = simulate_case(seed, grid_mm=3.0, scans=("structural", "dce", "dsc")).write(
                Path(folder) / "case", truth
            )
            for kind in ("dsc", "dce"):
                found, cpu, errors, said = series(seed, kind, case, truth)
                row(f"{kind} {seed}, worst of {POSITIONS}", ("rigid",), found, cpu, max(errors), SERIES_MM)
                told = ", ".join(f"{n} {what}" for what, n in sorted(said.items()))
                wrong = said["found accepted"] < POSITIONS or said["stuck accepted"] > 0
                failed.extend([f"verdicts of {kind} {seed}"] if wrong else [])
                print(f"  verdicts: {told}{' *' if wrong else ''}", flush=True)
    if not (DATA / VISITS).exists():
        print(f"{VISITS}: test data are not at {DATA}")
        return int(bool(failed))
    engines = ["simpleitk", *(["brainsfit"] if find_brainsfit() else [])]
    before, after = landmarks("00_0000"), landmarks("01_0262")
    for role, bar in BARS_MM.items():
        images = [read_image(DATA / VISITS / f"BraTSReg_002_{n}_{role}.nii.gz") for n in ("00_0000", "01_0262")]
        for engine in engines:
            for stages in (("rigid",), ALL):
                found, cpu = timed(*images, RegistrationSettings(stages=stages), engine=engine)
                error = float(np.mean(landmark_error(found.transform, before, after)))
                row(role, stages, found, cpu, error, bar if stages == ALL and engine == "simpleitk" else None)
    print(f"missed: {', '.join(failed)}" if failed else "all bars are met")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
