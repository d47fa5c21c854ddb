"""The one kind of error a user can mend, what sentences call the options that mend it, and the import of optional packages."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

# Innermost last. Not a context variable: threads that share out the work of a step speak through the same door.
_doors: list[tuple[Mapping[str, str], str]] = [({}, "")]


def option(flag: str) -> str:
    """What a sentence calls an option of the step's own command, e.g. ``"--baseline"``: as the door that it leaves by has it.

    Examples
    --------
    >>> with door({"--baseline": "--dce-baseline"}, "gliosuite dce"):
    ...     print(option("--baseline"), "or", option("--mask"))
    --dce-baseline or gliosuite dce --mask
    >>> option("--baseline")
    '--baseline'
    """
    names, elsewhere = _doors[-1]
    return names.get(flag) or f"{elsewhere} {flag}".lstrip()


@contextmanager
def door(names: Mapping[str, str], elsewhere: str | None = None) -> Iterator[None]:
    """Let sentences that are made within call options by other names than those of the step's own command.

    Parameters
    ----------
    names
        By the option of the command: another option, or a label of a panel. The outer door's stand for those that are not here.
    elsewhere
        What is said before an option that has no name, such as the command that has it; None: as the outer door does.
    """
    outer, before = _doors[-1]
    _doors.append(({**outer, **names}, before if elsewhere is None else elsewhere))
    try:
        yield
    finally:
        _doors.pop()


class InputError(Exception):
    """What the user can mend: bad options, unfit input, a missing package, a full disk.

    The text is one sentence that says what was found, what is needed and, where it helps, what to do. The command line prints it
    as ``error: ...`` and ends with exit code 2; Slicer shows it in a message box.
    """


def together(
    *checks: Callable[[], object],
    spread: Callable[[Callable[[Callable[[], object]], str], Sequence[Callable[[], object]]], Iterable[str]] = map,
) -> None:
    """Make all checks, and refuse with the sentences of all that fail: who mends one fault need not start again to hear of the next.

    Parameters
    ----------
    spread
        Makes the checks as `map` does, e.g. in threads.

    Raises
    ------
    InputError
        If one fails.
    """

    def fault(check: Callable[[], object]) -> str:
        try:
            check()
        except InputError as error:
            return str(error)
        return ""

    said = dict.fromkeys(text for text in spread(fault, checks) if text)
    if said:
        raise InputError("; ".join(said))


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
