"""The template (MNI152), structures on it, and its registration to a patient's head.

The template travels with the library (``resources/anatomy.npz``, made by ``make anatomy``): nothing is downloaded.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.optimize import minimize

from .. import resources
from ..errors import InputError
from ..images import Grid, array, boolean, resample, resample_mask, signed_distance

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
        grid = Grid.made(voxels.shape[::-1], stored["spacing"], stored["origin"], stored["direction"])
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


# ------------------------------------------------------------------------------------------------------- template to patient

_STEP_MM = 6.0  # lattice of the search for a first pose
_PITCHES_DEG = (
    -24.0,
    -12.0,
    0.0,
    12.0,
    24.0,
)  # heads are nodded; they are seldom turned or tilted by more than the optimiser can take
# Chosen, because the search then starts within half such a step of the truth, which its first steps of 6 mm bridge.
_OFFSETS_AP_MM = (-16.0, 0.0, 16.0)
_OFFSETS_IS_MM = 8.0
# What is known of heads before looking: nod, tilt, turn (rad), logarithms of size against the template, shears; mean and SD.
# The template is larger than most heads.
_POSE_MEAN = np.array([0.0, 0.0, 0.0, -0.04, -0.04, -0.04, 0.0, 0.0, 0.0])
_POSE_SD = np.array([0.3, 0.15, 0.2, 0.08, 0.08, 0.08, 0.05, 0.05, 0.05])
_BEND_MM = 12.0  # how far a control point of the B-spline may go: mutual information alone bends a head without limit
_PRIOR = 0.005  # weight of one SD squared against mutual information in nats
_BINS = 20  # of the joint histogram: chosen, because some 10 000 points of the lattice then fill its 400 cells
_STARTS = 8  # first poses that are refined


def register_template(
    image: sitk.Image,
    mask: sitk.Image | None = None,
    stages: Sequence[str] = ("affine",),
    start: sitk.Transform | None = None,
) -> sitk.Transform:
    """Align the template with a head or brain by Mattes mutual information (any contrast; part of a head will do).

    A search over nods and positions finds first poses; the best are refined by a similarity and then an affine transform. Metric points
    lie in the template's brain, so that scalp, neck and frames outside it do not count. One thread and fixed samples: the result is
    the same on every machine.

    Parameters
    ----------
    image
        3-D image of a head with or without the skull, LPS.
    mask
        Where the image can be trusted (e.g. brain without lesion); voxels outside are ignored.
    start
        An affine registration of the same head, as this function returns it, in place of the search.
    stages
        ``("affine",)`` or ``("affine", "bspline")``; the B-spline's control points are 40 mm apart and go up to 12 mm along each axis.

    Returns
    -------
    SimpleITK.Transform
        From points of `image` to points of the template, as `images.resample(template().t1, image, transform)` takes it.
    """
    if "affine" not in stages or not set(stages) <= {"affine", "bspline"}:
        raise ValueError(f'stages are {stages!r}; ("affine",) or ("affine", "bspline") is needed')
    t = template()
    moving = _equalised(_smooth(image, 3.0))
    trusted = None if mask is None else resample_mask(mask, moving)
    pattern, counted = _stripped_pattern() if stripped(image) is not None else _head_pattern()
    affine = _search(moving, trusted, pattern, counted) if start is None else sitk.AffineTransform(start.GetInverse())
    fine = _smooth(pattern, 2.0)
    refined = sitk.AffineTransform(affine)
    _optimise(fine, _equalised(_smooth(image, 2.0)), refined, resample_mask(counted, fine), trusted, 0.2, 60)
    to_template = (refined if _lifelike(refined) else affine).GetInverse()
    if "bspline" not in stages:
        return to_template
    region = resample_mask(t.brain, moving, to_template)
    region = region if trusted is None else sitk.And(region, trusted)
    extent = [n * s for n, s in zip(moving.GetSize(), moving.GetSpacing())]
    spline = sitk.BSplineTransformInitializer(moving, [max(round(e / 40.0), 1) for e in extent], order=3)
    _optimise(moving, _smooth(t.t1, 3.0), spline, region, None, sampling=0.3, iterations=40, before=to_template)
    return sitk.CompositeTransform([to_template, spline])


def _lifelike(affine: sitk.AffineTransform) -> bool:
    """Whether an affine map keeps a head a head: no axis stretched or shrunk by more than about a third against the template."""
    stretch = np.linalg.svd(np.reshape(affine.GetMatrix(), (3, 3)), compute_uv=False)
    return bool(stretch.max() < 1.3 and stretch.min() > 0.7)


def _equalised(image: sitk.Image) -> sitk.Image:
    """Voxels by rank, 0-1: the darker class below .25, the brighter above it, so that bright scalp leaves the brain its grey levels."""
    values = array(image)
    values = np.where(np.isfinite(values), values, np.nanmin(values))
    clipped = np.minimum(values, np.percentile(values, 98))
    bright = boolean(sitk.OtsuThreshold(Grid.of(image).image(clipped), 0, 1))
    low = values[~bright]
    result = 0.25 * np.clip((values - low.min()) / max(float(low.max() - low.min()), 1e-9), 0.0, 1.0)
    ordered = np.sort(values[bright])
    result[bright] = 0.25 + 0.75 * np.searchsorted(ordered, values[bright]) / max(len(ordered), 1)
    return Grid.of(image).image(result.astype(np.float32))


@lru_cache(maxsize=1)
def _stripped_pattern() -> tuple[sitk.Image, sitk.Image]:
    """The template as it is, and 8 mm around its brain as what counts: the edge to the background is half of the information."""
    t = template()
    return t.t1, sitk.BinaryDilate(t.brain, (8, 8, 8), sitk.sitkBall)


@lru_cache(maxsize=1)
def _head_pattern() -> tuple[sitk.Image, sitk.Image]:
    """The template's T1 in a schematic skull (dark), scalp (bright) and air, and the mask of what counts.

    Without them a brain registered inside a head slides out to the scalp, which is the strongest edge there. Thicknesses are those of
    an average calvaria with the space around the brain (9 mm) and scalp (7 mm); below the ears no such layers exist, so only brain
    counts there.
    """
    t = template()
    outside = array(signed_distance(t.brain))
    values = array(t.t1)
    values[(outside > 0) & (outside <= 9)] = 25.0
    values[(outside > 9) & (outside <= 16)] = 255.0
    values[outside > 16] = 0.0
    upper = _ras(t.grid)[2] > 0.0
    return t.grid.image(values), t.grid.image((outside < 0) | (upper & (outside < 24)))


def stripped(image: sitk.Image) -> sitk.Image | None:
    """The foreground of a skull-stripped image (uint8, holes filled), or None where the image shows more than a brain.

    Stripped is an image with one exact background value in at least a quarter of its voxels, whose largest other part is no larger
    than a brain (2100 cc with its CSF; a head has 3000 and more).
    """
    values = sitk.GetArrayViewFromImage(image)
    border = np.concatenate([values[0].ravel(), values[-1].ravel(), values[:, 0].ravel(), values[:, -1].ravel()])
    found, count = np.unique(border, return_counts=True)
    background = found[count.argmax()]
    different = values != background
    if different.mean() > 0.75 or not different.any():
        return None
    labels, n = ndimage.label(different)
    largest = labels == np.bincount(labels.ravel(), minlength=n + 1)[1:].argmax() + 1
    filled = ndimage.binary_fill_holes(largest)
    if filled.sum() * Grid.of(image).voxel_cc > 2100.0:
        return None
    return Grid.of(image).image(filled)


def similarity_to_template(image: sitk.Image, transform: sitk.Transform) -> float:
    """How well a registered template explains the image: the correlation ratio (0-1) of the image over the template's intensities.

    Taken more than 10 mm inside the template's brain, where structure counts and no outline, on a 3 mm grid. Heads give .1 and more,
    noise and other objects next to nothing.

    References
    ----------
    Roche A et al., MICCAI 1998 (correlation ratio).
    """
    small = _smooth(image, 3.0)
    t = template()
    t1 = array(resample(t.t1, small, transform))
    depth = -array(signed_distance(resample_mask(t.brain, small, transform)))
    inside = (depth > 10.0) & np.isfinite(array(small))
    if inside.sum() < 100:
        return 0.0
    values = array(small)[inside]
    values = np.clip(values, *np.percentile(values, [1, 99]))
    bins = np.minimum(t1[inside] / 256.0 * _BINS, _BINS - 1).astype(int)
    count = np.maximum(np.bincount(bins, minlength=_BINS), 1)
    mean = np.bincount(bins, values, _BINS) / count
    total = float(((values - values.mean()) ** 2).sum())
    return float(
        (count * (mean - values.mean()) ** 2)[np.bincount(bins, minlength=_BINS) > 0].sum() / max(total, 1e-12)
    )


def covered(image: sitk.Image, transform: sitk.Transform) -> float:
    """Fraction (0-1) of the template's brain that lies in the field of view of a registered image."""
    t = template()
    coarse = t.grid.isotropic(4.0)
    seen = resample(Grid.of(image).blank() + 1, coarse, transform.GetInverse())
    brain = boolean(resample_mask(t.brain, coarse))
    return float((array(seen)[brain] > 0.5).mean())


