"""Curves over time: baseline, steady state, bolus arrival, the voxels worth fitting, resampling in time.

The bolus is found from the data, never from fixed windows, so that it is also found when it comes within the first fifth of the series.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike
from scipy import ndimage

from .errors import InputError, option
from .images import Series, array, boolean, resample_mask

_LEAST_FRAMES = 10  # chosen: a baseline, a bolus and what follows need three each
_MOST_UNSTEADY = 5  # frames at the start that may be left out; chosen: steady state is reached after a few T1
# Chosen, as are the next: a frame before steady state lies above the one after it by this share of it, and by this many SD of noise.
_FALL, _FALL_SD = 0.03, 6.0
_BOLUS, _BOLUS_SD = 0.01, 5.0  # what a curve changes by at least where there is a bolus, of the baseline and in SD
_LEAVES, _LEAVES_SD = 0.05, 3.0  # where it is clear of its baseline, of the strongest change and in SD
# The frames before that, which show the first of the agent, need no such share of the change: they are the bolus' foot. Chosen.
_FOOT = 0.001


@dataclass(frozen=True)
class Bolus:
    """Where a series' baseline lies and when the bolus comes.

    Attributes
    ----------
    steady
        First frame in steady state; those before it are to be left out.
    arrival
        First frame with contrast agent; the baseline is ``[steady, arrival)``.
    peak
        Frame of the strongest change.
    change
        Strongest change in units of the baseline's mean (0.3 is 30 %).
    """

    steady: int
    arrival: int
    peak: int
    change: float


def check_times(times_s: ArrayLike, n_times: int, name: str, where: str = "--times") -> np.ndarray:
    """Frame times (t,) in s, checked.

    Raises
    ------
    InputError
        If their number is not `n_times`, one is not finite, or they do not rise.
    """
    times = np.asarray(times_s, np.float64).ravel()
    if times.size != n_times:
        raise InputError(
            f"{where} gives {times.size} times and {name} has {n_times} time points; one time in s per time point is needed"
        )
    if not np.isfinite(times).all():
        frame = int(np.flatnonzero(~np.isfinite(times))[0]) + 1
        raise InputError(
            f"{where}: the time of frame {frame} of {name} is no number; one time in s per frame is needed"
        )
    falls = np.flatnonzero(np.diff(times) <= 0)
    if falls.size:
        i = int(falls[0])
        raise InputError(
            f"{where}: the times of {name} do not rise: frame {i + 1} is at {times[i]:g} s and frame {i + 2} at "
            f"{times[i + 1]:g} s; rising times in s are needed"
        )
    return times


# Of a bolus and its passage, s. Chosen: the shortest takes half a minute, the longest examinations an hour; times in ms or min lie outside.
_SHORTEST_S, _LONGEST_S = 10.0, 7200.0


def check_duration(times_s: ArrayLike, name: str) -> np.ndarray:
    """Frame times (t,) in s of a bolus series, which last as long as an examination can.

    Raises
    ------
    InputError
        If they look like times in another unit.
    """
    times = np.asarray(times_s, np.float64)
    lasts = float(times[-1] - times[0])
    if len(times) > 1 and not _SHORTEST_S <= lasts <= _LONGEST_S:
        unit = "milliseconds" if lasts > _LONGEST_S else "minutes"
        raise InputError(
            f"{name}: its {len(times)} frames last {lasts:g} s, as times in {unit} would; times in s are needed, over "
            f"{_SHORTEST_S:g} to {_LONGEST_S:g} s in all"
        )
    return times


def check_frames(series: Series, what: str) -> None:
    """Refuse a series of too few frames for a bolus to be seen in; `what` it is called.

    Raises
    ------
    InputError
        If it has fewer than 10.
    """
    if series.n_times < _LEAST_FRAMES:
        plural = "" if series.n_times == 1 else "s"
        raise InputError(
            f"{what} has {series.n_times} time point{plural}; at least {_LEAST_FRAMES} are needed ({series.name}, 4th axis)"
        )


def before_bolus(series: Series) -> sitk.Image:
    """The mean of a series' first tenth: before the bolus, with little noise."""
    return series.grid.image(series.frames[: max(1, series.n_times // 10)].mean(axis=0))


def noise_sd(curves: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise of curves (..., t), from their second differences; a bolus, which is short, hardly moves it."""
    second = np.diff(curves, 2)
    apart = np.abs(second - np.median(second, axis=-1, keepdims=True))
    return 1.4826 * np.median(apart, axis=-1) / np.sqrt(6.0)


def find_bolus(curve: np.ndarray, rising: bool = True, name: str = "series", foot: bool = True) -> Bolus:
    """Find steady state, baseline and bolus arrival in one mean curve.

    The steepest step between neighbouring windows is sought first. From there the frames are followed back to the first that is clear of
    the baseline by more than three standard deviations and a twentieth of the strongest change, and on to the first that is above the
    frames before it by more than three standard deviations of theirs: in a clean curve, the first frame with agent. Frames at the start
    that lie above the rest of the baseline (the approach to steady state) are left out, five at most.

    Parameters
    ----------
    curve
        Mean signal (t,) over enhancing voxels or the brain.
    rising
        True where contrast agent raises the signal (DCE), False where it lowers it (DSC).
    name
        How to name the series in messages.
    foot
        Whether to follow the bolus to its first frame; False: to where it is clear of the baseline.

    Raises
    ------
    InputError
        If there is no bolus in the curve.
    """
    raw = np.asarray(curve, np.float64)
    y = raw if rising else -raw
    noise = float(noise_sd(y))
    steady = _settled(raw, noise)
    arrival, peak = _arrival(y, steady, noise)
    while steady < min(_MOST_UNSTEADY, arrival - 3) and _above(raw, steady, arrival, noise):
        steady += 1
    if foot:
        arrival = _foot(y, steady, arrival, peak, noise)
    baseline = float(np.mean(y[steady:arrival])) if arrival > steady else float(y[steady])
    change = y[peak] - baseline
    if arrival <= steady or change < max(_BOLUS_SD * noise, _BOLUS * abs(baseline)):
        found = "rises" if rising else "falls"
        percent = max(0.0, 100 * change / max(abs(baseline), 1e-30))
        raise InputError(
            f"{name} shows no bolus: its signal {found} by at most {percent:.1f} % after a baseline, "
            "which is within its noise; a series that starts before the contrast agent arrives is needed"
        )
    return Bolus(steady, arrival, peak, float(change / max(abs(baseline), 1e-30)))


def bolus_after(
    curve: np.ndarray, rising: bool = True, n_baseline: int | None = None, arrival: int | None = None
) -> Bolus:
    """The bolus of a mean curve (t,) whose baseline has a known number of frames, or which arrives in a known frame.

    Frames before steady state are left out as in `find_bolus`; the baseline is counted from the first one after them.
    """
    raw = np.asarray(curve, np.float64)
    noise = float(noise_sd(raw))
    most = _MOST_UNSTEADY if arrival is None else max(0, min(_MOST_UNSTEADY, arrival - 1))
    steady = min(_settled(raw, noise), most)
    end = lambda: arrival or min(steady + (n_baseline or 1), raw.size - 1)
    while steady < most and end() - steady > 3 and _above(raw, steady, end(), noise):
        steady += 1
    y, first = raw if rising else -raw, end()
    baseline = float(np.mean(y[steady:first]))
    peak = first + int(np.argmax(y[first:]))
    return Bolus(steady, first, peak, float((y[peak] - baseline) / max(abs(baseline), 1e-30)))


def _above(raw: np.ndarray, frame: int, end: int, noise: float) -> bool:
    """Whether a frame lies above the baseline that follows it up to `end`, as before steady state."""
    rest = float(np.median(raw[frame + 1 : end]))
    return bool(raw[frame] - rest > max(_FALL * abs(rest), _FALL_SD * noise))


def _settled(raw: np.ndarray, noise: float) -> int:
    """First frame after the fall towards steady state, if the series begins with one; a bolus cannot come in its first frame."""
    for frame in range(min(_MOST_UNSTEADY, raw.size - 2) + 1):
        if raw[frame] - raw[frame + 1] <= max(_FALL * abs(raw[frame + 1]), _FALL_SD * noise):
            return frame
    return 0


def _arrival(y: np.ndarray, start: int, noise: float) -> tuple[int, int]:
    """First frame of the bolus and its peak in a rising curve whose first `start` frames are left out."""
    z = y[start:]
    step = [np.mean(z[k : k + 2]) - np.median(z[max(0, k - 4) : k]) for k in range(1, z.size - 1)]
    steepest = int(np.argmax(step)) + 1
    peak = steepest + int(np.argmax(z[steepest:]))
    arrival = steepest
    for _ in range(3):
        baseline = np.median(z[:arrival]) if arrival else z[0]
        threshold = baseline + max(_LEAVES_SD * noise, _LEAVES * (z[peak] - baseline))
        above = z > threshold
        arrival = steepest
        while arrival > 0 and above[arrival - 1]:
            arrival -= 1
        while arrival < peak and not above[arrival]:
            arrival += 1
    return start + arrival, start + peak


def _foot(y: np.ndarray, steady: int, arrival: int, peak: int, noise: float) -> int:
    """First frame of a rising curve that already lies above the frames before it, at or before `arrival`."""
    while arrival - steady >= 2:
        before = y[steady : arrival - 1]
        scatter = max(noise, float(before.std(ddof=1))) if before.size > 2 else noise
        level = float(before.mean())
        chance = _LEAVES_SD * scatter * np.sqrt(1.0 + 1.0 / before.size)
        if y[arrival - 1] - level <= max(chance, _FOOT * (y[peak] - level)):
            break
        arrival -= 1
    return arrival


def enhancing_mean(
    curves: np.ndarray, rising: bool = True, share: float = 0.05, baseline: slice | None = None
) -> np.ndarray:
    """Mean curve (t,) of the `share` of curves (n, t) that change most against their baseline, for `find_bolus`.

    `baseline` are its frames: where they are not known yet, the first tenth. Curves chosen against a few frames only are those in which
    noise has lowered these, which the mean then shows.
    """
    first = np.median(curves[:, baseline or slice(max(2, curves.shape[1] // 10))], axis=1)
    span = (curves.max(axis=1) - first) if rising else (first - curves.min(axis=1))
    count = max(1, round(share * curves.shape[0]))
    return curves[np.argsort(-span, kind="stable")[:count]].mean(axis=0)


def signal_mask(series: Series) -> sitk.Image:
    """Automatic mask of the head (of the brain, where the images are stripped); uint8 on the series' grid.

    Otsu's threshold of the mean over time, the largest connected part of it, closed by one voxel, holes filled slice by slice.
    """
    mean = series.grid.image(np.nan_to_num(series.mean))
    mask = sitk.OtsuThreshold(mean, 0, 1, 256)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask), sortByObjectSize=True)
    mask = sitk.Cast(parts == 1, sitk.sitkUInt8)
    mask = sitk.BinaryMorphologicalClosing(mask, [1, 1, 0])
    filled = np.stack([ndimage.binary_fill_holes(piece) for piece in boolean(mask)])
    return series.grid.image(filled & np.isfinite(array(mean)))


def check_signal(series: Series, mask: np.ndarray, allow_invalid: bool) -> np.ndarray:
    """The mask (z, y, x) without voxels that hold NaN, infinite or negative signal.

    Raises
    ------
    InputError
        If there are such voxels within the mask and `allow_invalid` is False, or if nothing is left.
    """
    bad = mask & ~_valid(series)
    if bad.any() and not allow_invalid:
        inside = series.frames[:, mask]
        broken, negative = ~np.isfinite(inside), inside < 0
        raise InputError(
            f"{series.name} has {int(broken.any(axis=0).sum())} voxels with NaN or infinite values and "
            f"{int((negative & ~broken).any(axis=0).sum())} with negative ones in the mask; signal must be finite and not "
            f"negative ({option('--allow-invalid-voxels')} leaves those voxels out)"
        )
    good = mask & ~bad
    if not good.any():
        raise InputError(f"{series.name} has no voxel with valid signal in the mask; at least one is needed")
    if not series.frames[:, good].any():
        raise InputError(f"{series.name} is 0 in the whole mask and at all times; a series with signal there is needed")
    return good


def _valid(series: Series) -> np.ndarray:
    """Voxels (z, y, x) whose signal is finite and not below 0 in every frame."""
    # What is not a number is lost in neither minimum nor maximum.
    return (series.frames.min(axis=0) >= 0) & (series.frames.max(axis=0) < np.inf)


def resample_time(curves: np.ndarray, times_s: np.ndarray, new_times_s: np.ndarray) -> np.ndarray:
    """Curves (n, t) at other times by linear interpolation; held at both ends."""
    index = np.clip(np.searchsorted(times_s, new_times_s, side="right") - 1, 0, times_s.size - 2)
    weight = np.clip((new_times_s - times_s[index]) / (times_s[index + 1] - times_s[index]), 0.0, 1.0)
    return curves[..., index] * (1.0 - weight) + curves[..., index + 1] * weight


def mask_array(mask: sitk.Image | None, series: Series, is_signal: bool = True) -> np.ndarray:
    """The given mask on the series' grid, or the automatic one, as booleans (z, y, x).

    Without a mask, that is the head (`signal_mask`), or all voxels that are not 0 throughout where the series is no signal.

    Raises
    ------
    InputError
        If it is empty there.
    """
    if mask is not None:
        result = boolean(resample_mask(mask, series.grid))
    else:
        result = boolean(signal_mask(series)) if is_signal else (series.frames != 0).any(axis=0)
    if not result.any():
        which = "the automatic mask" if mask is None else "the mask"
        raise InputError(
            f"{which} has no voxel on the grid of {series.name}; a mask that overlaps the series is needed"
        )
    return result


def search_mask(series: Series, mask: np.ndarray, given: bool) -> np.ndarray:
    """Where arteries and the bolus are sought: the whole head, since a given mask may be a lesion without a vessel."""
    region = (boolean(signal_mask(series)) | mask) if given else mask
    usable = region & _valid(series)
    return usable if usable.any() else mask


def usable_voxels(series: Series, inside: np.ndarray, given: bool, is_signal: bool, allow_invalid: bool) -> np.ndarray:
    """Voxels of the mask with valid curves; without a mask of the user's, invalid voxels anywhere in the series count.

    Raises
    ------
    InputError
        If there are invalid ones and they are not allowed, or no valid one.
    """
    if not is_signal:
        finite = np.isfinite(series.frames).all(axis=0)
        if not finite[inside].all() and not allow_invalid:
            raise InputError(
                f"{series.name} has {int((~finite[inside]).sum())} voxels with NaN or infinite values in the mask; finite ones are "
                f"needed ({option('--allow-invalid-voxels')} leaves those voxels out)"
            )
        if not finite[inside].any():
            raise InputError(f"{series.name} has no voxel with finite values in the mask; at least one is needed")
        return inside & finite
    if not given and not allow_invalid:
        check_signal(series, np.ones(series.grid.shape, bool), False)
    return check_signal(series, inside, allow_invalid)
