"""A disk that is full and a folder that may not be written: exit code 2, one sentence, nothing left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.images import Grid, Series, write_image, write_series

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file size limits and permissions as on Unix")
GRID = Grid((40, 40, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.fixture
def series(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    bolus = 1 + np.concatenate([np.zeros(8), np.exp(-np.arange(22) / 8.0)])
    frames = (100 * bolus[:, None, None, None] * rng.uniform(0.9, 1.1, GRID.shape)).astype(np.float32)
    write_series(Series(frames + rng.uniform(0, 1, frames.shape).astype(np.float32), GRID), tmp_path / "dce.nii.gz")
    return tmp_path / "dce.nii.gz"


def command(series: Path, out: Path) -> list[str]:
    options = ["--dt", "5", "--tr-ms", "3.5", "--flip-angle", "10", "--aif", "parker", "--quiet"]
    return ["dce", str(series), *options, "--out", str(out)]


def with_little_space(arguments: list[str], limit: int) -> subprocess.CompletedProcess:
    """Run a command that can write no file larger than `limit` bytes, which fails as on a full disk."""
    import resource

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    library = Path(__file__).parents[2] / "GlioCore"
    call = [sys.executable, "-m", "gliosuite", *arguments]
    return subprocess.run(call, capture_output=True, text=True, preexec_fn=little, cwd=library)


def test_a_full_disk_is_said_and_nothing_is_left(series, tmp_path):
    done = with_little_space(command(series, tmp_path / "out"), 20_000)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "no space left" in last or "could not be written whole" in last
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dce.nii.gz"]


def test_earlier_results_survive_a_full_disk(series, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_image(sitk.Image(4, 4, 4, sitk.sitkFloat32), out / "ktrans.nii.gz")
    before = (out / "ktrans.nii.gz").read_bytes()
    assert with_little_space(command(series, out), 20_000).returncode == 2
    assert [p.name for p in out.iterdir()] == ["ktrans.nii.gz"]
    assert (out / "ktrans.nii.gz").read_bytes() == before


def test_a_folder_that_may_not_be_written_is_said(series, tmp_path, gliosuite):
    if os.geteuid() == 0:
        place = Path("/sys")  # root may write everywhere else
        if not place.is_dir():
            pytest.skip("this system has no folder that root may not write")
    else:
        place = tmp_path / "locked"
        place.mkdir(mode=0o555)
    code, out, err = gliosuite(*command(series, place / "out"))
    assert (code, out) == (2, "")
    assert "cannot be written" in err.splitlines()[-1]
    assert "choose an output folder that you may write to" in err.splitlines()[-1]


def test_a_file_in_the_way_is_said(series, tmp_path, gliosuite):
    (tmp_path / "out").write_text("a file")
    code, _, err = gliosuite(*command(series, tmp_path / "out"))
    assert code == 2
    assert "out" in err.splitlines()[-1]
    assert (tmp_path / "out").read_text() == "a file"
