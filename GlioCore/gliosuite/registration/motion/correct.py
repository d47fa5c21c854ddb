"""Rigid motion of a 4-D series, frame by frame, told from contrast by the tissue that takes up none."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...compute import each
from ...curves import find_bolus
from ...errors import InputError
from ...images import Series, boolean, resample_mask
from ...settings import setting
from ...steps import Progress, silent
from ..similarity import foreground, positions
from .alignment import Fit, Level, Reference, Rigid, Seen, fit, unchanging, weighted
from .passes import resample_affine

# Smoothing (mm) and number of points of the levels. The last one is hardly smoothed, which would carry contrast over to what has none.
_COARSE_MM, _MIDDLE, _FINE = 6.0, (2.0, 12_000), (0.7, 20_000)
# By how much (mm) the frames may still be off when unchanging points are sought, and among which of the points: while alignment is rough,
# every third tells as much.
_FORGIVEN = ((0.3, 3), (0.2, 3), (0.1, 1))
_FEWEST_TIMES = 5  # chosen: fewer show no bolus after a baseline
_FEWEST_COARSE = (
    20  # points of the coarse level: chosen, six movements and a cubic map of intensities need more than a dozen
)
_FEWEST = 400  # unchanging points: chosen, because six movements and a map of intensities are told from them
_UNLIKE = 0.5  # a frame that correlates less with the reference is no picture of the same head
_UNSURE = 0.9  # one that correlates less after the coarse level is tried from farther away
_FAR_MM = 18.0  # how far: chosen, because it is three times the width of the coarse level's smoothing
# An outlier's own residuals: over the median, and in SDs above it. Chosen, because six SDs are beyond noise, and residuals a third larger
# change a curve.
_OUTLYING = (1.3, 6.0)


@dataclass(frozen=True)
class MotionSettings:
    """How motion is estimated.

    Parameters
    ----------
    reference_frames
        Number of first frames whose mean position is the reference; None takes a tenth of the series, at least 1 and at most 10.
    ignore_mm
        A frame whose head moves by less than this (mm, root mean square) is left as it is: interpolation would blur more than it mends.
    """

    reference_frames: int | None = setting(
        None, "the mean position in the first frames is the reference", metavar="N", low=1
    )
    ignore_mm: float = 0.2


@dataclass(frozen=True)
class Motion:
    """The corrected series and its motion.

    `translations_mm` and `rotations_deg` (n_times, 3): movement of each frame against the reference, along and about x, y, z (LPS), the
    translation being that of the head's centre; `displacements_mm` (n_times,) what that comes to over the head, root mean square;
    `uncertainty_mm` (n_times,) the standard deviation of that which noise alone makes; `transforms` map reference to frame points;
    `corrected` says which frames were resampled, `outliers` which do not fit the others even when aligned; `arrival` is the first frame
    with contrast agent, None where no bolus is seen; `told` says whether motion could be told from contrast.
    """

    series: Series
    translations_mm: np.ndarray
    rotations_deg: np.ndarray
    displacements_mm: np.ndarray
    uncertainty_mm: np.ndarray
    transforms: tuple[sitk.Transform, ...]
    corrected: np.ndarray
    outliers: np.ndarray
    notes: tuple[str, ...]
    arrival: int | None = None
    told: bool = True

    @property
    def summary(self) -> dict[str, float | int]:
        """The largest and median movement, and how many frames were resampled or stand out."""
        shift = np.linalg.norm(self.translations_mm, axis=1)
        turn = np.linalg.norm(self.rotations_deg, axis=1)
        return {
            "max_translation_mm": round(float(shift.max()), 3),
            "median_translation_mm": round(float(np.median(shift)), 3),
            "max_rotation_deg": round(float(turn.max()), 3),
            "median_rotation_deg": round(float(np.median(turn)), 3),
            "max_displacement_mm": round(float(self.displacements_mm.max()), 3),
            "frames_corrected": int(self.corrected.sum()),
            "outlying_frames": int(self.outliers.sum()),
            "frames": len(self.corrected),
        }

    def table(self) -> tuple[list[str], list[list[float | int]]]:
        """Header and rows of the motion table, one row per frame."""
        numbers = np.column_stack(
            [self.translations_mm, self.rotations_deg, self.displacements_mm, self.uncertainty_mm]
        ).round(4)
        header = ["frame", "x_mm", "y_mm", "z_mm", "x_deg", "y_deg", "z_deg", "displacement_mm", "uncertainty_mm"]
        flags = zip(numbers.tolist(), self.corrected, self.outliers)
        return [*header, "corrected", "outlier"], [[i, *row, int(a), int(b)] for i, (row, a, b) in enumerate(flags)]


def correct_motion(
    series: Series,
    settings: MotionSettings | None = None,
    mask: sitk.Image | None = None,
    progress: Progress = silent,
) -> Motion:
    """Move every frame rigidly to where the head was in the first frames.

    Each frame is fitted to the first ones' mean by Gauss-Newton steps in which a map of intensities and the movement are solved for
    together, coarse to fine; the finest fits look at points whose aligned curves do not change over time.

    Parameters
    ----------
    series
        Frames (t, z, y, x) of any contrast course; fewer than four slices are moved within their plane alone.
    mask
        Where frames are compared (uint8, any grid); None takes the head.

    Returns
    -------
    Motion
        Frames interpolated once, by cubic B-splines, kept between 0 (or the frame's lowest value, if that is negative) and its highest
        value; beyond the field of view the nearest voxel is repeated.

    Raises
    ------
    InputError
        If the series has one frame, is the same everywhere, or the mask is too small.
    """
    settings = settings or MotionSettings()
    if series.n_times < 2:
        raise InputError(f"{series.name} has 1 time point; at least 2 are needed to correct motion (4th axis = time)")
    first = settings.reference_frames or int(np.clip(series.n_times // 10, 1, 10))
    frames = series.frames
    if not np.isfinite(frames).all():
        frames = np.nan_to_num(frames, posinf=0.0, neginf=0.0)
    reference = frames[:first].mean(axis=0)
    if reference.min() == reference.max():
        raise InputError(f"{series.name} has the same value everywhere in its first {first} frames; an image is needed")
    if sum(n >= 4 for n in series.grid.size) < 2:
        raise InputError(f"{series.name} has {series.grid.size} voxels; at least 4 along two axes are needed")
    found = foreground(series.grid.image(reference)) if mask is None else mask
    head = boolean(resample_mask(found, series.grid))
    if not head.any():
        raise InputError("the mask does not overlap the series")

    centre = positions(series.grid, head).mean(axis=0)
    fits, notes, told = _estimate(replace(series, frames=frames), first, head, centre, mask is not None, progress)
    good = [f if f is not None and f.likeness >= _UNLIKE else None for f in fits]
    known = np.array([f is not None for f in good])
    moves = [Rigid() if f is None else f.move for f in good]
    start = [moves[t].vector for t in range(first) if known[t]] or [np.zeros(6)]
    home = Rigid.of(np.mean(start, axis=0)).inverse
    # Rounded, so that the last digits of sums, which hang on the machine, do not reach the results.
    moves = [Rigid.of(m.after(home).vector.round(9)) if ok else m for m, ok in zip(moves, known)]

    arms = positions(series.grid, head)[:: max(1, int(head.sum()) // 2000)] - centre
    extent = np.array([np.sqrt((m.displacement(arms) ** 2).sum(axis=1).mean()) for m in moves])
    unsure = np.array([np.nan if f is None else _spread(f.covariance, arms) for f in good])
    corrected = known & (extent > np.fmax(settings.ignore_mm, 3 * np.nan_to_num(unsure)))
    outliers = ~known | _outlying(good, first)
    transforms = [_transform(m, centre) for m in moves]
    out = np.array(frames, dtype=np.float32)
    moved = np.flatnonzero(corrected).tolist()
    for t, values in zip(moved, each(lambda t: _resampled(frames[t], *moves[t].on(series.grid, centre)), moved)):
        out[t] = values
    if outliers.any():
        which = ", ".join(str(t) for t in np.flatnonzero(outliers)[:12]) + (" ..." if outliers.sum() > 12 else "")
        notes.append(
            f"Frames that do not fit the others even when aligned (motion within the frame, spikes, no image): {which} "
            "(counted from 0); what they add to curves is doubtful."
        )
    progress(1.0, "motion corrected")
    angles = np.degrees([(t.GetAngleX(), t.GetAngleY(), t.GetAngleZ()) for t in transforms])
    shifts = np.array([t.GetTranslation() for t in transforms])
    return Motion(
        replace(series, frames=out),
        shifts,
        angles,
        extent,
        unsure,
        tuple(transforms),
        corrected,
        outliers,
        tuple(notes),
        _arrival(out[:, head].mean(axis=1)),
        told,
    )


def _estimate(
    series: Series, first: int, head: np.ndarray, centre: np.ndarray, given: bool, progress: Progress
) -> tuple[list[Fit | None], list[str], bool]:
    """Each frame's fit, None where it is no image; what a reader should know; and whether motion could be told from contrast."""
    notes, told = [], True
    if min(series.grid.size) < 4:
        notes.append(
            f"Motion was corrected within the plane alone: with {min(series.grid.size)} slices, movement out of it cannot be seen."
        )
    times = range(series.n_times)
    image = [bool(np.ptp(f[head]) > 1e-6 * np.abs(f[head]).max()) for f in series.frames]

    progress(0.0, "motion, coarse")
    level = Level.of(series.frames, series.grid, head, centre, _COARSE_MM)
    if len(level.arms) < _FEWEST_COARSE:
        raise InputError(
            f"{series.name}: the head, or the part of it that is to be compared, is too small to tell motion from "
            f"({int(head.sum())} voxels)"
        )
    reference = Reference.of(level, level.mean(range(first), [Rigid()] * first), 3)
    everywhere = np.ones(len(level.arms))

    def coarse(t: int) -> Fit | None:
        if not image[t]:
            return None
        found = fit(level, reference, t, level.at(t, Rigid()), everywhere, False, 0.1)
        if found.likeness >= _UNSURE:
            return found
        ways = [Rigid(shift=axis[:3] * s) for axis in level.axes.T for s in (-_FAR_MM, _FAR_MM) if axis[:3].any()]
        return max(
            [found, *(fit(level, reference, t, level.at(t, w), everywhere, False, 0.1) for w in ways)],
            key=lambda f: f.likeness,
        )

    fits = each(coarse, times)
    progress(0.15, "motion, middle")
    level, reference = _level(series, head, centre, *_MIDDLE, fits, first, 3)
    fits = _refit(level, reference, fits, _look(level, fits), np.ones(len(level.arms)), 0.05)
    progress(0.4, "motion, fine")
    # The skin's outer edge belongs to what does not change.
    wide = ndimage.distance_transform_edt(~head, sampling=series.grid.spacing[::-1]) < 4.0
    level, reference = _level(series, head if given else wide, centre, *_FINE, fits, first, 1)
    for i, (forgiven, every) in enumerate(_FORGIVEN):
        progress(0.6 + 0.1 * i, "motion, where nothing changes")
        some, known = level.only(slice(None, None, every)), reference.only(slice(None, None, every))
        seen = _look(some, fits)
        use = [s for s, f in zip(seen, fits) if s is not None and f is not None and f.likeness >= _UNLIKE]
        weights = unchanging(known, use, forgiven) if use else np.zeros(len(some.arms))
        if np.count_nonzero(weights) < _FEWEST / every:
            notes.append(
                "Hardly any tissue keeps its signal throughout, so that motion and contrast could not be separated there; look at "
                "the motion table before trusting shifts that follow the bolus."
            )
            told = False
            break
        fits = _refit(some, known, fits, seen, weights, 0.02)
    return fits, notes, told


def _level(
    series: Series,
    head: np.ndarray,
    centre: np.ndarray,
    mm: float,
    most: int,
    fits: list[Fit | None],
    first: int,
    degree: int,
) -> tuple[Level, Reference]:
    """A level at its sharpest points, and the mean of the first frames there."""
    level = Level.of(series.frames, series.grid, head, centre, mm)
    some = {t: f.move for t, f in enumerate(fits[:first]) if f is not None}
    mean = level.mean(list(some), list(some.values()))
    level = level.sharpest(mean, most)
    return level, Reference.of(level, mean, degree)


def _look(level: Level, fits: list[Fit | None]) -> list[Seen | None]:
    """Each frame as it has been aligned."""
    return each(lambda t: None if (found := fits[t]) is None else level.at(t, found.move), range(len(fits)))


def _refit(
    level: Level,
    reference: Reference,
    fits: list[Fit | None],
    seen: list[Seen | None],
    weights: np.ndarray,
    tolerance_mm: float,
) -> list[Fit | None]:
    def again(t: int) -> Fit | None:
        before, looked_at = fits[t], seen[t]
        if before is None or looked_at is None:
            return None
        found = fit(level, reference, t, looked_at, weights, True, tolerance_mm)
        if found.inside >= 0.3 and found.likeness >= min(before.likeness, _UNLIKE):
            return found
        return replace(found, move=before.move, covariance=before.covariance, likeness=before.likeness, seen=looked_at)

    return each(again, range(len(fits)))


def _spread(covariance: np.ndarray, arms: np.ndarray) -> float:
    """Standard deviation in mm, over the head, of a movement with this covariance (6, 6)."""
    moment = arms.T @ arms / len(arms)
    turn = np.trace(moment) * np.eye(3) - moment  # mean of [r]x' [r]x
    x, y, z = arms.mean(axis=0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    square = (
        np.trace(covariance[:3, :3]) + np.trace(turn @ covariance[3:, 3:]) - 2 * np.trace(covariance[3:, :3] @ cross)
    )
    return float(np.sqrt(max(square, 0.0)))


def _outlying(fits: list[Fit | None], first: int) -> np.ndarray:
    """Frames (t,) whose residuals the other frames' do not explain.

    Contrast leaves residuals too, and so does interpolation, but alike in many frames; those of a frame that broke are its own. With G the
    residuals' products over points, frame by frame, what linear regression on all other frames leaves of frame t is ``1 / (G^-1)[t, t]``.
    The first frames, whose mean is the reference, explain each other and are in all others, so theirs count as they are.
    """
    result = np.zeros(len(fits), bool)
    times = np.array([t for t, f in enumerate(fits) if f is not None])
    if len(times) < 4:
        return result
    products = weighted(np.stack([fits[t].left for t in times], axis=1), np.ones(len(fits[times[0]].left)))
    products += 1e-6 * np.trace(products) / len(times) * np.eye(len(times))
    early = times < first
    own = np.diag(products) * early.sum() / max(early.sum() - 1, 1)
    own[~early] = 1 / np.diag(np.linalg.inv(products[~early][:, ~early]))
    own = np.sqrt(own)
    middle = float(np.median(own))
    sd = 1.4826 * float(np.median(np.abs(own - middle)))
    result[times] = own > max(_OUTLYING[0] * middle, middle + _OUTLYING[1] * sd)
    return result


def _arrival(curve: np.ndarray) -> int | None:
    """First frame with contrast agent in a head's mean curve (t,), whether it brightens or darkens; the larger change counts."""
    found = []
    if curve.size < _FEWEST_TIMES:
        return None
    for rising in (True, False):
        try:
            found.append(find_bolus(curve, rising))
        except InputError:
            continue
    return max(found, key=lambda bolus: bolus.change).arrival if found else None


def _transform(move: Rigid, centre: np.ndarray) -> sitk.Euler3DTransform:
    result = sitk.Euler3DTransform()
    result.SetCenter(centre.tolist())
    result.SetMatrix(move.matrix.ravel().tolist())
    result.SetTranslation(move.shift.tolist())
    return result


def _resampled(frame: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    # Cubic: linear interpolation would smooth the moved frames alone, and noise enters the fit of every curve.
    found = resample_affine(frame, matrix, offset)
    return np.clip(found, min(0.0, float(frame.min())), float(frame.max()))
