"""Files that travel with the library: template, colour tables, schemes, weights.

They are read through ``importlib.resources``, so that the source tree, a Slicer build and a wheel all find them.
"""

import contextlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path


def read_bytes(name: str) -> bytes:
    """The content of a resource, e.g. ``"anatomy.npz"``."""
    return resources.files(__name__).joinpath(name).read_bytes()


def read_text(name: str) -> str:
    """The content of a resource as UTF-8 text."""
    return read_bytes(name).decode("utf-8")


@contextlib.contextmanager
def path(name: str) -> Iterator[Path]:
    """A resource as a file on disk, for readers that want a path; a context manager, since a zipped package must unpack it."""
    with resources.as_file(resources.files(__name__).joinpath(name)) as file:
        yield file
