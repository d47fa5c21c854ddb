"""Which numbers of headers are the same: headers round and scanners jitter, so numbers are compared by distance, never by rounding."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

# Chosen: well above the rounding of positions in headers (some 0.001 mm), well below the thinnest slices of MR and CT.
SAME_POSITION_MM = 0.02
# Chosen: a tilt of 0.001 moves a voxel by 0.25 mm across a head of 250 mm; cosines written with three digits are still the same.
SAME_COSINE = 1e-3
# Chosen, where slices of one image differ in what they share: far above the last digits that are written, far below what protocols vary.
SAME_SPACING_MM, SAME_TE_MS = 1e-4, 0.05
SAME_ANGLE_DEG, SAME_B, SAME_OFFSET_S = 0.01, 0.01, 1e-3
_DAY_S = 86400.0
# Chosen: times of one day and one study that lie 21 h apart are 3 h apart, with midnight between.
_ROUND_MIDNIGHT_S = 75600.0


def linked(values: Sequence[float | None], tolerance: float) -> list[int]:
    """A label for each number, ascending; the same for numbers that steps of at most `tolerance` lead from one to the other.

    Unlike rounding this has no edge that close numbers could lie on both sides of. None has the label -1.
    """
    known = sorted({v for v in values if v is not None})
    label, labels = 0, dict.fromkeys(known[:1], 0)
    for a, b in pairwise(known):
        label += b - a > tolerance
        labels[b] = label
    return [-1 if v is None else labels[v] for v in values]


def linked_rows(rows: Sequence[Sequence[float] | None], tolerance: float) -> list[tuple[int, ...]]:
    """As `linked`, for rows of one length that are the same if each of their numbers is; None has the label ``()``."""
    columns = [linked(column, tolerance) for column in zip(*(r for r in rows if r is not None), strict=True)]
    labels = iter(zip(*columns, strict=True))
    return [() if r is None else next(labels) for r in rows]


def past_midnight(times: Sequence[float | None]) -> list[float | None]:
    """Times of one study (s from a fixed day) where clocks ran past midnight and the date in the headers stayed: a day is added.

    Within one day, times that lie near its end and times near its beginning belong to one night.
    """
    days: dict[int, list[float]] = {}
    for t in times:
        if t is not None:
            days.setdefault(int(t // _DAY_S), []).append(t)
    nights = {day for day, known in days.items() if max(known) - min(known) > _ROUND_MIDNIGHT_S}
    late = lambda t: t // _DAY_S in nights and t % _DAY_S < _DAY_S / 2
    return [t + _DAY_S if t is not None and late(t) else t for t in times]


# Chosen, as shares of the slice thickness: images that moved with the head from one volume to the next, and no more than this in all,
# show one slice; neighbouring slices overlap by less. A volume's own slices are as far apart as they are thick.
_STEP, _SWAY, _EVEN = 0.25, 0.5, 0.1
_LEAST_SLICES = 3  # chosen: fewer make no stack whose slices could be told by their order


def places(along: np.ndarray, thickness: float | None, volumes: Iterable[Sequence[Any]] = ()) -> np.ndarray:
    """For each slice its place in the stack, from 0 in ascending order, of its position in mm along the normal.

    Positions that differ by rounding are one place. Where slices lie far closer together than they are thick, as a scanner writes them
    that follows the head (prospective motion correction), those of one slice are one place, if every place then has as many; or
    places are the order within each volume, as the first of `volumes` (keys of the slices) has it that makes volumes of even stacks.
    """
    strict = np.asarray(linked(along.tolist(), SAME_POSITION_MM))
    order = np.argsort(along, kind="stable")
    between = np.diff(along[order])[np.diff(strict[order]) > 0]
    if not thickness or not between.size or between.min() >= _STEP * thickness:
        return strict
    loose = np.asarray(linked(along.tolist(), _STEP * thickness))
    counts = np.bincount(loose)
    if counts.min() == counts.max() > 1:
        members = along[order].reshape(len(counts), -1)
        if np.ptp(members, axis=1).max() <= _SWAY * thickness:
            return loose
    found = (_order_within(along, keys, thickness) for keys in volumes)
    return next((f for f in found if f is not None), strict)


def _order_within(along: np.ndarray, keys: Sequence[Any], thickness: float) -> np.ndarray | None:
    """Each slice's place among those with the same key; None if these are not several even stacks of one size."""
    members: dict[Any, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    size = len(next(iter(members.values())))
    if len(members) < 2 or size < _LEAST_SLICES or any(len(m) != size for m in members.values()):
        return None
    rows = np.asarray([sorted(m, key=lambda i: along[i]) for m in members.values()])
    if None in members or np.abs(np.diff(along[rows], axis=1) - thickness).max() > _EVEN * thickness:
        return None
    result = np.empty(len(along), int)
    result[rows] = np.arange(size)
    return result
