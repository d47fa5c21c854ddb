"""Where a glioma is likely to recur: features of voxels, models trained on follow-up, and the map of their probability."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inputs import CHANNELS, Inputs
    from .prediction import MODELS, Recurrence, predict, read, shipped

__all__ = ["CHANNELS", "MODELS", "Inputs", "Recurrence", "predict", "read", "shipped"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that the command line, which takes `settings` from here, loads no numpy."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = "inputs" if name in ("CHANNELS", "Inputs") else "prediction"
    return getattr(import_module(f".{where}", __name__), name)
