"""Figures of margins and barriers: accuracy, speed, ways round walls, placed barriers, coverage of recurrence.

``python Testing/bench/bench_margins.py [PART ...]``; parts: accuracy, speed, ways, placing, coverage, predicted. All patients are
simulated.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "standin"), str(Path(__file__).parents[2] / "GlioCore")]

import scipy
import SimpleITK as sitk
from gliosuite.atlas import LABELS
from gliosuite.images import Grid, array, boolean
from gliosuite.rt.barriers import BarrierMasks, Barriers, find_barriers
from gliosuite.rt.compare import compare_ctv, progression_coverage
from gliosuite.rt.margins import expand
from gliosuite.rt.margins.expand import distance_map
from gliosuite.rt.targets import Structures, target_volumes
from gliosuite.simulate.cohort import simulate_case
from probabilities import SOURCE, blurred_truth
from scipy import ndimage
from scipy.spatial import cKDTree

EYE = tuple(np.eye(3).ravel())


def head() -> None:
    """The machine and the versions."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, SimpleITK {sitk.Version.VersionString()}; load {os.getloadavg()[0]:.1f}"
        if hasattr(os, "getloadavg")
        else platform.machine()
    )


def sphere(radius: float, around: float, spacing: tuple, random: np.random.Generator) -> tuple[Grid, np.ndarray]:
    """Distance from a centre that lies anywhere within a voxel."""
    step = np.asarray(spacing, float)
    size = np.ceil(2 * (max(radius, around) + 4) / step).astype(int)
    centre = (size / 2 + random.random(3) - 0.5) * step
    grid = Grid(tuple(int(s) for s in size), tuple(step), (0.0,) * 3, EYE)
    index = np.indices(grid.shape)[::-1].reshape(3, -1).T * step
    return grid, np.linalg.norm(index - centre, axis=1).reshape(grid.shape)


