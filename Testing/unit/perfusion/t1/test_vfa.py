import csv

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series, array, boolean
from gliosuite.perfusion.signal import spgr_signal
from gliosuite.perfusion.t1 import T1Settings, fit_vfa, t1_maps

ANGLES = [2.0, 5.0, 10.0, 15.0]


def signals(t1, m0, b1=1.0):
    return m0[:, None] * spgr_signal(1 / t1[:, None], 0.005, np.array(ANGLES) * np.reshape(b1, (-1, 1)))


def test_noise_free_t1_is_exact():
    t1 = np.geomspace(0.1, 6.0, 200)
    found, m0 = fit_vfa(signals(t1, np.full(200, 1000.0)), ANGLES, 0.005)
    np.testing.assert_allclose(found, t1, rtol=1e-5)
    np.testing.assert_allclose(m0, 1000, rtol=1e-5)


def test_b1_is_taken_into_account():
    t1, b1 = np.full(50, 1.2), np.linspace(0.7, 1.3, 50)
    found, _ = fit_vfa(signals(t1, np.full(50, 500.0), b1), ANGLES, 0.005, b1)
    np.testing.assert_allclose(found, 1.2, rtol=1e-5)


def test_it_is_the_least_squares_optimum():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(0)
    t1 = rng.uniform(0.3, 3, 40)
    noisy = signals(t1, np.full(40, 1000.0)) + rng.normal(0, 2, (40, 4))
    found, m0 = fit_vfa(noisy, ANGLES, 0.005)
    for row, t, m in zip(noisy, found, m0):
        model = lambda p, row=row: p[1] * spgr_signal(1 / p[0], 0.005, np.array(ANGLES)) - row
        best = least_squares(model, [1.0, 900.0], x_scale=[1, 1000]).cost
        assert 0.5 * np.sum(model((t, m)) ** 2) <= best * (1 + 1e-4)


