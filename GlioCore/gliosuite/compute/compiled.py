"""Kernels that numba compiles where it is installed: plain Python functions of numbers and arrays, marked `kernel`.

numba is optional and imported when the first kernel is asked for. What it has compiled is kept on disk: beside the source where that can
be written, otherwise in the user's cache folder, otherwise not at all. The folder carries a hash of all kernels, because numba itself only
notices changes of the file in which a function stands, not of the functions that it calls.
"""

import hashlib
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# Voxels below which arrays are about as fast as loading numba (.2 s). Which way is taken hangs on their number alone, so that a result does
# not depend on what a process did before.
FEWEST = 1000
# What LLVM may do to sums: put them in another order, so that they use the processor's wide registers. The order is fixed when a kernel
# is compiled, so that results depend neither on the number of threads nor on a voxel's neighbours.
_MATHS = {"reassoc", "contract", "nsz", "arcp"}

_marked: dict[str, Callable[..., Any]] = {}
_inside: set[str] = set()
_exact: set[str] = set()
_lock = threading.Lock()
_ready: set[str] = set()


def kernel(function: Function) -> Function:
    """Mark a function that numba is to compile. Its name must be its own among all kernels."""
    _marked[function.__name__] = function
    return function


def inlined(function: Function) -> Function:
    """`kernel` for a function that becomes a part of each that calls it: a call costs as much as a hundred multiplications."""
    _inside.add(function.__name__)
    return kernel(function)


def exact(function: Function) -> Function:
    """`kernel` for a function whose sums keep the order in which they are written, so that arrays can give the same to the last digit."""
    _exact.add(function.__name__)
    return kernel(function)


def worthwhile(voxels: int, repeated: bool = False) -> bool:
    """Whether kernels are to do so many voxels: where there are enough, and numba can be loaded (it refuses unknown versions of numpy).

    A few are enough where the work is `repeated`.
    """
    if voxels < FEWEST and not repeated:
        return False
    # One thread alone loads numba: another that asks meanwhile could find half of it, and would take the arrays' way.
    with _lock:
        try:
            importlib.import_module("numba")
        except ImportError:
            return False
    return True


def compiled(module: ModuleType) -> ModuleType:
    """The same module, in which kernels are compiled when they are first called; those that it imports from others too.

    Raises
    ------
    ImportError
        If numba cannot be loaded; `worthwhile` says so.
    """
    with _lock:
        if module.__name__ not in _ready:
            _compile(module)
            _ready.add(module.__name__)
    return module


def _compile(module: ModuleType) -> None:
    numba = importlib.import_module("numba")
    homes = _homes(module)
    folder = _cache_folder([sys.modules[name].__file__ or "" for name in homes], numba.__version__)
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        for function in _marked.values():
            home = sys.modules[function.__module__]
            if home.__name__ in homes and getattr(home, function.__name__) is function:
                inline = "always" if function.__name__ in _inside else "never"
                maths: set[str] | bool = False if function.__name__ in _exact else _MATHS
                ready = numba.njit(
                    function,
                    nogil=True,
                    fastmath=maths,
                    error_model="numpy",
                    cache=folder is not None,
                    inline=inline,
                    forceinline=True,
                )
                setattr(home, function.__name__, ready)
    finally:
        numba.config.CACHE_DIR = before
    # Kernels find each other by name when they are compiled.
    for name in homes:
        for function in _marked.values():
            if hasattr(sys.modules[name], function.__name__):
                setattr(
                    sys.modules[name], function.__name__, getattr(sys.modules[function.__module__], function.__name__)
                )


def _homes(module: ModuleType) -> list[str]:
    """The modules in which the kernels of `module` stand, and those that they call."""
    found, waiting = set(), [module.__name__]
    while waiting:
        name = waiting.pop()
        found.add(name)
        here = vars(sys.modules[name])
        waiting += {f.__module__ for n, f in _marked.items() if n in here} - found
    return sorted(found)


def _cache_folder(files: list[str], version: str) -> Path | None:
    """A folder for compiled kernels that can be written; None where there is none."""
    sources = b"".join(Path(f).read_bytes() for f in [*files, __file__])
    name = f"kernels-{version}-{hashlib.sha256(sources).hexdigest()[:12]}"
    for parent in (Path(__file__).parent / "__pycache__", user_cache()):
        try:
            folder = parent / name
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


def user_cache() -> Path:
    """Where a user's caches lie; nothing is made."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gliosuite"
