"""Volume nodes and SimpleITK images: RAS to LPS, arrays (k, j, i) as they are, subject hierarchy."""

import re
from collections.abc import Iterable
from itertools import count

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from ..errors import InputError
from ..images import Grid

QUANTITY = "GlioSuite.Quantity"  # attribute of a map: which it is
REGISTRATION = "GlioSuite.Registration"  # attribute of a transform: how good the registration is (JSON)
_RIGID = 1e-5  # of a rotation's product with itself; chosen, a matrix saved as text is as exact
ROLE = "GlioSuite.Role"  # attribute of an image or series: its part in the study, as a person or a case says
TO_LPS = np.diag([-1.0, -1.0, 1.0])


def refuse_transform(node: slicer.vtkMRMLTransformableNode) -> None:
    """Refuse a node that lies under a transform: its voxels are not where its own geometry says.

    Raises
    ------
    InputError
        Naming the node, the transform, and what to do.
    """
    transform = node.GetParentTransformNode()
    if transform is not None:
        raise InputError(
            f"{node.GetName()} lies under the transform {transform.GetName()}; harden it (Data module, right click, Harden transform) "
            "or move the node out of it, and try again"
        )


def registration_of(node: slicer.vtkMRMLTransformableNode) -> slicer.vtkMRMLTransformNode | None:
    """The registration that a node lies under because a person accepted it, or None; other transforms are none."""
    transform = node.GetParentTransformNode() if node.IsA("vtkMRMLTransformableNode") else None
    return transform if transform is not None and transform.GetAttribute(REGISTRATION) else None


def moved_grid(grid: Grid, transform: slicer.vtkMRMLTransformNode) -> Grid:
    """A grid where a rigid transform shows it (LPS).

    Raises
    ------
    InputError
        If the transform is not rigid: voxels would not stay as they are.
    """
    matrix = vtk.vtkMatrix4x4()
    linear = transform.IsTransformToWorldLinear() and transform.GetMatrixTransformToWorld(matrix)
    to_world = slicer.util.arrayFromVTKMatrix(matrix)
    turn = to_world[:3, :3]
    if not linear or np.abs(turn.T @ turn - np.eye(3)).max() > _RIGID or np.linalg.det(turn) < 0:
        raise InputError(f"{transform.GetName()} is not rigid; register with rigid stages only")
    return grid_from_matrix(to_world @ ijk_to_ras(grid), grid.size, transform.GetName())


def plain_volumes() -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The scene's scalar volumes: no label map, nothing hidden, and no frame that a sequence shows."""
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and not any(b.IsProxyNodeID(node.GetID()) for b in browsers)
    ]


def first_image(pattern: str = "") -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scene's first image that is no map of ours and whose name matches a pattern (whatever its case), or None."""
    named = lambda node: re.search(pattern, node.GetName(), re.IGNORECASE)
    return next((n for n in plain_volumes() if not n.GetAttribute(QUANTITY) and named(n)), None)


def grid_of(node: slicer.vtkMRMLVolumeNode, moved: bool = False) -> Grid:
    """The grid of a volume node in LPS; `moved`: it may lie under a transform, which is left out.

    Raises
    ------
    InputError
        If the node is empty, lies under a transform, or has sheared axes.
    """
    if not moved:
        refuse_transform(node)
    if node.GetImageData() is None or not node.GetImageData().GetNumberOfPoints():
        raise InputError(f"{node.GetName()} holds no image; a loaded volume is needed")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return grid_from_matrix(slicer.util.arrayFromVTKMatrix(matrix), node.GetImageData().GetDimensions(), node.GetName())


