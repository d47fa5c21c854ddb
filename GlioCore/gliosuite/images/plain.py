"""What is no plain scalar image, though ITK reads it as one: colours, complex numbers, sheared grids, files with two positions."""

import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from .integrity import suffix
from .nifti import COLOURS, COMPLEX, PLAIN, NiftiHeader

# Chosen: as DICOM series have it, a tilt of 0.001 moves a voxel by 0.25 mm across a head of 250 mm.
_RIGHT_ANGLES = 1e-3
_FORMS_MM = 0.5  # chosen: two positions of one file that lie closer together differ by the rounding of its header


def require_numbers(header: NiftiHeader, path: Path) -> None:
    """Refuse a NIfTI file of other than plain numbers; say it where its two positions differ, of which ITK takes one.

    Raises
    ------
    InputError
        If it holds colours, complex numbers or numbers of a kind that is not read.
    """
    if header.kind not in PLAIN:
        what, needed = "numbers of a kind that is not read", "integers or real numbers of up to 64 bits"
        if header.kind in COMPLEX:
            what, needed = "complex numbers", "real ones, e.g. their magnitude,"
        elif header.kind in COLOURS:
            what, needed = "colours", "measured values"
        raise InputError(f"{path} holds {what} (NIfTI data type {header.kind}); {needed} are needed")
    if header.forms is None or not header.apart_mm > _FORMS_MM:
        return
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    read_header(reader)
    axes = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:3, :3] * reader.GetSpacing()[:3]
    taken = np.column_stack([axes, reader.GetOrigin()[:3]]) * [[-1], [-1], [1]]
    name = ("qform", "sform")[int(np.argmin([np.abs(form - taken).max() for form in header.forms]))]
    warnings.warn(
        f"{path}: its header has two positions (qform and sform) that lie up to {header.apart_mm:.1f} mm apart; the {name} was taken: "
        "make sure that the image is where the others are",
        stacklevel=2,
    )


def read_header(reader: sitk.ImageFileReader) -> None:
    """Read an image's header without the lines that ITK itself writes on stderr: what they mean is said in words of our own."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader.ReadImageInformation()
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def require_plain(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse complex numbers, colours, and axes that are not at right angles; `reader` has read the file's header.

    Raises
    ------
    InputError
        If it is one of these.
    """
    components = reader.GetNumberOfComponents()
    if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(f"{path} holds complex numbers; real ones, e.g. their magnitude, are needed")
    if suffix(path) in (".mha", ".mhd") and reader.GetPixelID() == sitk.sitkVectorUInt8 and components in (3, 4):
        raise InputError(f"{path} holds colours ({components} bytes per voxel); measured values are needed")
    axes = np.reshape(reader.GetDirection(), (reader.GetDimension(),) * 2)[:3, :3]
    if np.abs(axes.T @ axes - np.eye(len(axes))).max() > _RIGHT_ANGLES:
        raise sheared(path)


def sheared(path: Path) -> InputError:
    """The sentence for a grid whose axes are not at right angles."""
    return InputError(
        f"{path} is sheared: its axes are not at right angles; resample it to a grid whose axes are, e.g. in Slicer"
    )
