"""What of enhancement counts as a lesion, on shapes in an empty brain."""

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.lesions.drafts import Relative
from gliosuite.lesions.enhancing import enhancing_lesion

GRID = Grid((60, 60, 60), (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def ball(centre, radius):
    z, y, x = np.indices(GRID.shape)
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2


BRAIN, NOTHING = ball((30, 30, 30), 28), np.zeros(GRID.shape, bool)
CAVITY, REMNANT = ball((22, 30, 30), 6), ball((30, 30, 30), 3)  # .11 cc at the cavity's wall


def found(lesion, dura_mm=10.0, cavity=None, abnormal=NOTHING, subtracted=True, faint=NOTHING):
    z = (10.0 * lesion + 2.5 * (faint & ~lesion)).astype(np.float32)
    t1c = Relative((1.0 + 0.1 * z).astype(np.float32), z, BRAIN & ~lesion)
    place = (BRAIN, NOTHING, abnormal, NOTHING, z, np.full(GRID.shape, dura_mm))
    return enhancing_lesion(z, t1c, *place, GRID, subtracted, cavity).mask


def test_what_surgery_left_is_sought_at_the_wall_of_its_cavity():
    assert not found(REMNANT).any(), "nothing is bright on FLAIR there"
    at_wall = REMNANT & ~CAVITY
    assert np.array_equal(found(at_wall, cavity=CAVITY), at_wall)
    large = ball((27, 30, 30), 5) & ~CAVITY
    beside = found(large, dura_mm=0.0, cavity=CAVITY)
    assert beside.sum() > 0.5 * large.sum(), "at the falx too, as far as 3 mm from the wall"
    assert not (beside & ~large).any()
    sheet = ball((30, 30, 30), 10) & (np.abs(np.arange(60) - 30) <= 1)
    assert not found(sheet, dura_mm=0.0, abnormal=sheet).any(), "a sheet at the falx is dura"
    assert not found(ball((44, 30, 30), 3), cavity=CAVITY).any(), "far from it"


def test_nothing_of_a_cavity_is_enhancing_lesion():
    assert not (found(REMNANT | CAVITY, cavity=CAVITY) & CAVITY).any()


@pytest.mark.parametrize(("abnormal", "grows"), [(None, False), (BRAIN, True)])
def test_a_suggestion_without_flair_does_not_grow_into_what_is_hardly_brighter(abnormal, grows):
    lesion, faint = ball((25, 30, 30), 6), ball((25, 30, 30), 9)
    mask = found(lesion, abnormal=abnormal, subtracted=False, faint=faint)
    assert mask[lesion].all()
    assert (mask & faint & ~lesion).any() == grows
