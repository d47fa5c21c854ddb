"""The linear stages in SimpleITK: where to start, and the climb of Mattes mutual information from there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..images import Grid, array, boolean, resample_mask
from .quality import Pair, information, moved_points
from .settings import RegistrationSettings
from .similarity import coarse, positions, unit

# Of the step where the gradient turns. Chosen: with ITK's 0.5 the steps shrank to nothing before affine climbs had arrived.
_RELAXATION = 0.7


def _matrix(transform: sitk.Transform, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and translation (3,) of a linear transform about `centre`."""
    corners = moved_points(transform, np.vstack([centre, centre + np.eye(3)]))
    return (corners[1:] - corners[0]).T, corners[0] - centre


def settled(transform: sitk.Transform) -> sitk.Transform:
    """A linear transform with its parameters (mm, radians) rounded to nine decimals, in place.

    Sums in numeric libraries depend in their last digits on how memory happens to be aligned; rounded, the same images give the same bytes.
    """
    transform.SetParameters([round(p, 9) for p in transform.GetParameters()])
    return transform


def as_affine(transform: sitk.Transform, centre: np.ndarray) -> sitk.AffineTransform:
    """A linear transform as one affine matrix about `centre`, whatever it was read as."""
    matrix, translation = _matrix(transform, centre)
    result = sitk.AffineTransform(3)
    result.SetCenter(centre.tolist())
    result.SetMatrix(matrix.ravel().tolist())
    result.SetTranslation(translation.tolist())
    return sitk.AffineTransform(settled(result))


def as_versor(transform: sitk.Transform, centre: np.ndarray) -> sitk.VersorRigid3DTransform:
    """The rotation and translation of a linear transform, about `centre`."""
    matrix, translation = _matrix(transform, centre)
    u, _, vt = np.linalg.svd(matrix)
    result = sitk.VersorRigid3DTransform()
    result.SetCenter(centre.tolist())
    result.SetMatrix((u @ vt).ravel().tolist())
    result.SetTranslation(translation.tolist())
    return sitk.VersorRigid3DTransform(settled(result))


def _starts(pair: Pair, settings: RegistrationSettings) -> list[np.ndarray]:
    """Translations that starting positions are made of."""
    middle = lambda image: Grid.of(image).corners().mean(axis=0)
    mass = lambda mask: positions(Grid.of(mask), boolean(mask)).mean(axis=0).round(6)
    ways = {
        "identity": lambda: np.zeros(3),
        "moments": lambda: mass(pair.moving_mask) - mass(pair.fixed_mask),
        "center-of-head": lambda: _top_of_head(pair.moving_mask) - _top_of_head(pair.fixed_mask),
        "geometry": lambda: middle(pair.moving) - middle(pair.fixed),
    }
    if settings.start != "search":
        return [ways[settings.start]()]
    different: list[np.ndarray] = []
    for way in ways.values():
        shift = way()
        if all(np.linalg.norm(shift - other) > 3.0 for other in different):
            different.append(shift)
    return different


def _top_of_head(mask: sitk.Image, depth_mm: float = 120.0) -> np.ndarray:
    """Centre of mass of the uppermost 12 cm, which every head scan holds, however far it goes down the neck."""
    points = positions(Grid.of(mask), boolean(mask))
    return points[points[:, 2] > points[:, 2].max() - depth_mm].mean(axis=0).round(6)


def search(pair: Pair, settings: RegistrationSettings, keep: int = 3) -> list[sitk.Euler3DTransform]:
    """The best starting positions, best first; as the images lie comes among them in any case."""
    few = np.zeros(len(pair.points), bool)
    few[:: max(1, len(pair.points) // 6000)] = True
    angles: tuple[float, ...] = (0.0,)
    if settings.start == "search":
        a = float(np.radians(settings.search_deg))
        angles = (0.0, -a, a)
    candidates = []
    for shift in _starts(pair, settings):
        for x in angles:
            for y in angles:
                for z in angles:
                    t = sitk.Euler3DTransform(pair.centre.tolist(), x, y, z, shift.tolist())
                    candidates.append((information(pair, moved_points(t, pair.points[few]), few, 32), t))
    # A stable sort keeps the order of trying among equals, so results do not hang on chance.
    order = sorted(range(len(candidates)), key=lambda i: -candidates[i][0])[:keep]
    return [candidates[i][1] for i in (order if 0 in order else [*order, 0])]


@dataclass(frozen=True)
class Level:
    """Both images at one resolution, their intensities 0-1, and where they are compared."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image
    moving_mask: sitk.Image | None
    spacing_mm: float

    @classmethod
    def of(cls, pair: Pair, spacing_mm: float) -> "Level":
        """Both images of `pair` at `spacing_mm`."""
        fixed, moving = coarse(pair.fixed, spacing_mm), coarse(pair.moving, spacing_mm)
        f_inside, m_inside = resample_mask(pair.fixed_mask, fixed), resample_mask(pair.moving_mask, moving)
        return cls(
            Grid.of(fixed).image(unit(array(fixed), boolean(f_inside)).astype(np.float32)),
            Grid.of(moving).image(unit(array(moving), boolean(m_inside)).astype(np.float32)),
            f_inside if pair.given[0] else sitk.BinaryDilate(f_inside, [max(1, round(6.0 / spacing_mm))] * 3),
            m_inside if pair.given[1] else None,
            spacing_mm,
        )


def _recorder(method: sitk.ImageRegistrationMethod, values: list[float]) -> Callable[[], None]:
    """What notes the measure at each iteration of a climb, the start's first."""
    return lambda: values.append(method.GetMetricValue())


def optimize(start: sitk.Transform, levels: Sequence[Level], settings: RegistrationSettings) -> sitk.Transform:
    """Climb Mattes mutual information from `start`, level by level; `start` where nothing overlaps."""
    transform = start
    for level in levels:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(settings.bins)
        method.SetMetricFixedMask(level.fixed_mask)
        if level.moving_mask is not None:
            method.SetMetricMovingMask(level.moving_mask)
        share = settings.samples / max(int(boolean(level.fixed_mask).sum()), 1)
        if share < 1:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(share, settings.seed)
        method.SetInterpolator(sitk.sitkLinear)
        # ITK's default is the gradient of a smoothed image, which is not that of what is measured: on simulated DSC series it pointed
        # downhill, every climb was thrown away, and images stayed as they lay. (In noise of a fifth of the signal it is the better one.)
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        # More than one work unit adds up in the order in which threads end: the last digits would change from run to run.
        method.SetNumberOfWorkUnits(1)
        first = level.spacing_mm / (2 if isinstance(start, sitk.Euler3DTransform) else 8)
        try:
            for step in (first, first / 4, first / 16):  # a first step that is too long throws the climb off the slope
                climbed, values = sitk.Transform(transform), list[float]()
                method.AddCommand(sitk.sitkIterationEvent, _recorder(method, values))
                method.SetInitialTransform(climbed, True)
                method.SetOptimizerAsRegularStepGradientDescent(
                    step, settings.minimum_step, settings.iterations, _RELAXATION
                )
                method.SetOptimizerScalesFromPhysicalShift()
                method.Execute(level.fixed, level.moving)
                method.RemoveAllCommands()
                # Before and after at the same samples; it is the negative of mutual information.
                if values and method.GetMetricValue() < values[0]:
                    transform = settled(climbed)
                    break
        except RuntimeError:  # no sample lies inside the moving image: this start leads nowhere
            return transform
    return transform
