"""Figures of margins: error and time. ``python Testing/bench/bench_rt.py``; structure sets have their own, ``bench_rtset.py``."""

import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2] / "GlioCore")]

from gliosuite.images import Grid, boolean
from gliosuite.rt.margins import expand


def margins() -> None:
    """Volume error of grown and shrunk spheres, five sub-voxel positions each."""
    print("margin error, % of the sphere's volume: mean (largest)")
    for radius, margin in ((15.3, 20), (15.3, 15), (15.3, 5), (6, 15), (30, -10)):
        cells = []
        for spacing in ((1, 1, 1), (3, 1, 1), (3, 3, 3)):
            random = np.random.default_rng(3)
            errors = []
            for _ in range(5):
                step = np.asarray(spacing, float)
                size = np.ceil(2 * (max(radius, radius + margin) + 4) / step).astype(int)
                centre = (size / 2 + random.random(3) - 0.5) * step
                grid = Grid(tuple(int(s) for s in size), tuple(step), (0.0,) * 3, tuple(np.eye(3).ravel()))
                index = np.indices(grid.shape)[::-1].reshape(3, -1).T * step
                inside = (np.linalg.norm(index - centre, axis=1) <= radius).reshape(grid.shape)
                volume = boolean(expand(grid.image(inside), margin)).sum() * step.prod()
                errors.append(100 * (volume / (4 / 3 * np.pi * (radius + margin) ** 3) - 1))
            cells.append(f"{'x'.join(map(str, spacing))} {np.mean(errors):+.2f} ({np.abs(errors).max():.2f})")
        print(f"  r {radius} mm {margin:+} mm: " + "  ".join(cells))
    grid = Grid((240, 240, 155), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    index = (np.indices(grid.shape)[::-1].reshape(3, -1).T - (100, 120, 80)) / (35, 25, 28)
    lesion = grid.image((np.linalg.norm(index, axis=1) <= 1).reshape(grid.shape))
    start = time.perf_counter()
    expand(lesion, 20)
    print(f"  20 mm around a 103 cc ellipsoid on 240x240x155 at 1 mm: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    margins()
