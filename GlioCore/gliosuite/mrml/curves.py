"""Curves in the scene (tables and charts), and control points: which count, in which voxels they lie."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from .. import resources
from ..errors import InputError
from ..images import Grid, as_grid
from .volumes import TO_LPS

_LEGEND = 8  # curves at most that a legend names; chosen, more would cover the chart


@dataclass(frozen=True)
class Curve:
    """A curve of a chart.

    Attributes
    ----------
    times_s, values
        (t,) each.
    color
        ``"#rrggbb"``; the next of the curves' colours where empty.
    width
        Of the line, in pixels.
    dashed
        Whether the line is broken.
    """

    times_s: np.ndarray
    values: np.ndarray
    color: str = ""
    width: float = 2.0
    dashed: bool = False


def plot_curves(
    curves: Mapping[str, Curve], name: str, y_title: str, chart: slicer.vtkMRMLPlotChartNode | None = None
) -> slicer.vtkMRMLPlotChartNode:
    """Curves over time as table nodes (one for all curves with the same times), a plot series each, and the chart that shows them.

    Parameters
    ----------
    curves
        By title.
    name
        Name of chart and tables.
    y_title
        What the values are, with unit.
    chart
        Chart to fill anew, with its own series and tables, or None for a new one.
    """
    scene = slicer.mrmlScene
    if chart is None:
        chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    with slicer.util.NodeModify(chart):
        old = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
        tables = list({t.GetID(): t for t in (s.GetTableNode() for s in old) if t is not None}.values())
        groups: list[tuple[np.ndarray, list[str]]] = []
        for title, curve in curves.items():
            mine = next((titles for times, titles in groups if np.array_equal(times, curve.times_s)), None)
            if mine is None:
                groups.append((np.asarray(curve.times_s), [title]))
            else:
                mine.append(title)
        holder: dict[str, slicer.vtkMRMLTableNode] = {}
        for index, (times, titles) in enumerate(groups):
            table = tables[index] if index < len(tables) else scene.AddNewNodeByClass("vtkMRMLTableNode", "table")
            table.SetName(f"{name} table" if index == 0 else f"{name} table {index + 1}")
            columns = [times, *(np.asarray(curves[title].values, float) for title in titles)]
            slicer.util.updateTableFromArray(table, columns, ["time_s", *titles])
            holder |= dict.fromkeys(titles, table)
        own = resources.display()["curves"]
        for index, (title, curve) in enumerate(curves.items()):
            node = old[index] if index < len(old) else scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
            with slicer.util.NodeModify(node):
                node.SetName(title)  # what the legend says
                node.SetAndObserveTableNodeID(holder[title].GetID())
                node.SetXColumnName("time_s")
                node.SetYColumnName(title)
                node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
                node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
                style = slicer.vtkMRMLPlotSeriesNode
                node.SetLineStyle(style.LineStyleDash if curve.dashed else style.LineStyleSolid)
                node.SetLineWidth(curve.width)
                node.SetColor(*rgb(curve.color or own[index % len(own)]))
            if index >= len(old):
                chart.AddAndObservePlotSeriesNodeID(node.GetID())
        for node in [*old[len(curves) :], *tables[len(groups) :]]:
            scene.RemoveNode(node)
        chart.SetName(name)
        chart.SetTitle(name)
        chart.SetXAxisTitle("time [s]")
        chart.SetYAxisTitle(y_title)
        chart.SetLegendVisibility(len(curves) <= _LEGEND)
    return chart


def rgb(color: str) -> tuple[float, float, float]:
    """``"#rrggbb"`` as red, green and blue from 0 to 1."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


@dataclass(frozen=True)
class Point:
    """A control point: its index in the node, its label, where it is seen (RAS, mm), and whether it counts."""

    index: int
    label: str
    ras: tuple[float, float, float]
    counts: bool

    def voxel(self, grid: Grid) -> tuple[int, int, int] | None:
        """The voxel (x, y, z) that holds it; None where it lies outside the grid."""
        index = grid.blank().TransformPhysicalPointToIndex([float(v) for v in TO_LPS @ self.ras])
        x, y, z = (int(v) for v in index)
        return (x, y, z) if all(0 <= v < s for v, s in zip((x, y, z), grid.size, strict=True)) else None


def control_points(node: slicer.vtkMRMLMarkupsFiducialNode) -> list[Point]:
    """The placed points of a node. One that is not selected (Markups' tick) does not count: a candidate."""
    found = []
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined:
            ras = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(index, ras)
            counts = bool(node.GetNthControlPointSelected(index))
            found.append(Point(index, node.GetNthControlPointLabel(index), (ras[0], ras[1], ras[2]), counts))
    return found


def mask_from_points(points: slicer.vtkMRMLMarkupsFiducialNode, like: sitk.Image | Grid) -> sitk.Image:
    """The voxels that hold control points which count, as a uint8 mask on the grid of `like`.

    Raises
    ------
    InputError
        If no such point is placed, or one lies outside the grid.
    """
    grid = as_grid(like)
    mask = np.zeros(grid.shape, np.uint8)
    placed = control_points(points)
    for point in placed:
        if not point.counts:
            continue
        voxel = point.voxel(grid)
        if voxel is None:
            raise InputError(
                f"control point {point.label} of {points.GetName()} lies outside the series; place it on an artery inside"
            )
        mask[voxel[::-1]] = 1
    if not mask.any():
        if placed:
            raise InputError(f"{points.GetName()} has {len(placed)} candidates and no point that counts; accept some")
        raise InputError(f"{points.GetName()} has no control point; place at least one on an artery")
    return grid.image(mask)
