"""The geometry of an image, 4-D series as curves, and the voxels of an image as an array."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk

_CURVES = 4096  # curves that are turned at a time: 60 frames of them (1 MB) fit into a processor's cache


@dataclass(frozen=True)
class Grid:
    """The geometry of a 3-D image: size (x, y, z), spacing mm, origin mm (LPS), direction (9 numbers, row by row)."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> "Grid":
        """The grid of a 3-D image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @classmethod
    def made(
        cls, size: Iterable[float], spacing: Iterable[float], origin: Iterable[float], direction: Iterable[float]
    ) -> "Grid":
        """A grid from numbers of any kind, in x, y, z order."""
        (nx, ny, nz), (dx, dy, dz), (x, y, z) = size, spacing, origin
        return cls(
            (int(nx), int(ny), int(nz)),
            (float(dx), float(dy), float(dz)),
            (float(x), float(y), float(z)),
            tuple(float(d) for d in direction),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (z, y, x)."""
        return self.size[::-1]

    @property
    def voxel_cc(self) -> float:
        """Volume of a voxel in cubic centimetres."""
        return float(np.prod(self.spacing)) / 1000.0

    def image(self, array: np.ndarray) -> sitk.Image:
        """An image of `array` (z, y, x) on this grid; booleans become uint8."""
        if array.shape != self.shape:
            raise ValueError(f"array of shape {array.shape} does not fit a grid of shape {self.shape}")
        image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def blank(self, pixel: int = sitk.sitkUInt8) -> sitk.Image:
        """An image of zeros on this grid."""
        image = sitk.Image([int(s) for s in self.size], pixel)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    def box(self, voxels: tuple[slice, ...]) -> "Grid":
        """The part of the grid with the voxels (z, y, x) of these slices, none of which is empty; a stop beyond the grid is its end."""
        spans = [s.indices(n)[:2] for s, n in zip(voxels[::-1], self.size)]
        matrix = np.reshape(self.direction, (3, 3)) * self.spacing
        origin = np.asarray(self.origin) + matrix @ np.array([start for start, _ in spans], float)
        return Grid.made((stop - start for start, stop in spans), self.spacing, origin, self.direction)

    def corners(self) -> np.ndarray:
        """Positions (8, 3) of the corner voxels' centres in mm (LPS)."""
        index = np.stack(np.meshgrid(*[(0, s - 1) for s in self.size], indexing="ij"), -1).reshape(-1, 3)
        matrix = np.reshape(self.direction, (3, 3)) * self.spacing
        return index @ matrix.T + self.origin

    def apart(self, other: "Grid") -> float:
        """How far in mm a corner voxel of this grid lies at most from the nearest one of another; the order of axes does not count."""
        between = np.linalg.norm(self.corners()[:, np.newaxis] - other.corners(), axis=2)
        return float(max(between.min(axis=0).max(), between.min(axis=1).max()))

    def matches(self, other: "Grid", tolerance_voxels: float = 0.01) -> bool:
        """Whether both grids have the same voxels, to `tolerance_voxels` of the smallest spacing."""
        if tuple(self.size) != tuple(other.size):
            return False
        return bool(np.abs(self.corners() - other.corners()).max() <= tolerance_voxels * min(self.spacing))

    def isotropic(self, spacing_mm: float = 1.0) -> "Grid":
        """The grid with the same field of view and orientation and cubic voxels of `spacing_mm`."""
        spacing = np.asarray(self.spacing)
        size = np.maximum(np.round(np.asarray(self.size) * spacing / spacing_mm), 1).astype(int)
        matrix = np.reshape(self.direction, (3, 3))
        # The edges of the field of view stay where they are (centred), so the first voxel's centre moves.
        shift = (np.asarray(self.size) * spacing - size * spacing_mm) / 2 + (spacing_mm - spacing) / 2
        origin = np.asarray(self.origin) + matrix @ shift
        return Grid.made(size, (spacing_mm,) * 3, origin, self.direction)


@dataclass(frozen=True)
class Series:
    """A 4-D series: frames (t, z, y, x) float32 on a 3-D grid; `name` says where it came from, for messages.

    `file_dt_s` is the frame interval that the file's header gives; many writers leave 1 there, so times are asked for elsewhere.
    """

    frames: np.ndarray
    grid: Grid
    name: str = "series"
    file_dt_s: float = 1.0

    @property
    def n_times(self) -> int:
        """Number of time points."""
        return self.frames.shape[0]

    def curves(self, mask: np.ndarray | None = None) -> np.ndarray:
        """Curves (n_voxels, n_times) of the voxels in the boolean `mask` (z, y, x), or of all."""
        flat = self.frames.reshape(self.n_times, -1)
        index = None if mask is None or mask.all() else np.flatnonzero(mask)
        result = np.empty((flat.shape[1] if index is None else index.size, self.n_times), flat.dtype)
        # In blocks that a processor's cache holds, since rows become columns.
        for i in range(0, len(result), _CURVES):
            rows = slice(i, i + _CURVES)
            result[rows] = (flat[:, rows] if index is None else flat[:, index[rows]]).T
        return result

    def frame(self, index: int) -> sitk.Image:
        """One time point as an image."""
        return self.grid.image(self.frames[index])

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean over time (z, y, x)."""
        return self.frames.mean(axis=0)


def as_grid(like: sitk.Image | Grid) -> Grid:
    """The grid of an image, or the grid itself."""
    return like if isinstance(like, Grid) else Grid.of(like)


def array(image: sitk.Image, dtype: type = np.float32) -> np.ndarray:
    """The voxels (z, y, x) as a new array of `dtype`."""
    return sitk.GetArrayFromImage(image).astype(dtype, copy=False)


def boolean(mask: sitk.Image) -> np.ndarray:
    """The mask as a boolean array (z, y, x)."""
    return sitk.GetArrayViewFromImage(mask) > 0


def non_enhancing(masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """The T2 lesion (z, y, x) without enhancing tumour, necrosis and cavity, from masks by ``t2l cel necrosis cavity``; those missing are
    empty."""
    rest = masks["t2l"].copy() if "t2l" in masks else np.zeros_like(next(iter(masks.values())))
    for name in ("cel", "necrosis", "cavity"):
        if name in masks:
            rest &= ~masks[name]
    return rest


def box_around(inside: np.ndarray, reach: Sequence[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """The box (z, y, x) of a boolean array that is not empty, and `reach` voxels around it along each axis, as far as the array goes."""
    spans = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    z, y, x = (slice(max(int(s[0]) - r, 0), int(s[-1]) + r + 1) for s, r in zip(spans, reach))
    return z, y, x


def volume_cc(mask: sitk.Image) -> float:
    """Volume of a mask in cubic centimetres."""
    return float(boolean(mask).sum()) * Grid.of(mask).voxel_cc


def map_image(values: np.ndarray, mask: np.ndarray, grid: Grid) -> sitk.Image:
    """Put one value per voxel of the boolean `mask` (z, y, x) onto a float32 image; voxels outside it are 0."""
    result = np.zeros(grid.shape, np.float32)
    result[mask] = values
    return grid.image(result)
