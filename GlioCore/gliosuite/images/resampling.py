"""Images, masks and label maps from one grid to another."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from .grid import Grid, array, as_grid, boolean, box_around

if TYPE_CHECKING:
    from scipy.sparse import csr_array


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


def interpolation(source: Grid, target: Grid, transform: sitk.Transform, where: np.ndarray) -> "csr_array":
    """Linear interpolation as a matrix, to carry many maps of one grid by one transform in one pass.

    Parameters
    ----------
    source, target
        Where the maps lie, and where they go.
    transform
        A linear one, from points of `target` to points of `source` (LPS mm).
    where
        The voxels of `target` that are wanted, boolean (z, y, x).

    Returns
    -------
    scipy.sparse.csr_array
        float64 (voxels wanted, voxels of `source`); a row is 0 where `resample` gives its value for outside.
    """
    from scipy.sparse import csr_array

    # From voxels of the target to voxels of the source, as one affine map.
    ends = (
        np.vstack([np.zeros(3), np.eye(3)]) @ (np.reshape(target.direction, (3, 3)) * target.spacing).T + target.origin
    )
    to = np.linalg.inv(np.reshape(source.direction, (3, 3)) * source.spacing).T
    corner, *beside = (np.array([transform.TransformPoint(p) for p in ends.tolist()]) - source.origin) @ to
    along_x, along_y, along_z = np.array(beside) - corner
    z, y, x = np.nonzero(where)
    columns, weights = np.zeros((x.size, 8), np.int32), np.ones((x.size, 8))
    stride = 1
    for axis, n in enumerate(source.size):
        at = corner[axis] + x * along_x[axis] + y * along_y[axis] + z * along_z[axis]
        low = np.floor(at).astype(np.int32)
        share, inside = at - low, (at >= -0.5) & (at < n - 0.5)
        for upper in (0, 1):
            near = np.array([k for k in range(8) if k >> axis & 1 == upper])
            columns[:, near] += (np.clip(low + upper, 0, n - 1) * stride)[:, None]
            weights[:, near] *= (np.where(inside, share if upper else 1.0 - share, 0.0))[:, None]
        stride *= n
    rows = np.arange(0, 8 * x.size + 1, 8)
    return csr_array((weights.ravel(), columns.ravel(), rows), shape=(x.size, stride))


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
    result = np.zeros(grid.shape, np.uint8)
    if boolean(mask).any():
        reached, distance = _carried_distance(mask, grid, transform, _edge_distance)
        result[reached] = distance < _TIE_MM
    return grid.image(result)


def resample_labels(labels: sitk.Image, like: sitk.Image | Grid, transform: sitk.Transform | None = None) -> sitk.Image:
    """Carry a label map to another grid: each voxel takes the label whose signed distance is lowest, if that is below 0; uint16."""
    grid = as_grid(like)
    values = [int(v) for v in np.unique(sitk.GetArrayViewFromImage(labels)) if v > 0]
    best = np.full(grid.shape, _TIE_MM, np.float32)
    result = np.zeros(grid.shape, np.uint16)
    for value in values:
        reached, distance = _carried_distance(labels == value, grid, transform, signed_distance)
        nearer = distance < best[reached]
        best[reached][nearer] = distance[nearer]
        result[reached][nearer] = value
    return grid.image(result)


# Half-way between a voxel inside and one outside is outside, whatever the last digit of an interpolated distance says.
_TIE_MM = -1e-5
_EDGE = 2  # voxels around a mask's box: its distance inside, and the sign of what is interpolated, are then those of the whole image
_DISTANCES: OrderedDict[bytes, sitk.Image] = OrderedDict()
_KEPT = 4  # masks whose distances are kept: those of a template or a brain are asked for several times in a row
_LOCK = Lock()


def _carried_distance(
    mask: sitk.Image, grid: Grid, transform: sitk.Transform | None, measure: Callable[[sitk.Image], sitk.Image]
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """The voxels (z, y, x) of `grid` that a mask, which is not empty, can reach, and its signed distance there, as `measure` gives it."""
    distance = _near_distance(mask, measure)
    reached = _reached(Grid.of(distance), grid, transform)
    if not all(r.stop > r.start for r in reached):
        return reached, np.zeros([max(r.stop - r.start, 0) for r in reached], np.float32)
    return reached, array(resample(distance, grid.box(reached), transform, outside=1e6))


def _edge_distance(mask: sitk.Image) -> sitk.Image:
    """`signed_distance` where it is interpolated to something near 0, and a number of the same sign elsewhere, in a tenth of the time.

    What is interpolated between eight voxels is 0 somewhere only if the mask ends between them; the voxel on the other side that is
    nearest to one of them is then no farther than their diagonal, and so one of its 26 neighbours, unless voxels are elongated.
    """
    grid = Grid.of(mask)
    diagonal = float(np.linalg.norm(grid.spacing))
    if not 2.0 * min(grid.spacing) > diagonal * (1 + 1e-6):
        return signed_distance(mask)
    inside = boolean(mask)
    padded = np.pad(inside, 1, mode="edge").view(np.uint8)
    near = padded
    for axis in range(3):
        before, here, after = (np.moveaxis(near, axis, 0)[k : near.shape[axis] - 2 + k] for k in range(3))
        near = np.moveaxis(before + here + after, 0, axis)
    result = np.where(inside, np.float32(-2.0 * diagonal), np.float32(2.0 * diagonal))
    at = np.flatnonzero(np.where(inside, near < 27, near > 0))
    z, y, x = np.unravel_index(at, inside.shape)
    sy, sx = padded.shape[1:]
    flat, own = padded.ravel(), inside.ravel()[at]
    middle = ((z + 1) * sy + y + 1) * sx + x + 1
    found = np.full(at.size, np.inf)
    for step in product((-1, 0, 1), repeat=3):
        away = float(np.linalg.norm(np.multiply(step, grid.spacing[::-1])))
        if away:
            other = flat[middle + (step[0] * sy + step[1]) * sx + step[2]] != own
            np.minimum(found, np.where(other, away, np.inf), out=found)
    result.ravel()[at] = np.where(own, -found, found)
    return grid.image(result)


def _near_distance(mask: sitk.Image, measure: Callable[[sitk.Image], sitk.Image]) -> sitk.Image:
    """The signed distance of a mask that is not empty, in its box and `_EDGE` voxels around it."""
    inside = boolean(mask)
    box = box_around(inside, (_EDGE,) * 3)
    part = np.ascontiguousarray(inside[box])
    grid = Grid.of(mask).box(box)
    key = hashlib.blake2b(f"{measure.__name__}{grid!r}".encode() + np.packbits(part).tobytes(), digest_size=16).digest()
    with _LOCK:
        known = _DISTANCES.get(key)
    if known is None:
        known = measure(grid.image(part))
        with _LOCK:
            _DISTANCES[key] = known
            while len(_DISTANCES) > _KEPT:
                _DISTANCES.popitem(last=False)
    return known


def _reached(source: Grid, target: Grid, transform: sitk.Transform | None) -> tuple[slice, slice, slice]:
    """The voxels (z, y, x) of `target` that can meet `source`: the box around its corners, or all where the transform bends."""
    if transform is not None and not transform.IsLinear():
        nz, ny, nx = target.shape
        return slice(0, nz), slice(0, ny), slice(0, nx)
    ends = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in source.size], indexing="ij"), -1).reshape(-1, 3)
    points = ends @ (np.reshape(source.direction, (3, 3)) * source.spacing).T + source.origin
    if transform is not None:
        back = transform.GetInverse()
        points = np.array([back.TransformPoint(p) for p in points.tolist()])
    index = (points - target.origin) @ np.linalg.inv(np.reshape(target.direction, (3, 3)) * target.spacing).T
    low = np.maximum(np.floor(index.min(axis=0) - 0.01), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + 0.01) + 1, target.size).astype(int)
    x, y, z = (slice(int(a), max(int(a), int(b))) for a, b in zip(low, high))
    return z, y, x
