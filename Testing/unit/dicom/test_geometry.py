"""A series as one stack of slices: what makes none is refused by name. (What a stack is written into: rt/rtstruct/test_export.)"""

import numpy as np
import pydicom
import pytest
from dicom_series import Stack, write_series
from dicom_study import EPI, Patient, mosaic
from gliosuite.dicom.geometry import read_stack
from gliosuite.errors import InputError


@pytest.fixture
def folder(tmp_path):
    write_series(tmp_path, Stack((8, 6, 5), (1.0, 1.5, 2.0), "oblique"))
    return tmp_path


def test_slices_lie_where_the_grid_says(folder):
    stack = read_stack(folder)
    matrix = np.reshape(stack.grid.direction, (3, 3))
    for k, s in enumerate(stack.slices):
        assert np.allclose(s.position, stack.grid.origin + matrix[:, 2] * 2.0 * k, atol=1e-6)
        assert (s.instance, s.number) == (str(pydicom.dcmread(s.file).SOPInstanceUID), None)


def test_pixels_are_not_needed(folder):
    whole = read_stack(folder)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.PixelData
        dataset.save_as(file)
    assert read_stack(folder).grid == whole.grid


def test_a_damaged_file_is_named(folder):
    file = sorted(folder.iterdir())[-1]
    file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(InputError, match=f"{file.name} is a damaged or truncated DICOM file"):
        read_stack(folder)


def test_the_tiles_of_a_mosaic_cannot_be_referred_to(tmp_path):
    mosaic(tmp_path, np.ones((1, 5, 8, 8), np.int16), [0.0], Patient(), 7, EPI)
    with pytest.raises(InputError, match="has 5 frames without positions of their own; it cannot be contoured"):
        read_stack(tmp_path)


def test_a_trailing_blank_does_not_hide_a_derived_series(folder):
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.ImageType = ["DERIVED ", "PRIMARY"]
        dataset.save_as(file)
    assert read_stack(folder).header.object_type == ("DERIVED", "PRIMARY")
