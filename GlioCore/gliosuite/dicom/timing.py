"""When each frame of a 4-D series was taken."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .geometry import DicomSeries, Slice
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

_SOURCES = (
    ("the scanner's frame offsets", _seconds(lambda s: s.frame.offset_s), True),
    ("AcquisitionTime", _seconds(lambda s: s.frame.acquired_s), True),
    ("TriggerTime", _seconds(lambda s: s.frame.trigger_ms, 1e-3), True),
)


def frame_times(series: DicomSeries, arrangement: Arrangement) -> Timing:
    """Times of the frames, by the first source that rises from frame to frame.

    Tried in turn: the scanner's offsets (TemporalPositionTimeOffset, Philips' DynamicScanBeginTime), AcquisitionTime (Siemens,
    enhanced MR), TriggerTime (GE), TemporalResolution, AcquisitionDuration, TR (single-shot echo-planar series, one frame per
    TR), and ContentTime (when the image was made, not taken).
    """
    count = len(arrangement.slices)
    for name, read, sure in _SOURCES:
        times = read(arrangement)
        if times is not None and _rises(times):
            return _from(times, name, sure)
    header, steps = series.header, np.arange(count, dtype=float)
    resolution = header.temporal_resolution_ms
    if resolution and _RESOLUTION_S[0] <= resolution / 1000 <= _RESOLUTION_S[1]:
        return _from(steps * resolution / 1000, "TemporalResolution", True)
    if header.duration_s and header.duration_s / count >= _LEAST_PER_FRAME_S:
        return _from(steps * header.duration_s / count, "AcquisitionDuration divided by the number of frames", False)
    if header.echo_planar and header.tr_ms and _TR_S[0] <= header.tr_ms / 1000 <= _TR_S[1]:
        return _from(steps * header.tr_ms / 1000, "TR, as one frame per TR", False)
    times = _seconds(lambda s: s.frame.content_s)(arrangement)
    if times is not None and _rises(times):
        return _from(times, "ContentTime, which is when the images were made", False)
    return Timing(None, "no header tells the frame times", False)


def _rises(times: np.ndarray) -> bool:
    """Whether the times rise and no interval is impossible (a pause after the first frame is allowed)."""
    steps = np.diff(times)
    return bool(steps.size and (steps > _LEAST_STEP_S).all() and np.median(steps) <= _RESOLUTION_S[1])


def _from(times: np.ndarray, why: str, sure: bool) -> Timing:
    # 0.1 ms: DICOM times have a finer grain than scanners, and floats of seconds since a fixed day a coarser one than microseconds.
    return Timing(tuple(round(float(t), 4) for t in times - times[0]), why, sure)
