import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid
from gliosuite.perfusion.dsc.nawm import find_nawm, given_nawm

GRID = Grid((48, 56, 10), (3.0, 3.0, 5.0), (-70.5, -82.5, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def head():
    z, y, x = np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij")
    radius = ((x - 23.5) / 21) ** 2 + ((y - 27.5) / 25) ** 2
    brain = radius < 1
    cbv = np.where(radius > 0.6, 4.0, 2.0) + np.random.default_rng(0).normal(0, 0.1, GRID.shape)
    lesion = ((x - 33) ** 2 + (y - 27) ** 2 < 25) & (z > 3) & (z < 7)
    cbv[lesion] = 6.0
    return brain, lesion, np.where(brain, cbv, 0), x


def test_reference_is_white_matter_on_the_other_side():
    brain, lesion, cbv, x = head()
    found = find_nawm(GRID.image(brain), GRID.image(lesion), GRID, cbv, brain)
    assert found.mask.sum() >= 200
    assert (x[found.mask] < 23.5).all()
    assert cbv[found.mask].mean() == pytest.approx(2.0, rel=0.05)
    assert "opposite the lesion" in found.note


def test_too_little_brain_gives_none_and_says_so():
    brain, _, cbv, x = head()
    small = brain & (x > 20)
    found = find_nawm(GRID.image(small), GRID.image(small & (x > 40)), GRID, cbv, small & (x > 34))
    assert found.mask is None
    assert found.note.startswith("no ncbv and ncbf: fewer than 200 voxels")


def test_given_reference_outside_the_mask_is_refused():
    brain, _, cbv, x = head()
    with pytest.raises(InputError, match=r"\(--nawm\) has no fitted voxel"):
        given_nawm(GRID.image(brain & (x < 15)), GRID, cbv, brain & (x > 30))


def test_the_reference_hardly_depends_on_the_lesion():
    brain, lesion, cbv, _ = head()
    large = np.zeros_like(lesion)
    large[1:9, 20:36, 27:40] = True
    regions = [find_nawm(GRID.image(brain), GRID.image(m), GRID, cbv, brain).mask for m in (lesion, large)]
    levels = [cbv[r].mean() for r in regions]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)
