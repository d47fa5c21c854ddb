"""Diffusion-weighted signals of tensors that are known: gradient schemes, and voxels with a given ADC and FA in any direction."""

from pathlib import Path

import numpy as np
from gliosuite.images import Grid, Series, write_series

_H = 0.5**0.5
SIX = np.array([(_H, _H, 0), (_H, -_H, 0), (_H, 0, _H), (_H, 0, -_H), (0, _H, _H), (0, _H, -_H)])  # Basser's
THREE = np.eye(3)


def spread(count: int) -> np.ndarray:
    """Directions (count, 3) spread evenly over half a sphere."""
    k = np.arange(count) + 0.5
    z, around = k / count, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(around), r * np.sin(around), z], axis=1)


def scheme(
    directions: np.ndarray, n_b0: int = 1, shells: tuple[float, ...] = (1000.0,)
) -> tuple[np.ndarray, np.ndarray]:
    """b-values (t,) in s/mm2 and directions (t, 3): `n_b0` without weight, then all directions for each shell."""
    b = np.concatenate([np.zeros(n_b0), *(np.full(len(directions), s) for s in shells)])
    return b, np.concatenate([np.zeros((n_b0, 3)), *(directions for _ in shells)])


def tensors(adc: np.ndarray, fa: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tensors (n, 3, 3) in mm2/s of fibres in random directions; 0 <= fa < 1."""
    axis = rng.standard_normal((adc.size, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    away = fa / np.sqrt(3 - 2 * fa**2)
    along = axis[:, :, None] * axis[:, None, :]
    return adc[:, None, None] * ((1 - away)[:, None, None] * np.eye(3) + 3 * away[:, None, None] * along)


def signals(s0: np.ndarray | float, d: np.ndarray, b: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Signals (n, t) of tensors (n, 3, 3)."""
    return np.asarray(s0)[..., None] * np.exp(-b * np.einsum("ti,nij,tj->nt", g, d, g))


def noisy(values: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitudes of signals with noise of this SD in both channels (Rician)."""
    real, imaginary = (sd * rng.standard_normal(values.shape) for _ in range(2))
    return np.hypot(values + real, imaginary)


def series(
    grid: Grid,
    adc: np.ndarray,
    fa: np.ndarray,
    s0: np.ndarray,
    b: np.ndarray,
    g: np.ndarray,
    rng: np.random.Generator,
    sd: float = 0.0,
) -> Series:
    """A series of maps (z, y, x)."""
    d = tensors(adc.ravel().astype(float), fa.ravel().astype(float), rng)
    values = noisy(signals(s0.ravel().astype(float), d, b, g), sd, rng)
    return Series(values.T.reshape(b.size, *grid.shape).astype(np.float32), grid, "dwi")


def write(folder: Path, made: Series, b: np.ndarray, g: np.ndarray, name: str = "dwi") -> Path:
    """Write a series with .bval and .bvec beside it; the path of the image."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.nii.gz"
    write_series(made, path)
    (folder / f"{name}.bval").write_text(" ".join(f"{v:g}" for v in b) + "\n")
    (folder / f"{name}.bvec").write_text("\n".join(" ".join(f"{v:.6f}" for v in row) for row in g.T) + "\n")
    return path


def head(seed: int = 3, shape: tuple[int, int, int] = (8, 20, 18)) -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray]:
    """A grid of 3 mm with an ellipsoid of tissue: ADC, FA and S0 (z, y, x), 0 outside."""
    rng = np.random.default_rng(seed)
    grid = Grid(shape[::-1], (3.0, 3.0, 3.0), (-25.0, -30.0, -12.0), tuple(np.eye(3).ravel()))
    place = [(np.arange(n) - (n - 1) / 2) / (n / 2) for n in shape]
    inside = sum(v**2 for v in np.meshgrid(*place, indexing="ij")) < 0.8
    adc = np.where(inside, rng.uniform(0.6e-3, 1.4e-3, shape), 0)
    fa = np.where(inside, rng.uniform(0.05, 0.8, shape), 0)
    return grid, adc, fa, np.where(inside, 1000.0, 0.0)
