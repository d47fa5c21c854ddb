"""The pixels of DICOM files as values: decoded by pydicom where they are uncompressed or RLE, by ITK's GDCM where they are JPEG."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, require
from ..images import read_dicom_pixels
from .geometry import Slice

_PYDICOM = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",  # RLE
)
_MODULE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)


def values_of(slices: Sequence[Slice], comparable: bool = False) -> np.ndarray:
    """Rescaled values (n, rows, columns) float32 of slices of one size, in the order given; every file is decoded once.

    NaN where a map has padding instead of a value.

    Parameters
    ----------
    comparable
        Divide by Philips' private scale too, which makes series (and frames of different scaling) comparable: Chenevert 2014,
        Transl Oncol 7:65.

    Raises
    ------
    InputError
        If a file cannot be decoded; the text names the transfer syntax.
    """
    first = slices[0].frame
    result = np.empty((len(slices), first.rows, first.columns), np.float32)
    members: dict[Path, list[int]] = {}
    for i, s in enumerate(slices):
        members.setdefault(s.header.path, []).append(i)
    for path, indices in members.items():
        stored = _stored(path, slices[indices[0]].header.transfer_syntax)
        for i in indices:
            frame = slices[i].frame
            tile = _tile(stored, frame.index, frame.rows, frame.columns)
            if tile is None:
                raise InputError(
                    f"{path} holds {stored.shape[0]} frames; its header names more; export the series again"
                )
            values = tile.astype(np.float64) * frame.slope + frame.intercept
            if frame.padding is not None:
                values[tile == frame.padding] = np.nan
            if comparable and frame.scale_slope:
                values /= frame.slope * frame.scale_slope
            result[i] = values
    return result


def _tile(stored: np.ndarray, index: int, rows: int, columns: int) -> np.ndarray | None:
    """Frame `index` of a multi-frame file, or tile `index` of a mosaic."""
    if stored.shape[1:] == (rows, columns):
        return stored[index] if index < len(stored) else None
    across = stored.shape[2] // columns
    r, c = divmod(index, across)
    return stored[0, r * rows : (r + 1) * rows, c * columns : (c + 1) * columns]


def _stored(path: Path, syntax: str) -> np.ndarray:
    """The pixels as stored (frames, rows, columns), without rescaling."""
    pydicom = require("pydicom", "reading DICOM files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they may quote the patient's name
        try:
            dataset = pydicom.dcmread(path, force=True)
            if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
                dataset.file_meta = pydicom.dataset.FileMetaDataset()
                dataset.file_meta.TransferSyntaxUID = syntax
            if syntax in _PYDICOM:
                stored = np.asarray(dataset.pixel_array)
            else:
                stored = _decode(pydicom, dataset)
        except Exception as error:  # decoders raise whatever the broken bytes lead to
            name = pydicom.uid.UID(syntax).name
            if syntax in _PYDICOM:
                raise InputError(
                    f"{path} cannot be decoded ({name}): {_short(error)}; export the series again"
                ) from error
            raise InputError(
                f"{path} is compressed as {name}, which cannot be decoded here ({_short(error)}); export the series uncompressed, or "
                "convert it, e.g. with dcmdjpeg, dcmdjpls or gdcmconv --raw"
            ) from error
    return stored if stored.ndim == 3 else stored[np.newaxis]


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].split("): ")[-1].strip()[:120] if lines else type(error).__name__


def _decode(pydicom: Any, dataset: Any) -> np.ndarray:
    """Decode compressed pixels with GDCM, from a bare copy: without patient and without rescaling, which is ours to apply."""
    bare = pydicom.dataset.Dataset()
    for keyword in _MODULE:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = bare.SOPClassUID = (
        "1.2.840.10008.5.1.4.1.1.7"  # secondary capture: nothing else is expected
    )
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    if "NumberOfFrames" in bare and int(bare.NumberOfFrames) > 1:
        bare.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.2"
    with tempfile.TemporaryDirectory(prefix="gliosuite-") as folder:
        path = Path(folder) / "pixels.dcm"
        whole = pydicom.dataset.FileDataset(str(path), bare, preamble=b"\0" * 128, file_meta=meta)
        if pydicom.__version__.startswith("2."):
            whole.is_little_endian, whole.is_implicit_VR = True, False
        whole.save_as(str(path))
        return read_dicom_pixels(path)
