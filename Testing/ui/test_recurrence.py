"""The GlioRecurrence panel: what is found and chosen is predicted from, what is shown and said, and what a scene keeps."""

from types import SimpleNamespace

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid
from gliosuite.recurrence.reasons import RELATIVE, Reason, Reasons

from Testing.standin.patients import brain_of, predicted_by_library, simulated

GRID = Grid((10, 10, 6), (2.0, 2.0, 3.0), (-10.0, -10.0, -9.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
NOTE = "The recurrence model was trained on simulated patients alone."


class FakeLogic:
    """Does what takes time, and remembers what it was asked for."""

    def __init__(self, slicer):
        self.slicer, self.abandoned = slicer, 0
        self.asked, self.seen, self.handed, self.kept, self.followups = [], [], [], {}, {}
        image = Reason("T1c", 1.0945, RELATIVE, 84.02, -0.7, 0.9, -0.2593, 0.1244, 0.1961)
        place = Reason("from T2L", 3.0, "mm", None, None, None, 3.0588, 0.2671, 0.0089)
        several = Reason("all distances", None, "", None, None, None, 2.4044, 1.1156, 0.0274)
        self.reasons = Reasons(0.1597, 0.0293, (place, image, several), ())

    def predict(self, request):
        self.asked.append(request)
        if "flair" not in request.images:
            raise InputError("no FLAIR is chosen; T1c and FLAIR are needed")
        make = lambda name: self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node, sd = make("Recurrence probability"), make("Recurrence probability SD")
        result = SimpleNamespace(
            probability=node, sd=sd, channels=("t1c", "flair"), threshold=0.1234, notes=(NOTE, "Second.")
        )
        self.kept[node] = result
        return result

    def recall(self, node):
        return self.kept.get(node)

    def startFollowup(self, request):  # noqa: N802
        from gliosuite.mrml.process import begun

        self.asked.append(request)
        return begun(request, lambda folder: ["progression"])

    def finishFollowup(self, job, summary):  # noqa: N802
        node = self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "later on earlier")
        keys = ("translation_mm", "rotation_deg", "mutual_information_before", "mutual_information_after")
        quality = dict(zip(keys, (12.34, 5.6, 0.3, 0.71), strict=True)) | {"notes": ["it looks well"]}
        self.followups[node] = SimpleNamespace(t1c=node, flair=None, earlier=None, quality=quality)
        return self.followups[node]

    def recallFollowup(self, node):  # noqa: N802
        return self.followups.get(node)

    def showCheckerboard(self, found):  # noqa: N802
        self.seen.append(("board", found.t1c.GetName()))

    def showVisits(self, found):  # noqa: N802
        self.seen.append(("both", found.t1c.GetName()))

    def startLaterDrafts(self, found):  # noqa: N802
        return SimpleNamespace(arguments=["lesions"], folder=None)

    def finishLaterDrafts(self, job, summary, found, into):  # noqa: N802
        node = into or self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Progression")
        return node, summary["names"]

    def drawProgression(self, found, into, segments):  # noqa: N802
        self.seen.append(("draw", None if segments is None else sorted(segments)))
        return into or self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Progression")

    def edit(self, segmentation, image):
        self.seen.append(("edit", segmentation.GetName(), image.GetName()))

    def show(self, result, opacity, least):
        self.seen.append(("show", opacity, least))

    def look(self, node, opacity, least):
        self.seen.append((node.GetName(), opacity, least))

    def showSd(self, result, opacity):  # noqa: N802
        self.seen.append(("SD", opacity))

    def why(self, node):
        if self.reasons is None:
            raise InputError("the place 0,0,0 (R,A,S in mm) lies in the cavity")
        return (1.0, -2.0, 30.06), self.reasons

    def card(self, folder):
        if folder == "/nowhere":
            raise InputError("/nowhere holds no card.md")
        return f"# Card of {folder or 'the shipped model'}"

    def habitats(self, folder):
        if not folder:
            raise InputError("no folder is chosen")
        row = {"title": "NEL: infiltrated oedema", "color": "#4fc24a", "cc": 8.38, "percent": 29.0, "drop": 0.343}
        doubtful = {
            "title": "CEL: perinecrotic",
            "color": "#4f7fe8",
            "cc": 1.88,
            "percent": 20.0,
            "doubts": ["its ADC is not high"],
        }
        return SimpleNamespace(patterns=(row | {"adc_mm2_s": 1.17e-3, "doubts": []}, doubtful), notes=("A note.",))

    def startTraining(self, cases, out, kind):  # noqa: N802
        from gliosuite.mrml.recurrence import train

        return train(cases, out, kind)

    def patterns(self, folder):
        from gliosuite.recurrence.patterns.shown import read_shown

        return read_shown(folder)

    def abandon(self, job):
        from gliosuite.mrml.process import abandon

        abandon(job)
        assert not job.folder.exists()
        self.abandoned += 1

    def toRT(self, node, percent):  # noqa: N802
        self.handed.append((node.GetName(), percent))


@pytest.fixture
def scene(slicer):
    """T1c, FLAIR, T1 and ADC, and two lesions in a brain; node by name."""
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    image = lambda name: node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), name)
    nodes = {
        name: image(title) for name, title in (("t1c", "T1 post gad"), ("flair", "FLAIR"), ("t1", "T1"), ("adc", "ADC"))
    }
    mask = np.zeros(GRID.shape, np.uint8)
    mask[2:4, 3:6, 3:6] = 1
    masks = {"brain": GRID.image(np.ones(GRID.shape, np.uint8)), "cel": GRID.image(mask), "t2l": GRID.image(mask)}
    return nodes | {"masks": segmentation_from_masks(masks, nodes["t1c"], "structures")}


