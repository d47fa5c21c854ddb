"""Which deconvolution is taken, and what is said of it."""

import numpy as np
import pytest
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc.flow.choice import BY_MODEL, BY_OSVD, LEAST_VOXELS, aif_noise

DT = 1.5
FEW, MANY = 40, LEAST_VOXELS + 50


def test_auto_takes_the_vascular_model_where_it_can_be_learned(simulated, artery):
    curves, _, _, mtt = simulated(1.5, MANY, 0.1)
    auto = perfusion_maps(curves, DT, artery, "none", "auto")
    osvd = perfusion_maps(curves, DT, artery, "none")
    assert (auto.deconvolution == BY_MODEL).mean() > 0.99
    assert np.abs(np.median(auto.mtt_s / mtt) - 1) < 0.1 < np.abs(np.median(osvd.mtt_s / mtt) - 1)
    np.testing.assert_allclose(auto.mtt_s, 60 * auto.cbv / auto.cbf, rtol=1e-5)
    assert np.isfinite(auto.mtt_sd[auto.deconvolution == BY_MODEL]).all()
    assert "by the vascular model in" in auto.said[0]


def test_auto_takes_osvd_for_few_voxels_and_says_why(simulated, artery):
    curves = simulated(1.5, FEW, 0.1)[0]
    auto = perfusion_maps(curves, DT, artery, "none", "auto")
    osvd = perfusion_maps(curves, DT, artery, "none", "osvd")
    np.testing.assert_array_equal(auto.cbf, osvd.cbf)
    np.testing.assert_array_equal(auto.tmax_s, osvd.tmax_s)
    assert (auto.deconvolution == BY_OSVD).all()
    assert auto.mtt_sd is None
    assert f"{FEW} voxels are too few" in auto.said[0]


def test_auto_takes_osvd_with_a_noisy_aif_and_says_why(simulated, artery):
    curves = simulated(1.5, MANY, 0.1)[0]
    noisy = artery + np.random.default_rng(0).normal(0, 0.4, 60)
    auto = perfusion_maps(curves, DT, noisy, "none", "auto")
    assert (auto.deconvolution == BY_OSVD).all()
    assert "the AIF is too noisy" in auto.said[0]
    assert aif_noise(np.zeros(3), 1.0) == 0.0


def test_auto_takes_osvd_for_noisy_plug_flow_and_says_why(simulated, artery):
    curves = simulated(np.inf, 1200, 0.15)[0]
    found = perfusion_maps(curves, DT, artery, "none", "auto")
    assert found.cbf_sd is None
    assert (found.deconvolution == BY_OSVD).all()
    assert "since the curves look like plug flow and are too noisy" in found.said[0]
    assert perfusion_maps(simulated(1.4, 1200, 0.15)[0], DT, artery, "none", "auto").cbf_sd is not None


def test_auto_takes_osvd_where_the_model_misses_what_it_sees(simulated, artery):
    curves = simulated(1.5, MANY, 0.02)[0]
    late = 0.04 * np.roll(artery, 10)  # by 15 s: no delay of the model
    curves[:5] = late + np.random.default_rng(1).normal(0, 1e-3, (5, 60))
    curves[5] = np.nan
    auto = perfusion_maps(curves, DT, artery, "none", "auto")
    assert (auto.deconvolution[:5] == BY_OSVD).all()
    assert np.isnan(auto.cbf_sd[:5]).all()
    assert auto.deconvolution[5] == 0
    assert np.isnan(auto.cbf[5])


def test_the_vascular_model_can_be_asked_for(simulated, artery):
    curves = simulated(1.5, FEW, 0.05)[0]
    asked = perfusion_maps(curves, DT, artery, "none", "vascular")
    assert asked.deconvolution is None
    assert np.isfinite(asked.mtt_sd).all()
    assert (asked.mtt_sd > 0).all()


@pytest.mark.parametrize("method", ["vascular", "auto"])
def test_torch_and_numpy_agree(simulated, artery, method):
    pytest.importorskip("torch")
    curves = simulated(1.5, MANY, 0.08)[0]
    here, there = (perfusion_maps(curves, DT, artery, "none", method, device=device) for device in ("cpu", "torch-cpu"))
    for name in ("cbv", "cbf", "mtt_s", "tmax_s", "cbv_sd", "cbf_sd", "mtt_sd"):
        a, b = getattr(here, name), getattr(there, name)
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.nanmedian(np.abs(a)), err_msg=name)
