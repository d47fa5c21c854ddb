"""DICOM slices into series, and a series into time points and positions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..images import Grid
from .geometry import RT_DOSE, DicomSeries, Slice
from .headers import Header
from .likeness import (
    SAME_ANGLE_DEG,
    SAME_B,
    SAME_COSINE,
    SAME_OFFSET_S,
    SAME_POSITION_MM,
    SAME_SPACING_MM,
    SAME_TE_MS,
    linked,
    linked_rows,
    past_midnight,
)


@dataclass(frozen=True)
class Arrangement:
    """A series in order: ``slices[t][z]`` on `grid`; `by` says what told the time points apart.

    `moved_mm` is how far a voxel of a later time point lies at most from where `grid`, the first one's, has it.
    """

    slices: tuple[tuple[Slice, ...], ...]
    grid: Grid
    by: str
    moved_mm: float = 0.0


# ------------------------------------------------------------------------------------------------------------ into series


def split(headers: Iterable[Header]) -> list[DicomSeries]:
    """Image slices grouped into series, in the order of their numbers; files without image slices are left out."""
    together: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for s in _on_one_clock([Slice(header, frame) for header in headers for frame in header.frames]):
        # Each RT dose is a grid of its own, also where a series holds those of several beams.
        own = s.header.sop_uid if s.header.sop_class == RT_DOSE else ""
        together[(s.header.series_uid, own)].append(s)
    groups = {(*key, *kind): members for key, slices in together.items() for kind, members in _kinds(slices).items()}
    by_uid: dict[str, list[list[Slice]]] = defaultdict(list)
    for (uid, *_), slices in groups.items():
        by_uid[uid].append(_settled(sorted(slices, key=_as_stored)))
    numbers = Counter(parts[0][0].header.series_number for parts in by_uid.values())
    seen: Counter = Counter()
    result = []
    for parts in sorted(by_uid.values(), key=lambda p: (_number(p[0][0]), p[0][0].header.series_uid)):
        number = parts[0][0].header.series_number
        name = "?" if number is None else str(number)
        if numbers[number] > 1:  # the same number twice, e.g. in exports of several studies
            seen[number] += 1
            name += f".{seen[number]}"
        parts.sort(key=lambda p: _as_stored(p[0]))
        result += [DicomSeries(name + (_letter(i) if len(parts) > 1 else ""), tuple(p)) for i, p in enumerate(parts)]
    return result


def _on_one_clock(slices: list[Slice]) -> list[Slice]:
    """The slices with times that run on past midnight, study by study: what is sorted and timed by them later need not know."""
    studies: dict[str, list[int]] = defaultdict(list)
    for i, s in enumerate(slices):
        studies[s.header.study_uid].append(i)
    for members in studies.values():
        for name in ("acquired_s", "content_s"):
            before = [getattr(slices[i].frame, name) for i in members]
            for i, was, now in zip(members, before, past_midnight(before), strict=True):
                if now != was:
                    slices[i] = _with(slices[i], name, now)
    return slices


def _with(s: Slice, name: str, value: Any) -> Slice:
    return Slice(s.header, replace(s.frame, **{name: value}))


_TRACE_B = 100.0  # chosen: below, a volume without a direction is one that scanners use as b = 0


def _kinds(slices: list[Slice]) -> dict[tuple, list[Slice]]:
    """The slices of one DICOM series by what those of one image have in common."""
    frames = [s.frame for s in slices]
    directed = [f.b_vector is not None and any(f.b_vector) for f in frames]
    # Among images with gradient directions, one with a b-value and no direction is the mean over them (trace-weighted).
    traces = [any(directed) and not d and (f.b_value or 0) > _TRACE_B for d, f in zip(directed, frames, strict=True)]
    groups: dict[tuple, list[Slice]] = defaultdict(list)
    for s, *kind in zip(
        slices,
        linked_rows([f.orientation for f in frames], SAME_COSINE),
        linked_rows([f.spacing for f in frames], SAME_SPACING_MM),
        _known(linked([f.te_ms for f in frames], SAME_TE_MS)),
        traces,
        strict=True,
    ):
        groups[(s.frame.rows, s.frame.columns, s.frame.image_type, *kind)].append(s)
    return groups


def _known(labels: list[int]) -> list[int]:
    """Labels of `linked`; what a file lacks is that of the others where these have one."""
    return [max(labels)] * len(labels) if len({*labels} - {-1}) == 1 else labels


def _settled(slices: list[Slice]) -> list[Slice]:
    """The slices of one image with equal numbers where these differ in the last digits, or are missing in some: the first one's."""
    for name in ("tr_ms", "te_ms", "ti_ms"):
        known = [v for s in slices if (v := getattr(s.frame, name)) is not None]
        slices = [_with(s, name, known[0]) if known and getattr(s.frame, name) is None else s for s in slices]
    for name, labels in (
        ("flip_angle_deg", lambda v: linked(v, SAME_ANGLE_DEG)),
        ("b_value", lambda v: linked(v, SAME_B)),
        ("b_vector", lambda v: linked_rows(v, SAME_COSINE)),
        ("offset_s", lambda v: linked(v, SAME_OFFSET_S)),
    ):
        values = [getattr(s.frame, name) for s in slices]
        if len(set(values)) > 1:
            first: dict[Any, Any] = {}
            for i, label in enumerate(labels(values)):
                if first.setdefault(label, values[i]) != values[i]:
                    slices[i] = _with(slices[i], name, first[label])
    return slices


