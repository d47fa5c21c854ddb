"""What tells a head, whose motion may be corrected unasked, from a phantom."""

import numpy as np

from ...images import Series

FARTHEST_MM = 30.0  # chosen: a head has no more room in its coil
_HEAD_MM = 100.0  # along two axes; chosen: a newborn's head measures as much, phantoms of single voxels do not
_FEWEST_SLICES = 4  # with fewer, movement out of the plane is neither seen nor mended


def no_head(series: Series) -> str:
    """Why a series shows no head whose motion could be corrected; empty where it may."""
    grid = series.grid
    extent = sorted(n * s for n, s in zip(grid.size, grid.spacing))
    if min(grid.size) < _FEWEST_SLICES:
        return f"{series.name} has {min(grid.size)} slices, and movement out of their plane cannot be seen"
    if extent[1] < _HEAD_MM:
        return f"{series.name} measures {' x '.join(f'{e:.0f}' for e in extent)} mm, which is smaller than a head"
    if not np.isfinite(series.frames).all():
        return f"{series.name} has values that are no numbers"
    return ""
