"""The template (MNI152), structures on it, and its registration to a patient's head.

The template travels with the library (``resources/anatomy.npz``, made by ``make anatomy``): nothing is downloaded.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .. import resources
from ..images import Grid, array, boolean, resample, resample_mask, signed_distance
from .pose import BINS, find_pose

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

_FAR_MM = 16.0  # chosen: mean over the corners of the template's box, which a change of size by 8 % moves by 12 mm
_BEND_MM = 12.0  # how far a control point of the B-spline may go: mutual information alone bends a head without limit


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
    moving = cache(
        lambda: _equalised(_smooth(image, 3.0))
    )  # where a start is given, the affine stage does not ask for it
    trusted = None if mask is None else resample_mask(mask, _coarser(Grid.of(image), 3.0))
    pattern, counted = _stripped_pattern() if stripped(image) is not None else _head_pattern()
    if start is None:
        affine = find_pose(moving(), trusted, pattern, counted, t.brain)
    else:
        affine = sitk.AffineTransform(start.GetInverse())
    fine = _smooth(pattern, 2.0)
    refined = sitk.AffineTransform(affine)
    _optimise(fine, _equalised(_smooth(image, 2.0)), refined, resample_mask(counted, fine), trusted, 0.2, 60)
    kept = refined if _lifelike(refined) and not _drifted(image, refined, affine) else affine
    to_template = kept.GetInverse()
    if "bspline" not in stages:
        return to_template
    region = resample_mask(t.brain, moving(), to_template)
    region = region if trusted is None else sitk.And(region, trusted)
    extent = [n * s for n, s in zip(moving().GetSize(), moving().GetSpacing())]
    spline = sitk.BSplineTransformInitializer(moving(), [max(round(e / 40.0), 1) for e in extent], order=3)
    _optimise(moving(), _smooth(t.t1, 3.0), spline, region, None, sampling=0.3, iterations=40, before=to_template)
    return sitk.CompositeTransform([to_template, spline])


def _lifelike(affine: sitk.AffineTransform) -> bool:
    """Whether an affine map keeps a head a head: no axis stretched or shrunk by more than about a third against the template."""
    stretch = np.linalg.svd(np.reshape(affine.GetMatrix(), (3, 3)), compute_uv=False)
    return bool(stretch.max() < 1.3 and stretch.min() > 0.7)


def _drifted(image: sitk.Image, refined: sitk.Transform, before: sitk.Transform) -> bool:
    """Whether a refined pose has gone far and explains less than half of what the pose before explained.

    A long first step can leave the right hollow. Chosen: refinement moves the brain's corners by some mm and changes what is explained
    by a few percent; a pose that had drifted off by 1 to 2 cm explained next to nothing.
    """
    corners = template().grid.corners()
    moved = [np.linalg.norm(np.subtract(refined.TransformPoint(c), before.TransformPoint(c))) for c in corners.tolist()]
    if np.mean(moved) < _FAR_MM:
        return False
    after, first = (similarity_to_template(image, pose.GetInverse()) for pose in (refined, before))
    return after < 0.5 * first


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
    brain = boolean(t.brain)
    # Only what lies outside is asked for.
    outside = array(
        sitk.SignedMaurerDistanceMap(t.brain, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    )
    values = array(t.t1)
    outside[brain] = 0.0
    values[(outside > 0) & (outside <= 9)] = 25.0
    values[(outside > 9) & (outside <= 16)] = 255.0
    values[outside > 16] = 0.0
    upper = _ras(t.grid)[2] > 0.0
    return t.grid.image(values), t.grid.image(brain | (upper & (outside < 24)))


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


def similarity_to_template(image: sitk.Image, transform: sitk.Transform, trusted: sitk.Image | None = None) -> float:
    """How well a registered template explains the image: the correlation ratio (0-1) of the image over the template's intensities.

    Taken more than 10 mm inside the template's brain, where structure counts and no outline, on a 3 mm grid. Heads give .1 and more,
    noise and other objects next to nothing. Where `trusted` (0/1) is given, only within it: a lesion is nothing that the template explains.

    References
    ----------
    Roche A et al., MICCAI 1998 (correlation ratio).
    """
    small = _smooth(image, 3.0)
    t = template()
    t1 = array(resample(t.t1, small, transform))
    depth = -array(signed_distance(resample_mask(t.brain, small, transform)))
    inside = (depth > 10.0) & np.isfinite(array(small))
    if trusted is not None:
        inside &= boolean(resample_mask(trusted, small))
    if inside.sum() < 100:
        return 0.0
    values = array(small)[inside]
    values = np.clip(values, *np.percentile(values, [1, 99]))
    bins = np.minimum(t1[inside] / 256.0 * BINS, BINS - 1).astype(int)
    count = np.maximum(np.bincount(bins, minlength=BINS), 1)
    mean = np.bincount(bins, values, BINS) / count
    total = float(((values - values.mean()) ** 2).sum())
    return float((count * (mean - values.mean()) ** 2)[np.bincount(bins, minlength=BINS) > 0].sum() / max(total, 1e-12))


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
    grid, coarse = Grid.of(image), _coarser(Grid.of(image), spacing_mm)
    sigma = [np.sqrt(max((s / 2.355) ** 2 - (o / 2.355) ** 2, 1e-4)) for s, o in zip(coarse.spacing, grid.spacing)]
    return resample(sitk.DiscreteGaussian(image, [float(s) ** 2 for s in sigma]), coarse)


def _coarser(grid: Grid, spacing_mm: float) -> Grid:
    """The same field of view in voxels of about `spacing_mm`, never finer than they are."""
    spacing = np.maximum(grid.spacing, spacing_mm)
    size = np.maximum(np.round(np.asarray(grid.size) * grid.spacing / spacing), 1).astype(int)
    matrix = np.reshape(grid.direction, (3, 3))
    shift = (np.asarray(grid.size) * grid.spacing - size * spacing) / 2 + (spacing - np.asarray(grid.spacing)) / 2
    return Grid.made(size, spacing, grid.origin + matrix @ shift, grid.direction)


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
