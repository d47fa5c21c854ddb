"""One image onto another: rigid, affine and B-spline stages, by BRAINSFit where there is one, by SimpleITK otherwise.

A transform maps points of the fixed image to points of the moving one (LPS, mm), as ``images.resample`` takes it. Every result is
measured with one yardstick whatever engine found it, and a failed one is refused.
"""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..images import Grid, array, boolean, resample, resample_mask
from ..settings import check
from ..steps import Progress, part, silent
from .brainsfit import BrainsFitError, find_brainsfit, run_brainsfit
from .freeform import FreeformSettings, deform
from .linear import Level, as_affine, as_versor, optimize, search
from .quality import Pair, Quality, information, judge, moved_points
from .settings import ENGINES, RegistrationSettings

STAGES = ("rigid", "affine", "bspline")
# Chosen: less than tissue moves beside a growing tumour; a B-spline that made up for 11 mm and 12 degrees had a Jacobian of 0.03.
_APART_MM, _APART_DEG = 3.0, 3.0


@dataclass(frozen=True)
class Registration:
    """An accepted registration: the transform (fixed to moving points), the moving image on the fixed grid, how good it is, what ran.

    `cpu_s` is the time in s that it took of the processor: of its own thread and of BRAINSFit; what ITK does in threads beside it (to
    resample, a tenth) is not counted, so that registrations side by side are told apart.
    """

    transform: sitk.Transform
    image: sitk.Image
    quality: Quality
    engine: str
    notes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    cpu_s: float = 0.0


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
    start, of_brainsfit = time.thread_time(), 0.0
    pair = Pair.of(fixed, moving, fixed_mask, moving_mask)
    notes: list[str] = []
    if settings.stages == ("bspline",) and (apart := _apart(pair, settings)):
        settings = replace(settings, stages=STAGES)
        notes.append(apart)
        warnings.warn(apart, stacklevel=2)
    executable = None if engine == "simpleitk" else find_brainsfit(brainsfit)
    if executable is None and engine == "brainsfit":
        raise InputError(
            "BRAINSFit was asked for and not found: set GLIOSUITE_BRAINSFIT to it or to a Slicer folder, or choose the engine simpleitk"
        )
    result = None
    if executable is not None:
        try:
            transform, of_brainsfit = _by_brainsfit(pair, settings, executable, progress)
            quality = judge(pair, transform, settings)
            if quality.verdict != "refused" or engine == "brainsfit":
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
        result = (transform, judge(pair, transform, settings), "simpleitk")
    transform, quality, ran = result
    if quality.verdict == "refused":
        raise InputError(f"the registration was refused: {quality.reason}")
    if quality.verdict == "questioned":
        notes.append(f"the registration is questioned: {quality.reason}")
        warnings.warn(notes[-1], stacklevel=2)
    progress(1.0, "registered")
    image = resample(pair.moving, fixed, transform)
    cpu_s = time.thread_time() - start + of_brainsfit
    return Registration(transform, image, quality, ran, tuple(notes), settings.stages, cpu_s)


# ------------------------------------------------------------------------------------------------------------- what is given


def _check(settings: RegistrationSettings, engine: str) -> None:
    stages = settings.stages
    if not stages or [s for s in STAGES if s in stages] != list(stages):
        raise InputError(
            f"stages {','.join(stages) or '(none)'} are not known; some of rigid,affine,bspline in this order are needed"
        )
    if engine not in ENGINES:
        raise InputError(f"engine {engine!r} is not known; choose from {', '.join(ENGINES)}")
    check(settings, "start")


def _apart(pair: Pair, settings: RegistrationSettings) -> str | None:
    """A sentence where a rigid move brings the images closer by so much that a B-spline must not be asked to make up for it."""
    rigid = replace(settings, stages=("rigid",))
    found = judge(pair, _by_simpleitk(pair, rigid, silent), rigid)
    if found.verdict == "refused" or not (found.translation_mm > _APART_MM or found.rotation_deg > _APART_DEG):
        return None
    return (
        f"the images lie {found.translation_mm:.1f} mm and {found.rotation_deg:.1f} degrees apart, too far for a B-spline stage alone: "
        "the rigid and affine stages were run before it"
    )


