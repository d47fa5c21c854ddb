"""One image onto another: rigid, affine and B-spline stages, by BRAINSFit where there is one, by SimpleITK otherwise.

A transform maps points of the fixed image to points of the moving one (LPS, mm), as ``images.resample`` takes it. Every result is
measured with one yardstick whatever engine found it, and a failed one is refused.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .brainsfit import BrainsFitError, find_brainsfit, run_brainsfit
from .errors import InputError
from .files import atomic
from .freeform import FreeformSettings, deform
from .images import Grid, array, boolean, resample, resample_mask
from .similarity import clean, coarse, dice, foreground, indices, interpolate, mutual_information, positions, unit
from .steps import Progress, part, silent

STAGES = ("rigid", "affine", "bspline")
ENGINES = ("auto", "brainsfit", "simpleitk")
STARTS = ("search", "moments", "center-of-head", "geometry", "identity")

__all__ = [
    "Quality",
    "Registration",
    "RegistrationSettings",
    "checkerboard",
    "common_grid",
    "find_brainsfit",
    "landmark_error",
    "register",
    "write_transform",
]


@dataclass(frozen=True)
class RegistrationSettings:
    """How a registration runs and when it is refused; the same parameters serve both engines.

    Parameters
    ----------
    stages
        Of ``rigid``, ``affine``, ``bspline``, in this order. Images of one patient on one day need ``rigid`` alone.
    start
        ``"search"`` tries several positions (as they lie, centres of the images, of the heads, centres of mass) and rotations on a
        coarse level and keeps the best; the other names fix one position, as BRAINSFit's initializeTransformMode does.
    search_deg
        Rotations tried by the search about each axis: 0 and plus and minus this, degrees.
    bins
        Bins of the joint histogram of Mattes mutual information.
    samples
        Points at which the images are compared, on a regular grid.
    iterations
        At most, per stage and level.
    minimum_step
        A stage ends when its steps are shorter than this (mm).
    levels_mm
        Voxel sizes of the linear stages' levels in mm, coarse to fine (SimpleITK).
    spline_grid
        B-spline cells along x, y, z of the fixed image.
    bending
        Weight of the B-spline's bending energy (SimpleITK; None: see `freeform.FreeformSettings`).
    seed
        Of the sampling.
    tolerance
        Mutual information (nats) may fall by this much: images that were aligned before stay accepted.
    min_overlap
        Least Dice coefficient of the two heads, or masks, where both images have voxels.
    max_rotation_deg, max_scale
        A rotation or stretch beyond these is refused.
    """

    stages: tuple[str, ...] = ("rigid",)
    start: str = "search"
    search_deg: float = 15.0
    bins: int = 50
    samples: int = 50_000
    iterations: int = 200
    minimum_step: float = 0.001
    levels_mm: tuple[float, ...] = (4.0, 2.0)
    spline_grid: tuple[int, int, int] = (14, 10, 12)
    bending: float | None = None
    seed: int = 1
    tolerance: float = 0.01
    min_overlap: float = 0.4
    max_rotation_deg: float = 60.0
    max_scale: float = 1.3


@dataclass(frozen=True)
class Quality:
    """What a registration is judged by.

    Mutual information (nats) is taken over the same points before and after: the fixed foreground as far as it lies inside the moving
    image afterwards; `before` counts a point outside the moving image as background. `displaced` is its highest value when the
    result is moved by 10 mm along an axis: a true optimum is higher. `overlap` is the Dice coefficient of the two foregrounds
    (or masks). Translation is that of the foreground's centre; rotation and scales are those of the best affine map through the whole.
    """

    verdict: str
    reason: str
    mutual_information_before: float
    mutual_information_after: float
    mutual_information_displaced: float
    overlap: float
    covered: float
    translation_mm: float
    rotation_deg: float
    rotation_xyz_deg: tuple[float, float, float]
    scales: tuple[float, float, float]
    min_jacobian: float | None
    points: int


@dataclass(frozen=True)
class Registration:
    """An accepted registration: the transform (fixed to moving points), the moving image on the fixed grid, and how good it is."""

    transform: sitk.Transform
    image: sitk.Image
    quality: Quality
    engine: str
    notes: tuple[str, ...] = ()


def common_grid(t1c: sitk.Image, spacing_mm: float = 1.0) -> Grid:
    """The isotropic grid of the T1c's field of view that all images of a case are resampled to."""
    return Grid.of(t1c).isotropic(spacing_mm)


