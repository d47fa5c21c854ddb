"""Rows in a table widget."""

from collections.abc import Sequence
from typing import Any

import qt

_NARROWEST = 24  # pixels of a column; chosen, a tick box


def fill_table(table: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], wide: int = 0) -> None:
    """Show rows in a QTableWidget, read only; numbers with four digits. Column `wide` takes the room that the others leave; what does not
    fit into it is its tooltip.
    """
    table.clear()
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + 8)
    table.wordWrap = False
    table.setColumnCount(len(columns))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(columns))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            text = value if isinstance(value, str) else f"{value:.4g}"
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            table.setItem(r, c, item)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(_NARROWEST)
    for column in range(len(columns)):
        header.setSectionResizeMode(
            column, qt.QHeaderView.Stretch if column == wide else qt.QHeaderView.ResizeToContents
        )
