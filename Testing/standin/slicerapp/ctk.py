"""Stand-in for ``ctk``: the few widgets that our panels use, about as wide and as high as the real ones."""

from PySide6 import QtCore, QtWidgets

from slicerapp import qt


class ctkCollapsibleButton(QtWidgets.QGroupBox):  # noqa: N801
    """A bar that shows and hides what is below.

    A child that is shown while it is closed is seen once it opens; that one was hidden while it is closed is not noticed.
    """

    contentsCollapsed = QtCore.Signal(bool)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._is_collapsed, self._own, self._unwanted = False, False, set()
        self._title = ""

    def childEvent(self, event):  # noqa: N802
        super().childEvent(event)
        child = event.child()
        if event.added() and child.isWidgetType():
            child.installEventFilter(self)
            if self._is_collapsed:
                self._put(child, False)

    def eventFilter(self, child, event):  # noqa: N802
        shown = event.type() == QtCore.QEvent.ShowToParent
        if not self._own and (shown or event.type() == QtCore.QEvent.HideToParent):
            (self._unwanted.discard if shown else self._unwanted.add)(child)
            if shown and self._is_collapsed:
                self._put(child, False)
        return super().eventFilter(child, event)

    def _put(self, child, shown):
        self._own = True
        child.setVisible(shown)
        self._own = False

    def _text(self):
        return self._title

    def _set_text(self, text):
        self._title = text
        QtCore.QObject.setProperty(self, "title", f"{'▸' if self._is_collapsed else '▾'} {text}")

    def _collapsed(self):
        return self._is_collapsed

    def _set_collapsed(self, value):
        if value == self._is_collapsed:
            return
        self._is_collapsed = value
        self._set_text(self._title)
        self.setMaximumHeight(self.fontMetrics().height() + 6 if value else 16777215)
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            self._put(child, not value and child not in self._unwanted)
        self.contentsCollapsed.emit(value)

    text = QtCore.Property(str, _text, _set_text)
    collapsed = QtCore.Property(bool, _collapsed, _set_collapsed)


class ctkCollapsibleGroupBox(ctkCollapsibleButton):  # noqa: N801
    """The same with a title, as a group box has it."""

    def showEvent(self, event):  # noqa: N802
        super().showEvent(event)
        if not self._title:  # one that is open from the start
            self._set_text(QtCore.QObject.property(self, "title"))

    def _close(self, value):
        self._title = QtCore.QObject.property(self, "title").removeprefix("▸ ").removeprefix("▾ ")
        self._set_collapsed(value)

    collapsed = QtCore.Property(bool, ctkCollapsibleButton._collapsed, _close)


class ctkPathLineEdit(QtWidgets.QWidget):  # noqa: N801
    """A path with a button that opens a chooser."""

    Dirs, Files, Writable = 0x001, 0x002, 0x020
    currentPathChanged = QtCore.Signal(str)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._filters = 0
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._edit, self._button = QtWidgets.QLineEdit(self), QtWidgets.QToolButton(self)
        QtCore.QObject.setProperty(self._button, "text", "...")
        row.addWidget(self._edit)
        row.addWidget(self._button)
        self._edit.textChanged.connect(self.currentPathChanged)

    def _path(self):
        return QtCore.QObject.property(self._edit, "text")

    def _set_path(self, path):
        QtCore.QObject.setProperty(self._edit, "text", path)

    filters = QtCore.Property(int, lambda self: self._filters, lambda self, v: setattr(self, "_filters", v))
    currentPath = QtCore.Property(str, _path, _set_path)  # noqa: N815


class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider and a spin box for one number."""

    valueChanged = QtCore.Signal(float)  # noqa: N815
    _STEPS = 1000

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = QtWidgets.QSlider(QtCore.Qt.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        self._slider.setRange(0, self._STEPS)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._box.valueChanged.connect(self._moved)
        self._slider.sliderMoved.connect(self._dragged)

    def _moved(self, value):
        low, high = self.minimum, self.maximum
        self._slider.blockSignals(True)
        self._slider.setValue(round(self._STEPS * (value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _dragged(self, step):
        self._box.setValue(self.minimum + (self.maximum - self.minimum) * step / self._STEPS)

    def _of_box(kind, name):  # noqa: N805
        return QtCore.Property(
            kind,
            lambda self: QtCore.QObject.property(self._box, name),
            lambda self, v: QtCore.QObject.setProperty(self._box, name, v),
        )

    value, minimum, maximum = _of_box(float, "value"), _of_box(float, "minimum"), _of_box(float, "maximum")
    singleStep, decimals, suffix = _of_box(float, "singleStep"), _of_box(int, "decimals"), _of_box(str, "suffix")  # noqa: N815


for _class in (ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkPathLineEdit, ctkSliderWidget):
    qt.custom[_class.__name__] = _class
