"""Section 4: which model predicts, and its card."""

from typing import Any

import ctk
from slicer.i18n import tr as _

from ...errors import InputError
from ..panel import show_only, slot
from ..section import Section

_SHIPPED, _NETWORK, _FOLDER = "shipped", "network", "folder"


class ModelSection(Section):
    """A shipped model, or one in a folder."""

    place = "modelStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        names = {
            _SHIPPED: _("shipped with the program"),
            _NETWORK: _("shipped network (needs PyTorch)"),
            _FOLDER: _("in a folder"),
        }
        self.bindings.choice(ui.modelComboBox, "model", names)
        self.bindings.path(ui.modelFolderEdit, "modelFolder")
        ui.modelFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.modelComboBox.currentIndexChanged.connect(self.onModel)
        ui.modelFolderEdit.currentPathChanged.connect(self.onModel)

    def show(self) -> None:
        """The card of the model."""
        self._read()

    def allow(self) -> None:
        """A folder only where it counts."""
        show_only(((self.ui.modelFolderLabel, self.ui.modelFolderEdit), self.parameters.model == _FOLDER))

    def folder(self) -> str:
        """The folder of the model; empty for the shipped trees, ``network`` for the shipped network.

        Raises
        ------
        InputError
            If a folder is wanted and none is chosen.
        """
        p = self.parameters
        if p.model == _FOLDER and not p.modelFolder:
            raise InputError(_("no model folder is chosen; choose one in section 4, or the shipped model"))
        if p.model == _NETWORK:
            return _NETWORK
        return p.modelFolder if p.model == _FOLDER else ""

    def take(self, folder: str) -> None:
        """Choose the model in a folder."""
        with self.bindings.held():
            self.parameters.model, self.parameters.modelFolder = _FOLDER, folder
            self.bindings.show()
        self._read()

    @slot
    def onModel(self) -> None:
        """Another model."""
        self._read()
        self.panel.onChoice()

    def _read(self) -> None:
        self.say("")
        p = self.parameters
        wanted = p.model != _FOLDER or p.modelFolder
        text = self._attempt(lambda: self.logic.card(self.folder()))[0] if wanted else ""
        self.ui.cardEdit.plainText = text or ""
