"""What a step of a run is, and how steps are carried out: whole or not at all, kept where nothing that they read has changed."""

import multiprocessing
import os
import queue
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..case import Case
from ..errors import InputError
from ..files import plain, read_json, staged, write_json
from ..steps import Progress, version
from .context import Done, Run, RunSettings, SkippedStep
from .seen import Files, now

_POLL_S = 0.1
_messages: Any = None  # of a worker process: the queue to the process that shows progress


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    name
        Of the step, of its folder under the results, and of its part of the report.
    function
        Takes what it needs from a `Run`, writes its results into a folder, and says what came of it. What it reads there is noted, and
        is all that decides whether its result can be kept.
    after
        The steps whose results it may read.
    """

    name: str
    function: Callable[[Run, Path, Progress], Done]
    after: tuple[str, ...] = ()


def kept(step: Step, case: Case, out: Path, settings: RunSettings, files: Files) -> dict[str, Any] | None:
    """The record of an earlier result that still holds: all that it read is as it was. None where there is none."""
    path = out / step.name / "provenance.json"
    if not path.exists():
        return None
    old = read_json(path)
    if old.get("version") != version() or "seen" not in old:
        return None
    if any(now(tuple(what), case, settings, out, files) != content for what, content in old["seen"]):
        return None
    return old["record"] | {"status": "kept"}


def run_step(
    step: Step, case: Case, out: Path, settings: RunSettings, files: Files, progress: Progress
) -> dict[str, Any]:
    """Run, skip or refuse one step; the record for ``run.json``."""
    run = Run(case, out, settings, files)
    progress(0.0, step.name)
    start, cpu = time.perf_counter(), time.process_time()
    try:
        # What an earlier run left of this step must not stand beside the new results as if it belonged to them.
        with staged(out / step.name, replace=True) as folder:
            done = step.function(run, folder, progress)
            record = {"step": step.name, "status": "done", **plain(done)}
            write_json(
                folder / "provenance.json",
                {
                    "version": version(),
                    "settings": done.settings,
                    "inputs": {":".join(w[1:]): h for w, h in sorted(run.seen.items()) if w[0] == "file"},
                    "seen": sorted([list(what), content] for what, content in run.seen.items()),
                    "device": "cpu",
                    "seconds": round(time.perf_counter() - start, 2),
                    "cpu_seconds": round(time.process_time() - cpu, 2),
                    "record": record,
                },
            )
        return record
    except SkippedStep as reason:
        return {"step": step.name, "status": "skipped", "why": str(reason)}
    except InputError as error:
        return {"step": step.name, "status": "refused", "why": str(error)}
    finally:
        files.forget(out / step.name)


def run_steps(
    steps: Sequence[Step],
    case: Case,
    out: Path,
    settings: RunSettings,
    files: Files,
    progress: Progress,
    workers: int,
) -> list[dict[str, Any]]:
    """Carry out all steps, those that do not wait for each other side by side; their records, in the order of `steps`."""
    shown = _Line(progress, steps)
    records: dict[str, dict[str, Any]] = {}

    def settled(step: Step) -> bool:
        """Whether nothing is left to do for a step: left out, or kept."""
        if step.name in settings.skip:
            records[step.name] = {"step": step.name, "status": "skipped", "why": f"--skip {step.name} was given"}
        elif (old := kept(step, case, out, settings, files)) is not None:
            records[step.name] = old
        shown.done(step.name, step.name in records)
        return step.name in records

    if workers == 1:
        for step in steps:
            if not settled(step):
                records[step.name] = run_step(step, case, out, settings, files, shown.of(step.name))
                shown.done(step.name, True)
        return [records[s.name] for s in steps]

    pool, messages = None, None
    waiting, running = list(steps), dict[Future[Any], Step]()
    try:
        while waiting or running:
            for step in [s for s in waiting if all(b in records for b in s.after)]:
                waiting.remove(step)
                if settled(step):
                    continue
                if pool is None:
                    context = multiprocessing.get_context("spawn")
                    messages = context.Queue()
                    pool = ProcessPoolExecutor(
                        workers, context, _begin, (messages, max((os.cpu_count() or 1) // workers, 1))
                    )
                running[pool.submit(_in_worker, step, case, out, settings)] = step
            if not running:
                continue
            finished, _ = wait(running, _POLL_S, FIRST_COMPLETED)
            _show(messages, shown)
            for future in finished:
                step = running.pop(future)
                records[step.name], said = future.result()
                for text in said:
                    warnings.warn(text, stacklevel=2)
                files.forget(out / step.name)
                shown.done(step.name, True)
        return [records[s.name] for s in steps]
    except BaseException:
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.terminate()
        raise
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


class _Line:
    """One rising line of progress of steps that run side by side."""

    def __init__(self, progress: Progress, steps: Sequence[Step]) -> None:
        self._progress = progress
        self._fractions = {s.name: 0.0 for s in steps}

    def of(self, name: str) -> Progress:
        """The progress callback of a step."""
        return lambda fraction, message: self.at(name, fraction, message)

    def at(self, name: str, fraction: float, message: str) -> None:
        """A step has come so far."""
        self._fractions[name] = max(self._fractions[name], min(fraction, 1.0))
        text = message if message == name else f"{name}: {message}"
        self._progress(sum(self._fractions.values()) / len(self._fractions), text)

    def done(self, name: str, whole: bool) -> None:
        """A step has ended."""
        if whole:
            self._fractions[name] = 1.0


def _begin(messages: Any, threads: int) -> None:
    """In a worker process: where progress goes, and how many threads it may use beside the others."""
    import SimpleITK as sitk

    global _messages
    _messages = messages
    # An ended worker leaves its step through the same doors as an interrupted one, so that nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _in_worker(step: Step, case: Case, out: Path, settings: RunSettings) -> tuple[dict[str, Any], list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        record = run_step(step, case, out, settings, Files(), lambda f, m: _messages.put((step.name, f, m)))
    return record, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def _show(messages: Any, shown: _Line) -> None:
    while True:
        try:
            shown.at(*messages.get_nowait())
        except queue.Empty:
            return
