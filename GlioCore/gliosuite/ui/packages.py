"""Python packages that Slicer does not bring: asked for at the first step that can use them, with names and sizes, and installed.

Slicer 5.12 has ``slicer.packaging`` for it, Slicer 5.10 ``slicer.util.pip_install``. What Slicer itself is built on is held where it is;
torch comes with the PyTorch extension, which knows the computer's graphics card.
"""

import importlib
import importlib.util
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import slicer
import slicer.util
from slicer.i18n import tr as _

from ..doctor import PIECES
from ..errors import InputError


@dataclass(frozen=True)
class Package:
    """A package by what pip is asked for.

    Parameters
    ----------
    requirement
        Name and least version.
    megabytes
        On disk, with what it needs in turn; measured on Linux with the versions of constraints.txt.
    vital
        Whether the step that wants it cannot do without.
    extension
        The extension that installs it, in place of pip.
    """

    requirement: str
    megabytes: int
    vital: bool
    extension: str = ""


PACKAGES = {
    "numba": Package("numba>=0.61", 210, False),
    "pydicom": Package("pydicom>=2.4", 15, True),
    "sklearn": Package("scikit-learn>=1.4", 60, True),
    "torch": Package("torch>=2.0", 2000, True, "PyTorch"),
}
FASTER = ("numba",)  # what maps are fitted with where it is there
DICOM = ("pydicom",)
TRAINING = ("sklearn",)
NETWORKS = ("torch",)
_HELD = ("numpy", "scipy", "SimpleITK", "vtk", "torch", "pydicom", "requests")  # Slicer's own: no other version of them
_refused: set[str] = set()  # in this session; nobody is asked twice


def missing(names: Sequence[str]) -> list[str]:
    """Those of the packages that are not there."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def without(name: str) -> str:
    """What is switched off without a package."""
    return next(piece.without for piece in PIECES if piece.name == name)


def provide(names: Sequence[str]) -> None:
    """See that packages are there: ask for those that are missing, once in a session, and install what a person agrees to.

    Raises
    ------
    InputError
        If one that the step cannot do without is missing in the end.

    Warns
    -----
    UserWarning
        What is slower or left out without one that was refused or could not be installed.
    """
    wanted = [name for name in missing(names) if PACKAGES[name].vital or name not in _refused]
    if not wanted:
        return
    if _agreed(wanted):
        trouble = {name: _installed(name) for name in wanted}
    else:
        trouble = dict.fromkeys(wanted, _("it was not wanted"))
    for name in missing(wanted):
        why = trouble[name] or _("it is still missing")
        if PACKAGES[name].vital:
            raise InputError(_("{name} is needed here: {why}").format(name=name, why=why))
        _refused.add(name)
        text = _("without {name} ({why}): {lost}")
        warnings.warn(text.format(name=name, why=why, lost=without(name)), stacklevel=2)


def _agreed(names: Sequence[str]) -> bool:
    said = [
        _("{name} (about {mb} MB). Without it: {lost}").format(
            name=name, mb=PACKAGES[name].megabytes, lost=without(name)
        )
        for name in names
    ]
    text = _("This step uses Python packages that are not installed:\n\n{packages}\n\nInstall them into Slicer now?")
    return bool(
        slicer.util.confirmYesNoDisplay(text.format(packages="\n".join(said)), windowTitle=_("Python packages"))
    )


def _installed(name: str) -> str:
    """Install a package; why that did not work, or empty."""
    package = PACKAGES[name]
    if slicer.app.testingEnabled():
        return _("nothing is installed while the application is tested")
    try:
        if package.extension:
            return _by_extension(package)
        with _held() as constraints:
            _by_pip(package.requirement, constraints)
    except subprocess.CalledProcessError as error:
        return _("pip ended with exit code {code}; its lines stand in the Python console").format(code=error.returncode)
    except (OSError, RuntimeError) as error:
        return str(error)
    importlib.invalidate_caches()
    return ""


def _by_pip(requirement: str, constraints: str) -> None:
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        with slicer.util.WaitCursor():
            slicer.util.pip_install([requirement, "--constraint", constraints])
        return
    parsed = importlib.import_module("packaging.requirements").Requirement(requirement)
    # It was asked already, with the sizes.
    packaging.pip_ensure([parsed], constraints=constraints, prompt_install=False, requester="GlioSuite")


def _by_extension(package: Package) -> str:
    """Let the PyTorch extension install it."""
    if importlib.util.find_spec("PyTorchUtils") is None:
        text = _("install the extension {name} (Extensions Manager), restart Slicer, and try again")
        return text.format(name=package.extension)
    made = importlib.import_module("PyTorchUtils").PyTorchUtilsLogic().installTorch()
    return "" if made is not None else _("the extension {name} did not install it").format(name=package.extension)


@contextmanager
def _held() -> Iterator[str]:
    """A file of pip's constraints that holds Slicer's own packages where they are."""
    with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "constraints.txt"
        lines = []
        for name in _HELD:
            try:
                lines.append(f"{name}=={metadata.version(name)}\n")
            except metadata.PackageNotFoundError:
                continue
        path.write_text("".join(lines), encoding="utf-8")
        yield str(path)
