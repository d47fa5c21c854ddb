"""Two images in squares of either, in all slice views: edges continue where they lie together."""

from typing import Any

import SimpleITK as sitk
import slicer
import slicer.util

from ..registration.pictures import squares
from .layout import show_alone
from .volumes import QUANTITY, node_from_image

_BOARD = "checkerboard"  # its quantity, by which it is no image of the patient


def show(fixed: sitk.Image, moved: sitk.Image, name: str) -> Any:
    """Show two images of one grid; the scene has one checkerboard, which is filled again."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    before = next((n for n in nodes if n.GetAttribute(QUANTITY) == _BOARD), None)
    board = node_from_image(squares(fixed, moved), _BOARD, before)
    board.SetName(f"checkerboard of {name}")
    board.SetAttribute(QUANTITY, _BOARD)
    display = board.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    show_alone(board)
    return board
