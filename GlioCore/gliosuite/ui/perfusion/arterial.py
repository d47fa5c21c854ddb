"""Section 2: the arterial input function, picked on the images and drawn while it is."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ... import resources
from ...errors import InputError
from ...mrml.perfusion import PerfusionRequest
from ...mrml.perfusion.arterial import Drawn, accept, new_points, place_of, placed, remove_candidates
from ..binding import chosen
from ..packages import FASTER
from ..panel import Panel, show_only, slot
from ..section import Section
from ..table import ROWS, fill_table
from ..watching import Watch

_UNIT = {"DCE": "mM", "DSC": "1/s"}
_EVENTS = ("PointPositionDefinedEvent", "PointPositionUndefinedEvent", "PointModifiedEvent", "PointRemovedEvent")


class ArterialSection(Section):
    """The logic has ``draw(request, chart, whole, second) -> Drawn``, ``suggest(request, points) -> number``, ``saveAif(request, path)``,
    ``showBolus(series, frame)``, ``showChart(chart)``, ``jump(ras)``; for two readers ``start``, ``reading(job) -> Reading`` and
    ``compareReaders(series, first, second) -> Compared``.
    """

    def __init__(self, panel: Panel, request: Callable[[], PerfusionRequest]) -> None:
        super().__init__(panel)
        self._request = request
        ui, bindings = self.ui, self.bindings
        self._drawn: Drawn | None = None
        self._seen: Any = None  # what the last drawing was of
        self._rows: list[int] = []  # control points by row of the table
        self._first: Any = None  # of two readers
        bindings.choice(ui.aifComboBox, "aif", resources.display()["choices"]["aif"])
        bindings.segment(ui.aifSegmentSelector, "aifSegmentation", "aifSegment")
        bindings.segment(ui.compareSegmentSelector, "compareSegmentation", "compareSegment")
        bindings.path(ui.aifFileEdit, "aifFile")
        bindings.path(ui.aifOutEdit, "aifOut")
        events = [getattr(slicer.vtkMRMLMarkupsNode, event) for event in _EVENTS]
        self._watches = [Watch(events, self.onPointsChanged) for _ in ("own", "second reader's")]
        self._place = _place_widget()
        ui.pointsRow.layout().insertWidget(0, self._place)
        ui.aifComboBox.currentIndexChanged.connect(self.onSource)
        ui.aifPointsSelector.currentNodeChanged.connect(self.onPoints)
        ui.secondPointsSelector.currentNodeChanged.connect(self.onPoints)
        ui.pointsTable.itemChanged.connect(self.onTicked)
        ui.pointsTable.cellClicked.connect(self.onRow)
        for box in (ui.sinusCheckBox, ui.vofCheckBox):
            box.stateChanged.connect(self.onVein)
        for edit in (ui.baselineEdit, ui.arrivalEdit):
            edit.editingFinished.connect(self.onPointsChanged)
        # What was hidden while the section was closed may be seen again as it opens.
        ui.aifBox.contentsCollapsed.connect(panel.onChoice)
        for button, work in (
            (ui.bolusButton, self.onBolus),
            (ui.candidatesButton, self.onCandidates),
            (ui.acceptButton, self.onAccept),
            (ui.deletePointButton, self.onDeletePoint),
            (ui.deleteCandidatesButton, self.onDeleteCandidates),
            (ui.drawButton, self.onDraw),
            (ui.saveAifButton, self.onSave),
            (ui.compareButton, self.onCompare),
        ):
            button.clicked.connect(work)

    # ------------------------------------------------------------------------------------------------------------- choices

    def show(self) -> None:
        """The points of a scene that has just come are not drawn until one is touched; its chart is there."""
        self._drawn, self._first = None, None
        self._watch()
        self._seen = self._placed()
        fill_table(self.ui.readersTable, (), [])
        self._list()

    def leave(self) -> None:
        """Nothing of this scene is watched or kept any more."""
        for watch in self._watches:
            watch.node(None)
        self._drawn = self._seen = self._first = None
        self.logic.forget()

    def allow(self) -> None:
        """Only what the source needs."""
        ui, p = self.ui, self.parameters
        source, dce = p.aif, ui.kindComboBox.currentText != "DSC"
        points = source == "control points"
        from_series = source in ("automatic", "control points", "segment")
        show_only(
            ((ui.aifPointsLabel, ui.aifPointsSelector, ui.pointsRow, ui.pointsTable, ui.candidatesRow), points),
            ((ui.readersBox,), points),
            ((ui.aifSegmentLabel, ui.aifSegmentSelector), source == "segment"),
            ((ui.aifFileLabel, ui.aifFileEdit), source == "CSV file"),
            ((ui.sinusCheckBox,), dce and from_series),
            ((ui.vofCheckBox,), not dce and from_series),
        )
        series = p.series is not None
        ui.drawButton.enabled = ui.saveAifButton.enabled = ui.bolusButton.enabled = ui.candidatesButton.enabled = series
        both = p.aifPoints is not None and p.secondPoints is not None and p.aifPoints is not p.secondPoints
        ui.compareButton.enabled = series and both and not self.running
        ui.acceptButton.enabled = ui.deletePointButton.enabled = ui.deleteCandidatesButton.enabled = bool(self._rows)
        if self._drawn is not None:  # what was drawn may be of another series, or of one that lay elsewhere
            self._redraw()

    @slot
    def onSource(self) -> None:
        """Another source: points need a node to be placed in."""
        p = self.parameters
        if p.aif == "control points" and p.aifPoints is None:
            p.aifPoints = new_points(_("AIF points"))
        self._watch()
        self.panel.onChoice()

    @slot
    def onPoints(self) -> None:
        """Another reader's node."""
        p = self.parameters
        p.aifPoints, p.secondPoints = (
            self.ui.aifPointsSelector.currentNode(),
            self.ui.secondPointsSelector.currentNode(),
        )
        self._watch()
        self._redraw()
        self.panel.onChoice()

    def _watch(self) -> None:
        p = self.parameters
        for watch, node in zip(self._watches, (p.aifPoints, p.secondPoints), strict=True):
            watch.node(node)
        self._place.setCurrentNode(p.aifPoints)

    # ------------------------------------------------------------------------------------------------------------- drawing

    @slot
    def onPointsChanged(self) -> None:
        """A point was placed, moved, renamed, ticked or deleted, or the baseline was typed."""
        self._redraw()

    def _placed(self) -> Any:
        """What a drawing depends on, as far as it changes without another node being chosen."""
        p = self.parameters
        where = None if p.series is None else place_of(p.series)
        taken = p.kind, p.times, p.trMs, p.teMs, p.flipAngleDeg, p.hematocrit, p.relaxivity, p.baseline, p.arrival
        return placed(p.aifPoints), placed(p.secondPoints), p.series, where, taken

    def _redraw(self) -> None:
        """Draw the points where they have changed: a mouse that passes over the images, before it clicks, changes their node too."""
        p, seen = self.parameters, self._placed()
        if seen == self._seen or p.series is None or p.aif != "control points":
            return
        self._seen = seen
        self._draw(self._request(), whole=False)
        self.allow()

    def _draw(self, request: PerfusionRequest, whole: bool) -> None:
        p = self.parameters
        second = p.secondPoints if request.aif == "control points" else None
        new = p.aifChart is None
        self._drawn = None
        drawn, notes = self._attempt(lambda: self.logic.draw(request, p.aifChart, whole, second))
        self._drawn = drawn
        if drawn is not None:
            p.aifChart = drawn.chart
            if new or whole:
                self.logic.showChart(drawn.chart)
            self.ui.aifInfo.text = self._told(drawn, request.kind, whole, notes)
        self._list()

    def _told(self, drawn: Drawn, kind: str, whole: bool, notes: list[str]) -> str:
        arrives = _("contrast agent arrives at {arrival:.1f} s, after a baseline of {frames} frames").format(
            arrival=drawn.arrival_s, frames=drawn.n_baseline
        )
        aif = drawn.aif
        if aif is None:
            return _("no AIF yet: {why}; {arrives}").format(why=drawn.why, arrives=arrives)
        top = int(aif.concentration.argmax())
        unit = _UNIT[kind]
        said = _("peak {peak:.3g} {unit} at {at:.1f} s; {arrives}").format(
            peak=float(aif.concentration[top]), unit=unit, at=float(aif.times_s[top]), arrives=arrives
        )
        if not whole:
            vein = self.ui.sinusCheckBox.checked if kind == "DCE" else self.ui.vofCheckBox.checked
            missing = _("not yet at the level of a vein: press Draw") if vein else ""
            return "; ".join(filter(None, [_("mean of the points"), said, missing, drawn.why]))
        return "\n".join([f"{aif.how}; {said}", *(_("note: {text}").format(text=n) for n in (*aif.notes, *notes))])

    def _list(self) -> None:
        """The points in the table."""
        table = self.ui.pointsTable
        points = [] if self._drawn is None else self._drawn.points
        shown = lambda value: "" if math.isnan(value) else f"{value:.3g}"
        rows = [("", k.point.label, shown(k.peak), shown(k.peak_s)) for k in points]
        table.blockSignals(True)
        peak = _("Peak [{unit}]").format(unit=_UNIT[self.parameters.kind])
        fill_table(table, ("", _("Point"), peak, _("At [s]")), rows, wide=1, most=ROWS)
        for row, picked in enumerate(points):
            item = table.item(row, 0)
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setCheckState(qt.Qt.Checked if picked.point.counts else qt.Qt.Unchecked)
        table.blockSignals(False)
        self._rows = [picked.point.index for picked in points]

    @slot
    def onDraw(self) -> None:
        """The AIF as the maps will take it."""
        self._draw(self._request(), whole=True)
        self.allow()

    @slot
    def onVein(self) -> None:
        """What is drawn as the maps will take it is drawn anew."""
        p = self.parameters
        p.sinus, p.vof = self.ui.sinusCheckBox.checked, self.ui.vofCheckBox.checked
        if self._drawn is not None and self._drawn.aif is not None:
            self._draw(self._request(), whole=True)

    @slot
    def onSave(self) -> None:
        """Write the table."""
        self.bindings.store()
        path = self.parameters.aifOut
        aif, notes = self._attempt(lambda: self.logic.saveAif(self._request(), path))
        if aif is not None:
            self.say(_("{file} holds the AIF: {how}").format(file=path, how=aif.how), [*aif.notes, *notes])

    # -------------------------------------------------------------------------------------------------------------- points

    @slot
    def onBolus(self) -> None:
        """The frame in which arteries stand out."""
        request = replace(self._request(), aif="automatic")
        drawn, _notes = self._attempt(lambda: self.logic.draw(request, self.parameters.aifChart, False, None))
        if drawn is not None:
            self.parameters.aifChart = drawn.chart
            self.logic.showBolus(request.series, drawn.peak_frame)

    @slot
    def onCandidates(self) -> None:
        """Ask the automatic search."""
        p = self.parameters
        if p.aifPoints is None:
            p.aifPoints = new_points(_("AIF points"))
            self._watch()
        request = self._request()
        with self.bindings.held():
            added, _notes = self._attempt(lambda: self.logic.suggest(request, p.aifPoints))
        if added is not None:
            self.say(_("{n} candidates: tick those to be taken, drag or delete others").format(n=added))
            self._redraw()

    @slot
    def onTicked(self) -> None:
        """Points that are ticked count."""
        table, p = self.ui.pointsTable, self.parameters
        ticked = [table.item(row, 0).checkState() == qt.Qt.Checked for row in range(len(self._rows))]
        with self.bindings.held():
            accept(p.aifPoints, dict(zip(self._rows, ticked, strict=True)))
        self._redraw()

    @slot
    def onRow(self) -> None:
        """Centre the views on the row's point."""
        row = self.ui.pointsTable.currentRow()
        if self._drawn is not None and 0 <= row < len(self._rows):
            self.logic.jump(self._drawn.points[row].point.ras)

    @slot
    def onAccept(self) -> None:
        """All count."""
        with self.bindings.held():
            accept(self.parameters.aifPoints, dict.fromkeys(self._rows, True))
        self._redraw()

    @slot
    def onDeletePoint(self) -> None:
        """The chosen row's."""
        row = self.ui.pointsTable.currentRow()
        if not 0 <= row < len(self._rows):
            raise InputError(_("no point is chosen; click a row of the table first"))
        self.parameters.aifPoints.RemoveNthControlPoint(self._rows[row])

    @slot
    def onDeleteCandidates(self) -> None:
        """All that do not count."""
        with self.bindings.held():
            remove_candidates(self.parameters.aifPoints)
        self._redraw()

    # --------------------------------------------------------------------------------------------------------- two readers

    @slot
    def onCompare(self) -> None:
        """The first map with either reader's AIF, one after the other."""
        self._first = None
        self._compute(self.parameters.aifPoints, self.onFirst)

    def _compute(self, points: Any, done: Any) -> None:
        p = self.parameters

        def prepare() -> Any:
            request = self._request()
            region = chosen(p.compareSegmentation, p.compareSegment) or request.mask
            return self.logic.start(replace(request, aif="control points", points=points, mask=region))

        text = _("computing with the AIF of {reader}").format(reader=points.GetName())
        self._launch(prepare, text, done, wants=FASTER)

    def onFirst(self, _summary: dict[str, Any]) -> None:
        """The first reader's map is there."""
        job, _notes = self._ended()
        self._first, _more = self._attempt(lambda: self.logic.reading(job))
        if self._first is not None:
            self._compute(self.parameters.secondPoints, self.onSecond)
        self.panel.onChoice()

    def onSecond(self, _summary: dict[str, Any]) -> None:
        """Both are there."""
        job, notes = self._ended()
        compared, _more = self._attempt(
            lambda: self.logic.compareReaders(self.parameters.series, self._first, self.logic.reading(job))
        )
        self.panel.onChoice()
        if compared is not None:
            fill_table(self.ui.readersTable, compared.columns, compared.rows)
            self.ui.progressBar.value = 100
            self.say(compared.text, notes)


def _place_widget() -> Any:
    """Slicer's own buttons to place points by clicking, and to delete them all. Not in the .ui file: not every Slicer's loader knows it."""
    widget = slicer.qSlicerMarkupsPlaceWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.buttonsVisible = False
    widget.placeButton().show()
    widget.deleteButton().show()
    widget.placeMultipleMarkups = slicer.qSlicerMarkupsPlaceWidget.ForcePlaceMultipleMarkups
    return widget