@pytest.fixture
def panel(slicer, scene, module):
    widget = module("GlioRecurrence").GlioRecurrenceWidget()
    widget.panel.widget, widget.panel.logic = widget, FakeLogic(slicer)
    widget.panel.nodes = scene
    return widget.panel


def test_what_is_found_is_predicted_from(panel, grab):
    panel.ui.predictButton.click()
    (request,) = panel.logic.asked
    assert request.images == {name: panel.nodes[name] for name in ("t1c", "flair", "t1", "adc")}
    assert set(request.segments) == {"brain", "cel", "t2l"}
    assert request.model_folder == ""
    assert panel.ui.brainFound.text == "by code"
    assert grab(panel.widget.parent) > 5
    panel.widget.parent.hide()


def test_the_result_is_shown_from_the_models_threshold_on(panel):
    ui = panel.ui
    assert not ui.rtButton.enabled
    ui.predictButton.click()
    assert ui.thresholdSlider.value == 12.3
    assert panel.logic.seen[-1] == ("show", 0.6, pytest.approx(0.123))
    assert ui.statusLabel.text == "Recurrence probability: T1c, FLAIR looked at; the model's threshold is 12.3 %"
    assert ui.notesLabel.text.splitlines() == [NOTE, "Second."]
    assert ui.rtButton.enabled


def test_a_missing_flair_is_one_sentence_and_what_was_predicted_stays(panel):
    ui = panel.ui
    ui.predictButton.click()
    before = panel.parameters.probability
    ui.flairSelector.setCurrentNode(None)
    ui.predictButton.click()
    assert ui.statusLabel.text == "no FLAIR is chosen; T1c and FLAIR are needed"
    assert panel.parameters.probability is before


def test_sliders_change_the_display(panel):
    ui = panel.ui
    ui.thresholdSlider.value = 20
    assert not panel.logic.seen, "there is nothing to look at"
    ui.predictButton.click()
    ui.thresholdSlider.value = 30
    ui.opacitySlider.value = 45
    assert panel.logic.seen[-1] == ("Recurrence probability", 0.45, 0.3)
    assert (panel.parameters.opacityPercent, panel.parameters.thresholdPercent) == (45, 30)


