"""Smooth outlines keep area, components and holes, lose the staircase, and read back through keyholes."""

import numpy as np
import pytest
from dicom_series import Stack, shapes
from gliosuite.rt.rtstruct import smooth
from gliosuite.rt.rtstruct.contours import fill, outlines
from gliosuite.rt.rtstruct.polygons import area, shoelace
from gliosuite.rt.rtstruct.smooth import smooth_outlines
from scipy import ndimage


def disc(radius, shape=(48, 48), centre=(23.3, 24.1)):
    y, x = np.indices(shape)
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def turns(polygon):
    """The sharpest turn of a polygon in degrees."""
    step = np.roll(polygon, -1, axis=0) - polygon
    step = step[np.linalg.norm(step, axis=1) > 1e-6]
    angle = np.degrees(np.arctan2(step[:, 1], step[:, 0]))
    return np.abs((np.diff(angle, append=angle[:1]) + 180) % 360 - 180).max()


@pytest.mark.parametrize("radius", [1.2, 4.0, 11.5, 19.0])
def test_a_disc_keeps_its_area_and_loses_its_steps(radius):
    (polygon,) = smooth_outlines(disc(radius))
    assert shoelace(polygon) == pytest.approx(disc(radius).sum(), rel=3e-4)
    assert turns(outlines(disc(radius))[0]) == pytest.approx(90)
    if radius > 2:
        assert turns(polygon) < 46
        from_centre = np.linalg.norm(polygon - (23.3, 24.1), axis=1)
        assert np.ptp(from_centre) < 1.0, "the staircase wavers by more than a pixel"


def test_a_hole_stays_a_hole_with_its_area():
    mask = disc(16) & ~disc(5, centre=(26.0, 22.0))
    (polygon,) = smooth_outlines(mask)
    assert abs(shoelace(polygon)) == pytest.approx(mask.sum(), rel=4e-4)
    filled = fill([polygon], mask.shape)
    assert not filled[22, 26]
    assert 2 * (filled & mask).sum() / (filled.sum() + mask.sum()) > 0.985


@pytest.mark.parametrize("kind", ["noise", "blobs"])
def test_random_masks_keep_the_area_of_what_they_hold(kind):
    random = np.random.default_rng(6)
    for _ in range(120):
        shape = random.integers(1, 36, 2)
        mask = random.random(shape) < random.random()
        if kind == "blobs":
            mask = ndimage.gaussian_filter(random.random(shape), 1.5) > 0.5
        polygons = smooth_outlines(mask)
        if not mask.any():
            assert polygons == []
            continue
        assert sum(shoelace(p) for p in polygons) == pytest.approx(mask.sum(), rel=2e-3)
        if kind == "blobs":  # lines round single voxels of noise cross each other
            assert area(polygons) == pytest.approx(mask.sum(), rel=2e-3)


def test_a_line_too_thin_to_be_smoothed_keeps_its_edges():
    mask = shapes(Stack((64, 48, 24), (0.8, 1.3, 2.2)).grid)["thin_shell"][14]  # two arcs, mostly one pixel wide
    polygons = smooth_outlines(mask)
    assert sum(shoelace(p) for p in polygons) == pytest.approx(mask.sum(), rel=1e-3)
    on_edges = [bool(np.all((p + 0.5) % 1 == 0)) for p in polygons]
    assert True in on_edges


@pytest.mark.parametrize(
    "stack",
    [Stack((64, 64, 20), (1.0, 1.0, 3.0), "oblique"), Stack((64, 48, 24), (0.8, 1.3, 2.2))],
    ids=["thick", "non-square"],
)
def test_hard_shapes_keep_their_volume(stack):
    grid = stack.grid
    for name, mask in shapes(grid).items():
        polygons = [smooth_outlines(s) for s in mask]
        assert sum(area(p) for p in polygons) == pytest.approx(mask.sum(), rel=2e-3), name
        again = np.stack([fill(p, mask.shape[1:]) for p in polygons])
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.98, name


def test_an_outline_too_long_for_one_element_is_thinned(monkeypatch):
    monkeypatch.setattr(smooth, "MAX_POINTS", 60)
    (polygon,) = smooth_outlines(disc(19))
    assert len(polygon) <= 60
    assert shoelace(polygon) == pytest.approx(disc(19).sum(), rel=3e-3)
