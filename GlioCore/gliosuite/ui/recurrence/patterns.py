"""Section 6: local and distant recurrence and survival, from a folder of results: a table, and pictures one at a time."""

from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from ..panel import slot
from ..section import Section
from ..table import ROWS, fill_table

_WIDTH = 420  # pixels of a picture: what a panel of usual width holds; a click on the file's folder shows it whole


class Patterns(Section):
    """Shows what `gliosuite run`, `pattern` and `survival` wrote."""

    place = "patternsStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        self._pictures: dict[str, Path] = {}
        self.bindings.path(ui.patternsEdit, "patternsFolder")
        ui.patternsEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.patternsEdit.currentPathChanged.connect(self.onFolder)
        ui.patternsComboBox.currentIndexChanged.connect(self.onPicture)

    def show(self) -> None:
        """The results of the folder that the scene names."""
        self._read()

    def allow(self) -> None:
        """Pictures where there are any."""
        self.ui.patternsComboBox.visible = self.ui.patternsPicture.visible = bool(self._pictures)

    @slot
    def onFolder(self) -> None:
        """Another folder."""
        self._read()
        self.panel.onChoice()

    @slot
    def onPicture(self) -> None:
        """Another picture."""
        path = self._pictures.get(self.ui.patternsComboBox.currentText)
        picture = qt.QPixmap(str(path)) if path else qt.QPixmap()
        narrow = picture if picture.isNull() else picture.scaledToWidth(_WIDTH, qt.Qt.SmoothTransformation)
        self.ui.patternsPicture.setPixmap(narrow)
        self.ui.patternsPicture.setToolTip(str(path or ""))

    def _read(self) -> None:
        self.say("")
        folder = self.parameters.patternsFolder
        found, notes = self._attempt(lambda: self.logic.patterns(folder)) if folder else (None, [])
        heads = (_("What"), _("Value"), _("95 %, or compared with"))
        fill_table(self.ui.patternsTable, heads if found else (), found.rows if found else (), most=ROWS)
        self._pictures = dict(found.pictures) if found else {}
        box = self.ui.patternsComboBox
        box.clear()
        box.addItems(list(self._pictures))
        if found is not None:
            self.say(
                _("rows: {count}, pictures: {pictures}").format(count=len(found.rows), pictures=len(found.pictures)),
                [*notes, *found.notes],
            )
        self.onPicture()
