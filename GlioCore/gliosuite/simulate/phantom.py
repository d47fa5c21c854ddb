"""The healthy head: MNI152 tissues, ventricles, vessels, skull and scalp, deformed differently for each patient.

All positions are LPS millimetres in a head frame whose origin is that of MNI152 (anterior commissure). Random numbers are drawn on
control lattices in that frame, so that the same seed gives the same patient on every grid, up to its resolution.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .. import anatomy
from ..images import Grid, array, boolean

TISSUES = ("gm", "wm", "csf", "bone", "marrow", "fat", "muscle", "artery", "vein")

# The box of a head in LPS mm: wide enough for a scalp around the largest brain drawn.
_HEAD_BOX_MM = ((-96.0, 96.0), (-104.0, 128.0), (-76.0, 104.0))
_FAR_MM = 60.0
_LATTICE_BOX_MM = ((-120.0, 120.0), (-130.0, 155.0), (-100.0, 130.0))

# T1 of the template (0-255) in pure tissue: 1st and 99th percentile of voxels with a probability above .95.
_T1_CSF, _T1_GM, _T1_WM = (85.0, 148.0), (170.0,), (217.0,)

# Centre lines in MNI (RAS) mm and radii in mm. Positions are those of an atlas of normal anatomy, drawn by hand; radii are at the upper
# end of normal so that a voxel of DCE or DSC fits inside the carotid, as it does in patients.
_PAIRED_ARTERIES = (
    (2.9, ((25, -20, -78), (24, -17, -60), (20, -9, -50), (14, 1, -42), (12, 6, -34), (13, 5, -25), (15, 3, -18))),
    (1.9, ((15, 3, -18), (24, 4, -19), (34, 2, -18), (40, -1, -14))),
    (1.4, ((40, -1, -14), (42, 4, -2), (40, 8, 10), (46, 4, 18), (54, 0, 24))),
    (1.4, ((40, -1, -14), (41, -12, -4), (40, -22, 8), (48, -36, 16), (56, -44, 22))),
    (1.3, ((15, 3, -18), (9, 8, -18), (3, 12, -17))),
    (1.3, ((2, 12, -17), (2, 30, -10), (2, 40, 6), (2, 34, 24), (2, 16, 36), (2, -8, 42))),
    (1.3, ((0, -17, -16), (10, -18, -12), (20, -28, -6), (22, -42, -2), (16, -60, 2))),
)
_MIDLINE_ARTERIES = ((2.0, ((0, -12, -48), (0, -14, -30), (0, -17, -16))),)


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of one patient: switching another part off does not change them."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def head_grid(grid_mm: float) -> Grid:
    """The axial grid (LPS, identity direction) that a head is built on."""
    size = [round((high - low) / grid_mm) for low, high in _HEAD_BOX_MM]
    origin = [low + grid_mm / 2 for low, _ in _HEAD_BOX_MM]
    return Grid(tuple(size), (float(grid_mm),) * 3, tuple(origin), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def positions(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LPS mm along the axes of a grid whose axes lie along the frame's: x (1,1,n), y (1,n,1), z (n,1,1)."""
    (x0, y0, z0), steps = grid.origin, np.diag(np.reshape(grid.direction, (3, 3))) * grid.spacing
    nx, ny, nz = grid.size
    return (
        (x0 + steps[0] * np.arange(nx))[None, None, :],
        (y0 + steps[1] * np.arange(ny))[None, :, None],
        (z0 + steps[2] * np.arange(nz))[:, None, None],
    )


def _interpolate(values: np.ndarray, axis: int, points: np.ndarray, low: float, scale: float) -> np.ndarray:
    """Join lattice values along one axis by cubic B-splines; the lattice starts one step before `low`."""
    u = (points - low) / scale
    first = np.clip(np.floor(u).astype(int), 0, values.shape[axis] - 4)
    f = u - first
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6
    shape = [1] * values.ndim
    shape[axis] = -1
    terms = (np.take(values, first + k, axis) * w.reshape(shape).astype(np.float32) for k, w in enumerate(weights))
    return sum(terms, np.float32(0))


def random_field(grid: Grid, rng: np.random.Generator, scale_mm: float) -> np.ndarray:
    """A smooth random field (z, y, x), float32, about unit variance, with features of about `scale_mm`.

    Normal numbers on a lattice of `scale_mm` are joined by cubic B-splines, axis by axis (no matrix product: its last bits would
    depend on the number of threads).
    """
    counts = [int(np.ceil((high - low) / scale_mm)) + 4 for low, high in _LATTICE_BOX_MM]
    field = rng.standard_normal(counts[::-1], np.float32) / np.float32(
        0.479**1.5
    )  # mean square sum of the four weights
    for axis in (2, 1, 0):  # the largest pass last, on whole slices
        low = _LATTICE_BOX_MM[2 - axis][0]
        field = _interpolate(field, axis, positions(grid)[2 - axis].ravel(), low, scale_mm)
    return field


