"""The GlioRT panel: what is matched and ticked is asked for, previews, the table, the structure set, what is said."""

import time
import types
import warnings

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid

GRID = Grid((10, 10, 6), (2.0, 2.0, 3.0), (-10.0, -10.0, -9.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
KEYS = ("name", "ctv_cc", "sensitivity", "missed_cc", "normal_brain_cc", "pcc", "dice")


class FakeLogic:
    """Does what takes time, and remembers what it was asked for."""

    def __init__(self, slicer):
        self.slicer = slicer
        self.computed, self.exported, self.drawn, self.abandoned, self.seen, self.cut = [], [], [], [], [], []
        self.source, self.findings, self.drafted = None, (), []

    def _node(self, name):
        return self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)

    def _result(self, node):
        from gliosuite.mrml.rt.request import TargetsResult

        rows = [("CTV_RTOG", 123.456, 0.91, 1.5, 80.0, 0.7, 0.3), ("CTV_EANO", 99.0, 0.8, 2.5, 60.0, 0.6, float("nan"))]
        return TargetsResult(node, {"CTV_RTOG": "CTV", "CTV_EANO": "CTV"}, {}, KEYS, rows)

    def compute(self, request):
        self.computed.append(request)
        if "cel" not in request.segments:
            raise InputError("scheme rtog needs the enhancing lesion (CEL)")
        warnings.warn("no cavity: its margin is left out", stacklevel=1)
        return self._result(self._node("Target volumes"))

    def recall(self, node):
        """Of a node that was computed, also before the scene was loaded."""
        return None if node is None else (self._result(node), types.SimpleNamespace(reference=None))

    def preview(self, request, roles, margin_mm, node):
        self.drawn.append((request, roles, margin_mm, node))
        made = node or self._node("Margin preview")
        return types.SimpleNamespace(segmentation=made, volume_cc=10 * margin_mm, roles=roles, barriers=("falx",))

    def predictor(self, request):
        logic = self

        class Predictor:
            range_cc = (20.0, 300.0)

            def draw(self, prediction, node):
                logic.cut.append(prediction)
                return node or logic._node("Predicted"), 0.07, 88.0

        self.seen.append("predictor")
        return Predictor()

    def hide(self, segmentation):
        self.seen.append(("hide", segmentation))

    def show(self, result, request, other, three_d):
        self.seen.append(("show", request.reference.GetName(), other and other.GetName(), three_d))

    def goTo(self, result, name, fill=True):  # noqa: N802
        self.seen.append(("go", name, fill))

    def difference(self, result, first, second, reference, node):
        self.seen.append(("difference", first, second))
        return node or self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "difference")

    def overlay(self, node):
        self.seen.append(("overlay", node and node.GetName()))

    def startBarriers(self, request):  # noqa: N802
        if "brain" not in request.segments:
            raise InputError("no brain segment is chosen")
        return types.SimpleNamespace(request=request, arguments=["barriers", "--image", "image.nii.gz"])

    def finishBarriers(self, job, summary):  # noqa: N802
        return self._node("Barriers")

    def abandon(self, job):
        self.abandoned.append(job)

    def dicomSource(self, node):  # noqa: N802
        return self.source

    def drafts(self, result, request):
        return self.drafted

    def check(self, result, request, wanted):
        self.exported.append(("check", wanted))
        return self.findings

    def export(self, result, request, wanted):
        self.exported.append((result, wanted))
        rois = [types.SimpleNamespace(name="CTV_RTOG"), types.SimpleNamespace(name="GTV_CEL")]
        return types.SimpleNamespace(rois=rois, findings=()), f"{wanted.folder}/RS.dcm"

    def slicerRtChanges(self):  # noqa: N802
        return ""

    def exportWithSlicerRt(self, result, request, folder):  # noqa: N802
        self.exported.append((result, folder))
        return "SlicerRT writes the image anew"


@pytest.fixture
def panel(slicer, module, fake_steps):
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    image = lambda name: node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), name)
    t1c, _ = image("7: t1 post gad"), image("8: FLAIR")
    inside = np.zeros(GRID.shape, np.uint8)
    inside[2:4, 3:6, 3:6] = 1
    lesions = segmentation_from_masks({"cel": GRID.image(inside), "t2l": GRID.image(inside)}, t1c, "lesions")
    widget = module("GlioRT").GlioRTWidget()
    widget.panel.widget, widget.panel.logic = widget, FakeLogic(slicer)
    widget.panel.lesions, widget.panel.steps = lesions, fake_steps(widget.panel)
    return widget.panel


