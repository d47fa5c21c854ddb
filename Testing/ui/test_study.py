"""Section 1 of GlioPerfusion on a digital patient: roles, registration to the T1c, movement, T1 from flip angles."""

import numpy as np
import pytest
import SimpleITK as sitk
from gliosuite.errors import InputError
from gliosuite.files import write_json
from gliosuite.images import Grid, array, read_image, resample

from Testing.standin.patients import simulated


@pytest.fixture(scope="session")
def patient(tmp_path_factory):
    """A coarse digital patient with all that section 1 takes."""
    return simulated(tmp_path_factory.mktemp("study"), seed=8112, scans="structural,vfa,dce")


@pytest.fixture
def panel(slicer, module, patient):
    """GlioPerfusion's own panel, nothing replaced; the patient is in the scene."""
    from gliosuite.mrml.case import load_case

    nodes = load_case(patient)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.nodes = nodes
    return panel


def finish_steps(panel):
    """Wait until nothing runs any more."""
    while panel._running is not None:
        assert panel._running.wait(180000)


def box_of(panel, node):
    study = panel.study
    return study._boxes[[e.node for e in study._entries].index(node)]


def processed():
    from PySide6 import QtWidgets

    QtWidgets.QApplication.processEvents()


def table(widget):
    return [[widget.item(r, c).text() for c in range(widget.columnCount)] for r in range(widget.rowCount)]


def test_roles_are_shown_and_changed(slicer, panel):
    ui, nodes = panel.ui, panel.nodes
    assert ui.studyTable.rowCount == len(nodes) - ("masks" in nodes)
    assert box_of(panel, nodes["t1c"]).currentText == "T1c"
    assert box_of(panel, nodes["vfa"]).currentText == "flip angles"
    assert panel.parameters.series is nodes["dce"]
    assert (panel.parameters.vfaAngles, panel.parameters.vfaTrMs) == ("2, 5, 10, 15", 5.0)
    box_of(panel, nodes["t1"]).currentIndex = 1
    processed()
    assert box_of(panel, nodes["t1"]).currentText == "T1c"
    assert box_of(panel, nodes["t1c"]).currentText == "none", "one image alone is the T1c"
    assert [row[0] for row in table(ui.registrationTable)] == [nodes[r].GetName() for r in ("t2", "flair", "dce")]
    slicer.util.addVolumeFromArray(np.ones((3, 3, 3), np.float32), name="late t2")
    ui.lookButton.click()
    assert "late t2" in [row[0] for row in table(ui.studyTable)]
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    ui.studyTable.setCurrentCell(0, 0)
    ui.studyTable.cellClicked.emit(0, 0)
    assert composite.GetBackgroundVolumeID() == panel.study._entries[0].node.GetID()


def test_all_is_put_onto_the_t1c(slicer, panel, patient):
    """Nothing replaced: each image in a process of its own; what is accepted lies where the simulator moved it from."""
    from gliosuite.mrml.sequences import series_from_node

    ui, nodes = panel.ui, panel.nodes
    ui.registerButton.click()
    assert not ui.registerButton.enabled
    finish_steps(panel)
    states = {row[0]: row[1:] for row in table(ui.registrationTable)}
    assert set(states) == {nodes[r].GetName() for r in ("t1", "t2", "flair", "dce")}
    assert all(state == "look at it" and " mm, " in moved for moved, state in states.values())
    assert ui.statusLabel.text.startswith(nodes["dce"].GetName())
    assert "SimpleITK" in ui.registrationInfo.text or "BRAINSFit" in ui.registrationInfo.text
    assert (
        slicer.util.getNode("checkerboard*").GetName()
        == f"checkerboard of {nodes['dce'].GetName()} to {nodes['t1c'].GetName()}"
    )
    before = series_from_node(nodes["dce"]).grid
    ui.acceptRegistrationButton.click()
    assert table(ui.registrationTable)[3][2] == "accepted"
    assert not ui.acceptRegistrationButton.enabled
    after = series_from_node(nodes["dce"]).grid
    truth = sitk.ReadTransform(str(patient.parent / "truth" / patient.name / "dce.tfm"))
    off = {name: _distance(before, grid, truth) for name, grid in (("before", before), ("after", after))}
    assert off["after"] < 1.0
    assert off["after"] < 0.6 * off["before"]
    ui.withdrawButton.click()
    assert series_from_node(nodes["dce"]).grid.matches(before)


