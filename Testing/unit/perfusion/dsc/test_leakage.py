import numpy as np
import pytest
from gliosuite.perfusion.dsc.leakage.corrections import (
    correct_bidirectional,
    correct_bsw,
    correct_residue,
    reference_voxels,
)

DT = 1.5
TIMES = DT * np.arange(60)
FINE = np.arange(0.0, 90.0, 0.05)


def gamma(t0, alpha, beta):
    u = np.maximum(FINE - t0, 0)
    return u**alpha * np.exp(-u / beta) / (alpha * beta) ** alpha * np.exp(alpha)


FINE_AIF = 60 * (gamma(15, 3, 1.5) + 0.15 * gamma(27, 3, 4) + 0.06 / (1 + np.exp(-(FINE - 30) / 3)))
AIF = np.interp(TIMES, FINE, FINE_AIF)
SAMPLE = lambda curve: np.interp(TIMES, FINE, curve)


def vessel(kind, mtt, delay=0.0):
    """Vascular curve of a voxel with a blood volume of 2 %: the AIF through an exponential or box of area 1."""
    u = np.arange(0, 60, 0.05)
    shape = np.exp(-u / mtt) if kind == "exponential" else (u < mtt) * 1.0
    curve = 0.02 * np.convolve(FINE_AIF, shape / shape.sum())[: FINE.size]
    return np.interp(FINE - delay, FINE, curve, left=0)


def voxels(kind, delay, k2s=(0.0, 0.02, -0.02, 0.05, -0.05), mtts=(4.0, 6.0)):
    rows, volumes, leaks = [], [], []
    for k1 in (0.5, 1.0, 2.0, 4.0):
        for mtt in mtts:
            v = vessel(kind, mtt, delay)
            for k2 in k2s:
                for kep in (0.0, 0.005):
                    out = np.convolve(v, np.exp(-kep * FINE))[: FINE.size] * 0.05
                    rows.append(SAMPLE(k1 * v - k2 * out))
                    volumes.append(k1)
                    leaks.append(k2)
    return np.array(rows), np.array(volumes), np.array(leaks)


@pytest.mark.parametrize("kind", ["exponential", "box"])
def test_without_leakage_and_with_matched_transit_bsw_changes_nothing(kind):
    reference = SAMPLE(vessel(kind, 4.0))
    curves, volumes, _ = voxels(kind, 0.0, k2s=(0.0,), mtts=(4.0,))
    fit = correct_bsw(curves, DT, reference)
    np.testing.assert_allclose(fit.corrected.sum(1) / reference.sum(), volumes, rtol=0.01)
    np.testing.assert_allclose(fit.k1, volumes, rtol=0.01)


@pytest.mark.parametrize("correct", [correct_bsw, correct_bidirectional])
def test_leakage_with_matched_transit_is_taken_out(correct):
    reference = SAMPLE(vessel("exponential", 4.0))
    curves, volumes, leaks = voxels("exponential", 0.0, mtts=(4.0,))
    fit = correct(curves, DT, reference)
    error = np.abs(fit.corrected.sum(1) / reference.sum() / volumes - 1)
    assert error.mean() <= 0.04
    raw = np.abs(curves.sum(1) / reference.sum() / volumes - 1)
    assert raw.mean() > 0.5
    some = leaks != 0
    assert (np.sign(fit.k2[some]) == np.sign(leaks[some])).all()


@pytest.mark.parametrize("kind", ["exponential", "box"])
@pytest.mark.parametrize("delay", [0.0, 1.5])
@pytest.mark.parametrize(("cnr", "bar"), [(50, 0.035), (20, 0.06)])
def test_residue_correction_holds_over_transit_times_delays_and_shapes(kind, delay, cnr, bar):
    reference = SAMPLE(vessel(kind, 4.0))
    curves, volumes, leaks = (np.repeat(a, 8, axis=0) for a in voxels(kind, delay))
    curves = curves + np.random.default_rng(0).normal(0, reference.max() / cnr, curves.shape)
    fit = correct_residue(curves, DT, AIF)
    error = np.abs(fit.corrected.sum(1) / reference.sum() / volumes - 1)
    assert error.mean() <= bar
    strong = np.abs(leaks) >= 0.02
    assert np.mean(np.sign(fit.k2[strong]) == np.sign(leaks[strong])) >= 0.99


def test_standard_deviation_of_k2_covers():
    rng = np.random.default_rng(1)
    reference = SAMPLE(vessel("exponential", 4.0))
    curves = np.tile(reference, (2000, 1)) + rng.normal(0, reference.max() / 30, (2000, 60))
    fit = correct_bsw(curves, DT, reference)
    assert 0.93 <= np.mean(np.abs(fit.k2) < 1.96 * fit.k2_sd) <= 0.97


def test_reference_leaves_enhancing_voxels_out():
    rng = np.random.default_rng(2)
    # No recirculation, so that a voxel without leakage returns to its baseline.
    v = 3 * np.interp(TIMES, FINE, gamma(15, 3, 1.5))
    leak = np.cumsum(v) * 0.01
    curves = np.concatenate([np.tile(v, (200, 1)), np.tile(v - 3 * leak, (100, 1)), np.zeros((100, 60))])
    curves += rng.normal(0, 0.05, curves.shape)
    chosen = reference_voxels(curves, 10)
    assert chosen[:200].mean() > 0.9
    assert chosen[200:].mean() < 0.02


def test_not_finite_curves_stay_nan():
    curves = np.tile(SAMPLE(vessel("exponential", 4.0)), (3, 1))
    curves[1, 5] = np.nan
    fit = correct_bsw(curves, DT, curves[0])
    assert np.isnan(fit.k1[1])
    assert np.isfinite(fit.k1[[0, 2]]).all()
