"""One table says how maps are called and shown; it holds every map that a step writes, in the units of the contract."""

import pytest
from gliosuite.perfusion.dce.maps import _MAPS
from gliosuite.perfusion.dce.semiquantitative import NAMES
from gliosuite.resources import _own_color, colors, display, look
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
