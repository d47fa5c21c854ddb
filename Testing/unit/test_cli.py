"""The command line's contract: exit codes, one-line errors, stdout for JSON alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from gliosuite.cli import Reporter, _rounded, _short, build_parser, joined, main


def last(err: str) -> str:
    return err.strip().splitlines()[-1]


def test_a_missing_command_is_exit_2_and_names_one(gliosuite):
    code, out, err = gliosuite()
    assert code == 2
    assert out == ""
    assert last(err).startswith("error: a command is needed")


def test_a_typo_in_a_command_suggests_the_right_one(gliosuite):
    code, out, err = gliosuite("rprt", "x")
    assert (code, out) == (2, "")
    assert "did you mean report?" in last(err)
    assert len(err.strip().splitlines()) == 1, "no usage block"


def test_a_typo_in_an_option_suggests_the_right_one(gliosuite):
    code, _, err = gliosuite("demo", "--sed", "3", "--out", "y")
    assert code == 2
    assert last(err) == "error: not known: --sed 3; did you mean --seed? (gliosuite demo --help lists the options)"


def test_a_missing_file_is_named_by_what_help_calls_it(gliosuite, tmp_path):
    code, _, err = gliosuite("dce", tmp_path / "no.nii.gz", "--out", tmp_path / "out")
    assert code == 2
    assert last(err).endswith("no.nii.gz (SERIES) does not exist")


def test_numbers_have_no_digits_that_mean_nothing():
    assert _rounded({"cc": [0.1 + 0.2, 57.599999999999994], "n": 1, "x": None}) == {
        "cc": [0.3, 57.6],
        "n": 1,
        "x": None,
    }


def test_a_typo_in_a_choice_suggests_the_right_one(gliosuite):
    code, _, err = gliosuite("run", "x", "--out", "y", "--leakage", "bws")
    assert code == 2
    assert "did you mean bsw?" in last(err)


def test_a_missing_option_is_named(gliosuite):
    code, _, err = gliosuite("run", "x")
    assert code == 2
    assert "--out" in last(err)
    assert "gliosuite run --help" in last(err)


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_threads_must_be_a_whole_number(gliosuite, threads):
    code, _, err = gliosuite("doctor", f"--threads={threads}")
    assert code == 2
    assert "not a whole number of at least 1" in last(err)


def test_a_missing_case_folder_is_named_and_nothing_is_made(gliosuite, tmp_path):
    code, out, err = gliosuite("run", tmp_path / "nothing", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "nothing" in last(err)
    assert not (tmp_path / "out").exists()


def test_every_command_has_help_with_a_sentence_for_every_option(capsys):
    parser = build_parser()
    actions = next(a for a in parser._actions if a.dest == "command")
    assert {"import", "run", "register", "motion", "t1", "aif", "dce", "dsc", "ctv", "compare", "rtstruct"} <= set(
        actions.choices
    )
    for name, command in actions.choices.items():
        assert command.get_default("run") is not None, name
        for action in command._actions:
            assert action.help, f"{name} {action.option_strings or action.dest} has no help"
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
    assert "usage: gliosuite" in capsys.readouterr().out


def test_help_loads_no_numeric_library():
    code = (
        "import sys; from gliosuite.cli import build_parser; build_parser(); "
        "print([m for m in ('numpy', 'SimpleITK') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env())
    assert done.stdout.strip() == "[]"


def test_json_progress_is_one_object_per_line(capsys):
    report = Reporter("dce", as_json=True)
    report(0.25, "fitting")
    report(2.0, "done")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(0 <= line.pop("seconds") < 5 for line in lines)
    assert lines == [
        {"step": "dce", "fraction": 0.25, "message": "fitting"},
        {"step": "dce", "fraction": 1.0, "message": "done"},
    ]


def test_a_line_of_progress_says_the_time_elapsed_and_left_and_the_image(capsys):
    report = Reporter("dce", subject="dce.nii.gz")
    report(0.0, "reading")
    report.start -= 83
    report(0.25, "fitting")
    report.start -= 3600
    report(1.0, "maps")
    assert capsys.readouterr().err.splitlines() == [
        "  0 % 0:00  dce.nii.gz: reading",
        " 25 % 1:23, about 4:09 left  dce.nii.gz: fitting",
        "100 % 1:01:23  dce.nii.gz: maps",
    ]


def test_the_image_is_the_file_that_a_command_works_on():
    from gliosuite.cli import _subject

    parser = build_parser()
    parse = lambda *line: _subject(parser.parse_args(list(line)))
    moving = ("--fixed", "a.nii", "--moving", "study/b.nii", "--out", "c.nii", "--transform", "T.tfm")
    assert parse("register", *moving) == "b.nii"
    assert parse("motion", "study/dsc.nii.gz", "--out", "m.nii") == "dsc.nii.gz"
    assert parse("run", "cohort/P01/", "--out", "o") == "P01"
    assert parse("doctor") == ""


def test_warnings_stand_on_lines_of_their_own_on_a_terminal(monkeypatch, capsys):
    """What a terminal shows in the end: a carriage return begins the line anew."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    report = Reporter("dce", subject="dce.nii.gz")
    report(0.1, "finding the bolus in all of the frames that the series has")
    report.say("warning: few frames")
    report(0.5, "fit")
    report.end()
    written = capsys.readouterr().err
    shown = []
    for line in written.split("\n")[:-1]:
        screen = ""
        for over in line.split("\r"):
            screen = over + screen[len(over) :]
            assert len(over) < 60, "a line that wraps cannot be drawn over"
        shown.append(screen.rstrip())
    assert shown == ["warning: few frames", "[##########..........]  50 % 0:00  dce.nii.gz: fit"]


