import numpy as np
import pytest
from gliosuite.simulate import properties
from gliosuite.simulate.acquisition import CLASSES, Effects
from gliosuite.simulate.properties import PARAMETERS, TYPICAL, draw_physiology, truth_maps
from gliosuite.simulate.protocols import Dsc

FIELDS = {n: np.linspace(-2, 2, 9, dtype=np.float32) for n in ("vascular", "leaky", "cellular")}


@pytest.fixture(scope="module")
def physiology():
    return draw_physiology(np.random.default_rng(3))


def test_every_class_has_properties():
    assert set(TYPICAL) == set(CLASSES)


def test_texture_off_makes_a_class_uniform(physiology):
    flat = physiology.values("cel", FIELDS, Effects.none())
    assert all(np.ptp(v) == 0 for v in flat.values())
    assert (flat["delay"] == 0).all()
    rough = physiology.values("cel", FIELDS, Effects())
    assert np.ptp(rough["ktrans"]) > 0.02
    assert np.ptp(rough["delay"]) > 0.5
    assert rough["ve"].max() <= 0.80


def test_texture_has_the_signs_of_biology(physiology):
    def change(name, field):
        both = {field: np.array([-1.0, 1.0], np.float32)}
        low, high = physiology.values("cel", both, Effects.none(texture=True))[name]
        return high / low

    assert change("cbv", "vascular") > 1.5 < change("vp", "vascular")
    assert change("ktrans", "leaky") > 1.5
    assert change("ve", "cellular") < 1 > change("adc", "cellular")
    assert change("cho", "cellular") > 1 > change("naa", "cellular")


def test_tumour_cells_change_what_they_live_among(physiology):
    density = {"density": np.array([0.0, 0.5], np.float32)}
    oedema = {k: v[1] / v[0] for k, v in physiology.values("oedema", density, Effects.none()).items() if v[0]}
    assert oedema["adc"] < 0.95
    assert oedema["cho"] > 1.4
    assert oedema["naa"] < 0.8
    assert oedema["cbv"] > 1.5
    assert 1.1 < oedema["ve"] < oedema["ktrans"] < 2
    white = physiology.values("wm", density, Effects.none())
    assert white["fa"][1] < 0.8 * white["fa"][0]
    assert physiology.values("wm", {"purity": np.array([0.2, 1.0])}, Effects.none())["fa"][0] < 0.7 * white["fa"][0]


def test_presets_shift_any_parameter_of_the_brain_and_nothing_else(physiology):
    shift = {"log_ve": np.array([0.0, 0.3], np.float32)}
    for name in ("cel", "oedema", "wm"):
        values = physiology.values(name, shift, Effects.none())
        assert values["ve"][1] == pytest.approx(values["ve"][0] * np.exp(0.3), rel=1e-5)
        assert all(np.ptp(values[k]) == 0 for k in PARAMETERS if k != "ve")
    assert np.ptp(physiology.values("muscle", shift, Effects.none())["ve"]) == 0


def test_class_means_scatter_around_the_population_and_presets_scale_them(physiology):
    draws = [draw_physiology(np.random.default_rng(s)).means for s in range(400)]
    ktrans = np.array([m["cel"]["ktrans"] for m in draws])
    assert np.median(ktrans) == pytest.approx(TYPICAL["cel"].ktrans, rel=0.08)
    assert np.std(np.log(ktrans)) == pytest.approx(properties.BETWEEN["ktrans"], rel=0.1)
    of = lambda name, key: np.log([m[name][key] for m in draws])
    assert np.corrcoef(of("cel", "cbv"), of("cel", "vp"))[0, 1] == pytest.approx(0.8, abs=0.06)
    assert np.corrcoef(of("cel", "mtt"), of("wm", "mtt"))[0, 1] == pytest.approx(0.64, abs=0.08)
    halved = draw_physiology(np.random.default_rng(3), {"cel": {"ktrans": 0.5}})
    assert halved.means["cel"]["ktrans"] == pytest.approx(0.5 * physiology.means["cel"]["ktrans"])
    assert halved.means["wm"] == physiology.means["wm"]
    both = draw_physiology(
        np.random.default_rng(3), {"cel": {"ktrans": 0.5}}, {"cel": {"ktrans": 3.0}, "wm": {"ve": 2.0}}
    )
    assert both.means["cel"]["ktrans"] == pytest.approx(1.5 * physiology.means["cel"]["ktrans"])
    assert both.means["wm"]["ve"] == pytest.approx(2.0 * physiology.means["wm"]["ve"])


