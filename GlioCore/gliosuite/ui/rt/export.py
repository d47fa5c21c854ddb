"""Section 5: the RT structure set, checked before it is written."""

from typing import Any

import ctk
from slicer.i18n import tr as _

from ...mrml.rt.choices import TO_FOLDER
from ...mrml.rt.structureset import ExportRequest
from ..packages import DICOM
from ..panel import show_only, slot
from ..section import Section

_SIGNS = {"ok": "✓", "warning": "!", "error": "✗"}


class Export(Section):
    """The series, the pre-flight list, and where the structure set goes."""

    place = "exportStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        for edit, name in ((ui.seriesFolderEdit, "seriesFolder"), (ui.outputFolderEdit, "outputFolder")):
            edit.filters = ctk.ctkPathLineEdit.Dirs
            self.bindings.path(edit, name)
        ui.destinationComboBox.currentIndexChanged.connect(panel.onChoice)
        ui.checkButton.clicked.connect(self.onCheck)
        ui.exportButton.clicked.connect(self.onExport)
        changes = self.logic.slicerRtChanges()
        ui.slicerRtButton.toolTip = changes
        ui.slicerRtButton.clicked.connect(self.onSlicerRt)

    def show(self) -> None:
        """No list of an earlier scene."""
        self._list(())

    def allow(self) -> None:
        """Whether the series is known, and what there is to be exported."""
        ui, results = self.ui, self.panel.results
        image = results.asked.reference if results.asked is not None else ui.referenceSelector.currentNode()
        source = self.logic.dicomSource(image)
        if source is not None:
            ui.seriesLabel.text = _("On {title}, {count} files of Slicer's DICOM database").format(
                title=source.title, count=len(source.files)
            )
        elif image is not None:
            ui.seriesLabel.text = _("{name} was not loaded from Slicer's DICOM database: choose its series").format(
                name=image.GetName()
            )
        drafts = self.logic.drafts(results.result, results.asked) if results.result is not None else []
        ui.draftsLabel.text = _("Drafts: {names}. Who has looked at them?").format(names=", ".join(drafts))
        show_only(
            ((ui.draftsLabel, ui.acceptedByLabel, ui.acceptedByEdit), bool(drafts)),
            ((ui.seriesLabel,), image is not None),
            ((ui.seriesFolderLabel, ui.seriesFolderEdit), source is None),
            ((ui.slicerRtButton,), bool(self.logic.slicerRtChanges())),
            ((ui.outputFolderLabel, ui.outputFolderEdit), ui.destinationComboBox.currentText == TO_FOLDER),
        )
        for button in (ui.checkButton, ui.exportButton, ui.slicerRtButton):
            button.enabled = results.result is not None

    def request(self) -> ExportRequest:
        """What is asked for."""
        self.bindings.store()
        p = self.parameters
        return ExportRequest(
            p.seriesFolder, p.destination, p.outputFolder, p.setLabel.strip(), p.allowDerived, p.acceptedBy
        )

    def _list(self, findings: tuple) -> None:
        """The pre-flight list, errors first."""
        order = list(_SIGNS)[::-1]
        ranked = sorted(findings, key=lambda f: order.index(f.level))
        self.ui.checkLabel.text = "\n".join(f"{_SIGNS[f.level]} {f.sentence}" for f in ranked)
        self.panel.onChoice()

    def _can_write(self) -> bool:
        self.panel.speak_in(self.place)
        return self.panel.provide(*DICOM) is not None

    @slot
    def onCheck(self) -> None:
        """Look at everything without writing."""
        results = self.panel.results
        if not self._can_write():
            return
        findings, notes = self._attempt(lambda: self.logic.check(results.result, results.asked, self.request()))
        if findings is None:
            return
        self._list(findings)
        errors = sum(f.level == "error" for f in findings)
        warned = sum(f.level == "warning" for f in findings)
        text = (
            _("it cannot be written: {errors} error(s) (✗)")
            if errors
            else _("it can be written; {warned} point(s) to note (!)")
        )
        self.say(text.format(errors=errors, warned=warned), notes)

    @slot
    def onExport(self) -> None:
        """Write the structure set."""
        results = self.panel.results
        if not self._can_write():
            return
        written, notes = self._attempt(lambda: self.logic.export(results.result, results.asked, self.request()))
        if written is not None:
            exported, where = written
            self._list(exported.findings)
            names = ", ".join(roi.name for roi in exported.rois)
            self.say(_("{where} holds {names}").format(where=where, names=names), notes)

    @slot
    def onSlicerRt(self) -> None:
        """Send the targets to SlicerRT's exporter, and say what it changed."""
        folder, results = self.request().folder, self.panel.results
        changes, notes = self._attempt(lambda: self.logic.exportWithSlicerRt(results.result, results.asked, folder))
        if changes is not None:
            self.say(_("SlicerRT wrote into {folder}").format(folder=folder), [changes, *notes])