def test_osipi_brain_set(data):
    with data("osipi-reference/t1_brain_data.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    values = np.array([row["s"].split() for row in rows], float)
    t1, _ = fit_vfa(values, rows[0]["FA"].split(), float(rows[0]["TR"].split()[0]))
    error = np.abs(1 / t1 - [float(row["R1"]) for row in rows])
    assert error.mean() <= 0.0063
    assert error.max() <= 0.110


def test_what_has_no_t1_is_nan():
    t1, m0 = fit_vfa(np.array([[0.0, 0, 0, 0], [np.nan, 1, 1, 1], [1, 2, 4, 8]]), ANGLES, 0.005)
    assert np.isnan(t1[:2]).all()
    assert np.isnan(m0[:2]).all()


def test_bad_angles_are_refused():
    with pytest.raises(InputError, match="two different ones are needed"):
        fit_vfa(np.ones((3, 2)), [5, 5], 0.005)
    with pytest.raises(InputError, match="4 signals and 3 flip angles"):
        fit_vfa(np.ones((3, 4)), [2, 5, 10], 0.005)


def test_maps_say_what_could_not_be_fitted():
    frames = np.ones((4, 2, 5, 5), np.float32)
    frames[:] = signals(np.array([1.1]), np.array([800.0]))[0][:, None, None, None]
    frames[:, 0, 0, 0] = [1, 2, 4, 8]  # rises faster than any T1 allows
    grid = Grid((5, 5, 2), (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    everywhere = grid.image(np.ones(grid.shape, bool))
    maps = t1_maps(Series(frames, grid, "vfa.nii.gz"), T1Settings(5.0, tuple(ANGLES)), mask=everywhere)
    assert maps.median_t1_s == pytest.approx(1.1, rel=1e-4)
    assert not boolean(maps.mask)[0, 0, 0]
    assert np.isnan(array(maps.t1)[0, 0, 0])
    assert "1 of 50 voxels have no T1" in maps.notes[0]
    with pytest.raises(InputError, match=r"vfa\.nii\.gz has 4 volumes and 3 flip angles"):
        t1_maps(Series(frames, grid, "vfa.nii.gz"), T1Settings(5.0, (2.0, 5.0, 10.0)), mask=everywhere)


def test_the_straight_line_is_exact_without_noise():
    t1 = np.geomspace(0.3, 4.0, 50)
    found, m0 = fit_vfa(signals(t1, np.full(50, 800.0)), ANGLES, 0.005, linear=True)
    np.testing.assert_allclose(found, t1, rtol=1e-5)
    np.testing.assert_allclose(m0, 800, rtol=1e-5)


def test_no_t1_of_a_fine_grid_fits_better():
    rng = np.random.default_rng(1)
    noisy = signals(rng.uniform(0.3, 4, 300), np.full(300, 1000.0)) + rng.normal(0, 15, (300, 4))
    t1, _ = fit_vfa(noisy, ANGLES, 0.005)
    grid = spgr_signal(1 / np.geomspace(0.02, 20, 3000)[:, None], 0.005, np.array(ANGLES))
    best = np.maximum(noisy @ (grid / np.linalg.norm(grid, axis=1, keepdims=True)).T, 0).max(axis=1)
    known = np.isfinite(t1)
    shape = spgr_signal(1 / t1[known].astype(float)[:, None], 0.005, np.array(ANGLES))
    own = (noisy[known] * shape).sum(1) / np.linalg.norm(shape, axis=1)
    assert known.mean() > 0.8
    assert (own >= best[known] * (1 - 1e-6)).all()


def test_noise_and_a_b1_map_leave_t1_at_the_optimum_to_five_digits():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(2)
    b1 = rng.uniform(0.7, 1.3, 60)
    noisy = (signals(rng.uniform(0.2, 4, 60), np.full(60, 1000.0), b1[:, None]) + rng.normal(0, 0.5, (60, 4))).astype(
        np.float32
    )
    noisy[7, 1] = np.nan
    found, _ = fit_vfa(noisy, ANGLES, 0.005, b1)
    for row, scale, t1 in zip(noisy.astype(float), b1, found):
        if not np.isfinite(row).all():
            assert np.isnan(t1)
            continue

        def left(v, row=row, scale=scale):
            shape = spgr_signal(np.exp(-v), 0.005, np.array(ANGLES) * scale)
            return np.sum((row - row @ shape / (shape @ shape) * shape) ** 2)

        best = minimize_scalar(left, np.log([t1 * 0.9, t1 * 1.1]), tol=1e-9)
        assert t1 == pytest.approx(np.exp(best.x), rel=1e-5)


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_and_kernels_agree(mapped):
    pytest.importorskip("numba")
    rng = np.random.default_rng(41)
    angles = (2, 5, 10, 15)
    relaxation = 1 / rng.uniform(0.4, 4, 3000)
    signals = 1000 * np.stack([spgr_signal(relaxation, 0.005, a) for a in angles], axis=1)
    signals += rng.normal(0, 2.0, signals.shape)
    signals[5, 1] = np.nan
    signals[6] = 0.0
    b1 = rng.uniform(0.8, 1.2, 3000) if mapped else 1.0
    (a, m_a), (b, m_b) = (fit_vfa(signals, angles, 0.005, b1, device=d) for d in ("cpu", "numpy"))
    assert np.isnan(a[5:7]).all()
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(m_a, m_b, rtol=1e-5)


def test_a_series_without_any_t1_is_refused():
    angles = (2.0, 5.0, 10.0, 15.0)
    grid = Grid((6, 5, 4), (1.0, 1.0, 1.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    frames = 100 * np.tile(np.sin(np.deg2rad(angles))[:, None, None, None], (1, *grid.shape))
    with pytest.raises(InputError, match="T1 could be fitted in no voxel"):
        t1_maps(Series(frames.astype(np.float32), grid), T1Settings(5.0, angles), mask=grid.image(np.ones(grid.shape)))
