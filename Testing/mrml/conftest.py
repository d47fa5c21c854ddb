"""Tests on the real MRML of slicer-core, completed by our stand-in for the application."""

import importlib.util

import pytest

from Testing.conftest import missing


@pytest.fixture
def slicer():
    """The slicer package with a fresh scene."""
    if importlib.util.find_spec("slicer") is None:
        missing("slicer-core is not installed")
    from slicerapp import application

    return application.start()
