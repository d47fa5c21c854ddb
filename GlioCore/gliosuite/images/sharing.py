"""What one process has read of a file or written into it, kept inflated for itself and others."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_shared: Path | None = None


def share_reading(folder: str | Path | None) -> None:
    """From now on keep what is read from files, or written into them, in `folder`, where this and other processes find it; None ends it."""
    global _shared
    _shared = None if folder is None else Path(folder)


@contextmanager
def shared_reading(folder: str | Path) -> Iterator[None]:
    """`share_reading` while a ``with`` statement lasts."""
    share_reading(folder)
    try:
        yield
    finally:
        share_reading(None)


def shared_places(path: str | Path) -> tuple[Path, Path] | None:
    """Where a file's numbers and the rest of it are kept, whether they are there or not; None where nothing is shared.

    A file is known by what moving it into place leaves as it is: its number on the disk, its size and when it was written.
    """
    if _shared is None:
        return None
    try:
        state = Path(path).stat()
    except OSError:
        return None
    what = f"{state.st_dev}\0{state.st_ino}\0{state.st_size}\0{state.st_mtime_ns}"
    name = hashlib.blake2b(what.encode(), digest_size=16).hexdigest()
    return _shared / f"{name}.npy", _shared / f"{name}.pickle"


def keep(place: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write what is to be shared, whole or not at all; a full disk is no reason not to go on."""
    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=place.parent)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        os.replace(name, place)
