"""One table says how maps are called and shown; it holds every map that a step writes, in the units of the contract."""

import json

import numpy as np
import pytest
from gliosuite.perfusion.dce.maps import _MAPS
from gliosuite.perfusion.dce.semiquantitative import NAMES
from gliosuite.resources import _own_color, codes, colors, display, look, read_text
from gliosuite.rt.barriers import NAMES as BARRIERS
from gliosuite.rt.targets.schemes import schemes

UNITS = {
    "1/min": "ktrans kep ps",
    "fraction": "ve vp",
    "ml/100ml/min": "fp cbf",
    "ml/100ml": "cbv",
    "s": "delay mtt tmax ttp t1",
    "1": "k1",
    "1/s": "k2 ph",
    "%": "psr",
    "input units": "m0",
}


@pytest.mark.parametrize("unit, names", UNITS.items())
def test_units_are_those_of_the_contract(unit, names):
    assert {look(name).unit for name in names.split()} == {unit}


def test_every_map_of_a_step_is_in_the_table():
    dce = {*(n for names in _MAPS.values() for n in names), *NAMES, "rmse", "model", "misfit"}
    dce |= {f"{n}_unclamped" for n in ("ktrans", "ps", "vp")}
    dsc = {
        "cbv",
        "cbf",
        "mtt",
        "tmax",
        "ttp",
        "k1",
        "k2",
        "kep",
        "leakage_model",
        "deconvolution_model",
        "psr",
        "ph",
        "ncbv",
        "ncbf",
    }
    assert dce | dsc | {"t1", "m0", "b1"} <= set(display()["maps"])


def test_an_sd_has_the_unit_of_its_map():
    assert look("ktrans_sd") == look("ktrans")._replace(title="SD of Ktrans")


def test_what_is_not_calibrated_is_said_in_the_head():
    assert look("cbv").head == "ml/100ml, not calibrated"
    assert look("ncbv").head == look("ncbv").unit


def test_a_free_map_has_a_look_too():
    assert look("mine")[:5] == ("mine", "", "viridis", None, True)


def test_a_structure_has_one_color_whatever_stands_beside_it():
    alone, among = colors(["CTV_EANO"]), colors(["CTV_RTOG", "mine", "GTV_EANO", "CTV_EANO", "PTV_EANO"])
    assert alone["CTV_EANO"] == among["CTV_EANO"]
    assert len(set(among.values())) == 5
    assert colors(["Brain", "GTV_CEL"]) == {
        "Brain": display()["regions"]["brain"]["color"],
        "GTV_CEL": display()["regions"]["cel"]["color"],
    }


def test_every_target_of_the_schemes_and_every_barrier_has_its_own_color():
    rules = [t for s in schemes().values() for t in s.targets]
    names = [n for t in rules for n in (t.ctv_name, t.gtv_name, t.ptv_name)]
    assert all(_own_color(name) for name in (*names, *BARRIERS))
    assert len(set(colors(names).values())) == len(names)
    found = colors(BARRIERS)
    assert len(set(found.values())) == len(found)


def test_codes_are_those_of_dicom():
    pydicom = pytest.importorskip("pydicom.sr._concepts_dict")
    known = pydicom.concepts["DCM"]
    meanings = {code: meaning for entry in known.values() for code, (meaning, _) in entry.items()}
    for name in display()["maps"]:
        quantity, unit = codes(name)
        if quantity is not None:
            assert meanings[quantity[1]] == quantity[2], name
        assert unit is not None or " " in look(name).unit or not look(name).unit, f"{name} has a unit without a code"
    assert codes("ktrans_sd") == (None, codes("ktrans")[1])
    assert codes("mine") == (None, None)


def test_a_diverging_map_has_its_light_middle_and_two_even_sides():
    stops = json.loads(read_text("colormaps.json"))["coolwarm"]
    luminance = np.array([np.dot([int(s[i : i + 2], 16) for i in (1, 3, 5)], (0.2126, 0.7152, 0.0722)) for s in stops])
    assert luminance.argmax() in range(15, 18)
    assert (np.diff(luminance[:16]) > 0).all()
    assert (np.diff(luminance[17:]) < 0).all()


# ------------------------------------------------------------------------------------------------------ colour blindness


def test_the_measure_of_colours_is_that_of_its_source():
    """Pairs of Sharma 2005, table 1."""
    from eyes import ciede2000

    for first, second, difference in (
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ):
        assert ciede2000(np.array(first), np.array(second)) == pytest.approx(difference, abs=1e-4)


def test_contours_that_are_seen_together_are_told_apart_by_colour_blind_readers():
    from eyes import closest, groups

    for what, found, bar in groups():
        assert closest(found)[0] >= bar, (what, closest(found))


def test_both_lesions_at_progression_have_colours_of_their_own():
    found = colors(["cel", "t2l", "progression_cel", "progression_t2l"])
    assert len(set(found.values())) == 4
