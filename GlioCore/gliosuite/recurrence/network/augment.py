"""What is done to a patient each time that the network sees him in training, after Tran 2025: see `varied`."""

from typing import Any

import numpy as np

from ..inputs import CHANNELS, KINDS, REQUIRED, SEEN
from .shown import Shown, known_of

# All chosen: how often everything is shown that there is; else, how often a kind of scan and a single image is hidden.
_WHOLE, _KIND, _IMAGE = 0.34, 0.5, 0.1
_SWAP = 0.1  # how often two images change places
_TURN, _TURN_RAD = 0.5, 0.26  # how often the head is turned, and how far at most about each axis
_NOISE = 0.03  # highest standard deviation of noise, of images that go from 0 to 1


def hidden(rng: np.random.Generator, one: Shown) -> Shown:
    """Kinds of scan and single images hidden at random; those that are needed stay."""
    if rng.random() < _WHOLE:
        return one
    gone = {kind for kind in KINDS[1:] if rng.random() < _KIND}
    single = rng.random(len(SEEN)) < _IMAGE
    stays = lambda name: CHANNELS[name].kind == KINDS[0]
    return one.showing([n for n, s in zip(SEEN, single) if stays(n) or not (s or CHANNELS[n].kind in gone)])


def swapped(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Now and then two images that may be missing change places, with where they were measured."""
    first, second = rng.choice(np.arange(len(REQUIRED), len(SEEN)), 2, replace=False)
    if rng.random() < _SWAP:
        for a, b in ((first, second), (known_of(first), known_of(second))):
            values[[a, b]] = values[[b, a]]
    return values


def turned(torch: Any, rng: np.random.Generator, values: Any) -> Any:
    """(1, channels, z, y, x) mirrored along axes at random and, now and then, turned; 0 comes in from outside."""
    axes = [axis + 2 for axis in range(3) if rng.random() < 0.5]
    values = torch.flip(values, axes) if axes else values
    if rng.random() >= _TURN:
        return values
    a, b, c = rng.uniform(-_TURN_RAD, _TURN_RAD, 3)
    about = lambda i, j, t: _plane(i, j, t)
    matrix = about(0, 1, a) @ about(1, 2, b) @ about(0, 2, c)
    # The grid of torch goes from -1 to 1 along x, y, z, whatever the sides.
    sides = np.array(values.shape[:1:-1], float)
    matrix = matrix * sides / sides[:, None]
    theta = torch.zeros(1, 3, 4, device=values.device)
    theta[0, :, :3] = torch.from_numpy(matrix)
    grid = torch.nn.functional.affine_grid(theta, list(values.shape), align_corners=False)
    return torch.nn.functional.grid_sample(values, grid, align_corners=False)


def _plane(i: int, j: int, angle: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[[i, j], [i, j]] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def noisy(torch: Any, rng: np.random.Generator, values: Any, n: int = len(SEEN)) -> Any:
    """Gaussian noise on the first `n` channels, the images, of (1, channels, z, y, x), where they were measured."""
    sd = rng.uniform(0, _NOISE)
    images = values[:, :n]
    noise = torch.from_numpy(rng.standard_normal(tuple(images.shape), np.float32)).to(values.device)
    return torch.cat([images + sd * noise * (images > 0), values[:, n:]], 1)
