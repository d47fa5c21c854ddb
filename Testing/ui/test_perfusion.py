"""The GlioPerfusion panel: what it reads from a series, what it asks for, and what it does with results, errors and Cancel."""

import ast
import json
import re

import numpy as np
import pytest
from gliosuite.errors import InputError, door, option
from gliosuite.images import Grid, Series
from gliosuite.perfusion.settings import DceSettings, DscSettings
from gliosuite.settings import settings_of

from Testing.conftest import ROOT

GRID = Grid((5, 4, 3), (2.0, 2.0, 4.0), (-5.0, -4.0, -6.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
TIMES = (0.0, 4.5, 9.0, 13.5)


def apply_button(panel):
    return panel.ui.dceButton if panel.ui.kindComboBox.currentText == "DCE" else panel.ui.dscButton


def apply(panel):
    apply_button(panel).click()


class FakeLogic:
    """Takes requests; gives back one map node. What is no step is the module's own logic."""

    def __init__(self, slicer, own):
        self.slicer, self.own, self.requests, self.abandoned, self.shown = slicer, own, [], [], []

    def __getattr__(self, name):
        return getattr(self.own, name)

    def start(self, request):
        import types

        self.requests.append(request)
        return types.SimpleNamespace(request=request, arguments=["dce", "series.nii.gz"], folder=None)

    def finish(self, job, summary):
        from gliosuite.mrml.perfusion import PerfusionResult

        node = self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "DCE ktrans")
        return PerfusionResult({"ktrans": node}, None, summary)

    def abandon(self, job):
        self.abandoned.append(job)

    def show(self, result):
        self.shown.append(result)


@pytest.fixture
def panel(slicer, module, fake_steps):
    """The module's own widget, its logic and step replaced; a DCE sequence with known acquisition is in the scene."""
    from slicerapp.loaded import dicom_sequence

    frames = np.random.default_rng(0).normal(100, 5, (4, *GRID.shape)).astype(np.float32)
    series = dicom_sequence(Series(frames, GRID), [36e6 + 1e3 * t for t in TIMES], tr_ms=5.4, flip_angle_deg=12)
    widget = module("GlioPerfusion").GlioPerfusionWidget()
    panel = widget.panel
    panel.widget, panel.logic = widget, FakeLogic(slicer, panel.logic)
    panel.steps = fake_steps(panel)
    panel.series = series
    return panel


def test_series_fills_times_and_acquisition(panel):
    assert panel.ui.seriesSelector.currentNode() is panel.series
    assert panel.ui.timesEdit.text == "0, 4.5, 9, 13.5"
    assert panel.ui.timesInfo.text == "4 frames, 0 to 13.5 s, every 4.5 s on average"
    assert panel.ui.trSpinBox.value == 5.4
    assert panel.ui.flipAngleSpinBox.value == 12
    assert panel.ui.teSpinBox.value == 0


def test_unit_override(panel):
    panel.ui.timeUnitComboBox.currentIndex = 1
    assert panel.ui.timesEdit.text == "0, 4500, 9000, 13500"


def test_a_clock_of_whole_seconds_is_said_of_times_that_nobody_typed(panel):
    panel.series.SetAttribute("MultiVolume.FrameLabels", "36000000,36001000,36003000,36004000")
    panel.onSeries()
    assert panel.ui.timesInfo.text.endswith(
        "AcquisitionTime is a clock of whole seconds, so that each time may be wrong by 1 s"
    )
    panel.ui.timesEdit.text = "1.5"
    assert panel.ui.timesInfo.text == "4 frames, 0 to 4.5 s, every 1.5 s on average"


def test_why_there_are_no_times_is_said(panel):
    panel.series.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagName", "EchoTime")
    panel.onSeries()
    assert panel.ui.timesEdit.text == ""
    assert "tells its frames apart by EchoTime [ms], not by time: the times" in panel.ui.timesInfo.text


def test_apply_asks_for_what_the_panel_shows(panel):
    panel.ui.timesEdit.text = "5"
    panel.ui.trSpinBox.value = 6.1
    panel.ui.aifComboBox.currentIndex = 3
    panel.ui.modelComboBox.currentIndex = 2
    panel.ui.t10SpinBox.value = 1.4
    apply(panel)
    request = panel.logic.requests[0]
    assert request.series is panel.series
    assert (request.kind, request.aif, request.model) == ("DCE", "population (Parker)", "patlak")
    assert request.times_s == (0.0, 5.0, 10.0, 15.0)
    assert (request.tr_ms, request.flip_angle_deg, request.t10_s) == (6.1, 12.0, 1.4)
    assert request.mask is None


def test_the_network_refines_extended_tofts_alone(panel):
    assert panel.ui.refineCheckBox.enabled
    panel.ui.refineCheckBox.checked = True
    apply(panel)
    assert panel.logic.requests[0].refined
    panel.steps[0].done({})
    panel.ui.modelComboBox.currentIndex = 2
    assert not panel.ui.refineCheckBox.enabled
    apply(panel)
    assert not panel.logic.requests[1].refined


def test_baseline_and_arrival_reach_the_request(panel):
    apply(panel)
    assert (panel.logic.requests[0].baseline, panel.logic.requests[0].arrival_s) == (None, None)
    panel.steps[0].done({})
    panel.ui.baselineEdit.text = " 6 "
    apply(panel)
    assert (panel.logic.requests[1].baseline, panel.logic.requests[1].arrival_s) == (6, None)
    panel.steps[1].done({})
    panel.ui.baselineEdit.text = ""
    panel.ui.arrivalEdit.text = "31.5"
    apply(panel)
    assert (panel.logic.requests[2].baseline, panel.logic.requests[2].arrival_s) == (None, 31.5)
    panel.steps[2].done({})
    panel.ui.baselineEdit.text = "six"
    apply(panel)
    assert panel.ui.statusLabel.text == "the baseline is 'six'; a whole number is needed, or nothing, to have it found"
    assert len(panel.logic.requests) == 3


def test_each_kind_has_a_t1_map_of_its_own(slicer, panel):
    maps = {}
    for name in ("t1", "dscT1", "dscB1"):
        maps[name] = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        getattr(panel.ui, f"{name}Selector").setCurrentNode(maps[name])
    apply(panel)
    assert (panel.logic.requests[0].t1_map, panel.logic.requests[0].b1_map) == (maps["t1"], None)
    panel.steps[0].done({})
    panel.ui.kindComboBox.currentIndex = 1
    apply(panel)
    assert (panel.logic.requests[1].t1_map, panel.logic.requests[1].b1_map) == (maps["dscT1"], maps["dscB1"])


def test_progress_result_and_buttons(panel):
    assert apply_button(panel).enabled
    assert not panel.ui.cancelButton.enabled
    apply(panel)
    assert not apply_button(panel).enabled
    assert panel.ui.cancelButton.enabled
    step = panel.steps[0]
    step.progress(0.42, "fitting")
    assert panel.ui.progressBar.value == 42
    assert panel.ui.statusLabel.text == "fitting"
    step.warnings.append("AIF from 3 voxels")
    step.done({})
    assert panel.ui.statusLabel.text == "done: DCE ktrans\nnote: AIF from 3 voxels"
    assert panel.logic.shown[0].maps["ktrans"].GetName() == "DCE ktrans"
    assert apply_button(panel).enabled
    assert not panel.ui.cancelButton.enabled


def test_error_of_the_step_is_shown_and_its_files_go(panel):
    apply(panel)
    panel.steps[0].failed(InputError("series has 4 time points; at least 10 are needed"))
    assert panel.ui.statusLabel.text == "series has 4 time points; at least 10 are needed"
    assert len(panel.logic.abandoned) == 1
    assert apply_button(panel).enabled


def test_cancel(panel):
    from gliosuite.mrml.process import CancelledError

    apply(panel)
    panel.ui.cancelButton.click()
    assert panel.steps[0].cancelled
    panel.steps[0].failed(CancelledError("cancelled"))
    assert panel.ui.statusLabel.text == "cancelled"
    assert len(panel.logic.abandoned) == 1


def test_bad_times_are_said_before_anything_starts(panel):
    panel.ui.timesEdit.text = "1, 2, 3"
    apply(panel)
    assert panel.ui.statusLabel.text == "3 times are given for 4 frames; as many times as frames are needed"
    assert panel.steps == []


def test_sentences_call_settings_as_the_panel_does(panel):
    names = panel.names()
    assert names["--baseline"] == '"Baseline"'
    assert names["--t10"] == '"T1 map"'
    apply(panel)
    arguments = panel.steps[0].arguments
    assert json.loads(arguments[arguments.index("--names") + 1]) == names
    panel.steps[0].done({})
    # What the command has and the panel has not is said to be the command's.
    with door(names, "gliosuite dce"):
        assert option("--no-noise-floor") == "gliosuite dce --no-noise-floor"

    # What is made while the panel prepares a step is said in its words too.
    def unfit(request):
        raise InputError(f"an unfit series ({option('--arrival')})")

    panel.logic.start = unfit
    apply(panel)
    assert panel.ui.statusLabel.text == 'an unfit series ("Arrival [s]")'


def options_said() -> set[str]:
    """The options of ``dce`` and ``dsc`` that a sentence of the library may name."""
    folders = (ROOT / "GlioCore/gliosuite/perfusion", ROOT / "GlioCore/gliosuite/curves.py")
    files = [f for folder in folders for f in (folder.rglob("*.py") if folder.is_dir() else [folder])]
    said = {flag for f in files for flag in re.findall(r"option\(['\"](--[\w-]+)", f.read_text(encoding="utf-8"))}
    return said | {one.flag for cls in (DceSettings, DscSettings) for one in settings_of(cls).values() if one.needed}


def test_every_option_that_a_sentence_names_is_the_panels_or_said_to_be_the_commands(panel):
    elsewhere = {"--delay", "--no-noise-floor", "--allow-invalid-voxels", "--dispersion", "--r2star", "--tissue-r2star"}
    elsewhere |= {"--bounds", "--t10-blood"}
    elsewhere |= {"--input"}  # of lyoo2025, which the panel does not offer
    assert options_said() - set(panel.labels) == elsewhere


def test_only_what_the_kind_and_the_aif_need_is_shown(panel):
    ui = panel.ui
    panel.widget.parent.show()
    assert ui.dceBox.enabled
    assert not ui.dscBox.enabled
    assert (ui.dceBox.collapsed, ui.dscBox.collapsed) == (False, True)
    assert not ui.aifSegmentSelector.visible
    assert ui.sinusCheckBox.visible
    assert not ui.vofCheckBox.visible
    ui.kindComboBox.currentIndex = 1
    ui.aifComboBox.currentIndex = 2
    assert (ui.dceBox.collapsed, ui.dscBox.collapsed) == (True, False)
    assert ui.aifSegmentSelector.visible
    assert ui.vofCheckBox.visible
    assert not ui.pointsTable.visible
    ui.dceBox.collapsed = False  # whoever opens it may look
    ui.aifComboBox.currentIndex = 1
    assert not ui.dceBox.collapsed
    assert ui.pointsTable.visible
    panel.widget.parent.hide()


def test_choices_are_kept_in_the_scene(slicer, panel):
    panel.ui.kindComboBox.currentIndex = 1
    panel.ui.aifFileEdit.currentPath = "aif.csv"
    node = slicer.mrmlScene.GetSingletonNode("GlioPerfusion", "vtkMRMLScriptedModuleNode")
    kept = type(panel.parameters)(node)
    assert (kept.kind, kept.aifFile, kept.series) == ("DSC", "aif.csv", panel.series)


def reloaded(slicer, between=lambda: None):
    """The scene is saved, closed and loaded again, as the application does it."""
    scene = slicer.mrmlScene
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text = scene.GetSceneXMLString()
    scene.Clear(0)
    between()
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    scene.Import()


def test_closed_scenes_leave_an_empty_panel_each_time(slicer, panel):
    parameters = panel.parameters
    for _ in range(3):
        panel.ui.kindComboBox.currentIndex = 1
        panel.ui.trSpinBox.value = 1500
        slicer.mrmlScene.Clear(0)
        assert panel.parameters is parameters, "one wrapper for all scenes"
        assert panel.parameters.series is None
        assert (panel.parameters.kind, panel.parameters.trMs) == ("DCE", 0.0)
        assert (panel.ui.kindComboBox.currentText, panel.ui.trSpinBox.value) == ("DCE", 0)
        assert not apply_button(panel).enabled


def test_maps_of_a_closed_scene_do_not_land_in_the_next(slicer, panel):
    apply(panel)
    slicer.mrmlScene.Clear(0)
    (step,) = panel.steps
    assert step.cancelled
    assert panel.logic.abandoned == []
    step.done({})
    assert len(panel.logic.abandoned) == 1
    assert panel.logic.shown == []
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_a_loaded_scene_shows_its_own_choices(slicer, panel):
    ui = panel.ui
    ui.kindComboBox.currentIndex = 1
    ui.timesEdit.text = "5"
    ui.trSpinBox.value = 1500
    ui.aifFileEdit.currentPath = "aif.csv"
    reloaded(slicer, lambda: setattr(ui.kindComboBox, "currentIndex", 0))
    p = panel.parameters
    assert p.series.GetName().startswith("7: DCE")
    assert (p.kind, p.times, p.trMs, p.aifFile) == ("DSC", "5", 1500.0, "aif.csv")
    assert ui.seriesSelector.currentNode() is p.series
    assert (ui.kindComboBox.currentText, ui.timesEdit.text, ui.trSpinBox.value) == ("DSC", "5", 1500)
    assert ui.aifFileEdit.currentPath == "aif.csv"


def test_a_module_that_is_shown_takes_what_has_been_loaded_meanwhile(slicer, panel):
    from slicerapp.loaded import dicom_sequence

    slicer.mrmlScene.Clear(0)
    node = dicom_sequence(Series(np.ones((4, *GRID.shape), np.float32), GRID), (0, 1500, 3000, 4500), "DSC", te_ms=30)
    panel.widget.enter()
    assert panel.parameters.series is node
    assert panel.ui.teSpinBox.value == 30


def test_another_series_brings_its_own_acquisition(slicer, panel):
    """The repetition time and flip angle of the DCE series are none of a DSC series that does not say its own."""
    from slicerapp.loaded import dicom_sequence

    ui = panel.ui
    ui.timeUnitComboBox.currentIndex = 2
    ui.baselineEdit.text, ui.arrivalEdit.text = "6", "31.5"
    frames = np.ones((4, *GRID.shape), np.float32)
    node = dicom_sequence(Series(frames, GRID), (0, 1500, 3000, 4500), "DSC", te_ms=30)
    ui.seriesSelector.setCurrentNode(node)
    assert panel.ui.timesEdit.text == "0, 1.5, 3, 4.5"
    assert (ui.trSpinBox.value, ui.teSpinBox.value, ui.flipAngleSpinBox.value) == (0, 30, 0)
    assert ui.trSpinBox.text == ui.flipAngleSpinBox.text == "not known"
    assert (ui.baselineEdit.text, ui.arrivalEdit.text, ui.timeUnitComboBox.currentIndex) == ("", "", 0)
    panel.ui.kindComboBox.currentIndex = 1
    request = panel.request()
    assert (request.series, request.tr_ms, request.te_ms, request.flip_angle_deg) == (node, 0.0, 30.0, 0.0)


def test_the_segment_that_is_shown_is_the_one_that_is_used(slicer, panel):
    from gliosuite.mrml.segments import segmentation_from_masks

    inside = np.zeros(GRID.shape, np.uint8)
    inside[1, 1:3, 1:3] = 1
    for name in ("one", "two"):
        masks = {role: GRID.image(inside) for role in ("cel", "t2l")[: 1 + (name == "two")]}
        segmentation_from_masks(masks, panel.series.GetNthDataNode(0), name)
    panel.ui.aifComboBox.currentIndex = 2
    selector = panel.ui.aifSegmentSelector
    for name in ("one", "two", "one"):
        node = slicer.util.getNode(name)
        selector.setCurrentNode(node)
        assert panel.request().segment == (node, selector.currentSegmentID())
    # A segment that is removed meanwhile: another is shown, and that one is used.
    node = slicer.util.getNode("two")
    selector.setCurrentNode(node)
    node.GetSegmentation().RemoveSegment(selector.currentSegmentID())
    assert selector.currentSegmentID()
    assert panel.request().segment == (node, selector.currentSegmentID())


def test_picture(panel, grab):
    assert grab(panel.widget.parent) > 10
    panel.ui.kindComboBox.currentIndex = 1
    panel.ui.aifComboBox.currentIndex = 2
    assert grab(panel.widget.parent, "dsc") > 10
    panel.widget.parent.hide()


def a_patients_series(slicer):
    """A DCE series of known ktrans as Slicer loads it from DICOM; its times and acquisition are nowhere but in its attributes."""
    from gliosuite.perfusion.kinetics import parker_aif, tofts
    from gliosuite.perfusion.signal import concentration_to_spgr
    from slicerapp.loaded import dicom_sequence

    times = np.arange(40) * 5.0
    tissue = tofts(times, parker_aif(times, 20.0) / 0.58, 0.15, 0.3)[0]
    concentration = np.broadcast_to(tissue, (*GRID.shape, 40)) * np.linspace(0.6, 1.4, 60).reshape(*GRID.shape, 1)
    signal = concentration_to_spgr(concentration, 0.005, 12.0, 1.0, 4.5, s0=1000.0)
    signal = signal + np.random.default_rng(2).normal(0, 0.05, signal.shape)
    series = Series(np.moveaxis(signal, -1, 0).astype(np.float32), GRID)
    return dicom_sequence(series, 36e6 + 1000 * times, tr_ms=5.0, flip_angle_deg=12.0)


def test_the_whole_way_from_a_click_to_a_map(slicer, module):
    """Nothing replaced: the panel, the logic, a process of its own, and a map in the scene."""
    from gliosuite.mrml.volumes import image_from_node

    a_patients_series(slicer)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.ui.aifComboBox.currentIndex = 3
    apply(panel)
    assert panel.ui.cancelButton.enabled, panel.ui.statusLabel.text
    panel._running.wait(60000)
    assert panel.ui.statusLabel.text.startswith("done: 7: DCE ktrans"), panel.ui.statusLabel.text
    ktrans = slicer.util.getNode("7: DCE ktrans")
    assert Grid.of(image_from_node(ktrans)).matches(GRID, 1e-3)
    assert np.median(slicer.util.arrayFromVolume(ktrans)) == pytest.approx(0.15, rel=0.1)
    assert panel.ui.progressBar.value == 100


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_a_real_step_that_is_ended_leaves_no_file_and_no_node(slicer, module, end):
    """By Cancel, or by a scene that closes meanwhile."""
    a_patients_series(slicer)
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.ui.aifComboBox.currentIndex = 3
    apply(panel)
    folder, running = panel._job.folder, panel._running
    assert folder.exists()
    if end == "cancel":
        panel.ui.cancelButton.click()
    else:
        slicer.mrmlScene.Clear(0)
    running.wait(20000)
    assert panel.ui.statusLabel.text == ("cancelled" if end == "cancel" else "")
    assert not folder.exists()
    assert [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "ktrans" in n.GetName()] == []
    assert apply_button(panel).enabled == (end == "cancel")


def test_the_steps_own_sentence_names_the_label(slicer, module):
    """Nothing replaced: a series without a bolus, refused by the process in the panel's words."""
    from gliosuite.mrml.sequences import node_from_series

    grid = Grid((6, 6, 4), GRID.spacing, GRID.origin, GRID.direction)
    frames = np.random.default_rng(5).normal(100, 1, (20, *grid.shape)).astype(np.float32)
    node_from_series(Series(frames, grid), tuple(5.0 * i for i in range(20)), "DCE")
    panel = module("GlioPerfusion").GlioPerfusionWidget().panel
    panel.ui.trSpinBox.value = 5.0
    panel.ui.flipAngleSpinBox.value = 12.0
    apply(panel)
    panel._running.wait(60000)
    assert panel.ui.statusLabel.text.endswith('(give "Baseline", if it does)'), panel.ui.statusLabel.text


def declared() -> dict[str, tuple[object, object]]:
    """Default, and choices or range, of each parameter of GlioPerfusion's panel, as its source has them."""
    source = ast.parse((ROOT / "GlioPerfusion" / "GlioPerfusion.py").read_text(encoding="utf-8"))
    (node,) = (n for n in source.body if isinstance(n, ast.ClassDef) and n.name.endswith("ParameterNode"))
    found = {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.annotation, ast.Subscript) and line.value is not None:
            _, limits = line.annotation.slice.elts
            found[line.target.id] = (ast.literal_eval(line.value), [ast.literal_eval(a) for a in limits.args])
    return found


@pytest.mark.parametrize(
    "parameter, cls, name",
    [
        ("model", DceSettings, "model"),
        ("leakage", DscSettings, "leakage"),
        ("deconvolution", DscSettings, "deconvolution"),
        ("hematocrit", DceSettings, "hematocrit"),
        ("relaxivity", DceSettings, "relaxivity"),
    ],
)
def test_the_panel_agrees_with_the_settings(slicer, parameter, cls, name):
    from gliosuite.mrml.perfusion import PerfusionRequest

    # The module's file loads before the library is on the path, so that it cannot take them from there.
    one = settings_of(cls)[name]
    default, limits = declared()[parameter]
    assert default == one.default == getattr(PerfusionRequest(None), parameter)
    if one.choices:
        assert set(limits[0]) == set(one.choices)
        assert limits[0][0] == default
    else:
        for value in limits:
            one.check(value)
