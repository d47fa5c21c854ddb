"""Stand-in for ``ctk``: the few widgets that our panels use."""

from PySide6 import QtCore, QtWidgets

from slicerapp import qt


class ctkCollapsibleButton(QtWidgets.QGroupBox):  # noqa: N801
    def _text(self):
        return QtCore.QObject.property(self, "title")

    def _set_text(self, text):
        QtCore.QObject.setProperty(self, "title", text)

    def _collapsed(self):
        return getattr(self, "_is_collapsed", False)

    def _set_collapsed(self, value):
        # Children keep whether they are hidden for themselves, as in ctk; here they are cut off.
        self._is_collapsed = value
        self.setMaximumHeight(self.fontMetrics().height() + 8 if value else 16777215)

    text = QtCore.Property(str, _text, _set_text)
    collapsed = QtCore.Property(bool, _collapsed, _set_collapsed)


class ctkCollapsibleGroupBox(ctkCollapsibleButton):  # noqa: N801
    collapsed = QtCore.Property(bool, ctkCollapsibleButton._collapsed, ctkCollapsibleButton._set_collapsed)


class ctkPathLineEdit(QtWidgets.QLineEdit):  # noqa: N801
    Dirs, Files, Writable = 0x001, 0x002, 0x020
    currentPathChanged = QtCore.Signal(str)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._filters = 0
        self.textChanged.connect(self.currentPathChanged)

    def _path(self):
        return QtCore.QObject.property(self, "text")

    def _set_path(self, path):
        QtCore.QObject.setProperty(self, "text", path)

    filters = QtCore.Property(int, lambda self: self._filters, lambda self, v: setattr(self, "_filters", v))
    currentPath = QtCore.Property(str, _path, _set_path)  # noqa: N815


class ctkSliderWidget(QtWidgets.QDoubleSpinBox):  # noqa: N801
    pass


for _class in (ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkPathLineEdit, ctkSliderWidget):
    qt.custom[_class.__name__] = _class