def _number(s: Slice) -> int:
    return s.header.series_number if s.header.series_number is not None else 1 << 40


def _as_stored(s: Slice) -> tuple:
    instance = s.frame.instance_number
    return (1 << 40 if instance is None else instance, s.header.sop_uid, s.frame.index)


def _letter(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"_{i + 1}"


def join(series: Sequence[DicomSeries]) -> DicomSeries:
    """Several series as one, e.g. the flip angles of a T1 measurement."""
    ids = [s.id for s in series]
    name = "+".join(ids) if len(ids) <= 6 else f"{ids[0]}-{ids[-1]}"
    return DicomSeries(name, tuple(x for s in series for x in s.slices))


# --------------------------------------------------------------------------------------------------- into time and position


def arrange(series: DicomSeries) -> Arrangement:
    """Put the slices of a series in order of time and position.

    Time points are told apart by the first attribute that gives each of them every position once: flip angle, temporal position,
    the scanner's frame offset, acquisition number, b-value and direction, the dimensions of a multi-frame file, trigger time,
    acquisition time, creation time, and at last the instance number.

    Raises
    ------
    InputError
        If files are truncated, slices missing, doubled, unevenly spaced or sheared, or if time points lie elsewhere than the first.
    """
    for header in dict.fromkeys(s.header for s in series.slices):
        if header.problem:
            raise InputError(f"{series}: {header.path} {header.problem}; export the series again")
    _refuse_copies(series)
    counts = np.bincount(series.positions)
    if counts.min() != counts.max():
        raise InputError(_uneven(series, counts))
    times, by = _time_points(series, int(counts[0]))
    if times is None:
        raise InputError(
            f"{series} has doubled slices: each position occurs {counts[0]} times and nothing in the headers tells "
            "the images apart; one image per position and time is needed"
        )
    ordered = tuple(tuple(series.slices[i] for i in frame) for frame in times)
    grid = _grid(series, ordered[0])
    return Arrangement(ordered, grid, by, _moved(series, ordered, grid))


def _refuse_copies(series: DicomSeries) -> None:
    seen: dict[tuple[str, int], Path] = {}
    twice: dict[tuple[str, int], tuple[Path, Path]] = {}
    for s in series.slices:
        key = (s.header.sop_uid, s.frame.index)
        if s.header.sop_uid and seen.setdefault(key, s.header.path) != s.header.path:
            twice.setdefault(key, (seen[key], s.header.path))
    if twice:
        one, other = next(iter(twice.values()))
        more = f" (and {len(twice) - 1} more pairs)" if len(twice) > 1 else ""
        raise InputError(f"{series} has doubled slices: {one} and {other} are the same image{more}; remove one of them")


def _uneven(series: DicomSeries, counts: np.ndarray) -> str:
    """Say which position has too few or too many images."""
    usual = series.n_times
    wrong = np.flatnonzero(counts != usual)
    at = int(wrong[0])
    first = next(s for s, p in zip(series.slices, series.positions, strict=True) if p == at)
    missing = bool(counts[at] < usual)
    where = f"position {at + 1} of {series.n_slices} ({first.frame.position @ series.normal:.1f} mm along the normal)"
    more = f", and {len(wrong) - 1} more positions" if len(wrong) > 1 else ""
    return (
        f"{series} has {'missing' if missing else 'doubled'} slices: {where} has {counts[at]} images{more}, the others "
        f"{usual}; one image per position and time is needed"
    )


_KEYS: tuple[tuple[str, Callable[[Slice], Any], bool], ...] = (
    # name, key of a slice, whether equal keys make a time point (or whether only the order within a position counts)
    ("FlipAngle", lambda s: s.frame.flip_angle_deg, True),
    ("TemporalPositionIdentifier", lambda s: s.frame.temporal_position, True),
    ("time offset of the frames", lambda s: s.frame.offset_s, True),
    ("AcquisitionNumber", lambda s: s.frame.acquisition_number, True),
    (
        "b-value and direction",
        lambda s: None if s.frame.b_value is None else (s.frame.b_value, s.frame.b_vector or ()),
        True,
    ),
    ("DimensionIndexValues", lambda s: s.frame.dimensions, True),
    ("DimensionIndexValues", lambda s: s.frame.dimensions, False),
    ("TriggerTime", lambda s: s.frame.trigger_ms, False),
    ("AcquisitionTime", lambda s: s.frame.acquired_s, False),
    ("ContentTime", lambda s: s.frame.content_s, False),
    ("InstanceNumber", lambda s: s.frame.instance_number, False),
)


def _time_points(series: DicomSeries, count: int) -> tuple[list[list[int]] | None, str]:
    """Indices of slices by time point, each in order of position; None if no attribute separates them."""
    if count == 1:
        return [np.argsort(series.positions, kind="stable").tolist()], "position"
    for name, key, equal in _KEYS:
        keys = [key(s) for s in series.slices]
        if any(k is None for k in keys):
            continue
        frames = _by_value(series, keys) if equal else _by_rank(series, keys, count)
        if frames is not None and len(frames) == count and all(_uniform(series, f) for f in frames):
            return frames, name
    return None, ""


def _by_value(series: DicomSeries, keys: list[Any]) -> list[list[int]] | None:
    """Time points whose slices share a key, if each then has every position once."""
    members: dict[Any, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        members[key].append(i)
    frames = []
    for key in sorted(members):
        frame = sorted(members[key], key=lambda i: series.positions[i])
        if [series.positions[i] for i in frame] != list(range(series.n_slices)):
            return None
        frames.append(frame)
    return frames


def _by_rank(series: DicomSeries, keys: list[Any], count: int) -> list[list[int]] | None:
    """The first, second ... image of every position, if the keys differ within each position."""
    columns: list[list[int]] = [[] for _ in range(series.n_slices)]
    for i in sorted(range(len(keys)), key=lambda i: keys[i]):
        columns[series.positions[i]].append(i)
    if any(len({keys[i] for i in column}) < count for column in columns):
        return None
    return [list(frame) for frame in zip(*columns, strict=True)]


def _uniform(series: DicomSeries, frame: list[int]) -> bool:
    """Whether one flip angle, b-value and direction hold for a whole time point; otherwise the order was wrong."""
    kinds = {(f.flip_angle_deg, f.b_value, f.b_vector) for f in (series.slices[i].frame for i in frame)}
    return len(kinds) == 1


# Chosen, as shares of the slice distance: positions that scanners round differ by far less, and a missing slice by 1.
_UNEVEN, _ASIDE = 0.1, 0.05


def _grid(series: DicomSeries, slices: Sequence[Slice]) -> Grid:
    """The grid of one time point, its slices checked to stand evenly on one axis."""
    positions = np.asarray([s.position for s in slices])
    steps = np.diff(positions, axis=0)
    along = steps @ series.normal
    if len(slices) > 1:
        usual = float(np.sort(along)[(len(along) - 1) // 2])  # the lower median: of 3 slices with one gap, the other
        wrong = np.flatnonzero(np.abs(along - usual) > max(_UNEVEN * usual, 3 * SAME_POSITION_MM))
        if wrong.size:
            i = int(wrong[0])
            a, b = positions[i] @ series.normal, positions[i + 1] @ series.normal
            absent = round(float(along[i]) / usual) - 1
            what = f"missing slices: {absent}" if absent > 0 else "unevenly spaced slices"
            raise InputError(
                f"{series} has {what} between {a:.1f} and {b:.1f} mm along the normal (slices {i + 1} and {i + 2} of "
                f"{len(slices)}); a distance of {usual:.2f} mm throughout is needed"
            )
        aside = np.linalg.norm(steps - np.outer(along, series.normal), axis=1).max()
        if aside > _ASIDE * usual + 2 * SAME_POSITION_MM:
            raise InputError(
                f"{series} is sheared: each slice lies {aside:.2f} mm beside the one below (a tilted gantry); slices at right angles to "
                "their stack are needed"
            )
        depth = float(np.mean(along))
    else:
        depth = series.spacing[2]
    f = slices[0].frame
    x, y, z = f.position
    direction = np.stack([f.orientation[:3], f.orientation[3:], series.normal], axis=1)
    return Grid(
        (int(f.columns), int(f.rows), len(slices)),
        (float(f.spacing[1]), float(f.spacing[0]), depth),
        (x, y, z),
        tuple(float(v) for v in direction.ravel()),
    )


# Chosen, as a share of the smallest side of a voxel: what moved by no more still shows, voxel by voxel, the same tissue.
_FOLLOWED = 0.5


def _moved(series: DicomSeries, frames: Sequence[Sequence[Slice]], grid: Grid) -> float:
    """How far in mm a corner of a later time point's slices lies at most from where the first time point has it."""
    if len(frames) == 1:
        return 0.0
    position = np.asarray([[s.frame.position for s in frame] for frame in frames])
    axes = np.asarray([[s.frame.orientation for s in frame] for frame in frames])
    row = axes[..., :3] * grid.spacing[0] * (grid.size[0] - 1)
    column = axes[..., 3:] * grid.spacing[1] * (grid.size[1] - 1)
    corners = np.asarray([position, position + row, position + column, position + row + column])
    far = np.linalg.norm(corners - corners[:, :1], axis=-1).max(axis=(0, 2))
    moved = float(far.max())
    if moved > _FOLLOWED * min(grid.spacing):
        at = int(far.argmax())
        raise InputError(
            f"{series}: its time points lie in different places (time point {at + 1} up to {moved:.1f} mm from the first, voxels of "
            f"{_sides(grid)} mm), as where the scanner follows the head (prospective motion correction) or the slices were placed anew; "
            "time points in one place are needed"
        )
    return moved


def _sides(grid: Grid) -> str:
    return " x ".join(f"{s:.3g}" for s in grid.spacing)