def test_the_sd_takes_the_probabilitys_place_and_back(panel):
    ui = panel.ui
    assert not ui.sdCheckBox.enabled
    ui.predictButton.click()
    ui.sdCheckBox.click()
    assert panel.logic.seen[-1] == ("SD", 0.6)
    assert panel.parameters.showSd
    assert not ui.thresholdSlider.enabled, "it is the probability's"
    ui.opacitySlider.value = 45
    assert panel.logic.seen[-1] == ("Recurrence probability", 0.45, pytest.approx(0.123))
    ui.sdCheckBox.click()
    assert panel.logic.seen[-1] == ("show", 0.45, pytest.approx(0.123))
    assert ui.thresholdSlider.enabled
    ui.sdCheckBox.click()
    ui.predictButton.click()
    assert not ui.sdCheckBox.checked, "another prediction is shown itself"
    assert panel.logic.seen[-1][0] == "show"


def cells(table):
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def test_what_drove_a_voxel_is_a_table(panel, slicer, grab):
    ui = panel.ui
    assert not ui.whyButton.enabled
    ui.predictButton.click()
    ui.whyButton.click()
    assert ui.whyStatus.text.splitlines() == [
        "R 1.0, A -2.0, S 30.1 mm: probability 16.0 %, SD 2.9 %",
        "note: T1c: outside what the model was trained on",
    ]
    assert cells(ui.whyTable) == [
        ["from T2L", "3 mm", "", "3.06", "0.27", "0.89 %"],
        ["T1c", "1.09 x", "84 %", "-0.26", "0.12", "20 %"],
        ["all distances", "", "", "2.4", "1.12", "2.7 %"],
    ]
    assert grab(panel.widget.parent) > 5
    panel.widget.parent.hide()
    panel.logic.reasons = None
    ui.whyButton.click()
    assert ui.whyStatus.text.endswith("lies in the cavity")
    assert ui.whyTable.rowCount == 0
    slicer.mrmlScene.Clear(0)
    assert (ui.whyStatus.text, ui.whyButton.enabled) == ("", False)


def test_another_prediction_was_driven_by_something_else(panel):
    ui = panel.ui
    ui.predictButton.click()
    ui.whyButton.click()
    ui.predictButton.click()
    assert (ui.whyTable.rowCount, ui.whyStatus.text) == (0, "")


def test_patterns_and_survival_are_a_table_and_pictures(panel, tmp_path, grab):
    import json

    from matplotlib.figure import Figure

    ui = panel.ui
    ui.patternsBox.collapsed = False
    local, risk = tmp_path / "patterns" / "local", tmp_path / "patterns" / "risk.json"
    local.mkdir(parents=True)
    record = {"outcome": "recurrence_local", "probability": 0.7312, "threshold": 0.5, "notes": ["Simulated."]}
    (local / "pattern.json").write_text(json.dumps(record))
    risk.write_text(json.dumps({"score": -0.3, "cut": 0.05, "group": "low"}))
    Figure(figsize=(4, 2)).savefig(local / "force.png")
    ui.patternsEdit.currentPath = str(tmp_path)
    assert cells(ui.patternsTable) == [
        ["recurrence_local", "0.73", "called from 0.50 on"],
        ["radiomic risk score", "-0.30", "low risk; the cut is 0.05"],
    ]
    assert ui.patternsComboBox.currentText == "patterns/local: Shapley values, patient"
    assert ui.patternsStatus.text.splitlines() == ["rows: 2, pictures: 1", "note: Simulated."]
    assert not ui.patternsPicture.pixmap.isNull()
    assert grab(panel.widget.parent) > 5
    panel.widget.parent.hide()
    ui.patternsEdit.currentPath = str(local / "nothing")
    assert "holds no pattern.json and no survival.json" in ui.patternsStatus.text
    assert ui.patternsTable.rowCount == 0


