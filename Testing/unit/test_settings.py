"""Settings are said once: the command line, the pipeline and the panel agree with the dataclasses, and no list or default is repeated."""

import argparse
import ast
from dataclasses import dataclass

import pytest
from gliosuite.cli import build_parser
from gliosuite.errors import InputError
from gliosuite.lesions import LesionSettings
from gliosuite.perfusion.aif import POPULATIONS
from gliosuite.perfusion.fit.curvefit import _FORWARD
from gliosuite.perfusion.fit.models import KINETIC
from gliosuite.perfusion.settings import (
    DECONVOLUTIONS,
    HEMATOCRIT,
    LEAKAGE,
    MODELS,
    POPULATION_AIFS,
    RELAXIVITY,
    DceSettings,
    DscSettings,
    InversionSettings,
    T1Settings,
)
from gliosuite.pipeline import RunSettings
from gliosuite.registration import ENGINES, RegistrationSettings
from gliosuite.registration.motion import MotionSettings
from gliosuite.settings import add_options, check, same, setting, settings_of

from Testing.unit.test_rules import FILES, parts, tree


@dataclass(frozen=True)
class Bread:
    flour: str = setting("rye", "which flour", title="flour", choices=("rye", "wheat"))
    water: float = setting(
        0.7, "share of water", metavar="F", low=0, low_open=True, high=1, needed="a share is needed, e.g. {default:g}"
    )
    loaves: int | None = setting(None, "how many")
    salt: bool = setting(True, "add salt")
    seeds: bool = setting(False, "add seeds")


@dataclass(frozen=True)
class Rolls:
    dough: str = same(Bread, "flour", option="--dough")


def options(parser):
    return {a.option_strings[0]: a for a in parser._actions if a.option_strings}


def test_values_out_of_range_are_refused_in_one_sentence():
    check(Bread(), "flour", "water")
    with pytest.raises(InputError, match=r"^flour 'oat' is not known; choose from rye, wheat$"):
        check(Bread(flour="oat"), "flour")
    for value in (0.0, 1.5, float("nan")):
        with pytest.raises(InputError, match=rf"^a: water is {value:g}; a share is needed, e\.g\. 0\.7 \(--water\)$"):
            check(Bread(water=value), "water", of="a: ")
    check(Bread(water=1.0), "water")


def test_options_are_made_from_settings():
    parser = argparse.ArgumentParser()
    add_options(parser, Bread, "flour", "water", "loaves", "salt", "seeds")
    assert vars(parser.parse_args([])) == {"flour": "rye", "water": 0.7, "loaves": None, "salt": None, "seeds": False}
    given = parser.parse_args(["--flour", "wheat", "--water", ".5", "--loaves", "2", "--no-salt", "--seeds"])
    assert vars(given) == {"flour": "wheat", "water": 0.5, "loaves": 2, "salt": False, "seeds": True}
    found = options(parser)
    assert found["--flour"].help == "which flour (default rye)"
    assert found["--salt"].help == "add salt (default yes)"
    assert (found["--loaves"].help, found["--seeds"].help) == ("how many", "add seeds")


def test_an_option_may_be_left_open():
    parser = argparse.ArgumentParser()
    add_options(parser, Bread, "water", unset=True, more=", or the flour's")
    assert parser.parse_args([]).water is None
    assert options(parser)["--water"].help == "share of water (default 0.7, or the flour's)"


def test_one_field_may_be_another_s():
    assert Rolls().dough == "rye"
    assert settings_of(Rolls)["dough"].flag == "--dough"
    assert settings_of(Rolls)["dough"].choices == ("rye", "wheat")


COMMANDS = next(a for a in build_parser()._actions if a.dest == "command").choices
# What a preset or the case may decide is left open on the command line; its help says the default.
OPEN = {
    "t10_s",
    "aif_search",
    "sinus",
    "aif_fit",
    "t10_blood_s",
    "hematocrit",
    "relaxivity",
    "delay",
    "model",
    "allow_invalid_voxels",
    "noise_floor",
}


@pytest.mark.parametrize(
    "command, cls",
    [
        ("dce", DceSettings),
        ("aif", DceSettings),
        ("dsc", DscSettings),
        ("t1", T1Settings),
        ("t1", InversionSettings),
        ("run", RunSettings),
        ("demo", RunSettings),
        ("register", RegistrationSettings),
        ("motion", MotionSettings),
        ("lesions", LesionSettings),
    ],
)
def test_the_command_line_agrees_with_the_settings(command, cls):
    found = options(COMMANDS[command])
    shown = {n: s for n, s in settings_of(cls).items() if s.flag in found and n not in ("device",)}
    assert shown
    for name, one in shown.items():
        option = found[one.flag]
        if command == "aif" and name == "input":
            assert set(one.choices) < set(option.choices)
            continue
        if cls is T1Settings and name in ("tr_ms", "flip_angles_deg"):
            continue
        assert tuple(option.choices or ()) == one.choices, name
        assert option.default == one.default or (name in OPEN | {"threshold"} and option.default is None), name
        if name in OPEN and one.default not in (None, False):
            assert one.shown_default() in option.help


def test_engines_are_the_same_everywhere():
    for command in ("run", "register", "progression"):
        assert options(COMMANDS[command])["--engine"].choices == ENGINES


def test_each_name_has_what_it_stands_for():
    assert set(KINETIC) == set(_FORWARD) == set(MODELS) - {"auto"}
    assert tuple(POPULATIONS) == POPULATION_AIFS


def test_lists_of_names_stand_once():
    for names in (set(MODELS), set(LEAKAGE), set(DECONVOLUTIONS), set(ENGINES), {"auto", *POPULATION_AIFS}):
        literal = [
            f"{'/'.join(parts(path))}:{node.lineno}"
            for path in FILES
            for node in ast.walk(tree(path))
            if isinstance(node, (ast.Tuple, ast.List, ast.Set))
            and names <= {e.value for e in node.elts if isinstance(e, ast.Constant)}
        ]
        allowed = {"commands/registration", "commands/case"} if names == set(ENGINES) else set()
        assert len([x for x in literal if x.split(":")[0] not in allowed]) <= 1, literal


@pytest.mark.parametrize("value, words", [(HEMATOCRIT, ("hematocrit",)), (RELAXIVITY, ("relaxivity", "r1_"))])
def test_the_numbers_of_blood_and_agent_stand_once(value, words):
    places = [
        f"{'/'.join(parts(path))}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.keyword, ast.Call))
        and any(isinstance(v, ast.Constant) and v.value == value for v in ast.iter_child_nodes(node))
        and any(w in ast.unparse(node).lower() for w in words)
    ]
    assert len(places) == 1, places


def test_a_run_takes_baseline_and_arrival_of_both_series():
    from gliosuite.commands.case import _settings

    words = ["run", "case", "--out", "out", "--dce-baseline", "6", "--dsc-arrival", "20.5"]
    found = _settings(build_parser().parse_args(words))
    assert (found.dce_baseline, found.dce_arrival_s, found.dsc_baseline, found.dsc_arrival_s) == (6, None, None, 20.5)
