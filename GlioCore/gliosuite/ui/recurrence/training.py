"""Section 4, below: a model of one's own cohort, trained in a process of its own."""

from typing import Any

import ctk
from slicer.i18n import tr as _

from ...recurrence.settings import NETWORK, VOXELWISE
from ..packages import NETWORKS, TRAINING
from ..panel import slot
from ..section import Section


class Training(Section):
    """Starts ``gliosuite recurrence train``; what it made is the chosen model afterwards."""

    place = "trainStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        for edit, name in ((ui.casesEdit, "casesFolder"), (ui.trainedEdit, "trainedFolder")):
            self.bindings.path(edit, name)
            edit.filters = ctk.ctkPathLineEdit.Dirs
        kinds = {VOXELWISE: _("trees (minutes)"), NETWORK: _("network (hours; needs PyTorch)")}
        self.bindings.choice(ui.trainKindComboBox, "trainKind", kinds)
        ui.trainButton.clicked.connect(self.onTrain)

    def allow(self) -> None:
        """One step at a time."""
        self.ui.trainButton.enabled = not self.running

    @slot
    def onTrain(self) -> None:
        """Start the step."""
        self.bindings.store()
        p = self.parameters
        prepare = lambda: self.logic.startTraining(p.casesFolder, p.trainedFolder, p.trainKind)
        wants = (*TRAINING, *(NETWORKS if p.trainKind == NETWORK else ()))
        self._launch(prepare, _("reading the cases"), self.onTrained, wants=wants)

    def onTrained(self, summary: dict[str, Any]) -> None:
        """The model is there: it is the one that predicts from now on."""
        job, notes = self._ended()
        self.logic.abandon(job)
        self.ui.progressBar.value = 100
        self.panel.model.take(summary["out"])
        said = _("trained on {count} patients and chosen above; its card says what it reached")
        self.say(said.format(count=summary["patients"]), notes)
        self.panel.onChoice()