def _distance(native: Grid, seen: Grid, truth: sitk.Transform) -> float:
    """How far (mm, mean over the head's middle) a series is seen from where it belongs, whichever way the truth is written."""
    middle = np.array(native.size) / 2
    index = np.stack(
        np.meshgrid(*[m + np.array([-12.0, 0.0, 12.0]) * (1 if a < 2 else 0.5) for a, m in enumerate(middle)]), -1
    )
    here, there = (_points(grid, index.reshape(-1, 3)) for grid in (native, seen))
    ways = [[t.TransformPoint(p.tolist()) for p in here] for t in (truth, truth.GetInverse())]
    return min(float(np.linalg.norm(there - np.array(way), axis=1).mean()) for way in ways)


def _points(grid: Grid, index: np.ndarray) -> np.ndarray:
    return index @ (np.reshape(grid.direction, (3, 3)) * grid.spacing).T + grid.origin


def test_t1_lies_where_the_series_lies(slicer, panel, patient):
    from gliosuite.mrml.volumes import image_from_node

    ui, nodes = panel.ui, panel.nodes
    ui.t1Button.click()
    finish_steps(panel)
    assert ui.statusLabel.text.startswith(f"{nodes['dce'].GetName()} T1: median "), ui.statusLabel.text
    node = panel.parameters.t1Map
    assert ui.t1Selector.currentNode() is node
    image = image_from_node(node)
    truth = resample(read_image(patient.parent / "truth" / patient.name / "dce_t10.nii.gz"), Grid.of(image))
    found, known = array(image), array(truth)
    inside = (known > 0.3) & (known < 2)
    error = lambda values: np.median(np.abs(values[inside] / known[inside] - 1))
    assert error(found) < 0.2
    assert all(error(np.roll(found, 2, axis)) > 1.2 * error(found) for axis in range(3))
    assert panel.request().t1_map is node


def test_what_the_flip_angles_lack_is_said(panel):
    ui = panel.ui
    ui.vfaAnglesEdit.text = ""
    ui.t1Button.click()
    assert ui.statusLabel.text.startswith("the flip angles are not known")
    ui.vfaAnglesEdit.text = "2, 5"
    ui.t1Button.click()
    finish_steps(panel)
    assert "flip angles" in ui.statusLabel.text
    ui.vfaTrSpinBox.value = 0
    ui.t1Button.click()
    assert ui.statusLabel.text.startswith("the repetition time of the flip angles")


def test_movement_is_corrected_and_drawn(slicer, panel):
    ui, nodes = panel.ui, panel.nodes
    times = panel.parameters.times
    ui.motionButton.click()
    finish_steps(panel)
    series = panel.parameters.series
    assert series.GetName() == f"{nodes['dce'].GetName()}, motion corrected"
    assert "the head moved by up to" in ui.statusLabel.text
    assert (panel.parameters.times, panel.parameters.trMs, panel.parameters.kind) == (times, 3.5, "DCE")
    chart = slicer.util.getNode(f"{series.GetName()}: movement")
    assert chart.GetNumberOfPlotSeriesNodes() == 6
    ui.motionCheckBox.checked = False
    assert panel.request().motion is False


# ------------------------------------------------------------------------------------------------ without processes


def written(job, quality):
    """What a step of `gliosuite register` leaves."""
    sitk.WriteTransform(sitk.Euler3DTransform((0, 0, 0), 0, 0, 0.1, (1, 2, 3)), str(job.folder / "T.tfm"))
    write_json(job.folder / "out.json", quality)


QUALITY = {
    "translation_mm": 3.7,
    "rotation_deg": 5.7,
    "overlap": 0.95,
    "engine": "brainsfit",
    "mutual_information_before": 0.4,
    "mutual_information_after": 0.9,
}


