import numpy as np
import pytest
from gliosuite.simulate import growth, lesion
from gliosuite.simulate.phantom import build_head, positions
from scipy import ndimage


@pytest.fixture(scope="module")
def head():
    return build_head(3, 3.0, 18.0)


@pytest.fixture(scope="module")
def part(head):
    return growth.region(head)


def ball(grid, centre, radius):
    return sum((p - c) ** 2 for p, c in zip(positions(grid), centre)) < radius**2


def test_necrosis_is_the_deepest_share_of_the_core(head, part):
    uneven = lesion.unevenness(part, 3, True)
    inside = ball(part.fine, head.seed_mm, 20) & part.fine_allowed
    dead = lesion.necrosis(inside, 0.4, uneven)
    assert dead.sum() == pytest.approx(0.4 * inside.sum(), rel=0.1)
    assert not (dead & ~inside).any()
    depth = ndimage.distance_transform_edt(inside)
    assert depth[dead].mean() > 1.5 * depth[inside & ~dead].mean()
    assert not lesion.necrosis(inside, 0.0, uneven).any()
    assert not lesion.necrosis(np.zeros_like(inside), 0.4, uneven).any()


def test_oedema_follows_white_matter(head, part):
    inside = ball(part.coarse, head.seed_mm, 9) & part.allowed
    arrival = part.refine(lesion.oedema_arrival(part, inside, 3))
    always = part.refine(inside.astype(np.float32)) > 0.5
    oedema, limit = lesion.spread(part, arrival, always, np.zeros_like(always), 40.0)
    assert limit > 0
    near = ndimage.distance_transform_edt(~always, sampling=part.fine.spacing) < 20
    white, grey = (part.refine(v) > 0.8 for v in (part.wm, part.gm))
    assert oedema[near & white].mean() > 3 * oedema[near & grey].mean()


@pytest.mark.parametrize("total", [15.0, 40.0, 90.0])
def test_the_lesion_has_the_t2_volume_asked_for(head, part, total):
    inside = ball(part.fine, head.seed_mm, 10) & part.fine_allowed
    density = np.where(inside, 0.9, 0).astype(np.float32)
    nothing = np.zeros_like(inside)
    found = lesion.see(part, density, inside, nothing, nothing, total, 3)
    assert lesion.volumes(found, part)["t2l_cc"] == pytest.approx(total, rel=0.03)
    assert found.t2l[found.cel].all()
    assert found.oedema.max() <= 1


def test_swelling_fades_out_within_the_outline_but_not_towards_the_cavity(part):
    bright, cavity = ball(part.fine, (0, 0, 0), 20), ball(part.fine, (0, 0, 0), 8)
    level = 0.9 * (bright & ~cavity)
    soft = lesion.shown(part, level, bright & ~cavity, cavity)
    away = np.sqrt(sum(p**2 for p in positions(part.fine))) - 20  # mm beyond the outline
    at = [float(soft[np.abs(away - mm) < 0.5].mean()) for mm in (-6, -1.5, 1.5)]
    assert at[0] == pytest.approx(0.9, abs=0.02)
    assert 0.3 < at[1] < 0.75
    assert at[2] < 0.2
    inner = soft[(np.abs(away + 10.5) < 0.5) & ~cavity]
    assert inner.min() > 0.6


def test_what_was_bright_stays_bright(head, part):
    nothing = np.zeros(part.fine.shape, bool)
    before = ball(part.fine, head.seed_mm, 14) & part.fine_allowed
    inside = ball(part.fine, head.seed_mm + np.array([16, 0, 0]), 8) & part.fine_allowed
    cavity = ball(part.fine, head.seed_mm, 5) & part.fine_brain
    total = 1.3 * (before | inside).sum() * part.fine.voxel_cc
    found = lesion.see(part, np.zeros(before.shape), inside, nothing, cavity, total, 3, before)
    assert found.t2l[before & ~cavity].all()
    assert not (found.t2l & cavity).any()
    assert found.oedema[before & ~inside & ~cavity].mean() > 0.3


def test_oedema_does_not_cross_the_falx():
    found = []
    for seed in range(6):
        head = build_head(seed, 3.0, 12.0)
        part = growth.region(head)
        side = part.compartments[tuple(n // 2 for n in part.coarse.shape)]
        if side not in (1, 2):
            continue
        inside = ball(part.coarse, head.seed_mm, 9) & part.allowed
        arrival = lesion.oedema_arrival(part, inside, seed)
        reached = arrival < 60
        across = reached & (part.compartments == 3 - side)
        found.append(across.sum() / reached.sum())
    assert len(found) >= 3
    assert np.median(found) < 0.1  # around the falx, through the callosum, some of it gets


def test_specks_are_dropped_but_the_largest_part_stays(part):
    mask = np.zeros(part.fine.shape, bool)
    mask[5:9, 5:9, 5:9] = True
    mask[20, 20, 20] = True
    kept = lesion.without_specks(mask, part.fine, 0.1)
    assert kept.sum() == 64
    mask[5:9, 5:9, 5:9] = False
    assert lesion.without_specks(mask, part.fine, 0.1).sum() == 1