def _smooth(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image, float32, smoothed for and resampled to voxels of about `spacing_mm` (never finer than it is)."""
    image = sitk.Cast(image, sitk.sitkFloat32)
    grid = Grid.of(image)
    spacing = np.maximum(grid.spacing, spacing_mm)
    sigma = [np.sqrt(max((s / 2.355) ** 2 - (o / 2.355) ** 2, 1e-4)) for s, o in zip(spacing, grid.spacing)]
    size = np.maximum(np.round(np.asarray(grid.size) * grid.spacing / spacing), 1).astype(int)
    matrix = np.reshape(grid.direction, (3, 3))
    shift = (np.asarray(grid.size) * grid.spacing - size * spacing) / 2 + (spacing - np.asarray(grid.spacing)) / 2
    coarse = Grid.made(size, spacing, grid.origin + matrix @ shift, grid.direction)
    return resample(sitk.DiscreteGaussian(image, [float(s) ** 2 for s in sigma]), coarse)


def _search(
    moving: sitk.Image, trusted: sitk.Image | None, pattern: sitk.Image, counted: sitk.Image
) -> sitk.AffineTransform:
    """Place a pattern of a head on an image from nothing: the map from points of the pattern to points of the image.

    The cost is minus the mutual information over points of the pattern, times the part of them that lies in the image (less than
    a whole head may be there), plus a prior that heads are of human size and held roughly straight. A lattice of nods and positions
    gives the starts; Powell's method refines pose and size, then shear, since neither the cost nor the prior needs a gradient so.
    """
    values = array(moving)
    usable = np.ones(values.shape, bool) if trusted is None else boolean(trusted)
    points = _points(moving, np.argwhere((values > 0.25) & usable))
    top, bottom = np.percentile(points[:, 2], [99.9, 0.1])
    upper = points[points[:, 2] > top - 150.0]  # a neck would draw the centre back
    middle = np.percentile(upper[:, :2], [3, 97], axis=0).mean(axis=0)

    step = int(_STEP_MM)
    index = np.argwhere(boolean(counted)[::step, ::step, ::step]) * step
    classes = (array(pattern)[tuple(index.T)] / 256.0 * _BINS).astype(int)
    brain_points = _points(pattern, np.argwhere(boolean(template().brain)))
    centre = (brain_points.min(axis=0) + brain_points.max(axis=0)) / 2
    lattice = _points(pattern, index) - centre
    to_index = np.linalg.inv(np.reshape(moving.GetDirection(), (3, 3)) * moving.GetSpacing())
    filled = np.where(usable, values, np.nan)

    def cost(parameters: np.ndarray, order: int = 1) -> float:
        at = (lattice @ _matrix(parameters).T + parameters[:3] - moving.GetOrigin()) @ to_index.T
        found = ndimage.map_coordinates(filled, at[:, ::-1].T, order=order, cval=np.nan)
        seen = np.isfinite(found)
        if seen.mean() < 0.3:
            return 10.0
        cells = classes[seen] * _BINS + np.minimum((found[seen] * _BINS).astype(int), _BINS - 1)
        joint = np.bincount(cells, minlength=_BINS * _BINS).reshape(_BINS, _BINS)
        n = len(parameters)
        prior = (((parameters[3:] - _POSE_MEAN[: n - 3]) / _POSE_SD[: n - 3]) ** 2).sum()
        return -_mutual_information(joint) * float(seen.mean()) + _PRIOR * float(prior)

    starts = []
    for pitch in _PITCHES_DEG:
        for ap in _OFFSETS_AP_MM:
            for height in np.arange(bottom - 30.0, top + 30.0, _OFFSETS_IS_MM):
                pose = np.array([middle[0], middle[1] + ap, height, np.deg2rad(pitch), 0, 0, *_POSE_MEAN[3:6]])
                starts.append((cost(pose, order=0), tuple(pose)))
    starts.sort()
    # Powell's method ends in the nearest hollow, and nod and height trade against each other: neighbours of the best start are tried too.
    chosen = starts[:_STARTS]
    chosen += [s for s in starts if np.linalg.norm(np.subtract(s[1][:3], starts[0][1][:3])) > 20.0][:1]
    first_steps = np.diag([6.0, 6.0, 6.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])
    best = min(
        (
            minimize(
                cost, pose, method="Powell", options={"direc": first_steps, "xtol": 0.02, "ftol": 2e-3, "maxiter": 6}
            )
            for _, pose in chosen
        ),
        key=lambda result: result.fun,
    )
    if best.fun > 1.0:
        raise InputError(
            "the template does not fit the image: less than a third of a brain would lie in its field of view"
        )
    last_steps = np.diag([2.0, 2.0, 2.0, 0.03, 0.03, 0.03, 0.02, 0.02, 0.02, 0.03, 0.03, 0.03])
    best = minimize(
        cost,
        np.concatenate([best.x, np.zeros(3)]),
        method="Powell",
        options={"direc": last_steps, "xtol": 0.01, "ftol": 5e-4, "maxiter": 6},
    )
    affine = sitk.AffineTransform(3)
    affine.SetCenter([float(c) for c in centre])
    affine.SetMatrix([float(v) for v in _matrix(best.x).ravel()])
    affine.SetTranslation([float(v) for v in best.x[:3] - centre])
    return affine


def _matrix(parameters: np.ndarray) -> np.ndarray:
    """Linear part of a pose: place (3, not used), angles about x, y, z (rad), logarithms of size along x, y, z, shears."""
    cx, cy, cz = np.cos(parameters[3:6])
    sx, sy, sz = np.sin(parameters[3:6])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    shape = np.diag(np.exp(parameters[6:9]))
    if len(parameters) > 9:
        shape[0, 1], shape[0, 2], shape[1, 2] = parameters[9:12]
    return about_z @ about_y @ about_x @ shape


def _points(image: sitk.Image, index_zyx: np.ndarray) -> np.ndarray:
    """Positions (n, 3) in mm (LPS) of voxels given as (z, y, x)."""
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return index_zyx[:, ::-1] @ matrix.T + image.GetOrigin()


def _mutual_information(joint: np.ndarray) -> float:
    """Mutual information (nats) of a joint histogram."""
    p = joint / max(joint.sum(), 1)
    outer = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    filled = p > 0
    return float((p[filled] * np.log(p[filled] / outer[filled])).sum())


def _optimise(
    fixed: sitk.Image,
    moving: sitk.Image,
    transform: sitk.Transform,
    fixed_mask: sitk.Image,
    moving_mask: sitk.Image | None,
    sampling: float,
    iterations: int,
    before: sitk.Transform | None = None,
) -> float:
    """Move `transform` in place to the optimum of Mattes mutual information; the metric's final value (lower is better)."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums over threads would differ from machine to machine
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, seed=1)
    method.SetMetricFixedMask(fixed_mask)
    if moving_mask is not None:
        method.SetMetricMovingMask(moving_mask)
    method.SetInterpolator(sitk.sitkLinear)
    if before is None:
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=1.0, minStep=0.02, numberOfIterations=iterations, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
    else:
        method.SetMovingInitialTransform(before)
        method.SetOptimizerAsLBFGSB(
            numberOfIterations=iterations,
            gradientConvergenceTolerance=1e-5,
            lowerBound=-_BEND_MM,
            upperBound=_BEND_MM,
        )
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        if "map outside" in str(error) or "samples" in str(error):
            return 0.0  # this start has left the image; another one will do
        raise
    return float(method.GetMetricValue())
