"""The panel as a whole: its sections, and what they ask for together."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from slicer.i18n import tr as _

from ...mrml.drafts import DraftRequest
from ...mrml.recurrence import ROLES, RecurrenceRequest
from ..drafting import DraftSection
from ..panel import Running, slot
from ..process import Step
from ..rt.structures import Structures
from ..sectioned import SectionedPanel
from .followup import FollowupSection
from .habitats import Habitats
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
        self.followup = FollowupSection(self)
        self.probability = Probability(self)
        self.why = Why(self)
        self.model = ModelSection(self)
        self.training = Training(self)
        self.habitats = Habitats(self)
        self.patterns = Patterns(self)
        ui.editButton.clicked.connect(self.onEdit)
        self._sections = (
            # Before the structures, which speak in the same place and have the last word of a new scene.
            DraftSection(self, self._drafts_from, self.structures.take, self.structures.place),
            self.structures,
            self.images,
            self.followup,
            self.probability,
            self.why,
            self.model,
            self.training,
            self.habitats,
            self.patterns,
        )
        self.bind(parameters)

    def onChoice(self, *_args: Any) -> None:
        """Show what the choices need, and allow what can be done."""
        super().onChoice()
        self.ui.cancelButton.enabled = self._running is not None
        self.ui.editButton.enabled = self.parameters.segmentation is not None

    @slot
    def onEdit(self) -> None:
        """On to the Segment Editor with the segments of section 1."""
        self.logic.edit(self.parameters.segmentation, self.parameters.reference)

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

    def _drafts_from(self, post_operative: bool) -> DraftRequest:
        images = {role: node for role, node in self.images.chosen().items() if role in ("t1c", "flair", "t1")}
        return DraftRequest(images, self.structures.segments(), self.parameters.segmentation, post_operative)
