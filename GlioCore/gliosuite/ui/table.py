"""Rows in a table widget."""

from collections.abc import Sequence
from typing import Any

import qt


def fill_table(table: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Show rows in a QTableWidget, read only; numbers with four digits."""
    table.clear()
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(table.fontMetrics().height() + 8)
    table.wordWrap = False
    table.setColumnCount(len(columns))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(columns))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            item = qt.QTableWidgetItem(value if isinstance(value, str) else f"{value:.4g}")
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            table.setItem(r, c, item)
    table.resizeColumnsToContents()
    table.horizontalHeader().setStretchLastSection(True)
