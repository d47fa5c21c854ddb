"""Targets held against each other on nodes: the table, the map of a difference in the right place and sign, where the views go."""

import os

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import array, boolean, signed_distance

from Testing.conftest import missing
from Testing.mrml.heads import CENTER, GRID, MASKS

SCHEMES = ("s3-rtog", "estro-eano")


@pytest.fixture
def targets(logic, request_of):
    request = request_of("brain", "cel", "t2l", schemes=SCHEMES)
    with pytest.warns(UserWarning, match="cavity"):
        return logic.compute(request), request


def test_without_a_progression_the_table_is_against_the_first_target(logic, targets):
    from gliosuite.mrml.rt.comparison import mask_of, short, titles

    result, _ = targets
    assert short(result.keys) == {
        "name": "target",
        "ctv_cc": "cc",
        "only_second_cc": "beyond",
        "only_first_cc": "less",
        "dice": "Dice",
        "hd95_mm": "HD95",
    }
    assert titles(result.keys)["only_second_cc"] == "beyond the first CTV (cc)"
    first, second = (boolean(mask_of(result, name, GRID)) for name in result.names)
    row = dict(zip(result.keys, result.rows[1], strict=True))
    assert row["only_first_cc"] == pytest.approx((first & ~second).sum() * GRID.voxel_cc)
    assert row["dice"] == pytest.approx(2 * (first & second).sum() / (first.sum() + second.sum()))
    assert np.isnan(result.rows[0][result.keys.index("dice")])


def test_a_difference_is_the_distance_beyond_the_other_with_its_sign(slicer, logic, targets):
    from gliosuite.mrml.rt.comparison import mask_of

    result, request = targets
    node = logic.difference(result, *result.names, request.reference)
    values = slicer.util.arrayFromVolume(node)
    first, second = (mask_of(result, name, GRID) for name in result.names)
    only = boolean(first) & ~boolean(second)
    assert (values[only] > 0).all()
    assert not values[~only & ~(boolean(second) & ~boolean(first))].any()
    np.testing.assert_allclose(values[only], array(signed_distance(second))[only], rtol=1e-5)
    back = logic.difference(result, *result.names[::-1], request.reference, node)
    assert back is node
    assert node.GetName() == "CTV_EANO beyond CTV_S3_RTOG"
    np.testing.assert_allclose(
        slicer.util.arrayFromVolume(node)[only], -array(signed_distance(second))[only], rtol=1e-5
    )
    assert node.GetVoxelValueUnits().GetCodeValue() == "mm"
    with pytest.raises(InputError, match="CTV_EANO is chosen twice"):
        logic.difference(result, "CTV_EANO", "CTV_EANO", request.reference)


def test_a_row_goes_to_the_middle_of_its_target(slicer, logic, targets):
    result, _ = targets
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    logic.goTo(result, "CTV_EANO")
    identifier = result.segmentation.GetSegmentation().GetSegmentIdBySegmentName("CTV_EANO")
    assert view.GetSliceOffset() == pytest.approx(result.segmentation.GetSegmentCenterRAS(identifier)[2], abs=0.1)
    assert abs(view.GetSliceOffset() - CENTER[2]) < 25
    display = result.segmentation.GetDisplayNode()
    assert display.GetSegmentVisibility2DFill(identifier)
    assert not display.GetSegmentVisibility2DFill(result.segmentation.GetSegmentation().GetNthSegmentID(0))


@pytest.fixture
def views(slicer):
    """The application's two slice views and its arrangement."""
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    from slicerapp.views import SliceView, off_screen

    if not off_screen():
        missing("a machine that draws without a screen (EGL)")
    layout = slicer.vtkMRMLLayoutNode()
    slicer.mrmlScene.AddNode(layout)
    return layout, SliceView("Axial"), SliceView("Sagittal")


def test_two_images_stand_beside_each_other_at_one_place(slicer, logic, targets, views):
    from gliosuite.mrml.volumes import node_from_image

    layout, red, yellow = views
    result, request = targets
    flair = node_from_image(GRID.image(array(MASKS["brain"]) * 50), "FLAIR")
    logic.show(result, request, flair)
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    for view, image in ((red, request.reference), (yellow, flair)):
        assert view.logic.GetSliceCompositeNode().GetBackgroundVolumeID() == image.GetID()
        assert view.node.GetOrientation() == "Axial"
    assert red.node.GetSliceOffset() == pytest.approx(yellow.node.GetSliceOffset())
    logic.show(result, request, None, True)
    assert yellow.logic.GetSliceCompositeNode().GetBackgroundVolumeID() == request.reference.GetID()
    assert layout.GetViewArrangement() > 500
    assert "vtkMRMLViewNode" in layout.GetLayoutDescription(layout.GetViewArrangement())
    surfaces = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert result.segmentation.GetSegmentation().ContainsRepresentation(surfaces)


def test_a_difference_is_seen_over_the_image_and_is_clear_where_there_is_none(slicer, logic, targets, views):
    from gliosuite.mrml.rt.comparison import mask_of

    _, red, _ = views
    result, request = targets
    logic.show(result, request, None)
    result.segmentation.GetDisplayNode().SetVisibility(False)
    logic.goTo(result, "CTV_EANO")
    red.fit(red.node.GetSliceOffset())
    before = red.picture().astype(int)
    node = logic.difference(result, *result.names, request.reference)
    slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node).SetVisibility(False)
    logic.overlay(node)
    after = red.picture().astype(int)
    first, second = (boolean(mask_of(result, name, GRID)) for name in result.names)
    ras = lambda voxel: tuple(np.array(GRID.blank().TransformContinuousIndexToPhysicalPoint(voxel)) * (-1, -1, 1))
    offset = red.node.GetSliceOffset()
    near = lambda mask: min(
        (tuple(float(i) for i in v[::-1]) for v in np.argwhere(mask)), key=lambda v: abs(ras(v)[2] - offset)
    )
    only, both = first & ~second, first & second
    deep = only & (array(signed_distance(GRID.image(second))) > 4) & (array(signed_distance(GRID.image(first))) < -3)
    row, column = red.pixel(ras(near(deep)))
    assert after[row, column][0] - after[row, column][2] > 20, "red where the first alone covers"
    row, column = red.pixel(ras(near(both & (array(signed_distance(GRID.image(second))) < -4))))
    np.testing.assert_array_equal(after[row, column], before[row, column])
    logic.overlay(None)
    np.testing.assert_array_equal(red.picture().astype(int), before)


def test_an_arrangement_is_known_before_a_scene_needs_it_and_views_are_filled_once(slicer, logic, targets, views):
    from gliosuite.mrml import layout as arrangements

    layout, red, _ = views
    arrangements.register()
    assert layout.IsLayoutDescription(7315)
    _, request = targets
    arrangements.show_image(request.reference)
    assert red.logic.GetSliceCompositeNode().GetBackgroundVolumeID() == request.reference.GetID()
    red.node.SetFieldOfView(50, 50, 1)
    arrangements.show_image(request.reference)
    assert red.node.GetFieldOfView()[0] == 50, "who has zoomed in stays so"
