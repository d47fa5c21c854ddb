"""Volume nodes: geometry is checked through files, where Slicer's own writer and ITK's reader must agree with us."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, read_image, write_image


def oblique(shape=(5, 6, 7), seed=1):
    """An image with different sizes, spacings and a rotation about an odd axis."""
    rotation = sitk.VersorTransform()
    rotation.SetRotation((0.3, -0.5, 0.8), 0.4)
    grid = Grid(shape[::-1], (1.1, 0.9, 2.5), (-31.0, 12.5, 40.25), rotation.GetMatrix())
    return grid.image(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_node_written_by_slicer_is_the_image_that_itk_reads(slicer, tmp_path):
    from gliosuite.mrml.volumes import node_from_image

    image = oblique()
    node = node_from_image(image, "T1c")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "t1c.nrrd"))
    assert storage.WriteData(node)
    back = read_image(tmp_path / "t1c.nrrd")
    assert Grid.of(back).matches(Grid.of(image), 1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


def test_node_read_by_slicer_gives_the_image_that_itk_wrote(slicer, tmp_path):
    from gliosuite.mrml.volumes import image_from_node

    image = oblique(seed=2)
    write_image(image, tmp_path / "t1c.nii.gz")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "t1c.nii.gz"))
    assert storage.ReadData(node)
    back = image_from_node(node)
    assert Grid.of(back).matches(Grid.of(image), 1e-4)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


def test_round_trip_keeps_type_and_a_copy(slicer):
    from gliosuite.mrml.volumes import image_from_node, node_from_image

    image = sitk.Cast(oblique() * 100, sitk.sitkInt16)
    node = node_from_image(image, "T1c")
    back = image_from_node(node)
    slicer.util.arrayFromVolume(node)[:] = 0
    assert back.GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


def test_undefined_voxels_become_0(slicer):
    from gliosuite.mrml.volumes import node_from_image

    image = oblique()
    voxels = sitk.GetArrayFromImage(image)
    voxels[0, 0, 0], voxels[1, 1, 1] = np.nan, np.inf
    node = node_from_image(Grid.of(image).image(voxels), "ktrans")
    shown = slicer.util.arrayFromVolume(node)
    assert shown[0, 0, 0] == 0
    assert shown[1, 1, 1] == 0
    assert np.array_equal(shown[2], voxels[2])


def test_existing_node_is_filled_again(slicer):
    from gliosuite.mrml.volumes import image_from_node, node_from_image

    node = node_from_image(oblique(), "map")
    other = oblique(shape=(3, 4, 5))
    assert node_from_image(other, "", node) is node
    assert node.GetName() == "map"
    assert Grid.of(image_from_node(node)).matches(Grid.of(other))


def test_transform_is_refused_by_name(slicer):
    from gliosuite.mrml.volumes import image_from_node, node_from_image

    node = node_from_image(oblique(), "T1c")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="T1c lies under the transform shift; harden it"):
        image_from_node(node)


def test_empty_node_is_refused(slicer):
    from gliosuite.mrml.volumes import image_from_node

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="nothing holds no image"):
        image_from_node(node)


def test_shear_is_refused(slicer):
    from gliosuite.mrml.volumes import grid_from_matrix

    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    with pytest.raises(InputError, match="CT has axes that are not at right angles"):
        grid_from_matrix(matrix, (2, 2, 2), "CT")


def test_result_goes_into_a_folder_of_the_study_of_its_input(slicer):
    from gliosuite.mrml.volumes import node_from_image, place_beside

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient"), "study")
    reference = node_from_image(oblique(), "DCE")
    hierarchy.CreateItem(study, reference)
    for name in ("ktrans", "ve"):
        place_beside(node_from_image(oblique(), name), reference, "DCE maps")
    folder = hierarchy.GetItemChildWithName(study, "DCE maps")
    assert hierarchy.GetNumberOfItemChildren(folder) == 2
    assert hierarchy.GetNumberOfItemChildren(study) == 2