def test_a_refused_image_costs_the_others_nothing(panel, fake_steps):
    ui = panel.ui
    steps = fake_steps(panel)
    ui.registerButton.click()
    steps[0].failed(InputError("the registration was refused: the heads overlap by 10 %"))
    assert len(steps) == 2
    written(panel._job, QUALITY)
    steps[1].done({})
    rows = table(ui.registrationTable)
    assert rows[0][1:] == ["", "refused"]
    assert rows[1][1:] == ["3.7 mm, 5.7°", "look at it"]
    assert "by BRAINSFit" in ui.registrationInfo.text
    steps[2].failed(InputError("refused too"))
    steps[3].failed(InputError("and this"))
    assert len(steps) == 4
    assert ui.registerButton.enabled
    # What went wrong is told of the chosen row, which can be done again from another start.
    ui.registrationTable.setCurrentCell(0, 0)
    ui.registrationTable.cellClicked.emit(0, 0)
    assert "overlap by 10 %" in ui.registrationInfo.text
    ui.startComboBox.currentIndex = 2
    ui.redoButton.click()
    assert len(steps) == 5
    arguments = steps[4].arguments
    assert arguments[arguments.index("--start") + 1] == "center-of-head"
    written(panel._job, QUALITY)
    steps[4].done({})
    assert table(ui.registrationTable)[0][2] == "look at it"


def test_cancel_ends_them_all(panel, fake_steps):
    from gliosuite.mrml.process import CancelledError

    steps = fake_steps(panel)
    panel.ui.registerButton.click()
    panel.ui.cancelButton.click()
    assert steps[0].cancelled
    steps[0].failed(CancelledError("cancelled"))
    assert len(steps) == 1
    assert panel.ui.registerButton.enabled


def test_registrations_are_kept_with_the_scene(slicer, panel, fake_steps, tmp_path):
    from gliosuite.mrml.perfusion.registration import accepted
    from slicerapp.saving import save_and_load

    steps = fake_steps(panel)
    panel.ui.registerButton.click()
    for number in range(4):
        written(panel._job, QUALITY)
        steps[number].done({})
    panel.ui.acceptRegistrationButton.click()
    name = panel.nodes["dce"].GetName()
    save_and_load(tmp_path / "scene")
    rows = table(panel.ui.registrationTable)
    assert [row[2] for row in rows] == ["look at it"] * 3 + ["accepted"]
    assert panel.parameters.series.GetName() == name
    assert accepted(panel.parameters.series)
    slicer.mrmlScene.Clear(0)
    assert panel.ui.registrationTable.rowCount == panel.ui.studyTable.rowCount == 0


def test_what_a_case_says_of_t1_and_blood_reaches_the_panel(slicer, panel, patient):
    from gliosuite.case import Case

    ui, said = panel.ui, Case.load(patient).acquisition("dce")
    assert {"t10_s", "hematocrit", "relaxivity"} <= set(said)
    request = panel.request()
    assert (request.t10_s, request.relaxivity) == (said["t10_s"], said["relaxivity"])
    assert request.hematocrit == pytest.approx(said["hematocrit"], abs=0.005)  # the box has two decimals
    assert ui.knownInfo.text.startswith(f"As the case says: T1 {said['t10_s']:g} s, hematocrit ")
    assert ui.knownInfo.text.endswith(f", relaxivity {said['relaxivity']:g} /mM/s.")
    ui.t10SpinBox.value = 1.25
    panel.onChoice()
    assert "T1" not in ui.knownInfo.text, "what a person typed is nobody else's word"
    other = panel.nodes["dce"]
    for key in ("t10_s", "hematocrit", "relaxivity"):
        other.RemoveAttribute(key)
    panel.known.read(other)
    assert (panel.request().t10_s, ui.knownInfo.text) == (1.25, "")
    assert panel.request().hematocrit == pytest.approx(0.42), "that of the last series goes"


def test_a_t1_map_in_the_scene_is_taken_and_one_in_ms_is_not(slicer, panel):
    ui, p = panel.ui, panel.parameters
    assert p.t1Map is None
    late = slicer.util.addVolumeFromArray(np.full((3, 3, 3), 1400.0, np.float32), name="sub-01 T1_map")
    ui.lookButton.click()
    assert p.t1Map is None
    assert "looks like milliseconds" in ui.knownInfo.text
    slicer.util.updateVolumeFromArray(late, np.full((3, 3, 3), 1.4, np.float32))
    ui.lookButton.click()
    assert box_of(panel, late).currentText == "T1 map"
    assert p.t1Map is late
    assert p.dscT1Map is late
    assert ui.t1Selector.currentNode() is late
    assert not ui.t10SpinBox.enabled
    assert "sub-01 T1_map was taken as T1 map." in ui.knownInfo.text
    ui.t1Selector.setCurrentNode(None)
    panel.onChoice()
    assert panel.request().t1_map is None
