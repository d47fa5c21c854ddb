"""What DCE and DSC begin with: a series from steady state on, its bolus found, and its curves cut out once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ..curves import Bolus, check_times, mask_array, resample_time, search_mask, usable_voxels
from ..images import Series
from .settings import DceSettings, DscSettings

_UNEVEN = 0.02  # of the frame interval; chosen: more is not rounding of the times


@dataclass(frozen=True)
class Prepared:
    """A series from steady state on, with its bolus.

    Attributes
    ----------
    series, times_s
        In steady state; times (t,) in s.
    bolus
        In frames of the whole series.
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
    inside: np.ndarray
    fitted: np.ndarray
    region: np.ndarray
    raw: np.ndarray = field(repr=False)
    notes: list[str]

    @property
    def n_baseline(self) -> int:
        """Frames before the bolus."""
        return self.bolus.arrival - self.bolus.steady

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
    find: Callable[[np.ndarray, str], Bolus],
    even: bool = False,
) -> Prepared:
    """Check a series' times and voxels, find its bolus, and leave out the frames before steady state.

    Parameters
    ----------
    times_s
        (t,) s.
    settings
        Their `input` and `allow_invalid_voxels` count.
    mask
        Voxels to fit, on any grid; the head where None.
    find
        Finds the bolus in curves (n, t) of a series of that name.
    even
        Resample curves to even times where theirs are not.

    Raises
    ------
    InputError
        If the series, its times or its mask cannot be used, or no bolus is seen.
    """
    times = check_times(times_s, series.n_times, series.name)
    is_signal = settings.input == "signal"
    inside = mask_array(mask, series, is_signal)
    fitted = usable_voxels(series, inside, mask is not None, is_signal, settings.allow_invalid_voxels)
    region = search_mask(series, fitted, mask is not None) if is_signal else fitted
    raw = series.curves(region)
    bolus = find(raw, series.name)
    notes = []
    frames = series.frames
    if bolus.steady:
        frames, times, raw = frames[bolus.steady :], times[bolus.steady :], np.ascontiguousarray(raw[:, bolus.steady :])
        notes.append(f"the first {bolus.steady} frames, before steady state, were left out")
    gaps = np.diff(times)
    if even and np.ptp(gaps) > _UNEVEN * np.median(gaps):
        new = times[0] + np.median(gaps) * np.arange(int((times[-1] - times[0]) / np.median(gaps) + 1e-6) + 1)
        moved = resample_time(np.moveaxis(frames, 0, -1), times, new)
        frames = np.ascontiguousarray(np.moveaxis(moved, -1, 0), np.float32)
        raw, times = np.ascontiguousarray(resample_time(raw, times, new), np.float32), new
        notes.append(
            f"the frame times are uneven ({gaps.min():.2f} to {gaps.max():.2f} s); curves were resampled to even ones"
        )
    if frames is not series.frames:
        series = Series(frames, series.grid, series.name)
    return Prepared(series, times, bolus, inside, fitted, region, raw, notes)


def strongest(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of some curves, numbers (n,), the 5 % with the highest weight (n,); one at least where there is any."""
    return rows[np.argsort(-weight, kind="stable")[: max(1, rows.size // 20)]]
