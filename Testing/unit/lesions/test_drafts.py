"""The rules that drafts are made of, on shapes and intensities of known truth."""

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.lesions import drafts
from gliosuite.lesions.enhancing import enhancement, enhancing_lesion

GRID = Grid((60, 60, 40), (1.0, 1.0, 1.5), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
Z, Y, X = (np.arange(n) * s for n, s in zip(GRID.shape, GRID.spacing[::-1]))


def ball(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """A ball; center (z, y, x) and radius in mm."""
    z, y, x = center
    return (Z[:, None, None] - z) ** 2 + (Y[None, :, None] - y) ** 2 + (X[None, None, :] - x) ** 2 < radius**2


def test_relative_removes_scale_offset_and_coil():
    rng = np.random.default_rng(0)
    brain = ball((30, 30, 30), 28)
    fluid, lesion = ball((30, 30, 30), 6), ball((30, 30, 48), 6)
    values = np.where(fluid, 0.0, np.where(lesion, 150.0, 100.0)) + rng.normal(0, 3, GRID.shape)
    coil = (1 + 0.15 * np.linspace(-1, 1, 60))[None, :, None]
    plain = drafts.relative(GRID.image((values * coil).astype(np.float32)), brain)
    moved = drafts.relative(GRID.image((0.01 * values * coil - 3.0).astype(np.float32)), brain)
    assert np.allclose(plain.level, moved.level, atol=1e-3)
    tissue = brain & ~ball((30, 30, 30), 8) & ~ball((30, 30, 48), 8)
    assert np.median(plain.level[tissue]) == pytest.approx(1.0, abs=0.05)
    assert plain.level[ball((30, 30, 30), 4)].max() < 0.2
    assert plain.z[ball((30, 30, 48), 4)].min() > 3
    assert (plain.z[tissue] > 3).mean() < 0.05


def test_relative_knows_nothing_of_what_lies_outside():
    brain = ball((30, 30, 30), 25)
    values = np.where(brain, 100.0, 0.0) + np.random.default_rng(1).normal(0, 3, GRID.shape)
    level = drafts.relative(GRID.image(values.astype(np.float32)), brain).level
    edge = brain & ~ball((30, 30, 30), 23.5)
    assert np.median(level[edge]) == pytest.approx(np.median(level[brain]), abs=0.05)


def test_opened_drops_sheets_and_keeps_lumps_with_their_outline():
    lump = ball((30, 30, 20), 8)
    sheet = np.zeros(GRID.shape, bool)
    sheet[:, :, 45:47] = True
    result = drafts.opened(lump | sheet, GRID, 2.0)
    assert not result[:, :, 45:47].any()
    assert (result & lump).sum() > 0.95 * lump.sum()


def test_hysteresis():
    z = np.zeros(GRID.shape, np.float32)
    z[5, 5, 5:10] = (2.5, 2.5, 3.5, 2.5, 1.5)
    z[20, 20, 5:10] = 2.5
    result = drafts.hysteresis(z, np.ones(GRID.shape, bool))
    assert result[5, 5].nonzero()[0].tolist() == [5, 6, 7, 8]
    assert not result[20].any()


def test_enclosed_fills_a_closed_rim_and_an_open_one_only_with_fluid():
    hole = ball((30, 30, 30), 9)
    rim = ball((30, 30, 30), 13) & ~hole
    nothing = np.zeros(GRID.shape, bool)
    assert (drafts.enclosed(rim, nothing, GRID) == hole).mean() > 0.99
    opened = rim & ~(ball((30, 30, 43), 9))
    assert (drafts.enclosed(opened, nothing, GRID) & hole).sum() < 0.2 * hole.sum()
    assert (drafts.enclosed(opened, hole, GRID) & hole).sum() > 0.8 * hole.sum()


def test_lined_tells_necrosis_from_a_sulcus():
    brain = ball((30, 30, 30), 28)
    necrosis, cyst = ball((30, 30, 16), 8), ball((30, 30, 44), 8)
    rim = ball((30, 30, 16), 11) & ~necrosis
    found = drafts.lined(rim, necrosis | cyst, brain, GRID)
    assert (found & necrosis).sum() > 0.9 * necrosis.sum()
    assert not (found & cyst).any()


def test_enhancement_is_what_t1_does_not_explain():
    rng = np.random.default_rng(2)
    brain = ball((30, 30, 30), 28)
    bright_on_both, enhancing = ball((30, 30, 16), 6), ball((30, 30, 44), 6)  # blood, tumour
    fluid = ball((30, 48, 30), 6)
    t1 = np.where(fluid, 0.0, np.where(bright_on_both, 160.0, 100.0)) + rng.normal(0, 3, GRID.shape)
    t1c = np.where(fluid, 0.0, np.where(bright_on_both | enhancing, 160.0, 100.0)) + rng.normal(0, 3, GRID.shape)
    a, b = (drafts.relative(GRID.image(v.astype(np.float32)), brain) for v in (t1c, t1))
    z = enhancement(a, b)
    inner = ball((30, 30, 44), 4)
    assert z[inner].min() > 3
    assert (z[ball((30, 30, 16), 4)] > 2).mean() < 0.1
    assert enhancement(a, None)[ball((30, 30, 16), 4)].min() > 3  # T1c alone cannot tell


def test_oedema_that_leaks_a_little_is_not_clearly_enhancing():
    rng = np.random.default_rng(3)
    white = np.broadcast_to(X // 6 % 3 == 0, GRID.shape)
    oedema, tumour = ball((30, 30, 16), 6), ball((30, 30, 44), 6)

    def scan(wm: float, gm: float, leaky: float, leaking: float) -> drafts.Relative:
        level = np.where(tumour, leaking, np.where(oedema, leaky, np.where(white, wm, gm)))
        level = (level + rng.normal(0, 0.02, GRID.shape)).astype(np.float32)
        return drafts.Relative(level, (level - gm) / (wm - gm), ~(oedema | tumour))

    z = enhancement(scan(1.25, 0.9, 1.2, 1.8), scan(1.5, 0.8, 0.7, 0.7))
    assert (z[oedema] > 4).mean() > 0.99, "it enhances"
    assert not (z[oedema] > 6).any(), "and is no brighter than white matter"
    assert (z[tumour] > 6).all()


def test_what_a_coil_brightens_on_one_side_is_no_t2_lesion():
    lesion, shading, nothing = ball((30, 30, 16), 9), ball((30, 30, 44), 9), np.zeros(GRID.shape, bool)
    clear = ball((30, 30, 16), 6) | ball((30, 30, 44), 3)  # a third and a fiftieth of the volume
    z = np.where(lesion | shading, 2.0, 0.0)
    found = lambda core: drafts.t2_lesion(lesion | shading, core, z, clear, GRID)
    assert np.array_equal(found(nothing), lesion)
    assert np.array_equal(found(ball((30, 30, 44), 2)), lesion | shading), "at the enhancing core it is oedema"


def test_closed_bridges_gaps_up_to_its_size():
    mask = np.zeros(GRID.shape, bool)
    mask[15:25, 20:40, 10:20] = mask[15:25, 20:40, 24:34] = True
    assert drafts.closed(mask, GRID, 3.0)[20, 30, 20:24].all()
    assert not drafts.closed(mask, GRID, 1.0)[20, 30, 22]
    assert not drafts.closed(np.zeros_like(mask), GRID, 3.0).any()


def test_the_brains_box_alone_gives_the_mean_of_the_whole_image():
    rng = np.random.default_rng(1)
    box = (slice(3, 29), slice(6, 37), slice(5, 42))
    where = np.zeros(GRID.shape, bool)
    where[box] = rng.random(where[box].shape) > 0.1
    values = np.where(where, rng.normal(100, 5, GRID.shape), 0).astype(np.float32)
    everywhere = tuple(slice(0, n) for n in GRID.shape)
    whole = drafts._local_mean(values, where, everywhere, GRID)
    np.testing.assert_array_equal(drafts._local_mean(values[box], where[box], box, GRID), whole[box])


def test_depth_is_the_distance_to_what_is_outside_or_cut_off():
    from scipy import ndimage

    rng = np.random.default_rng(2)
    mask = np.zeros(GRID.shape, bool)
    mask[:20, 10:40, 5:] = rng.random((20, 30, 55)) > 0.01
    whole = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=GRID.spacing[::-1])[1:-1, 1:-1, 1:-1]
    np.testing.assert_array_equal(drafts.depth_below(mask, GRID), whole)
    assert not drafts.depth_below(np.zeros_like(mask), GRID).any()


def test_a_sheet_at_the_falx_goes_and_the_rim_beside_it_stays():
    brain, nothing = ball((30, 30, 30), 29), np.zeros(GRID.shape, bool)
    necrosis, ring = ball((30, 30, 20), 6), ball((30, 30, 20), 9)
    falx = np.broadcast_to(np.abs(X[None, None, :] - 30) < 1.6, GRID.shape) & brain & ~ball((30, 30, 30), 20)
    vessel = (np.abs(Y - 30) < 1.6)[None, :, None] & (np.abs(X - 45) < 1.6)[None, None, :] & brain  # along z
    lit = (ring & ~necrosis) | falx | vessel
    rng = np.random.default_rng(5)
    z = np.where(lit, 20.0, rng.normal(0, 1, GRID.shape)).astype(np.float32)
    level = np.where(necrosis, 0.4, np.where(lit, 1.6, 1.0)).astype(np.float32)
    dura = np.broadcast_to(np.abs(X[None, None, :] - 30), GRID.shape)
    edema = ball((30, 30, 20), 16) & brain
    t1c = drafts.Relative(level, z, brain)
    found = enhancing_lesion(z, t1c, brain, nothing, edema, necrosis, np.full(GRID.shape, 9.0), dura, GRID).mask
    assert (found & ring & ~necrosis).sum() > 0.9 * (ring & ~necrosis).sum()
    assert not (found & falx & ~ball((30, 30, 20), 12)).any()
    assert not (found & vessel).any()
    bare = np.where(falx | vessel, 20.0, 0.0).astype(np.float32)
    nothing_found = enhancing_lesion(bare, t1c, brain, nothing, edema, nothing, np.full(GRID.shape, 9.0), dura, GRID)
    assert not nothing_found.mask.any()  # no lesion enhances: no false one


def test_faint_enhancement_of_edema_counts_only_beside_what_enhances_clearly():
    brain, edema, lesion = ball((30, 30, 30), 29), ball((30, 30, 30), 18), ball((30, 30, 20), 4)
    nothing, nine = np.zeros(GRID.shape, bool), np.full(GRID.shape, 9.0)
    noise = np.random.default_rng(4).normal(0, 1, GRID.shape)
    faint = np.where(edema, np.maximum(3.5 + noise, 0.0), 0.0)  # 24 cc, with single voxels above 6 SD
    t1c = drafts.Relative(np.ones(GRID.shape, np.float32), faint.astype(np.float32), brain)

    def drawn(z: np.ndarray, subtracted: bool = True) -> np.ndarray:
        z = z.astype(np.float32)
        return enhancing_lesion(z, t1c, brain, nothing, edema, nothing, nine, nine, GRID, subtracted).mask

    assert drawn(faint, subtracted=False).sum() > 0.3 * edema.sum()  # bright on T1c itself: a suggestion
    assert not drawn(faint).any()
    mask = drawn(np.where(lesion, 20.0, faint))
    assert (mask & lesion).sum() > 0.9 * lesion.sum()
    assert not (mask & ~ball((30, 30, 20), 13)).any()  # the lesion, 6 mm, and specks that touch it
