import os
import subprocess
import sys

import pytest
from gliosuite.compute import compiled

pytest.importorskip("numba")


def test_folders_that_cannot_be_written_are_passed_over(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    monkeypatch.setattr(compiled, "user_cache", lambda: tmp_path / "caches")
    (tmp_path / "compiled.py").write_text("")
    assert compiled._cache_folder([], "1").parent == tmp_path / "__pycache__"
    compiled._cache_folder([], "1").rmdir()
    (tmp_path / "__pycache__").rmdir()
    # A file where the folder should be, since the tests may run as a user who can write everywhere.
    (tmp_path / "__pycache__").write_text("")
    assert compiled._cache_folder([], "1").parent == tmp_path / "caches"
    compiled._cache_folder([], "1").rmdir()
    (tmp_path / "caches").rmdir()
    (tmp_path / "caches").write_text("")
    assert compiled._cache_folder([], "1") is None


def test_the_folder_changes_with_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    (tmp_path / "compiled.py").write_text("")
    source = tmp_path / "kernels.py"
    names = []
    for text in ("a", "b"):
        source.write_text(text)
        names.append(compiled._cache_folder([str(source)], "1").name)
    assert names[0] != names[1]


def test_kernels_run_where_nothing_can_be_kept():
    words = (
        "from gliosuite.compute import compiled\n"
        "compiled._cache_folder = lambda *a: None\n"
        "import numpy as np\n"
        "from gliosuite.perfusion.t1 import fit_vfa\n"
        "from gliosuite.perfusion.signal import spgr_signal\n"
        "s = np.repeat(np.stack([spgr_signal(1 / 1.2, 0.005, a) for a in (2, 5, 12)])[None], 1000, 0)\n"
        "assert abs(fit_vfa(s, (2, 5, 12), 0.005)[0] - 1.2).max() < 1e-5\n"
        "import sys; assert 'numba' in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", words], check=True, env=environment)


_WORK = """
import hashlib, sys
from pathlib import Path
import numpy as np
from gliosuite.compute import compiled
from gliosuite.perfusion.kinetics import parker_aif
from gliosuite.perfusion.fit.curvefit import fit_curves
from gliosuite.perfusion.signal import spgr_signal
from gliosuite.perfusion.t1 import fit_vfa
from gliosuite.registration.motion.splines import spline_at

home = Path(sys.argv[1])
compiled._cache_folder = lambda *a: home
rng = np.random.default_rng(5)
found = []
t = np.arange(60) * 4.0
aif = parker_aif(t, 20.0)
curves = np.cumsum(aif) * 4.0 / 60 * rng.uniform(0.0, 0.2, (1200, 1)) + aif * rng.uniform(0.0, 0.1, (1200, 1))
curves = curves + rng.normal(0, 0.02, curves.shape)
for model, delay in (("etm", True), ("etm", False), ("tofts", False), ("2cxm", False)):
    fit = fit_curves(curves, t, aif, model, delay=delay)
    found += [fit.sse, *fit.values.values(), *fit.sd.values()]
signals = np.stack([spgr_signal(1 / 1.2, 0.005, a) for a in (2, 5, 12)]) + rng.normal(0, 1e-3, (1000, 3))
found += fit_vfa(signals, (2, 5, 12), 0.005)
image = rng.normal(size=(20, 20, 20)).astype(np.float32)
found += spline_at(image, rng.uniform(0, 19, (5000, 3)), np.eye(3), np.zeros(3))
assert "numba" in sys.modules
print(hashlib.sha256(b"".join(np.ascontiguousarray(f).tobytes() for f in found)).hexdigest())
"""


def test_a_process_that_compiles_gives_the_same_as_one_that_reads_what_was_compiled(tmp_path):
    """To the last digit. Otherwise a run by two processes could differ from a run by one, the first time after an installation."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    results = [
        subprocess.run(
            [sys.executable, "-c", _WORK, str(tmp_path)], check=True, env=environment, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert len(results[0]) == 65
    assert results[0] == results[1]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_system_has_a_place_for_caches(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert compiled.user_cache().name == "gliosuite"
