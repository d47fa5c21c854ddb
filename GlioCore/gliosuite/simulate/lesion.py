"""From cell density to what MRI shows: enhancing rim, necrosis, infiltration, and vasogenic oedema that is not tumour.

Where cells are dense tissue enhances; its deepest share is necrotic; around it white matter swells (geodesic distance from the core, many
times slower in grey matter), so fingers reach along the tracts. Constants of shape are chosen for looks, not measured.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid, array
from .biology import Biology
from .growth import Region
from .phantom import stream

# Measured: at an expert's outline of a T2 lesion (BRATS 2013, patient 0005; 927 places between tissue and tissue) FLAIR has .38 of its
# height inside, 1 mm further in .60 and 1 mm further out .21; with this, as scanned, a simulated lesion has .42, .67 and .24.
_FADE_MM = 2.0


@dataclass(frozen=True)
class Lesion:
    """What is to be seen at one visit, on the fine grid of the region; boolean (z, y, x) but for `oedema` and `density`.

    Parameters
    ----------
    cel, necrosis, cavity
        Enhancing tumour, dead tissue, resection cavity; they do not overlap.
    t2l
        Everything bright on FLAIR: oedema, infiltrated tissue, enhancing tumour and necrosis; without the cavity. Its border is where a
        reader draws it, on the outer half of the fade.
    oedema
        How much of the tissue is swollen or infiltrated, 0-1.
    density
        Tumour cell density, 0-1; 0 in cavity and necrosis.
    """

    cel: np.ndarray
    necrosis: np.ndarray
    cavity: np.ndarray
    t2l: np.ndarray
    oedema: np.ndarray
    density: np.ndarray

    @property
    def core(self) -> np.ndarray:
        """CEL with necrosis."""
        return self.cel | self.necrosis


@dataclass(frozen=True)
class Unevenness:
    """Random fields (z, y, x) that make a lesion's edge and the thickness of its rim irregular."""

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
    return without_specks(inside, uneven.grid, 0.15)


def core_cc(density: np.ndarray, biology: Biology, uneven: Unevenness) -> float:
    """Volume of the core of a density on the grid of `uneven`."""
    return float(core(density, biology, uneven).sum()) * uneven.grid.voxel_cc


def necrosis(inside: np.ndarray, share: float, uneven: Unevenness) -> np.ndarray:
    """The deepest `share` of the core, where it is deeper than 1.5 mm; depth counts less where the rim is thick."""
    if not inside.any() or share <= 0:
        return np.zeros_like(inside)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=uneven.grid.spacing)[1:-1, 1:-1, 1:-1]
    score = np.where(depth > 1.5, depth / uneven.rim, 0)[inside]
    n = min(round(share * score.size), int((score > 0).sum()))
    if n < 1:
        return np.zeros_like(inside)
    dead = np.zeros_like(inside)
    dead[inside] = score >= np.partition(score, -n)[-n]
    return without_specks(dead, uneven.grid, 0.05)


def oedema_arrival(part: Region, inside: np.ndarray, seed: int) -> np.ndarray:
    """Arrival (coarse grid, mm of white matter) of the fluid that spreads from the core; large where it never comes.

    White matter conducts, the more the purer it is and unevenly, so fingers reach along the tracts between the gyri's cortex; falx and
    tentorium do not.
    """
    rng = stream(seed, "oedema")
    conduct = np.exp(0.55 * part.field(rng, 13.0, False) + 0.35 * part.field(rng, 6.0, False))
    speed = (np.clip(part.wm, 0, 1) ** 3 * conduct + 0.02) * (part.allowed & ~part.wall())
    speed = np.where(inside, 1.0, speed).astype(np.float32)
    if not inside.any():
        return np.full(part.coarse.shape, 1e3, np.float32)
    edge = np.argwhere(inside)
    march = sitk.FastMarchingImageFilter()
    march.SetTrialPoints([[int(i) for i in p[::-1]] for p in edge])
    march.SetInitialTrialValues([0.0] * len(edge))
    march.SetStoppingValue(70.0)
    # Where the front never came stands the largest number.
    arrival = array(march.Execute(part.coarse.image(speed)), np.float64)
    return np.minimum(arrival, 1e3).astype(np.float32)


