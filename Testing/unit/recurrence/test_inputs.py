"""Images and masks of one visit on one grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid
from gliosuite.recurrence import Inputs
from gliosuite.recurrence.inputs import averaged

from .conftest import patient

FINE = Grid.made((48, 48, 48), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def mask(where):
    return FINE.image(where.astype(np.uint8))


def given():
    inside = np.zeros(FINE.shape, bool)
    inside[4:44, 4:44, 4:44] = True
    lesion = np.zeros_like(inside)
    lesion[20:30, 20:30, 20:30] = True
    images = {n: FINE.image(np.full(FINE.shape, 5, np.float32)) for n in ("t1c", "flair")}
    return images, {"brain": mask(inside), "t2l": mask(lesion)}


def test_a_coarser_grid_holds_means():
    rng = np.random.default_rng(1)
    values = rng.normal(10, 1, FINE.shape).astype(np.float32)
    found = averaged(FINE.image(values), FINE.isotropic(3.0))[2:-2, 2:-2, 2:-2]
    assert abs(found.mean() - 10) < 0.02
    assert 0.15 < found.std() < 0.3  # a mean of 27 voxels has .19; one voxel has 1


def test_what_was_not_measured_is_missing_and_pulls_nothing_down():
    values = np.full(FINE.shape, 7, np.float32)
    values[:, :, 24:] = 0
    known = np.zeros(FINE.shape, bool)
    known[:, :, :24] = True
    found = averaged(FINE.image(values), FINE.isotropic(3.0), measured=mask(known))
    assert np.isnan(found[:, :, 9:]).all()
    assert np.allclose(found[:, :, :8], 7)


def test_beyond_a_box_of_spectroscopy_is_missing_not_zero():
    box = Grid.made((3, 3, 3), (10.0, 10.0, 10.0), (12.0, 12.0, 12.0), FINE.direction)
    found = averaged(box.image(np.full(box.shape, 2, np.float32)), FINE.isotropic(3.0))
    assert np.isnan(found[0, 0, 0])
    assert found[7, 7, 7] == pytest.approx(2)


def test_images_go_through_their_transforms():
    images, masks = given()
    values = np.tile(np.arange(48, dtype=np.float32), (48, 48, 1))
    images["t1"] = FINE.image(values)
    shift = sitk.TranslationTransform(3, (6.0, 0.0, 0.0))
    inputs = Inputs.of(images, masks, FINE.isotropic(3.0), {"t1": shift})
    assert inputs.images["t1"][8, 8, 5] == pytest.approx(16 + 6, abs=1e-3)


def test_a_target_holds_the_lesion_and_what_progressed_but_no_cavity():
    images, masks = given()
    later, cavity = np.zeros(FINE.shape, bool), np.zeros(FINE.shape, bool)
    later[20:30, 20:30, 30:42] = True
    cavity[20:30, 20:30, 36:42] = True
    grid = FINE.isotropic(3.0)
    assert Inputs.of(images, masks, grid).target is None
    found = Inputs.of(images, masks | {"progression_t2l": mask(later), "cavity": mask(cavity)}, grid)
    assert found.target[8, 8, 8]
    assert found.target[8, 8, 10]
    assert not found.target[8, 8, 13]
    assert not (found.target & found.masks["cavity"]).any()


@pytest.mark.parametrize(
    "lacking, sentence",
    [
        ("t1c", "there is no T1c image"),
        ("flair", "there is no FLAIR image"),
        ("brain", "no brain mask"),
        ("t2l", "no lesion"),
    ],
)
def test_what_is_needed_and_missing_is_said(lacking, sentence):
    images, masks = given()
    images.pop(lacking, None)
    masks.pop(lacking, None)
    with pytest.raises(InputError, match=sentence):
        Inputs.of(images, masks, FINE.isotropic(3.0))


def test_what_is_kept_in_a_file_comes_back(tmp_path):
    one = patient(3)
    one.images["adc"][0, 0, :5] = np.nan
    one.write(tmp_path / "a.npz")
    back = Inputs.read(tmp_path / "a.npz")
    assert back.grid == one.grid
    assert np.array_equal(back.target, one.target)
    assert all(np.array_equal(back.masks[n], one.masks[n]) for n in one.masks)
    assert all(np.array_equal(back.images[n], one.images[n], equal_nan=True) for n in one.images)
