"""Commands of this family (being written)."""

from collections.abc import Callable


def register(add: Callable) -> None:
    """Add this family's commands."""
