"""Metabolite maps as MR spectroscopic imaging gives them."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...images import Grid, array
from ...metabolites import indices
from ..acquisition import CLASSES, Effects, bias_field
from ..blood import Blood
from ..phantom import positions
from ..properties import METABOLITES, TYPICAL, Physiology
from ..protocols import Mrsi
from .scanning import Packed, Scanned

_FINE_MM = 2.5  # spacing of the points averaged in a voxel; chosen, a quarter of it
_INSIDE = 0.9  # share of the box that is to lie in the brain; chosen, as operators keep off the skull
_LESION = ("cel", "necrosis", "oedema", "cavity")
_BRAIN = ("gm", "wm", "csf", "artery", *_LESION)


def place_box(packed: Packed, head_grid: Grid, box_mm: tuple[float, float, float]) -> np.ndarray:
    """The centre (LPS mm) of a PRESS box over the lesion: over its centre, or as near as a box of nine tenths brain allows."""
    coarse = head_grid.isotropic(5.0)
    fractions = dict(zip(CLASSES, np.moveaxis(array(_on(packed.fractions, coarse)), -1, 0) / 255))
    brain = sum(fractions[n] for n in _BRAIN)
    lesion = sum(fractions[n] for n in _LESION)
    size = [max(round(b / s), 1) for b, s in zip(box_mm[::-1], coarse.spacing[::-1])]
    share = ndimage.uniform_filter(brain, size, mode="constant")
    x, y, z = positions(coarse)
    weight = lesion if lesion.any() else brain
    centre = [float((weight * p).sum() / weight.sum()) for p in (x, y, z)]
    squared = sum((p - c) ** 2 for p, c in zip((x, y, z), centre))
    allowed = share >= min(_INSIDE, float(share.max()))
    k, j, i = np.unravel_index(int(np.argmin(np.where(allowed, squared, np.inf))), share.shape)
    return np.array([x.ravel()[i], y.ravel()[j], z.ravel()[k]])


def _on(image: sitk.Image, grid: Grid) -> sitk.Image:
    return sitk.Resample(image, grid.blank(), sitk.Transform(), sitk.sitkLinear, 0.0)


def scan_mrsi(
    packed: Packed,
    head_grid: Grid,
    physiology: Physiology,
    blood: Blood,
    protocol: Mrsi,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> Scanned:
    """Scan peak heights of choline, creatine, NAA, lactate and lipid and their indices; the images are the box, nothing lies beyond.

    Peaks of a voxel are those of its tissues under a Gaussian point spread function; white matter's NAA is near 100. Indices compare with
    voxels of the box that are at least half brain, iteratively (`metabolites.metabolite_index`). `blood` plays no part.
    """
    centre = place_box(packed, head_grid, protocol.box_mm)
    grid = _box(centre, protocol.box_mm, protocol.voxel_mm)
    margin = 2 * protocol.psf_mm
    fine = _box(centre, tuple(b + 2 * margin for b in protocol.box_mm), _FINE_MM)
    fractions, fields = packed.on(fine, to_head, effects)
    maps = {name: np.zeros(fine.shape, np.float32) for name in METABOLITES}
    for name, amount in fractions.items():
        inside = amount > 0.004
        if not inside.any() or not any(getattr(TYPICAL[name], m) for m in METABOLITES):
            continue
        p = physiology.values(name, {k: v[inside] for k, v in fields.items()}, effects, METABOLITES)
        for key, peak in maps.items():
            peak[inside] += amount[inside] * p[key]
    sigma = protocol.psf_mm / 2.3548 / _FINE_MM

    def seen(values: np.ndarray) -> np.ndarray:
        smooth = fine.image(ndimage.gaussian_filter(values, sigma))
        return array(sitk.Resample(smooth, grid.blank(), sitk.Transform(), sitk.sitkLinear, 0.0))

    peaks = {name: np.float32(100) * seen(values) for name, values in maps.items()}
    truth = {f"mrsi_{name}": grid.image(values.copy()) for name, values in peaks.items()}
    biased, noisy = rng.spawn(2)
    if effects.bias:
        gain = bias_field(grid, biased)
        peaks = {name: values * gain for name, values in peaks.items()}
    if effects.noise:
        sd = np.float32(100 / protocol.snr)
        peaks = {
            name: np.maximum(values + sd * noisy.standard_normal(grid.shape, np.float32), 0)
            for name, values in peaks.items()
        }
    brain = seen(sum(fractions[n] for n in _BRAIN)) > 0.5
    found = {name: np.nan_to_num(values) for name, values in indices(peaks, brain).items()}
    images = {name: grid.image(values) for name, values in (peaks | found).items()}
    keys = {"tr_ms": protocol.tr_s * 1000, "te_ms": protocol.te_s * 1000}
    return Scanned(images, {role: dict(keys) for role in images}, truth)


def _box(centre: np.ndarray, size_mm: tuple[float, ...], voxel_mm: float) -> Grid:
    nx, ny, nz = (round(s / voxel_mm) for s in size_mm)
    x, y, z = (float(c - (n - 1) / 2 * voxel_mm) for c, n in zip(centre, (nx, ny, nz)))
    return Grid((nx, ny, nz), (voxel_mm,) * 3, (x, y, z), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
