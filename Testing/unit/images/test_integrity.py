"""Whether a MetaImage is whole; NIfTI and NRRD are tried in test_images."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite import images
from gliosuite.errors import InputError


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_a_truncated_metaimage_is_named(tmp_path, name, compressed):
    path = tmp_path / name
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32))
    sitk.WriteImage(image, str(path), useCompression=compressed)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(images.read_image(path)), sitk.GetArrayFromImage(image))
    voxels = path if name == "a.mha" else next(p for p in tmp_path.iterdir() if p != path)
    voxels.write_bytes(voxels.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"is truncated: \d+ bytes of voxels found, \d+ needed"):
        images.read_image(path)
    if voxels != path:
        voxels.unlink()
        with pytest.raises(InputError, match="the file of its voxels, which is not there; keep both in one folder"):
            images.read_image(path)
