"""A raw DCE series as the networks of S4 take it: 60 frames of 5 s, the contrast agent in the seventh, in units of the head's signal."""

from dataclasses import dataclass

import numpy as np

from ....curves import resample_time
from ...prepared import Prepared
from ...settings import DceSettings

FRAMES, INTERVAL_S, ARRIVAL_S = 60, 5.0, 30.0
# Shares of the span of the networks' frames (from the agent's arrival on) that a series must show, chosen: below the first its ends are
# so much invented that it counts as unlike those trained on.
_LEAST_SHOWN = 0.9
_LEAST_BASELINE_S = 10.0  # before the arrival; chosen: two frames, below which the baseline is no mean of anything
_SAME_S = 0.01  # frame intervals that differ by no more are the same
# Chosen about what was trained on: frames of 5 s, voxels of 1.875 mm in the slice, TR 3.5 ms, 10 degrees.
INTERVALS_S, SPACINGS_MM, TR_MS, FLIP_ANGLES_DEG = (2.0, 8.0), (1.5, 2.5), (2.8, 4.2), (8.0, 12.0)


@dataclass(frozen=True)
class Raw:
    """Curves as the networks take them.

    Attributes
    ----------
    curves
        (n, 60) float32: signal over the median of the head's before contrast, minus 1.
    region
        Voxels (z, y, x) of the curves: the head, and what else was asked for.
    notes
        What was done to the time axis.
    unlike
        Why the series as a whole is unlike those trained on; empty where it is not.
    """

    curves: np.ndarray
    region: np.ndarray
    notes: list[str]
    unlike: list[str]


def raw_curves(prepared: Prepared, settings: DceSettings | None = None) -> Raw:
    """Scale and resample the curves of a series whose bolus is found.

    The signal keeps what a voxel's T1 and proton density make of it: it is divided by one number for the whole series, the median over the
    head of the mean before contrast. How Lyoo et al. scaled theirs is not in their code. Frames are taken by linear interpolation every
    5 s from 30 s before the first frame with contrast agent on; beyond either end the series' mean baseline and its last frame stand.

    Parameters
    ----------
    prepared
        Of signal, from steady state on.
    settings
        Repetition time and flip angle, where they are known: the networks were trained on one of each.
    """
    times, first = prepared.times_s, prepared.n_baseline
    baseline = prepared.raw[:, :first].mean(axis=1)
    scaled = prepared.raw / np.float32(max(float(np.median(baseline)), 1e-6))
    wanted = times[first] - ARRIVAL_S + INTERVAL_S * np.arange(FRAMES)
    curves = resample_time(scaled, times, wanted)
    before = wanted < times[0]
    curves[:, before] = scaled[:, :first].mean(axis=1, keepdims=True)
    curves -= 1.0
    interval = float(np.median(np.diff(times)))
    return Raw(
        np.ascontiguousarray(curves, np.float32),
        prepared.region,
        _notes(times, wanted, interval),
        [*_unlike(times, wanted, first, interval, prepared.series.grid.spacing[:2]), *_other_scan(settings)],
    )


def _notes(times: np.ndarray, wanted: np.ndarray, interval: float) -> list[str]:
    notes = []
    if len(times) != FRAMES or abs(interval - INTERVAL_S) > _SAME_S:
        notes.append(
            f"the series has {len(times)} frames of {interval:.3g} s; lyoo2025 takes {FRAMES} of {INTERVAL_S:g} s: it was resampled to "
            "them by linear interpolation"
        )
    early, late = int((wanted < times[0]).sum()), int((wanted > times[-1]).sum())
    if early:
        notes.append(f"the first {early} of the {FRAMES} frames come before the series and hold its mean baseline")
    if late:
        notes.append(f"the last {late} of the {FRAMES} frames come after the series and hold its last frame")
    return notes


def _unlike(
    times: np.ndarray, wanted: np.ndarray, first: int, interval: float, spacing: tuple[float, ...]
) -> list[str]:
    found = []
    shown = (min(times[-1], wanted[-1]) - times[first]) / (wanted[-1] - times[first])
    if shown < _LEAST_SHOWN:
        found.append(
            f"it shows {times[-1] - times[first]:.0f} of the {wanted[-1] - times[first]:.0f} s after the agent's arrival"
        )
    if first * interval < _LEAST_BASELINE_S:
        found.append(f"its baseline lasts {first * interval:.0f} s")
    if not INTERVALS_S[0] <= interval <= INTERVALS_S[1]:
        found.append(f"its frames last {interval:.3g} s")
    if not all(SPACINGS_MM[0] <= s <= SPACINGS_MM[1] for s in spacing):
        found.append(f"its voxels are {spacing[0]:.3g} x {spacing[1]:.3g} mm wide in a slice")
    return found


def _other_scan(settings: DceSettings | None) -> list[str]:
    found = []
    tr, flip = (settings.tr_ms, settings.flip_angle_deg) if settings else (None, None)
    if tr is not None and not TR_MS[0] <= tr <= TR_MS[1]:
        found.append(f"its repetition time is {tr:.3g} ms")
    if flip is not None and not FLIP_ANGLES_DEG[0] <= flip <= FLIP_ANGLES_DEG[1]:
        found.append(f"its flip angle is {flip:.3g} degrees")
    return found


def summary(curves: np.ndarray) -> np.ndarray:
    """Numbers (n, 4) of curves (n, 60) by which one unlike those trained on is known: baseline, least, most, end."""
    before = int(ARRIVAL_S / INTERVAL_S) - 1
    return np.stack(
        [curves[:, :before].mean(axis=1), curves.min(axis=1), curves.max(axis=1), curves[:, -12:].mean(axis=1)], axis=1
    )