# ---------------------------------------------------------------------------------------------------------------- BRAINSFit


def _by_brainsfit(
    pair: Pair, settings: RegistrationSettings, executable: Path, progress: Progress
) -> tuple[sitk.Transform, float]:
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
    # BRAINSFit's own centre of the head wants no mask, or the head's: the real one failed with a mask for one image alone. Ours takes any.
    initial: sitk.Transform | str = settings.start
    if initial in ("search", "center-of-head"):
        progress(0.0, "looking for a starting position")
        initial = as_versor(search(pair, settings)[0], pair.centre)
    looked, sought = (pair.fixed_mask, pair.moving_mask) if any(pair.given) else (None, None)
    found, cpu_s = run_brainsfit(
        executable, pair.fixed, pair.moving, flags, "bspline" in settings.stages, looked, sought, initial, progress
    )
    return _simplified(found, settings, pair.centre), cpu_s


def _simplified(transform: sitk.Transform, settings: RegistrationSettings, centre: np.ndarray) -> sitk.Transform:
    """A linear transform as one matrix about the head's centre, whatever it was read as; a deformable one as it is."""
    if not transform.IsLinear():
        return transform
    if settings.stages == ("rigid",):
        return as_versor(transform, centre)
    return as_affine(transform, centre)


# ---------------------------------------------------------------------------------------------------------------- SimpleITK


def _by_simpleitk(pair: Pair, settings: RegistrationSettings, progress: Progress) -> sitk.Transform:
    progress(0.0, "looking for a starting position")
    starts = search(pair, settings)
    linear: sitk.Transform = starts[0]
    step = 1.0 / (len(settings.stages) + 1)
    everywhere = np.ones(len(pair.points), bool)
    score = lambda t: information(pair, moved_points(t, pair.points), everywhere, settings.bins)
    # A level finer than both images are sampled shows nothing new.
    finest = min(*pair.fixed.GetSpacing(), *pair.moving.GetSpacing())
    spacings = sorted({max(mm, finest) for mm in settings.levels_mm}, reverse=True)
    levels = [Level.of(pair, mm) for mm in spacings] if settings.stages[0] != "bspline" else []
    if levels:
        # The best few starts climb a while on the coarsest level, the best of these goes on.
        rough = replace(settings, samples=min(settings.samples, 10_000), minimum_step=0.05, iterations=50)
        tried = [optimize(sitk.Euler3DTransform(t), levels[:1], rough) for t in starts]
        linear = max([*tried, *starts], key=score)
    for i, stage in enumerate(settings.stages):
        stretch = part(progress, (i + 1) * step, (i + 2) * step)
        stretch(0.0, f"{stage} stage")
        if stage == "rigid":
            found = optimize(sitk.Euler3DTransform(linear), levels, settings)
            linear = max(found, linear, key=score)
        elif stage == "affine":
            found = optimize(as_affine(linear, pair.centre), levels, settings)
            linear = max(found, as_affine(linear, pair.centre), key=score)
        else:
            linear = _simplified(linear, RegistrationSettings(stages=settings.stages[:-1] or ("rigid",)), pair.centre)
            freeform = FreeformSettings(
                spline_grid=settings.spline_grid,
                levels_mm=settings.spline_levels_mm,
                bending=settings.bending,
                bins=settings.bins,
            )
            spline = deform([pair.fixed], [pair.moving], linear, compared_region(pair, linear), freeform, stretch)
            return sitk.CompositeTransform([linear, spline])
    return _simplified(linear, settings, pair.centre)


def compared_region(pair: Pair, transform: sitk.Transform) -> sitk.Image:
    """Where the fixed image is compared: its foreground as far as the moving image reaches."""
    whole = sitk.Cast(Grid.of(pair.moving).blank() + 1, sitk.sitkFloat32)
    grid = Grid.of(pair.fixed_mask).isotropic(3.0)
    seen = array(resample(whole, grid, transform)) > 0.99
    mask = resample_mask(pair.fixed_mask, grid)
    mask = mask if pair.given[0] else sitk.BinaryDilate(mask, [2] * 3)
    return grid.image(boolean(mask) & seen)
