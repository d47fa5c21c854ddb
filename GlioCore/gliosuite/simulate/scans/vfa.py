"""What a T1 map is made of: spoiled gradient echo at several flip angles, and a B1 map."""

import numpy as np
import SimpleITK as sitk

from ...images import Grid
from ...perfusion.signal import spgr_signal
from ..acquisition import CLASSES, TISSUE, Effects, scan_grid
from ..blood import Blood
from ..properties import TYPICAL, Physiology
from ..protocols import Vfa
from .dynamic import flip_angle, fresh_blood, height_above
from .scanning import LEAST_FRACTION, Packed, Scanned, finish, scan_truth


def scan_vfa(
    packed: Packed,
    head_grid: Grid,
    physiology: Physiology,
    blood: Blood,
    protocol: Vfa,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> Scanned:
    """Scan one volume per flip angle before contrast agent, and the map of actual over nominal flip angle that corrects them.

    `blood` plays no part.
    """
    grid = scan_grid(head_grid, protocol.spacing_mm, protocol.slab_mm)
    fractions, fields = packed.on(grid, to_head, effects)
    frames = np.zeros((len(protocol.flip_angles_deg), *grid.shape), np.float32)
    for name in CLASSES:
        tissue, inside = TISSUE[name], fractions[name] > LEAST_FRACTION
        if not inside.any():
            continue
        rate = 1 / physiology.values(name, {k: v[inside] for k, v in fields.items()}, effects, ("t1",))["t1"][:, None]
        scale = np.float32(tissue.pd * np.exp(-protocol.te_s / tissue.t2star)) * fractions[name][inside]
        for frame, nominal in zip(frames, protocol.flip_angles_deg):
            flip = flip_angle(nominal, fields, inside, effects)
            signal = spgr_signal(rate, protocol.tr_s, flip)
            if effects.inflow and name == "artery":
                signal = fresh_blood(signal, rate, protocol.tr_s, flip, height_above(grid, inside))
            frame[inside] += scale * signal[:, 0].astype(np.float32)
    middle = min(protocol.flip_angles_deg, key=lambda angle: abs(angle - 10))
    white = TISSUE["wm"].pd * spgr_signal(1 / TYPICAL["wm"].t1, protocol.tr_s, middle)
    maps = scan_truth("vfa", grid, fractions, fields, physiology, effects, ("t1",))
    of_series, of_map = rng.spawn(2)
    series, path = finish(frames, grid, float(white), protocol.snr, effects, of_series)
    b1 = _b1_map(packed, head_grid, protocol, to_head, effects, of_map)
    keys = {"tr_ms": protocol.tr_s * 1000, "te_ms": protocol.te_s * 1000}
    series_keys = keys | {"flip_angle_deg": list(protocol.flip_angles_deg)}
    return Scanned({"vfa": series, "b1": b1}, {"vfa": series_keys, "b1": {}}, maps, motion=path)


def _b1_map(
    packed: Packed,
    head_grid: Grid,
    protocol: Vfa,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> sitk.Image:
    """The B1 map: coarse and noisy, known in air too, as the smoothed maps of scanners are."""
    grid = scan_grid(head_grid, (protocol.b1_mm,) * 3, protocol.slab_mm)
    _, fields = packed.on(grid, to_head, effects)
    b1 = fields["b1"] if effects.b1 and "b1" in fields else np.ones(grid.shape, np.float32)
    if effects.noise:
        b1 = b1 + np.float32(protocol.b1_sd) * rng.standard_normal(grid.shape, np.float32)
    return grid.image(b1.astype(np.float32))