@pytest.fixture
def computed(panel):
    """A panel whose targets are computed."""
    panel.ui.computeButton.click()
    return panel


def rest(panel, until, seconds=3.0):
    """Let timers run until something has happened."""
    import qt

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        qt.QApplication.processEvents()
        time.sleep(0.01)
    assert until()


def texts(table):
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def tick(panel, *names):
    import qt
    from gliosuite.mrml.rt.targets import schemes

    for row, scheme in enumerate(schemes()):
        state = qt.Qt.Checked if scheme.name in names else qt.Qt.Unchecked
        panel.ui.schemeTable.item(row, 0).setCheckState(state)


# ------------------------------------------------------------------------------------------------------------- structures


def test_images_and_structures_are_found(panel):
    ui, p = panel.ui, panel.parameters
    assert (p.reference.GetName(), p.flair.GetName(), p.segmentation) == ("7: t1 post gad", "8: FLAIR", panel.lesions)
    assert (ui.celComboBox.currentText, ui.celFound.text) == ("enhancing lesion (CEL)", "by code")
    assert (ui.t2lComboBox.currentText, ui.t2lFound.text) == ("T2 lesion (T2L)", "by name")
    assert (ui.brainComboBox.currentText, ui.brainFound.text) == ("none", "")
    assert set(panel.request().segments) == {"cel", "t2l"}


def test_what_a_person_chooses_is_kept_also_that_there_is_none(slicer, panel):
    ui = panel.ui
    ui.t2lComboBox.currentIndex = 0
    ui.brainComboBox.currentIndex = 2
    assert (ui.t2lFound.text, ui.brainFound.text) == ("", "chosen")
    panel.lesions.GetSegmentation().AddEmptySegment("more", "resection cavity")
    panel.widget.enter()
    assert (ui.t2lComboBox.currentText, ui.brainComboBox.currentText) == ("none", "T2 lesion (T2L)")
    assert ui.cavityComboBox.currentText == "resection cavity", "what has come meanwhile is matched"
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    ui.segmentationSelector.setCurrentNode(other)
    assert panel.request().segments == {}
    ui.segmentationSelector.setCurrentNode(panel.lesions)
    assert set(panel.request().segments) == {"cel", "t2l", "cavity"}, "another segmentation is matched anew"


def test_where_two_segments_fit_a_person_is_asked(panel):
    segments = panel.lesions.GetSegmentation()
    for name in ("progression one", "progression two"):
        segments.AddEmptySegment("", name)
    panel.widget.enter()
    assert panel.ui.inputStatus.text == "Progression: progression one and progression two fit alike; choose one"
    panel.ui.progressionComboBox.currentIndex = 4
    assert panel.ui.inputStatus.text == ""
    assert panel.ui.inputStatus.isHidden()
    assert panel.ui.progressionFound.text == "chosen"


def test_the_first_image_is_no_label_map_and_no_frame_of_a_sequence(slicer, module):
    from gliosuite.images import Series
    from gliosuite.mrml.volumes import node_from_image
    from slicerapp.loaded import dicom_sequence

    dicom_sequence(Series(np.ones((3, *GRID.shape), np.float32), GRID), (0, 5, 10))
    node_from_image(GRID.image(np.ones(GRID.shape, np.uint8)), "labels", labels=True)
    widget = module("GlioRT").GlioRTWidget()
    assert widget.panel.parameters.reference is None
    image = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "some image")
    widget.enter()
    assert widget.panel.parameters.reference is image


# ---------------------------------------------------------------------------------------------------------------- margins


def test_schemes_are_listed_with_what_they_are_and_their_dose(panel):
    found = {row[0].split("\n")[0]: row for row in texts(panel.ui.schemeTable)}
    assert found["ESTRO-EANO guideline"] == ["ESTRO-EANO guideline\nCEL + cavity", "\n15 mm", "\n60 Gy"]
    assert found["NRG Oncology, two phases"][1:] == ["\n20 mm\n20 mm", "\n46 Gy phase\n14 Gy phase"]
    assert "CTV_4600, CTV_6000. Source: 2019" in panel.ui.schemeTable.item(5, 0).toolTip()


