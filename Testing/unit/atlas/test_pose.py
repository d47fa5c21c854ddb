"""The search for a head's pose: what its kernel counts."""

import numpy as np
import pytest
from gliosuite.atlas import pose


@pytest.mark.parametrize("order", [0, 1])
def test_the_kernel_counts_what_arrays_count(order):
    pytest.importorskip("numba", reason="without numba there is no kernel")
    rng = np.random.default_rng(5)
    image = rng.random((12, 15, 13)).astype(np.float32)
    image[rng.random(image.shape) < 0.1] = np.nan
    at = rng.uniform(-3, 16, (4000, 3))
    at[:800] = np.round(at[:800])  # on voxels, and on the last ones
    classes = rng.integers(0, pose.BINS, 4000)
    expected = pose._counts(image, at, classes, order)
    assert expected.sum() > 300
    assert np.array_equal(pose._counts_compiled(image, at, classes, order), expected)
