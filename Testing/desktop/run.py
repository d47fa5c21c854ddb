"""Run the modules' own tests in a real Slicer, where there is one: ``make test-slicer``.

``SLICER_EXECUTABLE`` names it, else ``Slicer`` on the PATH is taken. Each module is tested in a Slicer of its own, so that a crash costs
the others nothing. Only the standard library is needed here.

Exit code: 0 where all tests passed, or where there is no Slicer, which is said; 1 where one did not; 2 where the executable that
``SLICER_EXECUTABLE`` names does not exist.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("GlioCore", "GlioPerfusion", "GlioRecurrence", "GlioRT")
INSIDE = Path(__file__).resolve().parent / "inside.py"
_TIMEOUT_S = 900.0  # chosen: a module's test takes about a minute, a first start of the application another
_LINES = 30  # of the log that are shown where a test did not pass; chosen


def executable() -> str | None:
    """The Slicer to test in; None where there is none.

    Raises
    ------
    FileNotFoundError
        If ``SLICER_EXECUTABLE`` names a file that does not exist.
    """
    named = os.environ.get("SLICER_EXECUTABLE")
    if not named:
        return shutil.which("Slicer")
    found = shutil.which(named)
    if found is None:
        raise FileNotFoundError(f"SLICER_EXECUTABLE names {named}, which is no executable; give the path of Slicer")
    return found


def command_line(slicer: str, name: str, paths: Sequence[Path], report: Path, out: Path) -> list[str]:
    """The command line that tests one module: our module folders, no settings or start-up script of the user."""
    options = ["--no-splash", "--testing", "--disable-settings", "--ignore-slicerrc"]
    return [
        *(slicer, *options, "--additional-module-paths", *map(str, paths)),
        *("--python-script", str(INSIDE), name, str(report), str(out)),
    ]


def ended(command: Sequence[str], log: Path, timeout_s: float) -> int | None:
    """The exit code of a command whose output goes to a file; None where it took too long and was ended with all that it started."""
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # Slicer is a launcher: what it started has to go too.
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], check=False, capture_output=True)
            process.wait()
            return None


def verdict(code: int | None, report: Path, timeout_s: float) -> str:
    """What went wrong in a sentence; empty where the test passed.

    What the module's test wrote down counts, and the exit code: an application that breaks as it ends has not passed.
    """
    said = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    if code is None:
        return f"was ended after {timeout_s:g} s"
    if not said:
        return f"Slicer ended with exit code {code} before the test was done"
    if said["problem"]:
        return str(said["problem"])
    return f"its test passed, but Slicer ended with exit code {code}" if code else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the modules; the exit code."""
    parser = argparse.ArgumentParser("run.py", description="Run the modules' own tests in Slicer.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slicer", help="folder of logs and pictures")
    parser.add_argument("--installed", type=Path, help="folder qt-scripted-modules of a build, in place of the sources")
    parser.add_argument("--timeout", type=float, default=_TIMEOUT_S, help="seconds that a module's test may take")
    parser.add_argument("modules", nargs="*", default=list(MODULES), help="modules to test (default all)")
    given = parser.parse_args(arguments)
    try:
        slicer = executable()
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if slicer is None:
        print(
            "skipped: no Slicer on the PATH, and SLICER_EXECUTABLE is not set; the modules' own tests were not run in it"
        )
        return 0
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    paths = [ROOT / name for name in MODULES] if given.installed is None else [given.installed.resolve()]
    failed = 0
    for name in given.modules:
        report, log, started = out / f"{name}.json", out / f"{name}.log", time.monotonic()
        report.unlink(missing_ok=True)
        code = ended(command_line(slicer, name, paths, report, out), log, given.timeout)
        problem = verdict(code, report, given.timeout)
        failed += bool(problem)
        print(f"{'FAILED' if problem else 'passed'} {name} ({time.monotonic() - started:.0f} s)", flush=True)
        if problem:
            print(f"  {problem}; all of it stands in {log}")
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
            print("\n".join(f"  | {line}" for line in lines), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
