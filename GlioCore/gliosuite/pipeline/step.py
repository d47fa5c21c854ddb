"""What a step of a run is, and how steps are carried out: whole or not at all, kept where nothing that they read has changed."""

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..case import Case
from ..compute import forget_peak, peak_gib
from ..errors import InputError
from ..files import clear_partial, plain, read_json, staged, write_json, write_text
from ..report import Section
from ..steps import Progress, heard, part, version
from .context import Done, Run, RunSettings, SkippedStep
from .seen import Files, What, now
from .workers import Workers

_WAS_ENDED = (
    "its process was ended from outside while it ran alone, as happens where memory runs out; what is whole is kept, and the same "
    "command goes on from there, with more free memory or a larger --spacing-mm"
)
_EARLY_PART = 0.4  # of a step's progress: its share of the time, measured on the demo


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    name
        Of the step, and of its folder under the results.
    function
        Takes what it needs from a `Run`, writes its results into a folder, and says what came of it. What it reads there is noted, and
        is all that decides whether its result can be kept.
    section
        Its part of the report, with the title that a person reads.
    after
        The steps whose results it may read.
    early
        What of its work needs less than that, and can be done while other steps run: it finds its value in `Run.early`. None for nothing.
    early_after
        The steps whose results `early` may read.
    among_results
        Whether its files lie in the results folder itself, because they draw on several steps.
    always
        Whether it is carried out even where ``--skip`` names it, because others need what it leaves: it leaves out its work itself.
    role
        The image of the case without which there is nothing to do; empty where that hangs on more.
    """

    name: str
    function: Callable[[Run, Path, Progress], Done]
    section: Section
    after: tuple[str, ...] = ()
    early: Callable[[Run, Progress], Any] | None = None
    early_after: tuple[str, ...] = ()
    among_results: bool = False
    always: bool = False
    role: str = ""

    def skipped(self, settings: RunSettings) -> bool:
        """Whether it is to be left out."""
        return self.name in settings.skip and not self.always

    def idle(self, case: Case, settings: RunSettings) -> bool:
        """Whether there is nothing to do: it is to be left out, or the case lacks its image."""
        return self.skipped(settings) or bool(self.role and self.role not in case.images)

    def folder(self, out: Path) -> Path:
        """Where its files lie."""
        return out if self.among_results else out / self.name

    def trace(self, out: Path) -> Path:
        """The file that tells a programmer of an unexpected error."""
        return out / f"{self.name}.error.txt"

    def note(self, out: Path) -> Path:
        """The file that says how its results came about and what it was seen to read."""
        return self.folder(out) / (f"{self.name}.provenance.json" if self.among_results else "provenance.json")


class Defect(Exception):
    """An error in a step that nobody expected: a sentence, and the traceback. Other errors need not survive the way between processes."""

    @classmethod
    def of(cls, error: Exception) -> "Defect":
        """The error that is being handled."""
        text = " ".join(str(error).split())
        return cls(
            f"an unexpected error, a defect of GlioSuite ({type(error).__name__}: {text})", traceback.format_exc()
        )


@dataclass(frozen=True)
class _Early:
    """What `Step.early` came to, or why there is nothing; what it was seen to read, and what it warned of."""

    value: Any
    refusal: InputError | SkippedStep | Defect | None
    seen: dict[What, str]
    said: list[str]
    seconds: float
    cpu_seconds: float
    peak_gib: float | None


def kept(step: Step, case: Case, out: Path, settings: RunSettings, files: Files) -> dict[str, Any] | None:
    """The record of an earlier result that still holds: all that it read is as it was. None where there is none."""
    path = step.note(out)
    if not path.exists():
        return None
    old = read_json(path)
    if old.get("version") != version() or "seen" not in old:
        return None
    if not as_seen(old["seen"], case, out, settings, files):
        return None
    return old["record"] | {"status": "kept"}


def as_seen(notes: Sequence[Any], case: Case, out: Path, settings: RunSettings, files: Files) -> bool:
    """Whether all that was noted is as it was."""
    return all(now(tuple(what), case, settings, out, files) == content for what, content in notes)


def _prepare(step: Step, case: Case, out: Path, settings: RunSettings, files: Files, progress: Progress) -> _Early:
    run = Run(case, out, settings, files)
    forget_peak()
    start, cpu = time.perf_counter(), time.process_time()
    value: Any = None
    refusal: InputError | SkippedStep | Defect | None = None
    with heard() as said:
        try:
            value = step.early(run, progress) if step.early else None
        except (InputError, SkippedStep) as error:
            refusal = error
        except Exception as error:
            refusal = Defect.of(error)
    return _Early(value, refusal, run.seen, said, time.perf_counter() - start, time.process_time() - cpu, peak_gib())


def run_step(
    step: Step,
    case: Case,
    out: Path,
    settings: RunSettings,
    files: Files,
    early: _Early | None,
    progress: Progress,
) -> dict[str, Any]:
    """Run, skip or refuse one step; the record for ``run.json``."""
    run = Run(case, out, settings, files)
    progress(0.0, step.name)
    try:
        early = early or _prepare(step, case, out, settings, files, part(progress, 0.0, _EARLY_PART))
        if early.refusal is not None:
            raise early.refusal
        run.seen.update(early.seen)
        run.early = early.value
        forget_peak()
        start, cpu = time.perf_counter(), time.process_time()
        stretch = part(progress, _EARLY_PART, 1.0) if step.early else progress
        # What an earlier run left of this step must not stand beside the new results as if it belonged to them.
        with staged(step.folder(out), replace=not step.among_results) as folder:
            with heard() as said:
                done = step.function(run, folder, stretch)
            # What is warned of is in the report too; in an order that no number of threads changes.
            done.notes += [s for s in sorted({*early.said, *said}) if s not in done.notes]
            record = {"step": step.name, "status": "done", **plain(done)}
            cpu_of = record.pop("cpu_seconds")
            write_json(
                folder / step.note(out).name,
                {
                    "version": version(),
                    "settings": done.settings,
                    "inputs": {":".join(w[1:]): h for w, h in sorted(run.seen.items()) if w[0] == "file"},
                    "seen": notes_of(run),
                    "device": "cpu",
                    "seconds": round(early.seconds + time.perf_counter() - start, 2),
                    "cpu_seconds": round(early.cpu_seconds + time.process_time() - cpu, 2),
                    "cpu_seconds_of": cpu_of,
                    "peak_gib": max((p for p in (early.peak_gib, peak_gib()) if p is not None), default=None),
                    "record": record,
                },
            )
        step.trace(out).unlink(missing_ok=True)
        return record
    except SkippedStep as reason:
        _clear(step, out)
        return {"step": step.name, "status": "skipped", "why": str(reason)}
    except InputError as error:
        _clear(step, out)
        return {"step": step.name, "status": "refused", "why": str(error)}
    except Exception as error:  # one step must not take the others and the report with it
        _clear(step, out)
        sentence, trace = (error if isinstance(error, Defect) else Defect.of(error)).args
        write_text(step.trace(out), trace)
        why = f"{sentence}; its traceback is in {step.trace(out).name}"
        return {"step": step.name, "status": "failed", "why": why}
    finally:
        _written(step, out, files)


def _clear(step: Step, out: Path) -> None:
    """Remove what an earlier run left of a step that has no result now: later steps and the report would take it for this run's."""
    if not step.among_results:
        shutil.rmtree(step.folder(out), ignore_errors=True)


