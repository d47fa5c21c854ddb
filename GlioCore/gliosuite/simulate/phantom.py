"""The healthy head: MNI152 tissues and structures, vessels, dura, skull and scalp, deformed differently for each patient.

All positions are LPS millimetres in a head frame whose origin is that of MNI152 (anterior commissure). Random numbers are drawn on
control lattices in that frame, so that the same seed gives the same patient on every grid, up to its resolution.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..atlas import structures
from ..atlas import template as anatomy
from ..images import Grid, array, boolean

TISSUES = ("gm", "wm", "csf", "bone", "marrow", "fat", "muscle", "artery", "vein", "dura")

# The box of a head in LPS mm: wide enough for a scalp around the largest brain drawn.
_HEAD_BOX_MM = ((-96.0, 96.0), (-104.0, 128.0), (-76.0, 104.0))
_FAR_MM = 60.0
_LATTICE_BOX_MM = ((-120.0, 120.0), (-130.0, 155.0), (-100.0, 130.0))

# T1 of the template (0-255) in pure tissue: 1st and 99th percentile of voxels with a probability above .95.
_T1_CSF, _T1_GM, _T1_WM = (85.0, 148.0), (170.0,), (217.0,)

# Centre lines in MNI (RAS) mm and radii in mm. Positions are those of an atlas of normal anatomy, drawn by hand; radii are at the upper
# end of normal so that a voxel of DCE or DSC fits inside the carotid, as it does in patients.
_Tubes = tuple[tuple[float, tuple[tuple[float, ...], ...]], ...]  # radius and points, mm
_PAIRED_ARTERIES: _Tubes = (
    (2.9, ((25, -20, -78), (24, -17, -60), (20, -9, -50), (14, 1, -42), (12, 6, -34), (13, 5, -25), (15, 3, -18))),
    (1.9, ((15, 3, -18), (24, 4, -19), (34, 2, -18), (40, -1, -14))),
    (1.4, ((40, -1, -14), (42, 4, -2), (40, 8, 10), (46, 4, 18), (54, 0, 24))),
    (1.4, ((40, -1, -14), (41, -12, -4), (40, -22, 8), (48, -36, 16), (56, -44, 22))),
    (1.3, ((15, 3, -18), (9, 8, -18), (3, 12, -17))),
    (1.3, ((2, 12, -17), (2, 30, -10), (2, 40, 6), (2, 34, 24), (2, 16, 36), (2, -8, 42))),
    (1.3, ((0, -11, -18), (9, -10, -17), (17, -20, -14), (18, -29, -10), (15, -38, -5), (16, -60, 2))),
    (1.7, ((20, -38, -76), (14, -33, -68), (8, -28, -62), (0, -21, -55))),
)
_MIDLINE_ARTERIES: _Tubes = ((2.0, ((0, -21, -55), (0, -14, -46), (0, -10, -32), (0, -11, -18))),)
# Internal cerebral and basal veins, great vein and straight sinus; sigmoid sinuses to the jugular foramen. The other sinuses follow the
# edges of falx and tentorium.
_PAIRED_VEINS: _Tubes = (
    (1.1, ((2, -5, 7), (2, -16, 14), (2, -28, 11), (0, -38, 4))),
    (3.2, ((57, -46, -26), (56, -42, -38), (44, -37, -47), (33, -34, -54), (31, -30, -62))),
)
_MIDLINE_VEINS: _Tubes = ((1.8, ((0, -38, 4), (0, -44, 8), *((0, *p) for p in structures.STRAIGHT_SINUS_MM))),)
_DURA_MM = 1.0  # thickness of falx and tentorium on the template; chosen, as they look on T1c


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of one patient: switching another part off does not change them."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def head_grid(grid_mm: float) -> Grid:
    """The axial grid (LPS, identity direction) that a head is built on."""
    nx, ny, nz = (round((high - low) / grid_mm) for low, high in _HEAD_BOX_MM)
    x, y, z = (low + grid_mm / 2 for low, _ in _HEAD_BOX_MM)
    return Grid((nx, ny, nz), (float(grid_mm),) * 3, (x, y, z), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


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
    total = next(terms)
    for term in terms:
        total = total + term
    return total


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
def _template_head() -> dict[str, sitk.Image]:
    """What is warped of the template's head, by name, uint8.

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

    artery, vein = (np.zeros(grid.shape, np.float32) for _ in range(2))
    for volume, tubes in ((artery, _PAIRED_ARTERIES), (vein, _PAIRED_VEINS)):
        for radius, line in tubes:
            for side in (-1, 1):
                _tube(volume, grid, np.asarray(line, float) * (side, -1, 1), radius)
    for volume, tubes in ((artery, _MIDLINE_ARTERIES), (vein, _MIDLINE_VEINS)):
        for radius, line in tubes:
            _tube(volume, grid, np.asarray(line, float) * (-1, -1, 1), radius)

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
    across = np.clip(2.6 + 0.5 * distance - abs(x), 0, 1)  # a triangle with its base at the skull
    sagittal = across * ((z > 5) | (y > 60)) * (z > -20) * (y > -62)
    transverse = np.clip(4.0 - abs(z - structures.tentorium_height()), 0, 1) * (y > 44) * (abs(x) > 2)
    outer = np.maximum(sagittal, transverse) * np.clip(distance + 0.5, 0, 1) * np.clip(6.5 - distance, 0, 1) * ~brain
    vein = np.maximum(vein, outer)

    depth = (_FAR_MM - distance) * 2  # half millimetres fit into a byte; 0, the value beyond the box, is far away
    # Few components, since warping them is what costs: the ventricles lie deep in the brain, arteries and veins far apart.
    parts = {
        "wm": wm * 255,
        "csf": csf * 255,
        "brain": (brain * 1.0 + array(anatomy.template_ventricles())) * 127,
        "vessel": 127 + 127 * artery - 127 * vein * (artery == 0),
        "depth": depth,
    }
    return {name: grid.image(np.clip(np.round(p), 0, 255).astype(np.uint8)) for name, p in parts.items()}