def test_an_image_that_a_person_left_out_stays_so(panel, slicer):
    panel.ui.adcSelector.setCurrentNode(None)
    fa = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FA")
    panel.widget.enter()
    assert (panel.parameters.adc, panel.parameters.fa) == (None, fa)
    panel.ui.adcSelector.setCurrentNode(panel.nodes["adc"])
    assert panel.parameters.leftOut == ""
    panel.ui.predictButton.click()
    assert panel.logic.asked[-1].images["adc"] is panel.nodes["adc"]


def test_a_model_in_a_folder(panel):
    ui = panel.ui
    ui.modelComboBox.currentIndex = 2
    assert ui.cardEdit.plainText == ""
    ui.predictButton.click()
    assert not panel.logic.asked
    assert "no model folder is chosen" in ui.statusLabel.text
    ui.modelFolderEdit.currentPath = "/models/own"
    assert ui.cardEdit.plainText == "# Card of /models/own"
    ui.predictButton.click()
    assert panel.logic.asked[-1].model_folder == "/models/own"
    ui.modelFolderEdit.currentPath = "/nowhere"
    assert ui.modelStatus.text == "/nowhere holds no card.md"
    ui.modelComboBox.currentIndex = 0
    assert ui.cardEdit.plainText == "# Card of the shipped model"
    assert ui.modelStatus.text == ""
    ui.predictButton.click()
    assert panel.logic.asked[-1].model_folder == ""


def test_the_shipped_network_is_chosen_with_its_card(panel):
    ui = panel.ui
    ui.modelComboBox.currentIndex = 1
    assert ui.cardEdit.plainText == "# Card of network"
    assert not ui.modelFolderEdit.visible
    ui.predictButton.click()
    assert panel.logic.asked[-1].model_folder == "network"


@pytest.fixture
def training(panel, fake_steps):
    """The panel with both folders chosen, and the steps that it starts."""
    panel.ui.casesEdit.currentPath, panel.ui.trainedEdit.currentPath = "/cohort", "/own"
    return panel, fake_steps(panel)


def test_a_model_is_trained_and_chosen(training):
    from gliosuite.cli import build_parser, joined

    panel, steps = training
    ui = panel.ui
    ui.trainButton.click()
    (step,) = steps
    args = build_parser().parse_args(joined(step.arguments))
    assert (args.command, args.kind, args.cases, args.out) == ("recurrence train", "voxelwise", "/cohort", "/own")
    assert (ui.trainButton.enabled, ui.cancelButton.enabled) == (False, True)
    step.progress(0.7, "member 2 of 5")
    assert (ui.progressBar.value, ui.trainStatus.text) == (70, "member 2 of 5")
    step.done({"out": "/own/model", "patients": 12})
    assert ui.trainStatus.text == "trained on 12 patients and chosen above; its card says what it reached"
    assert ui.cardEdit.plainText == "# Card of /own/model"
    assert (ui.modelComboBox.currentIndex, ui.modelFolderEdit.currentPath) == (2, "/own/model")
    assert (ui.trainButton.enabled, ui.cancelButton.enabled) == (True, False)
    ui.predictButton.click()
    assert panel.logic.asked[-1].model_folder == "/own/model"
    assert panel.logic.abandoned == 1


def test_a_network_is_trained_where_it_is_chosen(training):
    panel, steps = training
    panel.ui.trainKindComboBox.setCurrentIndex(1)
    panel.ui.trainButton.click()
    assert steps[0].arguments[:4] == ["recurrence", "train", "--kind", "network"]
    assert panel.parameters.trainKind == "network"


def test_a_training_that_is_cancelled_or_refused_says_so_and_keeps_the_model(training):
    from gliosuite.mrml.process import CancelledError

    panel, steps = training
    ui = panel.ui
    ui.trainButton.click()
    ui.cancelButton.click()
    assert steps[0].cancelled
    steps[0].failed(CancelledError("cancelled"))
    assert ui.trainStatus.text == "cancelled"
    ui.trainButton.click()
    steps[1].failed(InputError("/cohort holds no results folders of gliosuite run, one for each patient"))
    assert ui.trainStatus.text.startswith("/cohort holds no results folders")
    assert ui.modelComboBox.currentIndex == 0
    assert panel.logic.abandoned == 2


