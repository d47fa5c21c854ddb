"""What the panels share: a parameter node in their widgets, a status line, and one step of the library that runs at a time."""

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError, door
from ..mrml.process import CancelledError, Job
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


class Panel:
    """Binds the widgets of a .ui file to a parameter node and a logic. The page has a statusLabel, a progressBar and a cancelButton.

    Parameters
    ----------
    ui
        The widgets by name (``slicer.util.childWidgetVariables``).
    logic
        Has ``abandon(job)``, which removes the files of a step, and what the panel's own class says.
    parameters
        The module's parameter node.
    step
        Starts a command; `gliosuite.ui.process.Step` unless a test injects another.
    """

    failure: str  # what could not be done, where a step ends by a defect
    labels: ClassVar[
        Mapping[str, str]
    ] = {}  # by option of the command: the widget whose text a person finds in its place

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        self.ui, self.logic, self.parameters, self._start = ui, logic, parameters, step
        self._job: Job | None = None
        self._running: Running | None = None
        ui.cancelButton.clicked.connect(self.onCancel)

    def bind(self, parameters: Any) -> None:
        """Show a parameter node in the widgets, and store what is chosen in it."""
        raise NotImplementedError

    def onChoice(self, *_args: Any) -> None:
        """Show what the choices need, and allow what can be done."""
        raise NotImplementedError

    def _take(self, parameters: Any) -> Bindings:
        """Connect the widgets that Slicer can connect by itself; the other bindings are the panel's to add and to show."""
        self.parameters = parameters
        parameters.connectGui(self.ui)
        return Bindings(parameters)

    # --------------------------------------------------------------------------------------------------------------- steps

    def _launch(self, prepare: Callable[[], Job], text: str, done: Callable[[dict[str, Any]], None]) -> None:
        """Start the step of the job that `prepare` makes; `text` is said meanwhile."""
        job, notes = self._attempt(prepare)
        if job is None:
            return
        self._job = job
        self._say(text, notes)
        self.ui.progressBar.value = 0
        running = self._start(
            [*job.arguments, "--names", json.dumps(self.names())], self.onProgress, done, self.onFailed
        )
        if self._job is not None:  # it may have ended already
            self._running = running
        self.onChoice()

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
        if job is not None:
            self.logic.abandon(job)
        self.ui.progressBar.value = 0
        self.onChoice()
        self._say(str(error))
        if not isinstance(error, (InputError, CancelledError)):
            slicer.util.errorDisplay(self.failure, detailedText=str(error))

    def onCancel(self, *_args: Any) -> None:
        """End the step."""
        if self._running is not None:
            self._say(_("cancelling"))
            self._running.cancel()

    def close(self) -> None:
        """The panel goes away: end what runs, and remove its files."""
        running, job = self._running, self._job
        self.onCancel()
        if running is not None:
            running.wait(_PATIENCE_MS)
        if job is not None:
            self.logic.abandon(job)

    # --------------------------------------------------------------------------------------------------- what the user is told

    def _attempt(self, work: Callable[[], Result]) -> tuple[Result | None, list[str]]:
        """The result of `work` and its warnings; what the user can mend is said on the panel, and the result is None."""
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                with door(self.names(), "gliosuite"):
                    result = work()
            return result, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        except InputError as error:
            self._say(str(error))
            return None, []
        finally:
            slicer.app.restoreOverrideCursor()

    def names(self) -> dict[str, str]:
        """What sentences call the options of commands here: the labels of the panel."""
        return {flag: '"' + getattr(self.ui, widget).text.rstrip(":") + '"' for flag, widget in self.labels.items()}

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        self.ui.statusLabel.text = "\n".join([text, *(_("note: {text}").format(text=n) for n in notes or [])])


def show_only(*rules: tuple[tuple[Any, ...], bool]) -> None:
    """Show or hide widgets: tuples of them, and whether they are wanted."""
    for widgets, wanted in rules:
        for widget in widgets:
            widget.visible = wanted
