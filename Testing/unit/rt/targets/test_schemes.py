"""The scheme table: the library's own, and edited copies."""

import json

import pytest
from gliosuite.errors import InputError
from gliosuite.resources import read_text
from gliosuite.rt.targets import scheme
from gliosuite.rt.targets.schemes import schemes


def edited(tmp_path, **changes):
    rows = json.loads(read_text("ctv_schemes.json"))["schemes"][:2]
    rows[0]["targets"][0] |= {k: v for k, v in changes.items() if k not in rows[0]}
    rows[0] |= {k: v for k, v in changes.items() if k in rows[0]}
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"schemes": rows}), encoding="utf-8")
    return path


def test_an_edited_copy_is_taken(tmp_path):
    path = edited(tmp_path, name="ours", margin_mm=12, year=2026)
    assert list(schemes(path)) == ["ours", "rtog-boost"]
    ours = scheme("ours", path)
    assert (ours.targets[0].margin_mm, ours.year, ours.ptv_mm) == (12, 2026, (3, 5))
    assert ours.targets[0].ptv_name == "PTV_RTOG"
    with pytest.raises(InputError, match="CTV scheme 'rtog' is not known; choose from ours, rtog-boost"):
        scheme("rtog", path)


def test_the_model_has_two_dose_levels():
    first, rest = scheme("model").targets
    assert (first.margin_mm, first.dose) == (None, "60 Gy")
    assert (rest.rest_of, rest.margin_mm, rest.gtv) == (first.ctv_name, 20, ("cel", "t2l"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"margin_mm": 80}, "margin 80 mm is out of range"),
        ({"ctv_name": "CTV_WITH_A_LONG_NAME"}, "has 20 characters; 1 to 16 are needed"),
        ({"ctv_name": "TARGET"}, "does not start with CTV"),
        ({"gtv_name": "CTV_RTOG_BOOST"}, "the name CTV_RTOG_BOOST is taken|is taken by another target"),
        ({"gtv": ["cell"]}, "a GTV is made of cel, t2l, cavity; found cell"),
        ({"gtv": []}, "found none"),
        ({"name": "rtog-boost"}, "scheme rtog-boost is there twice"),
        ({"targets": []}, "has no targets"),
        ({"colour": "red"}, "is no scheme table .*colour"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        schemes(edited(tmp_path, **changes))


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read as a scheme table"):
        schemes(path)
    for text in ("{", "[]", '{"schemes": 3}', '{"schemes": [{"name": "a"}]}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="is no scheme table"):
            schemes(path)
    path.write_text('{"schemes": []}', encoding="utf-8")
    with pytest.raises(InputError, match="there is no scheme"):
        schemes(path)
