"""The panel as a whole: its sections, and what they ask for together."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from slicer.i18n import tr as _

from ...mrml.drafts import DraftRequest
from ...mrml.perfusion import study
from ...mrml.rt.request import TargetsRequest
from ..drafting import DraftSection
from ..panel import Running
from ..process import Step
from ..sectioned import SectionedPanel
from .export import Export
from .margins import Margins
from .predicted import Predicted
from .results import Results
from .structures import Structures


class TargetsPanel(SectionedPanel):
    """Binds the widgets of GlioRT.ui to a parameter node and a logic; `GlioRT.GlioRTLogic` says what a logic has."""

    remark = "checkLabel"
    failure = _("Something went wrong in GlioRT; the details help those who mend it.")
    labels: ClassVar[Mapping[str, str]] = {
        "--barriers": "barriersLabel",
        "--brain": "brainLabel",
        "--critical": "criticalLabel",
        "--allow-derived": "allowDerivedCheckBox",
        "--drafts-accepted-by": "acceptedByLabel",
        "--ptv-mm": "ptvLabel",
        "--probability": "probabilityLabel",
        "--threshold": "thresholdLabel",
        "--volume-cc": "volumeLabel",
        "--like": "likeLabel",
        "--sensitivity": "sensitivityLabel",
    }

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        super().__init__(ui, logic, step)
        self.structures = Structures(self)
        self.margins = Margins(self)
        self.predicted = Predicted(self)
        self.results = Results(self)
        self.export = Export(self)
        self._sections = (
            # Before the structures, which speak in the same place and have the last word of a new scene.
            DraftSection(self, self._drafts_from, self.structures.take, self.structures.place),
            self.structures,
            self.margins,
            self.predicted,
            self.results,
            self.export,
        )
        for box in (ui.inputBox, ui.schemeBox, ui.predictedBox, ui.resultBox, ui.exportBox):
            # What was hidden while a box was closed may be seen again as it opens.
            box.contentsCollapsed.connect(self.onChoice)
        self.bind(parameters)

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""
        for section in self._sections:
            section.say("")
            section.show()

    def request(self) -> TargetsRequest:
        """What the panel asks for."""
        self.bindings.store()
        p = self.parameters
        return TargetsRequest(
            reference=p.reference,
            schemes=self.margins.ticked(),
            segments=self.structures.segments(),
            barriers=p.barriers,
            barriers_folder=p.barriersFolder,
            barriers_node=p.barriersSegmentation,
            through=tuple(n for n, go in (("brainstem", p.throughBrainstem), ("chiasm", p.throughChiasm)) if go),
            critical=p.criticalSegmentation,
            ptv_mm=p.ptvMm,
            prediction=self.predicted.prediction(),
        )

    def _drafts_from(self, post_operative: bool) -> DraftRequest:
        p = self.parameters
        images = {role: node for role, node in (("t1c", p.reference), ("flair", p.flair)) if node is not None}
        for role in ("t1", "t2"):
            others = [node for node in study.with_role(role) if node not in images.values()]
            images |= {role: others[0]} if others else {}
        return DraftRequest(images, self.structures.segments(), p.segmentation, post_operative)
