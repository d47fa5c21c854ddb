"""Tumour growth by reaction and diffusion.

Cell density u (0-1 of the carrying capacity) obeys Fisher and Kolmogorov's equation ``du/dt = div(D grad u) + rho u (1 - u)`` with a flux
that conserves cells across the edges of tissues and stops at CSF, the falx and the tentorium. A front moves at ``v = 2 sqrt(D rho)`` and
is ``L = sqrt(D / rho)`` wide (Swanson KR et al., Cell Prolif 2000;33:317; Harpold HLP et al., J Neuropathol Exp Neurol 2007;66:1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..atlas import fibre_direction
from ..images import Grid, array
from .biology import Biology
from .phantom import Head, positions, random_field, stream

GREY_SLOWER = 10.0  # D in white over D in grey matter (Swanson 2000: 2-100; 10 as in most later work)
REGION_MM = 66.0  # half width of the box that a tumour is followed in


@dataclass(frozen=True)
class Region:
    """The box around a tumour: on the head's own voxels (`fine`) and on the coarser grid that it grows on.

    Parameters
    ----------
    box
        The slices of the head's arrays that `fine` covers.
    wm, gm, brain
        Volume fractions and mask of the head on the coarse grid.
    compartments, labels
        What falx and tentorium part (`structures.template_compartments`) and the structures, on the coarse grid.
    allowed, fine_allowed
        Where tumour may be: brain that is not mostly CSF.
    fine_brain, fine_ventricles
        Masks of the head on the fine grid.
    """

    box: tuple[slice, slice, slice]
    fine: Grid
    coarse: Grid
    wm: np.ndarray
    gm: np.ndarray
    brain: np.ndarray
    compartments: np.ndarray
    labels: np.ndarray
    allowed: np.ndarray
    fine_allowed: np.ndarray
    fine_brain: np.ndarray
    fine_ventricles: np.ndarray

    def refine(self, values: np.ndarray) -> np.ndarray:
        """Carry values on the coarse grid smoothly to the fine one."""
        if self.coarse.matches(self.fine):
            return values.astype(np.float32)
        image = self.coarse.image(np.ascontiguousarray(values, np.float32))
        return array(sitk.Resample(image, self.fine.blank(), sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))

    def coarsen(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the fine grid on the coarse one: voxels that are at least half inside."""
        nz, ny, nx = self.coarse.shape
        step = mask.shape[0] // nz
        return mask.reshape(nz, step, ny, step, nx, step).mean(axis=(1, 3, 5)) >= 0.5

    def cc(self, mask: np.ndarray) -> float:
        """Volume of a mask of the fine grid."""
        return float(mask.sum()) * self.fine.voxel_cc

    def clump(self, place: np.ndarray, amount: float) -> np.ndarray:
        """Cells around a point (LPS mm), coarse grid: a Gaussian of 3 mm."""
        squared = sum((p - c) ** 2 for p, c in zip(positions(self.coarse), place))
        return amount * np.exp(-squared / (2 * 3.0**2)).astype(np.float32)

    def point(self, index: np.ndarray) -> np.ndarray:
        """Where a voxel (z, y, x) of the coarse grid lies, LPS mm."""
        return np.asarray(self.coarse.origin) + index[::-1] * self.coarse.spacing

    def field(self, rng: np.random.Generator, scale_mm: float, fine: bool) -> np.ndarray:
        """A random field on either grid."""
        return random_field(self.fine if fine else self.coarse, rng, scale_mm)

    def wall(self) -> np.ndarray:
        """Coarse voxels that touch falx or tentorium from one side or the other."""
        touching = np.zeros(self.coarse.shape, bool)
        for axis in range(3):
            (a, b), (low, high) = _pair(self.compartments, axis), _pair(touching, axis)
            blocked = _parted(a, b)
            low |= blocked
            high |= blocked
        return touching


