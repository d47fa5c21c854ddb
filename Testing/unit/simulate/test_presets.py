import numpy as np
import pytest
from gliosuite.commands import simulate as command
from gliosuite.errors import InputError
from gliosuite.simulate.presets import PRESETS, TWIN, card, preset
from gliosuite.simulate.properties import BETWEEN


def test_every_paper_has_a_preset_with_a_twin():
    for name in ("idh-grade", "ve-foci", "texture", "habitats", "arms"):
        effect, twin = preset(name), preset(name + TWIN)
        assert any(effect.strength.values())
        assert not any(twin.strength.values())
        assert effect.tumours == twin.tumours
        assert effect.source == twin.source
        assert card(name)["twin"] == name + TWIN
    assert {"default", "compact", "diffuse", "null", "shifted", "visit-pairs"} <= set(PRESETS)
    assert "default-twin" not in PRESETS


def test_a_card_says_what_is_drawn_from_what():
    text = card("default")
    assert text["tumours"]["t2l_cc"] == "log-normal, median 26.4, log-SD 0.727, in 1.2-153.6"
    assert text["tumours"]["extent"] == "GTR 35 %, STR 55 %, biopsy 10 %"
    assert text["people"]["progression"].startswith("Weibull, median 213 d")
    assert "no clinical claim" in text["note"]


def test_an_unknown_preset_is_refused_with_the_names():
    with pytest.raises(InputError, match="preset 'easy' is not known; choose from default, compact, diffuse"):
        preset("easy")


def test_help_names_every_preset():
    found = {}

    class Parser:
        def add_argument(self, name, **options):
            found[name] = options.get("help", "")

        def set_defaults(self, **_):
            pass

    command.register(lambda *_: Parser())
    for name in PRESETS:
        assert name.removesuffix(TWIN) in found["--preset"]


def test_grade_follows_s4s_table():
    from gliosuite.simulate.planted import plant_grade

    rows = [plant_grade(seed, preset("idh-grade").strength) for seed in range(3000)]
    count = lambda key, value: np.mean([r.clinical[key] == value for r in rows])
    assert count("idh", "mutant") == pytest.approx(82 / 329, abs=0.025)
    assert count("codeletion_1p19q", "codeleted") == pytest.approx(32 / 329, abs=0.02)
    assert [count("grade", g) for g in (2, 3, 4)] == pytest.approx([26 / 329, 67 / 329, 236 / 329], abs=0.025)
    mutant = next(r for r in rows if r.clinical["idh"] == "mutant" and r.clinical["grade"] == 3)
    assert mutant.scale["cel"]["ktrans"] == pytest.approx(np.exp(-1.41 * BETWEEN["ktrans"]))
    twins = [plant_grade(seed, preset("idh-grade-twin").strength) for seed in range(50)]
    assert all(v == 1.0 for t in twins for v in t.scale["cel"].values())
    assert [t.clinical for t in twins] == [r.clinical for r in rows[:50]]
