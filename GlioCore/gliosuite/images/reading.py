"""The only reader of image files: NIfTI, NRRD, MHA, and the pixels of a DICOM file."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .drafted import call_draft, is_draft, said_of
from .grid import Grid, Series
from .integrity import check_file, existing, suffix
from .masks import carried, chosen, inside
from .nifti import numbers, read_content
from .plain import read_header, require_numbers, require_plain, sheared
from .sharing import keep, shared_places


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
    """Read a file, or take what a process that shares its reading with this one has read of it or written into it."""
    places = shared_places(path)
    if places is None:
        return _read_file(path)
    stored, rest = places
    if rest.exists():
        return replace(pickle.loads(rest.read_bytes()), values=np.load(stored, mmap_mode="r"))
    known = np.load(stored, mmap_mode="r") if stored.exists() else None
    found = _read_file(path, known)
    if known is None or known.shape != found.values.shape:
        keep(stored, lambda stream: np.save(stream, found.values))
    keep(rest, lambda stream: pickle.dump(replace(found, values=np.zeros(0)), stream))
    return found


def _read_file(path: str | Path, found: np.ndarray | None = None) -> _Voxels:
    """Read a file once; NIfTI's plain numbers come from the buffer whose integrity was checked, all else from ITK.

    `found` are its numbers where they are known already.
    """
    path = existing(path)
    try:
        if found is not None:
            pass
        elif ".nii" in suffix(path):
            header, content = read_content(path)
            require_numbers(header, path)
            found = numbers(header, content)
        else:
            check_file(path)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        read_header(reader)
        require_plain(reader, path)
        if found is not None and (reader.GetNumberOfComponents() != 1 or found.size != np.prod(reader.GetSize())):
            found = None
        source: sitk.ImageFileReader | sitk.Image = reader
        if found is None:
            source = image = sitk.ReadImage(str(path))
            values, components = sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel()
        else:
            values, components = found.reshape(reader.GetSize()[::-1]), 1
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise sheared(path) from error
        reason = str(error).strip().splitlines()[-1].split("): ")[-1].strip()
        raise InputError(f"{path} cannot be read as an image: {reason}") from error
    size = source.GetSize()
    return _Voxels(
        values,
        components,
        source.GetSpacing(),
        source.GetOrigin(),
        np.reshape(source.GetDirection(), (len(size), len(size))),
        {key: source.GetMetaData(key) for key in source.GetMetaDataKeys()},
    )


def read_ahead(path: str | Path) -> None:
    """Read a file of any number of dimensions for those that will ask for it (see `share_reading`).

    Raises
    ------
    InputError
        If it is missing, damaged or no image.
    """
    _read(path)


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
    grid = Grid.made(frames.shape[:0:-1], found.spacing[:3], found.origin[:3], found.direction[:3, :3].ravel())
    return Series(np.array(frames, dtype=np.float32, order="C"), grid, Path(path).name, step)


def read_mask(
    path: str | Path,
    like: sitk.Image | Grid | None = None,
    labels: Sequence[int] | None = None,
    name: str = "",
) -> sitk.Image:
    """Read a mask as uint8 0/1 (`masks.inside`), carried to the grid of `like` by signed distance (`masks.carried`).

    A draft's mask says that it is one, as its file does. ``FILE:2`` is the label 2 of a file (`masks.chosen`), unless `labels` says more.

    Warnings say where the file is not plainly a mask, or lies on another grid; they call it `name`, or by its file.

    Raises
    ------
    InputError
        If it is no mask, or is empty, or empty on the wanted grid.
    """
    name = name or Path(path).name
    file, named = chosen(path)
    image = read_image(file)
    mask = inside(image, name, labels or named)
    mask = mask if like is None else carried(mask, like, name)
    if is_draft(said := said_of(image)):
        call_draft(mask, said)
    return mask


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
