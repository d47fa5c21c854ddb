"""A case folder in the scene, and the simulated patient that the application offers as sample data."""

import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.files import write_json
from gliosuite.images import Grid, Series, boolean, write_image, write_series

from Testing.conftest import ROOT

GRID = Grid((8, 7, 6), (2.0, 2.0, 3.0), (-8.0, -7.0, -9.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture
def logic(slicer):
    from slicerapp import application

    return application.load(ROOT / "GlioCore" / "GlioCore.py").GlioCoreLogic()


@pytest.fixture
def case(tmp_path):
    frames = np.random.default_rng(1).normal(100, 3, (3, *GRID.shape)).astype(np.float32)
    write_series(Series(frames, GRID), tmp_path / "dce.nii.gz")
    write_series(Series(frames, GRID), tmp_path / "dsc.nii.gz")
    write_image(GRID.image(frames[0]), tmp_path / "t1c.nii.gz")
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:4, 2:4, 3:6] = 1
    write_image(GRID.image(mask), tmp_path / "cel.nii.gz")
    dce = {"path": "dce.nii.gz", "tr_ms": 5.4, "flip_angle_deg": 12, "times_s": [0, 4.5, 9]}
    images = {"t1c": {"path": "t1c.nii.gz"}, "dce": dce, "dsc": {"path": "dsc.nii.gz"}}
    write_json(tmp_path / "case.json", {"id": "P1", "images": images, "masks": {"cel": "cel.nii.gz"}})
    return tmp_path


def test_case_becomes_nodes_that_give_it_back(slicer, logic, case):
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.sequences import acquisition, series_from_node, timing
    from gliosuite.mrml.volumes import image_from_node

    nodes = logic.loadCase(case)
    truth = Case.load(case)
    assert set(nodes) == {"t1c", "dce", "dsc", "masks"}
    assert Grid.of(image_from_node(nodes["t1c"])).matches(GRID, 1e-3)
    assert np.array_equal(series_from_node(nodes["dce"]).frames, truth.series("dce").frames)
    assert timing(nodes["dce"]).seconds() == (0.0, 4.5, 9.0)
    assert acquisition(nodes["dce"]) == {"tr_ms": 5.4, "flip_angle_deg": 12.0}
    identifier = nodes["masks"].GetSegmentation().GetNthSegmentID(0)
    assert np.array_equal(boolean(mask_from_segment(nodes["masks"], identifier, GRID)), boolean(truth.mask("cel")))


def test_series_without_times_asks_for_them(logic, case):
    from gliosuite.mrml.sequences import timing

    assert timing(logic.loadCase(case)["dsc"]).seconds() is None


def test_nodes_stand_under_one_study(slicer, logic, case):
    nodes = logic.loadCase(case)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in nodes.values()}
    assert {hierarchy.GetItemName(p) for p in parents} == {"P1"}
