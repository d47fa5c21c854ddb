"""A step in a process of its own: progress, warnings, result, errors, and what is told of a crash."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from gliosuite.errors import InputError


def child(script):
    """A way to start a process that runs `script` instead of the command line, and keeps what it was given."""
    seen = {}

    def start(arguments, **options):
        seen.update(arguments=arguments, **options)
        return subprocess.Popen([sys.executable, "-c", script], **options)

    return start, seen


def test_result_progress_and_warnings(slicer):
    from gliosuite.mrml.process import FOLDER, run

    start, seen = child(
        "import sys\n"
        'print(\'{"step": "dce", "fraction": 0.5, "message": "fitting"}\', file=sys.stderr)\n'
        "print('warning: few frames', file=sys.stderr)\n"
        "print('{\"maps\": [\"' + 'k' * 200000 + '\"]}')\n"
    )
    progress, warnings = [], []
    result = run(["dce", "a.nrrd"], lambda *p: progress.append(p), warnings.append, start)
    assert len(result["maps"][0]) == 200000
    assert progress == [(0.5, "fitting")]
    assert warnings == ["few frames"]
    assert seen["arguments"][1:] == ["-m", "gliosuite", "dce", "a.nrrd", "--progress", "json"]
    assert (FOLDER / "gliosuite" / "cli.py").exists()
    assert seen["cwd"] == FOLDER


def test_bad_input_is_the_sentence_of_the_step(slicer):
    from gliosuite.mrml.process import run

    start, _ = child("import sys; print('error: no time points', file=sys.stderr); sys.exit(2)")
    with pytest.raises(InputError, match=r"^no time points$"):
        run(["dce"], start=start)


def test_a_crash_shows_its_last_lines(slicer):
    from gliosuite.mrml.process import run

    start, _ = child("raise ValueError('what happened')")
    with pytest.raises(RuntimeError, match=r"exit code 1:[\s\S]*what happened"):
        run(["dce"], start=start)


def test_cancelled(slicer):
    from gliosuite.mrml.process import CancelledError, run

    start, _ = child("import sys; sys.exit(130)")
    with pytest.raises(CancelledError):
        run(["dce"], start=start)


def test_the_real_command_runs_from_anywhere(slicer, tmp_path, monkeypatch):
    """The working directory alone puts the package on the path: no installation, no PYTHONPATH."""
    from gliosuite.mrml.process import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(InputError, match="not known"):
        run(["no-such-command"])
    assert run(["doctor"])


def test_the_applications_own_brainsfit_is_handed_over(slicer, monkeypatch):
    from gliosuite.mrml.process import command_line

    monkeypatch.delenv("GLIOSUITE_BRAINSFIT", raising=False)
    monkeypatch.setattr(slicer.modules, "brainsfit", SimpleNamespace(path="/opt/Slicer/BRAINSFit"), raising=False)
    command_line(["doctor"])
    assert os.environ["GLIOSUITE_BRAINSFIT"] == "/opt/Slicer/BRAINSFit"
    monkeypatch.setenv("GLIOSUITE_BRAINSFIT", "/mine/BRAINSFit")
    command_line(["doctor"])
    assert os.environ["GLIOSUITE_BRAINSFIT"] == "/mine/BRAINSFit", "what the user named stays"


def executable(folder, name):
    folder.mkdir(exist_ok=True)
    path = folder / (f"{name}.exe" if os.name == "nt" else name)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_interpreter_itself_comes_before_its_launcher(slicer, tmp_path, monkeypatch):
    from gliosuite.mrml.process import command_line

    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert command_line([])[0] == sys.executable
    monkeypatch.setattr(slicer.app, "slicerHome", str(tmp_path / "home"), raising=False)
    (tmp_path / "home").mkdir()
    launcher = executable(tmp_path / "path", "PythonSlicer")
    assert command_line([])[0] == launcher
    home = executable(tmp_path / "home" / "bin", "python-real")
    assert command_line([])[0] == home
    on_path = executable(tmp_path / "path", "python-real")
    assert command_line([])[0] == on_path


def test_what_was_lost_is_warned_of_and_stands_in_the_result(slicer):
    from gliosuite.mrml.process import run

    said = []
    start, _ = child("import sys; print('{}'); print('problem: no AIF', file=sys.stderr); sys.exit(3)")
    assert run(["dce"], warn=said.append, start=start) == {"losses": ["no AIF"]}
    assert said == ["no AIF"]
