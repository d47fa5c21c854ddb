"""Stated distributions: what is drawn from one can be tested against it, and the docs print it."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri


@dataclass(frozen=True)
class Uniform:
    """Uniform between two bounds."""

    low: float
    high: float

    @property
    def mean_log(self) -> float:
        """Expectation of the natural logarithm."""
        return float((self.high * np.log(self.high) - self.low * np.log(self.low)) / (self.high - self.low) - 1)

    def draw(self, rng: np.random.Generator) -> float:
        """One number."""
        return float(rng.uniform(self.low, self.high))

    def cdf(self, x: np.ndarray | float) -> np.ndarray:
        """Share below `x`."""
        return np.clip((np.asarray(x, float) - self.low) / (self.high - self.low), 0, 1)

    def __str__(self) -> str:
        return f"uniform {self.low:g}-{self.high:g}"


@dataclass(frozen=True)
class LogNormal:
    """Log-normal by median and SD of the logarithm, cut (not clipped: no heaps at the ends) to ``low``-``high``."""

    median: float
    sigma: float
    low: float
    high: float

    def _ends(self, low: float | None, high: float | None) -> tuple[float, float]:
        ends = (self.low if low is None else low, self.high if high is None else high)
        a, b = (ndtr(np.log(x / self.median) / self.sigma) for x in ends)
        return float(a), float(b)

    def draw(self, rng: np.random.Generator, high: float | None = None) -> float:
        """One number; `high` lowers the upper end for this draw."""
        a, b = self._ends(None, high)
        u = a + (b - a) * rng.random()
        return float(self.median * np.exp(self.sigma * ndtri(u)))

    def cdf(self, x: np.ndarray | float, high: float | None = None) -> np.ndarray:
        """Share below `x`, of the draws with this upper end."""
        a, b = self._ends(None, high)
        below = ndtr(np.log(np.maximum(np.asarray(x, float), 1e-9) / self.median) / self.sigma)
        return np.clip((below - a) / (b - a), 0, 1)

    def __str__(self) -> str:
        return f"log-normal, median {self.median:g}, log-SD {self.sigma:g}, in {self.low:g}-{self.high:g}"


@dataclass(frozen=True)
class Shares:
    """One of several names, each with its weight."""

    weights: tuple[tuple[str, float], ...]

    def draw(self, rng: np.random.Generator) -> str:
        """One name."""
        total = sum(w for _, w in self.weights)
        return str(rng.choice([n for n, _ in self.weights], p=[w / total for _, w in self.weights]))

    def __str__(self) -> str:
        total = sum(w for _, w in self.weights)
        return ", ".join(f"{name} {100 * w / total:.0f} %" for name, w in self.weights)


@dataclass(frozen=True)
class Hazard:
    """Proportional hazards on a Weibull baseline: ``S(t | x) = exp(-((t - start) / scale)^shape * exp(sum b_i x_i))``.

    Parameters
    ----------
    median
        Median time in days where all covariates are 0.
    shape
        Weibull shape; above 1 the hazard rises with time.
    start
        Days before which nothing happens.
    effects
        Log hazard ratio of each covariate.
    """

    median: float
    shape: float
    start: float
    effects: tuple[tuple[str, float], ...]

    @property
    def scale(self) -> float:
        """Weibull scale in days."""
        return (self.median - self.start) / np.log(2) ** (1 / self.shape)

    def log_ratio(self, x: dict[str, float]) -> float:
        """Log hazard ratio of a patient."""
        return float(sum(b * x[name] for name, b in self.effects))

    def draw(self, rng: np.random.Generator, x: dict[str, float]) -> float:
        """A time in days, by inversion of S."""
        return self.start + self.scale * float((rng.exponential() / np.exp(self.log_ratio(x))) ** (1 / self.shape))

    def cdf(self, days: np.ndarray | float, x: dict[str, float]) -> np.ndarray:
        """Share of patients with these covariates whose event comes before `days`."""
        u = np.maximum(np.asarray(days, float) - self.start, 0) / self.scale
        return 1 - np.exp(-(u**self.shape) * np.exp(self.log_ratio(x)))

    def __str__(self) -> str:
        ratios = ", ".join(f"{name} {np.exp(b):.2f}" for name, b in self.effects)
        return f"Weibull, median {self.median:g} d after {self.start:g} d, shape {self.shape:g}; hazard ratios {ratios}"
