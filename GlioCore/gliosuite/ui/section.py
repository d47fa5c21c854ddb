"""A section of a panel: some of its widgets with their slots; parameters, logic and steps are the panel's."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ..mrml.process import Job

Result = TypeVar("Result")


class Section:
    """Connects its widgets in ``__init__``, with slots that `gliosuite.ui.panel.slot` makes of its methods; the panel calls the rest as
    scenes and choices come and go.

    `place` is the label in which it says what happened, near what was clicked.
    """

    place = "statusLabel"

    def __init__(self, panel: Any) -> None:
        self.panel, self.ui, self.bindings = panel, panel.ui, panel.bindings

    @property
    def logic(self) -> Any:
        """The module's logic."""
        return self.panel.logic

    @property
    def parameters(self) -> Any:
        """The parameter node of the scene."""
        return self.panel.parameters

    @property
    def running(self) -> bool:
        """Whether a step of the panel runs."""
        return self.panel._running is not None

    def _attempt(self, work: Callable[[], Result]) -> tuple[Result | None, list[str]]:
        self.panel.speak_in(self.place)
        return self.panel._attempt(work)

    def say(self, text: str, notes: Sequence[str] = ()) -> None:
        """Say something in the section's place."""
        self.panel.speak_in(self.place)
        self.panel._say(text, list(notes))

    def _launch(
        self,
        prepare: Callable[[], "Job"],
        text: str,
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception], None] | None = None,
        wants: Sequence[str] = (),
    ) -> bool:
        self.panel.speak_in(self.place)
        return self.panel._launch(prepare, text, done, failed, wants)

    def _ended(self) -> tuple["Job | None", list[str]]:
        return self.panel._ended()

    def fill(self) -> None:
        """Choose what a scene that has just come leaves open."""

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""

    def allow(self) -> None:
        """Show what the choices need, and allow what can be done."""

    def leave(self) -> None:
        """The scene closes."""
