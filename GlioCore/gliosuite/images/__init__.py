"""The only reader and writer of image files; geometry, resampling, and 4-D series as curves.

At the doors stands `SimpleITK.Image` (LPS); inside kernels stand float32 arrays, curves ``(n_voxels, n_times)``. Arrays are in
SimpleITK's order ``(z, y, x)``, series ``(t, z, y, x)``.
"""

from .drafted import DRAFT, accepting, call_draft, is_draft, said_of
from .grid import Grid, Series, array, as_grid, boolean, box_around, map_image, non_enhancing, volume_cc
from .integrity import SUFFIXES, beside, check_file, suffix
from .masks import UNLIKE, UNLIKE_CC, carried, change, chosen
from .reading import read_ahead, read_dicom_pixels, read_image, read_mask, read_series
from .resampling import interpolation, resample, resample_labels, resample_mask, signed_distance
from .sharing import share_reading, shared_reading
from .writing import write_image, write_series

__all__ = [
    "DRAFT",
    "SUFFIXES",
    "UNLIKE",
    "UNLIKE_CC",
    "Grid",
    "Series",
    "accepting",
    "array",
    "as_grid",
    "beside",
    "boolean",
    "box_around",
    "call_draft",
    "carried",
    "change",
    "check_file",
    "chosen",
    "interpolation",
    "is_draft",
    "map_image",
    "non_enhancing",
    "read_ahead",
    "read_dicom_pixels",
    "read_image",
    "read_mask",
    "read_series",
    "resample",
    "resample_labels",
    "resample_mask",
    "said_of",
    "share_reading",
    "shared_reading",
    "signed_distance",
    "suffix",
    "volume_cc",
    "write_image",
    "write_series",
]
