import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion.t1.hifi import Shot, fit_hifi

SHOTS = [
    Shot(5.0, 0.0054, 0.168, 160),
    Shot(5.0, 0.0054, 1.068, 160),
    Shot(2.0, 0.0054),
    Shot(5.0, 0.0054),
    Shot(12.0, 0.0054),
]


def test_published_voxel():
    # Tube phantom at 3 T; T1 1.0218 s, M0 11856 and scale 1.1379 are its source's (SEPAL, University of Edinburgh) own figures.
    t1, m0, scale = fit_hifi(np.array([[249.0, 585, 413, 604, 445]]), SHOTS)
    assert t1[0] == pytest.approx(1.0218, rel=2e-3)
    assert m0[0] == pytest.approx(11856, rel=2e-3)
    assert scale[0] == pytest.approx(1.1379, rel=2e-3)


def test_noise_free_signals_give_the_truth():
    rng = np.random.default_rng(0)
    t1, scale, m0 = rng.uniform(0.3, 4, 300), rng.uniform(0.7, 1.3, 300), rng.uniform(500, 5000, 300)
    signals = m0[:, None] * np.stack([s.signal(t1, scale) for s in SHOTS], axis=1)
    found = fit_hifi(signals, SHOTS)
    for value, truth in zip(found, (t1, m0, scale)):
        np.testing.assert_allclose(value, truth, rtol=1e-4)


def test_an_inversion_is_needed_and_nothing_gives_nothing():
    with pytest.raises(InputError, match="one of them after an inversion"):
        fit_hifi(np.ones((1, 3)), SHOTS[2:])
    with pytest.raises(InputError, match="4 signals and 5 descriptions"):
        fit_hifi(np.ones((1, 4)), SHOTS)
    assert all(np.isnan(v).all() for v in fit_hifi(np.array([[0.0] * 5, [np.nan] * 5]), SHOTS))
