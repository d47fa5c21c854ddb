"""Where the arrays of a DSC fit live: numpy on the CPU, torch on a CUDA device. The code of the fit is the same for both."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import InputError, require


@dataclass(frozen=True)
class Device:
    """An array namespace, and where its arrays are.

    Attributes
    ----------
    xp
        ``numpy`` or ``torch``; only what both call alike is used of it.
    place
        The torch device; None with numpy.
    block
        Voxels that are worked on at once: few on a CPU, so that they stay in its cache; many on a GPU, so that it is busy.
    """

    xp: ModuleType
    place: str | None
    block: int

    def put(self, values: Any, dtype: str = "float32") -> Any:
        """An array on this device."""
        if self.place is None:
            return np.asarray(values, dtype)
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values)
        # Sent in the type it has, and converted there: half the traffic for 16-bit series.
        return self.xp.as_tensor(values).to(self.place).to(getattr(self.xp, dtype))

    def get(self, values: Any) -> np.ndarray:
        """A numpy array of what is on this device."""
        return values if self.place is None else values.cpu().numpy()


def choose_device(name: str) -> Device:
    """The device for ``"auto"``, ``"cpu"`` (both numpy) or ``"cuda"`` (torch).

    ``"torch-cpu"`` runs torch's code on the CPU, for tests.

    Raises
    ------
    InputError
        If a CUDA device is asked for and there is none, or the name is not known.
    """
    if name in ("auto", "cpu"):
        return Device(np, None, 4096)
    if name not in ("cuda", "torch-cpu"):
        raise InputError(f"device {name!r} is not known; choose from auto, cpu, cuda")
    torch = require("torch", "perfusion on a CUDA device")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device that torch can use; choose --device cpu or auto")
    return Device(torch, "cuda" if name == "cuda" else "cpu", 1 << 17)
