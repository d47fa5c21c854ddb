"""ADC and FA from a diffusion-weighted series."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gradients import Gradients, gradients_beside, read_gradients, unweighted
    from .maps import DtiMaps, dti_maps, write
    from .tensor import Tensors, fit_tensor

_WHERE = {
    "Gradients": "gradients",
    "gradients_beside": "gradients",
    "read_gradients": "gradients",
    "unweighted": "gradients",
    "DtiMaps": "maps",
    "dti_maps": "maps",
    "write": "maps",
    "Tensors": "tensor",
    "fit_tensor": "tensor",
}
__all__ = [
    "DtiMaps",
    "Gradients",
    "Tensors",
    "dti_maps",
    "fit_tensor",
    "gradients_beside",
    "read_gradients",
    "unweighted",
    "write",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that the command line, which takes `settings` from here, loads no numpy."""
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
