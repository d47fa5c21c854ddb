"""Frames of a series that cannot be used: blank, undefined, a copy of the one before, or of another level than those around them.

And single samples without signal. Frames are judged on tiles, means over some voxels of a slice, so that noise does not hide a level
that is off by a tenth.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..errors import InputError
from ..images import Series

# All chosen, as what follows says what for.
_TILE, _TILES = 4, 8  # voxels to a side of a tile at most, and tiles along a side of the image at least
_BRIGHT = 0.2  # of the brightest tiles: those that count, the others being air
_BLANK = 0.1  # of a slice's usual level; contrast agent does not take it there
_UNDEFINED = 0.5  # of a slice's tiles
# A level is off where nearly all tiles lie this far beyond those of the frames before and after, which no bolus does: at the edges of a
# bolus one of the two lies beyond, and at its peak tissue differs by less from frame to frame. At the ends there is one side only.
_ALIKE, _OFF, _OFF_AT_END, _OFF_IN_SLICE = 0.8, 0.1, 0.15, 0.5
_LEAST_TILES = 8
_LONGEST = 2  # frames in a row that are compared with those around them; blank ones may be more
# In the direction of the agent, a bolus in one long frame looks alike; but it leaves agent behind, and a wrong level nothing.
_RETURNS = 0.1
_LEVEL = "has another level than those around it"
# Of a voxel: a sample below this share of its median is none; agent is told from a loss by what lies beside it, or by tissue that is calm.
_NOTHING, _BESIDE, _CALM = 0.01, 0.5, 0.95
_SAMPLE = 8192  # voxels that show how the tissue as a whole goes
_MOST_COPIES, _MOST = 0.1, 0.2  # of all frames: more copies are a phantom without noise, more spoiled frames no series


def spoiled_frames(series: Series, is_signal: bool, rising: bool) -> dict[int, str]:
    """Numbers from 0 of the frames that cannot be used, with what is wrong with each, in words that follow its number.

    Parameters
    ----------
    is_signal
        False where the series holds concentrations or ΔR2*, which may be 0: then only what is undefined, and what is 0 throughout
        between frames that are not, is found.
    rising
        Whether contrast agent raises the signal.

    Raises
    ------
    InputError
        If more than a fifth of the frames are such.
    """
    tiles = _tiles(series.frames)
    found = _undefined(tiles)
    good = [t for t in range(series.n_times) if t not in found]
    if is_signal:
        bright = _bright(tiles[good]) if good else np.zeros(tiles.shape[1:], bool)
        if bright.any():
            found |= _blank(tiles, bright, good)
            good = [t for t in good if t not in found]
            found |= _off(tiles, bright, np.array(good), rising)
    else:
        empty = ~np.any(np.nan_to_num(tiles), axis=(1, 2, 3))
        found |= {t: "is 0 throughout" for t in good[1:] if empty[t] and not empty[t - 1] and not empty[t + 1 : t + 2]}
    found |= {t: "is a copy of the one before" for t in _copies(series.frames, tiles) if t not in found}
    if len(found) > max(1, _MOST * series.n_times):
        raise InputError(
            f"{series.name}: {len(found)} of its {series.n_times} frames cannot be used ({said(found)}); at most a fifth may be "
            "missing from a perfusion series"
        )
    return dict(sorted(found.items()))


def without_dropouts(series: Series, where: np.ndarray) -> tuple[Series, int, int]:
    """The series with samples without signal interpolated where they were lost, how many those were, and the voxels that keep some.

    One such sample passes for a bolus as large as the noise allows. Lost is what is next to 0 for a single frame between samples above
    half of the voxel's median; for two frames while the tissue as a whole is calm. What else falls to 0 may be agent and stays.

    Parameters
    ----------
    where
        Voxels (z, y, x) that count.

    Returns
    -------
    series, filled, left
        `left` counts voxels of tissue alone: others are dark at all times.
    """
    gone = (series.frames.min(axis=0) <= _NOTHING * series.frames.max(axis=0)) & where
    if not gone.any():
        return series, 0, 0
    curves = series.frames[:, gone]
    middle = np.median(curves, axis=0)
    some = np.flatnonzero(where)
    sample = series.frames.reshape(series.n_times, -1)[:, some[:: -(-some.size // _SAMPLE)]]
    usual, level = np.median(sample, axis=0), np.median(sample, axis=1)
    calm = level >= _CALM * np.median(level)
    tissue = middle > _BRIGHT * np.percentile(usual, 95)
    nothing = ((curves == 0) | (tissue & (curves <= _NOTHING * middle))) & (middle > 0)  # noise comes near 0 by itself
    there = curves > _BESIDE * middle
    filled = curves.copy()
    for length in (1, 2):
        for first in range(series.n_times - length + 1):
            run = slice(first, first + length)
            ends = [t for t in (first - 1, first + length) if 0 <= t < series.n_times]
            if length > 1 and not calm[run].all():
                continue
            lost = nothing[run].all(axis=0) & there[ends].all(axis=0)
            steps = np.arange(1, length + 1)[:, np.newaxis] / (length + 1)
            a, b = curves[ends[0], lost], curves[ends[-1], lost]
            filled[run, lost] = a + (b - a) * steps
            nothing[run, lost] = False
    left = int((nothing.any(axis=0) & tissue).sum())
    changed = int((filled != curves).sum())
    if not changed:
        return series, 0, left
    frames = series.frames.copy()
    frames[:, gone] = filled
    return replace(series, frames=frames), changed, left


def said(found: dict[int, str], most: int = 6) -> str:
    """Frames by number from 1 with what is wrong, the first few where they are many."""
    parts = [f"frame {t + 1} {why}" for t, why in sorted(found.items())]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _tiles(frames: np.ndarray) -> np.ndarray:
    """Means (t, z, y, x) over squares of voxels; what does not fill a square at the far edges is left out."""
    ny, nx = frames.shape[2:]
    n = max(1, min(_TILE, ny // _TILES, nx // _TILES))
    if n == 1:
        return frames
    whole = frames[:, :, : ny // n * n, : nx // n * n]
    # Rows first: sums along rows of four are slow.
    rows = whole.reshape(*frames.shape[:2], ny // n, n, -1).sum(axis=3)
    return rows.reshape(*rows.shape[:3], nx // n, n).sum(axis=4) / frames.dtype.type(n * n)


def _bright(tiles: np.ndarray) -> np.ndarray:
    """Booleans (z, y, x) of the tiles that hold tissue, from frames without whole slices undefined."""
    usual = np.median(tiles, axis=0)  # NaN where a voxel is undefined in one frame: such tiles do not count
    known = usual[np.isfinite(usual)]
    return usual > _BRIGHT * np.percentile(known, 95) if known.size and known.max() > 0 else np.zeros(usual.shape, bool)


def _undefined(tiles: np.ndarray) -> dict[int, str]:
    """Frames in which most of a slice is no number that is one in other frames."""
    share = 1.0 - np.isfinite(tiles).mean(axis=(2, 3))
    slices = (share > _UNDEFINED) & (np.median(share, axis=0) <= _UNDEFINED)
    return _in_slices(slices, np.ones(tiles.shape[1], bool), "is no number")


def _blank(tiles: np.ndarray, bright: np.ndarray, good: list[int]) -> dict[int, str]:
    """Frames with a slice that has next to no signal."""
    count = bright.sum(axis=(1, 2))
    level = np.where(bright, tiles, 0.0).sum(axis=(2, 3)) / np.maximum(count, 1)
    usual = np.median(level[good], axis=0)
    blank = (level <= _BLANK * usual) & (usual > 0)
    blank[[t for t in range(len(tiles)) if t not in good]] = False
    return _in_slices(blank, count > 0, "is blank")


def _in_slices(bad: np.ndarray, counts: np.ndarray, what: str) -> dict[int, str]:
    """Of (frame, slice) that are bad, a sentence part per frame; `counts` are the slices that can be."""
    total = int(counts.sum())
    numbers = {int(t): int((bad[t] & counts).sum()) for t in np.flatnonzero((bad & counts).any(axis=1))}
    return {t: what if n == total else f"{what} in {n} of {total} slices" for t, n in numbers.items()}


def _off(tiles: np.ndarray, bright: np.ndarray, good: np.ndarray, rising: bool) -> dict[int, str]:
    """Frames whose level, or that of one of their slices, is off; `good` are the frames that are looked at."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = dict.fromkeys(_beyond(tiles[:, bright][good], _OFF, rising), _LEVEL)
        slices = np.zeros((len(good), tiles.shape[1]), bool)
        for z in np.flatnonzero(bright.sum(axis=(1, 2)) >= _LEAST_TILES):
            slices[_beyond(tiles[:, z, bright[z]][good], _OFF_IN_SLICE, rising), z] = True
    part = _in_slices(slices, np.asarray(bright.any(axis=(1, 2))), _LEVEL)
    return {int(good[t]): why for t, why in (part | found).items()}


