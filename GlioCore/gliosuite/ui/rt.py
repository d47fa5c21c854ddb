"""The GlioRT panel: structures, a margin to try, barriers, schemes, target volumes with their comparison, the RT structure set."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import ctk
import qt
from slicer.i18n import tr as _

from ..mrml.targets import REGIONS, TargetsRequest, TargetsResult
from ..mrml.volumes import first_image
from .binding import chosen
from .panel import Panel, Running, show_only, slot
from .process import Step

_COLUMNS = ("scheme", "GTV", "margin [mm]", "dose")


class TargetsPanel(Panel):
    """Binds the widgets of GlioRT.ui to a parameter node and a logic.

    The logic has ``schemes() -> rows of (name, GTV, margin, dose)``, ``compute(request) -> TargetsResult``,
    ``recall(node) -> (TargetsResult, TargetsRequest) or None``,
    ``export(result, request, series_dir, path, allow_derived)``, ``preview(reference, lesion, brain, margin_mm, node) -> (node, cc)``,
    for barriers by registration ``startBarriers(request) -> job``, ``finishBarriers(job, result) -> node`` and ``abandon(job)``, and
    SlicerRT's exporter: ``slicerRtChanges() -> str``, empty where it is not installed, and ``exportWithSlicerRt(result, request,
    folder) -> str``.
    """

    failure = _("Something went wrong in GlioRT; the details help those who mend it.")
    labels: ClassVar[Mapping[str, str]] = {
        "--barriers": "barriersLabel",
        "--brain": "brainSegmentLabel",
        "--allow-derived": "allowDerivedCheckBox",
    }

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        super().__init__(ui, logic, step)
        self._result: TargetsResult | None = None
        self._request: TargetsRequest | None = None
        bindings = self.bindings
        for region in REGIONS:
            bindings.segment(getattr(ui, f"{region}SegmentSelector"), f"{region}Segmentation", f"{region}Segment")
        bindings.segment(ui.lesionSegmentSelector, "lesionSegmentation", "lesionSegment")
        bindings.path(ui.barriersFolderEdit, "barriersFolder")
        bindings.path(ui.seriesFolderEdit, "seriesFolder")
        bindings.path(ui.structureFileEdit, "structureFile")
        ui.seriesFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.barriersFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.structureFileEdit.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Writable
        self._rows = list(logic.schemes())
        fill_table(ui.schemeTable, _COLUMNS, self._rows)
        for row in range(len(self._rows)):
            item = ui.schemeTable.item(row, 0)
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
            item.setCheckState(qt.Qt.Unchecked)
        ui.schemeTable.resizeColumnsToContents()
        ui.schemeTable.itemChanged.connect(self.onScheme)
        ui.referenceSelector.currentNodeChanged.connect(self.onChoice)
        ui.barriersComboBox.currentIndexChanged.connect(self.onChoice)
        for signal in (
            ui.previewCheckBox.stateChanged,
            ui.marginSlider.valueChanged,
            ui.lesionSegmentSelector.currentNodeChanged,
            ui.lesionSegmentSelector.currentSegmentChanged,
        ):
            signal.connect(self.onMargin)
        ui.computeButton.clicked.connect(self.onCompute)
        ui.exportButton.clicked.connect(self.onExport)
        changes = logic.slicerRtChanges()
        ui.slicerRtButton.visible = bool(changes)
        ui.slicerRtButton.toolTip = changes
        ui.slicerRtButton.clicked.connect(self.onSlicerRt)
        self.bind(parameters)

    def fill(self) -> None:
        """A scene's first image where none is chosen."""
        if self.parameters.reference is None:
            self.parameters.reference = first_image()

    def show(self) -> None:
        """The schemes that are ticked, and the targets that were computed, also in a scene that has just been loaded."""
        wanted = self.parameters.schemes.split()
        for row, entry in enumerate(self._rows):
            state = qt.Qt.Checked if entry[0] in wanted else qt.Qt.Unchecked
            self.ui.schemeTable.item(row, 0).setCheckState(state)
        self._show_targets(self.logic.recall(self.parameters.targets))

    @slot
    def onScheme(self) -> None:
        """A scheme was ticked or not."""
        ticked = [
            entry[0]
            for row, entry in enumerate(self._rows)
            if self.ui.schemeTable.item(row, 0).checkState() == qt.Qt.Checked
        ]
        self.parameters.schemes = " ".join(ticked)
        self.onChoice()

    @slot
    def onChoice(self) -> None:
        """Show what the choice of barriers needs, and allow what can be done."""
        ui, p = self.ui, self.parameters
        barriers = ui.barriersComboBox.currentText
        show_only(
            ((ui.barriersFolderLabel, ui.barriersFolderEdit), barriers == "folder"),
            ((ui.barriersSegmentationLabel, ui.barriersSelector), barriers == "segmentation"),
            ((ui.throughBrainstemCheckBox, ui.throughChiasmCheckBox), barriers in ("folder", "segmentation")),
            ((ui.cancelButton, ui.progressBar), barriers == "by registration" or self._running is not None),
        )
        ready = ui.referenceSelector.currentNode() is not None and bool(p.schemes)
        ui.computeButton.enabled = ready and self._running is None
        ui.cancelButton.enabled = self._running is not None
        ui.exportButton.enabled = ui.slicerRtButton.enabled = self._result is not None

    @slot
    def onMargin(self) -> None:
        """Draw the margin that the slider shows round the chosen lesion, where a preview is wanted."""
        p = self.parameters
        # Stored before anything else is: each change of the node brings all its values back to the widgets.
        wanted, margin = self.ui.previewCheckBox.checked, self.ui.marginSlider.value
        p.marginMm, p.preview = margin, wanted
        if not wanted:
            return
        selector = self.ui.lesionSegmentSelector
        lesion = chosen(selector.currentNode(), selector.currentSegmentID())
        if p.reference is None or lesion is None:
            self.ui.previewLabel.text = _("a reference and a lesion are needed")
            return
        brain = chosen(p.brainSegmentation, p.brainSegment)
        p.previewSegmentation, volume = self.logic.preview(p.reference, lesion, brain, margin, p.previewSegmentation)
        inside = _("inside the brain") if brain is not None else _("not limited to a brain")
        self.ui.previewLabel.text = _("{margin:g} mm: {volume:.1f} cc, straight, {inside}").format(
            margin=margin, volume=volume, inside=inside
        )

    def request(self) -> TargetsRequest:
        """What the panel asks for."""
        self.bindings.store()
        p = self.parameters
        segments = {r: chosen(getattr(p, f"{r}Segmentation"), getattr(p, f"{r}Segment")) for r in REGIONS}
        return TargetsRequest(
            reference=p.reference,
            schemes=tuple(p.schemes.split()),
            segments={region: segment for region, segment in segments.items() if segment is not None},
            barriers=p.barriers,
            barriers_folder=p.barriersFolder,
            barriers_node=p.barriersSegmentation,
            through=tuple(n for n, go in (("brainstem", p.throughBrainstem), ("chiasm", p.throughChiasm)) if go),
        )

    @slot
    def onCompute(self) -> None:
        """Compute the ticked targets; barriers by registration are placed first, in a process of their own."""
        if self.parameters.barriers == "by registration":
            self._launch(lambda: self.logic.startBarriers(self.request()), _("placing barriers"), self.onPlaced)
        else:
            self._compute(self.request())

    def onPlaced(self, summary: dict[str, Any]) -> None:
        """Barriers are placed: they become the chosen segmentation, to be looked at and corrected, and the targets are computed."""
        job, notes = self._ended()
        node, more = self._attempt(lambda: self.logic.finishBarriers(job, summary))
        if node is None:
            self.onChoice()
            return
        notes += more
        self.parameters.barriersSegmentation = node
        self.parameters.barriers = "segmentation"
        self.onChoice()
        drawn_by_none = _("no person drew the barriers: look at them, correct them and compute again")
        self._compute(self.request(), [*notes, drawn_by_none])

    def _compute(self, request: TargetsRequest, more: list[str] | None = None) -> None:
        """The application waits, with a busy cursor."""
        result, notes = self._attempt(lambda: self.logic.compute(request))
        if result is None:
            return
        self.parameters.targets = result.segmentation
        self._show_targets((result, request))
        self._say(
            _("{name}: {targets}").format(name=result.segmentation.GetName(), targets=", ".join(result.names)),
            [*notes, *(more or [])],
        )
        self.onChoice()

    def _show_targets(self, found: tuple[TargetsResult, TargetsRequest] | None) -> None:
        """The table of the targets that can be exported, or of none."""
        self._result, self._request = found or (None, None)
        columns, rows = ((), []) if self._result is None else (self._result.columns, self._result.rows)
        fill_table(self.ui.resultTable, columns, rows)

    @slot
    def onExport(self) -> None:
        """Write the structure set."""
        p = self.parameters
        written, notes = self._attempt(
            lambda: self.logic.export(self._result, self._request, p.seriesFolder, p.structureFile, p.allowDerived)
        )
        if written is not None:
            names = ", ".join(roi.name for roi in written)
            self._say(_("{file} holds {names}").format(file=Path(p.structureFile).name, names=names), notes)

    @slot
    def onSlicerRt(self) -> None:
        """Send the targets to SlicerRT's exporter, into the folder of the structure file, and say what it changed."""
        file = self.parameters.structureFile
        folder = str(Path(file).parent) if file else ""
        changes, notes = self._attempt(lambda: self.logic.exportWithSlicerRt(self._result, self._request, folder))
        if changes is not None:
            self._say(_("SlicerRT wrote into {folder}").format(folder=folder), [changes, *notes])


def fill_table(table: Any, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Show rows in a QTableWidget, read only."""
    table.clear()
    table.verticalHeader().setVisible(False)
    table.wordWrap = False
    table.setColumnCount(len(columns))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(columns))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            item = qt.QTableWidgetItem(value if isinstance(value, str) else f"{value:.4g}")
            item.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(r, c, item)
    table.resizeColumnsToContents()
