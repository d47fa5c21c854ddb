"""TG-263 names of a case's own structures."""

from gliosuite.rt import names
from gliosuite.rt.names import structure_name


def test_names_fit_planning_systems():
    assert structure_name("brainstem") == ("Brainstem", "ORGAN")
    assert structure_name("optic_nerve_l") == ("OpticNrv_L", "ORGAN")
    assert structure_name("lacrimal_gland_r") == ("Glnd_Lacrimal_R", "ORGAN")
    assert structure_name("ctv") == ("CTV_Clinical", "CTV")
    assert structure_name("cel") is None
    assert structure_name("progression_cel") is None
    assert all(len(structure_name(role + side)[0]) <= 16 for role in names._ORGANS for side in ("", "_l", "_r"))
