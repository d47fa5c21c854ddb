"""Curves in the scene (an AIF as table and plot), and control points as a mask."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ..errors import InputError
from ..images import Grid, as_grid
from .volumes import TO_LPS


def plot_curves(
    times_s: np.ndarray, curves: Mapping[str, np.ndarray], name: str, y_title: str
) -> slicer.vtkMRMLPlotChartNode:
    """Curves over time as a table node, one plot series each, and the chart that shows them.

    Parameters
    ----------
    times_s
        (t,) s.
    curves
        Title to (t,) values.
    name
        Name of table and chart.
    y_title
        What the values are, with unit.
    """
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", f"{name} table")
    slicer.util.updateTableFromArray(
        table, [np.asarray(times_s), *map(np.asarray, curves.values())], ["time_s", *curves]
    )
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(name)
    chart.SetXAxisTitle("time [s]")
    chart.SetYAxisTitle(y_title)
    for index, title in enumerate(curves):
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"{name}: {title}")
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("time_s")
        series.SetYColumnName(title)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetColor(*[(0.85, 0.2, 0.2), (0.2, 0.4, 0.85), (0.2, 0.6, 0.3)][index % 3])
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def mask_from_points(points: slicer.vtkMRMLMarkupsFiducialNode, like: sitk.Image | Grid) -> sitk.Image:
    """The voxels that hold control points, as a uint8 mask on the grid of `like`.

    Raises
    ------
    InputError
        If no point is placed, or one lies outside the grid.
    """
    grid = as_grid(like)
    image = grid.blank()
    placed = 0
    for index in range(points.GetNumberOfControlPoints()):
        if points.GetNthControlPointPositionStatus(index) != slicer.vtkMRMLMarkupsNode.PositionDefined:
            continue
        ras = [0.0, 0.0, 0.0]
        points.GetNthControlPointPositionWorld(index, ras)
        voxel = image.TransformPhysicalPointToIndex([float(x) for x in TO_LPS @ ras])
        if any(v < 0 or v >= s for v, s in zip(voxel, grid.size, strict=True)):
            label = points.GetNthControlPointLabel(index)
            raise InputError(
                f"control point {label} of {points.GetName()} lies outside the series; place it on an artery inside"
            )
        image[voxel] = 1
        placed += 1
    if not placed:
        raise InputError(f"{points.GetName()} has no control point; place at least one on an artery")
    return image
