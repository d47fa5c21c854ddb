"""Rows in a table widget: read only, as high as they are, as wide as the panel."""

from collections.abc import Sequence
from typing import Any

import qt

ROWS = 8  # that are seen at once where there may be many; chosen
_HEAD_PADDING = 8  # pixels round the text of a head
_PATCH = 12  # pixels of a colour beside a name
_NARROWEST = 24  # pixels of a column; chosen, a tick box


def fill_table(
    table: Any,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    colors: Sequence[Sequence[float]] = (),
    wide: int = 0,
    most: int | None = None,
) -> None:
    """Show rows in a QTableWidget, read only; column `wide` takes the room that is left, and texts are tooltips too.

    Parameters
    ----------
    colors
        Where they are given, those of the rows' contours (red, green, blue, 0-1).
    most
        How many rows are seen at once where there are more; None: all.
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
            item.setToolTip(item.text())
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
    header = table.horizontalHeader()
    header.setMinimumSectionSize(_NARROWEST)
    for c in range(len(heads)):
        header.setSectionResizeMode(c, qt.QHeaderView.Stretch if c == wide else qt.QHeaderView.ResizeToContents)
    fit(table, most)


def fit(table: Any, most: int | None = None) -> None:
    """Make a table as high as its rows, `most` of which are seen at once; one without rows is not there."""
    count = table.rowCount
    seen = count if most is None else min(count, most)
    scrolls = qt.Qt.ScrollBarAlwaysOff if seen == count else qt.Qt.ScrollBarAlwaysOn
    table.setVerticalScrollBarPolicy(scrolls)
    table.resizeRowsToContents()
    head = table.fontMetrics().height() + _HEAD_PADDING
    table.horizontalHeader().setFixedHeight(head)
    table.setFixedHeight(head + sum(table.rowHeight(r) for r in range(seen)) + 4 if count else 0)
    table.visible = bool(count)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "–" if value != value else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
