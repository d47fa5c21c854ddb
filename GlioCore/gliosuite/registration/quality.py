"""How good a registration is: the yardstick that every result is held against, whatever engine found it."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, beside
from ..images import Grid, array, boolean, resample, resample_mask
from .freeform import spline_displacement
from .settings import RegistrationSettings
from .similarity import clean, coarse, dice, foreground, indices, information_of, interpolated, positions, unit

# Chosen: results that are right to a millimetre lose information when moved so far, those that never moved gain some (bench_registration).
_NEARBY_MM, _NEARBY_DEG = 2.0, 2.0  # two degrees move the brain's surface by some 2 mm
_GAIN = 0.005  # nats; chosen: results off by a millimetre gained up to .001, images that never moved .017 and more


@dataclass(frozen=True)
class Quality:
    """What a registration is judged by.

    Mutual information (nats) is taken over the same points before and after: the fixed foreground as far as it lies inside the moving
    image afterwards; `before` counts a point outside the moving image as background. `displaced` is its highest value when the
    result is moved by 10 mm along an axis: a true optimum is higher. `nearby` is the same with 2 mm, or 2 degrees about an axis: where
    it is clearly higher than `after`, the climb has stopped on a slope, and the result is questioned: taken, with a warning. `overlap`
    is the Dice coefficient of the two foregrounds (or masks). Translation is that of the foreground's centre; rotation and scales are
    those of the best affine map through the whole.
    """

    verdict: str
    reason: str
    mutual_information_before: float
    mutual_information_after: float
    mutual_information_displaced: float
    mutual_information_nearby: float
    overlap: float
    covered: float
    translation_mm: float
    rotation_deg: float
    rotation_xyz_deg: tuple[float, float, float]
    scales: tuple[float, float, float]
    min_jacobian: float | None
    points: int


@dataclass(frozen=True)
class Pair:
    """Both images, where to look in each, and the points at which a result is judged."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image  # uint8 on a coarse grid (or the one given)
    moving_mask: sitk.Image
    given: tuple[bool, bool]
    points: np.ndarray  # (n, 3) LPS mm
    values: np.ndarray  # (n,) fixed intensities there, 0-1
    small: np.ndarray  # moving intensities (z, y, x), 0-1, for judging
    small_grid: Grid
    centre: np.ndarray

    @classmethod
    def of(
        cls,
        fixed: sitk.Image,
        moving: sitk.Image,
        fixed_mask: sitk.Image | None,
        moving_mask: sitk.Image | None,
    ) -> "Pair":
        """Prepare two images; the registration and its judgement look at the same foreground and points."""
        fixed, moving = clean(fixed), clean(moving)
        for side, image in (("fixed", fixed), ("moving", moving)):
            values = sitk.GetArrayViewFromImage(image)
            if values.min() == values.max():
                raise InputError(
                    f"the {side} image has the same value {values.flat[0]:g} everywhere; an image is needed"
                )
        for side, mask in (("fixed", fixed_mask), ("moving", moving_mask)):
            if mask is not None and not boolean(mask).any():
                raise InputError(f"the {side} mask is empty; a mask with at least one voxel is needed")
        given = (fixed_mask is not None, moving_mask is not None)
        fixed_mask = foreground(fixed) if fixed_mask is None else sitk.Cast(fixed_mask > 0, sitk.sitkUInt8)
        moving_mask = foreground(moving) if moving_mask is None else sitk.Cast(moving_mask > 0, sitk.sitkUInt8)
        spacing = 3.0
        f, m = coarse(fixed, spacing), coarse(moving, spacing)
        grid = Grid.of(f)
        inside = boolean(resample_mask(fixed_mask, grid))
        if not inside.any():
            raise InputError("the fixed mask does not overlap the fixed image")
        if not boolean(resample_mask(moving_mask, Grid.of(m))).any():
            raise InputError("the moving mask does not overlap the moving image")
        # The head's edge tells as much as what is inside, so points just outside the head count too; a given mask is taken as given.
        looked = inside if given[0] else boolean(sitk.BinaryDilate(grid.image(inside), [2] * 3))
        points = positions(grid, looked)
        # Unit intensities of both sides: the histogram's bins then span what the heads hold.
        values = unit(array(f, np.float64), inside)[looked]
        m_inside = boolean(resample_mask(moving_mask, Grid.of(m)))
        small = unit(array(m, np.float64), m_inside)
        return cls(
            fixed,
            moving,
            fixed_mask,
            moving_mask,
            given,
            points,
            values,
            small,
            Grid.of(m),
            positions(grid, inside).mean(axis=0).round(6),
        )


