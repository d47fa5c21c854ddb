"""The examples of the stable calls run, and each stable call has one."""

import doctest
import importlib
import inspect
import runpy
from pathlib import Path

import pytest
import SimpleITK as sitk
from dicom_series import Stack, write_series

STABLE = runpy.run_path(str(Path(__file__).with_name("test_interface.py")))["STABLE"]


def stable(call):
    module, name = call.rsplit(".", 1)
    return getattr(importlib.import_module(f"gliosuite.{module}"), name)


# Where the calls stand; other rooms take them from a folder's face.
MODULES = sorted({stable(call).__module__ for call in STABLE})


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the examples of DICOM objects take as given: a folder to write to, a series, and a mask on its grid."""
    folder = tmp_path_factory.mktemp("doctest")
    grid = write_series(folder / "series", Stack())
    mask = sitk.Image(grid.size, sitk.sitkUInt8)
    mask[20:40, 20:40, 5:12] = 1
    mask.CopyInformation(grid.blank())
    return {"folder": folder, "series_dir": folder / "series", "mask": mask}


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module, names):
    tested = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert tested.attempted > 0
    assert tested.failed == 0


@pytest.mark.parametrize("call", STABLE)
def test_each_stable_call_has_an_example(call):
    name = call.rsplit(".", 1)[1]
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(stable(call)) or "")
    assert any(f"{name}(" in example.source for example in examples), f"{call} has no example"
