"""Surgery, radiotherapy, regrowth and the anatomy of the later scan.

The baseline scan of most presets is the one before radiotherapy, soon after surgery: no growth is simulated between the two.
Radiotherapy kills cells within 2 cm of the visible lesion by a drawn power of ten; what survives regrows at uneven rates until the core
reaches the volume at which progression is called. Regrowth in simulated days is then stretched to the date that the hazard law drew:
the equation keeps its course when D and rho are multiplied by one factor.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid
from .biology import Biology
from .growth import Medium, Region, grow
from .lesion import Lesion, Unevenness, core, core_cc
from .phantom import positions, push, stream

PLANNED_MM = 20.0  # radiotherapy's margin on the visible lesion (RTOG; S3)
FALLOFF_MM = 20.0  # over which the dose falls to nothing beyond it (chosen, as of conformal plans)
FOUNDER = 1e-2  # survivors of a lower density found no recurrence (chosen)
SEEDS_MM = (
    22.0,
    40.0,
)  # distant seeds' distance from the lesion: beyond RTOG's margin; S3 saw no progression beyond 4 cm
MEAN_SHIFT_MM, LARGEST_SHIFT_MM = 3.0, 20.0


def resect(part: Region, inside: np.ndarray, cel: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The cavity of a resection that takes `share` of the enhancing tumour.

    The cut runs from one side, uneven by a few mm (chosen).
    """
    if share <= 0:
        return np.zeros_like(inside)
    rng = stream(seed, "surgery")
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    uneven = part.field(rng, 12.0, True)
    along = sum(p * d for p, d in zip(positions(part.fine), direction)) + 2.5 * uneven
    removed = inside & (along <= np.quantile(along[cel], share))
    rest = inside & ~removed
    soft = ndimage.gaussian_filter(removed.astype(np.float32), 1.6 / part.fine.spacing[0])
    return (soft > 0.35) & ~rest & part.fine_brain | removed


def dose(part: Region, lesion: Lesion) -> np.ndarray:
    """Share of the prescribed dose, coarse grid: 1 to `PLANNED_MM` around the visible lesion and the cavity, falling over `FALLOFF_MM`."""
    away = distance_to(part, lesion.t2l | lesion.cavity, coarse=True)
    return np.clip(1 - (away - PLANNED_MM) / FALLOFF_MM, 0, 1)


def distance_to(part: Region, mask: np.ndarray, coarse: bool = False) -> np.ndarray:
    """Distance in mm from a mask of the fine grid, on the fine or the coarse grid; very large everywhere where it is empty."""
    grid = part.coarse if coarse else part.fine
    target = part.coarsen(mask) if coarse else mask
    if not target.any():
        return np.full(grid.shape, 1e3)
    return ndimage.distance_transform_edt(~target, sampling=grid.spacing)


