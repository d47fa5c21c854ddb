"""The only writer of image files: whole or not at all."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files import atomic
from .grid import Series
from .integrity import SUFFIXES, check_file, suffix
from .nifti import HEAD, deflate, numbers, read_header
from .sharing import keep, shared_places

_DESCRIPTION = "ITK_FileNotes"  # ITK's key for NIfTI's descrip field when writing


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
                content = target.read_bytes()
                partial.write_bytes(deflate(content, real))
                _keep_numbers(partial, content)
        except (RuntimeError, InputError) as error:
            raise InputError(
                f"{path} could not be written whole: the disk may be full ({str(error).strip().splitlines()[-1]})"
            ) from error
    return path


def _keep_numbers(path: Path, content: bytes) -> None:
    """Spare who shares this process' reading the inflating of a file that has just been written; `content` is what it inflates to."""
    places = shared_places(path)
    if places is not None and (found := numbers(read_header(content[:HEAD], path), content)) is not None:
        keep(places[0], lambda stream: np.save(stream, found))


def write_series(series: Series, path: str | Path, dt_s: float = 1.0, description: str = "") -> Path:
    """Write a series as a 4-D file; `dt_s` is put where formats keep the frame interval."""
    image = sitk.JoinSeries([series.grid.image(frame) for frame in series.frames], 0.0, dt_s)
    return write_image(image, path, description)
