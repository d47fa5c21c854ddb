"""What drove a prediction: Shapley values of each feature, by captum, in log odds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import require

_ORDERS = 200  # in which features are put in, sampled; chosen


@dataclass(frozen=True)
class Explained:
    """Shapley values of the rows of a table.

    Attributes
    ----------
    names
        k features.
    z
        (n, k) features in SD from the mean in training.
    values
        (n, k) log odds that each feature adds.
    base
        Log odds of the mean patient of training; base + the sum of a row's values is what the model says of the row.
    """

    names: tuple[str, ...]
    z: np.ndarray
    values: np.ndarray
    base: float

    @property
    def order(self) -> np.ndarray:
        """Features by their mean absolute value, largest first."""
        return np.argsort(-np.abs(self.values).mean(axis=0), kind="stable")

    def total(self) -> np.ndarray:
        """What the model says of each row, (n,)."""
        return self.base + self.values.sum(axis=1)


def explained(
    log_odds: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    names: tuple[str, ...],
    mean: np.ndarray,
    sd: np.ndarray,
    seed: int = 1,
) -> Explained:
    """Shapley values by sampled orders of the features, those that are not in yet being at the mean of training.

    Parameters
    ----------
    log_odds
        Of features (n, k).
    x
        (n, k), all known.

    Raises
    ------
    InputError
        If captum is missing.

    References
    ----------
    Štrumbelj E, Kononenko I, Knowl Inf Syst 2014;41:647; Lundberg SM, Lee SI, NIPS 2017.
    """
    require("captum.attr", "Shapley values", "captum")
    import torch
    from captum.attr import ShapleyValueSampling

    z = (x - mean) / sd
    ask = lambda t: torch.from_numpy(log_odds(t.numpy() * sd + mean))
    # The orders are drawn from torch's own random numbers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values = ShapleyValueSampling(ask).attribute(torch.from_numpy(z), n_samples=_ORDERS).numpy()
    return Explained(names, z, values, float(log_odds(mean[None])[0]))