def test_compute_asks_for_what_is_ticked_and_chosen(panel):
    tick(panel, "rtog", "s3-eortc")
    panel.ui.ptvSlider.value = 3
    panel.ui.computeButton.click()
    (request,) = panel.logic.computed
    assert request.schemes == ("rtog", "s3-eortc")
    assert (request.reference.GetName(), request.ptv_mm, request.prediction) == ("7: t1 post gad", 3.0, None)
    node, segment = request.segments["t2l"]
    assert node.GetSegmentation().GetSegment(segment).GetName() == "T2 lesion (T2L)"


def test_nothing_ticked_nothing_to_compute(panel):
    tick(panel)
    assert not panel.ui.computeButton.enabled


def test_the_margin_is_drawn_once_the_slider_rests(panel):
    ui = panel.ui
    ui.marginSlider.value = 12
    assert panel.logic.drawn == [], "no preview is wanted yet"
    ui.previewCheckBox.checked = True
    for margin in (13, 14, 18, 20):
        ui.marginSlider.value = margin
    assert panel.logic.drawn == []
    rest(panel, lambda: panel.logic.drawn)
    ((request, roles, margin, node),) = panel.logic.drawn
    assert (set(request.segments), roles, margin, node) == ({"cel", "t2l"}, ("cel", "cavity", "t2l"), 20, None)
    assert ui.previewLabel.text == "20 mm round CEL + cavity + T2L: 200.0 cc inside the brain, round falx"
    ui.aroundComboBox.currentIndex = 1
    rest(panel, lambda: len(panel.logic.drawn) == 2)
    assert panel.logic.drawn[1][1] == ("cel", "cavity")
    assert panel.logic.drawn[1][3] is panel.parameters.previewSegmentation, "it is drawn anew in its node"
    ui.previewCheckBox.checked = False
    assert panel.logic.seen[-1] == ("hide", panel.parameters.previewSegmentation)
    ui.marginSlider.value = 5
    assert (panel.parameters.marginMm, panel.parameters.preview) == (5, False)


def test_barriers_show_what_they_need(panel):
    ui = panel.ui
    shown = lambda: {
        n for n in ("barriersFolderEdit", "barriersSelector", "throughBrainstemCheckBox")
        if not getattr(ui, n).isHidden()
    }  # fmt: skip
    for choice, wanted in (
        ("none", set()),
        ("a folder", {"barriersFolderEdit", "throughBrainstemCheckBox"}),
        ("a segmentation", {"barriersSelector", "throughBrainstemCheckBox"}),
        ("placed by registration", set()),
    ):
        panel.parameters.barriers = choice
        assert shown() == wanted, choice


def test_barriers_of_a_folder_or_segmentation_are_asked_for(panel):
    assert panel.request().barriers == "none"
    panel.parameters.barriers = "a folder"
    panel.ui.barriersFolderEdit.currentPath = "walls"
    panel.ui.throughChiasmCheckBox.checked = True
    request = panel.request()
    assert (request.barriers, request.barriers_folder, request.through) == ("a folder", "walls", ("chiasm",))
    panel.parameters.barriers = "a segmentation"
    panel.ui.barriersSelector.setCurrentNode(panel.lesions)
    assert panel.request().barriers_node is panel.lesions


def test_barriers_by_registration_are_placed_first_and_become_a_segmentation(panel):
    ui = panel.ui
    panel.parameters.barriers = "placed by registration"
    ui.computeButton.click()
    assert ui.resultStatus.text == "no brain segment is chosen"
    assert panel.steps == []
    ui.brainComboBox.currentIndex = 1
    ui.computeButton.click()
    (step,) = panel.steps
    assert step.arguments[0] == "barriers"
    assert panel.logic.computed == []
    assert (ui.computeButton.enabled, ui.cancelButton.enabled) == (False, True)
    step.progress(0.4, "registering the template")
    assert (ui.progressBar.value, ui.resultStatus.text) == (40, "registering the template")
    step.warnings.append("the template lies 3 mm off")
    step.done({"source": "template registered to the image"})
    (request,) = panel.logic.computed
    assert (request.barriers, request.barriers_node.GetName()) == ("a segmentation", "Barriers")
    assert ui.barriersComboBox.currentText == "a segmentation"
    assert "note: the template lies 3 mm off" in ui.resultStatus.text
    assert "no person drew the barriers: look at them" in ui.resultStatus.text
    assert ui.computeButton.enabled


