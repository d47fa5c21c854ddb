"""What lets one array code run on numpy and on torch: the device, and products in blocks.

Arrays inside the kinetic fit are float64 with voxels along the last axis, so that every operation walks through memory in order.
"""

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import InputError, option, require
from ..settings import DEVICES

# OpenBLAS starts threads of its own above this many multiplications. Next to ours they wait for each other, and a product then takes
# up to 60 times as long; below it a product stays in the thread that asked for it.
_ALONE = 2**18


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
        Voxels whose curves are worked on at once: few on a CPU, so that they stay in its cache; many on a GPU, so that it is busy.
    compiled
        Whether kernels that numba compiles may take the place of arrays.
    repeated
        Whether they may where curves are few, too: loading numba once is worth it for many such fits.
    """

    xp: ModuleType
    place: str | None
    block: int
    compiled: bool = False
    repeated: bool = False

    def put(self, values: Any, dtype: str = "float64") -> Any:
        """An array on this device."""
        if self.place is None:
            return np.ascontiguousarray(values, dtype)
        # Sent in the type it has, and converted there: half the traffic for 16-bit series.
        values = values if isinstance(values, self.xp.Tensor) else np.ascontiguousarray(values)
        return self.xp.as_tensor(values, device=self.place).to(getattr(self.xp, dtype))


CPU = Device(np, None, 4096)


def choose_device(name: str) -> Device:
    """The device for ``"auto"``, ``"cpu"`` (both numpy) or ``"cuda"`` (torch).

    On the CPU numba's kernels take the place of arrays where they can and curves are many; with ``"kernels"`` also where they are few, for
    fits that are repeated. For tests and benchmarks ``"numpy"`` leaves them out, and ``"torch-cpu"`` runs the code of CUDA on the
    processor.

    Raises
    ------
    InputError
        If the name is not known, torch is missing, or it sees no CUDA device.
    """
    if name in ("auto", "cpu"):
        return replace(CPU, compiled=True)
    if name == "kernels":
        return replace(CPU, compiled=True, repeated=True)
    if name == "numpy":
        return CPU
    if name not in ("cuda", "torch-cpu"):
        raise InputError(f"device {name!r} is not known; choose from {', '.join(DEVICES)}")
    torch = require("torch", f"{option('--device')} cuda (or use {option('--device')} cpu or auto)")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(f"no CUDA device is seen by torch; use {option('--device')} cpu or auto")
    return Device(torch, "cuda" if name == "cuda" else "cpu", 2**17)


def cast(values: Any, single: bool) -> Any:
    """The same array in single or double precision."""
    if isinstance(values, np.ndarray):
        return values.astype(np.float32 if single else np.float64, copy=False)
    return values.float() if single else values.double()


def back(values: Any) -> np.ndarray:
    """A numpy array again."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def subset(values: Any, like: Any) -> Any:
    """Indices of a subset, numpy, as something that `like`'s namespace can be indexed with."""
    if isinstance(like, np.ndarray):
        return values
    import torch

    return torch.as_tensor(values, device=like.device)


def product(matrix: Any, columns: Any) -> Any:
    """Matrix (m, k) times columns (k, n)."""
    if not isinstance(columns, np.ndarray):
        return matrix @ columns
    (m, k), n = matrix.shape, columns.shape[1]
    size = max(16, _ALONE // (m * k) // 16 * 16)
    whole = n // size * size
    result = np.empty((m, n), columns.dtype)
    if whole:
        if columns.flags.c_contiguous:
            blocks = columns[:, :whole].reshape(k, -1, size).swapaxes(0, 1)
        else:
            blocks = columns.T[:whole].reshape(-1, size, k).swapaxes(1, 2)
        np.matmul(matrix, blocks, out=result[:, :whole].reshape(m, -1, size).swapaxes(0, 1))
    if whole < n:
        np.matmul(matrix, columns[:, whole:], out=result[:, whole:])
    return result


def product_rows(columns: Any, matrix: Any) -> Any:
    """Columns (k, n), transposed, times a matrix (k, m): rows (n, m)."""
    if not isinstance(columns, np.ndarray):
        return columns.T @ matrix
    (k, m), n = matrix.shape, columns.shape[1]
    size = max(16, _ALONE // (m * k) // 16 * 16)
    whole = n // size * size
    result = np.empty((n, m), columns.dtype)
    if whole:
        blocks = columns[:, :whole].reshape(k, -1, size).transpose(1, 2, 0)
        np.matmul(blocks, matrix, out=result[:whole].reshape(-1, size, m))
    if whole < n:
        np.matmul(columns[:, whole:].T, matrix, out=result[whole:])
    return result


def dots(xp: Any, a: Any, b: Any) -> Any:
    """Scalar products of columns (r, n); either may be one column (r, 1)."""
    return xp.einsum("rn,rn->n", a, b)
