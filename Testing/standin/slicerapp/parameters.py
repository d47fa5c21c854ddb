"""Stand-in for ``slicer.parameterNodeWrapper``: typed attributes kept in a MRML node, and widgets bound to them by name.

Only what GlioSuite uses: int, float, str, bool, Path, MRML nodes; ``Choice``, ``WithinRange``, ``Minimum``; as strict as the real one about
which widget may show which type.
"""

import json
import pathlib
import typing
from dataclasses import dataclass

import slicer
import vtk

__all__ = ["Choice", "Minimum", "WithinRange", "parameterNodeWrapper"]


@dataclass
class Choice:
    choices: list

    def check(self, value):
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of {self.choices}")


@dataclass
class WithinRange:
    minimum: float
    maximum: float

    def check(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")


@dataclass
class Minimum:
    minimum: float

    def check(self, value):
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


def _split(annotated):
    if typing.get_origin(annotated) is typing.Annotated:
        kind, *notes = typing.get_args(annotated)
        return kind, notes
    return annotated, []


def _is_node(kind):
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


class _Parameter:
    def __init__(self, name, annotated, default):
        self.name = name
        self.kind, self.notes = _split(annotated)
        if not (_is_node(self.kind) or self.kind in (int, float, str, bool, pathlib.Path)):
            raise TypeError(f"parameter {name} has type {self.kind}, which no serializer knows")
        plain = {int: 0, float: 0.0, str: "", bool: False, pathlib.Path: pathlib.Path()}.get(self.kind)
        self.default = plain if default is None else default
        if not _is_node(self.kind):
            self.check(self.default)

    def check(self, value):
        if _is_node(self.kind):
            if value is not None and not isinstance(value, self.kind):
                raise ValueError(f"{self.name} is a {type(value).__name__}; a {self.kind.__name__} is needed")
            return
        if self.kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, self.kind):
            raise ValueError(f"{self.name} is a {type(value).__name__}; a {self.kind.__name__} is needed")
        for note in self.notes:
            note.check(value)

    def read(self, node):
        if _is_node(self.kind):
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if text == "":
            return self.default
        value = json.loads(text)
        return pathlib.Path(value) if self.kind is pathlib.Path else self.kind(value)

    def write(self, node, value):
        self.check(value)
        if _is_node(self.kind):
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
            node.Modified()
        else:
            node.SetParameter(self.name, json.dumps(str(value) if self.kind is pathlib.Path else value))


def _connector(widget, parameter):
    """``(read, write, signal)`` of a widget; the same pairs of widget and type as Slicer's connectors."""
    import ctk
    import qt

    kind = type(widget)
    if parameter.kind is bool and kind is qt.QCheckBox:
        return lambda: widget.checked, lambda v: setattr(widget, "checked", v), widget.stateChanged
    if parameter.kind is int and kind is qt.QSpinBox:
        return lambda: widget.value, lambda v: setattr(widget, "value", v), widget.valueChanged
    if parameter.kind is float and kind in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        within = next((n for n in parameter.notes if isinstance(n, WithinRange)), None)
        least = next((n.minimum for n in parameter.notes if isinstance(n, Minimum)), None)
        widget.minimum = within.minimum if within else (-1e300 if least is None else least)
        widget.maximum = within.maximum if within else 1e300
        return lambda: widget.value, lambda v: setattr(widget, "value", v), widget.valueChanged
    if parameter.kind is str and kind is qt.QLineEdit:
        return lambda: widget.text, lambda v: setattr(widget, "text", v), widget.textChanged
    if parameter.kind is str and kind is qt.QComboBox:
        choices = next(n.choices for n in parameter.notes if isinstance(n, Choice))
        widget.clear()
        for choice in choices:
            widget.addItem(choice)
        return (
            lambda: choices[widget.currentIndex],
            lambda v: setattr(widget, "currentIndex", choices.index(v)),
            widget.currentIndexChanged,
        )
    if parameter.kind is pathlib.Path and kind is ctk.ctkPathLineEdit:
        return (
            lambda: pathlib.Path(widget.currentPath),
            lambda v: setattr(widget, "currentPath", str(v)),
            widget.currentPathChanged,
        )
    if _is_node(parameter.kind) and kind is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [parameter.kind.__name__]
        return widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged
    raise RuntimeError(f"no connector from {parameter.kind} to {kind}")


def parameterNodeWrapper(cls):  # noqa: N802
    parameters = {
        name: _Parameter(name, annotated, getattr(cls, name, None))
        for name, annotated in typing.get_type_hints(cls, include_extras=True).items()
    }

    def __init__(self, node):  # noqa: N807
        self.parameterNode = node
        self._connections = {}

    def connectParametersToGui(self, mapping):  # noqa: N802
        """Connect widgets by parameter name; as Slicer's, each call adds an observer that stays with the node."""
        connectors, undo, updating = {}, [], []
        for name, widget in mapping.items():
            if name not in parameters:
                raise ValueError(f"{widget.objectName} is bound to {name}, which is no parameter")
            read, write, signal = _connector(widget, parameters[name])
            connectors[name] = (read, write, signal)
        for name, (read, write, signal) in connectors.items():
            write(parameters[name].read(self.parameterNode))

            def changed(*_, name=name, read=read):
                if not updating:
                    parameters[name].write(self.parameterNode, read())

            signal.connect(changed)
            undo.append((signal, changed))

        def modified(*_):
            if updating or tag not in self._connections:
                return
            updating.append(True)
            try:
                for name, (_, write, _) in connectors.items():
                    write(parameters[name].read(self.parameterNode))
            finally:
                updating.pop()

        tag = len(self._connections) + 1
        self._connections[tag] = undo
        self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, modified)
        return tag

    def connectGui(self, ui):  # noqa: N802
        """As Slicer's, it returns no tag that could be disconnected by."""
        named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def disconnectGui(self, tag):  # noqa: N802
        for signal, changed in self._connections.pop(tag, ()):
            signal.disconnect(changed)

    for name, parameter in parameters.items():
        setattr(
            cls,
            name,
            property(
                lambda self, p=parameter: p.read(self.parameterNode),
                lambda self, value, p=parameter: p.write(self.parameterNode, value),
            ),
        )
    cls.__init__, cls.allParameters = __init__, parameters
    cls.connectGui, cls.connectParametersToGui, cls.disconnectGui = connectGui, connectParametersToGui, disconnectGui
    cls.AddObserver = lambda self, event, function: self.parameterNode.AddObserver(event, function)
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return cls
