"""Which slice the picture beside the maps shows."""

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.perfusion.output import _telling

SHAPE = (40, 20, 20)  # slices of 4 mm
UPWARDS, DOWNWARDS, SAGITTAL = (1, 0, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 0, -1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, 1, 0)


def result(direction: tuple[float, ...], **sd: np.ndarray) -> SimpleNamespace:
    mask = sitk.Image([*SHAPE[::-1]], sitk.sitkUInt8)
    mask.SetSpacing((4.0, 4.0, 4.0))
    mask.SetDirection([float(c) for c in direction])
    return SimpleNamespace(mask=mask, sd={n: sitk.GetImageFromArray(v.astype(np.float32)) for n, v in sd.items()})


@pytest.mark.parametrize(("direction", "flip"), [(UPWARDS, False), (DOWNWARDS, True)])
def test_neither_the_face_nor_noise_chooses_the_slice_of_a_head(direction, flip):
    rng = np.random.default_rng(8)
    inside = np.ones(SHAPE, bool)
    level, sd = np.abs(rng.normal(0, 0.05, SHAPE)), np.full(SHAPE, 0.05)
    level[0], sd[0] = level[0] * 20, 1.0  # noise of the series' end: high values, and as uncertain
    level[1:6], sd[1:6] = 0.2, 0.01  # the face enhances
    level[28, 5:12, 5:12], sd[28, 5:12, 5:12] = 0.1, 0.005  # a lesion, 44 mm below the top
    at = 28
    if flip:
        level, sd, at = level[::-1].copy(), sd[::-1].copy(), SHAPE[0] - 1 - at
    assert _telling(result(direction, ktrans=sd), "ktrans", level, inside) == at


def test_of_sagittal_slices_and_without_sd_a_middle_one_is_shown():
    inside = np.ones(SHAPE, bool)
    level = np.zeros(SHAPE)
    level[0], level[22, 3:9, 3:9] = 5.0, 1.0
    assert _telling(result(SAGITTAL), "cbv", level, inside) == 22
    assert 10 <= _telling(result(SAGITTAL), "cbv", np.zeros(SHAPE), inside) < 30
    assert _telling(result(UPWARDS), "cbv", level, np.zeros(SHAPE, bool)) == 0


def test_a_thin_slab_has_a_slice_too():
    inside = np.zeros(SHAPE, bool)
    inside[10:13] = True
    level = np.zeros(SHAPE)
    level[11, 4:6] = 1.0
    assert _telling(result(UPWARDS), "cbv", level, inside) == 11
