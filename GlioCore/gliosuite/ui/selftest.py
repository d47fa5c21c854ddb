"""What the modules' own tests share: a digital patient, a step that is waited for, a scene that is saved and loaded again.

They run in Slicer (``make test-slicer``, ctest of a build) and, with the project's stand-ins, without it.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import slicer
import slicer.util
import vtk

from ..mrml.sample import digital_patient
from .panel import Panel

_GRID_MM = 4.0  # chosen: a patient within seconds
_PATIENCE_S = 600.0
_STEP_MS = 100


def patient() -> dict[str, Any]:
    """A new scene with a coarse digital patient: node by image role, and ``"masks"``."""
    slicer.mrmlScene.Clear(0)
    return digital_patient(grid_mm=_GRID_MM)


def finish(panel: Panel) -> None:
    """Wait until nothing of a panel runs any more; the application stays alive.

    Raises
    ------
    TimeoutError
        If it takes longer than ten minutes.
    """
    end = time.monotonic() + _PATIENCE_S
    while panel._running is not None:
        panel._running.wait(_STEP_MS)
        slicer.app.processEvents()
        if time.monotonic() > end:
            raise TimeoutError(f"a step still runs after {_PATIENCE_S:g} s")


def settle(seconds: float = 1.0) -> None:
    """Let timers run out: what waits until a slider rests is done then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.02)


def crosshair(volume: Any, ijk: tuple[int, int, int]) -> None:
    """Put the crosshair onto a voxel of a volume, as Shift and the mouse do."""
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if node is None:  # without slice views there is none
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(to_ras)
    node.SetCrosshairRAS(*to_ras.MultiplyPoint((*ijk, 1.0))[:3])


def save_and_load() -> None:
    """Save the scene as .mrb, close it, and load it again.

    Raises
    ------
    RuntimeError
        If either fails.
    """
    with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as folder:
        bundle = str(Path(folder) / "scene.mrb")
        if not slicer.util.saveScene(bundle):
            raise RuntimeError("the scene could not be saved")
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(bundle)
