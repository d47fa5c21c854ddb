import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, boolean
from gliosuite.metabolites import indices, measured, metabolite_index, metabolite_maps


@pytest.fixture
def normal_and_tumour():
    rng = np.random.default_rng(2)
    naa = rng.uniform(20, 100, 4000)  # partial fluid
    cho = 0.5 * naa + rng.normal(0, 3, 4000)
    return np.concatenate([cho, np.full(200, 90.0)]), np.concatenate([naa, np.full(200, 25.0)])


def test_index_counts_standard_deviations_from_the_line_of_normal_tissue(normal_and_tumour):
    cho, naa = normal_and_tumour
    cni = metabolite_index(cho, naa, np.ones(cho.size, bool))
    assert cni[:4000].mean() == pytest.approx(0, abs=0.15)
    assert cni[:4000].std() == pytest.approx(1, abs=0.15)
    # (90 - .5 * 25) / hypot(1, .5), in units of 3 / hypot(1, .5)
    assert cni[4000:].mean() == pytest.approx((90 - 12.5) / 3, rel=0.12)


def test_tumour_among_the_candidates_is_taken_out(normal_and_tumour):
    cho, naa = normal_and_tumour
    known = np.arange(cho.size) < 4000
    with_tumour, without = (metabolite_index(cho, naa, k) for k in (np.ones(cho.size, bool), known))
    np.testing.assert_allclose(with_tumour, without, rtol=0.05, atol=0.05)


def test_fluid_has_an_index_of_zero_and_nothing_to_compare_with_gives_none():
    rng = np.random.default_rng(1)
    naa = np.append(rng.uniform(50, 100, 300), 0.0)
    cho = np.append(0.4 * naa[:300] + rng.normal(0, 2, 300), 0.0)
    normal = np.arange(301) < 300
    assert metabolite_index(cho, naa, normal)[-1] == 0
    assert np.isnan(metabolite_index(cho, naa, np.zeros(301, bool))).all()
    assert np.isnan(metabolite_index(2 * naa, naa, normal)).all()


def test_indices_compare_choline_naa_and_creatine():
    rng = np.random.default_rng(3)
    peaks = {n: rng.normal(m, 2, 500) for n, m in (("cho", 50.0), ("cre", 45.0), ("naa", 100.0))}
    peaks["cho"][0] = 90.0
    found = indices(peaks, np.ones(500, bool))
    assert found["cni"][0] > 8
    assert found["ccri"][0] > 8
    assert abs(found["crni"][0]) < 4


# ------------------------------------------------------------------------------------------------------------ maps of a box


def spectra(seed=4, box=True):
    """Peaks on a grid of 10 mm in whose middle lies a box with a tumour and a ventricle; which voxels are box, tumour, ventricle."""
    rng = np.random.default_rng(seed)
    shape = (8, 12, 10)
    inside = np.zeros(shape, bool)
    inside[2:6, 2:10, 2:8] = True
    tumour, fluid = np.zeros_like(inside), np.zeros_like(inside)
    tumour[3:5, 3:5, 3:5] = True
    fluid[3:5, 7, 4:6] = True
    naa = np.where(tumour, 30.0, 90.0) * rng.uniform(0.7, 1, shape)
    peaks = {"naa": naa, "cho": 0.5 * naa + rng.normal(0, 2, shape), "cre": 0.6 * naa + rng.normal(0, 2, shape)}
    peaks["cho"][tumour] = 70.0
    peaks["lac"] = np.where(tumour, 20.0, 0.0)
    where = inside if box else np.ones(shape, bool)
    peaks = {n: np.where(where & ~fluid, v, 0).astype(np.float32) for n, v in peaks.items()}
    grid = Grid((10, 12, 8), (10.0, 10.0, 10.0), (-45.0, -55.0, -35.0), tuple(np.eye(3).ravel()))
    return {n: grid.image(v) for n, v in peaks.items()}, inside, tumour, fluid


def test_outside_the_box_all_is_missing_and_fluid_within_is_not():
    images, box, tumour, fluid = spectra()
    found = metabolite_maps(images)
    assert np.array_equal(boolean(found.box), box)
    for name in ("cho", "naa", "lac", "cni", "ccri", "crni"):
        assert np.array_equal(np.isfinite(array(found.maps[name])), box), name
    assert (array(found.maps["lac"])[box & ~tumour] == 0).all()
    assert (array(found.maps["cni"])[fluid] == 0).all()
    assert found.made == ("cni", "ccri", "crni")
    cni = array(found.maps["cni"])
    assert cni[tumour].min() > 10
    assert abs(np.median(cni[box & ~tumour])) < 0.3


def test_a_box_filled_up_with_nan_is_the_same_box():
    images, box, tumour, _ = spectra()
    blank = {n: Grid.of(i).image(np.where(box, array(i), np.nan).astype(np.float32)) for n, i in images.items()}
    one, two = metabolite_maps(images), metabolite_maps(blank)
    for name in one.maps:
        np.testing.assert_array_equal(array(one.maps[name]), array(two.maps[name]), err_msg=name)
    assert tumour.any()


def test_a_map_that_is_there_everywhere_has_no_outside():
    images, *_ = spectra(box=False)
    assert measured([array(images["cho"]), array(images["naa"])]).all()


def test_masks_say_where_normal_tissue_is():
    images, box, tumour, _ = spectra()
    grid = Grid.of(images["cho"])
    half = box.copy()
    half[:, :6] = False
    found = metabolite_maps(images, grid.image(half))
    assert found.normal_voxels["cni"] <= half.sum()
    assert "in all of the brain, tumour taken out" in found.notes[0]
    with_lesion = metabolite_maps(images, grid.image(box), grid.image(tumour))
    assert "outside the lesion" in with_lesion.notes[0]
    assert with_lesion.normal_voxels["cni"] > 0.85 * (box & ~tumour).sum()
    everywhere = metabolite_maps(images, grid.image(box), grid.image(box))
    assert "too little of it lies outside the lesion" in everywhere.notes[0]


def test_an_index_of_the_case_stays_and_others_are_not_invented():
    images, box, *_ = spectra()
    own = Grid.of(images["cho"]).image(np.where(box, 3.0, 0).astype(np.float32))
    found = metabolite_maps({"cho": images["cho"], "naa": images["naa"], "cni": own})
    assert found.made == ()
    assert np.nanmedian(array(found.maps["cni"])) == 3
    assert np.isnan(array(found.maps["cni"])[~box]).all()
    assert "ccri" not in found.maps


def test_what_cannot_be_is_refused_or_said():
    images, box, *_ = spectra()
    grid = Grid.of(images["cho"])
    moved = sitk.Image(images["naa"])
    moved.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="the naa map lies on another grid than cho"):
        metabolite_maps({"cho": images["cho"], "naa": moved})
    with pytest.raises(InputError, match="0 or undefined everywhere"):
        metabolite_maps({"cho": grid.image(np.zeros(grid.shape, np.float32))})
    few = np.zeros_like(box)
    few[3, 3, 2:8] = True
    small = {n: grid.image(np.where(few, array(images[n]), 0).astype(np.float32)) for n in ("cho", "naa")}
    found = metabolite_maps(small)
    assert "cni" not in found.maps
    assert "20 are needed" in found.notes[0]
