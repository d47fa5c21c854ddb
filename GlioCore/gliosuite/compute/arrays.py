"""What lets one array code run on numpy and on torch: the namespace, and products in blocks.

Arrays inside the fits are float64 with voxels along the last axis, so that every operation walks through memory in order.
"""

from typing import Any

import numpy as np

from ..errors import InputError, require

# OpenBLAS starts threads of its own above this many multiplications. Next to ours they wait for each other, and a product then takes
# up to 60 times as long; below it a product stays in the thread that asked for it.
_ALONE = 2**18


def namespace(device: str) -> Any:
    """numpy for ``"cpu"`` and ``"auto"``, torch for ``"cuda"``.

    ``"torch-cpu"`` runs the code of CUDA on the processor, for tests.

    Raises
    ------
    InputError
        If torch is missing, or sees no CUDA device.
    """
    if device in ("auto", "cpu"):
        return np
    torch = require("torch", "--device cuda (or use --device cpu or auto)")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is seen by torch; use --device cpu or auto")
    return torch


def put(xp: Any, values: np.ndarray, device: str, single: bool = False) -> Any:
    """An array of the namespace, float64 or float32."""
    if xp is np:
        return np.ascontiguousarray(values, np.float32 if single else np.float64)
    where = "cuda" if device.startswith("cuda") else "cpu"
    return xp.as_tensor(np.ascontiguousarray(values), device=where).to(xp.float32 if single else xp.float64)


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