@lru_cache(maxsize=4)
def _template_dura(voxel_mm: float) -> sitk.Image:
    """Volume fraction of falx and tentorium on the template, uint8 0-255.

    Each point averages over `voxel_mm`, so that the sheets do not fall between the points of a coarse grid.
    """
    distance = np.minimum(*(abs(d) for d in structures.sheet_distances()))
    voxel_mm = max(voxel_mm, 1.0)
    overlap = np.clip((_DURA_MM + voxel_mm) / 2 - distance, 0, min(_DURA_MM, voxel_mm))
    return anatomy.template().grid.image(np.round(overlap * (255 / voxel_mm)).astype(np.uint8))


@lru_cache(maxsize=1)
def _template_labels() -> np.ndarray:
    """The template's structures and, in the bits above them, its compartments: one array to warp."""
    structure, compartment = structures.template_structures(), structures.continued_compartments()
    return array(structure, np.uint8) | array(compartment, np.uint8) << 3


def _nearest_labels(grid: Grid, displacement: np.ndarray) -> np.ndarray:
    """`_template_labels` where the displacement (z, y, x, component; mm) points to, by nearest neighbour."""
    template = anatomy.template().grid
    index = []
    for i, place in enumerate(positions(grid)):
        step = template.direction[4 * i] * template.spacing[i]
        index.append(((place - template.origin[i]).astype(np.float32) + displacement[..., i]) / np.float32(step))
    index = [np.clip(np.rint(k), 0, n - 1).astype(np.int32) for k, n in zip(index, template.size)]
    return _template_labels()[index[2], index[1], index[0]]


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
    structures
        uint8 (z, y, x) of `structures.LABELS`.
    compartments
        uint8 (z, y, x): 0 outside, 1 left and 2 right cerebrum, 3 below the tentorium, 4 open to all three
        (`structures.template_compartments`).
    """

    grid: Grid
    tissues: dict[str, np.ndarray]
    brain: np.ndarray
    ventricles: np.ndarray
    seed_mm: np.ndarray
    structures: np.ndarray
    compartments: np.ndarray


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


def build_head(seed: int, grid_mm: float, mass_radius_mm: float, skull: bool = True, mass_effect: float = 1.0) -> Head:
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
    mass_effect
        Factor on the displacement around the tumour; 0 for none.
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
    aside = push(grid, seed_mm, mass_radius_mm + 6.0, mass_effect * mass_radius_mm / 8.0)
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
    target = (grid.size, grid.origin, grid.spacing, grid.direction)
    images = _template_head() | {"dura": _template_dura(grid_mm)}
    part = {
        name: array(sitk.Warp(image, displacement, sitk.sitkLinear, *target)) / np.float32(255)
        for name, image in images.items()
    }
    labels = _nearest_labels(grid, field)
    distance = np.float32(_FAR_MM) - ndimage.gaussian_filter(part.pop("depth"), 0.8 / grid_mm) * np.float32(255 / 2)
    level = part.pop("brain")
    brain, ventricles = level > 63 / 255, level > 191 / 255
    vessel = part.pop("vessel") * np.float32(255 / 127) - 1
    part |= {"artery": np.maximum(vessel, 0), "vein": np.maximum(-vessel, 0) * (distance < 9)}
    part["dura"] *= distance < 3
    part["gm"] = np.maximum(brain - part["wm"] - part["csf"], 0)
    tissues = _surround(part, brain, distance, grid, rng) if skull else _bare(part, brain)
    return Head(grid, tissues, brain, ventricles, seed_mm, labels & 7, (labels >> 3) * brain)


def _nearest(grid: Grid, point: np.ndarray) -> tuple[int, int, int]:
    """Index (z, y, x) of the voxel nearest to a point."""
    index = np.round((point - np.asarray(grid.origin)) / grid.spacing).astype(int)
    x, y, z = (int(i) for i in np.clip(index, 0, np.asarray(grid.size) - 1))
    return z, y, x


def _bare(part: dict[str, np.ndarray], brain: np.ndarray) -> dict[str, np.ndarray]:
    """Tissues of a brain with nothing around it."""
    tissues = {name: np.zeros(brain.shape, np.float32) for name in TISSUES}
    free = brain.astype(np.float32)
    for name in ("artery", "vein", "dura"):
        tissues[name] = part[name] * free
        free = free - tissues[name]
    for name in ("gm", "wm"):
        tissues[name] = part[name] * free
    tissues["csf"] = free - tissues["gm"] - tissues["wm"]
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

    muscle, fat, bone = layer(11.5, 13.5), layer(8.5, 11.5), layer(2.0, 8.5)
    marrow = layer(3.8, 6.6) * np.clip((z + 15) / 10, 0, 1).astype(np.float32) * np.float32(0.9)
    # Below the skull base: neck and face as a tapering ellipse of muscle with fat between. None of it lies above -5 mm.
    low = slice(0, int((z < -5).sum()))
    under = Grid((*grid.size[:2], low.stop), grid.spacing, grid.origin, grid.direction)
    face = 1 - ((x / 66) ** 2 + ((y + 6 - 0.25 * (z[low] + 40)) / 88) ** 2) ** 0.5
    below = (
        np.clip((-22 - z[low] - 0.28 * np.maximum(y, -60)) / 3, 0, 1) * np.clip(face * 60 / edge, 0, 1) * (d[low] > 8)
    )
    lobes = np.clip(0.8 + 0.35 * random_field(under, rng, 7.0), 0, 1)
    muscle[low] = np.maximum(muscle[low], below * lobes)
    fat[low] = np.maximum(fat[low], below * (1 - lobes))
    fluid = np.maximum(brain, np.clip((2.0 - d) / edge + 0.5, 0, 1))
    for side in (-1, 1):  # eyes
        r = np.sqrt((x - 32 * side) ** 2 + (y + 66) ** 2 + (z[low] + 34) ** 2)
        np.maximum(fluid[low], np.clip((12 - r) / edge + 0.5, 0, 1) * ~brain[low], out=fluid[low])
    tissues: dict[str, np.ndarray] = {}
    free = np.ones(grid.shape, np.float32)

    def fill(name: str, amount: np.ndarray) -> None:
        tissues[name] = np.clip(amount, 0, 1, dtype=np.float32)
        tissues[name] *= free
        np.subtract(free, tissues[name], out=free)

    for name in ("artery", "vein", "dura"):
        fill(name, part[name])
    share = free * brain
    share /= np.maximum(part["gm"] + part["wm"] + part["csf"], 1e-3)
    for name in ("gm", "wm"):
        tissues[name] = part[name] * share
        free -= tissues[name]
    np.maximum(free, 0, out=free)
    for name, amount in (("csf", fluid), ("marrow", marrow), ("bone", bone), ("fat", fat), ("muscle", muscle)):
        fill(name, amount)
    return {name: tissues[name] for name in TISSUES}
