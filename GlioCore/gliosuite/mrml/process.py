"""Long steps as ``python-real -m gliosuite ...`` in a process of their own: the application stays alive and memory comes back."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from ..steps import Progress, silent

FOLDER = (
    Path(__file__).resolve().parents[2]
)  # the folder that holds the package: as working directory it puts it on the path


class CancelledError(Exception):
    """The user cancelled a step."""


@dataclass
class Job:
    """What was asked for, the folder of its files, and the command line arguments of its step."""

    request: Any
    folder: Path
    arguments: list[str]


def abandon(job: Job) -> None:
    """Remove the files of a job."""
    shutil.rmtree(job.folder, ignore_errors=True)


def begun(request: Any, arguments: Callable[[Path], list[str]]) -> Job:
    """A job whose `arguments` write the inputs into a new temporary folder, which goes again where they fail."""
    folder = Path(tempfile.mkdtemp(prefix="gliosuite-"))
    try:
        return Job(request, folder, arguments(folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def interpreter() -> str:
    """The application's own Python.

    ``python-real`` is the interpreter itself, found on the application's PATH as its own command line modules find it, or in the
    application's ``bin``. ``PythonSlicer`` is a launcher that leaves its child running when it is ended, so it comes second.
    """
    home = getattr(getattr(slicer, "app", None), "slicerHome", "")
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *([str(Path(home) / "bin")] if home else [])])
    return shutil.which("python-real", path=path) or shutil.which("PythonSlicer", path=path) or sys.executable


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command line of a step: the application's own Python, ``-m gliosuite``, the arguments, progress as JSON.

    The application's own BRAINSFit is handed over in the environment, unless the user has named one there.
    """
    own = getattr(getattr(slicer, "modules", None), "brainsfit", None)  # absent with --disable-cli-modules
    if own is not None:
        os.environ.setdefault("GLIOSUITE_BRAINSFIT", str(own.path))
    return [interpreter(), "-m", "gliosuite", *arguments, "--progress", "json"]


def read_line(line: str) -> tuple[str, Any]:
    """What a line on stderr says: its kind and content.

    ``("progress", (fraction, message))``, ``("error", "warning" or "problem", sentence)`` or ``("other", line)``; a problem is something
    that was lost.
    """
    line = line.strip()
    for kind in ("error", "warning", "problem"):
        if line.startswith(f"{kind}: "):
            return kind, line.removeprefix(f"{kind}: ")
    if line.startswith("{"):
        try:
            entry = json.loads(line)
            return "progress", (float(entry["fraction"]), str(entry["message"]))
        except (ValueError, KeyError, TypeError):
            pass
    return "other", line


def outcome(code: int, output: str, lines: Sequence[str]) -> dict[str, Any]:
    """The JSON result of a step that ended with exit code `code`, 0 or 3; with 3, the sentences on what was lost as ``losses``.

    Raises
    ------
    InputError
        On exit code 2, with the sentence that the step gave.
    CancelledError
        On exit code 130, or where a signal ended the process.
    RuntimeError
        On any other code, with the last lines of stderr.
    """
    if code == 0:
        return json.loads(output)
    if code == 3:
        return {**json.loads(output), "losses": [text for kind, text in map(read_line, lines) if kind == "problem"]}
    if code == 2:
        said = [text for kind, text in map(read_line, lines) if kind == "error"]
        raise InputError(said[-1] if said else "the step refused its input without saying why")
    if code == 130 or code < 0:
        raise CancelledError("cancelled")
    raise RuntimeError(f"the step ended with exit code {code}:\n" + "\n".join(list(lines)[-15:]))


def run(
    arguments: Sequence[str],
    progress: Progress = silent,
    warn: Callable[[str], None] = lambda sentence: None,
    start: Callable[..., subprocess.Popen] = subprocess.Popen,
) -> dict[str, Any]:
    """Run a step and wait for it; for batch use, since it holds the caller until the step ends.

    Parameters
    ----------
    arguments
        Command and options, e.g. ``["dce", "series.nrrd", ...]``; paths must be absolute.
    progress, warn
        Called with what the step reports.
    start
        Starts the process, as ``subprocess.Popen`` does.
    """
    lines = []
    # stdout goes to a file, so that reading stderr line by line cannot block on a full pipe.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = start(
            command_line(arguments), stdout=output, stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=FOLDER
        )
        for line in process.stderr or ():
            lines.append(line.rstrip("\n"))
            kind, content = read_line(line)
            if kind == "progress":
                progress(*content)
            elif kind in ("warning", "problem"):
                warn(content)
        code = process.wait()
        output.seek(0)
        return outcome(code, output.read(), lines)