def moved_points(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) carried by a transform; many at once where it is linear."""
    if transform.IsLinear():
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        matrix = np.stack([np.array(transform.TransformPoint(e)) - origin for e in np.eye(3).tolist()], axis=1)
        return points @ matrix.T + origin
    return np.array([transform.TransformPoint(p) for p in points.tolist()])


def information(pair: Pair, moved: np.ndarray, chosen: np.ndarray, bins: int) -> float:
    """Mutual information over the points `chosen`, carried to `moved`; those outside the moving image count as its background."""
    values, inside = interpolated(pair.small, indices(pair.small_grid, moved))
    return information_of(pair.values[chosen], np.where(inside, values, 0.0), bins)


def judge(pair: Pair, transform: sitk.Transform, settings: RegistrationSettings) -> Quality:
    """Measure a result and say whether it is accepted."""
    moved = moved_points(transform, pair.points)
    inside = interpolated(pair.small, indices(pair.small_grid, moved))[1]
    covered = float(inside.mean())
    bins = settings.bins
    after = information(pair, moved[inside], inside, bins) if covered else 0.0
    before = information(pair, pair.points[inside], inside, bins) if covered else 0.0
    beyond = lambda mm: max(
        information(pair, moved[inside] + np.eye(3)[a] * s, inside, bins) for a in range(3) for s in (-mm, mm)
    )
    middle_of = moved[inside].mean(axis=0) if covered else np.zeros(3)
    turned = lambda deg: max(
        information(pair, (moved[inside] - middle_of) @ turn.T + middle_of, inside, bins) for turn in _turns(deg)
    )
    displaced, nearby = (beyond(10.0), max(beyond(_NEARBY_MM), turned(_NEARBY_DEG))) if covered else (0.0, 0.0)

    both = Grid.of(pair.fixed_mask)
    whole = sitk.Cast(Grid.of(pair.moving).blank() + 1, sitk.sitkFloat32)
    seen = array(resample(whole, both, transform)) > 0.5
    overlap = dice(boolean(pair.fixed_mask) & seen, boolean(resample_mask(pair.moving_mask, both, transform)) & seen)

    design = np.c_[pair.points - pair.centre, np.ones(len(pair.points))]
    affine = np.linalg.lstsq(design, moved - pair.centre, rcond=None)[0].T
    u, scales, vt = np.linalg.svd(affine[:, :3])
    rotation = u @ vt
    mirrored = np.linalg.det(rotation) < 0
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
    jacobian = None if transform.IsLinear() else min_jacobian(transform, pair.fixed_mask)

    low, middle, high = np.sort(scales)
    reason = ""
    if covered < 0.05:
        reason = f"only {100 * covered:.0f} % of the fixed image lie inside the moving one"
    elif after < before - settings.tolerance:
        reason = f"mutual information fell from {before:.3f} to {after:.3f}"
    elif after <= displaced:
        reason = f"mutual information is {after:.3f} and no higher than {displaced:.3f} after a shift by 10 mm, so this is no match"
    elif overlap < settings.min_overlap:
        found = beside(overlap, settings.min_overlap, 2)
        reason = f"the overlap of the two heads (Dice) is {found}; at least {settings.min_overlap:g} is needed"
    elif mirrored or degrees > settings.max_rotation_deg:
        found = beside(degrees, settings.max_rotation_deg)
        reason = f"a rotation by {found} degrees was found; at most {settings.max_rotation_deg:g} is accepted"
    elif scales.max() > settings.max_scale or scales.min() < 1 / settings.max_scale:
        reason = f"a stretch by {scales.max():.2f} and {scales.min():.2f} was found; at most {settings.max_scale:g} is accepted"
    elif jacobian is not None and jacobian <= 0:
        reason = f"the B-spline folds (smallest Jacobian {jacobian:.2f})"
    verdict = "refused" if reason else "accepted"
    if not reason and nearby > after + _GAIN:
        verdict = "questioned"
        reason = (
            f"mutual information rises from {after:.3f} to {nearby:.3f} when the result is moved by {_NEARBY_MM:g} mm or "
            f"turned by {_NEARBY_DEG:g} degrees, so the images do "
            "not lie on each other as well as they could: look at them one over the other"
        )
    return Quality(
        verdict,
        reason,
        round(before, 6),
        round(after, 6),
        round(displaced, 6),
        round(nearby, 6),
        round(overlap, 4),
        round(covered, 4),
        round(float(np.linalg.norm(affine[:, 3])), 4),
        round(degrees, 4),
        _euler_deg(rotation),
        (round(float(low), 5), round(float(middle), 5), round(float(high), 5)),
        None if jacobian is None else round(jacobian, 4),
        int(inside.sum()),
    )


def _turns(degrees: float) -> list[np.ndarray]:
    """Rotation matrices by so many degrees about each axis, both ways."""
    some = [np.eye(3)[a] * np.radians(d) for a in range(3) for d in (-degrees, degrees)]
    return [np.reshape(sitk.Euler3DTransform((0, 0, 0), *angles.tolist()).GetMatrix(), (3, 3)) for angles in some]


def _euler_deg(rotation: np.ndarray) -> tuple[float, float, float]:
    """Angles about x, y, z in degrees, in the order of ITK's Euler3DTransform (Z X Y)."""
    x = np.degrees(np.arcsin(np.clip(rotation[2, 1], -1, 1)))
    y = np.degrees(np.arctan2(-rotation[2, 0], rotation[2, 2]))
    z = np.degrees(np.arctan2(-rotation[0, 1], rotation[1, 1]))
    return round(float(x), 4), round(float(y), 4), round(float(z), 4)