def push(grid: Grid, centre: np.ndarray, reach_mm: float, amount_mm: float) -> list[np.ndarray]:
    """Displacement (x, y, z components) away from `centre`: `amount_mm` at the distance `reach_mm`, fading beyond."""
    offsets = [p - c for p, c in zip(positions(grid), centre)]
    squared = sum(o**2 for o in offsets)
    strength = (amount_mm / reach_mm) * np.exp(0.5 - squared / (2 * reach_mm**2))
    return [(o * strength).astype(np.float32) for o in offsets]


def _tube(volume: np.ndarray, grid: Grid, line: np.ndarray, radius: float) -> None:
    """Draw a tube along `line` (points, 3; LPS mm) into `volume` (z, y, x) as a volume fraction."""
    axes = [p.ravel() for p in positions(grid)]
    for a, b in zip(line[:-1], line[1:]):
        low, high = np.minimum(a, b) - radius - 2, np.maximum(a, b) + radius + 2
        inside = [np.flatnonzero((p >= lo) & (p <= hi)) for p, lo, hi in zip(axes, low, high)]
        if any(i.size == 0 for i in inside):
            continue
        box = tuple(slice(i[0], i[-1] + 1) for i in inside[::-1])
        p = np.stack(np.meshgrid(*[axis[i] for axis, i in zip(axes, inside)], indexing="ij"), -1).transpose(2, 1, 0, 3)
        along = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        distance = np.linalg.norm(p - a - along[..., None] * (b - a), axis=-1)
        np.maximum(volume[box], np.clip(radius + 0.5 - distance, 0, 1), out=volume[box])


