"""The draft of the enhancing lesion: enhancement in FLAIR hyperintensity that is no vessel, dura, falx, tentorium or sinus.

Sheets and tubes are told by their thickness, with what they enclose, so that a rim round necrosis is as thick as the lesion; and by
their place, since vessels and dura run along the brain's surface, the midline and the tentorium.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..images import Grid, box_around
from .drafts import (
    GROW_SD,
    MIN_CC,
    SEED_SD,
    Relative,
    depth_below,
    dilate,
    enclosed,
    hysteresis,
    opened,
    parts,
    peak,
    share,
)

# Chosen: T1c's scale against T1's is known to a quarter, so that what is bright on T1 (blood, fat) must brighten by the more.
_SLOPE = 0.25
# Clear enhancement is above this many SDs: misregistered T1, walls of vessels and coil shading reach 3 to 5 on real images.
_PEAK_SD = 6.0
_BRIGHT = 99.0  # chosen: per cent of normal voxels that clear enhancement exceeds on T1c
_EDGE = (
    0.25  # chosen: enhancement ends where it falls to a quarter of its peak within 6 mm; beyond lies the image's blur
)
_PEAK_MM = 6.0
# Chosen: dura, its sinuses, the arteries of the midline and choroid plexus are 1 to 4 mm thick and lie there, with a few mm for what the
# template misses them by.
_SURFACE_MM, _SHEET_MM, _PLEXUS_MM = 6.0, 5.0, 3.0
_THIN_MM, _THIN_AT_DURA_MM = 1.5, 2.5  # half of what a lesion measures at least, elsewhere and where dura lies
_HOLE_MM = 2.5  # half of what necrosis measures at least: fluid beside falx and vessels is thinner
_RIM_MM = 1.5  # how far the rim goes on towards necrosis: the half of an edge that the blur has darkened
_WALL_MM = 3.0  # chosen: as far as enhancement may lie from FLAIR hyperintensity
_APART_CC = 0.5  # chosen: smaller ones are vessels, of which every brain has some
_LISTED = 3  # of the parts that are left out, how many are told with volume and place


def enhancement(t1c: Relative, t1: Relative | None) -> np.ndarray:
    """Enhancement in SDs of normal brain: T1c minus matched T1, or T1c alone.

    T1 is matched by scaling it to T1c's mean and SD in tissue that is normal on both; what is left over is divided by its own SD.
    """
    if t1 is None:
        return t1c.z
    normal = t1c.normal & t1.normal
    a, b = t1c.level[normal], t1.level[normal]
    difference = t1c.level - (a.mean() + (t1.level - b.mean()) * (a.std() / max(float(b.std()), 1e-6)))
    inner = difference[normal]
    centre = float(np.median(inner))
    spread = max(1.4826 * float(np.median(np.abs(inner - centre))), 0.02)
    z = (difference - centre) / spread
    # A tenth of tissue's signal is the least that counts (Ellingson et al., Radiology 2014), whatever the noise; and what is dark on T1c
    # is not enhancing, however dark T1 is there (necrosis).
    least = 0.1 + _SLOPE * np.maximum(t1.level - 1.0, 0.0)
    z[(difference - centre < least) | (t1c.z < -0.5)] = 0.0
    # Oedema that leaks a little exceeds by many SDs what its dark T1 lets expect, and is no brighter on T1c than brain. Clear enhancement
    # is brighter than all normal tissue, white matter included.
    z = np.where(t1c.z > 0.5, z, np.minimum(z, SEED_SD))
    bright = t1c.level > np.percentile(t1c.level[t1c.normal], _BRIGHT)
    return np.where(bright, z, np.minimum(z, _PEAK_SD)).astype(np.float32)


@dataclass(frozen=True)
class Enhancing:
    """The draft (z, y, x), and what of enhancement was left out since no FLAIR lesion is near, largest first: cc and LPS mm."""

    mask: np.ndarray
    apart: tuple[tuple[float, tuple[float, float, float]], ...] = ()

    def told(self) -> str | None:
        """A sentence on what was left out; None where nothing was."""
        if not self.apart:
            return None
        listed = ", ".join(f"{cc:.1f} cc at ({x:.0f}, {y:.0f}, {z:.0f})" for cc, (x, y, z) in self.apart[:_LISTED])
        more = len(self.apart) - _LISTED
        return f"enhancement far from any FLAIR lesion was left out of the draft: {listed} mm (LPS)" + (
            f" and {more} smaller" if more > 0 else ""
        )


def enhancing_lesion(
    z: np.ndarray,
    t1c: Relative,
    brain: np.ndarray,
    ventricles: np.ndarray,
    abnormal: np.ndarray | None,
    dark: np.ndarray,
    asymmetry: np.ndarray,
    dura_mm: np.ndarray,
    grid: Grid,
    subtracted: bool = True,
    cavity: np.ndarray | None = None,
) -> Enhancing:
    """Enhancement that belongs to a lesion rather than to vessels, dura, choroid plexus or sinuses; all arrays (z, y, x).

    Where there is FLAIR, a lesion enhances in or beside hyperintensity or in what that encloses. Thin parts count deep in it only. What
    surgery has left lies at the wall of its cavity, whether FLAIR is bright there or not, and at falx and surface too.

    Parameters
    ----------
    z
        From `enhancement`.
    abnormal
        FLAIR hyperintensity that can be glioma (`drafts.abnormal_side`); None without FLAIR.
    dark
        What can be necrosis: dark on T1c.
    asymmetry
        `z` minus its value on the other side.
    dura_mm
        Distance to falx, tentorium and the midline as the template has them.
    subtracted
        Whether `z` is T1c minus T1 rather than T1c alone.
    cavity
        The resection cavity where it is known.
    """
    out = brain & ~ventricles
    free = (depth_below(brain, grid) > _SURFACE_MM) & (dura_mm > _SHEET_MM) & ~dilate(ventricles, grid, _PLEXUS_MM)
    wall = np.zeros_like(brain)
    if cavity is not None and cavity.any():
        out &= ~cavity
        wall = dilate(cavity, grid, _WALL_MM)
        free |= wall & (asymmetry > 1.0)
    deep = np.zeros_like(brain)
    region = out
    if abnormal is not None:
        deep = abnormal | enclosed(abnormal, dark, grid) | wall
        region = out & dilate(deep, grid, _WALL_MM)
    # On T1c alone and with no FLAIR to bound it, what one normal voxel in 40 passes leads far into the brain.
    bright = hysteresis(z, region, _PEAK_SD, GROW_SD if subtracted or abnormal is not None else SEED_SD)
    core = bright & (_thick(bright, dark, free, grid) | (deep & free))
    core &= z > _EDGE * peak(np.where(core, z, 0.0), grid, _PEAK_MM)
    if subtracted:
        # What is faint counts as the edge of what is clear. Oedema that leaks a little enhances faintly over centimetres, with specks of
        # noise above the peak. On T1c alone it is no brighter than the brain.
        labels, volume = parts(core & (z > _PEAK_SD), grid)
        core &= dilate((volume > MIN_CC)[labels], grid, _PEAK_MM)
    labels, volume = parts(core, grid)
    kept = (volume > MIN_CC) & (ndimage.maximum(z, labels, np.arange(len(volume))) > _PEAK_SD)
    kept &= share(labels, len(volume), deep if abnormal is not None else asymmetry > 1.0) > 0.5
    if kept.any():
        kept &= volume > 0.05 * volume[kept].max()
    mask = _to_necrosis(kept[labels], t1c, out, dark, grid)
    return Enhancing(mask, _apart(hysteresis(z, out & free & ~region, _PEAK_SD), asymmetry, grid))


def _thick(bright: np.ndarray, dark: np.ndarray, free: np.ndarray, grid: Grid) -> np.ndarray:
    """Where bright voxels with the necrosis that they enclose are no sheet or tube; more is asked for where dura lies."""
    mass = bright | opened(enclosed(bright, dark, grid), grid, _HOLE_MM)
    return (opened(mass, grid, _THIN_MM) & free) | opened(mass, grid, _THIN_AT_DURA_MM)


def _to_necrosis(core: np.ndarray, t1c: Relative, out: np.ndarray, dark: np.ndarray, grid: Grid) -> np.ndarray:
    """The rim carried on towards what is dark inside it, up to half-way between both on T1c: blur makes that side look like tissue."""
    if not core.any():
        return core
    result = core.copy()
    box = box_around(core, [int(6.0 / s) + 1 for s in grid.spacing[::-1]])
    inner, level, room = core[box], t1c.level[box], out[box]
    beside = dilate(dark & out & ~core, grid, 2 * _RIM_MM)[box]
    near = dilate(core, grid, _RIM_MM)[box] & ~inner & room & beside
    cube = [2 * int(2 * _RIM_MM / s) + 1 for s in grid.spacing[::-1]]
    high = ndimage.maximum_filter(np.where(inner, level, 0.0), cube)
    low = ndimage.minimum_filter(np.where(room, level, np.inf), cube)
    result[box] |= near & (level > 0.5 * (high + low))
    return result


def _apart(
    bright: np.ndarray, asymmetry: np.ndarray, grid: Grid
) -> tuple[tuple[float, tuple[float, float, float]], ...]:
    """Parts that would have counted as lesion near a FLAIR lesion: volume and centre of each, largest first."""
    labels, volume = parts(opened(bright, grid, _THIN_AT_DURA_MM), grid)
    found = np.flatnonzero((volume > _APART_CC) & (share(labels, len(volume), asymmetry > 1.0) > 0.5))
    place = lambda i: np.mean(np.argwhere(labels == i), axis=0)[::-1] * grid.spacing
    matrix = np.reshape(grid.direction, (3, 3))
    listed = []
    for i in found[np.argsort(-volume[found], kind="stable")]:
        x, y, z = grid.origin + matrix @ place(i)
        listed.append((float(volume[i]), (float(x), float(y), float(z))))
    return tuple(listed)
