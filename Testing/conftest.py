"""What all tests share: where the test data lie, and tools that may be missing outside `.ci/run`."""

import os
import shutil
from pathlib import Path

# As the command line has it, before numpy is loaded: BLAS adds up in another order with another number of threads.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("GLIOSUITE_DATA") or ROOT.parent / "shared" / "data")


def _missing(reason: str) -> None:
    """Skip with a sentence; inside `.ci/run`, where everything is installed, such a skip is a failure."""
    if os.environ.get("GLIOSUITE_CI"):
        pytest.fail(f"{reason} (in .ci/run everything that tests need is there)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def missing():
    """``missing("EGL is not installed")`` skips, or fails inside `.ci/run`."""
    return _missing


@pytest.fixture(scope="session")
def data():
    """``data("osipi-reference/ParkerAIF.csv")`` is a file of the test data; the test is skipped where they are absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"test data {name} are not at {DATA}; set GLIOSUITE_DATA")
        return path

    return find


@pytest.fixture(scope="session")
def tool():
    """``tool("plastimatch")`` is the path of an executable of a Debian package that tests use."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            _missing(f"{name} is not installed")
        return path

    return find


@pytest.fixture
def gliosuite(capfd):
    """Run a command in this process: ``code, out, err = gliosuite("dce", path, ...)``."""
    from gliosuite.cli import main

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in args])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
