"""AIF curves as table and plot; control points as a mask."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.images import Grid, boolean

GRID = Grid((12, 11, 10), (2.0, 2.0, 4.0), (-12.0, -9.0, 30.0), sitk.VersorTransform((0.2, 0.4, 0.9), 0.3).GetMatrix())


def fiducials(slicer, *voxels):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "AIF")
    for voxel in voxels:
        x, y, z = GRID.blank().TransformContinuousIndexToPhysicalPoint(voxel)
        node.AddControlPoint(-x, -y, z)
    return node


def test_points_mark_the_voxels_that_hold_them(slicer):
    from gliosuite.mrml.curves import mask_from_points

    mask = mask_from_points(fiducials(slicer, (3.0, 4.0, 5.0), (7.3, 1.8, 0.4)), GRID)
    assert sorted(map(tuple, np.argwhere(boolean(mask))[:, ::-1])) == [(3, 4, 5), (7, 2, 0)]
    assert Grid.of(mask).matches(GRID)


def test_points_under_a_transform_count_where_they_are_seen(slicer):
    from gliosuite.mrml.curves import mask_from_points

    node = fiducials(slicer, (3.0, 4.0, 5.0))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    shift = np.array(
        GRID.blank().TransformIndexToPhysicalPoint((5, 4, 5))
    ) - GRID.blank().TransformIndexToPhysicalPoint((3, 4, 5))
    matrix = np.eye(4)
    matrix[:3, 3] = shift * (-1, -1, 1)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert [tuple(v) for v in np.argwhere(boolean(mask_from_points(node, GRID)))] == [(5, 4, 5)]


def test_no_point_and_a_point_outside_are_refused(slicer):
    from gliosuite.mrml.curves import mask_from_points

    with pytest.raises(InputError, match="AIF has no control point"):
        mask_from_points(fiducials(slicer), GRID)
    with pytest.raises(InputError, match=r"control point AIF-1 of AIF .* outside the series|AIF-1 .* lies outside"):
        mask_from_points(fiducials(slicer, (30.0, 4.0, 5.0)), GRID)


def test_plot_shows_table_columns(slicer):
    from gliosuite.mrml.curves import plot_curves

    times = np.array([0.0, 5.0, 10.0])
    chart = plot_curves(times, {"AIF": np.array([0.0, 4.0, 2.0])}, "AIF of DCE", "plasma [mM]")
    assert chart.GetXAxisTitle() == "time [s]"
    assert chart.GetYAxisTitle() == "plasma [mM]"
    series = chart.GetNthPlotSeriesNode(0)
    table = series.GetTableNode()
    columns = [table.GetTable().GetColumnByName(n) for n in (series.GetXColumnName(), series.GetYColumnName())]
    assert [[c.GetValue(i) for i in range(3)] for c in columns] == [[0.0, 5.0, 10.0], [0.0, 4.0, 2.0]]
