"""A step in a QProcess: progress, result, errors, Cancel."""

import sys

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
