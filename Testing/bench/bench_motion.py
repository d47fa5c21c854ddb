"""Motion correction on simulated patients: what is left of known movements, what a bolus alone is taken for, and how long it takes.

Run by ``make bench``, or alone: ``python Testing/bench/bench_motion.py [part ...]`` with parts of ``dce dsc speed mask``; all of them where
none is given. Nothing is written. Patients are simulated without motion, bias and noise on a finer grid and a longer slab than the scan's,
moved there, averaged over the scan's slices, and only then given the scanner's receive field and noise.

Residual: mean over the brain's voxels of the distance between where the correction puts them (nowhere, for frames that it leaves alone)
and where they truly are, both against the mean position in the reference frames (the first six); no other offset is taken out.
"""

import itertools
import os
import platform
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
import scipy
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, boolean, resample_mask
from gliosuite.registration.motion import correct_motion
from gliosuite.registration.similarity import dice, positions
from gliosuite.simulate.acquisition import Effects, bias_field, rician
from gliosuite.simulate.cohort import simulate_case
from gliosuite.simulate.protocols import DEFAULT
from scipy import ndimage

PATIENTS = range(1000, 1010)
HEAD_MM = 1.5
SPACING = {"dce": (2.0, 2.0, 3.0), "dsc": (2.0, 2.0, 5.0)}
CENTRE = np.array([0.0, 18.0, 10.0])
REFERENCE = 6


def scanned(seed, kind):
    """Frames on the fine grid without motion, bias and noise, and the true brain there."""
    slab = getattr(DEFAULT, kind).slab_mm
    scan = replace(getattr(DEFAULT, kind), spacing_mm=(HEAD_MM,) * 3, slab_mm=(slab[0] - 8, slab[1] + 8))
    effects = Effects(noise=False, bias=False, motion=False)
    case = simulate_case(
        seed, grid_mm=HEAD_MM, scans=(kind,), effects=effects, protocols=replace(DEFAULT, **{kind: scan})
    )
    series = case.case.series(kind)
    return series, resample_mask(case.truth["brain"], series.grid, case.truth.transforms[kind].GetInverse())


def grid_of(fine, kind):
    """The scan's grid."""
    spacing, slab = np.array(SPACING[kind]), getattr(DEFAULT, kind).slab_mm
    low = np.array(fine.origin) - np.array(fine.spacing) / 2
    high = low + np.array(fine.size) * fine.spacing
    low[2], high[2] = slab
    size = ((high - low) / spacing + 1e-6).astype(int)
    origin = (low + high - size * spacing) / 2 + spacing / 2
    return Grid(tuple(int(n) for n in size), tuple(spacing), tuple(float(v) for v in origin), fine.direction)


def rigid(step):
    """Points of a frame to points of the head, for a row of shifts (mm) and angles (degrees)."""
    turn = sitk.Euler3DTransform()
    turn.SetCenter(CENTRE.tolist())
    turn.SetParameters([float(v) for v in (*np.deg2rad(step[3:]), *step[:3])])
    return turn


def moved(points, transform):
    """Points (n, 3) after a rigid transform."""
    centre = np.array(transform.GetCenter())
    return (points - centre) @ np.reshape(transform.GetMatrix(), (3, 3)).T + centre + transform.GetTranslation()


def series_of(fine, kind, path, seed):
    """The scan of a head that moves along `path` (frames, 6)."""
    grid, scan = grid_of(fine.grid, kind), getattr(DEFAULT, kind)
    parts = max(1, round(SPACING[kind][2] / HEAD_MM))
    rng = np.random.default_rng(seed)
    field = bias_field(grid, rng)
    frames = np.zeros((len(path), *grid.shape), np.float32)
    for t, step in enumerate(path):
        spline = ndimage.spline_filter(fine.frames[t], 3, output=np.float32, mode="mirror")
        head = rigid(step)
        turn = np.reshape(head.GetMatrix(), (3, 3))
        matrix = (turn * grid.spacing / np.reshape(fine.grid.spacing, (3, 1)))[::-1, ::-1]
        for k in range(parts):
            corner = np.add(grid.origin, [0, 0, ((k + 0.5) / parts - 0.5) * grid.spacing[2]])
            offset = ((moved(corner, head) - fine.grid.origin) / fine.grid.spacing)[::-1]
            # Without a rotation the diagonal alone, which scipy does axis by axis.
            way = matrix if step[3:].any() else np.diag(matrix)
            frames[t] += (
                ndimage.affine_transform(spline, way, offset, grid.shape, order=3, prefilter=False, mode="constant")
                / parts
            )
        frames[t] = np.round(rician(np.maximum(frames[t], 0) * field, 400 / scan.snr, rng))
    return Series(frames, grid, f"simulated {kind}")


def walk(seed, frames=60):
    """Three steps and a drift, each of .5-3 mm and .5-3 degrees; what adds up to more than 3 mm or degrees is cut back to that."""
    rng = np.random.default_rng(seed)

    def way():
        direction = rng.normal(size=3)
        return direction / np.linalg.norm(direction) * rng.uniform(0.5, 3)

    path = np.zeros((frames, 6))
    for first in sorted(rng.choice(np.arange(REFERENCE, frames - 3), 3, replace=False)):
        path[first:] += np.concatenate([way(), way()])
    path += np.concatenate([way(), way()]) * (np.clip(np.arange(frames) - REFERENCE + 1, 0, None) / frames)[:, None]
    for part in (slice(0, 3), slice(3, 6)):
        path[:, part] *= np.minimum(1, 3 / np.maximum(np.linalg.norm(path[:, part], axis=1, keepdims=True), 1e-9))
    return path


