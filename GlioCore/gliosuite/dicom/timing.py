"""When each frame of a 4-D series was taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .geometry import DicomSeries, Slice
from .headers import Header
from .sort import Arrangement


@dataclass(frozen=True)
class Timing:
    """Frame times in s from the first frame; None where no header tells them. `why` is a sentence part that names the source."""

    times_s: tuple[float, ...] | None
    why: str
    sure: bool


def _seconds(value: Callable[[Slice], float | None], scale: float = 1.0) -> Callable[[Arrangement], np.ndarray | None]:
    def read(arrangement: Arrangement) -> np.ndarray | None:
        """The earliest time among the slices of each frame."""
        rows = [[value(s) for s in frame] for frame in arrangement.slices]
        if any(v is None for row in rows for v in row):
            return None
        return scale * np.min(np.asarray(rows, float), axis=1)

    return read


# Chosen: what a frame of a dynamic series can take, s; other values in headers are dummies or mean something else.
_RESOLUTION_S = (0.05, 600.0)
_LEAST_PER_FRAME_S = 0.1  # of AcquisitionDuration, which some scanners give for a single frame
_TR_S = (0.2, 10.0)  # TR of single-shot echo-planar series, of which it is the frame interval
_LEAST_STEP_S = 0.01  # times closer than this are one frame's slices, not frames
_TICK_S = 1.0  # of clocks without fractions
# Chosen: intervals that differ by a tenth contradict each other. A duration holds a few frames before the first that is kept, and
# preparations; so it confirms TR only where little is left over, and contradicts a clock only where much is.
_DISAGREE, _DUMMIES, _PREPARATION, _PREPARATION_S = 0.1, 6, 0.25, 10.0

_SOURCES = (
    ("the scanner's frame offsets", _seconds(lambda s: s.frame.offset_s)),
    ("AcquisitionTime", _seconds(lambda s: s.frame.acquired_s)),
    ("TriggerTime", _seconds(lambda s: s.frame.trigger_ms, 1e-3)),
)


def frame_times(series: DicomSeries, arrangement: Arrangement) -> Timing:
    """Times of the frames, by the first source that rises from frame to frame; where others contradict it, `why` says so.

    Tried in turn: the scanner's offsets (TemporalPositionTimeOffset, Philips' DynamicScanBeginTime), AcquisitionTime (Siemens,
    enhanced MR), TriggerTime (GE), TemporalResolution, TR (single-shot echo-planar series, one frame per TR) where
    AcquisitionDuration (GE: 0019,105A) agrees, AcquisitionDuration, TR, and ContentTime (when the image was made, not taken). Of a clock
    of whole seconds what it agrees with is taken instead: TriggerTime, TemporalResolution or TR.
    """
    count = len(arrangement.slices)
    steps = np.arange(count, dtype=float)
    resolution, tr, duration = _intervals(series.header)
    ticks = all(s.frame.acquired_s is None or s.frame.acquired_s % _TICK_S == 0 for f in arrangement.slices for s in f)
    found = {name: times for name, read in _SOURCES if (times := read(arrangement)) is not None}
    for name, times in found.items():
        others = [(n, t) for n, t in found.items() if n != name and _rises(t)]
        coarse = ticks and name == "AcquisitionTime"
        if coarse:
            even = [(n, i * steps) for n, i in (("TemporalResolution", resolution), ("TR", tr)) if i]
            for what, finer in (*others, *even):
                apart = np.ptp(times - finer)
                if 0 < apart < _TICK_S:
                    return _from(finer, f"{what}, with which AcquisitionTime agrees, a clock of whole seconds")
                coarse = coarse and apart > 0
        if _rises(times):
            doubts = [f"it is a clock of whole seconds, so that each may be wrong by {_TICK_S:g} s"] if coarse else []
            for other, others_times in others:
                if abs(np.ptp(others_times) - np.ptp(times)) > max(_DISAGREE * np.ptp(times), _TICK_S):
                    doubts.append(
                        f"the frames take {np.ptp(times):g} s by it and {np.ptp(others_times):g} s by {other}"
                    )
            return _from(times, name, doubts + _doubts(times, resolution, duration))
    if resolution:
        doubts = _doubts(resolution * steps, None, duration)
        if tr and not _multiple(resolution, tr):
            doubts.append(f"TR is {tr:g} s")
        return _from(resolution * steps, "TemporalResolution", doubts)
    if tr and duration and -_DISAGREE / 2 * tr * count <= duration - tr * count <= _DUMMIES * tr:
        return _from(tr * steps, "TR, as one frame per TR, with which AcquisitionDuration agrees")
    if duration and duration / count >= _LEAST_PER_FRAME_S:
        why = "AcquisitionDuration divided by the number of frames"
        return _from(duration / count * steps, why, [f"TR is {tr:g} s"] if tr else [], sure=False)
    if tr:
        return _from(tr * steps, "TR, as one frame per TR", sure=False)
    times = _seconds(lambda s: s.frame.content_s)(arrangement)
    if times is not None and _rises(times):
        return _from(times, "ContentTime, which is when the images were made", sure=False)
    return Timing(None, "no header tells the frame times", False)


def _intervals(header: Header) -> tuple[float | None, float | None, float | None]:
    """TemporalResolution and the TR of an echo-planar series, both in s where a frame can take that long, and the whole duration in s."""

    def within(ms: float | None, bounds: tuple[float, float]) -> float | None:
        return ms / 1000 if ms is not None and bounds[0] <= ms / 1000 <= bounds[1] else None

    tr = within(header.tr_ms, _TR_S) if header.echo_planar else None
    return within(header.temporal_resolution_ms, _RESOLUTION_S), tr, header.duration_s or None


def _doubts(times: np.ndarray, resolution: float | None, duration: float | None) -> list[str]:
    """What contradicts the times of frames."""
    found = []
    interval = float(np.median(np.diff(times)))
    if resolution and abs(resolution - interval) > _DISAGREE * interval:
        found.append(f"TemporalResolution is {resolution:g} s, the frames are {interval:g} s apart")
    span = float(times[-1] - times[0]) + interval
    least, most = (1 - _DISAGREE) * span, (1 + _PREPARATION) * span + _PREPARATION_S
    if (
        duration and duration > 2 * interval and not least <= duration <= most
    ):  # some scanners give that of a single frame
        found.append(f"AcquisitionDuration is {duration:g} s, the frames take {span:g} s")
    return found


def _multiple(interval: float, tr: float) -> bool:
    """Whether a frame takes a whole number of repetitions (shots, averages)."""
    shots = max(round(interval / tr), 1)
    return abs(interval - shots * tr) <= _DISAGREE * tr


def _rises(times: np.ndarray) -> bool:
    """Whether the times rise and no interval is impossible (a pause after the first frame is allowed)."""
    steps = np.diff(times)
    return bool(steps.size and (steps > _LEAST_STEP_S).all() and np.median(steps) <= _RESOLUTION_S[1])


def _from(times: np.ndarray, source: str, doubts: Sequence[str] = (), sure: bool = True) -> Timing:
    why = source + (f", but {' and '.join(doubts)}" if doubts else "")
    # 0.1 ms: DICOM times have a finer grain than scanners, and floats of seconds since a fixed day a coarser one than microseconds.
    return Timing(tuple(round(float(t), 4) for t in times - times[0]), why, sure and not doubts)
