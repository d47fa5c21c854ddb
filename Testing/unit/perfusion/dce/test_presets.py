"""Presets: the table is sound, the command line offers it, and what departs from it is told."""

import dataclasses
import json

import pytest
from gliosuite.cli import build_parser
from gliosuite.errors import InputError
from gliosuite.perfusion.dce import preset, preset_settings
from gliosuite.perfusion.dce.presets import preset_record
from gliosuite.perfusion.settings import DceSettings
from gliosuite.resources import read_text

NAMES = [row["name"] for row in json.loads(read_text("dce_presets.json"))["presets"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_names_fields_of_the_settings_and_its_source(name):
    row = preset(name)
    assert set(row.settings) <= {f.name for f in dataclasses.fields(DceSettings)}
    assert row.source
    assert preset_record(preset_settings(name), row.t10_s or 1.0, row.aif)["preset"]["overridden"] == {}


@pytest.mark.parametrize("command", [("dce", "s", "--out", "o"), ("run", "case", "--out", "o")])
def test_commands_offer_the_presets_of_the_table(command):
    for name in NAMES:
        assert build_parser().parse_args([*command, "--preset", name]).preset == name


def test_what_is_given_takes_precedence_and_is_told():
    settings = preset_settings("yoon2024", model="etm", relaxivity=None, tr_ms=5.0)
    assert (settings.model, settings.relaxivity, settings.tr_ms, settings.aif_fit) == ("etm", 4.5, 5.0, False)
    record = preset_record(settings, None, "mask")["preset"]
    assert record["overridden"] == {
        "model": {"preset": "tofts", "used": "etm"},
        "aif": {"preset": "auto", "used": "mask"},
        "t10_s": {"preset": 1.0, "used": "map"},
    }
    assert "noise modulation" in " ".join(preset("lyoo2025").not_stated)


def test_without_a_preset_there_is_nothing_to_tell():
    assert preset_settings(None) == DceSettings()
    assert preset_record(DceSettings(), 1.0, "auto") == {}


def test_an_unknown_preset_is_refused():
    with pytest.raises(InputError, match="preset 'smith' is not known; choose from yoon2024, lyoo2025"):
        preset_settings("smith")
