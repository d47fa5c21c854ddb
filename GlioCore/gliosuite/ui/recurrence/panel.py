"""The panel as a whole: its sections, and what they ask for together."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from slicer.i18n import tr as _

from ...mrml.recurrence import ROLES, RecurrenceRequest
from ..panel import Running
from ..process import Step
from ..rt.structures import Structures
from ..sectioned import SectionedPanel
from .images import Images
from .model import ModelSection
from .patterns import Patterns
from .probability import Probability
from .training import Training
from .why import Why


class RecurrencePanel(SectionedPanel):
    """Binds the widgets of GlioRecurrence.ui to a parameter node and a logic like `GlioRecurrence.GlioRecurrenceLogic`."""

    labels: ClassVar[Mapping[str, str]] = {"--cases": "casesLabel", "--out": "trainedLabel"}
    remark = "notesLabel"
    failure = _("Something went wrong in GlioRecurrence; the details help those who mend it.")

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        super().__init__(ui, logic, step)
        self.structures = Structures(self, ROLES)
        self.images = Images(self)
        self.probability = Probability(self)
        self.why = Why(self)
        self.model = ModelSection(self)
        self.training = Training(self)
        self.patterns = Patterns(self)
        self._sections = (
            self.structures,
            self.images,
            self.probability,
            self.why,
            self.model,
            self.training,
            self.patterns,
        )
        self.bind(parameters)

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""
        for section in self._sections:
            section.say("")
        for section in self._sections:  # those of one place in turn
            section.show()

    def request(self) -> RecurrenceRequest:
        """What the panel asks for."""
        self.bindings.store()
        return RecurrenceRequest(self.images.chosen(), self.structures.segments(), self.model.folder())
