"""What the panels share: a parameter node in their widgets, a status line, and one step of the library that runs at a time."""

import functools
import json
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Protocol, TypeVar

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError, door
from ..mrml.process import CancelledError, Job
from . import packages
from .binding import Bindings
from .process import Step

Result = TypeVar("Result")
_PATIENCE_MS = 5000  # chosen: a cancelled step is ended after 3 s (`Step.cancel`)


class Running(Protocol):
    """A step that runs: `gliosuite.ui.process.Step`, or what a test puts in its place."""

    warnings: list[str]

    def cancel(self) -> None:
        """Ask it to end."""

    def wait(self, milliseconds: int = ...) -> bool:
        """Wait for its end."""


def slot(work: Callable[..., None]) -> Callable[..., None]:
    """What a widget's signal calls: nothing while the panel is being filled; what goes wrong in it reaches the user."""

    @functools.wraps(work)
    def run(self: Any, *_args: Any) -> None:
        if not self.bindings.paused:
            self._attempt(lambda: work(self))

    return run


class Panel:
    """Binds the widgets of a .ui file to a parameter node and a logic.

    The page has a statusLabel; a progressBar and a cancelButton where it has steps; a logEdit where it keeps what was said.

    A panel connects its widgets in ``__init__``, lists in `bindings` what Slicer does not bind by itself, and then calls `bind`.

    Parameters
    ----------
    ui
        The widgets by name (``slicer.util.childWidgetVariables``).
    logic
        Has ``abandon(job)``, which removes the files of a step, and what the panel's own class says.
    step
        Starts a command; `gliosuite.ui.process.Step` unless a test injects another.
    """

    failure: str  # what could not be done, where something ends by a defect
    labels: ClassVar[
        Mapping[str, str]
    ] = {}  # by option of the command: the widget whose text a person finds in its place

    def __init__(self, ui: Any, logic: Any, step: Callable[..., Running] = Step) -> None:
        self.ui, self.logic, self._start = ui, logic, step
        self._place = ui.statusLabel
        self.parameters: Any = None
        self.bindings = Bindings()
        self._connection: Any = None
        self._job: Job | None = None
        self._failed: Callable[[Exception], None] | None = None
        self._running: Running | None = None
        self._ending: list[Running] = []  # of a scene that was closed
        if hasattr(ui, "cancelButton"):
            ui.cancelButton.clicked.connect(self.onCancel)

    def bind(self, parameters: Any) -> None:
        """Show a parameter node in the widgets, and store what is chosen in it; called anew for each scene."""
        self.pause()
        self._attempt(lambda: self._bind(parameters))
        self.bindings.paused = False
        self.onChoice()

    def _bind(self, parameters: Any) -> None:
        # The same node stays through all scenes: a second connection would store what the first still shows.
        if self.parameters is None or self.parameters.parameterNode is not parameters.parameterNode:
            self._disconnect()
            self.parameters = self.bindings.parameters = parameters
            named = ((w.property("SlicerParameterName"), w) for w in vars(self.ui).values())
            # Not connectGui: Slicer's returns no tag to disconnect by.
            self._connection = parameters.connectParametersToGui({name: widget for name, widget in named if name})
        self.fill()
        self.bindings.show()
        self.show()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self.parameters.disconnectGui(self._connection)
        self._connection = None

    def fill(self) -> None:
        """Choose what a scene that has just come leaves open."""

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""

    def pause(self) -> None:
        """Store nothing until `bind`: the scene moves the widgets."""
        self.bindings.paused = True

    def onChoice(self, *_args: Any) -> None:
        """Show what the choices need, and allow what can be done."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------------------------------- steps

    def _launch(
        self,
        prepare: Callable[[], Job],
        text: str,
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception], None] | None = None,
        wants: Sequence[str] = (),
    ) -> bool:
        """Start the step of the job that `prepare` makes; `text` is said meanwhile. False where there is no job, and it was said why.

        `failed` is called after it was said that the step has ended without a result; `wants` are Python packages that the step can use
        (`packages.PACKAGES`).
        """
        lacking = self.provide(*wants)
        if lacking is None:
            return False
        job, notes = self._attempt(prepare)
        if job is None:
            return False
        notes = [*lacking, *notes]
        self._job, self._failed = job, failed
        self._say(text, notes)
        self.ui.progressBar.value = 0
        running: list[Running] = []

        def mine(handler: Callable[..., None], last: bool = True) -> Callable[..., None]:
            """Called while this job is the panel's; the end of one that is not any more removes its files."""

            def call(*said: Any) -> None:
                if self._job is job:
                    handler(*said)
                elif last:
                    self._ending = [r for r in self._ending if r not in running]
                    self.logic.abandon(job)

            return call

        arguments = [*job.arguments, "--names", json.dumps(self.names())]
        try:
            running.append(self._start(arguments, mine(self.onProgress, last=False), mine(done), mine(self.onFailed)))
        except BaseException:
            self._job = None
            self.logic.abandon(job)
            raise
        if self._job is job:  # it may have ended already
            self._running = running[0]
        self.onChoice()
        return True

    def _ended(self) -> tuple[Job | None, list[str]]:
        """The job whose step has ended and the step's warnings; nothing runs any more."""
        job, notes = self._job, [] if self._running is None else self._running.warnings
        self._job = self._running = None
        return job, notes

    def onProgress(self, fraction: float, message: str) -> None:
        """Progress of the step."""
        self.ui.progressBar.value = round(100 * fraction)
        self._say(message)

    def onFailed(self, error: Exception) -> None:
        """The step has ended without a result."""
        job, _notes = self._ended()
        failed, self._failed = self._failed, None
        if job is not None:
            self.logic.abandon(job)
        self.ui.progressBar.value = 0
        self.onChoice()
        if isinstance(error, (InputError, CancelledError)):
            self._say(str(error))
        else:
            self._defect(str(error))
        if failed is not None:
            failed(error)

    def onCancel(self, *_args: Any) -> None:
        """End the step."""
        if self._running is not None:
            self._say(_("cancelling"))
            self._running.cancel()

    def leave(self) -> None:
        """The scene closes: what runs is ended, and whatever it still says is no concern of the next scene."""
        self.pause()
        running, self._running, self._job = self._running, None, None
        if running is not None:
            self._ending.append(running)
            running.cancel()
        if hasattr(self.ui, "progressBar"):
            self.ui.progressBar.value = 0
        self._say("")

    def close(self) -> None:
        """The panel goes away: end what runs, and remove its files."""
        job = self._job
        self.leave()
        for running in self._ending:
            running.wait(_PATIENCE_MS)
        if job is not None:
            self.logic.abandon(job)
        self._disconnect()

    def provide(self, *names: str) -> list[str] | None:
        """See that Python packages are there, after asking; what is lost without those that are not.

        None where one is missing that nothing can be done without, and it was said which.
        """

        def work() -> bool:
            packages.provide(names)
            return True

        there, notes = self._attempt(work, busy=False)  # a busy cursor over a question would be wrong
        return notes if there else None

    # --------------------------------------------------------------------------------------------------- what the user is told

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            yield
        finally:
            slicer.app.restoreOverrideCursor()

    def _attempt(self, work: Callable[[], Result], busy: bool = True) -> tuple[Result | None, list[str]]:
        """The result of `work` and its warnings. What goes wrong is told, and the result is None: what the user can mend in a sentence
        on the panel, a defect in a window with its traceback, since nobody looks into the Python console."""
        try:
            with self._waiting() if busy else nullcontext(), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                with door(self.names(), "gliosuite"):
                    result = work()
            return result, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        except InputError as error:
            self._say(str(error))
        except Exception:
            self._defect(traceback.format_exc())
        return None, []

    def _defect(self, details: str) -> None:
        self._say(self.failure)
        slicer.util.errorDisplay(self.failure, detailedText=details)

    def names(self) -> dict[str, str]:
        """What sentences call the options of commands here: the labels of the panel."""
        return {flag: '"' + getattr(self.ui, widget).text.rstrip(":") + '"' for flag, widget in self.labels.items()}

    def speak_in(self, name: str) -> None:
        """Say from now on in the label of that name: a long panel speaks near what was clicked."""
        self._place = getattr(self.ui, name)

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        said = "\n".join([text, *(_("note: {text}").format(text=n) for n in notes or [])])
        log = getattr(self.ui, "logEdit", None)
        if log is not None and text and said != self._place.text:
            log.appendPlainText(said)
        self._place.text = said


def show_only(*rules: tuple[tuple[Any, ...], bool]) -> None:
    """Show or hide widgets: tuples of them, and whether they are wanted."""
    for widgets, wanted in rules:
        for widget in widgets:
            widget.visible = wanted
