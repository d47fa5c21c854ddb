"""A section of a panel: some of its widgets with their slots; parameters, logic and steps are the panel's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ..mrml.process import Job
    from .binding import Bindings
    from .panel import Panel

Result = TypeVar("Result")


class Section:
    """Connects its widgets in ``__init__``; the panel calls the rest as scenes, choices and steps come and go."""

    def __init__(self, panel: "Panel") -> None:
        self.panel = panel
        self.ui = panel.ui

    @property
    def parameters(self) -> Any:
        """The panel's parameter node."""
        return self.panel.parameters

    @property
    def logic(self) -> Any:
        """The panel's logic."""
        return self.panel.logic

    @property
    def bindings(self) -> "Bindings":
        """The panel's bindings."""
        return self.panel.bindings

    @property
    def running(self) -> bool:
        """Whether a step of the panel runs."""
        return self.panel._running is not None

    def _attempt(self, work: Callable[[], Result]) -> tuple[Result | None, list[str]]:
        return self.panel._attempt(work)

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        self.panel._say(text, notes)

    def _launch(
        self,
        prepare: Callable[[], "Job"],
        text: str,
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> bool:
        return self.panel._launch(prepare, text, done, failed)

    def _ended(self) -> tuple["Job | None", list[str]]:
        return self.panel._ended()

    def fill(self) -> None:
        """Choose what a scene that has just come leaves open."""

    def show(self) -> None:
        """Show what the bindings do not."""

    def choose(self) -> None:
        """Show what the choices need, and allow what can be done."""

    def leave(self) -> None:
        """The scene closes."""