def _beyond(values: np.ndarray, limit: float, rising: bool) -> list[int]:
    """Rows of values (t, n) in which nearly all of these lie beyond those of the rows around by more than `limit` of them."""
    n = len(values)
    found: list[int] = []

    def departs(rows: np.ndarray, others: list[np.ndarray], least: float) -> np.ndarray:
        """How far (median) rows (k, n) lie above all others (k, n), below 0 where below; 0 where not nearly everywhere by `least`."""
        result = np.zeros(len(rows))
        above, below = rows / np.maximum.reduce(others) - 1.0, rows / np.minimum.reduce(others) - 1.0
        up = np.mean(above > least, axis=1) >= _ALIKE
        down = ~up & (np.mean(below < -least, axis=1) >= _ALIKE)
        result[up], result[down] = np.median(above[up], axis=1), np.median(below[down], axis=1)
        return result

    def same(a: int, b: int, change: float) -> bool:
        """Whether two rows differ by next to nothing beside a change."""
        return abs(float(np.median(values[a] / values[b])) - 1.0) <= _RETURNS * abs(change)

    for length in range(1, _LONGEST + 1):
        starts = max(n - length - 1, 0)
        around = [values[:starts], values[length + 1 :]]
        by_start = np.stack([departs(values[1 + k : 1 + k + starts], around, limit) for k in range(length)], axis=1)
        for first in (np.flatnonzero((by_start != 0.0).all(axis=1)) + 1).tolist():
            run, last, changes = range(first, first + length), first + length, by_start[first - 1].tolist()
            if min(changes) < 0 < max(changes) or set(run) & set(found):
                continue
            if (changes[0] > 0) == rising:
                least = min(changes, key=abs)
                if first < 2 or last + 1 >= n:
                    continue
                if not all(same(a, b, least) for a, b in ((first - 2, first - 1), (first - 1, last), (last, last + 1))):
                    continue
            found.extend(run)
    # A first frame above the others is not in steady state yet; one below them may be the only one without agent (DCE), but then what
    # follows is not flat.
    for t, others in ((n - 1, [n - 2, n - 3]), (0, [1, 2, 3] if rising else [1, 2])):
        if n < 2 * _LEAST_TILES or t in found:
            continue
        (change,) = departs(values[[t]], [values[[i]] for i in others], max(limit, _OFF_AT_END))
        if (change < 0 or (change > 0 and t)) and all(same(a, b, change) for a, b in pairwise(others)):
            found.append(t)
    return sorted(found)


def _copies(frames: np.ndarray, tiles: np.ndarray) -> list[int]:
    """Frames that are equal to the one before, voxel by voxel; none in a series without noise, whose baseline is all copies."""
    same = [
        t
        for t in range(1, len(frames))
        if np.array_equal(tiles[t], tiles[t - 1]) and np.array_equal(*frames[t - 1 : t + 1])
    ]
    if not same or len(same) > _MOST_COPIES * len(frames) or 1 in same:
        return []
    return same
