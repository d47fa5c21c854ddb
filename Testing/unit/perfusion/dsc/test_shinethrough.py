import numpy as np
import pytest
from gliosuite.compute import CPU
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.leakage.corrections import correct_residue
from gliosuite.perfusion.dsc.leakage.excitation import Excitation, first_order
from gliosuite.perfusion.dsc.leakage.shinethrough import correct_shine_through
from gliosuite.perfusion.dsc.leakage.vascular import vessels
from gliosuite.perfusion.kinetics import convolve, parker_aif
from gliosuite.perfusion.signal import spgr_signal

DT, FINE_S = 1.5, 0.05
TIMES = DT * np.arange(60)
FINE = np.arange(0.0, TIMES[-1] + FINE_S, FINE_S)
BLOOD = parker_aif(FINE, 18.0)
AIF = 7.6 * np.interp(TIMES, FINE, BLOOD)
SCAN = Excitation(0.03, 1.5, 60.0, 1.5)
TRUE = 100 * 45 * 0.05 / 7.6  # a blood volume of 5 %, on which agent acts by 45 where the artery's is 7.6


def leaky(ktrans, scan=SCAN, ratio=2.0, sd=0.0, repeats=1):
    """ΔR2* of voxels with MTT 5 s, delay 1 s, ve .3, whose leaked agent (extended Tofts) acts by the signal equation."""
    late = lambda curve: np.interp(TIMES - 1.0, FINE, curve, left=0.0)
    vessel = late(12.0 * convolve(FINE, BLOOD, 12.0)[0])
    held = np.stack([late(k * convolve(FINE, BLOOD / 0.58, k / 0.3)[0]) for k in ktrans])
    rate = 1 / np.reshape(scan.t10_s, (-1, 1))
    flip = scan.flip_angle_deg * np.reshape(scan.b1, (-1, 1))
    signal = spgr_signal(rate + 4.5 * held, scan.tr_s, flip) / spgr_signal(rate, scan.tr_s, flip)
    signal = signal * np.exp(-scan.te_s * (2.25 * vessel + ratio * 4.5 * held))
    signal = np.repeat(signal, repeats, axis=0)
    signal = signal + sd * np.random.default_rng(0).standard_normal(signal.shape)
    return -np.log(signal) / scan.te_s


@pytest.mark.parametrize("ktrans", [0.05, 0.1, 0.2, 0.4])
def test_blood_volume_is_right_where_the_first_order_term_is_not(ktrans):
    curves = leaky([ktrans])
    linear, exact = (perfusion_maps(curves, DT, AIF, "residue", scan=s) for s in (None, SCAN))
    assert exact.shine_through.all()
    assert linear.shine_through is None
    assert exact.cbv[0] == pytest.approx(TRUE, rel=0.03)
    assert exact.k1[0] == pytest.approx(TRUE / 100, rel=0.03)
    assert exact.kep[0] == pytest.approx(ktrans / 0.3, abs=0.06)
    assert linear.cbv[0] < 0.85 * TRUE


def test_it_holds_with_noise_and_the_sd_covers_it():
    for ktrans in (0.1, 0.2):
        fit = perfusion_maps(leaky([ktrans], sd=0.018, repeats=300), DT, AIF, "residue", scan=SCAN)
        assert fit.cbv.mean() == pytest.approx(TRUE, rel=0.08)
        assert fit.cbv.std() < 0.18 * TRUE
        assert np.mean(np.abs(fit.k1 - TRUE / 100) < 1.96 * fit.k1_sd) > 0.9


def test_maps_of_t1_and_flip_angle_are_used():
    true = Excitation(0.03, 1.5, 60.0, np.array([2.2, 1.5]), np.array([0.85, 1.0]))
    curves = leaky([0.15] * 2, true, sd=0.01, repeats=100)
    given = Excitation.measured(0.03, 1.5, 60.0, np.repeat([2.2, 0.0], 100), np.repeat([0.85, np.nan], 100))
    assert given.t10_s[-1] == 1.5  # where a map says nothing
    assert given.b1[-1] == 1.0
    # Of agent that leaks at .15 /min, as `correct_shine_through` says.
    expected = -(first_order(true) + 2.0) * 4.5 * 0.15 / 60 / 0.58 / 7.6
    right, wrong = (perfusion_maps(curves, DT, AIF, "residue", scan=s) for s in (given, SCAN))
    np.testing.assert_allclose(right.cbv.reshape(2, -1).mean(axis=1), TRUE, rtol=0.08)
    apart = [np.abs(f.k2.reshape(2, -1).mean(axis=1) / expected - 1) for f in (right, wrong)]
    assert apart[0][0] < 0.15
    assert apart[0][0] < apart[1][0]


def test_voxels_without_t1_effect_are_left_as_they_are():
    curves = leaky([0.0, 0.0], sd=0.01).astype(np.float32)
    curves = np.concatenate([curves, np.full((1, 60), np.nan, np.float32)])
    table = vessels(AIF, DT, True)
    linear = correct_residue(curves, DT, AIF, CPU, table)
    fit, replaced = correct_shine_through(curves, DT, AIF, linear, table, SCAN, CPU)
    assert not replaced.any()
    assert fit is linear


def test_the_order_and_the_number_of_voxels_change_nothing():
    curves = leaky([0.1, 0.2], sd=0.018, repeats=300)
    whole = perfusion_maps(curves, DT, AIF, "residue", scan=SCAN)
    again = perfusion_maps(curves, DT, AIF, "residue", scan=SCAN)
    np.testing.assert_array_equal(whole.corrected, again.corrected)


@pytest.mark.parametrize("where", ["torch-cpu", "cuda"])
def test_torch_and_numpy_agree(where):
    torch = pytest.importorskip("torch")
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    curves = leaky(np.linspace(0.05, 0.3, 60), sd=0.01).astype(np.float32)
    here, there = (perfusion_maps(curves, DT, AIF, "residue", device=d, scan=SCAN) for d in ("cpu", where))
    for name in ("cbv", "cbf", "k1", "k2", "k2_sd", "kep", "corrected"):
        a, b = getattr(here, name), getattr(there, name)
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.median(np.abs(a)), err_msg=name)
