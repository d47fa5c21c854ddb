"""Tumour growth by reaction and diffusion, and the lesion that MRI shows of it.

Cell density u (0-1 of the carrying capacity) obeys Fisher and Kolmogorov's equation ``du/dt = div(D grad u) + rho u (1 - u)`` with a flux
that conserves cells across the edges of tissues and stops at CSF. A front moves at ``v = 2 sqrt(D rho)`` and is ``L = sqrt(D / rho)`` wide
(Swanson KR et al., Cell Prolif 2000;33:317; Harpold HLP et al., J Neuropathol Exp Neurol 2007;66:1). Where u is high tissue enhances; deep
inside it is necrotic; around it white matter swells (vasogenic oedema: geodesic distance, ten times slower in grey matter).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid, array
from .phantom import Head, positions, random_field, stream

GREY_SLOWER = 10.0  # D in white over D in grey matter


@dataclass(frozen=True)
class Biology:
    """What one tumour is like; drawn from the seed by `draw_biology`.

    Parameters
    ----------
    front_mm_day, width_mm
        Speed v and width L of the front in white matter.
    cel_density
        Cell density from which tissue enhances.
    rim_mm
        Thickness of the enhancing rim around necrosis.
    cel_cc, t2l_cc
        Volumes wanted before surgery (CEL) and at the baseline scan (T2L with CEL).
    """

    front_mm_day: float
    width_mm: float
    cel_density: float
    rim_mm: float
    cel_cc: float
    t2l_cc: float

    @property
    def diffusion(self) -> float:
        """D in white matter, mm2/day."""
        return self.front_mm_day * self.width_mm / 2

    @property
    def rate(self) -> float:
        """Proliferation rho, 1/day."""
        return self.front_mm_day / (2 * self.width_mm)


def draw_biology(seed: int) -> Biology:
    """Draw a tumour: v .06-.16 mm/day, L 1.2-4 mm, CEL 3-40 cc, T2L with CEL log-normal about 26 cc in 1-154 cc (Tran 2025)."""
    rng = stream(seed, "biology")
    return Biology(
        front_mm_day=float(rng.uniform(0.06, 0.16)),
        width_mm=float(rng.uniform(1.2, 4.0)),
        cel_density=float(rng.uniform(0.55, 0.75)),
        rim_mm=float(rng.uniform(3.0, 6.0)),
        cel_cc=float(np.clip(rng.lognormal(np.log(13.0), 0.6), 3.0, 40.0)),
        t2l_cc=float(np.clip(rng.lognormal(np.log(26.4), 0.73), 1.0, 154.0)),
    )


@dataclass(frozen=True)
class Region:
    """The box around a tumour: on the head's own voxels (`fine`) and on the coarser grid that it grows on.

    Parameters
    ----------
    box
        The slices of the head's arrays that `fine` covers.
    tissues, brain
        Volume fractions and mask of the head on the coarse grid.
    allowed, fine_allowed
        Where tumour may be: brain that is not mostly CSF.
    """

    box: tuple[slice, slice, slice]
    fine: Grid
    coarse: Grid
    wm: np.ndarray
    gm: np.ndarray
    brain: np.ndarray
    allowed: np.ndarray
    fine_allowed: np.ndarray
    fine_brain: np.ndarray

    def refine(self, values: np.ndarray) -> np.ndarray:
        """Carry values on the coarse grid smoothly to the fine one."""
        if self.coarse.matches(self.fine):
            return values.astype(np.float32)
        image = self.coarse.image(np.ascontiguousarray(values, np.float32))
        return array(sitk.Resample(image, self.fine.blank(), sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))

    def field(self, rng: np.random.Generator, scale_mm: float, fine: bool) -> np.ndarray:
        """A random field on either grid."""
        return random_field(self.fine if fine else self.coarse, rng, scale_mm)


def region(head: Head, half_mm: float = 66.0) -> Region:
    """The box of `half_mm` around a head's tumour, grown at 2 mm (or at the head's own spacing where that is coarser)."""
    h = head.grid.spacing[0]
    step = max(round(2.0 / h), 1)
    centre = np.round((head.seed_mm - np.asarray(head.grid.origin)) / h).astype(int)
    half = int(half_mm / (h * step)) * step
    low = np.maximum(centre - half, 0)
    size = (np.minimum(centre + half, head.grid.size) - low) // step * step
    box = tuple(slice(int(a), int(a + n)) for a, n in zip(low[::-1], size[::-1]))
    direction = head.grid.direction
    origin = np.asarray(head.grid.origin) + low * h
    fine = Grid(tuple(int(n) for n in size), (h,) * 3, tuple(origin), direction)
    coarse = Grid(tuple(int(n) for n in size // step), (h * step,) * 3, tuple(origin + h * (step - 1) / 2), direction)

    def shrink(values: np.ndarray) -> np.ndarray:
        nz, ny, nx = coarse.shape
        return values[box].reshape(nz, step, ny, step, nx, step).mean(axis=(1, 3, 5), dtype=np.float32)

    fluid = head.tissues["csf"]
    fine_brain = head.brain[box]
    fine_allowed = fine_brain & (fluid[box] < 0.5) & ~head.ventricles[box]
    brain = shrink(head.brain.astype(np.float32)) > 0.5
    allowed = brain & (shrink(fluid) < 0.5) & (shrink(head.ventricles.astype(np.float32)) < 0.5)
    return Region(
        box,
        fine,
        coarse,
        shrink(head.tissues["wm"]),
        shrink(head.tissues["gm"]),
        brain,
        allowed,
        fine_allowed,
        fine_brain,
    )


def grow(
    density: np.ndarray,
    diffusion: np.ndarray,
    rate: np.ndarray,
    spacing_mm: float,
    done: Callable[[np.ndarray, float], bool],
    longest_days: float = 3000.0,
    every_days: float = 6.0,
) -> tuple[np.ndarray, float]:
    """Integrate Fisher and Kolmogorov's equation until `done(density, days)` or `longest_days`.

    Explicit in time; the flux between two voxels uses the harmonic mean of their D, so none crosses into D = 0 and cells are conserved.

    Parameters
    ----------
    density
        Start (z, y, x), 0-1.
    diffusion, rate
        D in mm2/day and rho in 1/day (z, y, x).
    spacing_mm
        Voxel size of the cubic voxels.

    Returns
    -------
    density, days
    """
    u = density.astype(np.float32)
    days = 0.0
    step = min(0.9 * spacing_mm**2 / (6 * float(diffusion.max())), 0.25 / float(rate.max()))
    checks = max(int(np.ceil(every_days / step)), 1)
    step = every_days / checks
    conduct = []
    for axis in range(3):
        a, b = _pair(diffusion, axis)
        conduct.append((2 * a * b / np.maximum(a + b, 1e-12) * step / spacing_mm**2).astype(np.float32))
    growth = (rate * step).astype(np.float32)
    change = np.empty_like(u)
    while days < longest_days and not done(u, days):
        for _ in range(checks):
            np.multiply(u, 1 - u, out=change)
            change *= growth
            for axis in range(3):
                a, b = _pair(u, axis)
                flux = (b - a) * conduct[axis]
                low, high = _pair(change, axis)
                low += flux
                high -= flux
            u += change
        days += every_days
    return u, days


def _pair(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of each voxel and its next neighbour along an axis."""
    first = [slice(None)] * 3
    second = [slice(None)] * 3
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    return values[tuple(first)], values[tuple(second)]


