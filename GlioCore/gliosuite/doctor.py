"""What is installed, what each missing piece switches off, and how to get it."""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .steps import version


@dataclass(frozen=True)
class Piece:
    """A package or executable that GlioSuite can use.

    Parameters
    ----------
    name
        Import name of a package, or name of an executable.
    kind
        ``"package"`` or ``"executable"``.
    needed
        Whether nothing works without it.
    without
        What is switched off where it is missing.
    get
        How to get it.
    """

    name: str
    kind: str
    needed: bool
    without: str
    get: str


@dataclass(frozen=True)
class Finding:
    """Whether a piece is there, and its version or path."""

    piece: Piece
    found: bool
    detail: str


_PACKAGE, _EXECUTABLE = "package", "executable"
PIECES = (
    Piece("numpy", _PACKAGE, True, "nothing works", "pip install numpy"),
    Piece("scipy", _PACKAGE, True, "nothing works", "pip install scipy"),
    Piece("SimpleITK", _PACKAGE, True, "nothing works", "pip install SimpleITK"),
    Piece("pydicom", _PACKAGE, True, "DICOM import and RT structure sets are off", "pip install pydicom"),
    Piece(
        "matplotlib",
        _PACKAGE,
        False,
        "no pictures (maps and tables are written all the same)",
        "pip install matplotlib",
    ),
    Piece(
        "numba",
        _PACKAGE,
        False,
        "kinetic fits and T1 maps of many voxels take two to eight times as long (the results are the same)",
        "pip install numba",
    ),
    Piece(
        "torch",
        _PACKAGE,
        False,
        "the networks lyoo2025 (synthesis) and network (recurrence) are off; perfusion runs on the CPU",
        "pip install torch==2.13.0; in Slicer: PyTorch",
    ),
    Piece(
        "radiomics",
        _PACKAGE,
        False,
        "radiomic features are off",
        "Python 3.11, a C compiler, make test; in Slicer: SlicerRadiomics",
    ),
    Piece("lifelines", _PACKAGE, False, "Cox regression of gliosuite survival is off", "pip install lifelines"),
    Piece(
        "sklearn",
        _PACKAGE,
        False,
        "recurrence and pattern models cannot be trained (the shipped ones predict all the same)",
        "pip install scikit-learn",
    ),
    Piece("imblearn", _PACKAGE, False, "pattern models cannot be trained", "pip install imbalanced-learn"),
    Piece("captum", _PACKAGE, False, "predictions of pattern models come without Shapley values", "pip install captum"),
    Piece("highdicom", _PACKAGE, False, "DICOM SEG is off", "pip install highdicom; Slicer 5.12 has it"),
    Piece("nnunetv2", _PACKAGE, False, "nnU-Net models are off", "pip install nnunetv2"),
    Piece(
        "BRAINSFit",
        _EXECUTABLE,
        False,
        "registration runs in SimpleITK",
        "3D Slicer has it; GLIOSUITE_BRAINSFIT names it",
    ),
    Piece("hd-bet", _EXECUTABLE, False, "brain masks come from the atlas", "pip install HD-BET (needs torch)"),
    Piece("mri_synthstrip", _EXECUTABLE, False, "brain masks come from the atlas", "FreeSurfer has it"),
    Piece(
        "dciodvfy", _EXECUTABLE, False, "the tests cannot validate DICOM objects", "Debian: apt-get install dicom3tools"
    ),
    Piece(
        "plastimatch",
        _EXECUTABLE,
        False,
        "the tests cannot read structure sets back",
        "Debian: apt-get install plastimatch",
    ),
)


def examine() -> list[Finding]:
    """Look for every piece; nothing heavy is imported."""
    return [Finding(piece, *_look(piece)) for piece in PIECES]


def _look(piece: Piece) -> tuple[bool, str]:
    if piece.kind == "package":
        if importlib.util.find_spec(piece.name) is None:
            return False, ""
        try:
            return True, metadata.version(
                {"radiomics": "pyradiomics", "sklearn": "scikit-learn", "imblearn": "imbalanced-learn"}.get(
                    piece.name, piece.name
                )
            )
        except metadata.PackageNotFoundError:
            return True, "version unknown"
    path: str | Path | None
    if piece.name == "BRAINSFit":
        from .registration import find_brainsfit

        path = find_brainsfit()
    else:
        path = shutil.which(piece.name)
    return path is not None, "" if path is None else str(path)


def machine() -> dict[str, str | int | None]:
    """GlioSuite's version, Python's, the system and the number of processors."""
    return {
        "gliosuite": version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def switched_off() -> list[str]:
    """One sentence per missing optional piece, for the report."""
    return [f"{f.piece.name} is missing: {f.piece.without} ({f.piece.get})" for f in examine() if not f.found]