def test_a_terminal_gets_short_text_and_json_where_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "pieces:\n" in text
    assert "  numpy:\n    found: True" in text
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"]["numpy"]["found"] is True


def test_short_text_of_lists_and_numbers():
    result = {"medians": {"ktrans": 0.123456, "ve": None}, "files": ["a", "b"], "times": [0.5] * 60, "rows": [{"n": 1}]}
    assert list(_short(result)) == [
        *("medians:", "  ktrans: 0.1235", "  ve: -", "files: a, b", "times: 60 values", "rows:", "  n: 1"),
    ]


def test_rows_alike_are_a_table():
    rows = [{"input": "T1c", "value": 1.25, "unit": "mm"}, {"input": "all", "value": None, "unit": ""}]
    assert list(_short({"rows": rows})) == ["rows:", "  input value unit", "  T1c    1.25 mm", "  all       -"]
    other = [rows[0], {"input": "T1c"}]
    assert list(_short({"rows": other}))[1] == "  input: T1c"


def test_a_place_may_begin_with_a_minus():
    assert joined(["recurrence", "why", "R", "--at", "-12,30,-5"]) == ["recurrence why", "R", "--at=-12,30,-5"]
    assert joined(["aif", "S", "--aif-points", "-1.5,2,3;4,5,6", "--out", "o"])[2] == "--aif-points=-1.5,2,3;4,5,6"
    assert joined(["dce", "S", "--arrival", "-3", "--quiet", "-x,1"]) == [
        "dce",
        "S",
        "--arrival",
        "-3",
        "--quiet",
        "-x,1",
    ]


def test_short_text_leaves_long_tables_within_tables_to_json_and_fits_the_terminal(monkeypatch):
    from gliosuite.cli import _wrapped

    assert list(_short({"aif": {"peak": 6.8, "quality": dict.fromkeys(map(str, range(13)), 1)}})) == [
        *("aif:", "  peak: 6.8", "  quality: 13 values"),
    ]
    monkeypatch.setenv("COLUMNS", "40")
    line = "  " + "a sentence of many words " * 4
    folded = _wrapped(line).split("\n")
    assert all(len(one) <= 40 for one in folded)
    assert " ".join(" ".join(folded).split()) == line.strip()
    assert folded[1].startswith("      many")
    assert _wrapped("out: /" + "long" * 30) == "out:\n    /" + "long" * 30


@pytest.mark.parametrize("command", ["run", "dce", "ctv", "doctor"])
def test_options_common_to_all(command):
    actions = next(a for a in build_parser()._actions if a.dest == "command").choices[command]._actions
    flags = {f for a in actions for f in a.option_strings}
    assert {"--device", "--threads", "--quiet", "--progress", "--json"} <= flags


def test_quiet_says_nothing(capsys):
    Reporter("dce", quiet=True)(0.5, "fitting")
    assert capsys.readouterr().err == ""


def test_doctor_prints_one_json_object(gliosuite):
    code, out, _ = gliosuite("doctor")
    assert code == 0
    pieces = json.loads(out)["pieces"]
    assert pieces["numpy"]["found"] is True
    for piece in pieces.values():
        assert piece["found"] or (piece["switches_off"] and piece["get"])


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process at once on Windows")
def test_sigterm_is_exit_130_and_leaves_nothing(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "gliosuite", "demo", "--out", str(tmp_path / "demo")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_env(),
    )
    child.stderr.readline()  # the first progress line: the command is at work
    time.sleep(1.0)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert not list(tmp_path.rglob(".gliosuite-partial-*"))


def _env() -> dict[str, str]:
    import gliosuite

    return os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(gliosuite.__file__))}