def medium(part: Region, biology: Biology, seed_mm: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """D and rho on the coarse grid: tissue, and a lognormal unevenness that makes outlines irregular.

    D fades to 0 towards the region's border, so that none of its faces is ever seen.
    """
    rng = stream(seed, "medium")
    uneven = np.exp(0.55 * part.field(rng, 11.0, False) + 0.3 * part.field(rng, 6.0, False))
    tissue = part.wm + part.gm / GREY_SLOWER
    away = np.sqrt(sum((p - c) ** 2 for p, c in zip(positions(part.coarse), seed_mm)))
    inner = np.clip((60.0 - away) / 8.0, 0, 1)
    diffusion = biology.diffusion * np.clip(tissue * uneven, 0, 4) * part.allowed * inner
    rate = biology.rate * np.clip(np.exp(0.25 * part.field(rng, 14.0, False)), 0.4, 2.0)
    return diffusion.astype(np.float32), rate.astype(np.float32)


def first_cells(part: Region, seed_mm: np.ndarray, seed: int) -> np.ndarray:
    """The start: a clump of 3 mm, and one to three smaller ones within 14 mm, which makes the tumour lobed."""
    rng = stream(seed, "first cells")
    density = np.zeros(part.coarse.shape, np.float32)
    clumps = [(seed_mm, 0.9)] + [
        (seed_mm + rng.normal(0, 7.0, 3).clip(-14, 14), 0.5) for _ in range(rng.integers(1, 4))
    ]
    for place, amount in clumps:
        squared = sum((p - c) ** 2 for p, c in zip(positions(part.coarse), place))
        density += amount * np.exp(-squared / (2 * 3.0**2)).astype(np.float32)
    return np.minimum(density, 1) * part.allowed


@dataclass(frozen=True)
class Unevenness:
    """Random fields (z, y, x) that make a lesion's edge and the thickness of its rim irregular; about unit variance."""

    edge: np.ndarray
    rim: np.ndarray
    grid: Grid
    allowed: np.ndarray


def unevenness(part: Region, seed: int, fine: bool) -> Unevenness:
    """The fields of one patient on the fine or the coarse grid."""
    rng = stream(seed, "edge")
    edge = 0.10 * part.field(rng, 8.0, fine) + 0.06 * part.field(rng, 4.0, fine)
    rng = stream(seed, "rim")
    rim = 0.38 * part.field(rng, 10.0, fine) + 0.22 * part.field(rng, 5.0, fine)
    if fine:
        return Unevenness(edge, np.exp(rim), part.fine, part.fine_allowed)
    return Unevenness(edge, np.exp(rim), part.coarse, part.allowed)


def core(density: np.ndarray, biology: Biology, uneven: Unevenness) -> np.ndarray:
    """Where cells are so dense that the tissue enhances or has died; the threshold is uneven, so the edge is."""
    inside = (density + uneven.edge * (density > 0.15) > biology.cel_density) & uneven.allowed
    return _without_specks(inside, uneven.grid, 0.15)


def necrosis(inside: np.ndarray, biology: Biology, uneven: Unevenness) -> np.ndarray:
    """Where the core lies deeper than its rim is thick; the rim's thickness varies, down to 1.5 mm."""
    if not inside.any():
        return inside
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=uneven.grid.spacing)[1:-1, 1:-1, 1:-1]
    return _without_specks(inside & (depth > np.maximum(biology.rim_mm * uneven.rim, 1.5)), uneven.grid, 0.05)


