"""Margins on spheres whose volume is known: within 1 % on every grid, from any sub-voxel position."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean
from gliosuite.rt.margins import expand


def sphere(radius: float, around: float, spacing: tuple[float, float, float], seed: int) -> tuple[Grid, np.ndarray]:
    """Distance from the centre, which lies anywhere within a voxel, on a grid with room for `around` mm."""
    spacing = np.asarray(spacing, float)
    size = np.ceil(2 * (around + 4) / spacing).astype(int)
    centre = (size / 2 + np.random.default_rng(seed).random(3) - 0.5) * spacing
    grid = Grid(tuple(int(s) for s in size), tuple(spacing), (5.0, -7.0, 11.0), tuple(np.eye(3).ravel()))
    index = np.indices(grid.shape)[::-1].reshape(3, -1).T * spacing
    return grid, np.linalg.norm(index - centre, axis=1).reshape(grid.shape)


GRIDS = [(1, 1, 1), (3, 1, 1), (1, 1, 3), (3, 3, 3)]


@pytest.mark.parametrize("spacing", GRIDS, ids=str)
@pytest.mark.parametrize("margin", [15, 20])
def test_a_margin_has_the_volume_of_the_grown_sphere(spacing, margin):
    errors = []
    for seed in range(4):
        grid, r = sphere(15.3, 15.3 + margin, spacing, seed)
        grown = boolean(expand(grid.image(r <= 15.3), margin))
        errors.append(grown.sum() * grid.voxel_cc * 1000 / (4 / 3 * np.pi * (15.3 + margin) ** 3) - 1)
    assert abs(np.mean(errors)) <= 0.005
    assert np.abs(errors).max() <= 0.01


@pytest.mark.parametrize("spacing", GRIDS, ids=str)
def test_a_negative_margin_shrinks(spacing):
    grid, r = sphere(30, 30, spacing, 1)
    mask = grid.image(r <= 30)
    shrunk = boolean(expand(mask, -10))
    assert not (shrunk & ~boolean(mask)).any()
    assert shrunk.sum() * grid.voxel_cc * 1000 == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.015)


def test_shrinking_by_more_than_the_mask_has_leaves_nothing():
    grid, r = sphere(6, 12, (1, 1, 1), 0)
    assert not boolean(expand(grid.image(r <= 6), -9)).any()


def test_zero_returns_the_mask_and_growth_contains_it():
    grid, r = sphere(9, 20, (1, 1, 3), 2)
    mask = (r <= 9) & (r > 6)
    assert np.array_equal(boolean(expand(grid.image(mask), 0)), mask)
    for margin in (0.2, 1, 4):
        assert boolean(expand(grid.image(mask), margin))[mask].all()


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 3, 3)], ids=str)
def test_a_single_voxel_beside_a_large_lesion_gets_its_margin_too(spacing):
    grid, r = sphere(8, 45, spacing, 3)
    mask = r <= 8
    index = np.round(np.array([6, grid.size[1] * spacing[1] / 2, grid.size[2] * spacing[2] / 2]) / spacing).astype(int)
    mask[tuple(index[::-1])] = True
    away = np.linalg.norm((np.indices(grid.shape)[::-1].reshape(3, -1).T - index) * spacing, axis=1).reshape(grid.shape)
    grown = boolean(expand(grid.image(mask), 10))
    assert grown[away <= 10].all()
    assert not grown[(away > 10 + max(spacing)) & (r > 20)].any()


def test_a_lesion_at_the_edge_of_the_image_grows_inwards():
    grid = Grid((40, 40, 40), (1.0, 1.0, 1.0), (0.0,) * 3, tuple(np.eye(3).ravel()))
    mask = np.zeros(grid.shape, bool)
    mask[:, :, :5] = True
    grown = boolean(expand(grid.image(mask), 10))
    assert grown[:, :, :15].mean() > 0.999
    assert not grown[:, :, 16:].any()


def test_geometry_is_kept_and_orientation_changes_nothing():
    grid, r = sphere(9, 20, (1, 1, 1), 2)
    turned = Grid(grid.size, grid.spacing, grid.origin, (0, -1, 0, 1, 0, 0, 0, 0, 1))
    a, b = expand(grid.image(r <= 9), 7), expand(turned.image(r <= 9), 7)
    assert Grid.of(b).matches(turned)
    assert np.array_equal(boolean(a), boolean(b))


def test_what_cannot_be_grown_is_refused():
    grid = Grid((8, 8, 8), (1.0, 1.0, 1.0), (0.0,) * 3, tuple(np.eye(3).ravel()))
    with pytest.raises(InputError, match="mask to grow is empty"):
        expand(grid.blank(), 10)
    with pytest.raises(InputError, match="is not a number"):
        expand(grid.image(np.ones(grid.shape, bool)), float("nan"))
