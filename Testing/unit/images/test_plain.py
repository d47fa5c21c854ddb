"""What is no plain scalar image is named and refused, whatever the format; NIfTI is tried in test_nifti."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite import images
from gliosuite.errors import InputError


def test_a_sheared_grid_is_refused_whatever_the_format(tmp_path):
    image = sitk.Image([4, 5, 6], sitk.sitkFloat32)
    for name, straight, sheared in (
        ("a.nrrd", b"(0,1,0)", b"(0.2,1,0)"),
        ("a.mha", b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 0.196 0.981 0"),
    ):
        path = tmp_path / name
        sitk.WriteImage(image, str(path))
        images.read_image(path)
        path.write_bytes(path.read_bytes().replace(straight, sheared))
        for read in (images.read_image, images.read_series):
            with pytest.raises(InputError, match="is sheared: its axes are not at right angles"):
                read(path)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_colours_are_named(tmp_path, name):
    path = tmp_path / name
    colours = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(path))
    path.write_bytes(path.read_bytes().replace(b"kinds: vector", b"kinds: RGB-color"))
    with pytest.raises(InputError, match="holds colours"):
        images.read_series(path)


def test_complex_numbers_are_named(tmp_path):
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(path))
    with pytest.raises(InputError, match="holds complex numbers"):
        images.read_image(path)
