"""Sections 5 and 6 of GlioPerfusion: a map beside its SD, voxels that are hidden, numbers of segments."""

import csv

import numpy as np
import pytest

from Testing.mrml.test_uncertainty import GRID, halves, inside, made, segments
from Testing.standin.patients import curves_of


@pytest.fixture
def panel(slicer, module):
    """GlioPerfusion's own panel; two maps with their SDs and a segmentation are in the scene."""
    maps = made(slicer, folder="first")[0], made(slicer, "ve", value=0.3, folder="second")[0]
    low, high = halves()
    lesions = segments(slicer, low=low, high=high)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.maps, panel.lesions = maps, lesions
    return panel


def table(widget):
    return [[widget.item(r, c).text() for c in range(widget.columnCount)] for r in range(widget.rowCount)]


def test_the_limit_hides_voxels_and_updates_both_tables(slicer, panel):
    ui = panel.ui
    assert ui.mapComboBox.currentText == "DCE ktrans"
    assert table(ui.uncertaintyTable)[0][:2] == ["all of the map", "100 %"]
    ui.regionSegmentationSelector.setCurrentNode(panel.lesions)
    assert [row[:2] for row in table(ui.uncertaintyTable)] == [
        ["all of the map", "100 %"],
        ["low", "100 %"],
        ["high", "100 %"],
    ]
    before = table(ui.regionTable)
    assert [row[0] for row in before] == ["low", "high"]
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetForegroundVolumeID(panel.maps[0].GetID())
    assert not ui.percentSlider.enabled
    ui.hideCheckBox.checked = True
    assert ui.percentSlider.enabled
    copy = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
    assert copy.GetName() == "DCE ktrans, SD up to 50 %"
    ui.percentSlider.value = 25
    assert copy.GetName() == "DCE ktrans, SD up to 25 %"
    rows = table(ui.uncertaintyTable)
    assert float(rows[1][1].rstrip(" %")) < 50
    assert rows[2][1] == "0 %"
    assert rows[2][2] == ""
    after = table(ui.regionTable)
    assert float(after[0][2]) < float(before[0][2])
    assert after[1][2] == ""
    assert after[0][1] == before[0][1], "the segment's volume is what it was"
    ui.hideCheckBox.checked = False
    assert composite.GetForegroundVolumeID() == panel.maps[0].GetID()
    assert table(ui.regionTable) == before


def test_another_map(slicer, panel):
    ui = panel.ui
    ui.regionSegmentationSelector.setCurrentNode(panel.lesions)
    ui.mapComboBox.currentIndex = 1
    assert panel.parameters.shownMap is panel.maps[1]
    assert [row[2] for row in table(ui.regionTable)] == ["0.3", "0.3"]
    # A map without an SD can be counted, not judged.
    plain = slicer.util.addVolumeFromArray(np.ones((3, 3, 3), np.float32), name="probability")
    plain.SetAttribute("GlioSuite.Quantity", "probability")
    panel.bind(panel.parameters)
    assert ui.mapComboBox.count == 3
    assert panel.parameters.shownMap is panel.maps[1]
    assert ui.mapComboBox.currentIndex == 1
    ui.mapComboBox.currentIndex = 2
    assert not ui.hideCheckBox.enabled
    assert not ui.sideBySideButton.enabled


def test_segments_are_taken_as_they_are_now(slicer, panel):
    from gliosuite.mrml.segments import segmentation_from_masks

    ui = panel.ui
    ui.regionSegmentationSelector.setCurrentNode(panel.lesions)
    reference = slicer.util.getNode("reference")
    segmentation_from_masks({"whole": GRID.image(inside().astype(np.uint8))}, reference, "", panel.lesions)
    panel.lesions.GetSegmentation().AddEmptySegment("", "nothing", (1, 0, 0))
    ui.countButton.click()
    assert [row[0] for row in table(ui.regionTable)] == ["low", "high", "whole"]
    assert "segment nothing of lesions is empty" in ui.statusLabel.text


def test_histogram_copy_and_table(slicer, panel, tmp_path):
    import qt

    ui = panel.ui
    assert not ui.histogramButton.enabled
    ui.regionSegmentationSelector.setCurrentNode(panel.lesions)
    ui.histogramButton.click()
    chart = panel.parameters.regionChart
    assert set(curves_of(chart)) == {"low", "high"}
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID() == chart.GetID()
    ui.copyButton.click()
    copied = [line.split("\t") for line in qt.QApplication.clipboard().text().splitlines()]
    assert copied[0][:3] == ["map", "unit", "region"]
    assert [row[:3] for row in copied[1:]] == [["ktrans", "1/min", "low"], ["ktrans", "1/min", "high"]]
    ui.saveTableButton.click()
    assert "a name that ends in .csv is needed" in ui.statusLabel.text
    ui.regionFileEdit.currentPath = str(tmp_path / "regions.csv")
    ui.saveTableButton.click()
    with (tmp_path / "regions.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == copied
    ui.hideCheckBox.checked = True
    ui.percentSlider.value = 25
    ui.histogramButton.click()
    assert panel.parameters.regionChart is chart
    assert set(curves_of(chart)) == {"low"}


def test_both_stand_beside_each_other(slicer, panel):
    composites = {}
    for name in ("Red", "Slice4"):
        composites[name] = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composites[name].SetLayoutName(name)
    panel.ui.hideCheckBox.checked = True
    panel.ui.sideBySideButton.click()
    shown = {n: slicer.mrmlScene.GetNodeByID(c.GetForegroundVolumeID()).GetName() for n, c in composites.items()}
    assert shown == {"Red": "DCE ktrans, SD up to 50 %", "Slice4": "DCE ktrans_sd"}


def test_scenes_come_and_go(slicer, panel, tmp_path):
    from slicerapp.saving import save_and_load

    ui = panel.ui
    ui.regionSegmentationSelector.setCurrentNode(panel.lesions)
    ui.hideCheckBox.checked = True
    ui.percentSlider.value = 40
    rows = table(ui.uncertaintyTable)
    save_and_load(tmp_path / "scene")
    assert (ui.hideCheckBox.checked, ui.percentSlider.value) == (True, 40)
    assert ui.mapComboBox.count == 2
    assert table(ui.uncertaintyTable) == rows
    ui.percentSlider.value = 30
    assert len(slicer.util.getNodes("*SD up to*")) == 1, "the copy of the scene is filled anew"
    slicer.mrmlScene.Clear(0)
    assert ui.mapComboBox.count == ui.uncertaintyTable.rowCount == ui.regionTable.rowCount == 0
    assert not ui.hideCheckBox.checked
