"""What every long step shares: progress, and the record of how a result came about."""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

Progress = Callable[[float, str], None]


def silent(fraction: float, message: str) -> None:
    """A progress callback that shows nothing."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """The stretch of `progress` from `start` to `end` (fractions) as a progress callback of its own."""
    return lambda fraction, message: progress(start + (end - start) * fraction, message)


def named(progress: Progress, name: str) -> Progress:
    """`progress` with a name before each message: of an image, where several are worked on in turn."""
    return lambda fraction, message: progress(fraction, f"{name}, {message}")


@contextmanager
def heard(*, repeated: bool = True) -> Iterator[list[str]]:
    """The list that collects what is warned of within a ``with`` statement, once each; at its end it is warned of again, for others.

    With `repeated` False nobody else hears of it.
    """
    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield said
    finally:
        said += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning))
        for text in said if repeated else ():
            warnings.warn(text, stacklevel=4)


def version() -> str:
    """The library's version; ``"source"`` where it runs from the source tree without being installed."""
    try:
        return metadata.version("gliosuite")
    except metadata.PackageNotFoundError:
        return "source"


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, or of a folder's files in name order."""
    path = Path(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def provenance(
    step: str, settings: Any, inputs: Mapping[str, str | Path], seconds: float, device: str = "cpu", **more: Any
) -> dict:
    """The record that stands beside every result: version, settings, input hashes, device, seconds.

    Inputs are named by role and hash alone: a path can hold a patient's name.
    """
    return {
        "step": step,
        "version": version(),
        "settings": settings,
        "inputs": {role: {"sha256": sha256(path)} for role, path in inputs.items()},
        "device": device,
        "seconds": round(seconds, 2),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
        **more,
    }
