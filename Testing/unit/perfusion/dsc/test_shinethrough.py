import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.leakage import correct_residue
from gliosuite.perfusion.dsc.shinethrough import Excitation, correct_shine_through, first_order, shine_through
from gliosuite.perfusion.dsc.vascular import vessels
from gliosuite.perfusion.kinetics import convolve
from gliosuite.perfusion.signal import spgr_signal

DT = 1.5
TIMES = DT * np.arange(60)
SCAN = Excitation(0.03, 1.5, 60.0, 1.5)


def bolus():
    u = np.maximum(TIMES - 15, 0)
    return 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5) + 6 / (1 + np.exp(-(TIMES - 30) / 3))


def leaky(amounts, ratio=1.0, kep=0.3):
    """ΔR2* of voxels with a blood volume of 5 %, MTT 5 s, delay 1 s, whose leaked agent adds up to `amounts` to R1; own signal equation."""
    vessel = 12.0 * convolve(TIMES, bolus(), 12.0, 1.0, TIMES)[0]
    leak = 60.0 * convolve(TIMES, vessel, kep)[0] / (DT * bolus().sum())
    change = np.outer(amounts, leak)
    signal = spgr_signal(1 / SCAN.t10_s + change, SCAN.tr_s, SCAN.flip_angle_deg)
    signal /= spgr_signal(1 / SCAN.t10_s, SCAN.tr_s, SCAN.flip_angle_deg)
    return 0.05 * vessel - np.log(signal) / SCAN.te_s + ratio * change


def test_the_effect_is_that_of_the_signal_equation_and_saturates():
    rate = np.array([0.0, 0.1, 1.0, 10.0])
    s = spgr_signal(1 / 1.5 + rate, 1.5, 60.0) / spgr_signal(1 / 1.5, 1.5, 60.0)
    np.testing.assert_allclose(shine_through(rate, SCAN), -np.log(s) / 0.03, atol=1e-12)
    assert shine_through(np.array([1e-6]), SCAN)[0] / 1e-6 == pytest.approx(first_order(SCAN), rel=1e-4)
    assert abs(shine_through(np.array([3.0]), SCAN)[0]) < 0.7 * 3.0 * abs(first_order(SCAN))


@pytest.mark.parametrize(("amount", "tolerance"), [(0.3, 0.06), (1.0, 0.06), (1.5, 0.12)])
def test_blood_volume_is_right_where_the_first_order_term_is_not(amount, tolerance):
    curves = leaky([amount])
    linear, exact = (perfusion_maps(curves, DT, bolus(), "residue", scan=s) for s in (None, SCAN))
    assert exact.cbv[0] == pytest.approx(5.0, rel=tolerance)
    assert exact.k1[0] == pytest.approx(0.05, rel=tolerance)
    assert exact.shine_through.all()
    assert linear.shine_through is None
    assert exact.k2[0] > 0
    assert exact.k2_sd[0] > 0
    if amount >= 1:
        assert linear.cbv[0] < 3.5


def test_it_holds_with_noise_and_another_ratio():
    rng = np.random.default_rng(0)
    for ratio in (0.5, 2.0):
        curves = np.repeat(leaky([1.0], ratio), 200, axis=0) + rng.normal(0, 0.1, (200, 60))
        linear, exact = (perfusion_maps(curves, DT, bolus(), "residue", scan=s).cbv.mean() for s in (None, SCAN))
        assert abs(exact / 5.0 - 1) < 0.6 * abs(linear / 5.0 - 1)


def test_voxels_without_t1_effect_are_left_as_they_are():
    rng = np.random.default_rng(1)
    vessel = 12.0 * convolve(TIMES, bolus(), 12.0, 1.0, TIMES)[0]
    leak = 60.0 * convolve(TIMES, vessel, 0.0)[0]
    curves = 0.05 * vessel + np.outer([0.0, 0.001], leak) + rng.normal(0, 0.05, (2, 60))
    curves = np.concatenate([curves, np.full((1, 60), np.nan)]).astype(np.float32)
    device, table = CPU, vessels(bolus(), DT, True)
    linear = correct_residue(curves, DT, bolus(), device, table)
    fit, replaced = correct_shine_through(curves, DT, bolus(), linear, table, SCAN, device)
    assert not replaced.any()
    assert fit is linear


@pytest.mark.parametrize("where", ["torch-cpu", "cuda"])
def test_torch_and_numpy_agree(where):
    torch = pytest.importorskip("torch")
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rng = np.random.default_rng(2)
    curves = (leaky(rng.uniform(0.2, 5, 60)) + rng.normal(0, 0.1, (60, 60))).astype(np.float32)
    here, there = (perfusion_maps(curves, DT, bolus(), "residue", device=d, scan=SCAN) for d in ("cpu", where))
    for name in ("cbv", "cbf", "k1", "k2", "k2_sd", "kep", "corrected"):
        a, b = getattr(here, name), getattr(there, name)
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.median(np.abs(a)), err_msg=name)
