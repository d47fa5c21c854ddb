"""Widgets that Slicer's parameter nodes cannot bind by themselves: a selector of several node classes, segments, paths."""

from collections.abc import Callable
from typing import Any


class Bindings:
    """Keeps widgets and a parameter node equal; `show` brings the node's values to the widgets."""

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters
        self._shows: list[Callable[[], None]] = []
        self._showing = False

    def _store(self, name: str, value: Any) -> None:
        if not self._showing:
            setattr(self.parameters, name, value)

    def node(self, selector: Any, name: str) -> None:
        """A node selector whose classes are set in the .ui file."""
        selector.currentNodeChanged.connect(lambda *_: self._store(name, selector.currentNode()))
        self._shows.append(lambda: selector.setCurrentNode(getattr(self.parameters, name)))

    def segment(self, selector: Any, node_name: str, segment_name: str) -> None:
        """A segment selector: its segmentation node and its segment."""
        selector.currentNodeChanged.connect(lambda *_: self._store(node_name, selector.currentNode()))
        selector.currentSegmentChanged.connect(lambda *_: self._store(segment_name, selector.currentSegmentID()))

        def show() -> None:
            segment = getattr(self.parameters, segment_name)
            selector.setCurrentNode(getattr(self.parameters, node_name))
            selector.setCurrentSegmentID(segment)

        self._shows.append(show)

    def path(self, edit: Any, name: str) -> None:
        """A ctkPathLineEdit."""
        edit.currentPathChanged.connect(lambda *_: self._store(name, edit.currentPath))
        self._shows.append(lambda: setattr(edit, "currentPath", getattr(self.parameters, name)))

    def show(self) -> None:
        """Bring all values to their widgets."""
        self._showing = True
        try:
            for show in self._shows:
                show()
        finally:
            self._showing = False


def chosen(node: Any, segment: str) -> tuple[Any, str] | None:
    """A segment selector's choice, or None where nothing is chosen."""
    return (node, segment) if node is not None and segment else None
