"""k-means and silhouette beside scikit-learn's."""

import numpy as np
import pytest
from gliosuite.recurrence.habitats.clusters import kmeans, nearest, silhouette


def clouds(seed=0, n=400):
    rng = np.random.default_rng(seed)
    middle = np.array([[0, 0], [4, 0], [0, 5], [6, 6.0]])
    return np.concatenate([m + rng.standard_normal((n, 2)) for m in middle])


def test_the_spread_within_clusters_is_as_small_as_scikit_learns():
    cluster = pytest.importorskip("sklearn.cluster")
    x = clouds()
    centres = kmeans(x, 4, 1)
    ours = ((x - centres[nearest(x, centres)]) ** 2).sum()
    assert ours <= 1.0001 * cluster.KMeans(4, n_init=20, random_state=0).fit(x).inertia_


def test_seeds_agree():
    metrics = pytest.importorskip("sklearn.metrics")
    x = clouds(3)
    first, second = (nearest(x, kmeans(x, 4, seed)) for seed in (1, 2))
    assert metrics.adjusted_rand_score(first, second) > 0.99
    np.testing.assert_array_equal(kmeans(x, 4, 1), kmeans(x, 4, 1))


def test_the_silhouette_is_scikit_learns_and_finds_their_number():
    metrics = pytest.importorskip("sklearn.metrics")
    x = clouds(5, 200)
    found = {k: silhouette(x, nearest(x, kmeans(x, k, 1)), 1) for k in range(2, 7)}
    assert max(found, key=found.get) == 4
    assert found[4] == pytest.approx(metrics.silhouette_score(x, nearest(x, kmeans(x, 4, 1))), abs=1e-9)
