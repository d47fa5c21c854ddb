import numpy as np
import pytest
from gliosuite.images import Grid, Series, array
from gliosuite.perfusion.aif import Aif
from gliosuite.perfusion.dsc import DscSettings, dsc_maps, perfusion_maps
from gliosuite.perfusion.kinetics import convolve

DT = 1.5
TIMES = DT * np.arange(60)


def bolus():
    u = np.maximum(TIMES - 15, 0)
    return 60 * (u / 4.5) ** 3 * np.exp(3 - u / 1.5) + 4 / (1 + np.exp(-(TIMES - 30) / 3))


def voxels(n=600):
    rng = np.random.default_rng(0)
    rate = 60 / rng.uniform(2, 9, n)
    v = rate[:, None] * convolve(TIMES, bolus(), rate, rng.uniform(0, 2, n), TIMES)
    curves = rng.uniform(0.01, 0.06, (n, 1)) * (v - rng.uniform(-0.05, 0.05, (n, 1)) * np.cumsum(v, axis=1) * DT)
    curves += rng.normal(0, 0.03, curves.shape)
    curves[7] = np.nan
    return curves.astype(np.float32)


@pytest.mark.parametrize("where", ["torch-cpu", "cuda"])
@pytest.mark.parametrize(
    ("leakage", "deconvolution"),
    [("bsw", "osvd"), ("bidirectional", "csvd"), ("residue", "tikhonov"), ("auto", "ssvd"), ("none", "osvd")],
)
def test_torch_and_numpy_agree(where, leakage, deconvolution):
    torch = pytest.importorskip("torch")
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    reference = np.arange(600) % 5 == 0
    here, there = (
        perfusion_maps(voxels(), DT, bolus(), leakage, deconvolution, reference, device) for device in ("cpu", where)
    )
    for name in ("cbv", "cbf", "mtt_s", "tmax_s", "corrected", "k1", "k2", "k1_sd", "k2_sd", "kep"):
        a, b = getattr(here, name), getattr(there, name)
        if a is None:
            assert b is None
            continue
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.nanmedian(np.abs(a)), err_msg=name)


@pytest.mark.parametrize("where", ["torch-cpu", "cuda"])
def test_all_maps_of_a_series_agree(where):
    torch = pytest.importorskip("torch")
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    grid = Grid((20, 15, 2), (2.0, 2.0, 5.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    curves = np.nan_to_num(voxels())
    frames = np.ascontiguousarray((500 * np.exp(-0.03 * curves)).T.reshape(60, *grid.shape), np.float32)
    settings = DscSettings(te_ms=30.0, tr_ms=1500.0, flip_angle_deg=60.0, leakage="residue")
    mask, aif = grid.image(np.ones(grid.shape, bool)), Aif(TIMES, bolus(), "table", "csv")
    here, there = (
        dsc_maps(Series(frames, grid, "dsc"), TIMES, settings, aif, mask, device=device) for device in ("cpu", where)
    )
    assert set(here.maps) == set(there.maps)
    assert here.record["t1_effect"]["through_signal_equation"] > 10
    for name in here.maps:
        a, b = array(here.maps[name]), array(there.maps[name])
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.nanmedian(np.abs(a)), err_msg=name)
