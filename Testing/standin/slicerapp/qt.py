"""Stand-in for ``qt``: PySide6 with what PythonQt has in addition, so that the common subset of both runs.

Properties are attributes (``label.text = "x"``), ``connect("clicked()", f)`` works, and, as in PythonQt, an unknown attribute of a Qt
widget cannot be set, and constructors take no keywords.
"""

import ctypes
import sys
import xml.etree.ElementTree as ET

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Property, Signal

if sys.version_info < (3, 12):
    # PySide6 6.12 counts on None, True and False being immortal, as they are from Python 3.12 on: each call that returns nothing gives
    # away a reference to None, and after some ten thousand of them the interpreter dies as it ends.
    for _constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_constant)).value += 1 << 40

for _module in (QtCore, QtGui, QtWidgets):
    globals().update({name: getattr(_module, name) for name in dir(_module) if name.startswith("Q")})

_METHODS = {
    "sizeHint",
    "minimumSizeHint",
    "singleShot",
    "property",
    "metaObject",
    "children",
    "parent",
    "layout",
    "data",
}
custom = {}  # class name -> stand-in widget, for .ui files


def _attribute(name):
    return property(
        lambda self: QtCore.QObject.property(self, name), lambda self, v: QtCore.QObject.setProperty(self, name, v)
    )


def patch(cls):
    """Give a Qt class its properties as attributes."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _METHODS:
            setattr(cls, name, _attribute(name))


def _classes():
    found = {c for c in globals().values() if isinstance(c, type) and issubclass(c, QtCore.QObject)}
    return sorted(found, key=lambda c: len(c.__mro__))


for _class in _classes():
    if hasattr(_class, "staticMetaObject"):
        patch(_class)
QtCore.QObject.name = _attribute("objectName")  # Slicer's childWidgetVariables reads it
QtCore.QObject.className = lambda self: type(self).__name__

_get = QtCore.QObject.__getattribute__


def _getattribute(self, name):
    found = _get(self, name)
    if name != "connect":
        return found

    def connect(signal, function, *more):
        if isinstance(signal, str) and not more:
            return getattr(self, signal.split("(")[0]).connect(function)
        return found(signal, function, *more)  # Qt's own, which PySide6 calls from within

    return connect


QtCore.QObject.__getattribute__ = _getattribute


_set = QtCore.QObject.__setattr__


def _strict(self, name, value):
    if isinstance(value, QtCore.SignalInstance):  # PySide6 keeps a signal that was looked up
        _set(self, name, value)
    elif self.metaObject().indexOfProperty(name) >= 0:
        QtCore.QObject.setProperty(self, name, value)
    elif type(self).__module__.startswith("PySide6"):
        raise AttributeError(f"{type(self).__name__} has no attribute {name} that could be set")
    else:
        self.__dict__[name] = value


for _class in _classes():
    if issubclass(_class, QtWidgets.QWidget):
        _class.__setattr__ = _strict  # each has its own: what a base class is given does not reach it


def _without_keywords(cls):
    """Refuse keywords of a constructor, which PySide6 takes and PythonQt does not."""
    make = cls.__init__

    def refusing(self, *arguments, **keywords):
        if keywords:
            raise ValueError(f"{cls.__name__} takes no keyword ({', '.join(keywords)}): PythonQt has none")
        make(self, *arguments)

    cls.__init__ = refusing


for _class in _classes():
    _without_keywords(_class)


class QUiLoader(QtUiTools.QUiLoader):
    """Loads .ui files that name Slicer's widgets; their connections are made in Python."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        for cls in custom.values():
            self.registerCustomWidget(cls)

    def load(self, file, parent=None):
        root = ET.fromstring(bytes(file.readAll().data()))
        used = {w.get("class") for w in root.iter("widget")}
        unknown = {name for name in used if name.startswith(("qMRML", "ctk", "qSlicer"))} - set(custom)
        if unknown:
            raise RuntimeError(f"no stand-in for {', '.join(sorted(unknown))}")
        connections = root.find("connections")
        wanted = [] if connections is None else [{c.tag: c.text for c in entry} for entry in connections]
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        find = lambda name: widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
        for entry in wanted:
            signal = getattr(find(entry["sender"]), entry["signal"].split("(")[0])
            signal.connect(getattr(find(entry["receiver"]), entry["slot"].split("(")[0]))
        return widget


_application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])

__all__ = ["Property", "QUiLoader", "Signal", "custom", "patch"]