def region(head: Head, half_mm: float = REGION_MM) -> Region:
    """The box of `half_mm` around a head's tumour, grown at 2 mm (or at the head's own spacing where that is coarser)."""
    h = head.grid.spacing[0]
    step = max(round(2.0 / h), 1)
    centre = np.round((head.seed_mm - np.asarray(head.grid.origin)) / h).astype(int)
    half = int(half_mm / (h * step)) * step
    low = np.maximum(centre - half, 0)
    size = (np.minimum(centre + half, head.grid.size) - low) // step * step
    across, along, up = (slice(int(a), int(a + n)) for a, n in zip(low, size))
    box = (up, along, across)
    direction = head.grid.direction
    x, y, z = origin = np.asarray(head.grid.origin) + low * h
    nx, ny, nz = (int(n) for n in size)
    fine = Grid((nx, ny, nz), (h,) * 3, (x, y, z), direction)
    x, y, z = origin + h * (step - 1) / 2
    coarse = Grid((nx // step, ny // step, nz // step), (h * step,) * 3, (x, y, z), direction)

    def shrink(values: np.ndarray) -> np.ndarray:
        nz, ny, nx = coarse.shape
        return values[box].reshape(nz, step, ny, step, nx, step).mean(axis=(1, 3, 5), dtype=np.float32)

    # What is no tissue that cells could enter.
    fluid = head.tissues["csf"] + head.tissues["dura"] + head.tissues["vein"] + head.tissues["artery"]
    fine_brain, fine_ventricles = head.brain[box], head.ventricles[box]
    brain = shrink(head.brain.astype(np.float32)) > 0.5
    return Region(
        box,
        fine,
        coarse,
        shrink(head.tissues["wm"]),
        shrink(head.tissues["gm"]),
        brain,
        np.ascontiguousarray(head.compartments[box][::step, ::step, ::step]),
        np.ascontiguousarray(head.structures[box][::step, ::step, ::step]),
        brain & (shrink(fluid) < 0.5) & (shrink(head.ventricles.astype(np.float32)) < 0.5),
        fine_brain & (fluid[box] < 0.5) & ~fine_ventricles,
        fine_brain,
        fine_ventricles,
    )


@dataclass(frozen=True)
class Medium:
    """What cells spread in, on the coarse grid: D (mm2/day), rho (1/day), walls, and fibres where D depends on direction.

    Parameters
    ----------
    diffusion, rate
        (z, y, x).
    compartments
        Labels between which no cell passes, see `Region`.
    fibres
        Unit vectors (z, y, x, 3), or None.
    anisotropy
        D along the fibres over D across them; the mean of the three stays `diffusion`.
    """

    diffusion: np.ndarray
    rate: np.ndarray
    compartments: np.ndarray
    fibres: np.ndarray | None = None
    anisotropy: float = 1.0

    def conductance(self, axis: int) -> np.ndarray:
        """D on the faces between neighbours along an axis of the array: the harmonic mean, 0 at walls."""
        along = self.diffusion
        if self.fibres is not None:
            across = 3 / (self.anisotropy + 2)
            along = along * (across + across * (self.anisotropy - 1) * self.fibres[..., 2 - axis] ** 2)
        a, b = _pair(along, axis)
        faces = 2 * a * b / np.maximum(a + b, 1e-12)
        faces[_parted(*_pair(self.compartments, axis))] = 0
        return faces.astype(np.float32)


def _parted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether falx or tentorium lies between voxels with these compartments: they differ, and neither is outside (0) or open (4)."""
    return (a != b) & (a > 0) & (b > 0) & (a < 4) & (b < 4)


def grow(
    density: np.ndarray,
    medium: Medium,
    spacing_mm: float,
    measure: Callable[[np.ndarray], float],
    target: float,
    longest_days: float = 3000.0,
    every_days: float = 8.0,
) -> tuple[np.ndarray, float]:
    """Integrate Fisher and Kolmogorov's equation until ``measure(density)`` reaches `target`, or for `longest_days`.

    Explicit in time; the flux between two voxels uses the harmonic mean of their D, so none crosses into D = 0 and cells are conserved.
    D that depends on direction enters by its diagonal (the share along each axis of the grid). Between the last two looks, the density
    is blended so that the target is met.

    Parameters
    ----------
    density
        Start (z, y, x), 0-1.
    medium
        Where and how fast cells spread and divide.
    spacing_mm
        Voxel size of the cubic voxels.
    measure
        A number that grows with the tumour, e.g. its volume.

    Returns
    -------
    density, days
    """
    u = density.astype(np.float32)
    faces = [medium.conductance(axis) for axis in range(3)]
    fastest = max(float(f.max()) for f in faces)
    step = min(0.9 * spacing_mm**2 / max(6 * fastest, 1e-9), 0.25 / float(medium.rate.max()))
    checks = max(int(np.ceil(every_days / step)), 1)
    step = every_days / checks
    faces = [f * np.float32(step / spacing_mm**2) for f in faces]
    births = (medium.rate * step).astype(np.float32)
    days, before = 0.0, u
    while days < longest_days:
        before = u.copy()
        box = _around(u, checks + 1)
        _advance(u, faces, births, box, checks)
        days += every_days
        if measure(u) >= target:
            break
    else:
        return u, days
    low, high = 0.0, 1.0
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (low, middle) if measure(before + np.float32(middle) * (u - before)) >= target else (middle, high)
    return before + np.float32(high) * (u - before), days - every_days * (1 - high)


def _around(u: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """The box of voxels that hold cells (a millionth counts as none), and `margin` more: beyond it nothing can change."""
    cells = u > 1e-6

    def along(axis: int) -> slice:
        hit = np.flatnonzero(cells.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = (hit[0], hit[-1] + 1) if len(hit) else (0, 1)
        return slice(max(int(low) - margin, 0), min(int(high) + margin, u.shape[axis]))

    return along(0), along(1), along(2)


def _advance(u: np.ndarray, faces: list[np.ndarray], births: np.ndarray, box: tuple[slice, ...], steps: int) -> None:
    """Take time steps inside a box, in place."""
    inside = np.ascontiguousarray(u[box])
    births = np.ascontiguousarray(births[box])
    local = []
    for axis, f in enumerate(faces):
        cut = list(box)
        cut[axis] = slice(box[axis].start, box[axis].stop - 1)
        local.append(np.ascontiguousarray(f[tuple(cut)]))
    change = np.empty_like(inside)
    flux = [np.empty_like(f) for f in local]
    for _ in range(steps):
        np.subtract(1, inside, out=change)
        change *= inside
        change *= births
        for axis in range(3):
            a, b = _pair(inside, axis)
            np.subtract(b, a, out=flux[axis])
            flux[axis] *= local[axis]
            low, high = _pair(change, axis)
            low += flux[axis]
            high -= flux[axis]
        inside += change
    u[box] = inside


def _pair(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of each voxel and its next neighbour along an axis."""
    first = [slice(None)] * 3
    second = [slice(None)] * 3
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    return values[tuple(first)], values[tuple(second)]


def tumour_medium(part: Region, biology: Biology, seed_mm: np.ndarray, seed: int) -> Medium:
    """D and rho of a tumour: tissue, and a log-normal unevenness that makes outlines irregular (chosen).

    D fades to 0 towards the region's border, so that none of its faces is ever seen.
    """
    rng = stream(seed, "medium")
    uneven = np.exp(0.55 * part.field(rng, 11.0, False) + 0.3 * part.field(rng, 6.0, False))
    tissue = part.wm + part.gm / GREY_SLOWER
    away = np.sqrt(sum((p - c) ** 2 for p, c in zip(positions(part.coarse), seed_mm)))
    inner = np.clip((REGION_MM - 6 - away) / 8.0, 0, 1)
    diffusion = biology.diffusion * np.clip(tissue * uneven, 0, 4) * part.allowed * inner
    rate = biology.rate * np.clip(np.exp(0.25 * part.field(rng, 14.0, False)), 0.4, 2.0)
    fibres = fibre_direction(part.wm, part.coarse.spacing, labels=part.labels) if biology.anisotropy > 1 else None
    return Medium(diffusion.astype(np.float32), rate.astype(np.float32), part.compartments, fibres, biology.anisotropy)


def first_cells(part: Region, seed_mm: np.ndarray, seed: int, multifocal: bool = False) -> np.ndarray:
    """The start: a clump of 3 mm, and one to three smaller ones within 14 mm, which makes the tumour lobed (chosen).

    A multifocal tumour has one more, 22-38 mm away in white matter of the same compartment.
    """
    rng = stream(seed, "first cells")
    clumps = [(seed_mm, 0.9)] + [
        (seed_mm + rng.normal(0, 7.0, 3).clip(-14, 14), 0.5) for _ in range(rng.integers(1, 4))
    ]
    if multifocal:
        rng = stream(seed, "second focus")
        away = np.sqrt(sum((p - c) ** 2 for p, c in zip(positions(part.coarse), seed_mm)))
        here = part.compartments == part.compartments[np.unravel_index(away.argmin(), away.shape)]
        places = np.argwhere(part.allowed & here & (part.wm > 0.7) & (away > 22) & (away < 38))
        if len(places):
            clumps.append((part.point(places[int(rng.integers(len(places)))]), 0.6))
    density = np.zeros(part.coarse.shape, np.float32)
    for place, amount in clumps:
        density += part.clump(place, amount)
    return np.minimum(density, 1) * part.allowed
