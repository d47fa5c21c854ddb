import numpy as np
import pytest
from gliosuite.simulate import Effects, properties
from gliosuite.simulate.properties import TYPICAL, draw_physiology

FIELDS = {n: np.linspace(-2, 2, 9, dtype=np.float32) for n in ("vascular", "leaky", "cellular")}


@pytest.fixture(scope="module")
def physiology():
    return draw_physiology(np.random.default_rng(3))


def test_texture_off_makes_a_class_uniform(physiology):
    flat = physiology.values("cel", FIELDS, Effects.none())
    assert all(np.ptp(v) == 0 for v in flat.values())
    assert (flat["delay"] == 0).all()
    rough = physiology.values("cel", FIELDS, Effects())
    assert np.ptp(rough["ktrans"]) > 0.02
    assert np.ptp(rough["delay"]) > 0.5
    assert rough["ve"].max() <= 0.80


def test_class_means_scatter_around_the_population_and_presets_scale_them(physiology):
    draws = [draw_physiology(np.random.default_rng(s)).means["cel"]["ktrans"] for s in range(400)]
    assert np.median(draws) == pytest.approx(TYPICAL["cel"].ktrans, rel=0.08)
    assert np.std(np.log(draws)) == pytest.approx(properties.BETWEEN["ktrans"], rel=0.1)
    halved = draw_physiology(np.random.default_rng(3), {"cel": {"ktrans": 0.5}})
    assert halved.means["cel"]["ktrans"] == pytest.approx(0.5 * physiology.means["cel"]["ktrans"])
    assert halved.means["wm"] == physiology.means["wm"]
