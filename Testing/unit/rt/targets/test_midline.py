"""The plane that a brain mirrors itself in, and target volumes that cross it."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid
from gliosuite.rt.targets import Structures, target_volumes
from gliosuite.rt.targets.midline import crossing_cc, midline


def tilted(degrees: tuple[float, float], shift: float) -> tuple[Grid, np.ndarray, np.ndarray]:
    """A grid, positions (z, y, x, 3) in the frame of a head that is turned in it, and the head's own left direction."""
    a, b = np.radians(degrees)
    turn = np.array([(np.cos(a), -np.sin(a), 0), (np.sin(a), np.cos(a), 0), (0, 0, 1)])
    turn = turn @ np.array([(np.cos(b), 0, np.sin(b)), (0, 1, 0), (-np.sin(b), 0, np.cos(b))])
    grid = Grid((80, 95, 70), (2.0, 2.0, 2.5), (-79.0, -94.0, -86.0), tuple(np.eye(3).ravel()))
    points = np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing + grid.origin
    own = (points - (shift, 3.0, -2.0)) @ turn
    return grid, own.reshape(*grid.shape, 3), turn[:, 0]


def head(grid: Grid, own: np.ndarray) -> sitk.Image:
    """Something of a brain's shape: long, with a flat base, temporal lobes and a cleft in front."""
    x, y, z = np.moveaxis(own, -1, 0)
    dome = ((x / 62) ** 2 + (y / 82) ** 2 + (z / 66) ** 2 < 1) & (z > -15)
    lobes = ((np.abs(x) - 40) / 20) ** 2 + ((y + 20) / 40) ** 2 + ((z + 20) / 25) ** 2 < 1
    return grid.image((dome | lobes) & ~((np.abs(x) < 4) & (y < -60)))


def ball(grid: Grid, own: np.ndarray, centre: tuple[float, float, float], radius: float) -> sitk.Image:
    return grid.image(np.linalg.norm(own - centre, axis=-1) < radius)


@pytest.mark.parametrize(("degrees", "shift"), [((0, 0), 0), ((8, -5), 4), ((-12, 9), -6), ((3, 14), 2)])
def test_the_plane_of_a_turned_head(degrees, shift):
    grid, own, left = tilted(degrees, shift)
    plane = midline(head(grid, own))
    assert plane is not None
    assert np.degrees(np.arccos(min(1.0, plane.normal @ left))) < 2
    middle = ball(grid, own, (0, 10, 0), 12)
    assert abs(plane.side(middle).mean()) < 0.7


def test_a_mask_without_a_plane_has_none():
    grid, own, _ = tilted((0, 0), 0)
    x, y, z = np.moveaxis(own, -1, 0)
    odd = (x > -50) & (y > -60) & (x / 50 + y / 60 < 0.4) & (np.abs(z - 0.7 * x) < 40)
    assert midline(grid.image(odd)) is None
    assert midline(ball(grid, own, (0, 0, 0), 8)) is None, "a few voxels"
    assert midline(ball(grid, own, (0, 0, 0), 60)) is None, "every plane through a ball's middle is one"


def test_a_target_volume_that_crosses_is_flagged_and_one_that_does_not_is_not():
    grid, own, _ = tilted((8, -5), 4)
    brain = head(grid, own)
    crossing = lambda made: [n for n in made.notes if "crosses the midline" in n]
    near = target_volumes("s3-eortc", Structures(brain, ball(grid, own, (16, 0, 10), 9)), margin_mm=20)
    (note,) = crossing(near)
    plane = midline(brain)
    assert plane is not None
    expected = (own[..., 0] < -5) & (sitk.GetArrayViewFromImage(near.ctv) > 0)
    said = float(note.split("midline: ")[1].split(" cc")[0])
    assert said == pytest.approx(expected.sum() * grid.voxel_cc, rel=0.15)
    for side in (1, -1):
        far = target_volumes("s3-eortc", Structures(brain, ball(grid, own, (side * 34, 0, 10), 9)), margin_mm=20)
        assert not crossing(far)
    both = ball(grid, own, (1, 0, 10), 12)
    assert crossing_cc(plane, both, both) is None
    assert not crossing(target_volumes("s3-eortc", Structures(brain, both), margin_mm=20))
