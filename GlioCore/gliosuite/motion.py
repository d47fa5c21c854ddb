"""Rigid motion of a 4-D series, frame by frame (first form: every frame to the mean before the bolus)."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .images import Grid, Series, array, boolean, resample_mask
from .similarity import coarse, foreground, indices, interpolate, mutual_information, positions, unit
from .steps import Progress, silent

_CAUTION = (
    "Motion was estimated frame by frame against the frames before the bolus: where contrast agent changes the image much, "
    "part of that change can be mistaken for motion; look at the motion table before trusting shifts that follow the bolus."
)


@dataclass(frozen=True)
class MotionSettings:
    """How motion is estimated.

    Parameters
    ----------
    reference_frames
        Number of first frames whose mean is the reference; None takes a tenth of the series, at least 1 and at most 10.
    levels_mm
        Voxel sizes of the comparison in mm, coarse to fine; the finer ones are for frames that seem to move.
    samples
        Points at which frames are compared.
    bins
        Bins of the joint histogram of Mattes mutual information.
    iterations
        At most, per frame.
    ignore_mm
        A frame whose points move by less than this (mm, at most) is left as it is: interpolation would blur more than it mends.
    seed
        Of the sampling.
    """

    reference_frames: int | None = None
    levels_mm: tuple[float, ...] = (4.0, 2.5)
    samples: int = 20_000
    bins: int = 32
    iterations: int = 50
    ignore_mm: float = 0.4
    seed: int = 1


@dataclass(frozen=True)
class Motion:
    """The corrected series and its motion.

    `translations_mm` and `rotations_deg` (n_times, 3): movement of each frame against the reference, along and about x, y, z (LPS), the
    translation being that of the head's centre; `transforms` map reference to frame points; `corrected` says which frames were
    resampled.
    """

    series: Series
    translations_mm: np.ndarray
    rotations_deg: np.ndarray
    transforms: tuple[sitk.Transform, ...]
    corrected: np.ndarray
    notes: tuple[str, ...]

    @property
    def summary(self) -> dict[str, float | int]:
        """The largest and median movement, and how many frames were resampled."""
        shift = np.linalg.norm(self.translations_mm, axis=1)
        turn = np.linalg.norm(self.rotations_deg, axis=1)
        return {
            "max_translation_mm": round(float(shift.max()), 3),
            "median_translation_mm": round(float(np.median(shift)), 3),
            "max_rotation_deg": round(float(turn.max()), 3),
            "median_rotation_deg": round(float(np.median(turn)), 3),
            "frames_corrected": int(self.corrected.sum()),
            "frames": len(self.corrected),
        }


def correct_motion(
    series: Series,
    settings: MotionSettings | None = None,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> Motion:
    """Move every frame rigidly onto the mean of the first frames.

    Parameters
    ----------
    series
        Frames (t, z, y, x) of any contrast course.
    mask
        Where frames are compared (uint8, any grid); None takes the head.

    Returns
    -------
    Motion
        Frames interpolated by cubic B-splines, kept between 0 (or the frame's lowest value, if that is negative) and its highest value;
        beyond the field of view the nearest voxel is repeated.

    Raises
    ------
    InputError
        If the series has one frame, or is the same everywhere.
    """
    settings = settings or MotionSettings()
    if series.n_times < 2:
        raise InputError(f"{series.name} has 1 time point; at least 2 are needed to correct motion (4th axis = time)")
    first = settings.reference_frames or int(np.clip(series.n_times // 10, 1, 10))
    frames = np.nan_to_num(series.frames, posinf=0.0, neginf=0.0)
    reference = series.grid.image(frames[:first].mean(axis=0))
    if array(reference).min() == array(reference).max():
        raise InputError(f"{series.name} has the same value everywhere in its first {first} frames; an image is needed")
    if min(series.grid.size) < 2:
        note = "Motion was not corrected: the series has a single slice, in which movement out of the plane cannot be seen."
        return _unmoved(series, note)

    head = foreground(reference) if mask is None else mask
    levels = [_Level.of(reference, head, mm) for mm in settings.levels_mm]
    transforms: list[sitk.Euler3DTransform] = []
    still = sitk.Euler3DTransform()
    still.SetCenter(levels[0].points.mean(axis=0).tolist())
    latest = still
    for t in range(series.n_times):
        progress(t / series.n_times, f"motion of frame {t + 1} of {series.n_times}")
        found = latest
        for i, level in enumerate(levels):
            # Most frames are still, and the coarse level says so; only what seems to move is looked at closely.
            if i and _largest(found, level.points) < settings.ignore_mm:
                break
            found = level.climb(series.grid.image(frames[t]), (still, found), settings)
        latest = found
        transforms.append(found)

    translations = np.array([t.GetTranslation() for t in transforms])
    rotations = np.degrees([(t.GetAngleX(), t.GetAngleY(), t.GetAngleZ()) for t in transforms])
    extent = np.array([_largest(t, levels[0].points) for t in transforms])
    corrected = extent > settings.ignore_mm
    out = np.array(frames, dtype=np.float32)
    for t in np.flatnonzero(corrected):
        out[t] = _resampled(series.grid.image(frames[t]), transforms[t])
    progress(1.0, "motion corrected")
    return Motion(replace(series, frames=out), translations, rotations, tuple(transforms), corrected, (_CAUTION,))


def _unmoved(series: Series, note: str) -> Motion:
    none = np.zeros((series.n_times, 3))
    identity = tuple(sitk.Transform(3, sitk.sitkIdentity) for _ in range(series.n_times))
    return Motion(series, none, none.copy(), identity, np.zeros(series.n_times, bool), (note,))


def _largest(transform: sitk.Transform, points: np.ndarray) -> float:
    """The largest movement in mm of the corners of the head's bounding box."""
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.stack(np.meshgrid(*zip(low, high), indexing="ij"), -1).reshape(-1, 3)
    return float(np.linalg.norm([np.subtract(transform.TransformPoint(p), p) for p in box.tolist()], axis=1).max())


@dataclass(frozen=True)
class _Level:
    """The reference at one resolution: intensities 0-1, and where frames are compared with it."""

    spacing_mm: float
    fixed: sitk.Image
    look: sitk.Image
    inside: np.ndarray
    points: np.ndarray  # (n, 3) LPS mm

    @classmethod
    def of(cls, reference: sitk.Image, head: sitk.Image, spacing_mm: float) -> "_Level":
        small = coarse(reference, spacing_mm)
        grid = Grid.of(small)
        inside = boolean(resample_mask(head, grid))
        if not inside.any():
            raise InputError("the mask does not overlap the series")
        fixed = grid.image(unit(array(small), inside).astype(np.float32))
        return cls(spacing_mm, fixed, grid.image(inside), inside, positions(grid, inside))

    def climb(
        self, frame: sitk.Image, starts: tuple[sitk.Euler3DTransform, ...], settings: MotionSettings
    ) -> sitk.Euler3DTransform:
        """The rigid transform of highest mutual information near the best of `starts`."""
        moving = coarse(frame, self.spacing_mm)
        grid = Grid.of(moving)
        values = unit(array(moving), self.inside)
        every = max(1, len(self.points) // 8000)
        points, wanted = self.points[::every], array(self.fixed)[self.inside][::every]

        def score(transform: sitk.Euler3DTransform) -> float:
            centre = np.asarray(transform.GetCenter())
            moved = (
                (points - centre) @ np.reshape(transform.GetMatrix(), (3, 3)).T + centre + transform.GetTranslation()
            )
            found, _, seen = interpolate(values, indices(grid, moved))
            return mutual_information(wanted[seen], found[seen], settings.bins)[0] if seen.sum() > 100 else 0.0

        start = max(starts, key=score)
        climbed = sitk.Euler3DTransform(start)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(settings.bins)
        method.SetMetricFixedMask(self.look)
        share = settings.samples / len(self.points)
        if share < 1:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(share, settings.seed)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(0.5, 0.005, settings.iterations, 0.5)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetNumberOfWorkUnits(1)  # the last digits would otherwise change from run to run
        method.SetInitialTransform(climbed, True)
        try:
            method.Execute(self.fixed, grid.image(values.astype(np.float32)))
        except RuntimeError:  # nothing of the frame is left inside: the start stands
            return start
        return max((climbed, start), key=score)


def _resampled(frame: sitk.Image, transform: sitk.Transform) -> np.ndarray:
    values = array(frame)
    method = sitk.ResampleImageFilter()
    method.SetReferenceImage(frame)
    method.SetTransform(transform)
    # Cubic: linear interpolation would smooth the moved frames alone, and noise enters the fit of every curve.
    method.SetInterpolator(sitk.sitkBSpline)
    method.SetUseNearestNeighborExtrapolator(True)
    return np.clip(array(method.Execute(frame)), min(0.0, float(values.min())), float(values.max()))
