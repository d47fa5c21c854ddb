"""A step in a QProcess: progress, result, errors, Cancel."""

import os
import sys
import time

import pytest


@pytest.fixture
def run(slicer, monkeypatch):
    """Run a script as a step; returns what it called back."""
    import gliosuite.ui.process as process

    def start(script, during=lambda step: None):
        monkeypatch.setattr(process, "command_line", lambda arguments: [sys.executable, "-c", script, *arguments])
        calls = {"progress": [], "done": [], "failed": []}
        step = process.Step(
            ["dce"], lambda *p: calls["progress"].append(p), calls["done"].append, calls["failed"].append
        )
        during(step)
        step.wait(20000)
        return calls, step

    return start


def test_progress_warning_and_result(run):
    calls, step = run(
        "import sys\n"
        'print(\'{"step": "dce", "fraction": 0.25, "message": "fitting \\u00b5"}\', file=sys.stderr, flush=True)\n'
        "print('warning: few frames', file=sys.stderr)\n"
        "print('{\"arguments\": \"' + ' '.join(sys.argv[1:]) + '\"}')"
    )
    assert calls["progress"] == [(0.25, "fitting µ")]
    assert calls["done"] == [{"arguments": "dce"}]
    assert calls["failed"] == []
    assert step.warnings == ["few frames"]


def test_bad_input(run):
    from gliosuite.errors import InputError

    calls, _ = run("import sys; print('error: no frames', file=sys.stderr); sys.exit(2)")
    assert calls["done"] == []
    assert isinstance(calls["failed"][0], InputError)
    assert str(calls["failed"][0]) == "no frames"


def test_crash(run):
    calls, _ = run("raise ValueError('what happened')")
    assert "what happened" in str(calls["failed"][0])


def test_cancel_ends_the_process(run):
    from gliosuite.mrml.process import CancelledError

    calls, _ = run("import time; time.sleep(60)", lambda step: step.cancel())
    assert isinstance(calls["failed"][0], CancelledError)
    assert len(calls["failed"]) == 1


def test_program_that_is_not_there(slicer, monkeypatch):
    import gliosuite.ui.process as process

    monkeypatch.setattr(process, "command_line", lambda arguments: ["no-such-program-here"])
    failed = []
    step = process.Step([], lambda *_: None, failed.append, failed.append)
    step.wait(1000)
    assert "could not be started" in str(failed[0])


@pytest.mark.skipif(os.name == "nt", reason="scripts with #! are needed")
def test_cancel_ends_the_computation_and_not_only_a_launcher(slicer, monkeypatch, tmp_path):
    """As in the application: PythonSlicer starts the interpreter and waits; ended, it leaves that running."""
    import gliosuite.ui.process as process
    from gliosuite.mrml.process import CancelledError

    (tmp_path / "gliosuite").mkdir()
    (tmp_path / "gliosuite" / "__init__.py").touch()
    (tmp_path / "gliosuite" / "__main__.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    for name, script in (("python-real", 'exec {python} "$@"'), ("PythonSlicer", '{python} "$@" &\nwait')):
        file = tmp_path / name
        file.write_text("#!/bin/sh\n" + script.format(python=sys.executable) + "\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(process, "FOLDER", tmp_path)
    failed = []
    step = process.Step(["dce"], lambda *_: None, failed.append, failed.append)
    for _ in range(400):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.05)
    computing = int((tmp_path / "pid").read_text())
    step.cancel()
    step.wait(20000)
    assert isinstance(failed[0], CancelledError)
    with pytest.raises(ProcessLookupError):
        os.kill(computing, 0)
