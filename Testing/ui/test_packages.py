"""Python packages that Slicer lacks: asked for with their sizes, installed the way its version has, refused, or failing."""

import importlib.util
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid, Series


@pytest.fixture
def packages(slicer, monkeypatch):
    """The room under test, in an application that is not being tested and has none of the packages yet."""
    from gliosuite.ui import packages

    there = set()
    monkeypatch.setattr(packages, "_refused", set())
    monkeypatch.setattr(packages, "missing", lambda names: [n for n in names if n not in there])
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    packages.there = there
    yield packages
    del packages.there


@pytest.fixture
def answer(slicer, monkeypatch):
    """``answer(True)`` lets a person agree; the questions come into the list that it returns."""

    def give(agreed):
        asked = []
        monkeypatch.setattr(
            slicer.util, "confirmYesNoDisplay", lambda text, windowTitle="": asked.append(text) or agreed
        )
        return asked

    return give


@pytest.fixture(params=["5.12", "5.10"])
def pip(request, packages, slicer, monkeypatch):
    """What pip was asked for, and its constraints, in either version of Slicer; ``pip.fails`` is what it raises."""
    said = types.SimpleNamespace(wanted=[], held=[], fails=None)

    def take(requirement, constraints):
        said.wanted.append(str(requirement))
        said.held += Path(constraints).read_text().split()
        if said.fails is not None:
            raise said.fails
        packages.there.add(str(requirement).split(">")[0])

    if request.param == "5.12":
        module = types.ModuleType("slicer.packaging")

        def pip_ensure(requirements, constraints=None, prompt_install=True, requester=None):
            assert not prompt_install, "it was asked already"
            assert requester == "GlioSuite"
            for requirement in requirements:
                assert requirement.name, "Requirement objects, as its first versions need them"
                take(requirement, constraints)

        module.pip_ensure = pip_ensure
        monkeypatch.setitem(sys.modules, "slicer.packaging", module)
        monkeypatch.setattr(slicer.util, "pip_install", None)
    else:
        monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # as an import that fails

        def pip_install(words):
            requirement, option, constraints = words
            assert option == "--constraint"
            take(requirement, constraints)

        monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    return said


def test_what_is_agreed_to_is_installed_and_nothing_of_slicers_is_replaced(packages, pip, answer):
    asked = answer(True)
    packages.provide(["numba"])
    (text,) = asked
    assert "numba (about 210 MB). Without it: kinetic fits and T1 maps" in text
    assert pip.wanted == ["numba>=0.61"]
    assert f"numpy=={metadata.version('numpy')}" in pip.held
    assert f"SimpleITK=={metadata.version('SimpleITK')}" in pip.held
    packages.provide(["numba"])
    assert len(asked) == 1, "it is there now"


def test_nothing_that_slicer_is_built_on_is_ever_asked_of_pip(packages):
    by_pip = {name for name, package in packages.PACKAGES.items() if not package.extension}
    assert not by_pip & {"torch", "numpy", "scipy", "SimpleITK", "vtk"}
    assert packages.PACKAGES["torch"].extension == "PyTorch"


def test_refused_once_it_goes_on_without_and_is_not_asked_again(packages, pip, answer):
    asked = answer(False)
    with pytest.warns(UserWarning, match=r"^without numba \(it was not wanted\): kinetic fits .* two to eight times"):
        packages.provide(["numba"])
    packages.provide(["numba"])
    assert len(asked) == 1
    assert pip.wanted == []


def test_what_a_step_cannot_do_without_is_one_sentence(packages, pip, answer):
    asked = answer(False)
    for _ in range(2):
        with pytest.raises(InputError, match=r"^pydicom is needed here: it was not wanted$"):
            packages.provide(["pydicom"])
    assert len(asked) == 2, "it may be wanted by now"


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (subprocess.CalledProcessError(1, "pip"), "pip ended with exit code 1; its lines stand in the Python console"),
        (RuntimeError("PythonSlicer executable not found"), "PythonSlicer executable not found"),
    ],
)
def test_an_installation_that_fails_is_one_sentence(packages, pip, answer, failure, sentence):
    answer(True)
    pip.fails = failure
    with pytest.warns(UserWarning, match=sentence):
        packages.provide(["numba"])
    with pytest.raises(InputError, match=f"^pydicom is needed here: {sentence}"):
        packages.provide(["pydicom"])


def test_one_that_pip_says_it_has_installed_and_has_not_is_noticed(packages, pip, answer, monkeypatch):
    answer(True)
    monkeypatch.setattr(packages, "_by_pip", lambda *_: None)
    with pytest.warns(UserWarning, match="it is still missing"):
        packages.provide(["numba"])


def test_torch_comes_with_its_extension(packages, pip, answer, monkeypatch):
    answer(True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"install the extension PyTorch \(Extensions Manager\), restart Slicer"):
        packages.provide(["torch"])
    made = []

    class PyTorchUtilsLogic:
        def installTorch(self):  # noqa: N802
            made.append("torch")
            packages.there.add("torch")
            return "torch"

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there")
    packages.provide(["torch"])
    assert made == ["torch"]
    assert pip.wanted == []


def test_nothing_is_installed_while_slicer_is_tested(packages, pip, answer, slicer, monkeypatch):
    answer(True)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    with pytest.warns(UserWarning, match="nothing is installed while the application is tested"):
        packages.provide(["numba"])
    assert pip.wanted == []


# ------------------------------------------------------------------------------------------------------------ in the panels


@pytest.fixture
def perfusion(slicer, module, fake_steps, monkeypatch, tmp_path):
    """GlioPerfusion's panel with a series, its steps replaced."""
    from gliosuite.mrml.process import Job
    from slicerapp.loaded import dicom_sequence

    frames = np.random.default_rng(0).normal(100, 5, (4, 3, 4, 5)).astype(np.float32)
    grid = Grid((5, 4, 3), (2.0, 2.0, 4.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    dicom_sequence(Series(frames, grid), [0.0, 4500.0, 9000.0, 13500.0], tr_ms=5.4, flip_angle_deg=12)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    monkeypatch.setattr(panel.logic, "start", lambda request: Job(request, tmp_path, ["dce"]), raising=False)
    panel.steps = fake_steps(panel)
    return panel


def test_maps_are_made_after_a_refusal_and_it_is_said_once(perfusion, packages, pip, answer):
    asked = answer(False)
    perfusion.ui.dceButton.click()
    assert len(perfusion.steps) == 1
    assert "note: without numba (it was not wanted): kinetic fits" in perfusion.ui.statusLabel.text
    perfusion.steps[0].failed(InputError("refused"))
    perfusion.ui.dceButton.click()
    assert len(perfusion.steps) == 2
    assert len(asked) == 1
    assert "numba" not in perfusion.ui.statusLabel.text


def test_maps_are_made_after_an_installation(perfusion, packages, pip, answer):
    answer(True)
    perfusion.ui.dceButton.click()
    assert pip.wanted == ["numba>=0.61"]
    assert len(perfusion.steps) == 1
    assert "note" not in perfusion.ui.statusLabel.text


def test_a_structure_set_without_its_package_is_one_sentence_and_the_panel_goes_on(slicer, module, packages, answer):
    asked = answer(False)
    panel = module("GlioRT").GlioRTWidget().panel
    panel.ui.checkButton.enabled = panel.ui.exportButton.enabled = True
    panel.ui.exportButton.click()
    panel.ui.checkButton.click()
    assert len(asked) == 2
    assert panel.ui.exportStatus.text == "pydicom is needed here: it was not wanted"
    panel.ui.previewCheckBox.checked = True
    assert panel.parameters.preview
