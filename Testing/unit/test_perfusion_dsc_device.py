import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.perfusion.dsc import perfusion_maps
from gliosuite.perfusion.dsc_device import choose_device
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


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu_is_numpy(name):
    assert choose_device(name).xp is np


def test_unknown_device_is_refused():
    with pytest.raises(InputError, match="device 'tpu' is not known; choose from auto, cpu, cuda"):
        choose_device("tpu")


def test_no_cuda_device_is_said():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(InputError, match="there is no CUDA device that torch can use; choose --device cpu or auto"):
        choose_device("cuda")


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
