"""The sample that the application's Sample Data module shows, and what a click on it does."""

import sys
import types
from pathlib import Path

import pytest


@pytest.fixture
def registered(slicer, module, monkeypatch):
    """The options that the sample is registered with once the application has started, and GlioCore's Python module."""
    options = {}
    sample = types.SimpleNamespace(registerCustomSampleDataSource=lambda **given: options.update(given))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=sample))
    ((signal, register),) = slicer.app.started
    assert signal == "startupCompleted()"
    register()
    return options


def test_the_sample_has_a_name_and_a_picture(registered):
    assert (registered["category"], registered["sampleName"]) == ("GlioSuite", "GlioSuite digital patient")
    assert Path(registered["thumbnailFileName"]).read_bytes().startswith(b"\x89PNG")
    assert registered["uris"] == [], "nothing is downloaded"


def test_a_click_makes_the_patient_under_a_busy_cursor(slicer, registered, monkeypatch):
    cursors = []
    monkeypatch.setattr(slicer.app, "setOverrideCursor", lambda cursor: cursors.append("busy"))
    monkeypatch.setattr(slicer.app, "restoreOverrideCursor", lambda: cursors.append("back"))
    logic = sys.modules["GlioCore"].GlioCoreLogic
    monkeypatch.setattr(logic, "digitalPatient", lambda self: cursors.append("made") or {"t1c": "node"})
    assert registered["customDownloader"](None) == ["node"]
    assert cursors == ["busy", "made", "back"]
