"""What DCE and DSC begin with: a series from steady state on, its bolus found, and its curves cut out once."""

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..curves import Bolus, check_frames, check_times, mask_array, resample_time, search_mask, usable_voxels
from ..errors import InputError
from ..images import Series
from .bolus import locate
from .coverage import left_outside
from .settings import DceSettings, DscSettings
from .spoiled import said, spoiled_frames, without_dropouts

_UNEVEN = 0.02  # of the frame interval; chosen: more is not rounding of the times
# How long a bolus may go unseen where frames are left out of it, and for how long after its arrival. A frame of 1.5 s that is lost in
# it changes cbv and cbf by up to 5 % in simulated patients 7411 and 7412, one of 3 s by up to 8 %, one of 5 s (DCE) ktrans by up to 20 %
# and vp by up to 52 %.
_LONGEST_GAP_S, _PASSING_S = 4.0, 20.0


@dataclass(frozen=True)
class Prepared:
    """A series from steady state on, with its bolus.

    Attributes
    ----------
    series, times_s
        In steady state; times (t,) in s.
    bolus
        In frames of the whole series.
    n_baseline, peak
        Frames before the bolus, and the frame of the strongest change, in `series`.
    inside
        The mask (z, y, x).
    fitted
        Its voxels with valid curves.
    region
        Where arteries and the bolus are sought; holds `fitted`.
    raw
        Curves (n, t) of `region`.
    notes
        What a reader must know; the steps that follow add to it.
    """

    series: Series
    times_s: np.ndarray
    bolus: Bolus
    n_baseline: int
    peak: int
    inside: np.ndarray
    fitted: np.ndarray
    region: np.ndarray
    raw: np.ndarray = field(repr=False)
    notes: list[str]

    def fitted_curves(self) -> np.ndarray:
        """Curves (n, t) of the voxels to be fitted."""
        chosen = self.fitted[self.region]
        return self.raw if chosen.all() else self.raw[chosen]

    def in_region(self, index: np.ndarray) -> np.ndarray:
        """Booleans (z, y, x) of curves of `raw` by their number."""
        voxels = np.zeros(self.region.shape, bool)
        voxels[tuple(axis[index] for axis in np.nonzero(self.region))] = True
        return voxels

    def whole(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """A map (z, y, x) of values (n,) of the fitted voxels: 0 outside the mask, NaN within where not known or not finite."""
        result = np.zeros(self.fitted.shape, np.float32)
        result[self.inside] = np.nan
        # An infinite SD says that the data know nothing of the parameter: undefined.
        result[self.fitted] = np.where(known & np.isfinite(values), values, np.nan)
        return result

    def image(self, values: np.ndarray, known: np.ndarray) -> sitk.Image:
        """`whole` as an image on the series' grid."""
        return self.series.grid.image(self.whole(values, known))

    def where(self, known: np.ndarray) -> np.ndarray:
        """Booleans (z, y, x) of some of the fitted voxels (n,)."""
        result = np.zeros_like(self.fitted)
        result[self.fitted] = known
        return result

    def left_out(self, known: np.ndarray) -> list[str]:
        """The sentence on voxels of the mask that have no result; none where all have one."""
        total = int(self.inside.sum())
        missing = total - int(known.sum())
        return [f"{missing} of {total} voxels of the mask could not be fitted and are NaN"] if missing else []


def prepare(
    series: Series,
    times_s: ArrayLike,
    settings: DceSettings | DscSettings,
    mask: sitk.Image | None,
    even: bool = False,
) -> Prepared:
    """Check a series' times, frames and voxels, find its bolus, and leave out the frames before steady state and those that are spoiled.

    Parameters
    ----------
    times_s
        (t,) s.
    settings
        Their `input`, `allow_invalid_voxels`, `baseline` and `arrival_s` count; they say whether this is DCE or DSC.
    mask
        Voxels to fit, on any grid; the head where None.
    even
        Resample curves to even times where theirs are not.

    Raises
    ------
    InputError
        If the series, its times or its mask cannot be used, or no bolus is seen.
    """
    times = check_times(times_s, series.n_times, series.name)
    is_signal = settings.input == "signal"
    rising = isinstance(settings, DceSettings) or not is_signal
    notes = []
    spoiled = spoiled_frames(series, is_signal, rising)
    kept = np.array([t for t in range(series.n_times) if t not in spoiled])
    whole_times = times
    if spoiled:
        notes.append(f"left out, with their times: {said(spoiled)} (numbers from 1)")
        series, times = Series(series.frames[kept], series.grid, series.name), times[kept]
        check_frames(series, f"without the frames that cannot be used ({said(spoiled)}), the series")
    inside = mask_array(mask, series, is_signal)
    fitted = usable_voxels(series, inside, mask is not None, is_signal, settings.allow_invalid_voxels)
    if is_signal:
        series, filled, left = without_dropouts(series, fitted)
        if filled:
            notes.append(
                f"{filled} sample{'s' if filled > 1 else ''} without signal between others that have some, taken for dropouts, "
                f"{'were' if filled > 1 else 'was'} interpolated"
            )
        if left:
            are, their = ("s fall", "their") if left > 1 else (" falls", "its")
            notes.append(
                f"{left} voxel{are} to 0 in some frames, as a dense bolus or a fault may make it: {their} values may be far off"
            )
    region = search_mask(series, fitted, mask is not None) if is_signal else fitted
    raw = series.curves(region)
    found = locate(raw, times, settings, rising, series.name)
    steady, arrival, peak = (int(kept[t]) for t in (found.steady, found.arrival, found.peak))
    bolus = Bolus(steady, arrival, peak, found.change)
    if settings.baseline is not None or settings.arrival_s is not None:
        notes.append("the baseline is the one that was given, not one found in the series")
    _check_gaps(spoiled, whole_times, times, found, series.name)
    if is_signal:
        notes.extend(left_outside(series, inside, found, rising, mask is not None))
    frames, steady, n_baseline = series.frames, found.steady, found.arrival - found.steady
    if steady:
        frames, times, raw = frames[steady:], times[steady:], np.ascontiguousarray(raw[:, steady:])
        notes.append(f"the first {steady} frames, before steady state, were left out")
    peak, gaps = found.peak - steady, np.diff(times)
    if even and np.ptp(gaps) > _UNEVEN * np.median(gaps):
        new = times[0] + np.median(gaps) * np.arange(int((times[-1] - times[0]) / np.median(gaps) + 1e-6) + 1)
        moved = resample_time(np.moveaxis(frames, 0, -1), times, new)
        frames = np.ascontiguousarray(np.moveaxis(moved, -1, 0), np.float32)
        # What lies after the last frame without agent has some of it.
        n_baseline = max(1, int(np.searchsorted(new, times[n_baseline - 1] + 1e-6)))
        peak = int(np.argmin(np.abs(new - times[peak])))
        raw, times = np.ascontiguousarray(resample_time(raw, times, new), np.float32), new
        notes.append(
            f"the frame times are uneven ({gaps.min():.2f} to {gaps.max():.2f} s); curves were resampled to even ones"
        )
    if frames is not series.frames:
        series = Series(frames, series.grid, series.name)
    return Prepared(series, times, bolus, n_baseline, peak, inside, fitted, region, raw, notes)


def _check_gaps(spoiled: dict[int, str], whole_times: np.ndarray, times: np.ndarray, bolus: Bolus, name: str) -> None:
    """Refuse a series whose spoiled frames leave too little of the bolus.

    Raises
    ------
    InputError
        If more than 4 s of the 20 s from the arrival, or of what comes before it, were not seen.
    """
    start, end = times[bolus.arrival - 1], times[bolus.arrival] + _PASSING_S
    for t, why in spoiled.items():
        after = int(np.searchsorted(times, whole_times[t]))
        if not 0 < after < times.size or not start < whole_times[t] < end:
            continue
        gap = float(times[after] - times[after - 1])
        if gap > _LONGEST_GAP_S:
            raise InputError(
                f"{name}: frame {t + 1} {why}, and the bolus is in it: {gap:.3g} s from {times[after - 1]:.1f} s on are not seen, where "
                f"{_LONGEST_GAP_S:g} s at most may be missing"
            )


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """Of some curves, numbers (n,), `count` at most, evenly over them."""
    return rows[np.unique(np.linspace(0, rows.size - 1, min(count, rows.size)).astype(np.int64))]


def strongest(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of some curves, numbers (n,), the 5 % with the highest weight (n,); one at least where there is any."""
    return rows[np.argsort(-weight, kind="stable")[: max(1, rows.size // 20)]]
