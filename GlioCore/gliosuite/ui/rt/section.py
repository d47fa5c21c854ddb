"""What the sections of the panel share."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import qt

Result = TypeVar("Result")
_HEAD_PADDING = 8  # pixels round the text of a head
_PATCH = 12  # pixels of a colour beside a name
_REST_MS = 150  # chosen: shorter than a person notices, longer than the steps of a slider that is dragged


class Section:
    """A part of the panel: its widgets, and the slots that `gliosuite.ui.panel.slot` makes of its methods.

    `place` is the label in which it says what happened, near what was clicked.
    """

    place = "statusLabel"

    def __init__(self, panel: Any) -> None:
        self.panel, self.ui, self.bindings = panel, panel.ui, panel.bindings

    @property
    def logic(self) -> Any:
        """The module's logic."""
        return self.panel.logic

    @property
    def parameters(self) -> Any:
        """The parameter node of the scene."""
        return self.panel.parameters

    def _attempt(self, work: Callable[[], Result]) -> tuple[Result | None, list[str]]:
        self.panel.speak_in(self.place)
        return self.panel._attempt(work)

    def say(self, text: str, notes: Sequence[str] = ()) -> None:
        """Say something in the section's place."""
        self.panel.speak_in(self.place)
        self.panel._say(text, list(notes))

    def fill(self) -> None:
        """Choose what a scene that has just come leaves open."""

    def show(self) -> None:
        """Show what neither Slicer nor `bindings` do."""

    def allow(self) -> None:
        """Show what the choices need, and allow what can be done."""


class Choices:
    """A combo box whose items stand for something: identifiers of segments, names of schemes."""

    def __init__(self, box: Any) -> None:
        self.box = box
        self.values: list[str] = []

    def fill(self, items: Iterable[tuple[str, str]]) -> None:
        """``(value, text)`` for each item; the one that was shown stays where it is still there."""
        before = self.value
        listed = list(items)
        self.box.blockSignals(True)
        self.box.clear()
        self.values = [value for value, _ in listed]
        for _, text in listed:
            self.box.addItem(text)
        self.box.blockSignals(False)
        self.value = before

    @property
    def value(self) -> str:
        """What the shown item stands for; empty where there is none."""
        index = self.box.currentIndex
        return self.values[index] if 0 <= index < len(self.values) else ""

    @value.setter
    def value(self, wanted: str) -> None:
        if self.values:
            self.box.currentIndex = self.values.index(wanted) if wanted in self.values else 0


class Rest:
    """Calls something once its signals have come to rest: a slider that is dragged sends many."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(lambda *_: work())

    def wait(self, *_args: Any) -> None:
        """Wait from now on."""
        self._timer.start()

    def stop(self) -> None:
        """Wait no more."""
        self._timer.stop()


def fill_table(
    table: Any, heads: Sequence[str], rows: Sequence[Sequence[Any]], colors: Sequence[Sequence[float]] = ()
) -> None:
    """Show rows in a QTableWidget, read only, as high as they are; the first column takes the room that is left.

    `colors` (red, green, blue, 0-1), where they are given, are those of the rows' contours.
    """
    table.clear()
    table.wordWrap = False
    table.verticalHeader().setVisible(False)
    table.setColumnCount(len(heads))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(heads))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            item = qt.QTableWidgetItem(_text(value))
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            if not isinstance(value, str):
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(r, c, item)
    for r, color in enumerate(colors):
        patch = qt.QPixmap(_PATCH, _PATCH)
        patch.fill(qt.QColor(*(round(255 * part) for part in color)))
        icon = qt.QIcon(patch)
        icon.addPixmap(patch, qt.QIcon.Selected)  # a chosen row keeps its colour
        table.item(r, 0).setIcon(icon)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    header = table.horizontalHeader()
    for c in range(len(heads)):
        header.setSectionResizeMode(c, qt.QHeaderView.Stretch if c == 0 else qt.QHeaderView.ResizeToContents)
    table.resizeRowsToContents()
    head = table.fontMetrics().height() + _HEAD_PADDING
    height = head + sum(table.rowHeight(r) for r in range(len(rows))) + 4
    header.setFixedHeight(head)
    table.setFixedHeight(height if rows else 0)
    table.visible = bool(rows)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "–" if value != value else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
