"""Section 1: the images that may be missing; T1c, FLAIR and the segments are those of `gliosuite.ui.rt.structures`."""

from typing import Any

from ...mrml.recurrence import OPTIONAL, guessed
from ..section import Section


class Images(Section):
    """A selector for each; one that a person has left out stays so."""

    place = "inputStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        for name in OPTIONAL:
            self._selector(name).currentNodeChanged.connect(lambda *_, name=name: self.onImage(name))

    def _selector(self, name: str) -> Any:
        return getattr(self.ui, f"{name}Selector")

    def fill(self) -> None:
        """By what nodes say of themselves, and by their names."""
        p = self.parameters
        for name in OPTIONAL:
            if getattr(p, name) is None and name not in p.leftOut.split():
                setattr(p, name, guessed(name, (p.reference, p.flair)))

    def onImage(self, name: str) -> None:
        """A person has chosen."""
        if self.bindings.paused:
            return
        p, node = self.parameters, self._selector(name).currentNode()
        # The image before anything else: each change of the node brings all its values back to the widgets.
        setattr(p, name, node)
        others = [n for n in p.leftOut.split() if n != name]
        p.leftOut = " ".join(others if node is not None else [*others, name])

    def chosen(self) -> dict[str, Any]:
        """Volume node by name, T1c and FLAIR too, of those that are chosen."""
        ui = self.ui
        selectors = {"t1c": ui.referenceSelector, "flair": ui.flairSelector} | {n: self._selector(n) for n in OPTIONAL}
        return {n: node for n, selector in selectors.items() if (node := selector.currentNode()) is not None}
