"""The only reader and writer of image files; geometry, resampling, and 4-D series as curves.

At the doors stands `SimpleITK.Image` (LPS); inside kernels stand float32 arrays, curves ``(n_voxels, n_times)``. Arrays are in
SimpleITK's order ``(z, y, x)``, series ``(t, z, y, x)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .files import atomic
from .integrity import SUFFIXES, check_file, existing, suffix
from .nifti import deflate, numbers, read_content

_CURVES = 4096
_DESCRIPTION = "ITK_FileNotes"  # ITK's key for NIfTI's descrip field when writing


# ---------------------------------------------------------------------------------------------------------------- geometry


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

    def corners(self) -> np.ndarray:
        """Positions (8, 3) of the corner voxels' centres in mm (LPS)."""
        index = np.stack(np.meshgrid(*[(0, s - 1) for s in self.size], indexing="ij"), -1).reshape(-1, 3)
        matrix = np.reshape(self.direction, (3, 3)) * self.spacing
        return index @ matrix.T + self.origin

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
        return Grid(
            tuple(int(s) for s in size), (spacing_mm,) * 3, tuple(float(o) for o in origin), tuple(self.direction)
        )


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


# ------------------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class _Voxels:
    """What a file holds: numbers with the axes reversed (components of a voxel last), and ITK's geometry of all axes."""

    values: np.ndarray
    components: int
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: np.ndarray
    notes: dict[str, str]

    def without(self, axis: int) -> "_Voxels":
        """The same without an axis (x, y, z, ... order) of length 1."""
        kept = [i for i in range(len(self.spacing)) if i != axis]
        pick = lambda numbers: tuple(numbers[i] for i in kept)
        values = np.squeeze(self.values, len(self.spacing) - 1 - axis)
        direction = self.direction[np.ix_(kept, kept)]
        return _Voxels(values, self.components, pick(self.spacing), pick(self.origin), direction, self.notes)


def _read(path: str | Path) -> _Voxels:
    """Read a file once; NIfTI's plain numbers come from the buffer whose integrity was checked, all else from ITK."""
    path = existing(path)
    found = None
    try:
        if ".nii" in suffix(path):
            header, content = read_content(path)
            found = numbers(header, content)
        else:
            check_file(path)
        source = sitk.ImageFileReader()
        source.SetFileName(str(path))
        if found is not None:
            source.ReadImageInformation()
            if source.GetNumberOfComponents() != 1 or found.size != np.prod(source.GetSize()):
                found = None
        if found is None:
            source = sitk.ReadImage(str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split("): ")[-1].strip()
        raise InputError(f"{path} cannot be read as an image: {reason}") from error
    size = source.GetSize()
    image = found is None
    return _Voxels(
        sitk.GetArrayFromImage(source) if image else found.reshape(size[::-1]),
        source.GetNumberOfComponentsPerPixel() if image else 1,
        source.GetSpacing(),
        source.GetOrigin(),
        np.reshape(source.GetDirection(), (len(size), len(size))),
        {key: source.GetMetaData(key) for key in source.GetMetaDataKeys()},
    )


def read_image(path: str | Path) -> sitk.Image:
    """Read a 3-D image (NIfTI, NRRD, MHA).

    Returns
    -------
    SimpleITK.Image
        Scalar, 3-D, in the file's pixel type.

    Raises
    ------
    InputError
        If the file is missing, truncated, no image, or holds more than one volume.
    """
    found = _read(path)
    while len(found.spacing) > 3 and found.values.shape[0] == 1:
        found = found.without(len(found.spacing) - 1)
    if len(found.spacing) > 3:
        raise InputError(f"{path} has {found.values.shape[len(found.spacing) - 4]} volumes; one 3-D image is needed")
    if found.components != 1:
        raise InputError(f"{path} has {found.components} values per voxel; a scalar image is needed")
    image = sitk.GetImageFromArray(found.values, isVector=False)
    image.SetSpacing(found.spacing)
    image.SetOrigin(found.origin)
    image.SetDirection(found.direction.ravel())
    for key, text in found.notes.items():
        image.SetMetaData(key, text)
    return sitk.JoinSeries(image) if image.GetDimension() == 2 else image


def read_series(path: str | Path) -> Series:
    """Read a 4-D series (NIfTI, MHA, or NRRD with the frames as vector components, as Slicer writes them).

    Returns
    -------
    Series
        Frames (t, z, y, x) float32.

    Raises
    ------
    InputError
        If the file is missing, truncated, or not 4-D.
    """
    found = _read(path)
    step = 1.0
    while len(found.spacing) == 5 and 1 in found.values.shape[:2]:  # NIfTI written as x, y, z, 1, t
        found = found.without(3 if found.values.shape[1] == 1 else 4)
    dimension, frames = len(found.spacing), found.values
    if dimension == 3 and found.components > 1:
        frames = np.moveaxis(frames, -1, 0)
    elif dimension == 4 and found.components == 1:
        step = found.spacing[3]
    else:
        count = 1 if dimension == 3 else f"{dimension}-D data with {found.components} values per voxel instead of"
        raise InputError(f"{path} has {count} time point; a 4-D series is needed (4th axis = time)")
    grid = Grid(frames.shape[:0:-1], found.spacing[:3], found.origin[:3], tuple(found.direction[:3, :3].ravel()))
    return Series(np.array(frames, dtype=np.float32, order="C"), grid, Path(path).name, step)


def read_mask(
    path: str | Path, like: sitk.Image | Grid | None = None, labels: Sequence[int] | None = None
) -> sitk.Image:
    """Read a mask: voxels > 0 (or, with `labels`, those values) as uint8 0/1, carried to the grid of `like` by signed distance.

    Raises
    ------
    InputError
        If the mask is empty, or empty on the wanted grid.
    """
    image = read_image(path)
    if image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):
        values = np.nan_to_num(sitk.GetArrayFromImage(image))
        mask = (np.isin(np.round(values), labels) if labels else values > 0.5).astype(np.uint8)
    else:
        values = sitk.GetArrayViewFromImage(image)
        mask = (np.isin(values, labels) if labels else values > 0).astype(np.uint8)
    if not mask.any():
        sought = f"with a label of {list(labels)}" if labels else "above 0"
        raise InputError(f"{path} is empty: no voxel {sought}; a mask with at least one is needed")
    mask = Grid.of(image).image(mask)
    if like is None:
        return mask
    carried = resample_mask(mask, like)
    if not sitk.GetArrayViewFromImage(carried).any():
        raise InputError(
            f"{path} does not overlap the image that it is for: no voxel of the mask lies on its grid; "
            "a mask of the same patient and position is needed"
        )
    return carried


