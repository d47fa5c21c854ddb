import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from gliosuite.compute import back, choose_device, each, forget_peak, peak_gib, product, product_rows
from gliosuite.compute.threads import thread_count
from gliosuite.errors import InputError
from gliosuite.perfusion import kinetics
from gliosuite.perfusion.fit import fit_curves
from gliosuite.perfusion.t1 import fit_vfa
from gliosuite.steps import silent

TIMES = 5.0 * np.arange(60)
AIF = kinetics.parker_aif(TIMES, 25.0) / 0.58


def curves(n, sigma=0.02):
    rng = np.random.default_rng(0)
    clean = kinetics.extended_tofts(
        TIMES, AIF, rng.uniform(0, 0.3, n), rng.uniform(0.05, 0.6, n), rng.uniform(0.02, 0.1, n)
    )
    return clean + rng.normal(0, sigma, clean.shape)


@pytest.mark.parametrize("n", [1, 7, 500, 5000])
def test_products_in_blocks_are_products(n):
    rng = np.random.default_rng(n)
    matrix, columns = rng.normal(size=(20, 60)), rng.normal(size=(60, n))
    np.testing.assert_allclose(product(matrix, columns), matrix @ columns, rtol=1e-12, atol=1e-12)
    rows = np.ascontiguousarray(columns.T)
    np.testing.assert_allclose(product(matrix, rows.T), matrix @ columns, rtol=1e-12, atol=1e-12)
    wide = np.ascontiguousarray(matrix.T)
    np.testing.assert_allclose(product_rows(columns, wide), columns.T @ wide, rtol=1e-12, atol=1e-12)


def test_tasks_keep_their_order_and_errors_come_through():
    assert each(lambda i: i * i, list(range(20)), silent, "", threads=3) == [i * i for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        each(lambda i: 1 // i, [1, 0, 1], silent, "", threads=2)


def test_threads_are_as_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert thread_count() >= 1


def test_a_missing_cuda_device_is_said():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="no CUDA device is seen by torch; use --device cpu or auto"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu_is_numpy(name):
    assert choose_device(name).xp is np


def test_unknown_device_is_refused():
    with pytest.raises(InputError, match="device 'tpu' is not known; choose from auto, cpu, cuda"):
        choose_device("tpu")


@pytest.fixture(params=["torch-cpu", "cuda"])
def device(request):
    torch = pytest.importorskip("torch")
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def test_arrays_go_there_and_back(device):
    there, values = choose_device(device), np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(back(there.put(values)), values)
    assert back(there.put(there.put(values), "int64")).dtype == np.int64


@pytest.mark.parametrize(
    ("model", "delay"),
    [
        ("tofts", False),
        ("etm", False),
        ("etm", True),
        ("patlak", True),
        ("2cum", False),
        ("2cxm", False),
        ("auto", False),
    ],
)
def test_numpy_and_torch_agree_on_every_map(device, model, delay):
    noisy = curves(400, 0.002 if model.startswith("2c") else 0.02)
    noisy[3, 5] = np.nan
    a, b = (fit_curves(noisy, TIMES, AIF, model, delay, device=d) for d in ("cpu", device))
    assert np.isnan(b.sse[3])
    # Flow that the data cannot tell is the end of a path, not an optimum.
    told = np.isfinite(a.sse) if "fp" not in a.values else a.sd["fp"] < 0.1 * a.values["fp"]
    np.testing.assert_allclose(b.sse[told], a.sse[told], rtol=1e-4)
    np.testing.assert_array_equal(b.misfit[told], a.misfit[told])
    for name in a.values:
        scale = np.nanmedian(np.abs(a.values[name]))
        np.testing.assert_allclose(
            b.values[name][told], a.values[name][told], rtol=1e-4, atol=1e-4 * scale, err_msg=name
        )
        if name in a.sd:
            np.testing.assert_allclose(
                b.sd[name][told], a.sd[name][told], rtol=1e-4, atol=1e-6, err_msg=f"SD of {name}"
            )


def test_numpy_and_torch_agree_on_t1(device):
    rng = np.random.default_rng(1)
    signals = rng.uniform(50, 500, (300, 4))
    for b1 in (1.0, rng.uniform(0.8, 1.2, 300)):
        for a, b in zip(*(fit_vfa(signals, [2, 5, 10, 15], 0.005, b1, d) for d in ("cpu", device))):
            np.testing.assert_allclose(b, a, rtol=1e-4)


@pytest.mark.skipif(
    peak_gib() is None or not os.access("/proc/self/clear_refs", os.W_OK),
    reason="this system does not say how much memory was held",
)
def test_the_peak_of_memory_is_counted_from_where_it_was_forgotten():
    forget_peak()
    before = peak_gib()
    held = np.ones(2**26)  # half a GiB
    assert peak_gib() >= before + 0.45
    del held
    forget_peak()
    assert peak_gib() < before + 0.45


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept and released with glibc alone")
def test_memory_that_was_kept_is_released():
    words = (
        "import re, numpy as np\n"
        "from pathlib import Path\n"
        "from gliosuite.compute import keep_memory, release_memory\n"
        "held_mib = lambda: int(re.search(r'VmRSS: +(\\d+)', Path('/proc/self/status').read_text().replace('\\t', ' '))[1]) / 1024\n"
        "keep_memory()\n"
        "arrays = [np.ones(2**19) for _ in range(100)]\n"
        "last = np.ones(2**16)\n"
        "del arrays\n"
        "before = held_mib()\n"
        "release_memory()\n"
        "print(before - held_mib())\n"
    )
    here = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", words], check=True, capture_output=True, text=True, env=here)
    assert float(done.stdout) > 300  # of 400 MiB
