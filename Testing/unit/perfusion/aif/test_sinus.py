import numpy as np
from gliosuite.perfusion.aif import find_sinus
from gliosuite.perfusion.aif.sinus import tail
from gliosuite.perfusion.kinetics import parker_aif

TIMES = 2.5 * np.arange(100)
BLOOD = parker_aif(TIMES, 25.0)
VENOUS = np.interp(TIMES - 4.0, TIMES, np.convolve(BLOOD, np.ones(3) / 3)[:100], left=0.0)
SHAPE = (8, 24, 24)


def head(rng, artery=1.0, vein=1.0):
    """Concentrations of a head with an artery and a sinus that shares its outer voxels with tissue."""
    share = np.full(SHAPE, 0.03)
    curves = share[..., None] * BLOOD
    arteries, sinus = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    arteries[:, 6, 6] = True
    sinus[1:7, 17:21, 10:13] = True
    curves[arteries] = artery * BLOOD
    curves[sinus] = 0.7 * vein * VENOUS
    core = np.zeros(SHAPE, bool)
    core[1:7, 18:20, 11] = True
    curves[core] = vein * VENOUS
    return curves + rng.normal(0, 0.05, curves.shape), arteries, sinus, core


def test_the_pure_voxels_of_the_vein_are_found_and_twice_the_same():
    curves, _, sinus, core = head(np.random.default_rng(0))
    region = np.ones(SHAPE, bool)
    found = find_sinus(curves.reshape(-1, 100), region, (2.0, 2.0, 3.0), TIMES, 10, BLOOD)
    again = find_sinus(curves.reshape(-1, 100), region, (2.0, 2.0, 3.0), TIMES, 10, BLOOD)
    assert found.why_not == ""
    assert sinus[found.voxels].all()
    assert core[found.voxels].all()
    np.testing.assert_array_equal(found.voxels, again.voxels)
    assert 3.0 < found.quality["later_s"] < 9.0
    assert abs(found.quality["tail"] / tail(VENOUS, TIMES) - 1) < 0.03


def test_an_artery_is_no_sinus():
    curves, _, sinus, _ = head(np.random.default_rng(1))
    curves[sinus] = 0.03 * BLOOD
    found = find_sinus(curves.reshape(-1, 100), np.ones(SHAPE, bool), (2.0, 2.0, 3.0), TIMES, 10, BLOOD)
    assert found is None or not found.voxels[:, 6, 6].any()


def test_bone_into_which_a_vein_moves_is_left_out():
    curves = head(np.random.default_rng(2))[0]
    before = np.full(SHAPE, 300.0)
    edge = np.zeros(SHAPE, bool)
    edge[1:7, 20, 13] = True
    curves[edge] = 1.3 * VENOUS
    before[edge] = 60.0
    found = find_sinus(
        curves.reshape(-1, 100), np.ones(SHAPE, bool), (2.0, 2.0, 3.0), TIMES, 10, BLOOD, False, before.ravel()
    )
    assert not edge[found.voxels].any()


def test_few_voxels_are_not_enough_and_that_is_said():
    curves, _, sinus, _ = head(np.random.default_rng(3))
    curves[sinus] = 0.03 * BLOOD
    curves[4, 18:21, 11] = VENOUS
    curves[4, 2:4, 20] = VENOUS  # another vein, far away
    found = find_sinus(curves.reshape(-1, 100), np.ones(SHAPE, bool), (4.0, 4.0, 3.0), TIMES, 10, BLOOD)
    assert "only 3 voxels were found, and at least 5 are needed" in found.why_not


def test_tail_is_the_mean_of_two_minutes():
    assert tail(TIMES, TIMES) == np.mean(TIMES[TIMES - TIMES[-1] > -120])


def test_a_pure_vein_whose_signal_stays_high_is_taken_and_not_the_voxels_it_shares_with_tissue():
    curves, _, sinus, core = head(np.random.default_rng(6))
    high = np.where(TIMES < 29, 0.0, 1.0 - 0.3 * (1 - np.exp(-np.maximum(TIMES - 40, 0) / 20)))
    passed = np.where(TIMES < 29, 0.0, 1.0 - 0.45 * (1 - np.exp(-np.maximum(TIMES - 40, 0) / 20)))
    curves[sinus] = 0.8 * 4 * passed + np.random.default_rng(7).normal(0, 0.05, (int(sinus.sum()), 100))
    curves[core] = 4 * high + np.random.default_rng(8).normal(0, 0.05, (int(core.sum()), 100))
    found = find_sinus(curves.reshape(-1, 100), np.ones(SHAPE, bool), (2.0, 2.0, 3.0), TIMES, 10, BLOOD, True)
    assert core[found.voxels].all()