def test_placing_barriers_can_be_cancelled(panel):
    from gliosuite.mrml.process import CancelledError

    panel.ui.brainComboBox.currentIndex = 1
    panel.parameters.barriers = "placed by registration"
    panel.ui.computeButton.click()
    panel.ui.cancelButton.click()
    (step,) = panel.steps
    assert step.cancelled
    step.failed(CancelledError("cancelled"))
    assert panel.ui.resultStatus.text == "cancelled"
    assert len(panel.logic.abandoned) == 1
    assert panel.ui.computeButton.enabled


def test_critical_structures_and_satellites_are_asked_for(panel, slicer):
    assert panel.request().critical is None
    panel.ui.criticalSelector.setCurrentNode(panel.lesions)
    assert panel.request().critical is panel.lesions
    assert panel.ui.satellitesCheckBox.isHidden(), "without a probability there is nothing to keep"
    probability = slicer.util.addVolumeFromArray(np.ones((3, 3, 3), np.float32), name="probability")
    panel.ui.predictedBox.collapsed = False
    panel.ui.probabilitySelector.setCurrentNode(probability)
    assert not panel.ui.satellitesCheckBox.isHidden()
    assert not panel.request().prediction.keep_satellites
    panel.ui.satellitesCheckBox.click()
    assert panel.request().prediction.keep_satellites
    assert panel.parameters.keepSatellites


# -------------------------------------------------------------------------------------------------------------- predicted


@pytest.fixture
def probable(panel):
    """A panel with a probability chosen, its section open."""
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.volumes import node_from_image

    show_map(node_from_image(GRID.image(np.full(GRID.shape, 0.3, np.float32)), "recurrence"), "probability")
    panel.ui.predictedBox.collapsed = False
    panel.widget.enter()
    return panel


def test_a_probability_of_ours_is_chosen_by_itself_and_makes_a_target(probable):
    tick(probable)
    assert probable.ui.computeButton.enabled
    probable.ui.computeButton.click()
    (request,) = probable.logic.computed
    prediction = request.prediction
    assert (prediction.probability.GetName(), prediction.cut, prediction.value) == ("recurrence", "a probability", 0.05)


def test_a_cut_shows_its_own_controls(panel, probable):
    ui = panel.ui
    controls = ("thresholdSlider", "likeComboBox", "volumeSlider", "sensitivitySlider")
    shown = lambda: [n for n in controls if not getattr(ui, n).isHidden()]
    for index, name in enumerate(controls):
        ui.cutComboBox.currentIndex = index
        assert shown() == [name]
    ui.probabilitySelector.setCurrentNode(None)
    assert shown() == []
    assert panel.request().prediction is None


def test_a_cut_is_drawn_once_the_slider_rests_and_what_takes_time_is_done_once(probable):
    ui, logic = probable.ui, probable.logic
    ui.predictedPreviewCheckBox.checked = True
    for percent in (10, 20, 30):
        ui.thresholdSlider.value = percent
    rest(probable, lambda: logic.cut)
    assert [p.value for p in logic.cut] == [0.3]
    assert ui.predictedLabel.text == "probability from 7.0 %: 88.0 cc with the lesion"
    assert (ui.volumeSlider.minimum, ui.volumeSlider.maximum) == (20.0, 300.0)
    ui.thresholdSlider.value = 50
    rest(probable, lambda: len(logic.cut) == 2)
    assert logic.seen.count("predictor") == 1
    ui.t2lComboBox.currentIndex = 0  # another lesion
    rest(probable, lambda: len(logic.cut) == 3)
    assert logic.seen.count("predictor") == 2
    ui.cutComboBox.currentIndex = 1
    ui.likeComboBox.currentIndex = 0
    rest(probable, lambda: logic.cut[-1].like == "rtog")
    assert logic.cut[-1].cut == "the volume of a scheme"


# ---------------------------------------------------------------------------------------------------------------- results


def test_the_table_holds_what_a_narrow_one_can_and_says_the_rest(computed):
    ui = computed.ui
    assert texts(ui.resultTable) == [
        ["CTV_RTOG", "123", "0.91", "1.5", "80", "0.7"],
        ["CTV_EANO", "99", "0.8", "2.5", "60", "0.6"],
    ]
    head = ui.resultTable.horizontalHeaderItem(3)
    assert (head.text(), head.toolTip()) == ("missed", "progression missed (cc)")
    assert ui.resultStatus.text == "Target volumes: CTV_RTOG, CTV_EANO\nnote: no cavity: its margin is left out"
    assert ("show", "7: t1 post gad", "8: FLAIR", False) in computed.logic.seen, "results appear in the views at once"


