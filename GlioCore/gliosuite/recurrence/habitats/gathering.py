"""From a DSC series and masks to the curves of a lesion."""

from collections.abc import Mapping

import numpy as np

from ...curves import Bolus, find_bolus
from ...errors import InputError
from ...images import Grid
from .curves import LesionCurves, aligned, arrival_time
from .references import find_references

_MOST_ADC = 0.1  # mm2/s; that of free water is .003
_LEAST = 20  # voxels of CEL and NEL together; chosen: the mean of a pattern over fewer is noise


def known_adc(values: np.ndarray, name: str) -> np.ndarray:
    """ADC (z, y, x) in mm2/s, NaN where there is none.

    Raises
    ------
    InputError
        If it is in another unit.
    """
    known = values[np.isfinite(values) & (values > 0)]
    if known.size and np.median(known) > _MOST_ADC:
        raise InputError(f"{name}: its median is {np.median(known):.3g}; ADC in mm2/s is needed, 0.003 at most")
    return np.where(values > 0, values, np.nan)


def gathered(
    frames: np.ndarray,
    times_s: np.ndarray,
    grid: Grid,
    masks: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray] | None = None,
    adc: np.ndarray | None = None,
    bolus: Bolus | None = None,
    name: str = "series",
) -> LesionCurves:
    """Align and scale the curves of a lesion.

    Parameters
    ----------
    frames
        Signal (t, z, y, x), moved back where the head moved.
    times_s
        (t,) s.
    masks
        ``cel``, ``nel`` (either may be empty, and CEL wins where both are) and ``brain``, boolean (z, y, x).
    given
        Reference tissues as `find_references` takes them.
    adc
        (z, y, x) in mm2/s, NaN where it is not known.
    bolus
        Found in the mean of the brain where None.
    name
        Of the series, for messages.

    Raises
    ------
    InputError
        If no bolus is seen, there is no white matter, or fewer than 20 voxels of the lesion have signal.
    """
    lesion = masks["cel"] | masks["nel"]
    signal = frames.min(axis=0) > 0
    brain = masks["brain"] & ~lesion & signal
    if not brain.any():
        raise InputError(f"{name}: no voxel of the brain outside the lesion has signal throughout")
    mean = frames[:, brain].mean(axis=1, dtype=np.float64)
    bolus = bolus or find_bolus(mean, rising=False, name=name)
    frames, times = frames[bolus.steady :], np.asarray(times_s, np.float64)[bolus.steady :]
    first = bolus.arrival - bolus.steady
    arrival = arrival_time(mean[bolus.steady :], times, Bolus(0, first, bolus.peak - bolus.steady, bolus.change))
    found = find_references(frames, times, first, grid, masks["brain"], lesion, given)
    inside = np.flatnonzero(lesion & signal)
    if inside.size < _LEAST:
        raise InputError(f"{name}: {inside.size} voxels of the lesion have signal throughout; {_LEAST} are needed")
    flat = frames.reshape(len(frames), -1)
    of = lambda voxels: aligned(flat[:, voxels].T, times, arrival)
    means = {n: of(np.flatnonzero(v)).mean(axis=0, dtype=np.float64) for n, v in found.voxels.items()}
    scale = float(means["wm"].mean())
    notes = ["Reference tissues: " + "; ".join(f"{n} {found.how[n]}" for n in found.how) + "."]
    lost = int(lesion.sum()) - inside.size
    if lost:
        notes.append(f"{lost} voxels of the lesion lose their signal in some frame and were left out.")
    unknown = np.full(inside.size, np.nan, np.float32)
    return LesionCurves(
        (of(inside) / scale).astype(np.float32),
        masks["cel"].ravel()[inside],
        inside,
        grid,
        {n: (m / scale).astype(np.float32) for n, m in means.items()},
        float(np.median(np.diff(times))),
        unknown if adc is None else adc.ravel()[inside].astype(np.float32),
        tuple(notes),
    )