def _written(step: Step, out: Path, files: Files) -> None:
    """Forget the hashes of what a step has written anew; nobody reads the tables among the results."""
    if not step.among_results:
        files.forget(step.folder(out))


def notes_of(run: Run) -> list[list[Any]]:
    """What a run was seen to read, as `as_seen` takes it."""
    return sorted([list(what), content] for what, content in run.seen.items())


def run_steps(
    steps: Sequence[Step],
    case: Case,
    out: Path,
    settings: RunSettings,
    files: Files,
    workers: Workers,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """Carry out all steps, those that do not wait for each other side by side; their records by name, in the order of `steps`."""
    line = _Line(progress, steps)
    given = (case, out, settings)
    records: dict[str, dict[str, Any]] = {}

    def settled(step: Step) -> bool:
        """Whether nothing is left to do for a step: left out, or kept."""
        if step.skipped(settings):
            records[step.name] = {"step": step.name, "status": "skipped", "why": f"--skip {step.name} was given"}
        elif (old := kept(step, *given, files)) is not None:
            records[step.name] = old
        line.done(step.name, step.name in records)
        return step.name in records

    if workers.count == 1:
        for step in steps:
            if not settled(step):
                records[step.name] = run_step(step, *given, files, None, line.of(step.name))
                line.done(step.name, True)
        return records

    early: dict[str, _Early | None] = {}
    running: dict[Future[Any], tuple[Step, bool, bool]] = {}  # is it early, is it alone
    waiting = list(steps)
    room = workers.count
    while waiting or running:
        busy = {step.name for step, is_early, _ in running.values() if is_early}
        for step in [s for s in waiting if records.keys() >= set(s.after) and s.name not in busy]:
            if len(running) < room:
                waiting.remove(step)
                if not settled(step):
                    work = workers.submit(step.name, _run_alone, step, *given, early.pop(step.name, None))
                    running[work] = (step, False, room == 1)
        # What can be done early fills the processes that are left. Where a step's result looks kept now, there may be nothing to do.
        for step in [s for s in waiting if s.early and s.name not in early and records.keys() >= set(s.early_after)]:
            if len(running) < room:
                early[step.name] = None
                if not step.skipped(settings) and kept(step, *given, files) is None:
                    running[workers.submit(step.name, _prepare_alone, step, *given)] = (step, True, room == 1)
        for work in workers.finished(running, line.at) if running else []:
            step, is_early, alone = running.pop(work)
            if isinstance(work.exception(), BrokenProcessPool):
                # All processes end with the one that was, and which that was nobody knows: what they did is done again, one thing at a
                # time, which needs less memory. Nothing early is: the step does it itself.
                room = 1
                if is_early:
                    continue
                clear_partial(step.folder(out))
                if not alone:
                    waiting.insert(0, step)
                    continue
                records[step.name] = {"step": step.name, "status": "failed", "why": _WAS_ENDED}
            elif is_early:
                early[step.name] = work.result().value()
                continue
            else:
                records[step.name] = work.result().value()
            _written(step, out, files)
            line.done(step.name, True)
    return {s.name: records[s.name] for s in steps}


def _run_alone(step: Step, case: Case, out: Path, settings: RunSettings, early: Any, progress: Progress) -> Any:
    return run_step(step, case, out, settings, Files(), early, progress)


def _prepare_alone(step: Step, case: Case, out: Path, settings: RunSettings, progress: Progress) -> _Early:
    return _prepare(step, case, out, settings, Files(), part(progress, 0.0, _EARLY_PART))


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
