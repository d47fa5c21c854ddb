"""The whole way through GlioPerfusion on a digital patient, as a person clicks it; nothing is replaced."""

import numpy as np
import pytest
from gliosuite.images import Grid, array, boolean, read_image, read_mask, resample

from Testing.standin.patients import curves_of, m1_points, simulated


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A coarse digital patient with all that the module takes."""
    return simulated(tmp_path_factory.mktemp("story"), seed=8113, scans="structural,vfa,dce,dsc")


def finish_steps(panel):
    while panel._running is not None:
        assert panel._running.wait(240000)


def chosen(selector, node, name):
    selector.setCurrentNode(node)
    selector.setCurrentSegmentID(node.GetSegmentation().GetSegmentIdBySegmentName(name))


def test_from_a_study_to_numbers(slicer, module, patient, tmp_path):
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.sequences import series_from_node
    from gliosuite.mrml.volumes import image_from_node
    from slicerapp.saving import save_and_load

    nodes = load_case(patient)
    called = nodes["dce"].GetName()
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    ui = panel.ui

    # 1. The series is found and lies, once it is accepted, where the T1c shows it; T1 is measured.
    assert panel.parameters.series is nodes["dce"]
    rows = [ui.registrationTable.item(r, 0).text() for r in range(ui.registrationTable.rowCount)]
    ui.registrationTable.setCurrentCell(rows.index(called), 0)
    ui.registrationTable.cellClicked.emit(rows.index(called), 0)
    ui.redoButton.click()
    finish_steps(panel)
    ui.acceptRegistrationButton.click()
    ui.t1Button.click()
    finish_steps(panel)
    assert panel.parameters.t1Map is not None, ui.statusLabel.text
    chosen(ui.maskSegmentSelector, nodes["masks"], "T2 lesion (T2L)")

    # 2. Three points on M1.
    ui.aifComboBox.currentIndex = 1
    for point in m1_points(patient, 3):
        panel.parameters.aifPoints.AddControlPoint(*point)
    assert ui.aifInfo.text.startswith("mean of the points; peak ")
    assert len(curves_of(panel.parameters.aifChart)) == 5

    # 3. Maps of the lesion, where the T1c shows it.
    ui.dceButton.click()
    finish_steps(panel)
    assert ui.statusLabel.text.startswith(f"done: {called} ktrans, "), ui.statusLabel.text
    ktrans = slicer.util.getNode(f"{called} ktrans")
    image = image_from_node(ktrans)
    assert Grid.of(image).matches(series_from_node(nodes["dce"]).grid, 1e-3)
    truth = array(resample(read_image(patient.parent / "truth" / patient.name / "ktrans.nii.gz"), Grid.of(image)))
    lesion = boolean(read_mask(patient / "cel.nii.gz", Grid.of(image)))
    found = array(image)
    assert np.median(found[lesion]) == pytest.approx(np.median(truth[lesion]), rel=0.5)
    assert np.median(found[lesion]) > 2 * np.median(found[(found > 0) & ~lesion])

    # 5, 6. What is known of them, and numbers of each segment.
    assert ui.mapComboBox.currentText == ktrans.GetName()
    ui.regionSegmentationSelector.setCurrentNode(nodes["masks"])
    ui.hideCheckBox.checked = True
    shown = {ui.uncertaintyTable.item(r, 0).text(): ui.uncertaintyTable.item(r, 1).text() for r in range(2)}
    assert 0 < float(shown["all of the map"].rstrip(" %")) <= 100
    ui.sideBySideButton.click()
    ui.histogramButton.click()
    ui.regionFileEdit.currentPath = str(tmp_path / "regions.csv")
    ui.saveTableButton.click()
    assert (tmp_path / "regions.csv").read_text().startswith("map,unit,region,volume_cc,n,")
    numbers = [[ui.regionTable.item(r, c).text() for c in range(5)] for r in range(ui.regionTable.rowCount)]

    # Saved and loaded again, all of it is there.
    save_and_load(tmp_path / "scene")
    assert numbers == [[ui.regionTable.item(r, c).text() for c in range(5)] for r in range(ui.regionTable.rowCount)]
    assert panel.parameters.aifPoints.GetNumberOfControlPoints() == 3
    assert panel.parameters.t1Map.GetName() == f"{called} T1"

    # 4. The other series: its kind is seen, its section opens, its maps join the scene.
    dsc = next(e.node for e in panel.study._entries if e.role == "dsc")
    ui.seriesSelector.setCurrentNode(dsc)
    assert (ui.kindComboBox.currentText, ui.dscBox.collapsed, ui.dceBox.collapsed) == ("DSC", False, True)
    ui.aifComboBox.currentIndex = 0
    ui.dscButton.click()
    finish_steps(panel)
    assert ui.statusLabel.text.startswith(f"done: {dsc.GetName()} cbv, "), ui.statusLabel.text
    assert ui.mapComboBox.currentText == f"{dsc.GetName()} cbv"
