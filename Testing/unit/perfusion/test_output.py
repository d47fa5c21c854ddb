"""Which slice the picture beside the maps shows."""

from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk
from gliosuite.perfusion.output import _telling


def test_noise_of_a_head_mask_does_not_choose_the_slice():
    rng = np.random.default_rng(8)
    inside = np.ones((12, 20, 20), bool)
    level = np.abs(rng.normal(0, 0.05, inside.shape)).astype(np.float32)
    sd = np.full(inside.shape, 0.05, np.float32)
    level[0] *= 20  # noise of air at the series' end: high values, and as uncertain
    sd[0] *= 20
    level[7, 5:15, 5:15], sd[7, 5:15, 5:15] = 0.1, 0.005
    result = SimpleNamespace(sd={"ktrans": sitk.GetImageFromArray(sd)})
    assert _telling(result, "ktrans", level, inside) == 7
    inside[:4] = False
    inside[5, :10] = False
    assert _telling(SimpleNamespace(sd={}), "cbv", level, inside) == 4
