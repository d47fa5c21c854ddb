"""The panel as a whole: its sections, and what they ask for together."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from slicer.i18n import tr as _

from ...mrml.recurrence import ROLES, RecurrenceRequest
from ..panel import Panel, Running, slot
from ..process import Step
from ..rt.structures import Structures
from ..section import Section
from .images import Images
from .model import ModelSection
from .probability import Probability
from .training import Training
from .why import Why


class RecurrencePanel(Panel):
    """Binds the widgets of GlioRecurrence.ui to a parameter node and a logic like `GlioRecurrence.GlioRecurrenceLogic`."""

    labels: ClassVar[Mapping[str, str]] = {"--cases": "casesLabel", "--out": "trainedLabel"}
    failure = _("Something went wrong in GlioRecurrence; the details help those who mend it.")

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        super().__init__(ui, logic, step)
        self.structures = Structures(self, ROLES)
        self.images = Images(self)
        self.probability = Probability(self)
        self.why = Why(self)
        self.model = ModelSection(self)
        self.training = Training(self)
        self._sections: tuple[Section, ...] = (
            self.structures,
            self.images,
            self.probability,
            self.why,
            self.model,
            self.training,
        )
        self.bind(parameters)

    def fill(self) -> None:
        """Choose what a scene leaves open."""
        for section in self._sections:
            section.fill()

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""
        for section in self._sections:
            section.say("")
        for section in self._sections:  # those of one place in turn
            section.show()

    @slot
    def onChoice(self) -> None:
        """Allow what can be done."""
        for section in self._sections:
            section.allow()
        for label in (*(getattr(self.ui, section.place) for section in self._sections), self.ui.notesLabel):
            label.visible = bool(label.text)  # an empty line is no gap

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        super()._say(text, notes)
        self._place.visible = bool(text)

    def request(self) -> RecurrenceRequest:
        """What the panel asks for."""
        self.bindings.store()
        return RecurrenceRequest(self.images.chosen(), self.structures.segments(), self.model.folder())
