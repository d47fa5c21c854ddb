"""One node at a time, and what is called when it changes."""

from collections.abc import Callable, Sequence
from typing import Any


class Watch:
    """Observes events of a node.

    Parameters
    ----------
    events
        Of the node.
    call
        What is called at each.
    """

    def __init__(self, events: Sequence[Any], call: Callable[..., None]) -> None:
        self._events, self._call = events, call
        self._node: Any = None
        self._tags: list[int] = []

    def node(self, node: Any) -> None:
        """Observe this node, and no other any more; None: none."""
        if node is self._node:
            return
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node = node
        self._tags = [] if node is None else [node.AddObserver(event, self._call) for event in self._events]
