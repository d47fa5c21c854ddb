"""What runs inside Slicer for `run.py`: one module's own test, a picture of the window, and what came of it in a file.

``Slicer ... --python-script inside.py MODULE REPORT FOLDER``; the exit code is 0 where the test passed, else 1.
"""

import importlib
import io
import json
import sys
import unittest
from pathlib import Path

import slicer
import slicer.util


def tested(name: str) -> str:
    """What went wrong in a module's test, with its traceback; empty where it passed."""
    said = io.StringIO()
    case = getattr(importlib.import_module(name), f"{name}Test")()
    result = unittest.TextTestRunner(stream=said, verbosity=2).run(unittest.TestSuite([case]))
    print(said.getvalue(), flush=True)
    return "" if result.wasSuccessful() else "\n".join(text for _, text in [*result.errors, *result.failures])


def pictured(name: str, folder: Path) -> None:
    """The application's window with the module in it, where there is a window and the module is not hidden."""
    window = slicer.util.mainWindow()
    if window is None or getattr(slicer.modules, name.lower()).hidden:
        return
    slicer.util.selectModule(name)
    slicer.app.processEvents()
    window.grab().save(str(folder / f"{name}.png"))


def main(name: str, report: str, folder: str) -> int:
    """Test a module and write down what came of it."""
    try:
        problem = tested(name)
        pictured(name, Path(folder))
    except BaseException as error:  # whatever it is belongs in the report: nobody sees this application
        problem = f"{type(error).__name__}: {error}"
    version = f"{slicer.app.applicationName} {getattr(slicer.app, 'applicationVersion', '')}".strip()
    Path(report).write_text(json.dumps({"in": version, "problem": problem}), encoding="utf-8")
    return int(bool(problem))


if __name__ == "__main__":
    slicer.util.exit(main(*sys.argv[-3:]))
