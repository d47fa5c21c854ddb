"""Tests on the real MRML of slicer-core, completed by our stand-in for the application."""

import importlib.util

import pytest

from Testing.conftest import ROOT, missing


@pytest.fixture
def slicer():
    """The slicer package with a fresh scene."""
    if importlib.util.find_spec("slicer") is None:
        missing("slicer-core is not installed")
    from slicerapp import application

    return application.start()


@pytest.fixture
def logic(slicer):
    """The logic of GlioRT."""
    from slicerapp import application

    application.load(ROOT / "GlioCore" / "GlioCore.py")
    return application.load(ROOT / "GlioRT" / "GlioRT.py").GlioRTLogic()


@pytest.fixture
def request_of(logic):
    """``request_of("brain", "cel", schemes=(...))``: a scene with the balls of `heads` and a request for those structures."""
    from gliosuite.images import array
    from gliosuite.mrml.rt.request import TargetsRequest
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    from Testing.mrml.heads import GRID, MASKS

    reference = node_from_image(GRID.image(array(MASKS["brain"]) * 100), "T1c")
    node = segmentation_from_masks(MASKS, reference, "structures")
    ids = {region: node.GetSegmentation().GetNthSegmentID(i) for i, region in enumerate(MASKS)}
    return lambda *regions, schemes: TargetsRequest(reference, schemes, {r: (node, ids[r]) for r in regions})
