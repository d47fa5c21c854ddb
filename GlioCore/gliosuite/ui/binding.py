"""Widgets that Slicer's parameter nodes cannot bind by themselves: a selector of several node classes, segments, paths."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Bindings:
    """Keeps widgets and a parameter node equal; made once for a panel, whose `parameters` may change with the scene.

    Nothing is stored while `paused`: a scene that opens or closes moves the widgets, and no person does.
    """

    def __init__(self) -> None:
        self.parameters: Any = None
        self.paused = True
        self._shows: list[Callable[[], None]] = []
        self._reads: list[tuple[str, Callable[[], Any]]] = []

    def node(self, selector: Any, name: str) -> None:
        """A node selector whose classes are set in the .ui file."""
        self._bind(name, selector.currentNode, selector.currentNodeChanged)
        self._shows.append(lambda: selector.setCurrentNode(getattr(self.parameters, name)))

    def segment(self, selector: Any, node_name: str, segment_name: str) -> None:
        """A segment selector: its segmentation node and its segment.

        Another node brings another segment, of which the selector does not always tell: both are stored at either signal.
        """
        for signal in (selector.currentNodeChanged, selector.currentSegmentChanged):
            self._bind(node_name, selector.currentNode, signal)
            self._bind(segment_name, selector.currentSegmentID, signal)

        def show() -> None:
            segment = getattr(self.parameters, segment_name)
            selector.setCurrentNode(getattr(self.parameters, node_name))
            selector.setCurrentSegmentID(segment)

        self._shows.append(show)

    def choice(self, box: Any, name: str, names: Mapping[str, str]) -> None:
        """A combo box of a parameter's values, each by the name that people call it."""
        box.clear()
        for text in names.values():
            box.addItem(text)
        values = list(names)
        self._bind(name, lambda: values[box.currentIndex], box.currentIndexChanged)
        self._shows.append(lambda: setattr(box, "currentIndex", values.index(getattr(self.parameters, name))))

    def path(self, edit: Any, name: str) -> None:
        """A ctkPathLineEdit."""
        self._bind(name, lambda: edit.currentPath, edit.currentPathChanged)
        self._shows.append(lambda: setattr(edit, "currentPath", getattr(self.parameters, name)))

    def _bind(self, name: str, read: Callable[[], Any], signal: Any) -> None:
        self._reads.append((name, read))
        signal.connect(lambda *_: self._store(name, read))

    def _store(self, name: str, read: Callable[[], Any]) -> None:
        if self.paused:
            return
        value = read()
        if value is not getattr(self.parameters, name) and value != getattr(self.parameters, name):
            setattr(self.parameters, name, value)

    def show(self) -> None:
        """Bring all values to their widgets."""
        with self.held():
            for show in self._shows:
                show()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is stored, and no slot is called, while what is done here moves widgets and nodes."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    def store(self) -> None:
        """Store what the widgets show: what is used is what is seen, also where a widget has changed without a signal."""
        for name, read in self._reads:
            self._store(name, read)


def chosen(node: Any, segment: str) -> tuple[Any, str] | None:
    """A segment selector's choice, or None where nothing is chosen."""
    return (node, segment) if node is not None and segment else None