def test_without_a_folder_nothing_is_started(training):
    panel, steps = training
    for edit, sentence in (
        (panel.ui.trainedEdit, "for the model is chosen"),
        (panel.ui.casesEdit, "of cases is chosen"),
    ):
        edit.currentPath = ""
        panel.ui.trainButton.click()
        assert sentence in panel.ui.trainStatus.text
    assert not steps


def test_the_shown_threshold_goes_to_gliort(panel):
    panel.ui.predictButton.click()
    panel.ui.thresholdSlider.value = 25
    panel.ui.rtButton.click()
    assert panel.logic.handed == [("Recurrence probability", 25)]


def test_gliort_takes_it_as_its_prediction(slicer, scene, module, monkeypatch):
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.volumes import node_from_image

    opened = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    module("GlioRT")
    image = lambda: node_from_image(GRID.image(np.full(GRID.shape, 0.5, np.float32)), "Recurrence probability")
    first, second = image(), image()
    show_map(first, "probability")
    panel = slicer.util.getModuleWidget("GlioRT").panel
    assert panel.parameters.probability is first
    panel.ui.cutComboBox.currentIndex = 2
    module("GlioRecurrence").GlioRecurrenceLogic().toRT(second, 25.0)
    asked = panel.request().prediction
    assert (asked.probability, asked.cut, asked.value) == (second, "a probability", 0.25)
    assert opened == ["GlioRT"]


def test_a_saved_scene_has_its_parameters(slicer, panel):
    from gliosuite.ui.selftest import save_and_load

    ui = panel.ui
    ui.predictButton.click()
    ui.thresholdSlider.value, ui.opacitySlider.value = 33, 80
    ui.adcSelector.setCurrentNode(None)
    ui.modelComboBox.currentIndex = 2
    ui.modelFolderEdit.currentPath = "/models/own"
    save_and_load()
    p = panel.parameters
    assert (p.thresholdPercent, p.opacityPercent, p.model, p.modelFolder) == (33, 80, "folder", "/models/own")
    assert (ui.thresholdSlider.value, ui.opacitySlider.value, ui.modelComboBox.currentIndex) == (33, 80, 2)
    assert ui.modelFolderEdit.currentPath == "/models/own"
    assert p.adc is None
    assert p.reference.GetName() == "T1 post gad"
    assert p.probability.GetName() == "Recurrence probability"
    panel.logic.kept[p.probability] = SimpleNamespace(
        probability=p.probability, sd=None, channels=("t1c",), threshold=0.2, notes=(NOTE,)
    )
    panel.widget.enter()
    assert ui.notesLabel.text == NOTE
    slicer.mrmlScene.Clear(0)
    assert (ui.notesLabel.text, ui.statusLabel.text) == ("", "")
    assert not ui.rtButton.enabled


def test_on_a_simulated_patient_it_is_what_the_library_gives(slicer, module, tmp_path):
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.segments import segmentation_from_masks

    case = simulated(tmp_path, 1690102, "structural")
    nodes = load_case(case)
    segmentation_from_masks({"brain": brain_of(case)}, nodes["t1c"], "", nodes["masks"])
    panel = module("GlioRecurrence").GlioRecurrenceWidget().panel
    panel.ui.predictButton.click()
    node = panel.parameters.probability
    assert node is not None, panel.ui.statusLabel.text
    found, probability, _sd = predicted_by_library(case, tmp_path / "written")
    assert np.abs(slicer.util.arrayFromVolume(node) - probability).max() < 1e-6
    assert panel.ui.notesLabel.text.startswith(found.notes[0])
    panel.ui.thresholdSlider.value = 40
    assert node.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.4)


