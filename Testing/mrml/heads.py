"""Balls in a turned grid: a brain with its lesions, for tests of targets on nodes."""

import numpy as np
import SimpleITK as sitk
from gliosuite.images import Grid

ROTATION = sitk.VersorTransform((0.05, -0.1, 0.99), 0.15).GetMatrix()
GRID = Grid((60, 66, 50), (2.0, 2.0, 2.5), (-58.0, -60.0, -55.0), ROTATION)
CENTER = GRID.corners().mean(axis=0)


def ball(radius, shift=(0.0, 0.0, 0.0), grid=GRID):
    index = np.stack(np.meshgrid(*[np.arange(s) for s in grid.size], indexing="ij"), -1)
    points = index @ (np.reshape(grid.direction, (3, 3)) * grid.spacing).T + grid.origin
    return grid.image(
        np.ascontiguousarray((np.linalg.norm(points - CENTER - shift, axis=-1) < radius).T).astype(np.uint8)
    )


MASKS = {
    "brain": ball(52),
    "cel": ball(9, (25, 0, 0)),
    "t2l": ball(14, (22, 2, 0)),
    "progression": ball(10, (18, 16, 0)),
}
