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


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_system_has_a_place_for_caches(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert compiled.user_cache().name == "gliosuite"
