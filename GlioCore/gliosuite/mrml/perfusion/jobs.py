"""A step's inputs in a temporary folder of their own."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..process import Job


def begun(request: Any, arguments: Callable[[Path], list[str]]) -> Job:
    """A job whose `arguments` write the inputs into a new temporary folder, which goes again where they fail."""
    folder = Path(tempfile.mkdtemp(prefix="gliosuite-"))
    try:
        return Job(request, folder, arguments(folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
