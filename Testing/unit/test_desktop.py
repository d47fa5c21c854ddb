"""The runner of the modules' own tests in Slicer, against a stand-in for the application's executable."""

import json
import os
import sys
from pathlib import Path

import pytest

from Testing.conftest import ROOT
from Testing.desktop import run


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """``fake(body)`` puts an executable `Slicer` on the PATH whose Python gets ``module, report, folder`` as `sys.argv[-3:]`."""
    monkeypatch.delenv("SLICER_EXECUTABLE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def write(body: str) -> Path:
        path = tmp_path / "bin" / "Slicer"
        path.write_text(
            f"#!{sys.executable}\nimport json, os, sys, time\nmodule, report, folder = sys.argv[-3:]\n{body}\n"
        )
        path.chmod(0o755)
        return path

    return write


PASSED = "json.dump({'in': 'Slicer 5.12.3', 'problem': ''}, open(report, 'w'))"


def test_without_slicer_it_says_so_in_a_sentence(fake, tmp_path, capsys):
    assert run.main(["--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("skipped: no Slicer on the PATH, and SLICER_EXECUTABLE is not set")
    assert not (tmp_path / "out").exists()


def test_a_named_executable_that_is_not_there_is_an_error(fake, monkeypatch, capsys):
    monkeypatch.setenv("SLICER_EXECUTABLE", "/nowhere/Slicer")
    assert run.main([]) == 2
    assert capsys.readouterr().err == (
        "error: SLICER_EXECUTABLE names /nowhere/Slicer, which is no executable; give the path of Slicer\n"
    )


def test_each_module_is_tested_in_an_application_of_its_own(fake, tmp_path, capsys):
    fake(f"{PASSED}\njson.dump(sys.argv, open(os.path.join(folder, module + '.args'), 'w'))")
    assert run.main(["--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    for name in run.MODULES:
        assert f"passed {name}" in said
        words = json.loads((tmp_path / "out" / f"{name}.args").read_text())
        folders = words[words.index("--additional-module-paths") + 1 : words.index("--python-script")]
        assert folders == [str(ROOT / m) for m in run.MODULES]
        assert {"--testing", "--disable-settings", "--ignore-slicerrc"} <= set(words)


def test_what_failed_is_told_with_its_log(fake, tmp_path, capsys):
    fake(
        "print('a line of the log')\n"
        "problem = 'AssertionError: no ktrans' if module == 'GlioRT' else ''\n"
        "json.dump({'in': '', 'problem': problem}, open(report, 'w'))\nsys.exit(bool(problem))"
    )
    assert run.main(["--out", str(tmp_path / "out"), "GlioCore", "GlioRT"]) == 1
    said = capsys.readouterr().out
    assert "passed GlioCore" in said
    assert "FAILED GlioRT" in said
    assert "AssertionError: no ktrans" in said
    assert "| a line of the log" in said


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("os.abort()", "Slicer ended with exit code -6 before the test was done"),
        ("sys.exit(0)", "Slicer ended with exit code 0 before the test was done"),
        (f"{PASSED}\nsys.exit(11)", "its test passed, but Slicer ended with exit code 11"),
    ],
)
def test_an_application_that_breaks_has_not_passed(fake, tmp_path, capsys, body, sentence):
    fake(body)
    (tmp_path / "GlioRT.json").write_text(json.dumps({"in": "an earlier run", "problem": ""}))
    assert run.main(["--out", str(tmp_path), "GlioRT"]) == 1
    assert sentence in capsys.readouterr().out


def test_one_that_hangs_is_ended_with_all_that_it_started(fake, tmp_path, capsys):
    """Slicer is a launcher: what counts is its child."""
    fake(
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "open(os.path.join(folder, 'child'), 'w').write(str(child.pid))\ntime.sleep(300)"
    )
    assert run.main(["--out", str(tmp_path), "--timeout", "2", "GlioRT"]) == 1
    assert "was ended after 2 s" in capsys.readouterr().out
    state = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_the_source_tree_is_not_needed(fake, tmp_path):
    """A build's folder in place of the sources."""
    fake(f"{PASSED}\njson.dump(sys.argv, open(os.path.join(folder, 'args'), 'w'))")
    assert run.main(["--out", str(tmp_path), "--installed", str(tmp_path / "qt-scripted-modules"), "GlioRT"]) == 0
    words = json.loads((tmp_path / "args").read_text())
    assert words[words.index("--additional-module-paths") + 1] == str(tmp_path / "qt-scripted-modules")


def test_the_whole_of_it_on_our_stand_ins(tmp_path, monkeypatch, capsys):
    """`inside.py` as Slicer would run it, in the stand-in application; the build's test runs the tests of all modules."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6", reason="PySide6-Essentials is not installed")
    monkeypatch.setenv("SLICER_EXECUTABLE", str(ROOT / "Testing" / "standin" / "Slicer"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert run.main(["--out", str(tmp_path), "GlioRecurrence"]) == 0
    said = json.loads((tmp_path / "GlioRecurrence.json").read_text())
    assert said == {"in": "Stand-in", "problem": ""}
    monkeypatch.setenv("GLIOSUITE_FAKE_SLICER", "ends badly")
    assert run.main(["--out", str(tmp_path), "GlioRecurrence"]) == 1
    assert "exit code 3" in capsys.readouterr().out


def test_the_workflow_tests_on_three_systems_and_keeps_the_pictures():
    """It has never been run here: that it is read, and calls what exists, is all that is shown."""
    yaml = pytest.importorskip("yaml")
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "slicer.yml").read_text())["jobs"].values()
    assert {entry["package"] for entry in job["strategy"]["matrix"]["include"]} == {"linux", "win", "macosx"}
    assert any("xvfb-run" in step.get("run", "") for step in job["steps"])
    scripts = {word for step in job["steps"] for word in step.get("run", "").split() if word.endswith(".py")}
    assert scripts == {"Testing/desktop/run.py"}
    assert all((ROOT / script).exists() for script in scripts)
    *_, upload = job["steps"]
    assert (upload["if"], upload["with"]["path"]) == ("always()", "build/slicer")
