"""Segments and masks on each other's grids."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean, read_image, volume_cc

ROTATION = sitk.VersorTransform((0.2, -0.4, 0.9), 0.35).GetMatrix()
GRID = Grid((40, 36, 30), (1.0, 1.1, 1.5), (-20.0, -15.0, -10.0), ROTATION)


def ball(grid=GRID, radius=9.0, shift=(0.0, 0.0, 0.0)):
    index = np.stack(np.meshgrid(*[np.arange(s) for s in grid.size], indexing="ij"), -1)
    matrix = np.reshape(grid.direction, (3, 3)) * grid.spacing
    points = index @ matrix.T + grid.origin
    center = GRID.corners().mean(axis=0) + shift
    inside = np.linalg.norm(points - center, axis=-1) < radius
    return grid.image(np.ascontiguousarray(inside.T).astype(np.uint8))


@pytest.fixture
def reference(slicer):
    from gliosuite.mrml.volumes import node_from_image

    return node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1c")


def identifier(node, index=0):
    return node.GetSegmentation().GetNthSegmentID(index)


def test_masks_come_back_bit_equal(reference):
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    masks = {"cel": ball(radius=6), "t2l": ball(radius=10)}
    node = segmentation_from_masks(masks, reference, "lesions")
    for index, mask in enumerate(masks.values()):
        back = mask_from_segment(node, identifier(node, index), GRID)
        assert np.array_equal(boolean(back), boolean(mask))
        assert back.GetPixelID() == sitk.sitkUInt8


def test_slicer_sees_the_mask_where_it_is(slicer, reference, tmp_path):
    """Slicer's own export of the segment to the reference volume, written by Slicer and read by ITK, is the mask."""
    from gliosuite.mrml.segments import segmentation_from_masks

    mask = ball(shift=(3, -2, 4))
    node = segmentation_from_masks({"cel": mask}, reference, "lesions")
    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ExportSegmentsToLabelmapNode(node, [identifier(node)], labelmap, reference)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "cel.nrrd"))
    assert storage.WriteData(labelmap)
    back = read_image(tmp_path / "cel.nrrd")
    assert Grid.of(back).matches(GRID, 1e-4)
    assert np.array_equal(boolean(back), boolean(mask))


def test_carried_to_another_grid_by_signed_distance(reference):
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    node = segmentation_from_masks({"cel": ball()}, reference, "lesions")
    fine = Grid((90, 90, 90), (0.7, 0.7, 0.7), (-32.0, -28.0, -20.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    carried, exact = mask_from_segment(node, identifier(node), fine), ball(fine)
    both = (boolean(carried) & boolean(exact)).sum()
    assert 2 * both / (boolean(carried).sum() + boolean(exact).sum()) > 0.97
    assert volume_cc(carried) == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.03)


def test_names_colors_terminology_and_reference(slicer, reference):
    import vtk
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.resources import colors, rgb

    node = segmentation_from_masks({"cel": ball(), "CTV_eortc": ball(radius=12)}, reference, "targets")
    segments = node.GetSegmentation()
    lesion, target = segments.GetNthSegment(0), segments.GetNthSegment(1)
    assert lesion.GetName() == "enhancing lesion (CEL)"
    assert np.allclose(lesion.GetColor(), np.array(rgb(colors(["cel"])["cel"])) / 255, atol=0.01)
    assert target.GetName() == "CTV_eortc"
    tag = vtk.reference("")
    assert target.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
    assert "SCT^228792002^Clinical target volume" in str(tag)
    assert len(str(tag).split("~")) == 7
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is reference
    for index in range(2):
        assert not node.GetDisplayNode().GetSegmentVisibility2DFill(identifier(node, index))
        assert node.GetDisplayNode().GetSegmentVisibility2DOutline(identifier(node, index))


def test_segment_of_the_same_name_is_replaced(reference):
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    node = segmentation_from_masks({"cel": ball(radius=12)}, reference, "lesions")
    segmentation_from_masks({"cel": ball(radius=5)}, reference, "", node)
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert np.array_equal(boolean(mask_from_segment(node, identifier(node), GRID)), boolean(ball(radius=5)))


def test_what_cannot_be_used_is_named(slicer, reference):
    from gliosuite.mrml.segments import mask_from_segment, segmentation_from_masks

    node = segmentation_from_masks({"cel": ball()}, reference, "lesions")
    with pytest.raises(InputError, match="lesions has no segment 'x'"):
        mask_from_segment(node, "x", GRID)
    empty = node.GetSegmentation().AddEmptySegment("", "cavity", (0, 0, 1))
    with pytest.raises(InputError, match="segment cavity of lesions is empty"):
        mask_from_segment(node, empty, GRID)
    far = Grid((10, 10, 10), (1.0, 1.0, 1.0), (500.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(InputError, match=r"segment enhancing lesion \(CEL\) of lesions does not overlap"):
        mask_from_segment(node, identifier(node), far)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="lesions lies under the transform shift"):
        mask_from_segment(node, identifier(node), GRID)


def test_what_has_no_code_gets_none_and_variants_are_named(slicer):
    from gliosuite.mrml.segments import appearance

    assert appearance("organ at risk", "#000000")[2] == ""
    title, _, tag = appearance("progression_t2l", "#ff40ff")
    assert title == "lesion at progression (T2L)"
    assert "SCT^108369006^Neoplasm" in tag
    assert appearance("CTV_RTOG", "#00ff00")[1] == (0.0, 1.0, 0.0)
