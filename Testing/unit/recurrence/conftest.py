"""Small patients made of balls, in which recurrence lies where ADC is low: a truth that trees can find."""

import numpy as np
import pytest
from gliosuite.images import Grid
from gliosuite.recurrence import Inputs

GRID = Grid.made((30, 32, 28), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def ball(centre, radius_mm):
    z, y, x = np.meshgrid(*(3.0 * np.arange(n) for n in GRID.shape), indexing="ij")
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius_mm**2


def patient(seed: int, informative: bool = True) -> Inputs:
    rng = np.random.default_rng(seed)
    centre = np.array([42.0, 48.0, 45.0]) + rng.uniform(-6, 6, 3)
    brain, t2l = ball((42, 48, 45), 38), ball(centre, 10)
    spread = ball(centre + 11 * (v := rng.standard_normal(3)) / np.linalg.norm(v), 9)
    noise = lambda sd: rng.normal(0, sd, GRID.shape)
    images = {
        "t1c": 300 * (1 + noise(0.05)),
        "flair": 200 * (1 + 0.8 * t2l + noise(0.05)),
        "adc": 8e-4 * (1 - (0.3 * spread if informative else 0) + noise(0.03)),
    }
    masks = {"brain": brain, "t2l": t2l & brain, "cel": ball(centre, 5) & brain, "cavity": np.zeros_like(brain)}
    return Inputs({n: v.astype(np.float32) for n, v in images.items()}, masks, GRID, (t2l | spread) & brain)


@pytest.fixture(scope="session")
def patients():
    return [patient(i) for i in range(8)]