def grid_from_matrix(ijk_to_ras: np.ndarray, size: tuple[int, int, int], name: str) -> Grid:
    """The grid (LPS) of a 4 x 4 matrix from voxel indices to RAS mm; sheared axes are refused with `name`."""
    columns = ijk_to_ras[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    direction = columns / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise InputError(
            f"{name} has axes that are not at right angles (a sheared acquisition); resample it onto a straight grid first"
        )
    nx, ny, nz = (int(s) for s in size)
    dx, dy, dz = (float(s) for s in spacing)
    x, y, z = (float(o) for o in TO_LPS @ ijk_to_ras[:3, 3])
    return Grid(
        (nx, ny, nz),
        (dx, dy, dz),
        (x, y, z),
        tuple(float(d) for d in (TO_LPS @ direction).ravel()),
    )


def ijk_to_ras(grid: Grid) -> np.ndarray:
    """The 4 x 4 matrix from voxel indices (i, j, k) to RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = TO_LPS @ np.reshape(grid.direction, (3, 3)) * grid.spacing
    matrix[:3, 3] = TO_LPS @ grid.origin
    return matrix


def image_from_node(node: slicer.vtkMRMLScalarVolumeNode, moved: bool = False) -> sitk.Image:
    """A volume node as an image: LPS, voxels copied in their type; `moved` as in `grid_of`.

    Raises
    ------
    InputError
        If the node is empty, has several values per voxel, lies under a transform, or has sheared axes.
    """
    grid = grid_of(node, moved)
    components = node.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(f"{node.GetName()} has {components} values per voxel; a scalar volume is needed")
    return grid.image(np.array(slicer.util.arrayFromVolume(node)))


def seen_image(node: slicer.vtkMRMLScalarVolumeNode) -> sitk.Image:
    """A volume node as an image where it is seen: under a registration that a person accepted, its voxels lie where that moves them.

    Raises
    ------
    InputError
        As `image_from_node`; under another transform.
    """
    registered = registration_of(node)
    if registered is None:
        return image_from_node(node)
    image = image_from_node(node, moved=True)
    return moved_grid(Grid.of(image), registered).image(sitk.GetArrayFromImage(image))


def node_from_image(
    image: sitk.Image, name: str, node: slicer.vtkMRMLScalarVolumeNode | None = None, labels: bool = False
) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node in the scene from an image; voxels that are not finite become 0, since views cannot show them.

    Parameters
    ----------
    image
        3-D image (LPS).
    name
        Name of a new node; an existing one keeps its own.
    node
        Node to fill again, or None for a new one.
    labels
        Make a label map.
    """
    kind = "vtkMRMLLabelMapVolumeNode" if labels else "vtkMRMLScalarVolumeNode"
    voxels = sitk.GetArrayFromImage(image)
    if np.issubdtype(voxels.dtype, np.floating):
        voxels = np.nan_to_num(voxels, nan=0.0, posinf=0.0, neginf=0.0)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(Grid.of(image))))
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    return node


def unique_name(name: str, endings: Iterable[str] = ("",)) -> str:
    """`name`, or ``name (2)`` and so on: the first such that no node of the scene is called so with one of the endings."""
    scene = slicer.mrmlScene
    taken = {scene.GetNthNode(i).GetName() for i in range(scene.GetNumberOfNodes())}
    for number in count(1):
        found = name if number == 1 else f"{name} ({number})"
        if not any(found + ending in taken for ending in endings):
            break
    return found


def place_beside(node: slicer.vtkMRMLNode, reference: slicer.vtkMRMLNode, folder: str | None = None) -> None:
    """Put `node` under the same study as `reference` in the subject hierarchy, in a folder of that name where given."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    beside = hierarchy.GetItemByDataNode(reference)
    parent = hierarchy.GetItemParent(beside) if beside else hierarchy.GetSceneItemID()
    if folder is not None:
        found = hierarchy.GetItemChildWithName(parent, folder)
        parent = found or hierarchy.CreateFolderItem(parent, folder)
    _put_under(hierarchy, parent, node)


def place_in_study(nodes: Iterable[slicer.vtkMRMLNode], name: str) -> None:
    """Put nodes under a new study of that name in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), name)
    for node in nodes:
        _put_under(hierarchy, study, node)


def _put_under(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, parent: int, node: slicer.vtkMRMLNode) -> None:
    # The application has made an item for the node already; without its plugins there is none yet.
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(item, parent)
