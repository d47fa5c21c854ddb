"""k-means and the silhouette; both deterministic."""

import numpy as np

_SAMPLE = 20000  # points at most that starts are tried on
_STARTS, _ROUNDS = 12, 100
_SILHOUETTE = 5000  # points at most of a silhouette


def kmeans(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Centres (k, d) of points (n, d), by the spread of their first coordinate: the best of 12 starts (k-means++), then all points.

    References
    ----------
    Lloyd SP, IEEE Trans Inf Theory 1982;28:129; Arthur D, Vassilvitskii S, SODA 2007:1027.
    """
    rng = np.random.default_rng([seed, k])
    x = np.asarray(points, np.float64)
    sample = x if len(x) <= _SAMPLE else x[rng.choice(len(x), _SAMPLE, replace=False)]
    best, least = x[:1], np.inf
    for _ in range(_STARTS):
        centres, cost = _lloyd(sample, _spread(sample, k, rng))
        if cost < least:
            best, least = centres, cost
    centres, _ = _lloyd(x, best)
    return centres[np.argsort(centres[:, 0], kind="stable")].astype(np.float32)


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index (n,) of the centre that is nearest to each point."""
    return _squared(np.asarray(points, np.float64), np.asarray(centres, np.float64)).argmin(axis=1)


def silhouette(points: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Mean silhouette of points (n, d) in clusters (n,), of 5000 points at most.

    References
    ----------
    Rousseeuw PJ, J Comput Appl Math 1987;20:53.
    """
    x, of = np.asarray(points, np.float64), np.asarray(labels)
    if len(x) > _SILHOUETTE:
        rows = np.random.default_rng(seed).choice(len(x), _SILHOUETTE, replace=False)
        x, of = x[rows], of[rows]
    names, index = np.unique(of, return_inverse=True)
    if names.size < 2:
        return 0.0
    member = np.eye(names.size)[index]
    count = member.sum(axis=0)
    total = np.concatenate(
        [np.sqrt(_squared(part, x)) @ member for part in np.array_split(x, 1 + len(x) * len(x) // 4_000_000)]
    )
    own = np.arange(len(x)), index
    within = total[own] / np.maximum(count[index] - 1, 1)
    others = total / count
    others[own] = np.inf
    other = others.min(axis=1)
    width = (other - within) / np.maximum(np.maximum(within, other), 1e-12)
    return float(np.where(count[index] > 1, width, 0.0).mean())


def _squared(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    product = x @ centres.T
    return np.maximum((x**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * product, 0)


def _spread(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Points far from each other, drawn by their squared distance from those that are there."""
    chosen = [x[rng.integers(len(x))]]
    for _ in range(k - 1):
        away = _squared(x, np.array(chosen)).min(axis=1)
        share = away / away.sum() if away.sum() > 0 else None
        chosen.append(x[rng.choice(len(x), p=share)])
    return np.array(chosen)


def _lloyd(x: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    cost = np.inf
    for _ in range(_ROUNDS):
        squared = _squared(x, centres)
        label = squared.argmin(axis=1)
        now = float(squared[np.arange(len(x)), label].sum())
        count = np.bincount(label, minlength=len(centres))
        sums = np.stack([np.bincount(label, x[:, d], len(centres)) for d in range(x.shape[1])], axis=1)
        centres = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], centres)
        if now > cost * (1 - 1e-9):
            break
        cost = now
    return centres, cost
