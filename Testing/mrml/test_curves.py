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


def drawn(chart):
    """Of each series of a chart: its title, times and values."""
    found = {}
    for i in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(i)
        table = series.GetTableNode().GetTable()
        columns = [table.GetColumnByName(n) for n in (series.GetXColumnName(), series.GetYColumnName())]
        found[series.GetName()] = [[c.GetValue(k) for k in range(table.GetNumberOfRows())] for c in columns]
    return found


def test_plot_shows_table_columns(slicer):
    from gliosuite.mrml.curves import Curve, plot_curves

    times = np.array([0.0, 5.0, 10.0])
    chart = plot_curves({"AIF": Curve(times, np.array([0.0, 4.0, 2.0]))}, "AIF of DCE", "plasma [mM]")
    assert chart.GetXAxisTitle() == "time [s]"
    assert chart.GetYAxisTitle() == "plasma [mM]"
    assert drawn(chart) == {"AIF": [[0.0, 5.0, 10.0], [0.0, 4.0, 2.0]]}


def test_a_chart_is_filled_anew_with_its_own_nodes(slicer):
    """Curves come and go; those with the same times share a table, and nothing is left in the scene."""
    from gliosuite.mrml.curves import Curve, plot_curves

    times, fine = np.array([0.0, 5.0]), np.array([0.0, 1.0, 2.0])
    curves = {
        "a": Curve(times, times),
        "b": Curve(times, 2 * times),
        "c": Curve(fine, fine, "#0072b2", 4.0, dashed=True),
    }
    chart = plot_curves(curves, "AIF", "mM")
    assert drawn(chart)["b"] == [[0.0, 5.0], [0.0, 10.0]]
    assert drawn(chart)["c"] == [[0.0, 1.0, 2.0]] * 2
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 2
    third = chart.GetNthPlotSeriesNode(2)
    assert (third.GetLineStyle(), third.GetLineWidth()) == (slicer.vtkMRMLPlotSeriesNode.LineStyleDash, 4.0)
    assert third.GetColor() == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    assert plot_curves({"d": Curve(fine, -fine)}, "AIF", "mM", chart) is chart
    assert drawn(chart) == {"d": [[0.0, 1.0, 2.0], [0.0, -1.0, -2.0]]}
    for cls in ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(cls) == 1


def test_candidates_do_not_count(slicer):
    from gliosuite.mrml.curves import control_points, mask_from_points

    node = fiducials(slicer, (3.0, 4.0, 5.0), (7.0, 2.0, 0.0), (30.0, 4.0, 5.0))
    for index in (0, 2):
        node.SetNthControlPointSelected(index, False)
    assert [(p.counts, p.voxel(GRID)) for p in control_points(node)] == [
        (False, (3, 4, 5)),
        (True, (7, 2, 0)),
        (False, None),
    ]
    assert [tuple(v) for v in np.argwhere(boolean(mask_from_points(node, GRID)))] == [(0, 2, 7)]
    node.SetNthControlPointSelected(1, False)
    with pytest.raises(InputError, match="AIF has 3 candidates and no point that counts; accept some"):
        mask_from_points(node, GRID)
