"""How a process that computes for a while treats memory that it has freed."""

import contextlib
import ctypes
import re
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_OWN = (
    2**25 - 1
)  # bytes: a float32 volume of 1 mm is smaller; chosen, because larger arrays are few and would keep much memory
_IDLE = 2**28  # bytes at the end of the heap that are kept


def keep_memory() -> None:
    """Use freed memory again in place of handing each large array back to the system (glibc; nothing happens elsewhere).

    A new array from the system is filled with zeros page by page when it is first touched, which took a tenth of the time of a run.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _OWN)
        library.mallopt(_TRIM_THRESHOLD, _IDLE)


def release_memory() -> None:
    """Hand back what `keep_memory` has kept (glibc; nothing happens elsewhere): after a piece of work, for those that run beside."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    """Let `peak_gib` count from here (Linux; nothing happens elsewhere)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_gib() -> float | None:
    """The most memory that this process has held since `forget_peak`, in GiB; None where the system does not say."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return round(int(found[1]) / 2**20, 2) if found else None
    return None
