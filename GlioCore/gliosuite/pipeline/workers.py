"""The processes of a run: what need not wait for each other is done side by side, one thing a process, and all end together."""

import multiprocessing
import os
import queue
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from ..compute import keep_memory, release_memory
from ..images import share_reading
from ..steps import Progress

T = TypeVar("T")
_ENDED = 130  # exit code of what is cancelled
_POLL_S = 0.1  # how long is waited before progress is shown: short for an eye
_messages: Any = None  # of a worker process: the queue to the process that shows progress
_working = False  # of a worker process: whether it is at a piece of work


class Workers:
    """Up to `count` processes, started when the first is needed; with one, everything is done here, when it is asked for.

    To be used in a ``with`` statement: where its body fails or is cancelled, the processes are ended at once.

    Parameters
    ----------
    count
        Processes.
    shared
        A folder where what one of them reads from a file is kept for the others, or None.
    """

    def __init__(self, count: int, shared: str | None = None) -> None:
        self.count = count
        self._shared = shared
        self._pool: ProcessPoolExecutor | None = None
        self._queue: Any = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
            # One that is ended while it sends a result leaves half of it. With no other end open, the reader sees that nothing more comes.
            results: Any = self._pool._result_queue
            if results is not None:
                results._writer.close()
        self._pool.shutdown(cancel_futures=True)

    def start(self) -> None:
        """Start the processes before there is work for them: each takes a moment until it can do any."""
        if self.count > 1:
            for _ in range(self.count):
                self.submit("", _nothing)

    def submit(self, name: str, work: Callable[..., T], *args: Any) -> "Future[_Outcome[T]]":
        """Begin ``work(*args, progress)`` in a process of its own; `name` says whose its progress is.

        Where one of the processes was ended from outside, all futures so far have a `BrokenProcessPool`, and new processes are started.
        """
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._queue = context.Queue()
            # One more than its share: now and then a process has nothing to do.
            threads = (os.cpu_count() or 1) // self.count + 1
            self._pool = ProcessPoolExecutor(self.count, context, _begin, (self._queue, threads, self._shared))
        try:
            return self._pool.submit(_in_worker, name, work, args)
        except BrokenProcessPool:  # one was ended from outside, and the others with it
            self._pool.shutdown()
            self._pool = self._queue = None
            return self.submit(name, work, *args)

    def finished(
        self, running: Iterable["Future[_Outcome[Any]]"], show: Callable[[str, float, str], None]
    ) -> list[Any]:
        """Those of `running` that have ended, after a moment's wait; what was said meanwhile goes to `show`."""
        done, _ = wait(list(running), _POLL_S, FIRST_COMPLETED)
        while True:
            try:
                show(*self._queue.get_nowait())
            except queue.Empty:
                return list(done)

    def map(self, work: Callable[..., T], *arguments: Iterable[Any]) -> Iterator[T]:
        """As `map` does, side by side where there are several processes; where one is ended from outside, the rest is done here."""
        if self.count == 1:
            return map(work, *arguments)
        given = list(zip(*arguments))
        futures = [self.submit("", _without_progress, work, *each) for each in given]
        return (_either(f, work, each) for f, each in zip(futures, given))


class _Outcome(Generic[T]):
    """What a piece of work came to, and what it warned of."""

    def __init__(self, result: T, warned: list[str]) -> None:
        self._result, self._warned = result, warned

    def value(self) -> T:
        """The result; warnings are repeated here, where they are heard."""
        for text in self._warned:
            warnings.warn(text, stacklevel=3)
        return self._result


def _begin(messages: Any, threads: int, shared: str | None) -> None:
    """In a worker process: where progress goes, how many threads it may use beside the others, where it finds what others have read."""
    import SimpleITK as sitk

    global _messages
    _messages = messages
    # Ctrl-C reaches all processes of a terminal: the first one ends the others, and each leaves its step through the same doors as a
    # failing one, without a word, so that nothing half-written stays.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    share_reading(shared)
    keep_memory()


def _end(*_: object) -> NoReturn:
    if _working:  # what is half-written is taken away on the way out
        raise SystemExit(_ENDED)
    # While a result is sent, the pool would take that for an error, send it behind half of the result, and stay.
    os._exit(_ENDED)


def _in_worker(name: str, work: Callable[..., T], args: tuple[Any, ...]) -> _Outcome[T]:
    global _working
    progress: Progress = lambda fraction, message: _messages.put((name, fraction, message))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            _working = True
            result = work(*args, progress)
        except SystemExit:  # the pool would take it for a piece of work that failed, and give the process another
            os._exit(_ENDED)
        finally:
            _working = False
    release_memory()
    return _Outcome(result, [str(w.message) for w in caught if issubclass(w.category, UserWarning)])


def _nothing(progress: Progress) -> None:
    """What a process does that is only to be there."""


def _either(done: "Future[_Outcome[T]]", work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """What a process came to, or the same done here where it was ended from outside."""
    try:
        return done.result().value()
    except BrokenProcessPool:
        return work(*arguments)


def _without_progress(work: Callable[..., T], *args: Any) -> T:
    return work(*args[:-1])
