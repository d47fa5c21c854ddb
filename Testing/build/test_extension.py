"""The extension built and installed with CMake against a small stand-in for Slicer, and the library as a wheel: nothing is forgotten."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from Testing.conftest import ROOT, missing

MODULES = ("GlioCore", "GlioPerfusion", "GlioRecurrence", "GlioRT")
PLACE = Path("lib/Slicer-5.12/qt-scripted-modules")


def kept(path: Path) -> bool:
    return (
        path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc" and not path.name.startswith(".")
    )


def sources() -> set[str]:
    """All files that have to be installed, relative to the module that they belong to."""
    found = set()
    for module in MODULES:
        folders = [ROOT / module / "Resources", *([ROOT / module / "gliosuite"] if module == "GlioCore" else [])]
        found |= {p.relative_to(ROOT / module).as_posix() for folder in folders for p in folder.rglob("*") if kept(p)}
        found.add(f"{module}.py")
    return found


def resources() -> set[str]:
    folder = ROOT / "GlioCore" / "gliosuite" / "resources"
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if kept(p) and p.suffix != ".py"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build and install tree of a copy of the sources (others may be writing in the tree itself)."""
    if shutil.which("cmake") is None:
        missing("cmake is not installed")
    folder = tmp_path_factory.mktemp("extension")
    source = folder / "source"
    for name in MODULES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "CMakeLists.txt", source)
    steps = (
        [
            *("-S", source, "-B", folder / "build", f"-DSlicer_DIR={ROOT / 'Testing/standin/cmake'}"),
            *(f"-DSTANDIN_PYTHON={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={folder / 'install'}"),
        ],
        ["--build", folder / "build"],
        ["--install", folder / "build"],
    )
    for arguments in steps:
        done = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_file_is_built_installed_and_nothing_else(built):
    wanted = sources()
    for tree in ("build", "install"):
        found = {p.relative_to(built / tree / PLACE).as_posix() for p in (built / tree / PLACE).rglob("*") if kept(p)}
        assert found == wanted


def test_files_are_byte_compiled(built):
    compiled = {p.name.split(".")[0] for p in (built / "build" / PLACE).glob("__pycache__/*.pyc")}
    assert compiled == set(MODULES)


def test_a_file_added_later_is_taken_up(built):
    """The lists are made by pattern: nobody has to touch CMake."""
    added = built / "source/GlioCore/gliosuite/added_later.py"
    added.write_text("VALUE = 1\n")
    done = subprocess.run(["cmake", "--build", str(built / "build")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (built / "build" / PLACE / "gliosuite/added_later.py").exists()
    added.unlink()


def test_each_modules_own_test_is_registered(built):
    done = subprocess.run(["ctest", "--test-dir", str(built / "build"), "-N"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"Test +#\d+: (\S+)", done.stdout)) == {f"py_{module}.py" for module in MODULES}


def test_each_module_folder_holds_one_python_file():
    """Slicer takes every .py directly in a module's folder for a module."""
    for module in MODULES:
        assert [p.name for p in (ROOT / module).glob("*.py")] == [f"{module}.py"]


def test_the_modules_resources_start_with_their_name():
    """After the installation all modules share one Resources folder."""
    for module in MODULES:
        for path in (ROOT / module / "Resources").rglob("*"):
            assert not kept(path) or path.name.startswith(module)


def run_python(folder: Path, script: str) -> str:
    """Run a script that sees only `folder` and the installed packages, not the source tree."""
    # An installation from the source tree (-e) puts it on the path or a finder before it.
    code = (
        "import sys\n"
        "sys.path[:] = [p for p in sys.path if 'GlioCore' not in p]\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'ditable' not in str(f)]\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code + textwrap.dedent(script)], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OPEN_ALL = """
    import gliosuite, gliosuite.resources as r
    from importlib import resources
    from pathlib import Path
    assert Path(gliosuite.__file__).resolve().is_relative_to(Path(sys.path[0]).resolve()), gliosuite.__file__
    def walk(folder, name=""):
        for entry in folder.iterdir():
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from walk(entry, name + entry.name + "/")
            elif not entry.name.endswith(".py"):
                assert len(r.read_bytes(name + entry.name)) > 0
                yield name + entry.name
    print("\\n".join(sorted(walk(resources.files("gliosuite.resources")))))
"""


def test_every_resource_opens_in_the_source_tree_and_the_build(built):
    for folder in (ROOT / "GlioCore", built / "build" / PLACE, built / "install" / PLACE):
        assert set(run_python(folder, OPEN_ALL).split()) == resources()


def test_every_resource_and_file_is_in_the_wheel(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "GlioCore", source / "GlioCore", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    assert set(run_python(tmp_path / "unpacked", OPEN_ALL).split()) == resources()
    files = {p.relative_to(tmp_path / "unpacked").as_posix() for p in (tmp_path / "unpacked").rglob("*") if kept(p)}
    assert {f for f in sources() if f.startswith("gliosuite/")} <= files


@pytest.mark.slow
def test_modules_load_from_the_installed_folder(built):
    """With the stand-in for the application: import, metadata, icon, and the modules' own tests with the panels that were installed."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6", reason="PySide6-Essentials is not installed")
    out = run_python(
        built / "install" / PLACE,
        f"""
        import json
        import os
        from pathlib import Path
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        sys.path.append({str(ROOT / "Testing" / "standin")!r})
        from slicerapp import application
        slicer = application.start(gui=True)
        place = Path(sys.path[0])
        loaded = {{}}
        for name in {MODULES!r}:
            module = application.load(place / (name + ".py"))
            entry = getattr(slicer.modules, name.lower())
            loaded[name] = [entry.metadata.title, bool(entry.metadata.contributors), entry.metadata.icon is not None]
            getattr(module, name + "Test")().runTest()
        print(json.dumps(loaded))
        """,
    )
    loaded = json.loads(out.splitlines()[-1])
    assert loaded == {name: [name, True, True] for name in MODULES}


def test_catalogue_entry_agrees_with_cmake():
    entry = json.loads((ROOT / "GlioSuite.json").read_text())
    text = (ROOT / "CMakeLists.txt").read_text()
    homepage = re.search(r'EXTENSION_HOMEPAGE "(.+?)"', text).group(1)
    assert entry["scm_url"] == f"{homepage}.git"
    assert entry["build_dependencies"] == []
    assert 'EXTENSION_DEPENDS "NA"' in text
    assert set(entry) <= {
        "$schema", "category", "scm_url", "scm_revision", "build_dependencies", "build_subdirectory", "tier",
        "dicom_support_rule", "enabled",
    }  # fmt: skip
    assert "project(GlioSuite)" in text


def test_icons_are_128_px():
    header = [ROOT / "GlioSuite.png", *(ROOT / m / f"Resources/Icons/{m}.png" for m in MODULES)]
    for path in header:
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (128, 128)
