"""Recursive feature elimination by the weights of a linear SVM."""

import numpy as np

from ...errors import require

_SHARE = 0.1  # of the features that are left, dropped at each step
_ONE_BY_ONE = 2  # times as many as wanted: from there on one at a time
COST = 0.001  # of the SVM; chosen on tables of development (Docs/validation/patterns.md)


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, p) less their mean and over their SD (n in the denominator), with both; a constant one becomes 0."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 1e-12 * np.maximum(np.abs(mean), 1e-300), sd, 1.0)
    return (x - mean) / sd, mean, sd


def eliminate(z: np.ndarray, y: np.ndarray, keep: int) -> np.ndarray:
    """Indices of the features that are left when those of the smallest weights are dropped again and again.

    Parameters
    ----------
    z
        (n, p) standardised features.
    y
        (n,) classes, boolean.
    keep
        How many are left; all, where there are no more.

    References
    ----------
    Guyon I et al., Mach Learn 2002;46:389.
    """
    require("sklearn", "choosing features", "scikit-learn")
    from sklearn.svm import SVC

    alive = np.arange(z.shape[1])
    while alive.size > keep:
        weights = np.abs(SVC(kernel="linear", C=COST).fit(z[:, alive], y).coef_[0])
        many = alive.size > _ONE_BY_ONE * keep
        dropped = max(min(int(_SHARE * alive.size), alive.size - _ONE_BY_ONE * keep), 1) if many else 1
        alive = np.sort(alive[np.argsort(weights, kind="stable")[dropped:]])
    return alive
