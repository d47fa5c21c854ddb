"""BRAINSFit, the registration of 3D Slicer and of the papers, run as an executable with its long flags."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..errors import InputError
from ..images import write_image
from ..steps import Progress, silent

_NAMES = ("BRAINSFit", "BRAINSFit.exe")
_POLL_S = 0.1  # how long is waited before a child is looked at again
_REAPING = (
    threading.Lock()
)  # the system counts the time of children together, when their end is seen: one is seen at a time
_INITIAL = {
    "moments": "useMomentsAlign",
    "geometry": "useGeometryAlign",
    "identity": "Off",
}


class BrainsFitError(Exception):
    """BRAINSFit ended without a transform; the text is its own last words."""


def _within(place: Path) -> Path | None:
    """The executable at `place`: itself, or inside a Slicer folder."""
    if place.is_file():
        return place
    folders = [place, *place.glob("lib/Slicer-*/cli-modules"), *place.glob("Contents/lib/Slicer-*/cli-modules")]
    return next((f / n for f in folders for n in _NAMES if (f / n).is_file()), None)


def find_brainsfit(place: str | Path | None = None) -> Path | None:
    """Find the BRAINSFit executable.

    Looked at in turn: `place` (the executable or a Slicer folder, as the Slicer panel hands over), ``GLIOSUITE_BRAINSFIT`` (the same),
    ``PATH``, the Slicer folder that runs this Python (``SLICER_HOME``), the folder of a ``Slicer`` on ``PATH``.

    Raises
    ------
    InputError
        If `place` is given and holds none.
    """
    if place is not None:
        found = _within(Path(place))
        if found is None:
            raise InputError(f"{place} is neither a BRAINSFit executable nor a Slicer folder that holds one")
        return found
    named = os.environ.get("GLIOSUITE_BRAINSFIT")
    if named:
        found = _within(Path(named))
        if found is not None:
            return found
        warnings.warn(f"GLIOSUITE_BRAINSFIT names {named}, where there is no BRAINSFit", stacklevel=2)
    on_path = shutil.which("BRAINSFit")
    if on_path:
        return Path(on_path)
    homes = [Path(os.environ["SLICER_HOME"])] if os.environ.get("SLICER_HOME") else []
    slicer = shutil.which("Slicer")
    if slicer:
        homes.append(Path(slicer).resolve().parent)
    return next((found for home in homes if (found := _within(home)) is not None), None)


def _environment(executable: Path) -> dict[str, str]:
    """The environment in which a module of Slicer finds Slicer's own libraries."""
    environment = dict(os.environ)
    if executable.parent.name == "cli-modules":
        variable = {"win32": "PATH", "darwin": "DYLD_LIBRARY_PATH"}.get(sys.platform, "LD_LIBRARY_PATH")
        folders = [str(executable.parent), str(executable.parent.parent), environment.get(variable, "")]
        environment[variable] = os.pathsep.join(f for f in folders if f)
    return environment


def _last_words(*texts: str) -> str:
    """What says what went wrong: a refused option, else the last line that speaks of an error, else the last line."""
    parts = [[line.strip() for line in text.splitlines() if re.search(r"\w", line)] for text in texts]
    for lines in parts:  # stderr first; BRAINSFit puts some of its errors on stdout
        for line, after in zip(lines, [*lines[1:], ""]):
            if line.startswith("PARSE ERROR"):
                return f"{line} {after}".strip()
    for lines in parts:
        told = [line for line in lines if re.search(r"error|exception|fail|not found|could not", line, re.IGNORECASE)]
        if told:
            return told[-1]
    return next((lines[-1] for lines in parts if lines), "it printed nothing")


def run_brainsfit(
    executable: Path,
    fixed: sitk.Image,
    moving: sitk.Image,
    flags: Mapping[str, Any],
    deformable: bool,
    fixed_mask: sitk.Image | None = None,
    moving_mask: sitk.Image | None = None,
    initial: sitk.Transform | str = "moments",
    progress: Progress = silent,
) -> tuple[sitk.Transform, float]:
    """Run BRAINSFit in a temporary folder and read its transform back.

    Parameters
    ----------
    flags
        Further long flags without dashes; True stands for a flag without a value, tuples for comma-separated lists.
    deformable
        Whether a B-spline stage is among them, which decides the flag of the output transform.
    fixed_mask, moving_mask
        Regions of interest (uint8); BRAINSFit needs both or none.
    initial
        A rigid transform to start from, or how BRAINSFit finds one itself (``"moments"``, ``"geometry"``, ``"identity"``).

    Returns
    -------
    transform
        Map from fixed to moving points (LPS), as ITK writes it and `sitk.Resample` takes it.
    cpu_s
        What it took of the processor in s; 0 where the system does not say (Windows).

    Raises
    ------
    BrainsFitError
        If it cannot be started, fails, or leaves no readable transform.
    """
    with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = {"fixedVolume": fixed, "movingVolume": moving}
        if fixed_mask is not None and moving_mask is not None:
            files |= {"fixedBinaryVolume": fixed_mask, "movingBinaryVolume": moving_mask}
        arguments = dict(flags) | {
            "maskProcessingMode": "ROI" if "fixedBinaryVolume" in files else "NOMASK",
            "costMetric": "MMI",
            "interpolationMode": "Linear",
            "outputVolumePixelType": "float",
            "backgroundFillValue": 0,
            "outputVolume": folder / "moved.nrrd",
            "bsplineTransform" if deformable else "linearTransform": folder / "found.h5",
        }
        for flag, image in files.items():
            arguments[flag] = write_image(image, folder / f"{flag}.nrrd")
        if isinstance(initial, str):
            arguments["initializeTransformMode"] = _INITIAL[initial]
        else:
            arguments["initialTransform"] = folder / "initial.h5"
            sitk.WriteTransform(initial, str(arguments["initialTransform"]))
        command = [str(executable)]
        for flag, value in arguments.items():
            if value is True:
                command.append(f"--{flag}")
            else:
                text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
                command += [f"--{flag}", text]
        code, cpu_s, out, err = _run(command, folder, _environment(executable), progress)
        if code != 0:
            raise BrainsFitError(f"{_last_words(err, out)} (exit code {code})")
        try:
            return sitk.ReadTransform(str(folder / "found.h5")), cpu_s
        except RuntimeError as error:
            raise BrainsFitError(f"it left no transform that can be read ({_last_words(err, out)})") from error


def _run(
    command: list[str], folder: Path, environment: Mapping[str, str], progress: Progress
) -> tuple[int, float, str, str]:
    """Run to the end: exit code, CPU seconds, stdout, stderr. What stops this process (Cancel, an error in `progress`) stops the child."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        try:
            child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment)
        except OSError as error:
            raise BrainsFitError(f"it cannot be started ({error.strerror or error})") from error
        try:
            progress(0.5, "BRAINSFit")
            while (cpu_s := _ended(child)) is None:
                time.sleep(_POLL_S)
                progress(0.5, "BRAINSFit")
        except BaseException:
            child.kill()
            child.wait()
            raise
    words = [(folder / n).read_text(encoding="utf-8", errors="replace") for n in ("stdout", "stderr")]
    return child.returncode, cpu_s, words[0], words[1]


def _ended(child: subprocess.Popen[bytes]) -> float | None:
    """The CPU seconds of a child that has ended; None while it runs."""
    with _REAPING:
        before = os.times()
        code = child.poll()
        after = os.times()
    if code is None:
        return None
    return after.children_user - before.children_user + after.children_system - before.children_system