def test_population_lies_in_the_ranges_of_the_literature():
    assert 0.0005 <= TYPICAL["wm"].ktrans <= 0.002
    assert 0.01 <= TYPICAL["wm"].vp <= 0.02
    assert 0.03 <= TYPICAL["gm"].vp <= 0.05
    assert 0.03 <= TYPICAL["cel"].ktrans <= 0.3
    assert TYPICAL["necrosis"].ktrans < 0.01 < 0.4 < TYPICAL["necrosis"].ve
    assert 0.5 <= TYPICAL["artery"].vp <= 1
    assert 3 <= TYPICAL["cel"].cbv / TYPICAL["wm"].cbv <= 5
    assert TYPICAL["wm"].adc < TYPICAL["cel"].adc < TYPICAL["oedema"].adc < TYPICAL["necrosis"].adc


def test_shapes_of_transit_times_are_few():
    shapes = properties.nearest_shape(np.geomspace(0.1, 40, 1000))
    assert len(np.unique(shapes)) == 25
    assert shapes.min() == 0.25
    assert shapes.max() == 16
    assert properties.nearest_shape(1.02) == 1


def test_truth_maps_hold_every_property_of_the_main_tissue(block):
    fractions = {n: (block.label == n) * np.float32(0.9) for n in CLASSES}
    fractions["csf"] += np.float32(0.1) * (block.label != "csf")
    brain = block.label != "vein"
    effects = Effects.none(texture=True, delay=True, b1=True)
    maps = truth_maps(block.grid, brain, fractions, block.fields, block.physiology, effects, Dsc())
    named = "ktrans ve vp delay t10 b1 cbf cbv mtt residue leakage adc fa cho cre naa lac lip cni ccri crni tissue"
    assert set(maps) == set(named.split())
    assert all(m.shape == block.grid.shape and np.isfinite(m).all() for m in maps.values())
    cel = block.label == "cel"
    own = block.physiology.values("cel", {k: v[cel] for k, v in block.fields.items()}, effects)
    for key in ("ktrans", "ve", "cbv", "adc", "naa"):
        np.testing.assert_array_equal(maps[key][cel], own[key])
    np.testing.assert_allclose(maps["cbf"][cel], 60 * own["cbv"] / own["mtt"], rtol=1e-6)
    assert maps["cbv"][block.label == "vein"].max() == 0  # outside the brain
    assert maps["t10"][block.label == "vein"].min() > 1
    assert maps["cbf"][block.label == "artery"].max() == 0
    np.testing.assert_array_equal(maps["b1"], block.fields["b1"])
    assert maps["leakage"][cel].max() < 0 == maps["leakage"][block.label == "wm"].max()
    assert np.median(maps["cni"][cel]) > 4
    assert abs(np.median(maps["cni"][np.isin(block.label, ("gm", "wm"))])) < 1
    off = truth_maps(block.grid, brain, fractions, block.fields, block.physiology, Effects.none(), Dsc())
    assert (off["b1"] == 1).all()


def test_after_a_preload_leakage_works_more_by_t2star():
    values = {"t1": np.array([1.5]), "ktrans": np.array([0.1]), "ve": np.array([0.3])}
    plain, after = (properties.leakage_rate(values, 1.0, Dsc(preload=p))[0] for p in (False, True))
    assert plain < 0
    assert after > plain