def read_dicom_pixels(path: str | Path) -> np.ndarray:
    """Decode the pixels of one DICOM file with ITK's built-in GDCM (JPEG, JPEG-LS, JPEG 2000, RLE), as (frames, rows, columns).

    A rescale slope and intercept in the file are applied.

    Raises
    ------
    RuntimeError
        If GDCM cannot decode the file.
    """
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    return values if values.ndim == 3 else values[np.newaxis]


# ------------------------------------------------------------------------------------------------------------------ writing


def write_image(image: sitk.Image, path: str | Path, description: str = "") -> Path:
    """Write an image whole or not at all; `description` (80 characters) goes into NIfTI's ``descrip`` field.

    Raises
    ------
    InputError
        If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    if not suffix(path):
        raise InputError(
            f"{path} is not an image name that GlioSuite writes; it must end in one of {', '.join(SUFFIXES)}"
        )
    if description:
        image = sitk.Image(image)
        image.SetMetaData(_DESCRIPTION, description[:79])
    with atomic(path) as partial:
        try:
            packed = path.name.lower().endswith(".nii.gz")
            target = partial.with_name("plain.nii") if packed else partial
            loose = target.name.lower().endswith((".nii", ".mhd", ".nhdr"))
            sitk.WriteImage(image, str(target), useCompression=not loose)
            check_file(target)  # ITK does not notice a full disk
            if packed:
                real = image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64)
                partial.write_bytes(deflate(target.read_bytes(), real))
        except (RuntimeError, InputError) as error:
            raise InputError(
                f"{path} could not be written whole: the disk may be full ({str(error).strip().splitlines()[-1]})"
            ) from error
    return path


def write_series(series: Series, path: str | Path, dt_s: float = 1.0, description: str = "") -> Path:
    """Write a series as a 4-D file; `dt_s` is put where formats keep the frame interval."""
    image = sitk.JoinSeries([series.grid.image(frame) for frame in series.frames], 0.0, dt_s)
    return write_image(image, path, description)


# --------------------------------------------------------------------------------------------------------------- resampling


def as_grid(like: sitk.Image | Grid) -> Grid:
    """The grid of an image, or the grid itself."""
    return like if isinstance(like, Grid) else Grid.of(like)


def array(image: sitk.Image, dtype: type = np.float32) -> np.ndarray:
    """The voxels (z, y, x) as a new array of `dtype`."""
    return sitk.GetArrayFromImage(image).astype(dtype, copy=False)


def boolean(mask: sitk.Image) -> np.ndarray:
    """The mask as a boolean array (z, y, x)."""
    return sitk.GetArrayViewFromImage(mask) > 0


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


def volume_cc(mask: sitk.Image) -> float:
    """Volume of a mask in cubic centimetres."""
    return float(boolean(mask).sum()) * Grid.of(mask).voxel_cc


def map_image(values: np.ndarray, mask: np.ndarray, grid: Grid) -> sitk.Image:
    """Put one value per voxel of the boolean `mask` (z, y, x) onto a float32 image; voxels outside it are 0."""
    result = np.zeros(grid.shape, np.float32)
    result[mask] = values
    return grid.image(result)
