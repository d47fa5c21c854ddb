"""The kernel of the search for a pose: the joint histogram of a pattern's classes and an image's grey levels."""

import numpy as np

from ..compute.compiled import exact


@exact
def count_pairs(image: np.ndarray, at: np.ndarray, classes: np.ndarray, order: int, joint: np.ndarray) -> None:
    """Add to `joint` (bins, bins) one pair for each point that lies in the image and is finite there.

    Values are interpolated as `scipy.ndimage.map_coordinates` does, to the last digit.

    Parameters
    ----------
    image
        (z, y, x) float32.
    at
        (n, 3) in voxels (x, y, z).
    classes
        (n,), whole numbers below the number of bins.
    order
        0 for the nearest voxel, 1 for linear interpolation.
    """
    bins = joint.shape[0]
    nz, ny, nx = image.shape
    for i in range(at.shape[0]):
        x, y, z = at[i, 0], at[i, 1], at[i, 2]
        if not (0 <= x <= nx - 1 and 0 <= y <= ny - 1 and 0 <= z <= nz - 1):
            continue
        if order == 0:
            found = image[int(np.floor(z + 0.5)), int(np.floor(y + 0.5)), int(np.floor(x + 0.5))]
        else:
            x0, y0, z0 = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            # Beyond the last voxel, where the weight is 0, the image goes on as in a mirror.
            x1 = x0 + 1 if x0 + 1 < nx else max(nx - 2, 0)
            y1 = y0 + 1 if y0 + 1 < ny else max(ny - 2, 0)
            z1 = z0 + 1 if z0 + 1 < nz else max(nz - 2, 0)
            fx, fy, fz = x - x0, y - y0, z - z0
            gx, gy, gz = 1.0 - fx, 1.0 - fy, 1.0 - fz
            total = 0.0
            total += image[z0, y0, x0] * gz * gy * gx
            total += image[z0, y0, x1] * gz * gy * fx
            total += image[z0, y1, x0] * gz * fy * gx
            total += image[z0, y1, x1] * gz * fy * fx
            total += image[z1, y0, x0] * fz * gy * gx
            total += image[z1, y0, x1] * fz * gy * fx
            total += image[z1, y1, x0] * fz * fy * gx
            total += image[z1, y1, x1] * fz * fy * fx
            found = np.float32(total)
        if np.isfinite(found):
            level = int(found * np.float32(bins))
            joint[classes[i], min(level, bins - 1)] += 1
