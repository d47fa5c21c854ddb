"""Section 2 of GlioPerfusion on a digital patient: points on M1 and their curves, candidates, tables, two readers."""

import numpy as np
import pytest

from Testing.standin.patients import curves_of, m1_points, manual_aif, simulated


@pytest.fixture(scope="session")
def patient(tmp_path_factory):
    """A coarse digital patient with a DCE series."""
    return simulated(tmp_path_factory.mktemp("patient"), seed=8111)


@pytest.fixture
def panel(slicer, module, patient):
    """GlioPerfusion's own panel, nothing replaced; the patient is in the scene."""
    from gliosuite.mrml.case import load_case

    nodes = load_case(patient)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.nodes = nodes
    panel.ui.seriesSelector.setCurrentNode(nodes["dce"])
    panel.ui.aifComboBox.currentIndex = 1
    return panel


def points_of(panel):
    return panel.parameters.aifPoints


def click(panel, ras):
    """What a click in a slice view does once the place button is down."""
    points_of(panel).AddControlPoint(*ras)


def column(chart, title):
    """A curve of the chart: times and values; None where there is none."""
    return curves_of(chart).get(title)


def equal(drawn, by_hand):
    for one, other in zip(drawn, by_hand, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_points_on_m1_give_the_mean_that_the_command_gives(panel, patient, tmp_path):
    first, second, third, fourth = m1_points(patient, 4)
    for ras in (first, second, third):
        click(panel, ras)
    chart = panel.parameters.aifChart
    no_vein = lambda *ras: manual_aif(patient, ras, tmp_path / "aif.csv", "--no-sinus")
    equal(column(chart, "mean"), no_vein(first, second, third))
    assert panel.ui.pointsTable.rowCount == 3
    assert panel.ui.aifInfo.text.startswith("mean of the points; peak ")
    # Each point has a curve of its own, whose mean it is.
    names = [points_of(panel).GetNthControlPointLabel(i) for i in range(3)]
    own = np.mean([column(chart, name)[1] for name in names], axis=0)
    times, mean = column(chart, "mean")
    after = times > 60
    np.testing.assert_allclose(own[after], mean[after], rtol=1e-5)
    # Dragged, deleted, and not ticked any more.
    points_of(panel).SetNthControlPointPosition(0, *fourth)
    equal(column(chart, "mean"), no_vein(fourth, second, third))
    points_of(panel).RemoveNthControlPoint(1)
    equal(column(chart, "mean"), no_vein(fourth, third))
    import qt

    panel.ui.pointsTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    equal(column(chart, "mean"), no_vein(third))
    assert panel.parameters.aifChart is chart


def test_the_aif_as_the_maps_take_it(panel, patient, tmp_path):
    """Draw brings it to the level of a vein, as the command does; so does the switch; saved, it is the command's table."""
    ras = m1_points(patient, 3)
    for point in ras:
        click(panel, point)
    panel.ui.drawButton.click()
    whole = manual_aif(patient, ras, tmp_path / "aif.csv")
    equal(column(panel.parameters.aifChart, "AIF"), whole)
    assert "venous sinus" in panel.ui.aifInfo.text
    panel.ui.sinusCheckBox.checked = False
    without = manual_aif(patient, ras, tmp_path / "aif.csv", "--no-sinus")
    equal(column(panel.parameters.aifChart, "AIF"), without)
    assert panel.request().sinus is False
    panel.ui.aifOutEdit.currentPath = str(tmp_path / "mine.csv")
    panel.ui.saveAifButton.click()
    assert (tmp_path / "mine.csv").read_text() == (tmp_path / "aif.csv").read_text()
    # Loaded again, it is the same curve.
    panel.ui.aifComboBox.currentIndex = 5
    panel.ui.aifFileEdit.currentPath = str(tmp_path / "mine.csv")
    panel.ui.drawButton.click()
    equal(column(panel.parameters.aifChart, "AIF"), without)
    panel.ui.aifComboBox.currentIndex = 3
    panel.ui.drawButton.click()
    assert "Parker 2006" in panel.ui.aifInfo.text


def test_candidates_are_accepted_dragged_and_deleted(panel, patient):
    ui = panel.ui
    ui.candidatesButton.click()
    points = points_of(panel)
    found = points.GetNumberOfControlPoints()
    assert found > 5
    assert ui.statusLabel.text.startswith(f"{found} candidates")
    assert f"has {found} candidates and no point that counts" in ui.aifInfo.text
    assert column(panel.parameters.aifChart, "mean") is None
    assert not any(points.GetNthControlPointSelected(i) for i in range(found))
    position = np.zeros(3)
    points.GetNthControlPointPosition(0, position)
    position[2] += 25
    points.SetNthControlPointPosition(0, *position)
    ui.candidatesButton.click()  # those that are there are not added twice; where one was dragged from is
    assert points.GetNumberOfControlPoints() == found + 1
    import qt

    ui.pointsTable.item(0, 0).setCheckState(qt.Qt.Checked)
    assert column(panel.parameters.aifChart, "mean") is not None
    ui.deleteCandidatesButton.click()
    assert points.GetNumberOfControlPoints() == ui.pointsTable.rowCount == 1
    ui.candidatesButton.click()
    ui.acceptButton.click()
    assert all(points.GetNthControlPointSelected(i) for i in range(points.GetNumberOfControlPoints()))
    before = points.GetNumberOfControlPoints()
    ui.deletePointButton.click()
    assert "no point is chosen" in ui.statusLabel.text
    ui.pointsTable.setCurrentCell(1, 1)
    ui.deletePointButton.click()
    assert points.GetNumberOfControlPoints() == ui.pointsTable.rowCount == before - 1


def test_a_point_outside_and_one_in_tissue_are_said(panel, patient):
    click(panel, (500.0, 0.0, 0.0))
    assert "of AIF points lies outside the series" in panel.ui.aifInfo.text
    assert panel.ui.pointsTable.item(0, 2).text() == ""
    points_of(panel).RemoveNthControlPoint(0)
    assert "no control point" in panel.ui.aifInfo.text


def test_the_bolus_is_shown(slicer, panel):
    from gliosuite.mrml.sequences import proxy_of

    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.ui.bolusButton.click()
    proxy = proxy_of(panel.nodes["dce"])
    assert composite.GetBackgroundVolumeID() == proxy.GetID()
    shown = slicer.util.arrayFromVolume(proxy)
    frames = [slicer.util.arrayFromVolume(panel.nodes["dce"].GetNthDataNode(i)) for i in range(60)]
    number = next(i for i, frame in enumerate(frames) if np.array_equal(frame, shown))
    assert 7 <= number <= 20


def test_the_arrival_is_a_line_and_a_number(panel, patient):
    click(panel, m1_points(patient, 1)[0])
    found, _ = column(panel.parameters.aifChart, "arrival")
    assert f"arrives at {found[0]:.1f} s" in panel.ui.aifInfo.text
    panel.ui.arrivalEdit.text = f"{found[0] - 5:g}"
    panel.ui.arrivalEdit.editingFinished.emit()
    assert column(panel.parameters.aifChart, "arrival")[0][0] == found[0] - 5
    panel.ui.arrivalEdit.text = "soon"
    panel.ui.arrivalEdit.editingFinished.emit()
    assert panel.ui.statusLabel.text.startswith("the arrival is 'soon'")


def test_points_are_drawn_anew_where_the_series_lies_elsewhere(slicer, panel, patient):
    """The series is accepted 10 mm further: the points mark other voxels, and what is drawn follows."""
    from gliosuite.mrml.sequences import shown
    from gliosuite.mrml.volumes import REGISTRATION

    for point in m1_points(patient, 3):
        click(panel, point)
    chart = panel.parameters.aifChart
    before = column(chart, "mean")[1]
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.eye(4)
    matrix[0, 3] = 10.0
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    moved.SetAttribute(REGISTRATION, "{}")
    shown(panel.nodes["dce"]).SetAndObserveTransformNodeID(moved.GetID())
    panel.onChoice()
    after = column(chart, "mean")
    assert after is None or np.abs(after[1] - before).max() > 0.1 * before.max()
    shown(panel.nodes["dce"]).SetAndObserveTransformNodeID(None)
    panel.onChoice()
    assert np.array_equal(column(chart, "mean")[1], before)


def test_scenes_come_and_go(slicer, panel, patient, tmp_path):
    """Points and chart are saved with the scene; in the next one nothing of them is drawn."""
    from slicerapp.saving import save_and_load

    for point in m1_points(patient, 2):
        click(panel, point)
    points = points_of(panel)
    save_and_load(tmp_path / "scene")
    assert points_of(panel).GetNumberOfControlPoints() == 2
    assert points_of(panel) is not points
    chart = panel.parameters.aifChart
    assert column(chart, "mean") is not None
    click(panel, m1_points(patient, 3)[2])
    assert panel.parameters.aifChart is chart
    assert panel.ui.pointsTable.rowCount == 3
    slicer.mrmlScene.Clear(0)
    assert panel.parameters.aifPoints is None
    assert panel.ui.pointsTable.rowCount == 0


@pytest.mark.parametrize("same", [True, False])
def test_two_readers(slicer, panel, patient, same):
    """Nothing replaced: a map with either reader's points in the lesion, their difference, and both curves."""
    from gliosuite.mrml.perfusion.arterial import new_points

    ui = panel.ui
    ras = m1_points(patient, 4)
    for point in ras[:2]:
        click(panel, point)
    assert not ui.compareButton.enabled
    other = new_points("Reader B")
    for point in ras[:2] if same else ras[2:]:
        other.AddControlPoint(*point)
    ui.secondPointsSelector.setCurrentNode(other)
    assert column(panel.parameters.aifChart, "Reader B") is not None
    masks = panel.nodes["masks"]
    ui.compareSegmentSelector.setCurrentNode(masks)
    ui.compareSegmentSelector.setCurrentSegmentID(
        masks.GetSegmentation().GetSegmentIdBySegmentName("enhancing lesion (CEL)")
    )
    ui.compareButton.click()
    for _ in range(2):
        assert not ui.compareButton.enabled
        panel._running.wait(120000)
    assert ui.statusLabel.text.startswith("Ktrans [1/min] in "), ui.statusLabel.text
    node = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[-1]
    assert node.GetName().endswith("Ktrans, Reader B minus AIF points")
    assert node.GetDisplayNode().GetColorNode().GetName() == "GlioSuite coolwarm"
    change = slicer.util.arrayFromVolume(node)
    assert bool(np.abs(change).max() == 0) is same
    names, medians = ([ui.readersTable.item(row, c).text() for row in range(3)] for c in (0, 1))
    assert names == ["AIF points", "Reader B", "difference"]
    assert (medians[0] == medians[1]) is same
    assert ui.compareButton.enabled