def displacement_field(transform: sitk.Transform, grid: Grid) -> sitk.Image:
    """Where a transform takes each voxel of `grid`, as displacements in mm (LPS, three float64 each)."""
    composite = sitk.CompositeTransform(transform)
    parts = [composite.GetNthTransform(i) for i in range(composite.GetNumberOfTransforms())]
    if len(parts) == 2 and parts[0].IsLinear() and parts[1].GetName() == "BSplineTransform":
        bent = spline_displacement(sitk.BSplineTransform(parts[1]), grid)
        if bent is not None:
            origin = moved_points(parts[0], np.zeros((1, 3)))[0]
            matrix = moved_points(parts[0], np.eye(3)).T - origin[:, None]
            # Each voxel's place is a sum over its indices, and so is what the linear part moves it by.
            index = [np.arange(n, dtype=np.float64) for n in grid.shape]
            along = (np.reshape(grid.direction, (3, 3)) * grid.spacing).T @ (matrix - np.eye(3)).T
            start = (matrix - np.eye(3)) @ grid.origin + origin
            field = bent @ matrix.T
            field += index[2][:, None] * along[0] + start
            field += (index[1][:, None] * along[1])[:, None]
            field += (index[0][:, None] * along[2])[:, None, None]
            image = sitk.GetImageFromArray(field, isVector=True)
            image.SetOrigin(grid.origin)
            image.SetSpacing(grid.spacing)
            image.SetDirection(grid.direction)
            return image
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, [int(s) for s in grid.size], grid.origin, grid.spacing, grid.direction
    )


def jacobian_image(transform: sitk.Transform, grid: Grid) -> sitk.Image:
    """Jacobian determinant of a transform on `grid` (float32): local volume of the moving image per volume of the fixed one."""
    return field_jacobian(displacement_field(transform, grid))


def field_jacobian(field: sitk.Image) -> sitk.Image:
    """Jacobian determinant (float32) of a displacement field."""
    return sitk.Cast(sitk.DisplacementFieldJacobianDeterminant(field), sitk.sitkFloat32)


def min_jacobian(transform: sitk.Transform, mask: sitk.Image, spacing_mm: float = 2.0) -> float:
    """The smallest Jacobian determinant inside a mask, on a grid of `spacing_mm`."""
    grid = Grid.of(mask).isotropic(spacing_mm)
    inside = boolean(resample_mask(mask, grid))
    # The derivative at the grid's border is one-sided across the spline's own border.
    for axis in range(3):
        for edge in (0, -1):
            np.moveaxis(inside, axis, 0)[edge] = False
    return float(array(jacobian_image(transform, grid))[inside].min())


def landmark_error(transform: sitk.Transform | None, fixed_points: np.ndarray, moving_points: np.ndarray) -> np.ndarray:
    """Distances (n,) in mm between `moving_points` (n, 3) and `fixed_points` (n, 3) carried by `transform`; None: as they lie."""
    fixed_points, moving_points = np.asarray(fixed_points, float), np.asarray(moving_points, float)
    if transform is not None:
        fixed_points = np.array([transform.TransformPoint(p) for p in fixed_points.tolist()])
    return np.linalg.norm(fixed_points - moving_points, axis=1)