def accuracy(repeats: int = 40) -> None:
    """Volume error of grown and shrunk spheres at random sub-voxel positions."""
    print(f"margin error, % of the sphere's volume, mean of {repeats} positions (standard error); bar 1 % of the mean")
    spacings = ((1, 1, 1), (3, 1, 1), (3, 3, 3))
    print("sphere, margin (mm)   method            " + "".join(f"{'x'.join(map(str, s)):>18}" for s in spacings))
    for radius, margin in ((15.3, 20), (15.3, 15), (15.3, 5), (10, 20), (6, 15), (6, 20), (30, -10)):
        ours, free, plain = [], [], []
        for spacing in spacings:
            random = np.random.default_rng(3)
            errors = []
            for _ in range(repeats if margin > 0 else repeats // 4):
                grid, r = sphere(radius, radius + margin, spacing, random)
                mask = grid.image(r <= radius)
                wanted = 4 / 3 * np.pi * (radius + margin) ** 3 / (grid.voxel_cc * 1000)
                open_ = Barriers(grid.image(np.ones(grid.shape, bool)))
                edt = ndimage.distance_transform_edt(r > radius, sampling=grid.spacing[::-1]) <= margin
                errors.append(
                    [
                        boolean(expand(mask, margin)).sum() / wanted - 1,
                        boolean(expand(mask, margin, open_)).sum() / wanted - 1,
                        edt.sum() / wanted - 1,
                    ]
                )
            e = 100 * np.array(errors)
            for cells, column in zip((ours, free, plain), e.T):
                cells.append(f"{column.mean():+.2f} ({column.std() / np.sqrt(len(column)):.2f})")
        for name, cells in (("surface", ours), ("geodesic, free", free), ("EDT of the mask", plain)):
            if name == "surface" or margin > 0:
                print(f"{radius:>6} {margin:+4}           {name:<18}" + "".join(f"{c:>18}" for c in cells))


def phantom() -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A lobed lesion of about 55 cc, brain, falx and ventricle on 240 x 240 x 155 voxels of 1 mm."""
    grid = Grid((240, 240, 155), (1.0,) * 3, (0.0,) * 3, EYE)
    z, y, x = np.ogrid[:155, :240, :240]
    oval = lambda c, r: ((x - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2 + ((z - c[2]) / r[2]) ** 2
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(grid.shape).astype(np.float32), 5)
    lesion = oval((95, 120, 85), (25, 21, 21)) + 0.3 * noise / noise.std() <= 1
    labels, _ = ndimage.label(lesion)
    lesion = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    brain = oval((120, 120, 78), (68, 84, 62)) <= 1
    falx = (abs(x - 119.5) < 1.1) & (z > 75 + 0.002 * (y - 120) ** 2)
    ventricle = (oval((110, 120, 78), (6, 30, 9)) <= 1) & ~lesion
    return grid, lesion & brain, brain, falx, ventricle


def speed() -> None:
    """A margin of 20 mm on a head of 1 mm; median of five after a warm-up."""
    grid, lesion, brain, falx, ventricle = phantom()
    mask = grid.image(lesion)
    cost = np.where(ventricle, 4, 1).astype(np.float32)
    walls = Barriers(grid.image(brain & ~falx), grid.image(cost))
    print(
        f"20 mm around a lobed lesion of {lesion.sum() / 1000:.0f} cc on 240x240x155 at 1 mm; median of 5 (CPU seconds)"
    )
    for name, bar, work in (
        ("plain margin", 1, lambda: expand(mask, 20)),
        ("round brain, falx and ventricle", 4, lambda: expand(mask, 20, walls)),
        ("distance map to 30 mm", None, lambda: distance_map(mask, 30)),
    ):
        wall, cpu = _times(work)
        print(f"  {name:<40}{wall:.2f} s ({cpu:.2f} s)" + (f"  bar {bar} s" if bar else ""))


def _times(work: Callable[[], object]) -> tuple[float, float]:
    work()
    found = []
    for _ in range(5):
        start = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return tuple(statistics.median(column) for column in zip(*found))


def gap(step: float) -> tuple[Barriers, sitk.Image, np.ndarray, np.ndarray, np.ndarray]:
    """A sphere, a plate with a slit, and behind it what a taut string from the sphere's surface measures; mm."""
    n = round(90 / step)
    grid = Grid((n, n, round(60 / step)), (step,) * 3, (0.0,) * 3, EYE)
    z, y, x = (a * step for a in np.indices(grid.shape, np.float32))
    centre, radius = np.array([30.2, 45.1, 30.3]), 8.0
    inside = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) <= radius
    wall = (abs(x - 45) < 0.6 * max(step, 2)) & ~((y > 60) & (y < 72))
    xs, low = np.unique(x[wall]), np.unique(y[wall])
    left, right = xs.min() - step / 2, xs.max() + step / 2
    corner = low[low <= 60].max() + step / 2
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = lambda wall_x, start, slope: start + slope * (wall_x - centre[0])
        sees = at(left, centre[1], dy / dx) >= corner
        once = corner + (y - corner) / (x - left) * (right - left) >= corner
    first = np.hypot(left - centre[0], corner - centre[1])
    flat = np.where(
        once, first + np.hypot(x - left, y - corner), first + (right - left) + np.hypot(x - right, y - corner)
    )
    truth = np.where(sees, np.sqrt(dx**2 + dy**2 + dz**2), np.hypot(flat, dz)) - radius
    shadow = (x > right) & ~sees & (y < 60) & (truth < 44) & (abs(z - 30) < 25)
    return Barriers(grid.image(~wall)), grid.image(inside), truth, shadow, (x > right) & sees & (y < 72) & (truth < 44)