def against_reference(maps, points):
    """Displacements (frames, n, 3) of points, against their mean in the reference frames."""
    found = np.array([moved(points, m) - points for m in maps])
    return found - found[:REFERENCE].mean(axis=0)


def patients(kinds):
    """Every patient's series with and without motion."""
    left, spurious = ({kind: [] for kind in kinds} for _ in range(2))
    for seed, kind in itertools.product(PATIENTS, kinds):
        fine, brain = scanned(seed, kind)
        grid = grid_of(fine.grid, kind)
        points = positions(grid, boolean(resample_mask(brain, grid)))[::11]
        still = correct_motion(series_of(fine, kind, np.zeros((60, 6)), seed))
        found = np.array([moved(points, m) - points for m in still.transforms])
        spurious[kind].append(np.linalg.norm(found, axis=2).mean(axis=1))
        path = walk(seed)
        series = series_of(fine, kind, path, seed)
        start = time.process_time()
        motion = correct_motion(series)
        seconds = time.process_time() - start
        truth = against_reference([sitk.Euler3DTransform(rigid(s).GetInverse()) for s in path], points)
        applied = [m if c else sitk.Euler3DTransform() for m, c in zip(motion.transforms, motion.corrected)]
        estimated = np.linalg.norm(against_reference(motion.transforms, points) - truth, axis=2).mean(axis=1)
        applied = np.array([moved(points, m) - points for m in applied]) - truth
        left[kind].append(np.linalg.norm(applied, axis=2).mean(axis=1))
        print(
            f"  {kind} {seed}: moved up to {np.linalg.norm(truth, axis=2).mean(axis=1).max():.2f} mm; residual in 95 % of frames "
            f"{np.percentile(left[kind][-1], 95):.3f} mm, largest {left[kind][-1].max():.3f} (of the estimate itself "
            f"{estimated.max():.3f}); still: largest spurious motion {spurious[kind][-1].max():.3f} mm, {int(still.corrected.sum())} "
            f"frames resampled; outliers {np.flatnonzero(still.outliers).tolist()} and {np.flatnonzero(motion.outliers).tolist()}; "
            f"{seconds:.0f} s of CPU time",
            flush=True,
        )
    for kind in kinds:
        apart, false = np.concatenate(left[kind]), np.concatenate(spurious[kind])
        print(
            f"{kind}, {len(PATIENTS)} patients: residual <= .3 mm in {100 * (apart <= 0.3).mean():.1f} % of frames (bar 95 %), "
            f"95 % have <= {np.percentile(apart, 95):.3f} mm, largest {apart.max():.3f}; spurious motion at most {false.max():.3f} mm "
            f"(bar .1), above .1 in {100 * (false > 0.1).mean():.1f} % of frames, median {np.median(false):.3f}"
        )


def speed():
    rng = np.random.default_rng(0)
    grid = Grid((128, 128, 40), (1.875, 1.875, 3.0), (-119.0, -119.0, -58.5), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    points = positions(grid, np.ones(grid.shape, bool)).reshape(*grid.shape, 3)
    x, y, z = np.moveaxis(points, -1, 0)
    head = ((x / 78) ** 2 + (y / 95) ** 2 + (z / 90) ** 2 < 1) * (
        300 + 80 * np.sin(x / 9) * np.sin(y / 11) * np.cos(z / 8)
    )
    frames = np.stack([head + rng.normal(0, 12, grid.shape) for _ in range(60)]).astype(np.float32)
    frames[30:] = ndimage.shift(frames[30:], (0, 0, 0.4, 0.5), order=1)
    wall, own = [], []
    for _ in range(6):
        start = time.perf_counter(), time.process_time()
        correct_motion(Series(frames, grid, "head of simple shapes"))
        wall.append(time.perf_counter() - start[0])
        own.append(time.process_time() - start[1])
    print(
        f"60 frames of 128 x 128 x 40, half of them moved: {statistics.median(wall[1:]):.0f} s, {statistics.median(own[1:]):.0f} s of "
        "CPU time (aim 60 s on one thread)"
    )


def mask():
    from gliosuite.lesions import series_brain

    for kind in ("dce", "dsc"):
        found = []
        for seed in PATIENTS:
            case = simulate_case(seed, grid_mm=2.0, scans=(kind,))
            series = case.case.series(kind)
            truth = resample_mask(case.truth["brain"], series.grid, case.truth.transforms[kind].GetInverse())
            try:
                found.append(dice(boolean(series_brain(series).mask), boolean(truth)))
            except InputError as error:
                print(f"  {kind} {seed}: {error}")
                found.append(0.0)
        print(f"brain mask of {kind}: Dice with the true brain {' '.join(f'{d:.3f}' for d in found)} (bar .93 each)")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["dce", "dsc", "speed", "mask"]
    print(
        f"simulated patients; {platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, SimpleITK {sitk.Version_VersionString()}"
    )
    if kinds := [name for name in wanted if name in SPACING]:
        patients(kinds)
    for name in wanted:
        if name not in SPACING:
            {"speed": speed, "mask": mask}[name]()
