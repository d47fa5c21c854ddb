"""Tests of the panels: the modules' own .ui files in PySide6, off screen, with our stand-ins for Slicer's widgets."""

import importlib.util
import os
import sys
import traceback

import pytest

from Testing.conftest import ROOT, missing

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture
def slicer():
    """The slicer package with a fresh scene, qt and ctk."""
    for name, package in (("slicer", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(name) is None:
            missing(f"{package} is not installed")
    from slicerapp import application

    return application.start(gui=True)


@pytest.fixture(autouse=True)
def no_exception_in_a_slot(monkeypatch):
    """What a slot raises goes past the test to `sys.excepthook`, and what a panel catches to an error window: both fail the test."""
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: raised.append("".join(traceback.format_exception(*error))))
    if "slicer.util" in sys.modules or importlib.util.find_spec("slicer") is not None:
        import slicer.util

        monkeypatch.setattr(
            slicer.util, "errorDisplay", lambda text, detailedText="", **_: raised.append(f"{text}\n{detailedText}")
        )
    yield
    assert not raised, "\n".join(raised)


@pytest.fixture
def module(slicer):
    """``module("GlioRT")`` loads a scripted module's file as Slicer does."""
    from slicerapp import application

    application.load(ROOT / "GlioCore" / "GlioCore.py")
    return lambda name: application.load(ROOT / name / f"{name}.py")


class FakeStep:
    """Stands for a running process; the test decides how it ends."""

    def __init__(self, arguments, progress, done, failed):
        self.arguments, self.progress, self.done, self.failed = arguments, progress, done, failed
        self.warnings, self.cancelled = [], False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def fake_steps():
    """``fake_steps(panel)`` makes the panel start fake steps; they come into the list that it returns."""

    def replace(panel):
        steps = []

        def start(*arguments):
            steps.append(FakeStep(*arguments))
            return steps[-1]

        panel._start = start
        return steps

    return replace


@pytest.fixture
def grab(tmp_path):
    """Save a picture of a widget, for a person to look at; returns its number of colours."""

    def save(widget, name="panel"):
        widget.resize(420, widget.heightForWidth(420) if widget.hasHeightForWidth() else widget.sizeHint().height())
        widget.show()
        picture = widget.grab()
        picture.save(str(tmp_path / f"{name}.png"))
        image = picture.toImage()
        return len({image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)})

    return save
