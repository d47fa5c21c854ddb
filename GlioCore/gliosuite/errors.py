"""The one kind of error a user can mend, and the import of optional packages."""

import importlib
from types import ModuleType


class InputError(Exception):
    """What the user can mend: bad options, unfit input, a missing package, a full disk.

    The text is one sentence that says what was found, what is needed and, where it helps, what to do. The command line prints it
    as ``error: ...`` and ends with exit code 2; Slicer shows it in a message box.
    """


def require(module: str, purpose: str, install: str | None = None) -> ModuleType:
    """Import an optional package, or say in one sentence which is missing and how to get it.

    Parameters
    ----------
    module
        Import name, e.g. ``"matplotlib.pyplot"``.
    purpose
        What it is needed for, e.g. ``"pictures in the report"``.
    install
        Name to install it by, where it differs from the import name.

    Raises
    ------
    InputError
        If the package cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = install or module.split(".")[0]
        raise InputError(
            f"{package} is needed for {purpose} and cannot be imported ({error}); install it with: pip install {package}"
        ) from error


def beside(value: float, limit: float, digits: int = 0) -> str:
    """`value` with so many decimals, or as many more as show that it is not `limit`: "50 % found, 50 % needed" helps nobody."""
    while digits < 9 and round(value, digits) == round(limit, digits) and value != limit:
        digits += 1
    return f"{value:.{digits}f}"
