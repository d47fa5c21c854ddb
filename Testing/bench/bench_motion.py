"""Motion correction on simulated patients: what is left of known movements, what a bolus alone is taken for, and how long it takes.

Run by ``make bench``, or alone: ``python Testing/bench/bench_motion.py [part ...]`` with parts of ``dce dsc speed mask``; all of them where
none is given. Nothing is written. Patients are simulated without motion, bias and noise on a finer grid and a longer slab than the scan's,
moved there, averaged over the scan's slices, and only then given the scanner's receive field and noise.

Residual: mean over the brain's voxels of the distance between where the correction puts them (nowhere, for frames that it leaves alone)
and where they truly are, both against the mean position in the reference frames (the first six); no other offset is taken out.
"""

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
from gliosuite.motion import correct_motion
from gliosuite.similarity import dice, positions
from gliosuite.simulate import simulate_case
from gliosuite.simulate.acquisition import Effects, bias_field, rician
from gliosuite.simulate.protocols import DEFAULT
from scipy import ndimage

PATIENTS = range(1000, 1003)
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
    centres = positions(grid, np.ones(grid.shape, bool))
    rng = np.random.default_rng(seed)
    field = bias_field(grid, rng)
    frames = np.zeros((len(path), *grid.shape), np.float32)
    for t, step in enumerate(path):
        spline = ndimage.spline_filter(fine.frames[t], 3, output=np.float32, mode="mirror")
        for k in range(parts):
            below = np.array([0, 0, ((k + 0.5) / parts - 0.5) * grid.spacing[2]])
            points = moved(centres + below, rigid(step))
            index = ((points - fine.grid.origin) / fine.grid.spacing).T[::-1]
            found = ndimage.map_coordinates(spline, index, order=3, prefilter=False, mode="constant")
            frames[t] += found.reshape(grid.shape) / parts
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


def part(kind):
    left, spurious = [], []
    for seed in PATIENTS:
        fine, brain = scanned(seed, kind)
        grid = grid_of(fine.grid, kind)
        points = positions(grid, boolean(resample_mask(brain, grid)))[::11]
        still = correct_motion(series_of(fine, kind, np.zeros((60, 6)), seed))
        found = np.array([moved(points, m) - points for m in still.transforms])
        spurious.append(np.linalg.norm(found, axis=2).mean(axis=1))
        path = walk(seed)
        motion = correct_motion(series_of(fine, kind, path, seed))
        truth = against_reference([sitk.Euler3DTransform(rigid(s).GetInverse()) for s in path], points)
        applied = [m if c else sitk.Euler3DTransform() for m, c in zip(motion.transforms, motion.corrected)]
        estimated = np.linalg.norm(against_reference(motion.transforms, points) - truth, axis=2).mean(axis=1)
        applied = np.array([moved(points, m) - points for m in applied]) - truth
        left.append(np.linalg.norm(applied, axis=2).mean(axis=1))
        print(
            f"  {kind} {seed}: moved up to {np.linalg.norm(truth, axis=2).mean(axis=1).max():.2f} mm; residual in 95 % of frames "
            f"{np.percentile(left[-1], 95):.3f} mm, largest {left[-1].max():.3f} (of the estimate itself {estimated.max():.3f}); "
            f"still: largest spurious motion {spurious[-1].max():.3f} mm, {int(still.corrected.sum())} frames resampled, "
            f"{int(still.outliers.sum() + motion.outliers.sum())} outliers",
            flush=True,
        )
    left, spurious = np.concatenate(left), np.concatenate(spurious)
    print(
        f"{kind}, {len(PATIENTS)} patients: residual <= .3 mm in {100 * (left <= 0.3).mean():.1f} % of frames (bar 95 %), "
        f"95 % have <= {np.percentile(left, 95):.3f} mm; spurious motion at most {spurious.max():.3f} mm (bar .1), "
        f"median {np.median(spurious):.3f}"
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
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        correct_motion(Series(frames, grid, "head of simple shapes"))
        seconds.append(time.perf_counter() - start)
    print(
        f"60 frames of 128 x 128 x 40, half of them moved: {statistics.median(seconds[1:]):.0f} s (aim 60 s on 2 cores)"
    )


def mask():
    from gliosuite.brain import series_brain

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
    for name in wanted:
        {"speed": speed, "mask": mask}.get(name, lambda name=name: part(name))()
