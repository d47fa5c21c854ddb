import numpy as np
import pytest
from gliosuite.simulate import growth
from gliosuite.simulate.phantom import build_head


@pytest.fixture(scope="module")
def head():
    return build_head(3, 3.0, 18.0)


def test_cells_are_conserved_and_none_enters_where_d_is_zero():
    rng = np.random.default_rng(1)
    diffusion = rng.uniform(0.02, 0.3, (14, 15, 16)).astype(np.float32)
    diffusion[:, :, 10:] = 0
    start = np.zeros_like(diffusion)
    start[7, 7, 7] = 0.9
    u, days = growth.grow(start, diffusion, np.full_like(diffusion, 1e-12), 2.0, lambda _, t: t >= 120)
    assert days == 120
    assert u.sum() == pytest.approx(0.9, rel=1e-4)
    assert u[:, :, 10:].max() == 0
    assert u[7, 7, 5] > 1e-3


def test_front_moves_at_twice_the_root_of_d_rho():
    diffusion, rate, h = 0.16, 0.02, 0.5
    shape = (400, 3, 3)
    start = np.zeros(shape, np.float32)
    start[:20] = 1
    places = []
    u, full = start, lambda v: np.full(shape, v, np.float32)
    for _ in range(5):
        u, _ = growth.grow(u, full(diffusion), full(rate), h, lambda _, t: t >= 200)
        places.append(h * np.interp(0.5, u[::-1, 1, 1], np.arange(shape[0])[::-1]))
    speed = (places[-1] - places[-2]) / 200
    expected = 2 * np.sqrt(diffusion * rate)
    # Bramson's correction lowers the speed by 3 / (2 t lambda) after a time t; explicit steps of a tenth of 1/rho cost little.
    assert speed == pytest.approx(expected - 3 * np.sqrt(diffusion / rate) / (2 * 900), rel=0.03)


def test_biology_gives_speed_and_width_back():
    for seed in range(20):
        b = growth.draw_biology(seed)
        assert 2 * np.sqrt(b.diffusion * b.rate) == pytest.approx(b.front_mm_day)
        assert np.sqrt(b.diffusion / b.rate) == pytest.approx(b.width_mm)
        assert 3 <= b.cel_cc <= 40
        assert 1 <= b.t2l_cc <= 154


def test_region_refines_and_covers_the_same_box(head):
    part = growth.region(head)
    low = np.asarray(part.fine.origin) - np.asarray(part.fine.spacing) / 2
    assert np.allclose(low, np.asarray(part.coarse.origin) - np.asarray(part.coarse.spacing) / 2)
    assert np.allclose(
        np.asarray(part.fine.size) * part.fine.spacing, np.asarray(part.coarse.size) * part.coarse.spacing
    )
    assert part.allowed.any()


def test_necrosis_lies_inside_its_rim(head):
    part = growth.region(head)
    biology, uneven = growth.draw_biology(3), growth.unevenness(part, 3, True)
    squared = sum((p - c) ** 2 for p, c in zip(growth.positions(part.fine), head.seed_mm))
    ball = (squared < 20**2) & part.fine_allowed
    dead = growth.necrosis(ball, biology, uneven)
    assert 0 < dead.sum() < ball.sum()
    assert not (dead & ~ball).any()
    assert growth.necrosis(np.zeros_like(ball), biology, uneven).sum() == 0


def test_oedema_follows_white_matter_and_has_the_volume_asked_for(head):
    part = growth.region(head)
    squared = sum((p - c) ** 2 for p, c in zip(growth.positions(part.coarse), head.seed_mm))
    inside = (squared < 9**2) & part.allowed
    arrival = part.refine(growth.oedema_arrival(part, inside, 3))
    always = part.refine(inside.astype(np.float32)) > 0.5
    oedema, limit = growth.spread(part, arrival, always, np.zeros_like(always), 40.0)
    assert (oedema | always).sum() * part.fine.voxel_cc == pytest.approx(40.0, abs=3.0)
    assert limit > 0
    near = ndistance(always, part.fine.spacing) < 20
    white, grey = (part.refine(v) > 0.8 for v in (part.wm, part.gm))
    assert oedema[near & white].mean() > 3 * oedema[near & grey].mean()


def ndistance(mask, spacing):
    from scipy import ndimage

    return ndimage.distance_transform_edt(~mask, sampling=spacing)
