"""ADC and FA of a series: maps, notes and files. The heads are simulated."""

import json

import diffusion_series as ds
import numpy as np
import pytest
from gliosuite.diffusion import Gradients, dti_maps, write
from gliosuite.diffusion.settings import DtiSettings
from gliosuite.errors import InputError
from gliosuite.images import Series, array, boolean, read_image


def made(b, g, sd=0.0, seed=7):
    rng = np.random.default_rng(seed)
    grid, adc, fa, s0 = ds.head()
    return ds.series(grid, adc, fa, s0, b, g, rng, sd), adc, fa, s0 > 0


def test_maps_have_the_truth_inside_and_nothing_outside(tmp_path):
    b, g = ds.scheme(ds.spread(24), 2)
    series, adc, fa, inside = made(b, g, sd=4.0)
    found = dti_maps(series, Gradients.of(b, g), mask=series.grid.image(inside))
    assert np.abs(array(found.maps["adc"])[inside] / adc[inside] - 1).mean() < 0.02
    assert np.abs(array(found.maps["fa"])[inside] - fa[inside]).mean() < 0.02
    assert (array(found.maps["adc"])[~inside] == 0).all()
    assert found.record["snr"] == pytest.approx(250, rel=0.1)
    assert found.losses == []
    record = write(found, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "adc.nii.gz",
        "fa.nii.gz",
        "fit.json",
        "mask.nii.gz",
    ]
    assert read_image(tmp_path / "out" / "adc.nii.gz").GetMetaData("descrip").startswith("adc [mm2/s]")
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["medians"]["adc"] == pytest.approx(
        record["medians"]["adc"]
    )


def test_the_head_is_found_where_no_mask_is_given():
    b, g = ds.scheme(ds.SIX)
    series, _, _, inside = made(b, g, sd=4.0)
    found = dti_maps(series, Gradients.of(b, g))
    assert (boolean(found.mask) & inside).sum() > 0.9 * inside.sum()
    assert any("Movement between the volumes" in n for n in found.notes)
    assert any("noise cannot be told" in n for n in found.notes)


def test_three_directions_give_adc_and_say_why_no_fa():
    b, g = ds.scheme(ds.THREE)
    series, adc, _, inside = made(b, g)
    found = dti_maps(series, Gradients.of(b, g), mask=series.grid.image(inside))
    assert set(found.maps) == {"adc"}
    np.testing.assert_allclose(array(found.maps["adc"])[inside], adc[inside], rtol=1e-3)
    assert "FA was not computed" in found.losses[0]


def test_a_few_percent_of_bad_voxels_are_said():
    b, g = ds.scheme(ds.spread(24), 1)
    series, _, _, inside = made(b, g, sd=150.0)
    frames = series.frames.copy()
    frames[3, 3, 8] = 0.0
    frames[:, 4, 8] = np.random.default_rng(1).normal(200, 60, (25, 18))  # noise alone
    found = dti_maps(Series(frames, series.grid, "dwi"), Gradients.of(b, g), mask=series.grid.image(inside))
    said = " ".join(found.notes)
    assert "eigenvalue below 0" in said
    assert "which makes the FA of grey matter too high by about 0." in said
    assert "samples that are not above 0 were left out" in said
    assert "voxels have no ADC and are NaN" in said
    assert np.isnan(array(found.maps["adc"])[4, 8][inside[4, 8]]).all()


def test_directions_of_other_volumes_and_odd_volumes_are_said():
    b, g = ds.scheme(ds.spread(24), 1)
    series, _, _, inside = made(b, g, sd=10.0)
    mask = series.grid.image(inside)
    assert not [
        n for n in dti_maps(series, Gradients.of(b, g), mask=mask).notes if "chance" in n or "movement, dropouts" in n
    ]
    wrong = g.copy()
    wrong[1:] = np.random.default_rng(0).permutation(g[1:])
    assert [
        n for n in dti_maps(series, Gradients.of(b, wrong), mask=mask).notes if "no more of the signal than chance" in n
    ]
    series.frames[9] *= 0.6
    assert [n for n in dti_maps(series, Gradients.of(b, g), mask=mask).notes if "(movement, dropouts): 10." in n]


def test_what_cannot_be_is_refused():
    b, g = ds.scheme(ds.SIX)
    series, _, _, inside = made(b, g)
    mask = series.grid.image(inside)
    with pytest.raises(InputError, match="dwi has 7 volumes and there are 6 b-values"):
        dti_maps(series, Gradients.of(b[:-1], g[:-1]), mask=mask)
    with pytest.raises(InputError, match="ADC could be computed in no voxel"):
        dti_maps(series, Gradients.of([1000, 0, 0, 0, 0, 0, 0]), mask=mask)
    with pytest.raises(InputError, match="'robust' is not known; choose from weighted, ordinary"):
        dti_maps(series, Gradients.of(b, g), DtiSettings(fit="robust"), mask=mask)


def test_a_block_of_tissue_without_air_is_fitted_whole():
    b, g = ds.scheme(ds.spread(12), 2)
    rng = np.random.default_rng(8)
    grid, *_ = ds.head()
    adc, fa = rng.uniform(0.6e-3, 1.4e-3, grid.shape), rng.uniform(0.1, 0.6, grid.shape)
    series = ds.series(grid, adc, fa, rng.uniform(800, 1200, grid.shape), b, g, rng, 5.0)
    found = dti_maps(series, Gradients.of(b, g))
    assert boolean(found.mask).all()
    assert any("All voxels were fitted" in n for n in found.notes)
