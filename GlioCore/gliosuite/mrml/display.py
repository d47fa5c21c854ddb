"""How maps look in the views: our colour tables, ranges with units, 0 transparent, a colour legend."""

import json

import numpy as np
import slicer
import slicer.util

from .. import resources
from .volumes import QUANTITY

DIVERGING = ("coolwarm",)
_PRESETS = (0.5, 1.0, 2.0)  # of the range, which the views offer as window presets; chosen


def color_table(colormap: str) -> slicer.vtkMRMLColorTableNode:
    """The scene's colour table of that name (``inferno``, ``viridis``, ...), made once."""
    name = f"GlioSuite {colormap}"
    found = slicer.mrmlScene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if found is not None:
        return found
    stops = json.loads(resources.read_text("colormaps.json"))[colormap]
    points = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetName(name)
    table.SetNumberOfColors(256)
    where = np.linspace(0, 1, len(points))
    for index, fraction in enumerate(np.linspace(0, 1, 256)):
        rgb = [float(np.interp(fraction, where, points[:, channel])) for channel in range(3)]
        # A diverging map is transparent where there is no difference: a threshold cannot leave out its middle.
        opacity = 0.0 if colormap in DIVERGING and index in (127, 128) else 1.0
        table.SetColor(index, f"{index}", *rgb, opacity)
    return slicer.mrmlScene.AddNode(table)


def show_map(node: slicer.vtkMRMLScalarVolumeNode, quantity: str) -> None:
    """Colours, range, threshold and legend of a map, and what its values are, by codes.

    Values up to 0 are transparent, since a map is 0 outside its mask; maps that may be negative (a delay) show all but exactly 0 as
    far as a threshold can: everything from their range's lower end on. The range is the quantity's own, or where it has none, 0 to
    the 98th percentile of what is above 0.
    """
    title, unit, colormap, window = resources.look(quantity)[:4]
    values = slicer.util.arrayFromVolume(node)
    if window is None:
        positive = values[values > 0]
        window = [0.0, float(np.percentile(positive, 98)) if positive.size else 1.0]
    low, high = window
    top = max(float(values.max()), high)
    _color(node, colormap, low, high)
    display = node.GetDisplayNode()
    display.SetThreshold(low if low < 0 else high * 1e-6, top)
    display.SetApplyThreshold(colormap not in DIVERGING)
    node.SetAttribute(QUANTITY, quantity)
    node.SetAttribute("GlioSuite.Unit", unit)
    what, measured_in = resources.codes(quantity)
    node.SetVoxelValueQuantity(_coded(what))
    node.SetVoxelValueUnits(_coded(measured_in))
    _add_legend(node, title, unit)


def _color(node: slicer.vtkMRMLScalarVolumeNode, colormap: str, low: float, high: float) -> None:
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(color_table(colormap).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    display.ResetWindowLevelPresets()
    held = 0.0 if colormap in DIVERGING else low  # 0 stays in the middle of a difference
    for factor in _PRESETS:
        bottom, top = held + factor * (low - held), held + factor * (high - held)
        display.AddWindowLevelPreset(top - bottom, (bottom + top) / 2)


def _add_legend(node: slicer.vtkMRMLScalarVolumeNode, title: str, unit: str) -> None:
    # A view draws the legends of the volumes that it shows, and no others.
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(f"{title} [{unit}]" if unit else title)
    legend.SetLabelFormat("%.3g")
    legend.SetNumberOfLabels(5)
    legend.SetVisibility(True)


def _coded(code: tuple[str, ...] | None) -> slicer.vtkCodedEntry | None:
    if code is None:
        return None
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(code[1], code[0], code[2])
    return entry


def show_difference(node: slicer.vtkMRMLScalarVolumeNode, quantity: str) -> None:
    """Diverging colours of a map of differences of a quantity, even round 0, as far as 98 % of them reach."""
    look = resources.look(quantity)
    values = np.abs(slicer.util.arrayFromVolume(node))
    reach = float(np.percentile(values[values > 0], 98)) if (values > 0).any() else 1.0
    _color(node, "coolwarm", -reach, reach)
    node.SetAttribute(QUANTITY, f"{quantity}_difference")
    node.SetAttribute("GlioSuite.Unit", look.unit)
    _add_legend(node, f"difference of {look.title}", look.unit)


def show_over(
    foreground: slicer.vtkMRMLVolumeNode, background: slicer.vtkMRMLVolumeNode | None = None, opacity: float = 0.6
) -> None:
    """Show `foreground` in all slice views, over `background` or, where that is None, over what they show already."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if background is not None:
            composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity if composite.GetBackgroundVolumeID() else 1.0)


def show_chart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart in the plot view; the layout changes to the nearest that has one."""
    slicer.modules.plots.logic().ShowChartInLayout(chart)
