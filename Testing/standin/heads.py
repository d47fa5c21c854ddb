"""Small synthetic heads for registration tests: an ellipsoid with folds and a bright lesion, in any contrast and position."""

import numpy as np
import SimpleITK as sitk
from gliosuite.images import Grid

GRID = Grid((44, 52, 40), (4.0, 4.0, 4.0), (-86.0, -104.0, -70.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def points_of(grid: Grid) -> np.ndarray:
    """Positions (z, y, x, 3) in mm of a grid's voxels."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    matrix = np.reshape(grid.direction, (3, 3)) * grid.spacing
    return np.stack([x, y, z], -1) @ matrix.T + grid.origin


def intensity(points: np.ndarray, contrast: str = "t1") -> np.ndarray:
    """The head at `points` (..., 3): head 70 x 85 x 60 mm, folds, ventricles, a lesion; 0 outside."""
    x, y, z = np.moveaxis(points, -1, 0)
    radius = np.sqrt((x / 70) ** 2 + (y / 85) ** 2 + (z / 60) ** 2)
    edge = 1 / (1 + np.exp(40 * (radius - 1)))
    folds = 0.5 + 0.2 * np.sin(x / 9 + 0.02 * y) * np.sin(y / 11) * np.cos(z / 8 + 0.5) + 0.1 * np.sin((x + y + z) / 17)
    ventricle = np.exp(-(((np.abs(x) - 12) / 7) ** 2) - ((y - 5) / 25) ** 2 - ((z - 5) / 10) ** 2)
    lesion = np.exp(-(((x - 30) / 10) ** 2) - ((y + 30) / 12) ** 2 - ((z - 10) / 10) ** 2)
    tissue = np.clip(folds - 0.45 * ventricle + 0.4 * lesion, 0, 1.2)
    value = tissue if contrast == "t1" else 0.15 + (1.1 - tissue) ** 2  # "t2": dark where t1 is bright
    return 500 * edge * value


def head(
    grid: Grid = GRID, contrast: str = "t1", moved: sitk.Transform | None = None, noise: float = 5.0, seed: int = 0
) -> sitk.Image:
    """The head on `grid`. `moved` takes this image's points to the head's: the inverse of what registration to an unmoved head finds."""
    points = points_of(grid)
    if moved is not None:
        flat = [moved.TransformPoint(p) for p in points.reshape(-1, 3).tolist()]
        points = np.array(flat).reshape(points.shape)
    values = intensity(points, contrast)
    noisy = np.abs(values + np.random.default_rng(seed).normal(0, noise, values.shape))
    return grid.image(noisy.astype(np.float32))


def rigid(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Euler3DTransform:
    """A rotation about the origin and a shift in mm."""
    return sitk.Euler3DTransform((0.0, 0.0, 0.0), *np.radians(degrees).tolist(), shift)


def probes(count: int = 200) -> np.ndarray:
    """Points (n, 3) inside the head."""
    found = np.random.default_rng(1).uniform((-70, -85, -60), (70, 85, 60), (4 * count, 3))
    return found[np.sqrt(((found / (70, 85, 60)) ** 2).sum(1)) < 0.9][:count]
