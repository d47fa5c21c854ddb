"""Items that stand for something, and signals that come to rest."""

from collections.abc import Callable, Iterable
from typing import Any

import qt

_REST_MS = 150  # chosen: shorter than a person notices, longer than the steps of a slider that is dragged


class Choices:
    """A combo box whose items stand for something: identifiers of segments, names of schemes."""

    def __init__(self, box: Any) -> None:
        self.box = box
        self.values: list[str] = []

    def fill(self, items: Iterable[tuple[str, str]]) -> None:
        """``(value, text)`` for each item; the one that was shown stays where it is still there."""
        before = self.value
        listed = list(items)
        self.box.blockSignals(True)
        self.box.clear()
        self.values = [value for value, _ in listed]
        for _, text in listed:
            self.box.addItem(text)
        self.box.blockSignals(False)
        self.value = before

    @property
    def value(self) -> str:
        """What the shown item stands for; empty where there is none."""
        index = self.box.currentIndex
        return self.values[index] if 0 <= index < len(self.values) else ""

    @value.setter
    def value(self, wanted: str) -> None:
        if self.values:
            self.box.currentIndex = self.values.index(wanted) if wanted in self.values else 0


class Rest:
    """Calls something once its signals have come to rest: a slider that is dragged sends many."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(lambda *_: work())

    def wait(self, *_args: Any) -> None:
        """Wait from now on."""
        self._timer.start()

    def stop(self) -> None:
        """Wait no more."""
        self._timer.stop()