def test_a_later_visit_is_put_onto_the_earlier_one_and_drawn_on(slicer, panel, scene, fake_steps):
    from gliosuite.mrml.volumes import node_from_image

    steps, ui, logic = fake_steps(panel), panel.ui, panel.logic
    assert not ui.visitsButton.enabled, "there is no later visit"
    assert not ui.drawButton.enabled
    later = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1 post gad, a year later")
    ui.laterT1cSelector.setCurrentNode(later)
    assert ui.visitsButton.enabled
    ui.visitsButton.click()
    request = logic.asked[-1]
    assert request.earlier == {"t1c": scene["t1c"], "flair": scene["flair"]}
    assert request.later == {"t1c": later}
    assert set(request.segments) == {"brain", "cel", "t2l"}
    assert ui.cancelButton.enabled
    assert not ui.visitsButton.enabled
    steps[-1].done({})
    assert logic.seen[-1] == ("board", "later on earlier")
    said = ui.followupStatus.text
    assert said.startswith("later on earlier: moved by 12.3 mm and 5.6°; mutual information 0.30 before, 0.71 after")
    assert said.endswith("note: it looks well")
    ui.bothButton.click()
    assert logic.seen[-1] == ("both", "later on earlier")
    ui.draftLaterButton.click()
    steps[-1].done({"names": ["DRAFT lesion at progression (CEL)"]})
    assert ui.followupStatus.text.startswith("Progression holds DRAFT lesion at progression (CEL): look at each")
    ui.drawButton.click()
    assert logic.seen[-1] == ("draw", ["brain", "cel", "t2l"])
    ui.insideNelCheckBox.click()
    ui.drawButton.click()
    assert logic.seen[-1] == ("draw", None)
    assert panel.parameters.insideNel is False


def test_drawing_inside_the_lesion_needs_the_lesion(panel, scene, fake_steps):
    steps, ui = fake_steps(panel), panel.ui
    ui.laterT1cSelector.setCurrentNode(scene["adc"])
    ui.visitsButton.click()
    steps[-1].done({})
    ui.t2lComboBox.currentIndex = 0
    ui.drawButton.click()
    assert (
        ui.followupStatus.text
        == "T2L of the earlier visit is not chosen in section 1; one draws inside it, or anywhere"
    )
    assert panel.logic.seen[-1][0] == "board", "nothing was opened"


def test_what_a_registration_refuses_is_said_where_it_was_asked_for(panel, scene, fake_steps):
    steps, ui = fake_steps(panel), panel.ui
    ui.laterT1cSelector.setCurrentNode(scene["adc"])
    ui.visitsButton.click()
    steps[-1].failed(InputError("the later visit looks too different"))
    assert ui.followupStatus.text == "the later visit looks too different"
    assert ui.visitsButton.enabled
    assert not ui.bothButton.enabled


def test_segments_go_to_the_segment_editor(panel):
    panel.ui.editButton.click()
    assert panel.logic.seen[-1] == ("edit", "structures", "T1 post gad")


def test_habitats_of_a_run_are_shown_in_a_table(panel, grab):
    table, status = panel.ui.habitatsTable, panel.ui.habitatsStatus
    panel.ui.habitatsButton.click()
    assert "no folder is chosen" in status.text
    assert table.rowCount == 0
    panel.ui.habitatsBox.collapsed = False
    panel.ui.habitatsEdit.currentPath = "/results"
    panel.ui.habitatsButton.click()
    assert panel.parameters.habitatsFolder == "/results"
    cells = [[table.item(r, c).text() for c in range(6)] for r in range(table.rowCount)]
    assert cells == [
        ["NEL: infiltrated oedema", "8.38", "29", "0.34", "1.17", ""],
        ["CEL: perinecrotic", "1.88", "20", "", "", "yes"],
    ]
    assert status.text == "A note."
    assert grab(panel.widget.parent) > 5
    panel.widget.parent.hide()