@lru_cache(maxsize=1)
def _template_head() -> tuple[sitk.Image, tuple[str, ...]]:
    """The template's head as one vector image (uint8), and the names of its components.

    Tissue comes from the T1 (its edges are sharper than those of the averaged probabilities) and the CSF probability. Around it, by
    distance from a smooth hull: CSF, the two tables of the skull with marrow between, fat and skin; below it muscle and two eyes.
    """
    template = anatomy.template()
    grid = template.grid
    t1, brain = array(template.t1), boolean(template.brain)
    inside = ndimage.binary_erosion(brain)
    csf = np.maximum(array(anatomy.template_csf()), np.clip((_T1_CSF[1] - t1) / (_T1_CSF[1] - _T1_CSF[0]), 0, 1))
    wm = np.clip((t1 - _T1_GM[0]) / (_T1_WM[0] - _T1_GM[0]), 0, 1) * (array(template.wm) > 25)
    csf = np.where(inside, csf, np.where(brain, 0.8, 0))
    wm = np.where(inside, np.minimum(wm, 1 - csf), 0)

    artery = np.zeros(grid.shape, np.float32)
    for radius, line in _PAIRED_ARTERIES:
        for side in (-1, 1):
            _tube(artery, grid, np.asarray(line, float) * (side, -1, 1), radius)
    for radius, line in _MIDLINE_ARTERIES:
        _tube(artery, grid, np.asarray(line, float) * (-1, -1, 1), radius)

    # The hull is found at 2 mm: it is smooth, and a closing of 16 mm is slow at 1 mm.
    coarse = grid.isotropic(2.0)
    small = (
        sitk.Resample(sitk.Cast(template.brain, sitk.sitkFloat32), coarse.blank(), sitk.Transform(), sitk.sitkLinear)
        > 0.5
    )
    closed = (
        sitk.SignedMaurerDistanceMap(small, insideIsPositive=False, squaredDistance=False, useImageSpacing=True) < 16
    )
    closed = (
        sitk.SignedMaurerDistanceMap(closed, insideIsPositive=False, squaredDistance=False, useImageSpacing=True) < -15
    )
    hull = sitk.SignedMaurerDistanceMap(closed, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    hull = sitk.SmoothingRecursiveGaussian(hull, 3.0)
    distance = array(sitk.Resample(hull, grid.blank(), sitk.Transform(), sitk.sitkLinear, _FAR_MM, sitk.sitkFloat32))

    x, y, z = positions(grid)
    across = np.clip(4.6 - abs(x), 0, 1)
    sagittal = across * ((z > 5) | (y > 60)) * (z > -12) * (y > -62)
    transverse = np.clip(4.0 - abs(z + 13 - 0.1 * abs(x)), 0, 1) * (y > 38) * (abs(x) > 2)
    vein = np.maximum(sagittal, transverse) * np.clip(distance + 0.5, 0, 1) * np.clip(6.5 - distance, 0, 1) * ~brain

    depth = (_FAR_MM - distance) * 2  # half millimetres fit into a byte; 0, the value beyond the box, is far away
    # Few components, since warping them is what costs: the ventricles lie deep in the brain, arteries and veins far apart.
    parts = {
        "wm": wm * 255,
        "csf": csf * 255,
        "brain": (brain * 1.0 + array(anatomy.template_ventricles())) * 127,
        "vessel": 127 + 127 * artery - 127 * vein * (artery == 0),
        "depth": depth,
    }
    stack = np.stack([np.clip(np.round(p), 0, 255).astype(np.uint8) for p in parts.values()], axis=-1)
    image = sitk.GetImageFromArray(stack, isVector=True)
    image.CopyInformation(template.t1)
    return image, tuple(parts)


@dataclass(frozen=True)
class Head:
    """A patient's head before the tumour.

    Parameters
    ----------
    grid
        Its grid (LPS, identity direction).
    tissues
        Volume fractions (z, y, x) float32 of `TISSUES`; their sum is 1 inside the head and 0 in air.
    brain, ventricles
        Boolean (z, y, x); the brain with the CSF in its sulci.
    seed_mm
        Where the tumour starts, LPS mm.
    """

    grid: Grid
    tissues: dict[str, np.ndarray]
    brain: np.ndarray
    ventricles: np.ndarray
    seed_mm: np.ndarray


@lru_cache(maxsize=1)
def _starting_places() -> np.ndarray:
    """Template positions (n, 3; LPS mm) where a tumour may start: cerebral white matter, every 3 mm, off the midline."""
    template = anatomy.template()
    x, y, z = positions(template.grid)
    white = ndimage.binary_erosion(array(template.wm) > 200, iterations=2)
    # LPS: y < 45 keeps the cerebellum and the occipital poles out, z > -12 (-25 in front) the brainstem.
    place = white & (abs(x) > 14) & (abs(x) < 50) & (y < 62) & ((z > 0) | (y < 22)) & (z > -22) & (z < 58)
    index = np.argwhere(place)
    index = index[(index % 3 == 0).all(axis=1)]
    return np.stack([x.ravel()[index[:, 2]], y.ravel()[index[:, 1]], z.ravel()[index[:, 0]]], axis=1)


def build_head(seed: int, grid_mm: float, mass_radius_mm: float, skull: bool = True) -> Head:
    """A head of its own size and folding, pushed aside around the place where its tumour will grow.

    Parameters
    ----------
    seed
        The patient.
    grid_mm
        Voxel size in mm.
    mass_radius_mm
        Radius that the tumour will have, in mm; the brain is displaced by about an eighth of it.
    skull
        Without, everything outside the brain mask is air.
    """
    grid = head_grid(grid_mm)
    rng = stream(seed, "head")
    # The template's brain mask holds 1888 cc, more than almost any adult's; shrunk by this, heads have about 1540 +- 120 cc.
    sizes = 0.935 * (1 + rng.normal(0.0, 0.025) + rng.normal(0.0, 0.012, 3)).clip(0.93, 1.07)
    centre = np.array([0.0, 18.0, 10.0])
    wide = [2.6 * random_field(grid, rng, 42.0) for _ in range(3)]
    fold = [0.9 * random_field(grid, rng, 14.0) for _ in range(3)]
    places = _starting_places()
    start = places[int(rng.integers(len(places)))]

    # The map goes from the patient to the template, so the starting place is carried back by iteration.
    there = _nearest(grid, start)
    for _ in range(5):
        shift = np.array([w[there] + f[there] for w, f in zip(wide, fold)])
        seed_mm = centre + (start - shift - centre) * sizes
        there = _nearest(grid, seed_mm)
    aside = push(grid, seed_mm, mass_radius_mm + 6.0, mass_radius_mm / 8.0)
    field = np.stack(
        [
            w + f - a + ((p - c) * (1 / s - 1)).astype(np.float32)
            for w, f, a, p, c, s in zip(wide, fold, aside, positions(grid), centre, sizes)
        ],
        axis=-1,
    )
    displacement = sitk.GetImageFromArray(field, isVector=True)
    displacement.SetSpacing(grid.spacing)
    displacement.SetOrigin(grid.origin)
    image, names = _template_head()
    warped = sitk.Warp(image, displacement, sitk.sitkLinear, grid.size, grid.origin, grid.spacing, grid.direction)
    voxels = sitk.GetArrayViewFromImage(warped)
    part = {name: voxels[..., i].astype(np.float32) / np.float32(255) for i, name in enumerate(names)}
    distance = np.float32(_FAR_MM) - ndimage.gaussian_filter(part.pop("depth"), 0.8 / grid_mm) * np.float32(255 / 2)
    level = part.pop("brain")
    brain, ventricles = level > 63 / 255, level > 191 / 255
    vessel = part.pop("vessel") * np.float32(255 / 127) - 1
    part |= {"artery": np.maximum(vessel, 0), "vein": np.maximum(-vessel, 0) * (distance < 9)}
    part["gm"] = np.maximum(brain - part["wm"] - part["csf"], 0)
    tissues = _surround(part, brain, distance, grid, rng) if skull else _bare(part, brain)
    return Head(grid, tissues, brain, ventricles, seed_mm)


def _nearest(grid: Grid, point: np.ndarray) -> tuple[int, int, int]:
    """Index (z, y, x) of the voxel nearest to a point."""
    index = np.round((point - np.asarray(grid.origin)) / grid.spacing).astype(int)
    return tuple(int(i) for i in np.clip(index, 0, np.asarray(grid.size) - 1)[::-1])


def _bare(part: dict[str, np.ndarray], brain: np.ndarray) -> dict[str, np.ndarray]:
    """Tissues of a brain with nothing around it."""
    tissues = {name: np.zeros(brain.shape, np.float32) for name in TISSUES}
    tissues["artery"] = part["artery"] * brain
    for name in ("gm", "wm"):
        tissues[name] = part[name] * (1 - tissues["artery"]) * brain
    tissues["csf"] = brain - sum(tissues.values())
    return tissues


def _surround(
    part: dict[str, np.ndarray], brain: np.ndarray, distance: np.ndarray, grid: Grid, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Tissues with CSF, skull, scalp, muscle and eyes around the brain, by the distance (mm) from its hull."""
    x, y, z = positions(grid)
    edge = max(grid.spacing[0], 1.0)
    thick = np.clip(1 + 0.18 * random_field(grid, rng, 45.0), 0.6, 1.5)
    d = distance / thick

    def layer(low: float, high: float) -> np.ndarray:
        return np.clip((d - low) / edge + 0.5, 0, 1) * np.clip((high - d) / edge + 0.5, 0, 1)

    # Below the skull base: neck and face as a tapering ellipse of muscle with fat between.
    face = 1 - ((x / 66) ** 2 + ((y + 6 - 0.25 * (z + 40)) / 88) ** 2) ** 0.5
    below = np.clip((-22 - z - 0.28 * np.maximum(y, -60)) / 3, 0, 1) * np.clip(face * 60 / edge, 0, 1)
    below = below * (d > 8)
    lobes = np.clip(0.8 + 0.35 * random_field(grid, rng, 7.0), 0, 1)
    muscle = np.maximum(layer(11.5, 13.5), below * lobes)
    fat = np.maximum(layer(8.5, 11.5), below * (1 - lobes))
    bone = layer(2.0, 8.5)
    marrow = layer(3.8, 6.6) * np.clip((z + 15) / 10, 0, 1) * 0.9
    eyes = np.zeros(grid.shape, np.float32)
    for side in (-1, 1):
        r = np.sqrt((x - 32 * side) ** 2 + (y + 66) ** 2 + (z + 34) ** 2)
        np.maximum(eyes, np.clip((12 - r) / edge + 0.5, 0, 1) * ~brain, out=eyes)
    tissues: dict[str, np.ndarray] = {}
    free = np.ones(grid.shape, np.float32)

    def fill(name: str, amount: np.ndarray) -> None:
        nonlocal free
        amount = np.minimum(np.maximum(amount, 0), 1).astype(np.float32) * free
        tissues[name] = tissues.get(name, 0) + amount
        free = free - amount

    fill("artery", part["artery"])
    fill("vein", part["vein"] * ~brain)
    for name in ("gm", "wm"):
        fill(name, part[name] / np.maximum(part["gm"] + part["wm"] + part["csf"], 1e-3) * brain)
    fill("csf", np.maximum(brain, np.maximum(np.clip((2.0 - d) / edge + 0.5, 0, 1), eyes)))
    fill("marrow", marrow)
    fill("bone", bone)
    fill("fat", fat)
    fill("muscle", muscle)
    return {name: tissues[name] for name in TISSUES}
