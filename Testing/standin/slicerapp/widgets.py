"""Stand-ins for the qMRML widgets that our panels use; they follow the scene as the real ones do."""

import slicer
from PySide6 import QtCore, QtWidgets

from slicerapp import qt


class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801
    mrmlSceneChanged = QtCore.Signal(object)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene):  # noqa: N802
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self):  # noqa: N802
        return self._scene


class qMRMLNodeComboBox(QtWidgets.QComboBox):  # noqa: N801
    currentNodeChanged = QtCore.Signal(object)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._nodes, self._none, self._flags = None, [], False, {}
        self._types = []
        self._current = None
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)  # as the real one
        self.currentIndexChanged.connect(self._picked)

    def _flag(name, default):  # noqa: N805
        return QtCore.Property(
            bool, lambda self: self._flags.get(name, default), lambda self, v: self._flags.__setitem__(name, v)
        )

    noneEnabled = _flag("noneEnabled", False)  # noqa: N815
    addEnabled = _flag("addEnabled", True)  # noqa: N815
    removeEnabled = _flag("removeEnabled", True)  # noqa: N815
    renameEnabled = _flag("renameEnabled", False)  # noqa: N815
    showHidden = _flag("showHidden", False)  # noqa: N815
    showChildNodeTypes = _flag("showChildNodeTypes", True)  # noqa: N815
    selectNodeUponCreation = _flag("selectNodeUponCreation", True)  # noqa: N815

    def _node_types(self):
        return self._types

    def _set_node_types(self, types):
        self._types = list(types)
        self._update()

    nodeTypes = QtCore.Property("QStringList", _node_types, _set_node_types)  # noqa: N815

    def setMRMLScene(self, scene):  # noqa: N802
        self._scene = scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
                scene.AddObserver(event, lambda *_: self._update())
        self._update()

    def _update(self):
        nodes = [] if self._scene is None else [n for t in self._types for n in slicer.util.getNodesByClass(t)]
        if not self._flags.get("showChildNodeTypes", True):
            nodes = [n for n in nodes if n.GetClassName() in self._types]
        nodes = [n for n in nodes if not n.GetHideFromEditors()]
        keep = self._current if self._current in nodes else None
        self.blockSignals(True)
        self.clear()
        self._nodes = ([None] if self.noneEnabled or not nodes else []) + nodes
        for node in self._nodes:
            self.addItem("None" if node is None else node.GetName())
        self.blockSignals(False)
        self.setCurrentNode(keep if keep is not None else self._nodes[0] if self._nodes else None)

    def _picked(self, *_):
        index = self.currentIndex
        node = self._nodes[index] if 0 <= index < len(self._nodes) else None
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)

    def currentNode(self):  # noqa: N802
        return self._current

    def currentNodeID(self):  # noqa: N802
        return "" if self._current is None else self._current.GetID()

    def setCurrentNode(self, node):  # noqa: N802
        if node in self._nodes:
            self.currentIndex = self._nodes.index(node)
        self._picked()


class qMRMLSegmentSelectorWidget(QtWidgets.QWidget):  # noqa: N801
    """A segmentation and one of its segments.

    As strict as versions of the real one differ: another node brings another segment without `currentSegmentChanged`; the identifier
    chosen before is kept where the new node has it, otherwise the first segment is shown, also where None is allowed.
    """

    currentNodeChanged = QtCore.Signal(object)  # noqa: N815
    currentSegmentChanged = QtCore.Signal(str)  # noqa: N815

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._node_box, self._segment_box = qMRMLNodeComboBox(self), QtWidgets.QComboBox(self)
        self._node_box.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._node_box.noneEnabled = True
        row.addWidget(self._node_box)
        row.addWidget(self._segment_box)
        self._ids, self._is_none, self._watched = [], False, None
        self._node_box.currentNodeChanged.connect(self._node_changed)
        self._segment_box.currentIndexChanged.connect(
            lambda *_: self.currentSegmentChanged.emit(self.currentSegmentID())
        )

    def _none(self):
        return self._is_none

    def _set_none(self, value):
        self._is_none = value
        self._fill()

    noneEnabled = QtCore.Property(bool, _none, _set_none)  # noqa: N815

    def setMRMLScene(self, scene):  # noqa: N802
        self._node_box.setMRMLScene(scene)

    def _fill(self):
        before, node = self.currentSegmentID(), self._node_box.currentNode()
        segments = node.GetSegmentation() if node is not None else None
        self._ids = (
            [] if segments is None else [segments.GetNthSegmentID(i) for i in range(segments.GetNumberOfSegments())]
        )
        names = [segments.GetSegment(i).GetName() for i in self._ids]
        if self._is_none and self._ids:
            self._ids, names = ["", *self._ids], ["None", *names]
        shown = self._ids.index(before) if before and before in self._ids else int(self._is_none)
        self._segment_box.blockSignals(True)
        self._segment_box.clear()
        self._segment_box.addItems(names)
        self._segment_box.currentIndex = min(shown, len(self._ids) - 1)
        self._segment_box.blockSignals(False)

    def _node_changed(self, node):
        if self._watched is not None:
            old, tags = self._watched
            for tag in tags:
                old.RemoveObserver(tag)
        self._watched = None
        if node is not None:
            events = (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved)
            self._watched = node, [node.AddObserver(event, lambda *_: self._fill()) for event in events]
        self._fill()
        self.currentNodeChanged.emit(node)

    def currentNode(self):  # noqa: N802
        return self._node_box.currentNode()

    def setCurrentNode(self, node):  # noqa: N802
        self._node_box.setCurrentNode(node)

    def currentSegmentID(self):  # noqa: N802
        index = self._segment_box.currentIndex
        return self._ids[index] if 0 <= index < len(self._ids) else ""

    def setCurrentSegmentID(self, identifier):  # noqa: N802
        if identifier in self._ids:
            self._segment_box.currentIndex = self._ids.index(identifier)


class qSlicerMarkupsPlaceWidget(QtWidgets.QWidget):  # noqa: N801
    """Buttons to place and delete points; a test places them in the node itself."""

    (
        ForcePlaceSingleMarkup,
        ForcePlaceMultipleMarkups,
        ShowPlaceMultipleMarkupsOption,
        HidePlaceMultipleMarkupsOption,
    ) = range(4)

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._node, self._several = None, 2
        self._buttons = {name: QtWidgets.QToolButton(self) for name in ("color", "place", "delete")}
        for button, text in zip(self._buttons.values(), "CPX", strict=True):
            button.setText(text)
            row.addWidget(button)

    def _set_visible(self, value):
        for button in self._buttons.values():
            button.setVisible(value)

    buttonsVisible = QtCore.Property(bool, lambda self: True, _set_visible)  # noqa: N815
    placeMultipleMarkups = QtCore.Property(  # noqa: N815
        int, lambda self: self._several, lambda self, v: setattr(self, "_several", v)
    )

    def setMRMLScene(self, scene):  # noqa: N802
        pass

    def placeButton(self):  # noqa: N802
        return self._buttons["place"]

    def deleteButton(self):  # noqa: N802
        return self._buttons["delete"]

    def currentNode(self):  # noqa: N802
        return self._node

    def setCurrentNode(self, node):  # noqa: N802
        self._node = node
        for button in self._buttons.values():
            button.setEnabled(node is not None)


def complete(package):
    """Put the widgets into the ``slicer`` package, where modules look for them."""
    for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentSelectorWidget, qSlicerMarkupsPlaceWidget):
        qt.custom[cls.__name__] = cls
        setattr(package, cls.__name__, cls)
