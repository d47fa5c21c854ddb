"""Region statistics and the tests that the papers use."""

import numpy as np
import pytest
from gliosuite.statistics import histogram_table, statistics_table
from gliosuite.statistics.regions import hotspot, icc21, region_statistics


@pytest.fixture
def ramp():
    """0 to 26 on a 3 x 3 x 3 grid, the first undefined; the first slice as region."""
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    values[0, 0, 0] = np.nan
    region = np.zeros((3, 3, 3), bool)
    region[0] = True
    return values, region


def test_undefined_voxels_are_left_out_and_counted(ramp):
    s = region_statistics(*ramp, (2.0, 2.0, 5.0))
    assert (s.n, s.n_undefined) == (8, 1)
    assert s.volume_cc == pytest.approx(9 * 0.02)
    assert s.mean == s.median == pytest.approx(4.5)
    assert (s.min, s.max) == (1, 8)
    assert s.sd == pytest.approx(np.std(np.arange(1, 9)))
    for p in (5, 10, 25, 75, 90, 95):
        assert getattr(s, f"p{p}") == pytest.approx(np.percentile(np.arange(1, 9), p))


def test_infinite_values_are_undefined(ramp):
    values, region = ramp
    values[0, 0, 1] = np.inf
    assert region_statistics(values, region).n_undefined == 2


def test_an_empty_region_has_no_numbers():
    s = region_statistics(np.ones((2, 2, 2)), np.zeros((2, 2, 2), bool))
    assert (s.n, s.volume_cc) == (0, 0)
    assert np.isnan([s.mean, s.median, s.p95, s.hottest_mean, s.hotspot]).all()
    assert region_statistics(np.full((2, 2, 2), np.nan), np.ones((2, 2, 2), bool)).n_undefined == 8


def test_the_hottest_voxels_lie_anywhere_and_the_hot_spot_in_one_place():
    values = np.ones((20, 20, 20))
    values[::7, ::7, ::7] = 50.0  # 27 single voxels
    values[5:10, 5:10, 6:11] = 9.0  # 0.125 cc
    values[7, 7, 7] = 9.0
    region = np.ones(values.shape, bool)
    s = region_statistics(values, region)
    top = np.sort(values.ravel())[-400:]
    assert s.hottest_mean == pytest.approx(top.mean())
    assert s.hotspot == pytest.approx(9.0)


def test_the_hot_spot_stays_in_the_region_and_skips_undefined_voxels():
    values = np.ones((12, 12, 12))
    values[:, :, 6:] = 100.0
    region = np.zeros(values.shape, bool)
    region[:, :, :6] = True
    values[3:6, 3:6, 0:3] = 5.0
    values[4, 4, 1] = np.nan
    # A box of five voxels: at the border of the image part of it lies outside.
    assert hotspot(values, region, (1.0, 1.0, 1.0)) < 5.0
    assert hotspot(values, region, (1.6, 1.6, 1.6)) == pytest.approx(5.0)
    assert np.isnan(hotspot(values, region & (values == 5.0), (0.5, 0.5, 0.5)))
    # A voxel that is larger than the spot is one.
    assert hotspot(values, region, (6.0, 6.0, 6.0)) == pytest.approx(5.0)


def test_tables_hold_a_row_per_region_and_empty_cells_for_what_is_not_defined(ramp):
    values, region = ramp
    regions = {"slice": region, "nothing": np.zeros_like(region)}
    header, rows = statistics_table({"ktrans": values}, {"ktrans": "1/min"}, regions, (1.0, 1.0, 1.0), {"slice"})
    assert header[:6] == ["map", "unit", "region", "volume_cc", "n", "n_undefined"]
    first, second = (dict(zip(header, row)) for row in rows)
    assert (first["map"], first["unit"], first["region"], first["n"]) == ("ktrans", "1/min", "slice", 8)
    assert float(first["mean"]) == pytest.approx(4.5)
    assert (second["n"], second["mean"], second["hotspot"]) == (0, "", "")
    assert (first["draft"], second["draft"]) == ("DRAFT", "")


def test_a_histogram_counts_every_defined_voxel_once():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (10, 20, 20))
    values[0, 0, :5] = np.nan
    regions = {"all": np.ones(values.shape, bool), "half": np.arange(10)[:, None, None] < 5 + 0 * values}
    header, rows = histogram_table({"vp": values}, {"vp": "fraction"}, regions)
    assert header == ["map", "unit", "lower", "upper", "all", "half"]
    assert len(rows) == 52
    assert rows[0][2] == ""
    assert rows[-1][3] == ""
    assert sum(r[4] for r in rows) == 3995
    assert sum(r[5] for r in rows) == 1995
    for row in rows[1:-1]:
        low, high = float(row[2]), float(row[3])
        assert row[4] == pytest.approx(((values >= low) & (values < high)).sum(), abs=2)


def test_a_map_without_any_value_has_no_histogram():
    values = np.full((2, 2, 2), np.nan)
    assert histogram_table({"vp": values}, {}, {"all": np.ones(values.shape, bool)})[1] == []
    constant = histogram_table({"vp": np.zeros((2, 2, 2))}, {}, {"all": np.ones((2, 2, 2), bool)})[1]
    assert sum(r[4] for r in constant) == 8


def test_icc_is_that_of_shrout_and_fleiss():
    # Their table 2: four judges, six targets; ICC(2,1) = .29 in table 4.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert icc21(ratings) == pytest.approx(0.29, abs=0.005)


def test_icc_counts_a_rater_who_is_always_higher():
    truth = np.arange(10.0)[:, None]
    assert icc21(np.hstack([truth, truth])) == pytest.approx(1.0)
    assert icc21(np.hstack([truth, truth + 5.0])) < 0.6
    assert np.isnan(icc21(np.ones((3, 2))))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.6, 2.4, 0.9), (0.5, 5.0, 2.0)])
def test_a_hotspot_is_the_highest_mean_of_all_places(spacing):
    rng = np.random.default_rng(5)
    values = rng.normal(size=(9, 11, 8))
    region = rng.random(values.shape) > 0.3
    values[rng.random(values.shape) > 0.9] = np.nan
    box = [max(1, round(10 * 0.1 ** (1 / 3) / s)) for s in reversed(spacing)]
    defined = region & np.isfinite(values)
    best = -np.inf
    for corner in np.ndindex(*(n + b for n, b in zip(values.shape, box))):
        place = tuple(slice(max(c - b, 0), c) for c, b in zip(corner, box))
        if 2 * defined[place].sum() >= np.prod(box):
            best = max(best, values[place][defined[place]].mean())
    expected = best if np.isfinite(best) else np.nan
    assert hotspot(values, region, spacing) == pytest.approx(expected, rel=1e-12, nan_ok=True)
    table = statistics_table({"map": values}, {}, {"region": region}, spacing)[1]
    assert table[0][-2] == ("" if np.isnan(expected) else f"{expected:.6g}")