def ways() -> None:
    """Ways through a gap against a taut string, and the depth into a ventricle."""
    print("way round the edge of a plate against a taut string, % of the way: mean, 95th percentile, largest; bar 1 %")
    for step in (1.0, 2.0, 3.0):
        walls, mask, truth, shadow, _ = gap(step)
        error = 100 * (array(distance_map(mask, 60, walls))[shadow] / truth[shadow] - 1)
        print(f"  {step:g} mm: {error.mean():+.2f}, {np.percentile(abs(error), 95):.2f}, {abs(error).max():.2f}")
    print("depth into a ventricle that the lesion touches, mm; bar 5 +- .5")
    for step in (1.0, 2.0, 3.0):
        grid = Grid((round(100 / step), round(80 / step), round(80 / step)), (step,) * 3, (0.0,) * 3, EYE)
        _, _, x = (a * step for a in np.indices(grid.shape, np.float32))
        lesion, ventricle = (x > 20) & (x < 40.2), (x > 40.2)
        brain = grid.image(np.ones(grid.shape, bool))
        cells = []
        for margin in (15, 20):
            walls = BarrierMasks({"ventricles": grid.image(ventricle)}, "phantom").barriers(brain, margin)
            grown = boolean(expand(grid.image(lesion), margin, walls)) & ventricle
            middle = grown[grid.shape[0] // 2, grid.shape[1] // 2]
            way = array(distance_map(grid.image(lesion), margin + 15, walls))[grid.shape[0] // 2, grid.shape[1] // 2]
            face = np.flatnonzero(ventricle[0, 0])[0] - 0.5
            depth = np.interp(
                margin,
                way[ventricle[0, 0] & np.isfinite(way)],
                (np.flatnonzero(ventricle[0, 0] & np.isfinite(way)) - face) * step,
            )
            cells.append(f"margin {margin}: {depth:.2f} ({middle.sum()} voxels)")
        print(f"  {step:g} mm: " + ", ".join(cells))


# The first six were looked at while the ventricles' redrawing was made; the twelve others never were.
PLACED = (*range(1000, 1006), *range(1010, 1022))


def placing(seeds: Sequence[int] = PLACED, grid_mm: float = 2.0) -> None:
    """Barriers placed by registration against the simulated truth, with mass effect; lesion and cavity are masked, as ``ctv`` does."""
    print(
        f"barriers placed by registration, {len(seeds)} simulated patients, {grid_mm:g} mm; mm: sheets, distance of the true sheet's"
    )
    print(
        "voxels to the nearest placed one, mean (95th percentile); solids, distance between centres and Dice. Bar: 3 mm"
    )
    for seed in seeds:
        truth = simulate_case(seed, grid_mm=grid_mm, scans=("structural",))
        labels = array(truth.truth["structures"], np.uint8)
        masks = [truth.truth[n] for n in ("t2l", "cel", "cavity") if n in truth.truth.maps]
        lesion = truth.truth["brain"] * 0
        for mask in masks:
            lesion = lesion | (mask > 0)
        found = find_barriers(truth.case.image("t1c"), truth.truth["brain"], lesion).masks
        cells = []
        for name in ("falx", "tentorium", "ventricles", "brainstem", "callosum"):
            ours = boolean(found[name]) | (boolean(found["peduncles"]) if name == "brainstem" else False)
            a, b = (np.argwhere(m) * grid_mm for m in (labels == LABELS[name], ours))
            if name in ("falx", "tentorium"):
                away = cKDTree(b).query(a)[0]
                cells.append(f"{name} {away.mean():.2f} ({np.percentile(away, 95):.1f})")
            else:
                dice = 2 * (ours & (labels == LABELS[name])).sum() / (len(a) + len(b))
                cells.append(f"{name} {np.linalg.norm(a.mean(0) - b.mean(0)):.2f}, {dice:.2f}")
        print(f"  {seed}: lesion {boolean(lesion).sum() * grid_mm**3 / 1000:.0f} cc; " + "; ".join(cells), flush=True)


PUBLISHED = "published, patients (n = 152, GliODIL): 15 mm margin 82.4 % enhancing / 63.6 % any, GliODIL 84.4 / 67.8 %"


def coverage(seeds: range = range(1000, 1060), grid_mm: float = 3.0) -> None:
    """Coverage of recurrence at equal volume: plain and geodesic margins on simulated patients (rule of PREDICT-GBM)."""
    print(
        f"coverage at the volume of GTV (CEL u cavity) + 15 mm, {len(seeds)} simulated patients, {grid_mm:g} mm, barriers as simulated"
    )
    print("  % (95 % interval, paired bootstrap over patients)")
    rows = [_covered(simulate_case(seed, grid_mm=grid_mm, scans=("structural",)).truth.maps) for seed in seeds]
    found = 100 * np.array([r for r in rows if r])
    random = np.random.default_rng(0)
    for name, i in (("enhancing progression", 0), ("any progression", 1)):
        plain, way = found[:, i], found[:, 2 + i]
        used = np.isfinite(plain)
        plain, way = plain[used], way[used]
        draws = random.integers(0, len(plain), (10000, len(plain)))
        interval = lambda v, d=draws: "{:.1f} ({:.1f} to {:.1f})".format(
            v.mean(), *np.percentile(v[d].mean(axis=1), [2.5, 97.5])
        )
        print(
            f"  {name}, n = {used.sum()}: plain {interval(plain)}, geodesic {interval(way)}, difference {interval(way - plain)}; "
            f"better in {(way > plain).sum()}, worse in {(way < plain).sum()}"
        )
    print("  " + PUBLISHED)


def _covered(maps: dict[str, sitk.Image]) -> list[float]:
    """Shares of the enhancing and of any progression: plain, geodesic; nothing where there is no GTV or no progression."""
    brain = maps["brain"]
    grid = Grid.of(brain)
    role = lambda *names: np.any([boolean(maps[n]) for n in names if n in maps] or [np.zeros(grid.shape, bool)], axis=0)
    gtv = role("cel", "necrosis", "cavity") & boolean(brain)
    targets = role("progression_cel") & boolean(brain), role("progression_cel", "progression_t2l") & boolean(brain)
    if not gtv.any() or not targets[1].any():
        return []
    volume = (boolean(expand(grid.image(gtv), 15.0)) & boolean(brain)).sum() * grid.voxel_cc
    found = []
    for barriers in (None, _true_barriers(maps).on(grid).barriers(brain, 15.0)):
        away = array(distance_map(grid.image(gtv), 80.0, barriers))
        score = grid.image(np.where(np.isfinite(away), -away, -1e3).astype(np.float32))
        found += [progression_coverage(score, grid.image(m), brain, volume) if m.any() else np.nan for m in targets]
    return found


def _true_barriers(maps: dict[str, sitk.Image]) -> BarrierMasks:
    """Falx, tentorium, ventricles and callosum as they are in the simulation."""
    labels = array(maps["structures"], np.uint8)
    grid = Grid.of(maps["structures"])
    names = ("falx", "tentorium", "ventricles", "callosum")
    return BarrierMasks({n: grid.image(labels == LABELS[n]) for n in names}, "simulated truth")


def predicted(seeds: range = range(1000, 1012), grid_mm: float = 3.0) -> None:
    """Predicted CTVs at the volume of ESTRO-EANO's, from a stand-in for a model: whether volumes are met, and what is covered."""
    print(
        f"predicted CTV at the volume of estro-eano, {len(seeds)} simulated patients, {grid_mm:g} mm; probability: {SOURCE}"
    )
    volumes, covered, seconds = [], [], []
    for seed in seeds:
        maps = simulate_case(seed, grid_mm=grid_mm, scans=("structural",)).truth.maps
        brain = maps["brain"]
        grid = Grid.of(brain)
        roles = {n: maps[n] for n in ("cel", "t2l", "cavity", "necrosis") if n in maps}
        later = [boolean(maps[n]) for n in ("progression_cel", "progression_t2l") if n in maps]
        if not later or not {"cel", "cavity"} & set(roles):
            continue
        later = np.any(later, axis=0) & boolean(brain)
        probability = grid.image(blurred_truth(later, grid.spacing[::-1], seed))
        structures = Structures(brain, **roles)
        plain = target_volumes("estro-eano", structures)
        start = time.perf_counter()
        made = target_volumes(
            "model", structures, probability=probability, like_scheme="estro-eano", probability_source=SOURCE
        )
        seconds.append(time.perf_counter() - start)
        volumes.append(made.volumes_cc["CTV_MODEL"] / plain.volumes_cc["CTV_EANO"] - 1)
        covered.append([compare_ctv(m.ctv, grid.image(later), brain).sensitivity for m in (plain, made)])
    off = 100 * np.array(volumes)
    print(f"  n = {len(off)}: volume off by {off.min():+.2f} to {off.max():+.2f} %; {np.median(seconds):.1f} s")
    print(
        "  share of the progression in the CTV, mean: margin {:.3f}, predicted {:.3f} (it knows the truth)".format(
            *np.mean(covered, axis=0)
        )
    )


PARTS = {
    "accuracy": accuracy,
    "speed": speed,
    "ways": ways,
    "placing": placing,
    "coverage": coverage,
    "predicted": predicted,
}

if __name__ == "__main__":
    head()
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
