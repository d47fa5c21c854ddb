import numpy as np
from gliosuite.images import Grid, Series
from gliosuite.perfusion.aif.movement import sudden_moves, vessel_signal

TIMES = 5.0 * np.arange(60)
RISE = np.where(TIMES < 30, 0.0, 3.0 * np.exp(-(TIMES - 30) / 20) + 2.0)
GRID = Grid((20, 20, 10), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
VESSEL = np.zeros((10, 20, 20), bool)
VESSEL[:, 10, 10] = True


def scanned(inside, noise=0.0):
    """A vessel along z of which the share `inside` (t,) is in its voxel and the rest in the next one along x."""
    shares = np.zeros((60, 10, 20, 20))
    shares[:, :, 10, 10] = inside[:, None]
    shares[:, :, 10, 11] = 1.0 - inside[:, None]
    frames = 100.0 * (1.0 + shares * RISE[:, None, None, None])
    return Series(frames + np.random.default_rng(0).normal(0, noise, frames.shape), GRID, "series")


def test_a_still_vessel_keeps_its_signal():
    series = scanned(np.full(60, 0.9))
    np.testing.assert_allclose(vessel_signal(series, VESSEL, TIMES, 6), series.curves(VESSEL).mean(axis=0), rtol=1e-12)


def test_what_a_drift_or_a_step_takes_out_of_the_voxels_is_given_back():
    drift = 0.9 - 0.2 * np.arange(60) / 59
    step = np.where(np.arange(60) < 35, 0.9, 0.7)
    for inside in (drift, step):
        series = scanned(inside, 0.5)
        lost = series.curves(VESSEL).mean(axis=0)[-10:].mean() / (100 + 90 * RISE[-10:].mean()) - 1
        assert lost < -0.09
        found = vessel_signal(series, VESSEL, TIMES, 6)
        assert abs(found[-10:].mean() / (100 + 90 * RISE[-10:].mean()) - 1) < 0.04


def test_the_first_pass_is_left_as_it_is():
    series = scanned(0.9 - 0.2 * np.arange(60) / 59)
    np.testing.assert_array_equal(
        vessel_signal(series, VESSEL, TIMES, 6)[:12], series.curves(VESSEL).mean(axis=0)[:12].astype(np.float64)
    )


def test_without_a_rise_nothing_is_compared():
    series = Series(np.full((60, 10, 20, 20), 100.0), GRID, "series")
    np.testing.assert_array_equal(vessel_signal(series, VESSEL, TIMES, 6), np.full(60, 100.0))


def test_sudden_moves_are_told_from_contrast_agent():
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 40, 40), bool)
    mask[:, 6:34, 6:34] = True
    still = np.where(mask, 300.0, 10.0)[None] * (1 + 0.5 * (np.arange(30) > 9)[:, None, None, None])
    still = still + rng.normal(0, 5, still.shape)
    passing = (np.arange(30) >= 9) & (np.arange(30) < 16)
    assert sudden_moves(still, mask, passing)[0] == ()
    moving = still.copy()
    moving[20:] = np.roll(moving[20:], 1, axis=3)
    assert sudden_moves(moving, mask, passing)[0] == (20,)


def test_a_slight_change_along_the_edge_is_only_perhaps_a_move_while_the_bolus_passes():
    rng = np.random.default_rng(1)
    mask = np.zeros((6, 40, 40), bool)
    mask[:, 6:34, 6:34] = True
    frames = np.where(mask, 300.0, 10.0)[None] + rng.normal(0, 5, (30, *mask.shape))
    frames[12:] += rng.normal(0, 15, mask.shape)
    passing = np.zeros(30, bool)
    assert sudden_moves(frames, mask, passing) == ((12,), ())
    passing[8:15] = True
    assert sudden_moves(frames, mask, passing) == ((), (12,))
