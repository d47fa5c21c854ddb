"""The GlioRT panel: structures, schemes, target volumes with their comparison, and the RT structure set."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..mrml.targets import REGIONS, TargetsRequest
from .binding import Bindings, chosen

_COLUMNS = ("scheme", "GTV", "margin [mm]", "dose")


class TargetsPanel:
    """Binds the widgets of GlioRT.ui to a parameter node and a logic.

    Parameters
    ----------
    ui
        The widgets by name (``slicer.util.childWidgetVariables``).
    logic
        Has ``schemes() -> rows of (name, GTV, margin, dose)``, ``compute(request) -> TargetsResult``,
        ``export(result, request, series_dir, path)``, and SlicerRT's exporter: ``slicerRtChanges() -> str``, empty where it is not
        installed, and ``exportWithSlicerRt(result, request, folder) -> str``.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui, self.logic = ui, logic
        self.parameters = self._bindings = self._result = self._request = None
        self._filling = False
        ui.seriesFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
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
        ui.computeButton.clicked.connect(self.onCompute)
        ui.exportButton.clicked.connect(self.onExport)
        changes = logic.slicerRtChanges()
        ui.slicerRtButton.visible = bool(changes)
        ui.slicerRtButton.toolTip = changes
        ui.slicerRtButton.clicked.connect(self.onSlicerRt)

    def bind(self, parameters: Any) -> None:
        """Show a parameter node in the widgets, and store what is chosen in it."""
        ui = self.ui
        self.parameters, self._result, self._request = parameters, None, None
        parameters.connectGui(ui)
        self._bindings = Bindings(parameters)
        for region in REGIONS:
            selector = getattr(ui, f"{region}SegmentSelector")
            self._bindings.segment(selector, f"{region}Segmentation", f"{region}Segment")
        self._bindings.path(ui.seriesFolderEdit, "seriesFolder")
        self._bindings.path(ui.structureFileEdit, "structureFile")
        if parameters.reference is None:
            parameters.reference = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        self._bindings.show()
        wanted = parameters.schemes.split()
        self._filling = True
        for row, entry in enumerate(self._rows):
            ui.schemeTable.item(row, 0).setCheckState(qt.Qt.Checked if entry[0] in wanted else qt.Qt.Unchecked)
        self._filling = False
        fill_table(ui.resultTable, (), [])
        self.onChoice()

    def onScheme(self, *_args: Any) -> None:
        """A scheme was ticked or not."""
        if self.parameters is None or self._filling:
            return
        ticked = [
            entry[0]
            for row, entry in enumerate(self._rows)
            if self.ui.schemeTable.item(row, 0).checkState() == qt.Qt.Checked
        ]
        self.parameters.schemes = " ".join(ticked)
        self.onChoice()

    def onChoice(self, *_args: Any) -> None:
        """Allow what can be done."""
        p = self.parameters
        ready = p is not None and self.ui.referenceSelector.currentNode() is not None and bool(p.schemes)
        self.ui.computeButton.enabled = ready
        self.ui.exportButton.enabled = self.ui.slicerRtButton.enabled = self._result is not None

    def request(self) -> TargetsRequest:
        """What the panel asks for."""
        p = self.parameters
        segments = {r: chosen(getattr(p, f"{r}Segmentation"), getattr(p, f"{r}Segment")) for r in REGIONS}
        return TargetsRequest(
            reference=p.reference,
            schemes=tuple(p.schemes.split()),
            segments={region: segment for region, segment in segments.items() if segment is not None},
        )

    def onCompute(self, *_args: Any) -> None:
        """Compute the ticked targets; the application waits, with a busy cursor."""
        request = self.request()
        result, notes = self._attempt(lambda: self.logic.compute(request))
        if result is None:
            return
        self._result, self._request = result, request
        fill_table(self.ui.resultTable, result.columns, result.rows)
        self._say(
            _("{name}: {targets}").format(name=result.segmentation.GetName(), targets=", ".join(result.names)), notes
        )
        self.onChoice()

    def onExport(self, *_args: Any) -> None:
        """Write the structure set."""
        p = self.parameters
        written, notes = self._attempt(
            lambda: self.logic.export(self._result, self._request, p.seriesFolder, p.structureFile)
        )
        if written is not None:
            names = ", ".join(roi.name for roi in written)
            self._say(_("{file} holds {names}").format(file=Path(p.structureFile).name, names=names), notes)

    def onSlicerRt(self, *_args: Any) -> None:
        """Send the targets to SlicerRT's exporter, into the folder of the structure file, and say what it changed."""
        file = self.parameters.structureFile
        folder = str(Path(file).parent) if file else ""
        changes, notes = self._attempt(lambda: self.logic.exportWithSlicerRt(self._result, self._request, folder))
        if changes is not None:
            self._say(_("SlicerRT wrote into {folder}").format(folder=folder), [changes, *notes])

    def _attempt(self, work: Callable[[], Any]) -> tuple[Any, list[str]]:
        """The result of `work` and its warnings; what the user can mend is said on the panel, and the result is None."""
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                result = work()
            return result, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        except InputError as error:
            self._say(str(error))
            return None, []
        finally:
            slicer.app.restoreOverrideCursor()

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        self.ui.statusLabel.text = "\n".join([text, *(_("note: {text}").format(text=n) for n in notes or [])])


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