def register(
    fixed: sitk.Image,
    moving: sitk.Image,
    settings: RegistrationSettings | None = None,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
    engine: str = "auto",
    brainsfit: str | Path | None = None,
    progress: Progress = silent,
) -> Registration:
    """Register `moving` to `fixed`.

    Parameters
    ----------
    fixed, moving
        3-D images of any contrast, grid and orientation. For a perfusion series give a 3-D frame or mean, and resample its maps.
    fixed_mask, moving_mask
        Regions of interest (uint8, any grid of their side): where to look, and where to start from. Without them the heads are taken.
    engine
        ``"auto"`` takes BRAINSFit where there is one and SimpleITK where there is none or it fails; ``"brainsfit"`` or ``"simpleitk"``
        take that one or fail.
    brainsfit
        The executable or a Slicer folder; None looks for it, see `brainsfit.find_brainsfit`.

    Returns
    -------
    Registration
        The image is float32 on the fixed grid, linearly interpolated, 0 outside the moving image.

    Raises
    ------
    InputError
        If an image is empty or flat, BRAINSFit is asked for and missing or failing, or the result is refused.
    """
    settings = settings or RegistrationSettings()
    _check(settings, engine)
    pair = _Pair.of(fixed, moving, fixed_mask, moving_mask, settings)
    notes: list[str] = []
    executable = None if engine == "simpleitk" else find_brainsfit(brainsfit)
    if executable is None and engine == "brainsfit":
        raise InputError(
            "BRAINSFit was asked for and not found: set GLIOSUITE_BRAINSFIT to it or to a Slicer folder, or choose the engine simpleitk"
        )
    result = None
    if executable is not None:
        try:
            transform = _by_brainsfit(pair, settings, executable, progress)
            quality = _judge(pair, transform, settings)
            if quality.verdict == "accepted" or engine == "brainsfit":
                result = (transform, quality, "brainsfit")
            else:
                notes.append(f"BRAINSFit's result was refused ({quality.reason}); SimpleITK was taken instead")
        except BrainsFitError as error:
            if engine == "brainsfit":
                raise InputError(f"BRAINSFit failed: {error}") from error
            notes.append(f"BRAINSFit failed ({error}); SimpleITK was taken instead")
            warnings.warn(notes[-1], stacklevel=2)
    if result is None:
        transform = _by_simpleitk(pair, settings, progress)
        result = (transform, _judge(pair, transform, settings), "simpleitk")
    transform, quality, ran = result
    if quality.verdict != "accepted":
        raise InputError(f"the registration was refused: {quality.reason}")
    progress(1.0, "registered")
    return Registration(transform, resample(pair.moving, fixed, transform), quality, ran, tuple(notes))


def landmark_error(transform: sitk.Transform | None, fixed_points: np.ndarray, moving_points: np.ndarray) -> np.ndarray:
    """Distances (n,) in mm between `moving_points` (n, 3) and `fixed_points` (n, 3) carried by `transform`; None: as they lie."""
    fixed_points, moving_points = np.asarray(fixed_points, float), np.asarray(moving_points, float)
    if transform is not None:
        fixed_points = np.array([transform.TransformPoint(p) for p in fixed_points.tolist()])
    return np.linalg.norm(fixed_points - moving_points, axis=1)


def write_transform(transform: sitk.Transform, path: str | Path) -> Path:
    """Write an ITK transform whole or not at all: ``.tfm`` for a linear one, ``.h5`` for any.

    Raises
    ------
    InputError
        If the suffix does not fit, or the folder cannot be written.
    """
    path = Path(path)
    check_transform_name(path, isinstance(transform, sitk.CompositeTransform))
    with atomic(path) as partial:
        try:
            sitk.WriteTransform(transform, str(partial))
        except RuntimeError as error:
            raise InputError(f"{path} could not be written: {str(error).strip().splitlines()[-1]}") from error
    return path


