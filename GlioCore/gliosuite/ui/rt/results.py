"""Section 4: computing, the table, where to look, and the difference of two targets."""

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ...mrml.rt.choices import PLACED, SEGMENTS
from ...mrml.rt.comparison import colors, short, titles
from ...mrml.rt.request import TargetsRequest, TargetsResult
from ..panel import show_only, slot
from ..section import Section
from ..table import fill_table
from .choices import Choices


class Results(Section):
    """The targets that were computed, also before the scene was loaded."""

    place = "resultStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        self.result: TargetsResult | None = None
        self.asked: TargetsRequest | None = None
        self._first, self._second = Choices(ui.firstComboBox), Choices(ui.secondComboBox)
        ui.computeButton.clicked.connect(self.onCompute)
        ui.resultTable.cellClicked.connect(self.onRow)
        ui.copyButton.clicked.connect(self.onCopy)
        ui.csvButton.clicked.connect(self.onCsv)
        ui.viewButton.clicked.connect(self.onView)
        ui.view3dCheckBox.clicked.connect(self.onView)
        for signal in (
            ui.firstComboBox.currentIndexChanged,
            ui.secondComboBox.currentIndexChanged,
            ui.differenceCheckBox.clicked,
        ):
            signal.connect(self.onDifference)

    def show(self) -> None:
        """The targets of the scene."""
        self._take(self.logic.recall(self.parameters.targets))

    def allow(self) -> None:
        """What can be done with the choices, and with the targets that there are."""
        ui, running = self.ui, self.panel._running is not None
        asked = bool(self.panel.margins.ticked()) or ui.probabilitySelector.currentNode() is not None
        ui.computeButton.enabled = ui.referenceSelector.currentNode() is not None and asked and not running
        ui.cancelButton.enabled = running
        there, names = self.result is not None, [] if self.result is None else self.result.names
        for widget in (ui.copyButton, ui.csvButton, ui.viewButton, ui.view3dCheckBox):
            widget.enabled = there
        pair = len(names) > 1
        show_only(
            (
                (ui.firstLabel, ui.firstComboBox, ui.secondLabel, ui.secondComboBox, ui.differenceCheckBox),
                pair,
            )
        )
        ui.differenceCheckBox.enabled = pair

    # ------------------------------------------------------------------------------------------------------------ computing

    @slot
    def onCompute(self) -> None:
        """Compute what is chosen; barriers by registration are placed first, in a process of their own."""
        self.panel.speak_in(self.place)
        request = self.panel.request()
        if request.barriers == PLACED:
            self.panel._launch(lambda: self.logic.startBarriers(request), _("placing barriers"), self.onPlaced)
        else:
            self._compute(request)

    def onPlaced(self, summary: dict[str, Any]) -> None:
        """Barriers are placed: they become the chosen segmentation, to be looked at and corrected, and the targets are computed."""
        job, notes = self.panel._ended()
        node, more = self._attempt(lambda: self.logic.finishBarriers(job, summary))
        if node is None:
            self.panel.onChoice()
            return
        notes += more
        self.parameters.barriersSegmentation = node
        self.parameters.barriers = SEGMENTS
        self.panel.onChoice()
        drawn_by_none = _("no person drew the barriers: look at them, correct them and compute again")
        self._compute(self.panel.request(), [*notes, drawn_by_none])

    def _compute(self, request: TargetsRequest, more: list[str] | None = None) -> None:
        """The application waits, with a busy cursor."""
        result, notes = self._attempt(lambda: self.logic.compute(request))
        if result is None:
            return
        p = self.parameters
        for preview in (p.previewSegmentation, p.predictedSegmentation):
            self.logic.hide(preview)
        p.preview = p.predictedPreview = False
        p.targets = result.segmentation
        self._take((result, request))
        self.panel.onChoice()
        self._look()
        self.logic.goTo(result, result.names[0], False)
        self.say(
            _("{name}: {targets}").format(name=result.segmentation.GetName(), targets=", ".join(result.names)),
            [*notes, *(more or [])],
        )

    def _take(self, found: tuple[TargetsResult, TargetsRequest] | None) -> None:
        """Show the table of targets, or of none."""
        self.result, self.asked = found or (None, None)
        ui, result = self.ui, self.result
        if result is None:
            fill_table(ui.resultTable, (), [])
        else:
            heads = short(result.keys)
            columns = [result.keys.index(key) for key in heads]
            rows = [[row[c] for c in columns] for row in result.rows]
            fill_table(ui.resultTable, list(heads.values()), rows, colors(result, [str(row[0]) for row in rows]))
            for column, title in enumerate(titles(list(heads)).values()):
                ui.resultTable.horizontalHeaderItem(column).setToolTip(title)
        names = [] if result is None else result.names
        for choices, index in ((self._first, 0), (self._second, 1)):
            choices.fill((name, name) for name in names)
            if len(names) > index:
                choices.value = names[index]
        ui.differenceCheckBox.checked = False

    # -------------------------------------------------------------------------------------------------------------- looking

    @slot
    def onRow(self) -> None:
        """A row was clicked: go to its target."""
        if self.result is not None:
            row = self.ui.resultTable.currentRow()
            if 0 <= row < len(self.result.rows):
                self.logic.goTo(self.result, str(self.result.rows[row][0]))

    @slot
    def onView(self) -> None:
        """T1c beside FLAIR, with or without the 3D view."""
        self.parameters.view3d = self.ui.view3dCheckBox.checked
        self._look()

    def _look(self) -> None:
        p = self.parameters
        if self.result is not None and self.asked is not None and self.asked.reference is not None:
            self.logic.show(self.result, self.asked, p.flair, p.view3d)

    @slot
    def onDifference(self) -> None:
        """Draw the difference of the two targets, or take it away."""
        p = self.parameters
        if self.result is None or self.asked is None or not self.ui.differenceCheckBox.checked:
            self.logic.overlay(None)
            return
        first, second = self._first.value, self._second.value
        p.difference = self.logic.difference(self.result, first, second, self.asked.reference, p.difference)
        self.logic.overlay(p.difference)
        self.say(_("red: {first} beyond {second}; blue: the other way round, mm").format(first=first, second=second))

    # ---------------------------------------------------------------------------------------------------------------- table

    def _whole(self) -> list[list[str]]:
        """The whole table as texts, heads first."""
        assert self.result is not None  # the buttons are off without one
        number = lambda v: v if isinstance(v, str) else "" if v != v else f"{v:.6g}"
        return [
            list(titles(self.result.keys).values()),
            *([number(v) for v in row] for row in self.result.rows),
        ]

    @slot
    def onCopy(self) -> None:
        """The table to the clipboard."""
        qt.QApplication.clipboard().setText("\n".join("\t".join(row) for row in self._whole()))
        self.say(_("the table is on the clipboard"))

    @slot
    def onCsv(self) -> None:
        """The table to a file."""
        from ...files import write_csv

        answer = qt.QFileDialog.getSaveFileName(None, _("Save table"), "targets.csv", "CSV (*.csv)")
        path = answer if isinstance(answer, str) else answer[0]  # PythonQt gives the name alone
        if path:
            heads, *rows = self._whole()
            write_csv(Path(path), heads, rows)
            self.say(_("{file} written").format(file=Path(path).name))
