import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion.aif import arteries as search
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
from gliosuite.perfusion.settings import AIF_SEARCHES

TIMES = 2.5 * np.arange(60)
BLOOD = parker_aif(TIMES, 25.0)


def brain(seed=0, n=4000, arteries=40):
    """Tissue curves with arteries (some partial) and late, wider veins at the end."""
    rng = np.random.default_rng(seed)
    tissue = extended_tofts(TIMES, BLOOD / 0.58, rng.uniform(0, 0.1, n), 0.2, rng.uniform(0.01, 0.05, n), delay_s=2.0)
    artery = rng.uniform(0.5, 1.0, (arteries, 1)) * BLOOD
    late = np.array([np.interp(TIMES - 6, TIMES, np.convolve(BLOOD, np.ones(4) / 4)[:60])] * arteries)
    curves = np.concatenate([tissue, artery, late])
    return curves + rng.normal(0, 0.05, curves.shape), np.arange(n, n + arteries)


def test_arteries_are_found_and_twice_the_same():
    for seed in range(5):
        curves, arteries = brain(seed)
        index, quality = search.find_arteries(curves, TIMES, 10)
        again, _ = search.find_arteries(curves, TIMES, 10)
        assert np.isin(index, arteries).mean() >= 0.9
        np.testing.assert_array_equal(index, again)
        assert quality["peak"] > 0.7 * BLOOD.max()
        assert len(index) <= 20


def test_not_finite_curves_are_never_chosen():
    curves, _ = brain()
    curves[4000:4010] = np.nan
    index, _ = search.find_arteries(curves, TIMES, 10)
    assert np.isfinite(curves[index]).all()


def test_no_artery_is_said():
    noise = np.random.default_rng(0).normal(0, 1, (500, 60))
    with pytest.raises(InputError, match="no arterial curve was found automatically"):
        search.find_arteries(noise, TIMES, 10)


def test_a_clipped_bolus_is_seen():
    times = 1.0 * np.arange(80)
    bolus = np.exp(-0.5 * ((times - 30) / 4.0) ** 2)
    assert not search.is_clipped(bolus, times)
    assert search.is_clipped(np.minimum(bolus, 0.6), times)


def test_the_width_of_a_peak_is_that_of_its_form():
    times = np.cumsum(np.random.default_rng(2).uniform(0.3, 0.7, 300))
    sd = np.array([2.0, 5.0, 9.0])[:, None]
    widths = search.peak_width(np.exp(-0.5 * ((times - 70) / sd) ** 2), times, 0.5)
    np.testing.assert_allclose(widths, 2.3548 * sd[:, 0], rtol=0.01)
    # Where the series ends before the curve falls, the width ends there too; curves one by one are the same.
    rising = np.stack([times, times[::-1]])
    np.testing.assert_allclose(search.peak_width(rising, times, 0.5)[0], times[-1] / 2, rtol=0.01)
    for curve, width in zip(rising, search.peak_width(rising, times, 0.5)):
        assert search.peak_width(curve, times, 0.5) == width


def test_voxels_of_air_do_not_crowd_the_arteries_out():
    curves, arteries = brain()
    air = np.random.default_rng(1).normal(0, 8, (1000, 60))  # taller than any artery, and nothing but noise
    index, _ = search.find_arteries(np.concatenate([curves, air]), TIMES, 10)
    assert np.isin(index, arteries).mean() >= 0.9


def test_leaky_voxels_that_end_far_below_their_baseline_are_no_arteries():
    curves, arteries = brain()
    first = np.exp(-0.5 * ((TIMES - 33) / 5.0) ** 2)
    fall = -0.6 * np.clip((TIMES - 40) / 20, 0, 1)
    leaky = 1.3 * BLOOD.max() * (first + fall) + np.random.default_rng(1).normal(0, 0.05, (30, 60))
    index, _ = search.find_arteries(np.concatenate([curves, leaky]), TIMES, 10)
    assert np.isin(index, arteries).mean() >= 0.9


def test_edges_of_a_head_that_moved_are_no_arteries():
    curves, arteries = brain()
    step = np.where(np.arange(60) > 14, 12.0, 0.0) + np.random.default_rng(2).normal(0, 0.05, (100, 60))
    flicker = 12.0 * (np.arange(60) % 7 == 4) + np.random.default_rng(3).normal(0, 0.05, (100, 60))
    index, _ = search.find_arteries(np.concatenate([curves, step, flicker]), TIMES, 10)
    assert np.isin(index, arteries).mean() >= 0.9


def test_many_tall_veins_do_not_outnumber_few_arteries():
    curves, arteries = brain(arteries=12)
    vein = np.interp(TIMES - 5, TIMES, BLOOD) + np.random.default_rng(4).normal(0, 0.05, (200, 60))
    index, _ = search.find_arteries(np.concatenate([curves, vein]), TIMES, 10)
    assert np.isin(index, arteries).all()


def test_voxels_unlike_the_others_before_the_bolus_are_left_out():
    curves, arteries = brain()
    before = np.full(len(curves), 400.0)
    before[arteries[::4]] = 100.0  # bone with a little of an artery
    index, _ = search.find_arteries(curves, TIMES, 10, before=before)
    assert np.isin(index, arteries).mean() >= 0.9
    assert not np.isin(index, arteries[::4]).any()


@pytest.mark.parametrize("name", ["mouridsen", "peruzzo"])
def test_published_searches_find_arteries_and_twice_the_same(name):
    for seed in range(3):
        curves, arteries = brain(seed)
        index, quality = search.find_arteries(curves, TIMES, 10, search=name)
        again, _ = search.find_arteries(curves, TIMES, 10, search=name)
        assert np.isin(index, arteries).mean() >= 0.9
        np.testing.assert_array_equal(index, again)
        assert len(index) >= 3
        assert quality["agreement"] > 0.9


def test_the_order_of_the_voxels_does_not_change_what_is_found():
    curves, _ = brain()
    mixed = np.random.default_rng(0).permutation(len(curves))
    for name in AIF_SEARCHES:
        index, _ = search.find_arteries(curves, TIMES, 10, search=name)
        other, _ = search.find_arteries(curves[mixed], TIMES, 10, search=name)
        assert set(mixed[other]) == set(index)


def test_clipped_curves_are_rejected_and_counted():
    times = 1.0 * np.arange(120)
    bolus = parker_aif(times, 25.0)
    rng = np.random.default_rng(0)
    curves = rng.normal(0, 0.05, (1000, 120))
    curves[:20] += 0.9 * bolus
    curves[20:30] += np.minimum(2.0 * bolus, 6.0)
    for name in AIF_SEARCHES:
        index, quality = search.find_arteries(curves, times, 24, search=name)
        assert quality["clipped"] == 10
        assert (index < 20).all()


def test_an_unknown_search_is_refused():
    with pytest.raises(InputError, match="AIF search 'best' is not known; choose from own, mouridsen, peruzzo"):
        search.find_arteries(BLOOD[None], TIMES, 10, search="best")
