"""Maps and how well they are known: a map with its SD, voxels that are hidden where it is too large, both side by side in four views."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import slicer.util

from ... import resources
from ...perfusion.regions import certain
from ..display import show_map
from ..volumes import QUANTITY, grid_of, ijk_to_ras, place_beside

_CERTAIN = "GlioSuite.certain"  # node reference of a map: its copy without the voxels that are hidden
_COPY = "GlioSuite.HiddenAbove"  # attribute of that copy: the limit, %
# The views of the layout: map and SD beside each other, in two directions.
_VIEWS = {"Red": ("Axial", False), "Slice4": ("Axial", True), "Green": ("Coronal", False), "Yellow": ("Coronal", True)}
_OPACITY = 0.8  # of maps over the T1c; chosen, anatomy shows through


@dataclass(frozen=True)
class Map:
    """A map and its standard deviation; None where it has none."""

    node: Any
    sd: Any = None

    @property
    def quantity(self) -> str:
        """Which map it is (``ktrans``, ...)."""
        return str(self.node.GetAttribute(QUANTITY))

    def values(self, percent: float | None = None) -> np.ndarray:
        """The map (k, j, i), NaN where it is undefined, and with `percent` also where its SD is above that share of it, or not known.

        A node holds 0 where its map has no value; a 0 whose SD is above 0 is a value.
        """
        values = slicer.util.arrayFromVolume(self.node).astype(np.float64)
        if self.sd is None:
            return np.where(values != 0, values, np.nan)
        sd = slicer.util.arrayFromVolume(self.sd)
        defined = (values != 0) | (sd > 0)
        if percent is not None:
            defined &= certain(values, sd, percent)
        return np.where(defined, values, np.nan)


def maps() -> list[Map]:
    """The scene's maps, fitted or synthesised, each with its SD where there is one: of the same quantity, on the same grid and in the same
    folder of the subject hierarchy. Copies with hidden voxels are none.
    """
    nodes = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute(QUANTITY)]
    nodes = [n for n in nodes if n.GetImageData() is not None and not n.GetAttribute(_COPY)]
    known = resources.display()["maps"]
    found = []
    for node in nodes:
        quantity = node.GetAttribute(QUANTITY)
        if quantity not in known:
            continue
        sds = [n for n in nodes if n.GetAttribute(QUANTITY) == f"{quantity}_sd" and _alike(n, node)]
        found.append(Map(node, sds[0] if sds else None))
    return found


def beside(one: Map) -> list[Map]:
    """The maps that were made with one: on the same grid and in the same folder, itself among them."""
    return [other for other in maps() if _alike(other.node, one.node)]


def _alike(one: Any, other: Any) -> bool:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = lambda node: hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    return folder(one) == folder(other) and grid_of(one, True).matches(grid_of(other, True))


def hide(one: Map, percent: float | None) -> Any:
    """What is to be shown of a map: itself, or with `percent` and an SD a copy without the voxels that are not known as well as that."""
    if percent is None or one.sd is None:
        return one.node
    look = resources.look(one.quantity)
    low, high = look.range or (0.0, 1.0)
    # Below the threshold of the display: 0, or where that is a value like others, less than the range holds.
    nothing = 0.0 if low >= 0 else 2.0 * low - high
    values = one.values(percent)
    shown = np.where(np.isnan(values), nothing, values).astype(np.float32)
    copy = one.node.GetNodeReference(_CERTAIN)
    if copy is None:
        copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "copy")
        slicer.util.updateVolumeFromArray(copy, shown)
        copy.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(grid_of(one.node))))
        copy.CreateDefaultDisplayNodes()
        show_map(copy, one.quantity)
        copy.GetDisplayNode().Copy(one.node.GetDisplayNode())
        place_beside(copy, one.node)
        one.node.SetNodeReferenceID(_CERTAIN, copy.GetID())
    else:
        slicer.util.arrayFromVolume(copy)[:] = shown
        slicer.util.arrayFromVolumeModified(copy)
    copy.SetName(f"{one.node.GetName()}, SD up to {percent:g} %")
    copy.SetAttribute(_COPY, f"{percent:g}")
    return copy


def show_side_by_side(shown: Any, one: Map, background: Any = None) -> None:
    """A map (or its copy) beside its SD, axial above coronal, over `background`; scrolling one scrolls its neighbour."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None:
        layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutTwoOverTwoView)
    for name, (orientation, right) in _VIEWS.items():
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if view is not None:
            view.SetOrientation(orientation)
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetLayoutName() == name:
                over = one.sd if right else shown
                composite.SetLinkedControl(True)
                composite.SetBackgroundVolumeID(None if background is None else background.GetID())
                composite.SetForegroundVolumeID(None if over is None else over.GetID())
                composite.SetForegroundOpacity(_OPACITY if background is not None else 1.0)
    slicer.app.applicationLogic().FitSliceToAll(False, False)


def replace_shown(old: Any, new: Any) -> None:
    """Show one node wherever the views show another."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() == old.GetID():
            composite.SetForegroundVolumeID(new.GetID())
