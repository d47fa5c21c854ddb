"""One pool of threads, and one way of cutting work for it: blocks of voxels."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..steps import Progress, silent


def thread_count() -> int:
    """How many threads to use: as the environment says (``--threads`` sets it), otherwise as many as there are cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else os.cpu_count() or 1


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `n`."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def each(
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
    progress: Progress = silent,
    message: str = "",
    threads: int | None = None,
) -> list[Any]:
    """Do all tasks in threads and return their results in order; `progress` is called from this thread alone."""
    threads = min(threads or thread_count(), max(len(tasks), 1))
    if threads == 1:
        results = []
        for i, task in enumerate(tasks):
            progress(i / len(tasks), message)
            results.append(work(task))
        return results
    pool = ThreadPoolExecutor(threads)
    try:
        results = []
        for i, result in enumerate(pool.map(work, tasks)):
            progress(i / len(tasks), message)
            results.append(result)
        return results
    finally:
        # After a cancelled fit nothing that waits in line may still run.
        pool.shutdown(cancel_futures=True)