def test_a_row_goes_to_its_target(computed):
    table = computed.ui.resultTable
    table.setCurrentCell(1, 2)
    table.cellClicked.emit(1, 2)
    assert computed.logic.seen[-1] == ("go", "CTV_EANO", True)


def test_the_whole_table_is_copied_and_saved(computed, monkeypatch, tmp_path):
    import qt

    computed.ui.copyButton.click()
    lines = qt.QApplication.clipboard().text().split("\n")
    assert lines[0].split("\t")[:3] == ["target", "CTV (cc)", "sensitivity"]
    assert lines[2].split("\t") == ["CTV_EANO", "99", "0.8", "2.5", "60", "0.6", ""]
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "t.csv"))
    computed.ui.csvButton.click()
    assert (tmp_path / "t.csv").read_text().split("\n")[1] == "CTV_RTOG,123.456,0.91,1.5,80,0.7,0.3"
    assert computed.ui.resultStatus.text == "t.csv written"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_: "")
    computed.ui.csvButton.click()


def test_a_difference_is_shown_and_taken_away(computed):
    ui, seen = computed.ui, computed.logic.seen
    ui.differenceCheckBox.click()
    assert seen[-2:] == [("difference", "CTV_RTOG", "CTV_EANO"), ("overlay", "difference")]
    ui.firstComboBox.currentIndex, ui.secondComboBox.currentIndex = 1, 0
    assert seen[-2:] == [("difference", "CTV_EANO", "CTV_RTOG"), ("overlay", "difference")]
    assert ui.resultStatus.text.startswith("red: CTV_EANO beyond CTV_RTOG")
    ui.differenceCheckBox.click()
    assert seen[-1] == ("overlay", None)


def test_in_3d_too(computed):
    computed.ui.view3dCheckBox.click()
    assert computed.logic.seen[-1] == ("show", "7: t1 post gad", "8: FLAIR", True)
    assert computed.parameters.view3d


def test_what_is_missing_is_said_near_what_was_clicked(panel):
    panel.ui.celComboBox.currentIndex = 0
    panel.ui.computeButton.click()
    assert panel.ui.resultStatus.text == "scheme rtog needs the enhancing lesion (CEL)"
    assert not panel.ui.resultStatus.isHidden()
    assert not panel.ui.exportButton.enabled


def test_the_log_keeps_what_was_said(computed):
    computed.ui.differenceCheckBox.click()
    lines = computed.ui.logEdit.plainText.split("\n")
    assert lines[0] == "Target volumes: CTV_RTOG, CTV_EANO"
    assert lines[-1].startswith("red: CTV_RTOG beyond CTV_EANO")


def test_targets_of_a_scene_that_is_loaded_can_be_exported(slicer, computed):
    panel, scene = computed, slicer.mrmlScene
    panel.ui.celComboBox.currentIndex = 2
    tick(panel, "nrg")
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text = scene.GetSceneXMLString()
    scene.Clear(0)
    assert not panel.ui.exportButton.enabled
    assert panel.ui.resultTable.rowCount == 0
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    scene.Import()
    assert panel.margins.ticked() == ("nrg",)
    assert panel.ui.exportButton.enabled
    assert panel.ui.resultTable.item(0, 0).text() == "CTV_RTOG"
    panel.ui.exportButton.click()
    assert panel.logic.exported[0][0].segmentation is slicer.util.getNode("Target volumes")


# ----------------------------------------------------------------------------------------------------------- structure set


def test_the_series_is_named_where_it_is_known_and_asked_for_where_not(computed):
    ui = computed.ui
    ui.exportBox.collapsed = False
    assert "was not loaded from Slicer's DICOM database: choose its series" in ui.seriesLabel.text
    assert not ui.seriesFolderEdit.isHidden()
    computed.logic.source = types.SimpleNamespace(title="T1 MPRAGE", files=(1, 2, 3))
    computed.widget.enter()
    assert ui.seriesLabel.text == "On T1 MPRAGE, 3 files of Slicer's DICOM database"
    assert ui.seriesFolderEdit.isHidden()