def check_transform_name(path: str | Path, deformable: bool) -> None:
    """Refuse a transform's file name that the result will not fit."""
    allowed = (".h5",) if deformable else (".tfm", ".h5")
    if Path(path).suffix.lower() not in allowed:
        kind = "with a bspline stage the transform is a composite" if deformable else "this is a transform"
        raise InputError(f"{path}: {kind}, and its name must end in {' or '.join(allowed)}")


def checkerboard(fixed: sitk.Image, moved: sitk.Image, tiles: int = 8, count: int = 3) -> np.ndarray:
    """A picture that shows whether edges continue: axial, coronal and sagittal slices in squares of either image.

    Parameters
    ----------
    fixed, moved
        Images on one grid.
    tiles
        Squares along the longer side.
    count
        Slices per direction.

    Returns
    -------
    numpy.ndarray
        RGB (height, width, 3) uint8; squares of the moved image are tinted so that both can be told apart.
    """
    grid = common_grid(fixed)
    canonical = [sitk.DICOMOrient(resample(clean(i), grid), "LPS") for i in (fixed, moved)]
    head = sitk.DICOMOrient(resample_mask(foreground(clean(fixed)), grid), "LPS")
    inside = boolean(head)
    a, b = (unit(array(i), inside) for i in canonical)
    rows = []
    for axis in range(3):
        where = np.flatnonzero(inside.any(axis=tuple(x for x in range(3) if x != axis)))
        row = []
        for part_of in np.linspace(0.3, 0.7, count):
            k = int(where[0] + part_of * (where[-1] - where[0]))
            f, m = np.take(a, k, axis), np.take(b, k, axis)
            if axis:
                f, m = f[::-1], m[::-1]  # head up
            side = max(1, max(f.shape) // tiles)
            square = (np.add.outer(np.arange(f.shape[0]) // side, np.arange(f.shape[1]) // side) % 2).astype(bool)
            rgb = np.where(square[..., None], m[..., None] * (1.0, 0.9, 0.7), f[..., None] * (1.0, 1.0, 1.0))
            row.append(rgb)
        height = max(r.shape[0] for r in row)
        rows.append(np.concatenate([np.pad(r, ((0, height - r.shape[0]), (0, 4), (0, 0))) for r in row], axis=1))
    width = max(r.shape[1] for r in rows)
    picture = np.concatenate([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for r in rows])
    return (255 * picture + 0.5).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------------- what is given


def _check(settings: RegistrationSettings, engine: str) -> None:
    stages = settings.stages
    if not stages or [s for s in STAGES if s in stages] != list(stages):
        raise InputError(
            f"stages {','.join(stages) or '(none)'} are not known; some of rigid,affine,bspline in this order are needed"
        )
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is not known; choose from {', '.join(ENGINES)}")
    if settings.start not in STARTS:
        raise InputError(f"start {settings.start!r} is not known; choose from {', '.join(STARTS)}")


@dataclass(frozen=True)
class _Pair:
    """Both images, where to look in each, and the points at which a result is judged."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image  # uint8 on a coarse grid (or the one given)
    moving_mask: sitk.Image
    given: tuple[bool, bool]
    points: np.ndarray  # (n, 3) LPS mm
    values: np.ndarray  # (n,) fixed intensities there, 0-1
    small: sitk.Image  # moving image for judging
    centre: np.ndarray

    @classmethod
    def of(
        cls,
        fixed: sitk.Image,
        moving: sitk.Image,
        fixed_mask: sitk.Image | None,
        moving_mask: sitk.Image | None,
        settings: RegistrationSettings,
    ) -> "_Pair":
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
        fixed_mask = sitk.Cast(fixed_mask > 0, sitk.sitkUInt8) if given[0] else foreground(fixed)
        moving_mask = sitk.Cast(moving_mask > 0, sitk.sitkUInt8) if given[1] else foreground(moving)
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
        small = Grid.of(m).image(unit(array(m, np.float64), m_inside))
        return cls(
            fixed, moving, fixed_mask, moving_mask, given, points, values, small, positions(grid, inside).mean(axis=0)
        )


# -------------------------------------------------------------------------------------------------------------- the yardstick


def _moved(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) carried by a transform; many at once where it is linear."""
    if transform.IsLinear():
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        matrix = np.stack([np.array(transform.TransformPoint(e)) - origin for e in np.eye(3).tolist()], axis=1)
        return points @ matrix.T + origin
    return np.array([transform.TransformPoint(p) for p in points.tolist()])


def _information(pair: _Pair, moved: np.ndarray, chosen: np.ndarray, bins: int) -> float:
    """Mutual information over the points `chosen`; those outside the moving image count as its background."""
    values, _, inside = interpolate(array(pair.small, np.float64), indices(Grid.of(pair.small), moved[chosen]))
    return mutual_information(pair.values[chosen], np.where(inside, values, 0.0), bins)[0]


def _judge(pair: _Pair, transform: sitk.Transform, settings: RegistrationSettings) -> Quality:
    """Measure a result and say whether it is accepted."""
    moved = _moved(transform, pair.points)
    grid = Grid.of(pair.small)
    inside = interpolate(array(pair.small, np.float64), indices(grid, moved))[2]
    covered = float(inside.mean())
    bins = settings.bins
    after = _information(pair, moved, inside, bins) if covered else 0.0
    before = _information(pair, pair.points, inside, bins) if covered else 0.0
    shifts = [np.eye(3)[a] * s for a in range(3) for s in (-10.0, 10.0)]
    displaced = max(_information(pair, moved + s, inside, bins) for s in shifts) if covered else 0.0

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

    reason = ""
    if covered < 0.05:
        reason = f"only {100 * covered:.0f} % of the fixed image lie inside the moving one"
    elif after < before - settings.tolerance:
        reason = f"mutual information fell from {before:.3f} to {after:.3f}"
    elif after <= displaced:
        reason = f"mutual information is {after:.3f} and no higher than {displaced:.3f} after a shift by 10 mm, so this is no match"
    elif overlap < settings.min_overlap:
        reason = f"the overlap of the two heads (Dice) is {overlap:.2f}; at least {settings.min_overlap:g} is needed"
    elif mirrored or degrees > settings.max_rotation_deg:
        reason = f"a rotation by {degrees:.0f} degrees was found; at most {settings.max_rotation_deg:g} is accepted"
    elif scales.max() > settings.max_scale or scales.min() < 1 / settings.max_scale:
        reason = f"a stretch by {scales.max():.2f} and {scales.min():.2f} was found; at most {settings.max_scale:g} is accepted"
    elif jacobian is not None and jacobian <= 0:
        reason = f"the B-spline folds (smallest Jacobian {jacobian:.2f})"
    return Quality(
        "refused" if reason else "accepted",
        reason,
        round(before, 6),
        round(after, 6),
        round(displaced, 6),
        round(overlap, 4),
        round(covered, 4),
        round(float(np.linalg.norm(affine[:, 3])), 4),
        round(degrees, 4),
        tuple(round(float(v), 4) for v in _euler_deg(rotation)),
        tuple(round(float(v), 5) for v in np.sort(scales)),
        None if jacobian is None else round(jacobian, 4),
        int(inside.sum()),
    )


def _euler_deg(rotation: np.ndarray) -> tuple[float, float, float]:
    """Angles about x, y, z in degrees, in the order of ITK's Euler3DTransform (Z X Y)."""
    return tuple(
        np.degrees(
            [
                np.arcsin(np.clip(rotation[2, 1], -1, 1)),
                np.arctan2(-rotation[2, 0], rotation[2, 2]),
                np.arctan2(-rotation[0, 1], rotation[1, 1]),
            ]
        )
    )


def jacobian_image(transform: sitk.Transform, grid: Grid) -> sitk.Image:
    """Jacobian determinant of a transform on `grid` (float32): local volume of the moving image per volume of the fixed one."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, [int(s) for s in grid.size], grid.origin, grid.spacing, grid.direction
    )
    return sitk.Cast(sitk.DisplacementFieldJacobianDeterminant(field), sitk.sitkFloat32)


def min_jacobian(transform: sitk.Transform, mask: sitk.Image, spacing_mm: float = 2.0) -> float:
    """The smallest Jacobian determinant inside a mask, on a grid of `spacing_mm`."""
    grid = Grid.of(mask).isotropic(spacing_mm)
    inside = boolean(resample_mask(mask, grid))
    # The derivative at the grid's border is one-sided across the spline's own border.
    for axis in range(3):
        index = [slice(None)] * 3
        for edge in (0, -1):
            index[axis] = edge
            inside[tuple(index)] = False
    return float(array(jacobian_image(transform, grid))[inside].min())


# ---------------------------------------------------------------------------------------------------------------- BRAINSFit


def _by_brainsfit(pair: _Pair, settings: RegistrationSettings, executable: Path, progress: Progress) -> sitk.Transform:
    voxels = float(boolean(pair.fixed_mask).sum()) * Grid.of(pair.fixed_mask).voxel_cc / Grid.of(pair.fixed).voxel_cc
    flags = {
        {"rigid": "useRigid", "affine": "useAffine", "bspline": "useBSpline"}[stage]: True for stage in settings.stages
    } | {
        "samplingPercentage": round(float(np.clip(settings.samples / max(voxels, 1.0), 0.002, 1.0)), 6),
        "splineGridSize": settings.spline_grid,
        "numberOfIterations": 1500,
        "numberOfHistogramBins": settings.bins,
        "minimumStepLength": settings.minimum_step,
    }
    initial: sitk.Transform | str = settings.start
    if initial == "search":
        progress(0.0, "looking for a starting position")
        initial = _versor(_search(pair, settings)[0], pair.centre)
    masks = (pair.fixed_mask, pair.moving_mask) if any(pair.given) else (None, None)
    found = run_brainsfit(
        executable, pair.fixed, pair.moving, flags, "bspline" in settings.stages, *masks, initial, progress
    )
    return _simplified(found, settings, pair.centre)


def _simplified(transform: sitk.Transform, settings: RegistrationSettings, centre: np.ndarray) -> sitk.Transform:
    """A linear transform as one matrix about the head's centre, whatever it was read as; a deformable one as it is."""
    if not transform.IsLinear():
        return transform
    if settings.stages == ("rigid",):
        return _versor(transform, centre)
    return _affine(transform, centre)


def _matrix(transform: sitk.Transform, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (3, 3) and translation (3,) of a linear transform about `centre`."""
    corners = _moved(transform, np.vstack([centre, centre + np.eye(3)]))
    return (corners[1:] - corners[0]).T, corners[0] - centre


def _affine(transform: sitk.Transform, centre: np.ndarray) -> sitk.AffineTransform:
    matrix, translation = _matrix(transform, centre)
    result = sitk.AffineTransform(3)
    result.SetCenter(centre.tolist())
    result.SetMatrix(matrix.ravel().tolist())
    result.SetTranslation(translation.tolist())
    return result


def _versor(transform: sitk.Transform, centre: np.ndarray) -> sitk.VersorRigid3DTransform:
    matrix, translation = _matrix(transform, centre)
    u, _, vt = np.linalg.svd(matrix)
    result = sitk.VersorRigid3DTransform()
    result.SetCenter(centre.tolist())
    result.SetMatrix((u @ vt).ravel().tolist())
    result.SetTranslation(translation.tolist())
    return result


# ---------------------------------------------------------------------------------------------------------------- SimpleITK


def _by_simpleitk(pair: _Pair, settings: RegistrationSettings, progress: Progress) -> sitk.Transform:
    progress(0.0, "looking for a starting position")
    starts = _search(pair, settings)
    linear: sitk.Transform = starts[0]
    step = 1.0 / (len(settings.stages) + 1)
    everywhere = np.ones(len(pair.points), bool)
    score = lambda t: _information(pair, _moved(t, pair.points), everywhere, settings.bins)
    levels = [_Level.of(pair, mm) for mm in settings.levels_mm] if settings.stages[0] != "bspline" else []
    if levels:
        # The best few starts run on the coarsest level, the best of these goes on.
        tried = [_optimize(sitk.Euler3DTransform(t), levels[:1], settings) for t in starts]
        linear = max([*tried, *starts], key=score)
    for i, stage in enumerate(settings.stages):
        stretch = part(progress, (i + 1) * step, (i + 2) * step)
        stretch(0.0, f"{stage} stage")
        if stage == "rigid":
            found = _optimize(sitk.Euler3DTransform(linear), levels, settings)
            linear = max(found, linear, key=score)
        elif stage == "affine":
            found = _optimize(_affine(linear, pair.centre), levels, settings)
            linear = max(found, _affine(linear, pair.centre), key=score)
        else:
            linear = _simplified(linear, RegistrationSettings(stages=settings.stages[:-1] or ("rigid",)), pair.centre)
            freeform = FreeformSettings(spline_grid=settings.spline_grid, bending=settings.bending, bins=settings.bins)
            spline = deform([pair.fixed], [pair.moving], linear, _looked_at(pair, linear), freeform, stretch)
            return sitk.CompositeTransform([linear, spline])
    return _simplified(linear, settings, pair.centre)


def _looked_at(pair: _Pair, transform: sitk.Transform) -> sitk.Image:
    """Where the fixed image is compared: its foreground as far as the moving image reaches."""
    whole = sitk.Cast(Grid.of(pair.moving).blank() + 1, sitk.sitkFloat32)
    grid = Grid.of(pair.fixed_mask).isotropic(3.0)
    seen = array(resample(whole, grid, transform)) > 0.99
    mask = resample_mask(pair.fixed_mask, grid)
    mask = mask if pair.given[0] else sitk.BinaryDilate(mask, [2] * 3)
    return grid.image(boolean(mask) & seen)


def _starts(pair: _Pair, settings: RegistrationSettings) -> list[np.ndarray]:
    """Translations that starting positions are made of."""
    middle = lambda image: Grid.of(image).corners().mean(axis=0)
    mass = lambda mask: positions(Grid.of(mask), boolean(mask)).mean(axis=0)
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
    return points[points[:, 2] > points[:, 2].max() - depth_mm].mean(axis=0)


def _search(pair: _Pair, settings: RegistrationSettings, keep: int = 3) -> list[sitk.Euler3DTransform]:
    """The best starting positions, best first; as the images lie comes among them in any case."""
    few = np.zeros(len(pair.points), bool)
    few[:: max(1, len(pair.points) // 6000)] = True
    angles = (0.0,)
    if settings.start == "search":
        a = float(np.radians(settings.search_deg))
        angles = (0.0, -a, a)
    candidates = []
    for shift in _starts(pair, settings):
        for x in angles:
            for y in angles:
                for z in angles:
                    t = sitk.Euler3DTransform(pair.centre.tolist(), x, y, z, shift.tolist())
                    moved = _moved(t, pair.points[few])
                    full = np.empty_like(pair.points)
                    full[few] = moved
                    candidates.append((_information(pair, full, few, 32), t))
    # A stable sort keeps the order of trying among equals, so results do not hang on chance.
    best = [t for _, t in sorted(candidates, key=lambda c: -c[0])[:keep]]
    return best if candidates[0][1] in best else [*best, candidates[0][1]]


@dataclass(frozen=True)
class _Level:
    """Both images at one resolution, their intensities 0-1, and where they are compared."""

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image
    moving_mask: sitk.Image | None
    spacing_mm: float

    @classmethod
    def of(cls, pair: _Pair, spacing_mm: float) -> "_Level":
        fixed, moving = coarse(pair.fixed, spacing_mm), coarse(pair.moving, spacing_mm)
        f_inside, m_inside = resample_mask(pair.fixed_mask, fixed), resample_mask(pair.moving_mask, moving)
        return cls(
            Grid.of(fixed).image(unit(array(fixed), boolean(f_inside)).astype(np.float32)),
            Grid.of(moving).image(unit(array(moving), boolean(m_inside)).astype(np.float32)),
            f_inside if pair.given[0] else sitk.BinaryDilate(f_inside, [max(1, round(6.0 / spacing_mm))] * 3),
            m_inside if pair.given[1] else None,
            spacing_mm,
        )


def _optimize(start: sitk.Transform, levels: Sequence[_Level], settings: RegistrationSettings) -> sitk.Transform:
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
        method.SetOptimizerAsRegularStepGradientDescent(
            level.spacing_mm / 2, settings.minimum_step, settings.iterations, 0.5
        )
        method.SetOptimizerScalesFromPhysicalShift()
        # More than one work unit adds up in the order in which threads end: the last digits would change from run to run.
        method.SetNumberOfWorkUnits(1)
        climbed = sitk.Transform(transform)
        method.SetInitialTransform(climbed, True)
        try:
            method.Execute(level.fixed, level.moving)
        except RuntimeError:  # no sample lies inside the moving image: this start leads nowhere
            return transform
        transform = climbed
    return transform
