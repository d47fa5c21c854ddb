"""Diffusion maps: ADC and FA as a scan without geometric distortion would give them."""

import numpy as np
import SimpleITK as sitk

from ...images import Grid
from ..acquisition import CLASSES, TISSUE, Effects, rician, scan_grid
from ..blood import Blood
from ..properties import BLOOD, Physiology, purity
from ..protocols import Diffusion
from .scanning import LEAST_FRACTION, Packed, Scanned, scan_truth

_SIGNAL = 0.12  # of white matter's; where there is less, maps are 0, as after the usual mask


def scan_diffusion(
    packed: Packed,
    head_grid: Grid,
    physiology: Physiology,
    blood: Blood,
    protocol: Diffusion,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> Scanned:
    """Scan ADC (mm2/s) and FA: the signals of a voxel's tissues with and without diffusion weight add up, and ADC is what both give.

    FA is that of its tissues weighted by their signal, with noise that makes low values higher (as eigenvalues' scatter does). Flowing
    blood gives no signal. `blood` plays no part.
    """
    grid = scan_grid(head_grid, protocol.spacing_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    fields["purity"] = purity(fractions, grid.spacing)
    plain, weighted, anisotropic = (np.zeros(grid.shape, np.float32) for _ in range(3))
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > LEAST_FRACTION
        if name in BLOOD or not inside.any():
            continue
        p = physiology.values(name, {k: v[inside] for k, v in fields.items()}, effects, ("adc", "fa"))
        signal = fractions[name][inside] * np.float32(tissue.pd * np.exp(-protocol.te_s / tissue.t2))
        plain[inside] += signal
        weighted[inside] += signal * np.exp(-np.float32(protocol.b) * p["adc"])
        anisotropic[inside] += signal * p["fa"]
    white = np.float32(TISSUE["wm"].pd * np.exp(-protocol.te_s / TISSUE["wm"].t2))
    known = plain > _SIGNAL * white
    fa = np.divide(anisotropic, plain, out=np.zeros_like(plain), where=known)
    noise = rng.spawn(1)[0]
    if effects.noise:
        sd = float(white) / protocol.snr
        plain = rician(plain, sd / np.sqrt(protocol.n_b0), noise)
        weighted = rician(weighted, sd / np.sqrt(protocol.n_directions), noise)
        fa = rician(fa, protocol.fa_sd, noise)
    adc = np.zeros_like(plain)
    adc[known] = np.log(plain[known] / weighted[known]) / np.float32(protocol.b)
    images = {
        "adc": grid.image(np.where(known, np.clip(adc, 0, 4e-3), 0).astype(np.float32)),
        "fa": grid.image(np.where(known, np.clip(fa, 0, 1), 0).astype(np.float32)),
    }
    keys = {"te_ms": protocol.te_s * 1000, "b_s_mm2": protocol.b}
    maps = scan_truth("diffusion", grid, fractions, fields, physiology, effects, ("adc", "fa"))
    return Scanned(images, {role: dict(keys) for role in images}, maps)
