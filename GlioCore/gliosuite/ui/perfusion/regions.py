"""Section 6: numbers and histograms of the maps in each segment."""

from typing import Any

import qt
from slicer.i18n import tr as _

from ...errors import InputError
from ...mrml.perfusion.regions import Regions, as_text, save
from ..panel import Panel, slot
from ..section import Section
from ..table import ROWS, fill_table
from .overlay import OverlaySection

# Of the numbers that are counted: what the panel's width holds. All of them are copied and written.
_SHOWN = {"region": _("Region"), "volume_cc": "cc", "median": _("Median"), "mean": _("Mean"), "sd": _("SD")}


class RegionsSection(Section):
    """The logic has ``regions(segmentation, map) -> Regions``, ``statistics(map, masks, percent, alone) -> header, rows`` and
    ``histogram(map, regions, percent, chart) -> chart``, ``showChart(chart)``.
    """

    def __init__(self, panel: Panel, overlay: OverlaySection) -> None:
        super().__init__(panel)
        self._overlay = overlay
        self._regions: Regions | None = None
        self._of: Any = None  # the map and segmentation that they are of
        ui = self.ui
        overlay.masks = self._masks
        overlay.changed.append(self._table)
        ui.regionSegmentationSelector.currentNodeChanged.connect(self.onSegmentation)
        for button, work in (
            (ui.countButton, self.onCount),
            (ui.histogramButton, self.onHistogram),
            (ui.copyButton, self.onCopy),
            (ui.saveTableButton, self.onSave),
        ):
            button.clicked.connect(work)
        self.bindings.path(ui.regionFileEdit, "regionFile")

    def show(self) -> None:
        """What the scene's choices give."""
        self._count()

    def leave(self) -> None:
        """The scene closes."""
        self._regions = self._of = None
        fill_table(self.ui.regionTable, (), [])

    def allow(self) -> None:
        """A map and a segmentation are needed."""
        ready = self._overlay.map is not None and self.parameters.regionSegmentation is not None
        ui = self.ui
        ui.countButton.enabled = ready
        ui.histogramButton.enabled = ui.copyButton.enabled = ui.saveTableButton.enabled = ready and bool(self._masks())

    def _masks(self) -> Any:
        """The segments on the map's grid, brought there once."""
        one, segmentation = self._overlay.map, self.parameters.regionSegmentation
        if self._of != (one, segmentation):
            self._of, self._regions = (one, segmentation), None
            if one is not None and segmentation is not None:
                self._regions, _notes = self._attempt(lambda: self.logic.regions(segmentation, one))
                if self._regions is not None and self._regions.notes:
                    self.say(_("some segments are left out"), list(self._regions.notes))
        return {} if self._regions is None else self._regions.masks

    @slot
    def onSegmentation(self) -> None:
        """Another segmentation."""
        self.parameters.regionSegmentation = self.ui.regionSegmentationSelector.currentNode()
        self._count()
        self.allow()

    @slot
    def onCount(self) -> None:
        """Segments may have been drawn meanwhile."""
        self._count()
        self.allow()

    def _count(self) -> None:
        """Take the segments as they are now."""
        self._of = None
        self._overlay.refresh()
        self._table()

    def _table(self) -> None:
        one, masks = self._overlay.map, self._masks()
        if one is None or not masks:
            fill_table(self.ui.regionTable, (), [])
            return
        found, _notes = self._attempt(lambda: self.logic.statistics(one, masks, self._overlay.percent, True))
        if found is None:
            return
        header, rows = found
        at = [header.index(name) for name in _SHOWN]
        short = lambda text: text if not text or text[0].isalpha() else f"{float(text):.3g}"
        fill_table(
            self.ui.regionTable, tuple(_SHOWN.values()), [[short(row[i]) for i in at] for row in rows], most=ROWS
        )

    def _all(self) -> tuple[list[str], list[list[Any]]]:
        one, masks = self._overlay.map, self._masks()
        if one is None or not masks:
            raise InputError(_("choose a map and a segmentation with segments on it first"))
        return self.logic.statistics(one, masks, self._overlay.percent, False)

    @slot
    def onHistogram(self) -> None:
        """A curve per segment."""
        p = self.parameters
        p.regionChart = self.logic.histogram(self._overlay.map, self._regions, self._overlay.percent, p.regionChart)
        self.logic.showChart(p.regionChart)

    @slot
    def onCopy(self) -> None:
        """All numbers of all maps that were made with this one, for a spreadsheet."""
        header, rows = self._all()
        qt.QApplication.clipboard().setText(as_text(header, rows))
        self.say(_("{n} rows are in the clipboard").format(n=len(rows)))

    @slot
    def onSave(self) -> None:
        """The same as CSV."""
        self.bindings.store()
        header, rows = self._all()
        save(header, rows, self.parameters.regionFile)
        self.say(_("{file} holds {n} rows").format(file=self.parameters.regionFile, n=len(rows)))
