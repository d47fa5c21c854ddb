"""Images, masks and label maps from one grid to another."""

import numpy as np
import SimpleITK as sitk

from .grid import Grid, array, as_grid, boolean


def resample(
    image: sitk.Image,
    like: sitk.Image | Grid,
    transform: sitk.Transform | None = None,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> sitk.Image:
    """Resample to another grid; `transform` maps points of the target to points of `image` (LPS mm), as registration gives it.

    Parameters
    ----------
    interpolation
        ``"linear"``, ``"bspline"`` or ``"nearest"``. Masks and label maps have functions of their own.

    Returns
    -------
    SimpleITK.Image
        float32, unless ``"nearest"``, which keeps the pixel type.
    """
    grid = as_grid(like)
    method = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "nearest": sitk.sitkNearestNeighbor}[
        interpolation
    ]
    if interpolation != "nearest":
        image = sitk.Cast(image, sitk.sitkFloat32)
    if transform is None and Grid.of(image).matches(grid):
        return sitk.Image(image)
    return sitk.Resample(
        image,
        [int(s) for s in grid.size],
        transform or sitk.Transform(3, sitk.sitkIdentity),
        method,
        grid.origin,
        grid.spacing,
        grid.direction,
        outside,
        image.GetPixelID(),
    )


def signed_distance(mask: sitk.Image) -> sitk.Image:
    """Distance in mm to the mask's edge, negative inside, between voxel centres (so zero lies half-way across the edge)."""
    inside = sitk.Cast(mask > 0, sitk.sitkUInt8)
    if not boolean(inside).any():
        return sitk.Cast(inside, sitk.sitkFloat32) + 1e6
    distance = lambda m: sitk.SignedMaurerDistanceMap(
        m, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    outer = array(distance(inside))
    whole = boolean(inside).all()
    inner = np.full_like(outer, 1e6) if whole else array(distance(1 - inside))
    return Grid.of(mask).image(np.where(boolean(inside), -inner, outer).astype(np.float32))


def resample_mask(mask: sitk.Image, like: sitk.Image | Grid, transform: sitk.Transform | None = None) -> sitk.Image:
    """Carry a 0/1 mask to another grid by its signed distance (never by nearest neighbour); uint8."""
    grid = as_grid(like)
    if transform is None and Grid.of(mask).matches(grid):
        return sitk.Cast(mask > 0, sitk.sitkUInt8)
    if not boolean(mask).any():
        return grid.blank()
    carried = resample(signed_distance(mask), grid, transform, outside=1e6)
    return sitk.Cast(carried < 0, sitk.sitkUInt8)


def resample_labels(labels: sitk.Image, like: sitk.Image | Grid, transform: sitk.Transform | None = None) -> sitk.Image:
    """Carry a label map to another grid: each voxel takes the label whose signed distance is lowest, if that is below 0; uint16."""
    grid = as_grid(like)
    values = [int(v) for v in np.unique(sitk.GetArrayViewFromImage(labels)) if v > 0]
    best = np.zeros(grid.shape, np.float32)
    result = np.zeros(grid.shape, np.uint16)
    for value in values:
        distance = array(resample(signed_distance(labels == value), grid, transform, outside=1e6))
        nearer = distance < best
        best[nearer] = distance[nearer]
        result[nearer] = value
    return grid.image(result)
