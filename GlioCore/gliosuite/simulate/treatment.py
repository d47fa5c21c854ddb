"""Surgery, radiotherapy, regrowth: from the grown tumour to the lesion at the baseline scan and at progression.

The baseline scan is the one before radiotherapy, soon after surgery: no growth is simulated between the two. Radiotherapy kills
cells within 2 cm of the visible lesion by a factor of 10^0.7 to 10^2.0; what survives regrows at uneven rates until the enhancing
lesion reaches the volume at which progression is called. The shares of gross total and subtotal resection and of biopsy are near
those of Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2); the other numbers are chosen, not measured.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid
from . import growth
from .growth import Biology, Region
from .phantom import Head, positions, push, stream

RESECTIONS = (("GTR", 0.35), ("STR", 0.55), ("biopsy", 0.10))


@dataclass(frozen=True)
class Lesion:
    """What is to be seen at one visit, on the fine grid of the region; boolean (z, y, x) but for `oedema`.

    Parameters
    ----------
    cel, necrosis, cavity
        Enhancing tumour, dead tissue, resection cavity; they do not overlap.
    t2l
        Everything bright on FLAIR: oedema, infiltrated tissue, enhancing tumour and necrosis; without the cavity.
    oedema
        How much of the tissue is swollen or infiltrated, 0-1.
    """

    cel: np.ndarray
    necrosis: np.ndarray
    cavity: np.ndarray
    t2l: np.ndarray
    oedema: np.ndarray


@dataclass(frozen=True)
class Course:
    """One patient's tumour from surgery to progression.

    Parameters
    ----------
    baseline, followup
        The lesion at both visits, both in the anatomy of the baseline scan.
    density
        Tumour cell density at the baseline scan, fine grid.
    clinical
        Clinical keys of ``case.json``.
    facts
        What only a simulation knows: the tumour's biology, volumes, days.
    """

    baseline: Lesion
    followup: Lesion
    density: np.ndarray
    clinical: dict[str, Any]
    facts: dict[str, Any]


def resect(part: Region, inside: np.ndarray, cel: np.ndarray, seed: int) -> tuple[str, np.ndarray]:
    """Draw the extent of resection and cut: its name and the cavity.

    The cut runs from one side, uneven by a few mm, until the share of enhancing tumour that the extent stands for is out: at least 95 % for
    gross total (a rest stays visible in every case, so that no mask is empty), 30-85 % for subtotal.
    """
    rng = stream(seed, "surgery")
    extent = str(rng.choice([name for name, _ in RESECTIONS], p=[share for _, share in RESECTIONS]))
    share = {"GTR": rng.uniform(0.95, 0.98), "STR": rng.uniform(0.3, 0.85), "biopsy": 0.0}[extent]
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    uneven = part.field(rng, 12.0, True)
    if share == 0:
        return extent, np.zeros_like(inside)
    along = sum(p * d for p, d in zip(positions(part.fine), direction)) + 2.5 * uneven
    removed = inside & (along <= np.quantile(along[cel], share))
    rest = inside & ~removed
    soft = ndimage.gaussian_filter(removed.astype(np.float32), 1.6 / part.fine.spacing[0])
    return extent, (soft > 0.35) & ~rest & part.fine_brain | removed


def see(
    part: Region,
    density: np.ndarray,
    inside: np.ndarray,
    dead: np.ndarray,
    cavity: np.ndarray,
    total_cc: float,
    seed: int,
) -> Lesion:
    """The lesion that MRI shows of a cell density (fine grid), its T2L (with CEL) of about `total_cc`."""
    cel = inside & ~dead & ~cavity
    dead = dead & ~cavity
    infiltrated = (density > 0.45) & part.fine_allowed & ~cavity
    source = _coarsen(part, inside | cavity)
    arrival = part.refine(growth.oedema_arrival(part, source, seed))
    oedema, limit = growth.spread(part, arrival, (inside & ~cavity) | infiltrated, cavity, total_cc)
    level = np.clip((limit - arrival) / max(0.5 * limit, 1.0), 0, 1) * oedema
    level = np.maximum(oedema * (0.45 + 0.5 * level), 0.8 * np.clip(density / 0.6, 0, 1) * infiltrated)
    level = np.where(inside | cavity, 0, level)
    soft = ndimage.gaussian_filter(level.astype(np.float32), 0.7 / part.fine.spacing[0])
    return Lesion(cel, dead, cavity, (oedema | infiltrated | inside) & ~cavity, soft)


def follow(head: Head, part: Region, biology: Biology, seed: int) -> Course:
    """Grow a tumour, treat it, and let it come back."""
    diffusion, rate = growth.medium(part, biology, head.seed_mm, seed)
    h = part.coarse.spacing[0]

    fine, coarse = growth.unevenness(part, seed, True), growth.unevenness(part, seed, False)

    def volume(u: np.ndarray) -> float:
        inside = growth.core(u, biology, coarse)
        return float((inside & ~growth.necrosis(inside, biology, coarse)).sum()) * part.coarse.voxel_cc

    def whole(u: np.ndarray) -> float:
        return float(growth.core(u, biology, coarse).sum()) * part.coarse.voxel_cc

    start = growth.first_cells(part, head.seed_mm, seed)
    grown, age = growth.grow(
        start, diffusion, rate, h, lambda u, _: whole(u) >= 60.0 or volume(u) >= biology.cel_cc, every_days=8.0
    )
    density = part.refine(grown)
    inside = growth.core(density, biology, fine)
    dead = growth.necrosis(inside, biology, fine)
    extent, cavity = resect(part, inside, inside & ~dead, seed)

    density = np.where(cavity, 0, density)
    now, rest = inside & ~cavity, dead & ~cavity
    total = max(biology.t2l_cc, 1.25 * now.sum() * part.fine.voxel_cc)
    baseline = see(part, density, now, rest, cavity, total, seed)

    back, days, kill = _relapse(part, biology, seed, grown, diffusion, rate, baseline, volume)
    density_then = np.where(cavity, 0, part.refine(back))
    then = (growth.core(density_then, biology, fine) & ~cavity) | rest
    dead_then = growth.necrosis(then, biology, fine) | rest
    total = max(1.15 * baseline.t2l.sum(), 1.6 * then.sum()) * part.fine.voxel_cc
    followup = see(part, density_then, then, dead_then, cavity, min(total, 160.0), seed)

    clinical = _clinical(seed, extent, days, baseline, followup, part)
    facts = {
        "biology": biology,
        "diffusion_mm2_day": biology.diffusion,
        "rate_per_day": biology.rate,
        "seed_mm": head.seed_mm,
        "age_at_surgery_days": age,
        "radiotherapy_log10_kill": kill,
        "cavity_cc": cavity.sum() * part.fine.voxel_cc,
        **{f"baseline_{k}_cc": v for k, v in _volumes(baseline, part).items()},
        **{f"followup_{k}_cc": v for k, v in _volumes(followup, part).items()},
    }
    return Course(baseline, followup, density, clinical, facts)


def _relapse(part, biology, seed, grown, diffusion, rate, baseline: Lesion, volume) -> tuple[np.ndarray, float, float]:
    """Radiotherapy and regrowth on the coarse grid: density at progression, days until then, log10 of the cell kill."""
    rng = stream(seed, "radiotherapy")
    kill = float(rng.uniform(0.7, 2.0))
    called_cc = float(np.clip(rng.lognormal(np.log(9.0), 0.6), 2.0, 35.0))
    lesion = _coarsen(part, baseline.t2l | baseline.cavity)
    planned = ndimage.distance_transform_edt(~lesion, sampling=part.coarse.spacing) <= 20.0
    survival = 10.0 ** -np.where(planned, kill * np.clip(1 + 0.2 * part.field(rng, 12.0, False), 0.3, 1.6), 0.0)
    closed = _coarsen(part, baseline.cavity | baseline.necrosis)
    # Slower on the whole than before: with it the median time to progression comes near Tran 2025's 7 months.
    uneven = 0.65 * np.clip(np.exp(0.5 * part.field(rng, 16.0, False)), 0.4, 2.5)
    back, days = growth.grow(
        np.where(closed | (grown < 1e-3), 0, grown * survival),  # a handful of cells does not found a recurrence
        np.where(closed, 0, diffusion),
        np.where(closed, 0, rate * uneven).astype(np.float32),
        part.coarse.spacing[0],
        lambda u, _: volume(u) >= called_cc,
        every_days=10.0,
    )
    return back, days, kill


def _coarsen(part: Region, mask: np.ndarray) -> np.ndarray:
    """A mask of the fine grid on the coarse one: voxels that are at least half inside."""
    nz, ny, nx = part.coarse.shape
    step = mask.shape[0] // nz
    return mask.reshape(nz, step, ny, step, nx, step).mean(axis=(1, 3, 5)) >= 0.5


def _volumes(lesion: Lesion, part: Region) -> dict[str, float]:
    masks = {"cel": lesion.cel, "necrosis": lesion.necrosis, "t2l": lesion.t2l}
    return {name: float(mask.sum()) * part.fine.voxel_cc for name, mask in masks.items()}


def _clinical(seed: int, extent: str, days: float, baseline: Lesion, followup: Lesion, part: Region) -> dict[str, Any]:
    """Clinical facts. Survival after progression is exponential, its hazard ``exp(.03 (age - 60) + .5 unmethylated) / 240`` per day."""
    rng = stream(seed, "clinical")
    age = int(np.clip(rng.normal(58, 11), 22, 85))
    methylated = bool(rng.random() < 0.4)
    hazard = np.exp(0.03 * (age - 60) + 0.5 * (not methylated)) / 240.0
    died = days + rng.exponential(1 / hazard)
    observed = rng.uniform(500, 2200)
    beyond = ndimage.distance_transform_edt(~(baseline.t2l | baseline.cavity), sampling=part.fine.spacing)
    far_cc = float((followup.cel & (beyond > 20.0)).sum()) * part.fine.voxel_cc
    where = np.argwhere(followup.cel | baseline.cel)
    return {
        "age": age,
        "sex": str(rng.choice(["F", "M"], p=[0.42, 0.58])),
        "kps": int(rng.choice([70, 80, 90, 100], p=[0.15, 0.3, 0.4, 0.15])),
        "grade": 4,
        "pathology": "glioblastoma",
        "idh": "wildtype",
        "mgmt": "methylated" if methylated else "unmethylated",
        "resection": extent,
        "treatment": "radiotherapy",
        "rt_dose_gy": 60.0,
        "pfs_days": round(days),
        "pfs_event": 1,
        "os_days": max(round(min(died, max(observed, days))), 1),
        "os_event": int(died <= max(observed, days)),
        "recurrence_local": int(far_cc <= 0.5),
        "recurrence_distant": 0,
        "max_diameter_mm": round(float(np.ptp(where, axis=0).max() * part.fine.spacing[0]), 1) if len(where) else 0.0,
    }


def later_anatomy(grid: Grid, part: Region, course: Course, seed: int) -> sitk.CompositeTransform:
    """Where the tissue seen at the follow-up lay at baseline: LPS points of the follow-up scan to points of the baseline scan.

    A rigid change of position (up to about 5 degrees and 8 mm), and a smooth shift: the recurrence pushes tissue outwards, the cavity
    shrinks.
    """
    rng = stream(seed, "follow-up")
    position = rigid(rng, 2.5, 3.5)
    weights = {"push": (course.followup.cel, 1.0), "pull": (course.baseline.cavity, -0.6)}
    field: list[np.ndarray] | None = None
    lattice = _lattice(grid)
    for mask, sign in weights.values():
        if not mask.any():
            continue
        centre = np.asarray(part.fine.origin) + np.argwhere(mask).mean(axis=0)[::-1] * part.fine.spacing
        radius = (3 * mask.sum() * part.fine.voxel_cc * 1000 / (4 * np.pi)) ** (1 / 3)
        added = push(lattice, centre, radius + 10.0, sign * min(0.16 * radius, 3.0))
        field = added if field is None else [a + b for a, b in zip(field, added)]
    field = field or [np.zeros(lattice.shape, np.float32)] * 3
    spline = sitk.BSplineTransform(
        [lattice.image(np.ascontiguousarray(-f, np.float64)) for f in field], 3
    )  # tissue pushed outwards came from nearer the centre
    return sitk.CompositeTransform([spline, position])  # the last one is applied first


def _lattice(grid: Grid, step_mm: float = 12.0) -> Grid:
    """The control points of a B-spline over a grid's box, with the rim that cubic splines need."""
    size = [int(np.ceil(n * s / step_mm)) + 4 for n, s in zip(grid.size, grid.spacing)]
    origin = [o - 1.5 * step_mm for o in grid.origin]
    return Grid(tuple(size), (step_mm,) * 3, tuple(origin), grid.direction)


def rigid(rng: np.random.Generator, degrees: float, mm: float) -> sitk.Euler3DTransform:
    """A random rigid transform about the head's centre: normal angles and shifts of these SDs, cut at two SDs."""
    angles = np.deg2rad(np.clip(rng.normal(0, degrees, 3), -2 * degrees, 2 * degrees))
    shift = np.clip(rng.normal(0, mm, 3), -2 * mm, 2 * mm)
    return sitk.Euler3DTransform((0.0, 18.0, 10.0), *[float(a) for a in angles], [float(s) for s in shift])
