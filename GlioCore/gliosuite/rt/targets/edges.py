"""What a margin loses where the image ends: a slab or a cropped image cuts a target volume off without a trace of it in the voxels."""

import numpy as np
import SimpleITK as sitk

from ...images import Grid, array, boolean
from ..barriers import Barriers
from ..margins import expand


def lost_cc(
    mask: sitk.Image, margin_mm: float, brain: sitk.Image | None = None, walls: Barriers | None = None
) -> float:
    """Volume in cc that a margin would fill beyond the edges of the image.

    The image is continued by as much as the margin reaches, the brain and what stops the margin as they are in its last slices (rows,
    columns): how they go on is not known, so that this is an estimate.

    Parameters
    ----------
    mask
        What is grown.
    brain
        What the grown mask does not leave; None where it may.
    walls
        What it goes round, on the mask's grid.
    """
    inside, grid = boolean(mask), Grid.of(mask)
    room = np.ones(inside.shape, bool) if brain is None else boolean(brain)
    reach = np.ceil(margin_mm / np.asarray(grid.spacing[::-1])).astype(int) + 1
    occupied = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    pads = []
    for axis, (found, n) in enumerate(zip(occupied, reach)):
        faces = (room.take(0, axis).any(), room.take(-1, axis).any())
        near = (found[0] < n, found[-1] >= inside.shape[axis] - n)
        pads.append(tuple(int(n) if face and close else 0 for face, close in zip(faces, near)))
    if not any(map(any, pads)):
        return 0.0
    matrix = np.reshape(grid.direction, (3, 3)) * grid.spacing
    origin = np.asarray(grid.origin) - matrix @ np.array([low for low, _ in pads[::-1]], float)
    wider = Grid.made((s + sum(p) for s, p in zip(grid.size, pads[::-1])), grid.spacing, origin, grid.direction)
    goes_on = lambda values: wider.image(np.pad(values, pads, mode="edge"))
    if walls is not None:
        cost = None if walls.cost is None else goes_on(array(walls.cost))
        walls = Barriers(goes_on(boolean(walls.domain)), cost)
    grown = boolean(expand(wider.image(np.pad(inside, pads)), margin_mm, walls)) & boolean(goes_on(room))
    grown[tuple(slice(low, low + n) for (low, _), n in zip(pads, inside.shape))] = False
    return float(grown.sum()) * grid.voxel_cc


def at_edge(mask: np.ndarray) -> bool:
    """Whether a mask (z, y, x) reaches a face of the image, so that it may go on beyond it."""
    return any(bool(mask.take(i, axis).any()) for axis in range(3) for i in (0, -1))