def spread(
    part: Region, arrival: np.ndarray, always: np.ndarray, never: np.ndarray, total_cc: float
) -> tuple[np.ndarray, float]:
    """The tissue (fine grid) that swells so that its union with `always` has `total_cc`, and its threshold of arrival in mm."""
    free = part.fine_allowed & ~always & ~never
    room = max(total_cc - always.sum() * part.fine.voxel_cc, 0.0)
    times = np.sort(arrival[free])
    n = min(round(room / part.fine.voxel_cc), int(np.searchsorted(times, 69.0)))
    if n < 1:
        return np.zeros_like(free), 0.0
    limit = float(times[n - 1])
    return without_specks((free & (arrival <= limit)) | always, part.fine, 0.05) & ~always, limit


def see(
    part: Region,
    density: np.ndarray,
    inside: np.ndarray,
    dead: np.ndarray,
    cavity: np.ndarray,
    total_cc: float,
    seed: int,
    keeps: np.ndarray | None = None,
) -> Lesion:
    """The lesion that MRI shows of a cell density (fine grid), with a T2L (with CEL) of `total_cc`.

    What lies near the core along white matter swells first, and infiltrated tissue (the more cells, the more) before that. What was
    bright on FLAIR before, `keeps`, stays so.
    """
    inside, dead = inside & ~cavity, dead & ~cavity
    source = part.coarsen(inside | cavity)
    if inside.any() and not source.any():  # a core of a few voxels: where most of it lies
        source = part.coarsen(ndimage.binary_dilation(inside, iterations=2))
    infiltrated = np.clip(density / 0.5, 0, 1) * part.fine_allowed
    arrival = part.refine(oedema_arrival(part, source, seed)) - np.float32(20.0) * infiltrated
    bright = inside if keeps is None else (inside | keeps) & ~cavity
    swollen, limit = spread(part, arrival, bright, cavity, total_cc)
    swollen |= bright & ~inside
    level = np.clip((limit - arrival) / max(0.5 * limit, 1.0), 0, 1)
    level = np.where(swollen, np.maximum(0.45 + 0.5 * level, 0.8 * infiltrated), 0)
    soft = shown(part, level, swollen | inside, cavity)
    cells = np.where(cavity | dead, 0, density).astype(np.float32)
    return Lesion(inside & ~dead, dead, cavity, swollen | inside, soft, cells)


def shown(part: Region, level: np.ndarray, bright: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """How swollen tissue looks: it fades out within the outline of the T2 lesion, `bright`, but not towards the cavity."""
    step = part.fine.spacing[0]
    depth = ndimage.distance_transform_edt(bright | cavity, sampling=part.fine.spacing) - 0.5 * step
    faded = level * np.clip(depth / _FADE_MM, 0, 1)
    return ndimage.gaussian_filter(faded.astype(np.float32), 0.7 / step)


def without_specks(mask: np.ndarray, grid: Grid, smallest_cc: float) -> np.ndarray:
    """Drop parts smaller than `smallest_cc`."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    size = np.bincount(labels.ravel(), minlength=n + 1) * grid.voxel_cc
    size[0] = 0
    keep = size >= min(smallest_cc, size.max())
    return keep[labels]


def volumes(lesion: Lesion, part: Region) -> dict[str, float]:
    """Volumes in cc by name."""
    masks = {"cel": lesion.cel, "necrosis": lesion.necrosis, "t2l": lesion.t2l, "cavity": lesion.cavity}
    return {f"{name}_cc": part.cc(mask) for name, mask in masks.items()}
