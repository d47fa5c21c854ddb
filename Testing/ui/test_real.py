"""GLIOSUITE_SLICER_BASE: the tests run on Slicer's own Python where a copy of it lies, and say so where it does not."""

import os
import shutil
import subprocess
import sys

import pytest

from Testing.conftest import ROOT

STANDIN = ROOT / "Testing" / "standin" / "slicerapp"


def started(base, code):
    script = f"""
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path[:0] = [{str(ROOT / "GlioCore")!r}, {str(ROOT / "Testing" / "standin")!r}]
from slicerapp import application
slicer = application.start(gui=True)
{code}
"""
    environment = {"GLIOSUITE_SLICER_BASE": str(base), "PATH": ""}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)


@pytest.fixture
def base(tmp_path):
    """A folder as Slicer's Base/Python is; what lies in it are our stand-ins, marked, since Slicer's files are not ours to keep."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6", reason="PySide6-Essentials is not installed")
    folder = tmp_path / "Base" / "Python" / "slicer"
    (folder / "parameterNodeWrapper").mkdir(parents=True)
    for source, target in (
        ("scripted.py", "ScriptedLoadableModule.py"),
        ("parameters.py", "parameterNodeWrapper/__init__.py"),
    ):
        shutil.copy(STANDIN / source, folder / target)
    (folder / "i18n.py").write_text(
        "def tr(text, *_):\n    return text\n\n\ndef translate(context, text):\n    return text\n"
    )
    with (folder / "parameterNodeWrapper" / "__init__.py").open("a") as stream:
        stream.write("\n_named = lambda: (ctk.ctkNobodyHasIt, slicer.qMRMLNobodyHasIt, qt.QNothing)\n")
    return folder.parent


def test_its_classes_are_taken(base):
    done = started(
        base,
        f"""
from pathlib import Path
application.load(Path({str(ROOT)!r}) / "GlioCore" / "GlioCore.py")
module = application.load(Path({str(ROOT)!r}) / "GlioRT" / "GlioRT.py")
import slicer.parameterNodeWrapper, slicer.ScriptedLoadableModule
print(slicer.ScriptedLoadableModule.__file__, slicer.parameterNodeWrapper.__file__)
print(slicer.qMRMLNobodyHasIt, slicer.ctk.ctkNobodyHasIt, slicer.qt.QNothing)
print(module.GlioRTWidget().panel.parameters.schemes)
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == [
        str(base / "slicer" / "ScriptedLoadableModule.py"),
        str(base / "slicer" / "parameterNodeWrapper" / "__init__.py"),
    ]
    assert done.stdout.splitlines()[-1] == "rtog estro-eano"


def test_a_folder_without_it_is_said(tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    done = started(tmp_path, "")
    assert done.returncode != 0
    assert "has no slicer/ScriptedLoadableModule.py; Slicer's Base/Python is needed" in done.stderr


def test_the_panels_run_on_slicers_own_python(slicer):
    """All tests of this folder do where the variable is set; this one shows that they did, or says that they did not."""
    base = os.environ.get("GLIOSUITE_SLICER_BASE")
    if not base:
        pytest.skip("GLIOSUITE_SLICER_BASE is not set: the panels were tested on stand-ins for Slicer's Python")
    assert slicer.parameterNodeWrapper.__file__.startswith(base)
