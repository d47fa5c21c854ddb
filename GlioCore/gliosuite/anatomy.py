"""The template (MNI152), structures on it, and its registration to a patient's head.

The template travels with the library (``resources/anatomy.npz``, made by ``make anatomy``): nothing is downloaded.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from . import resources
from .images import Grid, array, boolean

# Where CSF is ventricle and no cistern, in the template's own (MNI, RAS) millimetres: |x|, y and z from ... to. Bodies and frontal horns,
# atria, third ventricle. The temporal horns are thinner than the template resolves and are left out.
_VENTRICLE_BOXES_MM = (
    ((2, 34), (-20, 40), (-6, 36)),
    ((2, 34), (-38, -20), (14, 36)),
    ((16, 44), (-64, -20), (-2, 34)),
    ((0, 5), (-26, 5), (-11, 10)),
)


@dataclass(frozen=True)
class Template:
    """The ICBM 2009a nonlinear symmetric template at 1 mm, LPS.

    Parameters
    ----------
    t1
        Skull-stripped T1, uint8 0-255.
    gm, wm
        Probability of grey and white matter, uint8 0-255 for 0-1.
    brain
        Brain mask with the CSF around the brain, uint8 0/1.
    """

    t1: sitk.Image
    gm: sitk.Image
    wm: sitk.Image
    brain: sitk.Image

    @property
    def grid(self) -> Grid:
        """The grid that all four share."""
        return Grid.of(self.t1)


@lru_cache(maxsize=1)
def template() -> Template:
    """The template, read once; do not change its images in place.

    References
    ----------
    Fonov VS et al., NeuroImage 2011; 54:313-327.
    """
    with np.load(io.BytesIO(resources.read_bytes("anatomy.npz")), allow_pickle=False) as stored:
        voxels = stored["t1"]
        grid = Grid(
            voxels.shape[::-1],
            tuple(float(v) for v in stored["spacing"]),
            tuple(float(v) for v in stored["origin"]),
            tuple(float(v) for v in stored["direction"]),
        )
        return Template(grid.image(voxels), *(grid.image(stored[name]) for name in ("gm", "wm", "brain")))


def _ras(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MNI coordinates (mm; x to the right, y forwards, z up) along the axes of the template, which lie along the grid's."""
    (x0, y0, z0), (dx, dy, dz) = grid.origin, np.diag(np.reshape(grid.direction, (3, 3))) * grid.spacing
    nx, ny, nz = grid.size
    return (
        -(x0 + dx * np.arange(nx))[None, None, :],
        -(y0 + dy * np.arange(ny))[None, :, None],
        (z0 + dz * np.arange(nz))[:, None, None],
    )


@lru_cache(maxsize=1)
def template_csf() -> sitk.Image:
    """Probability of CSF on the template, float32 0-1: what neither tissue explains inside the brain mask."""
    t = template()
    tissue = (array(t.gm) + array(t.wm)) / 255.0
    return t.grid.image(np.where(boolean(t.brain), np.clip(1.0 - tissue, 0.0, 1.0), 0.0).astype(np.float32))


@lru_cache(maxsize=1)
def template_ventricles() -> sitk.Image:
    """Lateral and third ventricles on the template, uint8.

    CSF (probability above one half) in boxes around the bodies, atria and third ventricle, which keep the cisterns out; sulci that
    a box cuts hang apart and are too small: parts below 0.5 cc go.
    """
    t = template()
    x, y, z = _ras(t.grid)
    place = np.zeros(t.grid.shape, bool)
    for (x0, x1), (y0, y1), (z0, z1) in _VENTRICLE_BOXES_MM:
        place |= (abs(x) >= x0) & (abs(x) <= x1) & (y >= y0) & (y <= y1) & (z >= z0) & (z <= z1)
    labels, n = ndimage.label(place & (array(template_csf()) > 0.5))
    size = np.bincount(labels.ravel(), minlength=n + 1) * t.grid.voxel_cc
    size[0] = 0.0
    return t.grid.image((size > 0.5)[labels])
