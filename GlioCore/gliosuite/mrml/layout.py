"""Which views the application shows, and what lies in them."""

import slicer
import slicer.util

# Ours, beside the application's own arrangements (below 500) and far from numbers that other extensions take.
_IMAGES_AND_3D = 7315
_SLICE = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{view}"><property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{label}</property><property name="viewcolor" action="default">{color}</property>'
    "</view></item>"
)
_VIEWS = (("Red", "R", "#F34A33"), ("Yellow", "Y", "#EDD54C"))


def _description() -> str:
    """Two axial views beside each other over the 3D view."""
    slices = "".join(_SLICE.format(view=view, label=label, color=color) for view, label, color in _VIEWS)
    three_d = '<item><view class="vtkMRMLViewNode" singletontag="1"><property name="viewlabel" action="default">1</property></view></item>'
    return f'<layout type="vertical" split="true"><item><layout type="horizontal">{slices}</layout></item>{three_d}</layout>'


def register() -> None:
    """Make our arrangement known, before a scene that was saved with it is loaded."""
    node = _layout()
    if node is not None and not node.IsLayoutDescription(_IMAGES_AND_3D):
        node.AddLayoutDescription(_IMAGES_AND_3D, _description())


def _layout() -> slicer.vtkMRMLLayoutNode | None:
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def side_by_side(left: slicer.vtkMRMLVolumeNode, right: slicer.vtkMRMLVolumeNode | None, three_d: bool = False) -> None:
    """Two images in two axial views, at the same place and moving together; where there is no second one, the first in both.

    Parameters
    ----------
    three_d
        With the 3D view below.
    """
    register()
    layout = _layout()
    if layout is not None:
        layout.SetViewArrangement(_IMAGES_AND_3D if three_d else slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    offset = None
    for (view, *_), image in zip(_VIEWS, (left, right or left)):
        node = slicer.mrmlScene.GetSingletonNode(view, "vtkMRMLSliceNode")
        if node is None:
            continue  # without a window there are no views
        node.SetOrientationToAxial()
        offset = node.GetSliceOffset() if offset is None else offset
        logic = slicer.app.applicationLogic().GetSliceLogic(node)
        _show(logic, image)
        logic.GetSliceCompositeNode().SetForegroundVolumeID(None)
        logic.GetSliceCompositeNode().SetLinkedControl(True)
        node.SetSliceOffset(offset)


def show_image(image: slicer.vtkMRMLVolumeNode) -> None:
    """An image in all slice views, whole."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        _show(slicer.app.applicationLogic().GetSliceLogic(node), image)


def _show(logic: slicer.vtkMRMLSliceLogic, image: slicer.vtkMRMLVolumeNode) -> None:
    """An image as background of a view, whole where it was not there before: who has zoomed in stays so."""
    composite = logic.GetSliceCompositeNode()
    if composite.GetBackgroundVolumeID() != image.GetID():
        composite.SetBackgroundVolumeID(image.GetID())
        logic.FitSliceToAll()


def overlay(node: slicer.vtkMRMLVolumeNode | None, opacity: float = 0.6) -> None:
    """A volume over what the slice views show; None takes it away."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetForegroundVolumeID(node.GetID() if node is not None else None)
        composite.SetForegroundOpacity(opacity)