def oedema_arrival(part: Region, inside: np.ndarray, seed: int) -> np.ndarray:
    """Arrival (coarse grid, mm of white matter) of the fluid that spreads from the core; large where it never comes.

    White matter conducts, the more the purer it is and unevenly, so fingers reach along the tracts between the gyri's cortex.
    """
    rng = stream(seed, "oedema")
    conduct = np.exp(0.55 * part.field(rng, 13.0, False) + 0.35 * part.field(rng, 6.0, False))
    speed = (np.clip(part.wm, 0, 1) ** 3 * conduct + 0.02) * part.allowed
    speed = np.where(inside, 1.0, speed).astype(np.float32)
    if not inside.any():
        return np.full(part.coarse.shape, 1e3, np.float32)
    edge = np.argwhere(inside)
    march = sitk.FastMarchingImageFilter()
    march.SetTrialPoints([[int(i) for i in p[::-1]] for p in edge])
    march.SetInitialTrialValues([0.0] * len(edge))
    march.SetStoppingValue(70.0)
    arrival = array(
        march.Execute(part.coarse.image(speed)), np.float64
    )  # where the front never came: the largest number
    return np.minimum(arrival, 1e3).astype(np.float32)


def spread(
    part: Region, arrival: np.ndarray, always: np.ndarray, never: np.ndarray, total_cc: float
) -> tuple[np.ndarray, float]:
    """The oedema (fine grid) whose union with `always` has `total_cc`, and its threshold of arrival in mm."""
    free = part.fine_allowed & ~always & ~never
    room = max(total_cc - always.sum() * part.fine.voxel_cc, 0.0)
    times = np.sort(arrival[free])
    n = min(round(room / part.fine.voxel_cc), int(np.searchsorted(times, 69.0)))
    if n < 1:
        return np.zeros_like(free), 0.0
    limit = float(times[n - 1])
    return _without_specks((free & (arrival <= limit)) | always, part.fine, 0.1) & ~always, limit


def _without_specks(mask: np.ndarray, grid: Grid, smallest_cc: float) -> np.ndarray:
    """Drop parts smaller than `smallest_cc`."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    size = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_cc
    size[0] = 0
    keep = size >= min(smallest_cc, size.max())
    return keep[labels]
