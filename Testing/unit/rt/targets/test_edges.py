"""A target volume that the image's edge cuts is said, with the volume that is lost; one that is whole is not."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid, boolean, volume_cc
from gliosuite.rt.barriers import Barriers
from gliosuite.rt.targets import Structures, target_volumes
from gliosuite.rt.targets.edges import lost_cc

EYE = tuple(np.eye(3).ravel())
WHOLE = Grid((90, 100, 50), (2.0, 2.0, 2.0), (-90.0, -100.0, -50.0), EYE)


def ball(grid: Grid, centre: tuple[float, float, float], radius: float) -> sitk.Image:
    points = (
        np.indices(grid.shape)[::-1].reshape(3, -1).T * grid.spacing @ np.reshape(grid.direction, (3, 3)).T
        + grid.origin
    )
    return grid.image((np.linalg.norm(points - centre, axis=1) <= radius).reshape(grid.shape))


def cropped(image: sitk.Image, axis: int, start: int | None, stop: int | None) -> sitk.Image:
    """The image without what lies before `start` or from `stop` on along x, y or z."""
    cut = [slice(None)] * 3
    cut[axis] = slice(start, stop)
    return image[tuple(cut)]


@pytest.mark.parametrize(
    ("axis", "start", "stop"), [(2, None, 32), (2, 19, None), (0, None, 54), (0, 37, None), (1, 42, None)]
)
def test_a_slab_is_told_with_what_it_loses(axis, start, stop):
    brain, cel = ball(WHOLE, (0, 0, 0), 80), ball(WHOLE, (1, 1, 1), 7.7)
    whole = target_volumes("s3-eortc", Structures(brain, cel), margin_mm=20)
    assert not any("edge" in n for n in whole.notes)
    cut = Structures(*(cropped(m, axis, start, stop) for m in (brain, cel)))
    made = target_volumes("s3-eortc", cut, margin_mm=20)
    (note,) = [n for n in made.notes if "edge" in n]
    lost = volume_cc(whole.ctv) - volume_cc(made.ctv)
    assert lost > 5
    said = float(note.split("about ")[1].split(" cc")[0])
    assert said == pytest.approx(lost, rel=0.02, abs=0.06)


def test_a_corner_loses_on_all_its_faces_and_oblique_grids_do_too():
    a = np.radians(20)
    turn = np.array([(np.cos(a), -np.sin(a), 0), (np.sin(a), np.cos(a), 0), (0, 0, 1)])
    grid = Grid((60, 60, 40), (1.5, 1.5, 2.5), (-30.0, -40.0, -50.0), tuple(turn.ravel()))
    centre = np.asarray(grid.origin) + turn @ (np.array([30, 30, 20]) * grid.spacing)
    cel, brain = ball(grid, tuple(centre), 6), grid.image(np.ones(grid.shape, bool))
    part = cel[22:60, 22:60, 14:40]
    lost = lost_cc(part, 20.0, brain[22:60, 22:60, 14:40])
    whole = volume_cc(target_volumes("s3-eortc", Structures(brain, cel), margin_mm=20).ctv)
    kept = volume_cc(target_volumes("s3-eortc", Structures(brain[22:60, 22:60, 14:40], part), margin_mm=20).ctv)
    assert lost == pytest.approx(whole - kept, rel=0.02)


def test_where_the_brain_ends_before_the_image_nothing_is_lost():
    brain, cel = ball(WHOLE, (0, 0, 0), 46), ball(WHOLE, (0, 0, 38), 6)
    assert lost_cc(cel, 20.0, brain) == 0
    assert lost_cc(cel, 20.0) > 0, "without a brain, as a PTV"
    assert lost_cc(ball(WHOLE, (0, 0, 0), 6), 20.0) == 0


def test_a_wall_at_the_edge_goes_on_beyond_it():
    brain, cel = ball(WHOLE, (0, 0, 0), 80), ball(WHOLE, (0, 0, 40), 6)
    domain = boolean(brain).copy()
    domain[-2:] = False  # a wall all over the last slices
    assert lost_cc(cel, 20.0, brain, Barriers(WHOLE.image(domain))) == 0
    assert lost_cc(cel, 20.0, brain, Barriers(brain)) == pytest.approx(lost_cc(cel, 20.0, brain), rel=0.03)


def test_a_ptv_and_a_lesion_at_the_edge_are_told():
    brain, cel = ball(WHOLE, (0, 0, 0), 46), ball(WHOLE, (0, 0, 40), 5)
    made = target_volumes("s3-eortc", Structures(brain, cel), margin_mm=5, ptv_mm=8)
    assert any(n.startswith("PTV") and "is cut by the edge of the image" in n for n in made.notes)
    lesion = ball(WHOLE, (0, 0, 49), 8)
    made = target_volumes("s3-eortc", Structures(ball(WHOLE, (0, 0, 0), 80), lesion), margin_mm=5)
    assert any("reaches the edge of the image and may be cut by it" in n for n in made.notes)
