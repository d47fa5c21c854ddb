"""Structures of the template, each built by a rule of its own from the template's T1 and tissues, geometry and distance.

No atlas' labels go into them. Positions are MNI millimetres (RAS: x to the right, y forwards, z up), read off the template and rounded,
or those of textbooks. The template is symmetric, so rules are written for the right side and hold for both.
"""

from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid, array, boolean
from .template import template, template_csf, template_ventricles

LABELS = {"brainstem": 1, "thalami": 2, "callosum": 3, "cerebellum": 4, "ventricles": 5, "falx": 6, "tentorium": 7}
_SHEET_MM = 2.0
_TISSUE_T1 = 165.0  # half-way from CSF (148) to the brainstem's tissue (186) on the template's T1

# The midline, (y, z). The straight sinus runs where falx and tentorium join, from the great vein to the torcular.
STRAIGHT_SINUS_MM = ((-48.0, 16.0), (-85.0, -18.0))
# Free edge of the falx from the crista galli: about 2 cm below the skull in front, 1 cm above the callosal body, at the splenium behind.
_FALX_EDGE_MM = (
    *((50, -36), (47, -22), (45, -8), (43, 8), (36, 24), (24, 36), (8, 41), (-10, 39), (-28, 33), (-40, 27)),
    *STRAIGHT_SINUS_MM,
)
_FALX_OUTSIDE_MM = ((-98, -22), (-130, -22), (-130, 110), (100, 110), (100, -36))
# Height of the tentorium by |x| (columns) and y (rows), read off coronal sections; refined by the dark valley between lobe and cerebellum.
_TENT_X_MM = (0.0, 6.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
_TENT_MM = (
    (-15.0, (-12.0, -14.0, -17.0, -25.0, -32.0, -36.0, -38.0, -38.0)),
    (-30.0, (-6.0, -11.0, -16.0, -24.0, -30.0, -34.0, -35.0, -35.0)),
    (-38.0, (2.0, -5.0, -10.0, -18.0, -25.0, -29.5, -31.0, -31.0)),
    (-45.0, (10.0, -3.0, -8.0, -16.0, -23.0, -27.5, -30.5, -31.0)),
    (-55.0, (9.5, 0.0, -5.5, -14.0, -19.5, -23.5, -26.5, -28.0)),
    (-65.0, (0.5, -3.0, -7.5, -13.5, -18.0, -21.5, -24.0, -25.0)),
    (-75.0, (-9.0, -9.5, -11.5, -15.0, -18.0, -20.0, -22.0, -22.0)),
    (-85.0, (-18.0, -18.0, -18.0, -18.5, -19.5, -20.5, -20.5, -20.5)),
    (-100.0, (-20.0, -20.0, -20.0, -20.0, -20.0, -20.5, -20.5, -20.5)),
)
# Half-width of the notch by y: widest (32 mm) beside the midbrain, apex behind the splenium; about 30 mm in
# anatomical specimens (Adler DE, Milhorat TH, J Neurosurg 2002;96:1103).
_NOTCH_MM = ((-48.0, 0.0), (-46.0, 6.0), (-43.0, 9.5), (-38.0, 12.0), (-32.0, 14.5), (-25.0, 16.0), (-10.0, 15.0))
# The petrous ridge, where the tentorium's front is attached: its posterior side by |x|.
_RIDGE_MM = ((12.0, -13.0), (20.0, -19.0), (55.0, -44.0), (70.0, -55.0))

# The callosum's outline on the midline: over its back from the splenium to the rostrum, then along its inner side.
_CALLOSUM_MM = tuple(
    zip(
        (-44, -43, -38, -30, -20, -8, 2, 12, 22, 30, 35, 34, 28, 17, 19, 22, 12, 0, -10, -20, -27, -31, -33, -38, -43),
        (12, 19, 26, 28, 28, 31, 30, 27, 21, 13, 5, -2, -5, -3, 3, 7, 17, 21, 21, 20, 18, 14, 7, 5, 7),
    )
)
# Between the callosum, lamina terminalis, floor of the third ventricle and midbrain: septum, fornix, commissures, hypothalamus.
_BASAL_MM = (
    (22, 7),
    (12, 17),
    (-20, 20),
    (-31, 14),
    (-27, 1),
    (-22, -6),
    (-12, -19),
    (4, -19),
    (7, -9),
    (10, -2),
    (19, 2),
)
# The back of the brainstem from the superior colliculus to the end of the medulla: tectum, superior velum, floor of the fourth ventricle.
_BACK_MM = (
    (2.0, -36.0),
    (-12.0, -39.0),
    (-22.0, -38.0),
    (-32.0, -40.0),
    (-45.0, -43.0),
    (-58.0, -48.0),
    (-72.0, -54.0),
)


def _axes(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MNI mm along the template's axes: x (nx), y (ny), z (nz)."""
    start, steps = np.asarray(grid.origin), np.diag(np.reshape(grid.direction, (3, 3))) * grid.spacing
    x, y, z = (o + s * np.arange(n) for o, s, n in zip(start, steps, grid.size))
    return -x, -y, z


def _between(values: np.ndarray, low: float, high: float) -> slice:
    """The stretch of an axis from `low` to `high` mm."""
    inside = np.flatnonzero((values >= low) & (values <= high))
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _in_polygon(points: tuple[tuple[float, float], ...], y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Whether positions lie in a polygon of (y, z) corners, by the even-odd rule."""
    inside = np.zeros(np.broadcast_shapes(y.shape, z.shape), bool)
    for (y0, z0), (y1, z1) in zip(points, (*points[1:], points[0])):
        if z0 != z1:
            inside ^= ((z0 > z) != (z1 > z)) & (y < y0 + (z - z0) * (y1 - y0) / (z1 - z0))
    return inside


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    labels, n = ndimage.label(mask)
    return labels == np.argmax(np.bincount(labels.ravel(), minlength=n + 1)[1:]) + 1


@lru_cache(maxsize=1)
def tentorium_height() -> np.ndarray:
    """Height z (mm; y, x on the template's axes) of the surface that carries the tentorium, continued over the notch and beyond its rim.

    A surface through heights read off coronal sections is moved by up to 4 mm to the dark valley between temporal or occipital lobe and
    cerebellum (mean of offsets weighted by darkness, smoothed by 2 mm); at the midline, where the sinus is bright, it stays.
    """
    t = template()
    x, y, z = _axes(t.grid)
    rows = np.array([row for row, _ in _TENT_MM])[::-1]
    table = np.array([heights for _, heights in _TENT_MM])[::-1]
    by_row = np.stack([np.interp(abs(x), _TENT_X_MM, heights) for heights in table])  # rows upwards in y
    at = np.interp(y, rows, np.arange(len(rows)))
    low = np.minimum(at.astype(int), len(rows) - 2)
    height = by_row[low] + (at - low)[:, None] * (by_row[low + 1] - by_row[low])
    height = ndimage.gaussian_filter(height, (2.0, 1.0))
    # The valley is looked for behind the petrous ridge only; in front lies bone.
    box = (_between(z, -45, 22), _between(y, -100, -20), slice(None))
    t1 = np.where(boolean(t.brain)[box], array(t.t1)[box], 200.0)
    t1 = ndimage.gaussian_filter(t1, 0.7)
    row, column = np.ogrid[: t1.shape[1], : t1.shape[2]]
    offsets = np.arange(-4.0, 4.5, 0.5)
    profiles = []
    for offset in offsets:
        level = height[box[1:]] + offset - z[box[0]][0]
        first = np.clip(level.astype(int), 0, t1.shape[0] - 2)
        f = np.clip(level - first, 0, 1)
        value = (1 - f) * t1[first, row, column] + f * t1[first + 1, row, column]
        profiles.append(np.exp(-value / 8.0 - (offset / 4.0) ** 2))
    weights = np.stack(profiles)
    shift = np.tensordot(offsets, weights, 1) / weights.sum(axis=0)
    shift = ndimage.gaussian_filter(shift * np.clip(abs(x) / 4 - 0.5, 0, 1), 2.0)
    height[box[1:]] += shift
    return height


def _tentorium_extent(brain: np.ndarray) -> np.ndarray:
    """Where (y, x) the tentorium is: outside the notch, behind the petrous ridge, between brain above and below and 2 mm beyond."""
    x, y, z = _axes(template().grid)
    box = (_between(z, -48, 26), _between(y, -110, -8), slice(None))
    height, x, y, z = tentorium_height()[box[1:]], x[None, :], y[box[1]][:, None], z[box[0]][:, None, None]
    above = (brain[box] & (z > height) & (z < height + 9)).any(axis=0)
    below = (brain[box] & (z < height) & (z > height - 9)).any(axis=0)
    rim = ndimage.distance_transform_edt(~ndimage.binary_closing(above & below, iterations=4)) <= 2
    notch = np.interp(y, *np.transpose(_NOTCH_MM))
    ridge = np.interp(abs(x), *np.transpose(_RIDGE_MM))
    extent = np.zeros(brain.shape[1:], bool)
    extent[box[1:]] = rim & (abs(x) >= notch) & (y <= ridge)
    return extent


def _falx_extent(brain: np.ndarray) -> np.ndarray:
    """Where (z, y) the falx is: from the crests of the medial gyri to its free edge and the straight sinus."""
    x, y, z = _axes(template().grid)
    outline = ndimage.binary_closing(brain[:, :, _between(x, -6, 6)].any(axis=2), iterations=6)
    return outline & _in_polygon((*_FALX_EDGE_MM, *_FALX_OUTSIDE_MM), y[None, :], z[:, None])


@lru_cache(maxsize=1)
def sheet_distances() -> tuple[np.ndarray, np.ndarray]:
    """Signed distance in mm (z, y, x; float32) to the middle of the falx and of the tentorium, 10 away from either.

    Positive to the patient's left of the falx and above the tentorium.
    """
    t = template()
    x, y, z = _axes(t.grid)
    brain = boolean(t.brain)
    falx = np.full(t.grid.shape, 10.0, np.float32)
    near = _between(x, -4, 4)
    falx[:, :, near] = np.where(_falx_extent(brain)[:, :, None], -x[near].astype(np.float32), 10)
    tentorium = np.full(t.grid.shape, 10.0, np.float32)
    height, extent = tentorium_height(), _tentorium_extent(brain)
    slope = np.hypot(*np.gradient(height))
    box = (_between(z, -48, 26), _between(y, -110, -8), slice(None))
    upright = (z[box[0]][:, None, None] - height[box[1:]]) / np.sqrt(1 + slope[box[1:]] ** 2)
    tentorium[box] = np.where(extent[box[1:]], np.clip(upright, -10, 10), 10)
    return falx, tentorium


@lru_cache(maxsize=1)
def dura_distance() -> sitk.Image:
    """Distance in mm (float32) to the falx, the tentorium or the midline, whichever is nearest; at most 10."""
    t = template()
    across = np.minimum(np.abs(_axes(t.grid)[0]), 10.0)
    nearest = np.minimum.reduce([*(np.abs(d) for d in sheet_distances()), np.broadcast_to(across, t.grid.shape)])
    return t.grid.image(nearest.astype(np.float32))


def _callosum() -> np.ndarray:
    """White matter within 16 mm of the midline in the callosum's midsagittal outline, which rises by a third of |x| over the ventricles."""
    t = template()
    x, y, z = _axes(t.grid)
    box = (_between(z, -10, 45), _between(y, -50, 40), _between(x, -16, 16))
    white = (array(t.t1)[box] > 190) & (array(t.wm)[box] > 110) & ~boolean(template_ventricles())[box]
    rise = 0.33 * np.maximum(abs(x[box[2]]) - 2, 0)
    level = np.round(z[box[0]][:, None, None] - rise[None, None, :])
    result = np.zeros(t.grid.shape, bool)
    result[box] = _largest(ndimage.binary_opening(white & _in_polygon(_CALLOSUM_MM, y[box[1]][None, :, None], level)))
    return result


def _thalami() -> np.ndarray:
    """Two ellipsoids (37 x 21 x 24 mm, their fronts 30 degrees towards the midline), without CSF and the white of the internal capsule.

    The front end lies behind the interventricular foramen, the pulvinar's end 18 mm from the midline, the floor at the hypothalamic sulcus.
    """
    t = template()
    x, y, z = _axes(t.grid)
    box = (_between(z, -10, 22), _between(y, -40, 2), _between(x, -30, 30))
    across, along, up = abs(x[box[2]])[None, None, :], y[box[1]][None, :, None] + 19.0, z[box[0]][:, None, None] - 7.0
    cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
    long, wide = along * cos - (across - 12.0) * sin, (across - 12.0) * cos + along * sin
    inside = (long / 18.5) ** 2 + (wide / 10.5) ** 2 + (up / 12.0) ** 2 < 1
    t1 = ndimage.gaussian_filter(array(t.t1)[box], 0.8)
    inside &= (t1 > 155) & (t1 < 208) & (across > 0.5)
    result = np.zeros(t.grid.shape, bool)
    result[box] = ndimage.binary_fill_holes(ndimage.binary_opening(inside))
    return result


def _brainstem() -> np.ndarray:
    """Tissue from the plane of posterior commissure and mammillary bodies down, in front of tectum and fourth ventricle.

    The midbrain narrows from 34 mm at the pons to 20 mm at the posterior commissure. The middle cerebellar peduncles are cut where the
    trigeminal root leaves the pons: 17 mm from the midline in front, 11 mm behind.
    """
    t = template()
    x, y, z = _axes(t.grid)
    box = (_between(z, -72, 3), _between(y, -56, -8), _between(x, -20, 20))
    across, y, z = abs(x[box[2]])[None, None, :], y[box[1]][None, :, None], z[box[0]][:, None, None]
    tissue = (array(t.t1)[box] > _TISSUE_T1) & boolean(t.brain)[box]
    heights, back = np.transpose(_BACK_MM[::-1])
    place = (y > np.interp(z, heights, back) - 0.5) & (z < -1 - (y + 27) * (14 / 15))
    place = place & (across < np.clip(11 + (y + 32) * 0.6, 11, 17)) & (across < 10 - 0.35 * z)
    result = np.zeros(t.grid.shape, bool)
    core = _largest(ndimage.binary_opening(tissue & place, iterations=2))
    whole = ndimage.binary_dilation(core, iterations=2) & tissue & place
    result[box] = ndimage.binary_fill_holes(
        whole, np.ones((1, 3, 3))
    )  # by axial slices: the aqueduct is open at its ends
    return result


def _fourth_ventricle(stem: np.ndarray) -> np.ndarray:
    """CSF behind pons and upper medulla, in front of the vermis and tonsils."""
    t = template()
    x, y, z = _axes(t.grid)
    box = (_between(z, -46, -19), _between(y, -56, -34), _between(x, -9, 9))
    fluid = (array(template_csf())[box] > 0.5) & ~stem[box]
    result = np.zeros(t.grid.shape, bool)
    result[box] = _largest(ndimage.binary_opening(fluid))
    return result


def _below() -> np.ndarray:
    """Below the tentorium's surface and behind the petrous ridges."""
    x, y, z = _axes(template().grid)
    ridge = np.interp(abs(x), *np.transpose(_RIDGE_MM))
    behind = y[:, None] <= ridge + 1
    return (z[:, None, None] < tentorium_height()) & behind


@lru_cache(maxsize=1)
def template_structures() -> sitk.Image:
    """Labels of `LABELS` on the template, uint8; falx and tentorium are sheets 2 mm thick. Do not change the image in place.

    References
    ----------
    Rhoton AL, Neurosurgery 2000;47(3 Suppl):S7 and S131 (tentorial incisura, posterior fossa); Naidich TP et al., Duvernoy's Atlas of the
    Human Brain Stem and Cerebellum, 2009.
    """
    t = template()
    brain = boolean(t.brain)
    labels = np.zeros(t.grid.shape, np.uint8)
    stem = _brainstem()
    tissue = array(template_csf()) < 0.5
    labels[_largest(_below() & brain & tissue & ~stem)] = LABELS["cerebellum"]
    half = _SHEET_MM / 2
    for name, distance in zip(("falx", "tentorium"), sheet_distances()):
        labels[(distance > -half) & (distance <= half)] = LABELS[name]
    labels[_callosum()] = LABELS["callosum"]
    labels[_thalami()] = LABELS["thalami"]
    labels[stem] = LABELS["brainstem"]
    labels[boolean(template_ventricles()) | _fourth_ventricle(stem)] = LABELS["ventricles"]
    return t.grid.image(labels)


@lru_cache(maxsize=1)
def continued_compartments() -> sitk.Image:
    """The compartments of `template_compartments`, continued beyond the brain to the whole of the template's box, uint8."""
    t = template()
    x, y, z = _axes(t.grid)
    result = np.broadcast_to(np.where(x < 0, 1, 2).astype(np.uint8), t.grid.shape).copy()
    below = _below()
    result[below] = 3
    labels = sitk.GetArrayViewFromImage(template_structures())
    joined = np.isin(labels, [LABELS[name] for name in ("callosum", "brainstem", "thalami")])
    near = _between(x, -8, 8)
    width = np.where(z < 2, 8.0, 5.0)[:, None, None]  # the hypothalamus is wider than septum and fornix
    basal = _in_polygon(_BASAL_MM, y[None, :], z[:, None])[:, :, None] & (abs(x[near]) <= width)
    joined[:, :, near] |= basal & ~below[:, :, near]
    result[joined] = 4
    return t.grid.image(result)


@lru_cache(maxsize=1)
def template_compartments() -> sitk.Image:
    """What blocks the spread of a tumour, uint8: 0 outside the brain, 1 left and 2 right cerebrum, 3 below the tentorium, 4 open.

    A face between 1 and 2, 1 and 3 or 2 and 3 is a wall; 4 (callosum, brainstem, thalami, septum, fornix, commissures, hypothalamus) is
    open to all. Do not change the image in place.
    """
    return continued_compartments() * template().brain


def fibre_direction(
    wm: np.ndarray,
    spacing_mm: tuple[float, float, float],
    scale_mm: float = 4.0,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """A surrogate for the main direction of fibres: along which the fraction of white matter changes least.

    The eigenvector of the smallest eigenvalue of the structure tensor (outer product of the gradient, averaged). A tract is longer than
    it is wide, so this follows tracts and gyral blades; inside large bodies of white matter, in crossings and in sheets a map of white
    matter does not tell the direction, and neither does this. It is no tractography.

    Parameters
    ----------
    wm
        Fraction of white matter (z, y, x).
    spacing_mm
        Voxel size (x, y, z).
    scale_mm
        SD of the Gaussian that averages the tensor; the gradient is taken at a third of it.
    labels
        `LABELS` on the same voxels, whose axes lie along left-right, front-back and up-down: fibres of the callosum then run to the
        sides and those of the brainstem upwards, as far as its surface allows.

    Returns
    -------
    numpy.ndarray
        Unit vectors (z, y, x, 3) float32 with components x, y, z along the axes of the grid, the largest component positive; 0 where
        no white matter is near.

    References
    ----------
    Bigun J, Granlund GH, Proc 1st Int Conf Computer Vision 1987:433 (structure tensor).
    """
    steps = np.asarray(spacing_mm[::-1], float)
    smooth = ndimage.gaussian_filter(np.asarray(wm, np.float32), scale_mm / 3 / steps, truncate=3)
    gradient = [g.astype(np.float32) for g in np.gradient(smooth, *steps)][::-1]
    tensor = np.empty((*wm.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i + 1):
            product = ndimage.gaussian_filter(gradient[i] * gradient[j], scale_mm / steps, truncate=3)
            tensor[..., i, j] = tensor[..., j, i] = product
    near = (np.trace(tensor, axis1=-2, axis2=-1) > 1e-6) & (
        ndimage.gaussian_filter(smooth, scale_mm / steps, truncate=3) > 0.02
    )
    result = np.zeros((*wm.shape, 3), np.float32)
    vectors = np.swapaxes(
        np.linalg.eigh(tensor[near])[1], -1, -2
    )  # eigenvalues rise: first along the fibres, last out of the sheet
    along, out = vectors[:, 0], vectors[:, 2]
    if labels is not None:
        for name, axis in (("callosum", 0), ("brainstem", 2)):
            inside = labels[near] == LABELS[name]
            wanted = np.eye(3, dtype=np.float32)[axis] - out[inside] * out[inside, axis, None]
            length = np.linalg.norm(wanted, axis=1, keepdims=True)
            along[inside] = np.where(length > 0.5, wanted / np.maximum(length, 1e-6), along[inside])
    largest = np.take_along_axis(along, np.abs(along).argmax(axis=-1)[:, None], axis=-1)
    result[near] = along * np.sign(largest)
    return result