def distant_seeds(part: Region, lesion: Lesion, seed: int) -> np.ndarray:
    """Cells on the ventricles' wall (subependymal) or at the brain's surface (leptomeningeal), coarse grid; 1-3 clumps.

    Which of the two each clump is, is drawn evenly (chosen); it lies `SEEDS_MM` from the lesion.
    """
    rng = stream(seed, "distant")
    away = distance_to(part, lesion.t2l | lesion.cavity, coarse=True)
    ventricle = distance_to(part, part.fine_ventricles, coarse=True)
    outside = ndimage.distance_transform_edt(np.pad(part.brain, 1), sampling=part.coarse.spacing)[1:-1, 1:-1, 1:-1]
    near = part.coarse.spacing[0] * 1.6 + 2.0
    inner = np.zeros(part.coarse.shape, bool)
    inner[4:-4, 4:-4, 4:-4] = True  # D fades towards the region's border
    room = inner & part.allowed & (away > SEEDS_MM[0]) & (away < SEEDS_MM[1]) & (part.wm + part.gm > 0.6)
    kinds = [room & (ventricle < near), room & (outside < near)]
    density = np.zeros(part.coarse.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        first = int(rng.integers(2))
        places = next((np.argwhere(k) for k in (kinds[first], kinds[1 - first], room) if k.any()), None)
        if places is None:
            break
        density += part.clump(part.point(places[int(rng.integers(len(places)))]), 0.9)
    return np.minimum(density, 0.9) * part.allowed


@dataclass(frozen=True)
class Relapse:
    """A recurrence in the anatomy of the baseline scan.

    Parameters
    ----------
    inside
        Its core (fine grid).
    density
        Cell density then (fine grid).
    simulated_days
        How long regrowth took at the tumour's own rates; 0 where no equation of growth was used.
    """

    inside: np.ndarray
    density: np.ndarray
    simulated_days: float


def regrow(
    part: Region,
    biology: Biology,
    seed: int,
    grown: np.ndarray,
    medium: Medium,
    treated: Lesion,
    uneven: tuple[Unevenness, Unevenness],
    local: bool = True,
    distant: bool = False,
) -> Relapse:
    """Radiotherapy and regrowth by reaction and diffusion.

    Parameters
    ----------
    grown
        Cell density before surgery (coarse grid).
    treated
        The lesion that radiotherapy was planned on.
    uneven
        Fields of the coarse and of the fine grid.
    local, distant
        Whether the treated tumour itself comes back, and whether it has seeded elsewhere.
    """
    rng = stream(seed, "radiotherapy")
    power = biology.log10_kill * np.clip(1 + 0.2 * part.field(rng, 12.0, False), 0.3, 1.6)
    survival = 10.0 ** -(power * dose(part, treated))
    closed = part.coarsen(treated.cavity | treated.necrosis)
    uneven_rate = np.clip(np.exp(0.5 * part.field(rng, 16.0, False)), 0.4, 2.5)
    start = np.where(closed | (grown < FOUNDER), 0, grown * survival) if local else np.zeros_like(grown)
    if distant:
        start = np.maximum(start, distant_seeds(part, treated, seed))
    after = Medium(
        np.where(closed, 0, medium.diffusion),
        np.where(closed, 0, medium.rate * uneven_rate).astype(np.float32),
        medium.compartments,
        medium.fibres,
        medium.anisotropy,
    )
    called = max(biology.called_cc, 1.25 * part.cc(treated.core))
    coarse, fine = uneven

    back, days = grow(
        start.astype(np.float32),
        after,
        part.coarse.spacing[0],
        lambda u: core_cc(u, biology, coarse),
        called,
        every_days=10.0,
    )
    density = np.where(treated.cavity, 0, part.refine(back))
    return Relapse(core(density, biology, fine) & ~treated.cavity, density, days)


@dataclass(frozen=True)
class Shift:
    """Where the tissue seen at the follow-up lay at baseline (LPS points of the follow-up scan to points of the baseline scan), the largest
    displacement of its smooth part in mm, and its mean within 3 cm of the lesion.
    """

    transform: sitk.CompositeTransform
    largest_mm: float = 0.0
    mean_mm: float = 0.0


def later_anatomy(grid: Grid, part: Region, followup: Lesion, seed: int) -> Shift:
    """Draw the follow-up's position and anatomy.

    A rigid change of position (up to about 5 degrees and 8 mm), and a smooth shift: the cavity draws tissue in, or the recurrence pushes
    it away. The largest displacement is log-normal (median 3.1 mm, log-SD .6, 1-20 mm), so that tissue within 3 cm of the lesion moves by
    about 3 mm on average (Baheti et al. 2021, BraTS-Reg: some mm, up to 2 cm).
    """
    rng = stream(seed, "follow-up")
    position = rigid(rng, 2.5, 3.5)
    largest = float(np.clip(3.1 * np.exp(0.6 * rng.normal()), 1.0, LARGEST_SHIFT_MM))
    sign, mask = (-1.0, followup.cavity) if followup.cavity.any() else (1.0, followup.core)
    lattice = _lattice(grid)
    field = [np.zeros(lattice.shape, np.float32)] * 3
    mean = 0.0
    if mask.any():
        centre = np.asarray(part.fine.origin) + np.argwhere(mask).mean(axis=0)[::-1] * part.fine.spacing
        radius = (3 * mask.sum() * part.fine.voxel_cc * 1000 / (4 * np.pi)) ** (1 / 3)
        # Beyond twice the displacement the map folds nowhere.
        reach = max(radius + 10.0, 2.2 * largest)
        field = push(lattice, centre, reach, sign * largest)
        near = part.brain & (distance_to(part, mask, coarse=True) <= 30.0)
        mean = float(np.sqrt(sum(f**2 for f in push(part.coarse, centre, reach, largest)))[near].mean())
    # Tissue pushed outwards came from nearer the centre. The filter makes coefficients of what are values at the control points.
    spline = sitk.BSplineTransform(
        [lattice.image(ndimage.spline_filter(-f, 3, np.float64, "nearest")) for f in field], 3
    )
    return Shift(sitk.CompositeTransform([spline, position]), largest, mean)  # the last one is applied first


def _lattice(grid: Grid, step_mm: float = 12.0) -> Grid:
    """The control points of a B-spline over a grid's box, with the rim that cubic splines need."""
    nx, ny, nz = (int(np.ceil(n * s / step_mm)) + 4 for n, s in zip(grid.size, grid.spacing))
    x, y, z = (o - 1.5 * step_mm for o in grid.origin)
    return Grid((nx, ny, nz), (step_mm,) * 3, (x, y, z), grid.direction)


def rigid(rng: np.random.Generator, degrees: float, mm: float) -> sitk.Euler3DTransform:
    """A random rigid transform about the head's centre: normal angles and shifts of these SDs, cut at two SDs."""
    angles = np.deg2rad(np.clip(rng.normal(0, degrees, 3), -2 * degrees, 2 * degrees))
    shift = np.clip(rng.normal(0, mm, 3), -2 * mm, 2 * mm)
    return sitk.Euler3DTransform((0.0, 18.0, 10.0), *[float(a) for a in angles], [float(s) for s in shift])