def test_the_list_is_shown_errors_first(computed):
    finding = lambda level, sentence: types.SimpleNamespace(check="", level=level, sentence=sentence)
    computed.logic.findings = (finding("ok", "fine"), finding("warning", "old"), finding("error", "broken"))
    computed.ui.exportBox.collapsed = False
    computed.ui.checkButton.click()
    assert computed.ui.checkLabel.text == "✗ broken\n! old\n✓ fine"
    assert computed.ui.exportStatus.text == "it cannot be written: 1 error(s) (✗)"
    computed.logic.findings = computed.logic.findings[:2]
    computed.ui.checkButton.click()
    assert computed.ui.exportStatus.text == "it can be written; 1 point(s) to note (!)"


def test_export_asks_for_what_is_chosen(computed):
    ui = computed.ui
    ui.exportBox.collapsed = False
    ui.seriesFolderEdit.currentPath, ui.outputFolderEdit.currentPath = "dicom", "out"
    ui.setLabelEdit.text = "plan A"
    ui.allowDerivedCheckBox.checked = True
    ui.exportButton.click()
    wanted = computed.logic.exported[0][1]
    assert (wanted.series_folder, wanted.folder, wanted.label, wanted.allow_derived) == ("dicom", "out", "plan A", True)
    assert ui.exportStatus.text == "out/RS.dcm holds CTV_RTOG, GTV_CEL"
    ui.destinationComboBox.currentIndex = 1
    assert ui.outputFolderEdit.isHidden()
    ui.exportButton.click()
    assert computed.logic.exported[1][1].destination == "Slicer's DICOM database"


def test_drafts_are_named_and_a_name_is_asked_for(computed):
    ui = computed.ui
    ui.exportBox.collapsed = False
    assert ui.acceptedByEdit.isHidden()
    computed.logic.drafted = ["CTV_RTOG", "GTV_T2L"]
    computed.widget.enter()
    assert ui.draftsLabel.text == "Drafts: CTV_RTOG, GTV_T2L. Who has looked at them?"
    assert not ui.acceptedByEdit.isHidden()
    ui.acceptedByEdit.text = "R. Reader"
    ui.exportButton.click()
    assert computed.logic.exported[0][1].accepted_by == "R. Reader"


def test_slicerrt_is_not_offered_where_it_is_not_installed(panel):
    panel.ui.exportBox.collapsed = False
    assert panel.ui.slicerRtButton.isHidden()


def test_slicerrt_is_offered_where_it_is_and_what_it_changes_is_said(slicer, module, panel, monkeypatch):
    monkeypatch.setattr(slicer.modules, "dicomrtimportexport", object(), raising=False)
    widget = module("GlioRT").GlioRTWidget()
    panel = widget.panel
    panel.ui.exportBox.collapsed = False
    assert "refers to that copy" in panel.ui.slicerRtButton.toolTip
    assert not panel.ui.slicerRtButton.isHidden()
    panel.logic = FakeLogic(slicer)
    panel.ui.computeButton.click()
    panel.ui.outputFolderEdit.currentPath = "out"
    panel.ui.slicerRtButton.click()
    assert panel.logic.exported == [(panel.results.result, "out")]
    assert panel.ui.exportStatus.text == "SlicerRT wrote into out\nnote: SlicerRT writes the image anew"


# ------------------------------------------------------------------------------------------------------------------- looks


def test_nothing_is_wider_than_a_narrow_panel(probable):
    probable.ui.computeButton.click()
    probable.ui.exportBox.collapsed = False
    probable.widget.parent.show()
    assert probable.widget.parent.minimumSizeHint().width() <= 420
    probable.widget.parent.hide()


def test_every_control_says_what_it_is_for(panel):
    classes = (
        "QComboBox",
        "QCheckBox",
        "QPushButton",
        "QLineEdit",
        "ctkSliderWidget",
        "ctkPathLineEdit",
        "qMRMLNodeComboBox",
    )
    silent = {
        n for n, w in vars(panel.ui).items() if w.className() in classes and not w.toolTip and not n.startswith("qt_")
    }
    assert silent == {"slicerRtButton"}, "its text is what SlicerRT changes, where it is installed"


def test_picture(computed, grab):
    assert grab(computed.widget.parent) > 10
    computed.widget.parent.hide()
