import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion import aif as aifs
from gliosuite.perfusion.kinetics import extended_tofts, parker_aif

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
        index, quality = aifs.find_arteries(curves, TIMES, 10)
        again, _ = aifs.find_arteries(curves, TIMES, 10)
        assert np.isin(index, arteries).mean() >= 0.9
        np.testing.assert_array_equal(index, again)
        assert quality["peak"] > 0.7 * BLOOD.max()
        assert len(index) <= 20


def test_not_finite_curves_are_never_chosen():
    curves, _ = brain()
    curves[4000:4010] = np.nan
    index, _ = aifs.find_arteries(curves, TIMES, 10)
    assert np.isfinite(curves[index]).all()


def test_no_artery_is_said():
    noise = np.random.default_rng(0).normal(0, 1, (500, 60))
    with pytest.raises(InputError, match="no arterial curve was found automatically"):
        aifs.find_arteries(noise, TIMES, 10)


def test_a_clipped_bolus_is_seen():
    times = 1.0 * np.arange(80)
    bolus = np.exp(-0.5 * ((times - 30) / 4.0) ** 2)
    assert not aifs.is_clipped(bolus, times)
    assert aifs.is_clipped(np.minimum(bolus, 0.6), times)


def test_population_aif_is_plasma_once():
    aif = aifs.population_aif(TIMES, 25.0, 0.42)
    np.testing.assert_allclose(aif.concentration, parker_aif(aif.times_s, 25.0) / 0.58)
    assert "population" in aif.notes[0]


def test_parametric_fit_recovers_what_lies_between_the_samples():
    coarse = 5.0 * np.arange(60)
    aif = aifs.Aif(coarse, parker_aif(coarse, 27.3) / 0.58, "test", "csv")
    fitted, residual, _ = aifs.fit_parametric(aif, 25.0)
    truth = parker_aif(fitted.times_s, 27.3) / 0.58
    assert residual < 0.01 * truth.max()
    assert np.abs(fitted.concentration - truth).max() < 0.1 * truth.max()
    assert fitted.fitted
    np.testing.assert_array_equal(fitted.measured, aif.concentration)


def write(folder, text):
    path = folder / "aif.csv"
    path.write_text(text)
    return path


def test_table_is_read(tmp_path):
    rows = "".join(f"{t},{c}\n" for t, c in zip(TIMES, BLOOD))
    aif = aifs.read_aif(write(tmp_path, "time_s,concentration\n" + rows), TIMES)
    np.testing.assert_allclose(aif.concentration, BLOOD)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t,c\n0,1\n", "has the columns t, c; time_s and concentration are needed"),
        ("time_s,concentration\n0,a\n", "holds a value that is no number"),
        ("time_s,concentration\n0,1\n1,2\n", "has 2 rows"),
        ("time_s,concentration\n0,0\n5,1\n4,2\n300,1\n", "time_s does not rise from 5 s to 4 s"),
        ("time_s,concentration\n0,0\n5,1\n9,2\n30,1\n", r"runs from 0 s to 30 s and the series ends at 147\.5 s"),
        ("time_s,concentration\n0,0\n5,0\n9,0\n200,0\n", "nowhere above 0"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        aifs.read_aif(write(tmp_path, text), TIMES)


def test_voxels_of_air_do_not_crowd_the_arteries_out():
    curves, arteries = brain()
    air = np.random.default_rng(1).normal(0, 8, (1000, 60))  # taller than any artery, and nothing but noise
    index, _ = aifs.find_arteries(np.concatenate([curves, air]), TIMES, 10)
    assert np.isin(index, arteries).mean() >= 0.9


def test_edges_of_a_head_that_moved_are_no_arteries():
    curves, arteries = brain()
    step = np.where(np.arange(60) > 14, 12.0, 0.0) + np.random.default_rng(2).normal(0, 0.05, (100, 60))
    flicker = 12.0 * (np.arange(60) % 7 == 4) + np.random.default_rng(3).normal(0, 0.05, (100, 60))
    index, _ = aifs.find_arteries(np.concatenate([curves, step, flicker]), TIMES, 10)
    assert np.isin(index, arteries).mean() >= 0.9


def test_many_tall_veins_do_not_outnumber_few_arteries():
    curves, arteries = brain(arteries=12)
    vein = np.interp(TIMES - 5, TIMES, BLOOD) + np.random.default_rng(4).normal(0, 0.05, (200, 60))
    index, _ = aifs.find_arteries(np.concatenate([curves, vein]), TIMES, 10)
    assert np.isin(index, arteries).all()


def test_voxels_unlike_the_others_before_the_bolus_are_left_out():
    curves, arteries = brain()
    before = np.full(len(curves), 400.0)
    before[arteries[::4]] = 100.0  # bone with a little of an artery
    index, _ = aifs.find_arteries(curves, TIMES, 10, before=before)
    assert np.isin(index, arteries).mean() >= 0.9
    assert not np.isin(index, arteries[::4]).any()
