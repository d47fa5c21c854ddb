"""What is given as a mask: what is taken of it and what is said, in volumes, before and after."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, carried, change, read_mask, resample_mask, write_image

SPACING = (1.0, 1.0, 2.0)  # 0.002 cc a voxel
AXIAL = tuple(np.eye(3).ravel())
GRID = Grid((20, 20, 10), SPACING, (0.0, 0.0, 0.0), AXIAL)


@pytest.fixture
def block():
    values = np.zeros(GRID.shape, bool)
    values[3:7, 5:15, 5:15] = True  # 400 voxels, 0.80 cc
    return values


def read(path, values, *more, **named):
    """The voxels taken, and what was said."""
    write_image(GRID.image(np.asarray(values)), path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = read_mask(path, *more, **named)
    assert mask.GetPixelID() == sitk.sitkUInt8
    return boolean(mask), [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "value, kind", [(1, np.uint8), (255, np.uint8), (4, np.int16), (1, np.float32), (0.3, np.float32)]
)
def test_one_number_on_a_background_of_0_is_a_mask(tmp_path, block, value, kind):
    taken, said = read(tmp_path / "m.nii.gz", block.astype(kind) * kind(value))
    assert np.array_equal(taken, block)
    assert said == []


def test_undefined_voxels_are_outside(tmp_path, block):
    taken, said = read(tmp_path / "m.nii.gz", np.where(block, 1, np.nan).astype(np.float32))
    assert np.array_equal(taken, block)
    assert said == []


def test_of_a_probability_what_is_above_a_half_is_taken_and_said(tmp_path, block):
    values = np.where(block, 0.2, 0.0).astype(np.float32)
    values[3:5, 5:15, 5:15] = 0.9
    taken, said = read(tmp_path / "p.nii.gz", values)
    assert taken.sum() == 200
    assert said == [
        "p.nii.gz holds numbers between 0 and 1, as a probability or an interpolated mask does: what is above 0.5 was taken, "
        "0.40 cc of 0.80 cc above 0"
    ]
    with pytest.raises(InputError, match=r"none above 0\.5 \(the highest is 0\.45\)"):
        read(tmp_path / "low.nii.gz", values / 2)


def test_labels_are_taken_together_with_the_volume_of_each(tmp_path, block):
    values = block.astype(np.uint8)
    values[3:4][block[3:4]] = 4
    taken, said = read(tmp_path / "lab.nrrd", values)
    assert np.array_equal(taken, block)
    assert said == [
        "lab.nrrd holds several labels, 1 (0.60 cc), 4 (0.20 cc): all together were taken, 0.80 cc; where one alone is meant, "
        "name it behind the file (FILE:1), on the command line as in case.json"
    ]
    taken, said = read(tmp_path / "lab.nrrd", values, labels=[4])
    assert (taken.sum(), said) == (100, [])
    taken, said = read(tmp_path / "lab.nrrd", values, labels=[4, 7])
    assert (taken.sum(), said) == (100, ["lab.nrrd has no voxel with the label 7"])
    with pytest.raises(InputError, match="no voxel with a label of"):
        read(tmp_path / "lab.nrrd", values, labels=[7])
    assert (
        "and 4 more" in read(tmp_path / "lab.nrrd", (np.arange(4000) % 11).reshape(GRID.shape).astype(np.uint8))[1][0]
    )


@pytest.mark.parametrize("name", ["signal", "two", "normalised", "percent"])
def test_an_image_is_no_mask(tmp_path, block, name):
    noise = np.random.default_rng(0).normal(size=GRID.shape)
    rising = np.zeros(GRID.shape)
    rising[block] = np.arange(block.sum())
    values = {
        "signal": (900 * block + 100 + np.abs(noise * 20)).astype(np.int16),
        "two": np.where(block, 900, 100).astype(np.int16),
        "normalised": (block + noise).astype(np.float32),
        "percent": (rising % 100).astype(np.uint8),
    }[name]
    with pytest.raises(
        InputError, match=r"^i\.nii\.gz holds .* as an image does \(.* cc are above 0\); a mask is needed"
    ):
        read(tmp_path / "i.nii.gz", values)


def test_a_mask_of_everything_is_taken_and_questioned(tmp_path):
    taken, said = read(tmp_path / "all.nii.gz", np.ones(GRID.shape, np.uint8))
    assert taken.all()
    assert said == ["all.nii.gz covers its whole image (8.00 cc): no voxel is 0; is it a mask?"]


def place(**changes):
    return Grid(**{"size": GRID.size, "spacing": SPACING, "origin": (0.0,) * 3, "direction": AXIAL} | changes)


TURNED = (0.9986, -0.0523, 0.0, 0.0523, 0.9986, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "other, after",
    [
        (place(origin=(3.0, 0.0, 0.0)), "0.80 cc there, 0.80 cc here"),
        (place(direction=TURNED), "0.80 cc there, 0.7"),
        (place(spacing=(2.0, 2.0, 4.0)), "0.80 cc there, 0."),
    ],
)
def test_as_many_voxels_in_another_place_are_said(tmp_path, block, other, after):
    _, said = read(tmp_path / "m.nii.gz", block, other)
    assert len(said) == 1
    assert said[0].startswith(
        "m.nii.gz was carried from a grid of its own to that of the image that it is for: " + after
    )
    assert "it has as many voxels as the image along each axis, but another place or voxel size" in said[0]


def test_a_mask_on_another_grid_is_said_with_both_volumes(tmp_path, block):
    finer = Grid((40, 40, 40), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), AXIAL)
    _, said = read(tmp_path / "m.nii.gz", block, finer)
    assert said[0].endswith("0.80 cc there, 0.68 cc here; look where it lies"), "a signed distance rounds corners off"
    half = Grid((10, 20, 11), SPACING, (0.0, 0.0, 0.0), AXIAL)  # half of it lies beyond
    taken, said = read(tmp_path / "m.nii.gz", block, half)
    assert taken.sum() == 200
    assert said[0].endswith("0.80 cc there, 0.40 cc here; look where it lies")
    with pytest.raises(InputError, match="does not overlap"):
        read(tmp_path / "m.nii.gz", block, place(origin=(100.0, 0.0, 0.0)))


def test_a_place_that_a_header_rounds_is_the_same_place(tmp_path, block):
    taken, said = read(tmp_path / "m.nii.gz", block, place(origin=(0.04, 0.0, 0.0)))
    assert np.array_equal(taken, block)
    assert said == []


def test_a_known_grid_is_spoken_of_only_where_the_volume_changes(block):
    mask = GRID.image(block)
    near = resample_mask(mask, Grid((21, 20, 10), SPACING, (0.0, 0.0, 0.0), AXIAL))
    assert change(mask, near, "cel", "t1c", known=True)[0] is False
    same = resample_mask(mask, place(origin=(0.5, 0.0, 0.0)))
    assert change(mask, same, "cel", "t1c")[0] is True
    assert change(mask, same, "cel", "t1c", known=True)[0] == (abs(boolean(same).sum() - 400) > 50)
    finer = resample_mask(mask, Grid((40, 40, 40), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), AXIAL))
    assert change(mask, finer, "cel", "t1c", known=True)[0] is True


@pytest.mark.parametrize("order", ["RAI", "RSP", "LPI"])
def test_axes_in_another_order_are_the_same_place(block, order, recwarn):
    """So dcm2niix and others turn images."""
    turned = sitk.DICOMOrient(GRID.image(block), order)
    assert np.array_equal(boolean(carried(turned, GRID, "m.nii.gz")), block)
    assert not recwarn.list
