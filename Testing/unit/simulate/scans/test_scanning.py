import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.scans.scanning import finish, motion, moved

GRID = Grid((24, 24, 16), (2.0, 2.0, 3.0), (-23.0, -5.0, -12.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def frames(value=100.0, n=20):
    return np.full((n, *GRID.shape), value, np.float32)


def ramp(n=20):
    x = np.arange(24, dtype=np.float32)
    return np.broadcast_to(100 + 10 * x, (n, *GRID.shape)).copy()


def rng():
    return np.random.default_rng([3, 4])


def test_motion_has_drift_and_rare_steps():
    paths = [motion(np.random.default_rng(s), 60) for s in range(400)]
    jump = [np.linalg.norm(np.diff(p[:, :3], axis=0), axis=1).max() for p in paths]
    turn = [np.linalg.norm(np.diff(p[:, 3:], axis=0), axis=1).max() for p in paths]
    stepped = np.array(jump) > 0.5
    assert stepped.mean() == pytest.approx(1 - np.exp(-0.5), abs=0.07)
    assert max(jump) < 3.4 + 0.6
    assert 1.0 < np.max(turn) < 4.0
    quiet = np.array([p for p, s in zip(paths, stepped) if not s])
    assert np.abs(quiet).max() < 1.2
    assert quiet[:, -1].std() > 4 * quiet[:, 3].std()


def test_a_moved_frame_shows_what_lay_where_it_went():
    image = ramp(1)[0]
    assert moved(image, GRID, np.array([2.0, 0, 0, 0, 0, 0]))[8, 12, 10] == pytest.approx(image[8, 12, 11], rel=1e-4)


def test_noise_bias_and_motion_have_random_numbers_of_their_own():
    nothing = np.zeros_like(frames())  # neither motion nor bias changes it
    a, _ = finish(nothing.copy(), GRID, 100, 25, Effects.none(noise=True), rng())
    b, path = finish(nothing.copy(), GRID, 100, 25, Effects.none(noise=True, motion=True, bias=True), rng())
    assert np.array_equal(a.frames, b.frames)
    assert a.frames.std() > 1
    _, same = finish(ramp(), GRID, 100, 25, Effects.none(motion=True), rng())
    assert np.array_equal(path, same)
    biased = [
        finish(f, GRID, 100, 25, Effects.none(bias=True, motion=m), rng())[0].frames
        for f, m in ((frames(), False), (frames(), True))
    ]
    inner = np.s_[:, 4:-4, 4:-4, 4:-4]
    np.testing.assert_allclose(biased[0][inner], biased[1][inner], rtol=1e-5)
    assert np.ptp(biased[0][inner]) > 1


def test_reference_tissue_is_near_400_and_noise_has_the_snr():
    series, path = finish(frames(3.0), GRID, 3.0, 20, Effects.none(noise=True), rng())
    assert path is None
    assert series.frames.mean() == pytest.approx(400, rel=0.01)
    assert series.frames.std() == pytest.approx(20, rel=0.02)


def test_without_partial_volume_a_voxel_is_what_most_of_it_is(block):
    shifted = sitk.TranslationTransform(3, (1.0, 0.0, 0.0))
    mixed, _ = block.packed().on(block.grid, shifted, Effects())
    pure, fields = block.packed().on(block.grid, shifted, Effects.none())
    assert 0.3 < mixed["gm"][19, 19, 9] < 0.7 < mixed["gm"][19, 19, 9] + mixed["wm"][19, 19, 9]
    assert set(np.unique(np.stack([pure[n] for n in CLASSES]))) == {0.0, 1.0}
    assert fields["b1"].min() > 0.7  # it goes on where the head's box has ended
