"""The GlioRT panel: ticking schemes, computing, the comparison's table, exporting, and what is said when input is missing."""

import types
import warnings

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.images import Grid

GRID = Grid((10, 10, 6), (2.0, 2.0, 3.0), (-10.0, -10.0, -9.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


class FakeLogic:
    def __init__(self, slicer):
        self.slicer, self.computed, self.exported, self.drawn, self.abandoned = slicer, [], [], [], []

    def compute(self, request):
        self.computed.append(request)
        if "cel" not in request.segments:
            raise InputError("scheme rtog needs the enhancing lesion (CEL)")
        warnings.warn("no cavity: its margin is left out", stacklevel=1)
        node = self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Target volumes")
        return types.SimpleNamespace(
            segmentation=node,
            names=["CTV_rtog"],
            columns=("target", "volume [cc]", "sensitivity"),
            rows=[("CTV_rtog", 123.456, 0.91)],
        )

    def recall(self, node):
        """Of a node that was computed, also before the scene was loaded."""
        if node is None:
            return None
        made = {"segmentation": node, "names": ["CTV_rtog"], "columns": ("target",), "rows": [("CTV_rtog",)]}
        return types.SimpleNamespace(**made), types.SimpleNamespace()

    def exportWithSlicerRt(self, result, request, folder):  # noqa: N802
        self.exported.append((result, folder))
        return "SlicerRT writes the image anew"

    def preview(self, reference, lesion, brain, margin_mm, node):
        self.drawn.append((lesion, brain, margin_mm, node))
        node = node or self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Margin preview")
        return node, 10 * margin_mm

    def startBarriers(self, request):  # noqa: N802
        if "brain" not in request.segments:
            raise InputError("no brain segment is chosen")
        return types.SimpleNamespace(request=request, arguments=["barriers", "--image", "image.nii.gz"])

    def finishBarriers(self, job, summary):  # noqa: N802
        return self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Barriers")

    def abandon(self, job):
        self.abandoned.append(job)

    def export(self, result, request, series_dir, path, allow_derived):
        self.exported.append((result, series_dir, path, allow_derived))
        return [types.SimpleNamespace(name="CTV_rtog"), types.SimpleNamespace(name="GTV_CEL")]


@pytest.fixture
def panel(slicer, module, fake_steps):
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image

    reference = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1c")
    inside = np.zeros(GRID.shape, np.uint8)
    inside[2:4, 3:6, 3:6] = 1
    segmentation = segmentation_from_masks({"cel": GRID.image(inside), "t2l": GRID.image(inside)}, reference, "lesions")
    widget = module("GlioRT").GlioRTWidget()
    widget.panel.widget, widget.panel.logic = widget, FakeLogic(slicer)
    widget.panel.lesions, widget.panel.steps = segmentation, fake_steps(widget.panel)
    return widget.panel


def choose(panel, region, index=0):
    selector = getattr(panel.ui, f"{region}SegmentSelector")
    selector.setCurrentNode(panel.lesions)
    selector.setCurrentSegmentID(panel.lesions.GetSegmentation().GetNthSegmentID(index))


def test_schemes_are_listed_with_their_rule(panel):
    table = panel.ui.schemeTable
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert {"rtog", "s3-eortc", "estro-eano"} <= set(names)
    assert table.horizontalHeaderItem(2).text() == "margin [mm]"
    assert table.item(names.index("rtog"), 2).text() == "20"


def test_compute_asks_for_what_is_ticked_and_chosen(panel):
    import qt

    choose(panel, "cel")
    choose(panel, "t2l", 1)
    table = panel.ui.schemeTable
    for row in range(table.rowCount):
        wanted = table.item(row, 0).text() in ("rtog", "s3-eortc")
        table.item(row, 0).setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)
    panel.ui.computeButton.click()
    (request,) = panel.logic.computed
    assert set(request.schemes) == {"rtog", "s3-eortc"}
    assert request.reference.GetName() == "T1c"
    assert set(request.segments) == {"cel", "t2l"}
    node, segment = request.segments["t2l"]
    assert node.GetSegmentation().GetSegment(segment).GetName() == "T2 lesion (T2L)"


def test_result_is_shown_and_can_be_exported(panel):
    choose(panel, "cel")
    assert not panel.ui.exportButton.enabled
    panel.ui.computeButton.click()
    table = panel.ui.resultTable
    assert [table.item(0, c).text() for c in range(3)] == ["CTV_rtog", "123.5", "0.91"]
    assert panel.ui.statusLabel.text == "Target volumes: CTV_rtog\nnote: no cavity: its margin is left out"
    panel.ui.seriesFolderEdit.currentPath = "dicom"
    panel.ui.structureFileEdit.currentPath = "out/RS.dcm"
    panel.ui.exportButton.click()
    assert panel.logic.exported[0][1:] == ("dicom", "out/RS.dcm", False)
    assert panel.ui.statusLabel.text == "RS.dcm holds CTV_rtog, GTV_CEL"


def test_targets_of_a_scene_that_is_loaded_can_be_exported(slicer, panel):
    choose(panel, "cel")
    panel.ui.computeButton.click()
    scene = slicer.mrmlScene
    scene.SetSaveToXMLString(1)
    scene.Commit()
    text = scene.GetSceneXMLString()
    scene.Clear(0)
    assert not panel.ui.exportButton.enabled
    assert panel.ui.resultTable.rowCount == 0
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    scene.Import()
    assert panel.ui.exportButton.enabled
    assert panel.ui.resultTable.item(0, 0).text() == "CTV_rtog"
    panel.ui.exportButton.click()
    assert panel.logic.exported[0][0].segmentation is slicer.util.getNode("Target volumes")


def test_slicerrt_is_not_offered_where_it_is_not_installed(panel):
    assert not panel.ui.slicerRtButton.visible


def test_slicerrt_is_offered_where_it_is_and_what_it_changes_is_said(slicer, module, monkeypatch):
    monkeypatch.setattr(slicer.modules, "dicomrtimportexport", object(), raising=False)
    widget = module("GlioRT").GlioRTWidget()
    panel = widget.panel
    assert "refers to that copy" in panel.ui.slicerRtButton.toolTip
    assert not panel.ui.slicerRtButton.isHidden()
    panel.logic = FakeLogic(slicer)
    panel._result, panel._request = types.SimpleNamespace(), None
    panel.onChoice()
    panel.ui.structureFileEdit.currentPath = "out/RS.dcm"
    panel.ui.slicerRtButton.click()
    assert panel.logic.exported == [(panel._result, "out")]
    assert panel.ui.statusLabel.text == "SlicerRT wrote into out\nnote: SlicerRT writes the image anew"


def test_what_is_missing_is_said(panel):
    panel.ui.computeButton.click()
    assert panel.ui.statusLabel.text == "scheme rtog needs the enhancing lesion (CEL)"
    assert not panel.ui.exportButton.enabled


def test_the_first_image_is_no_label_map_and_no_frame_of_a_sequence(slicer, module):
    from gliosuite.images import Series
    from gliosuite.mrml.volumes import node_from_image
    from slicerapp.loaded import dicom_sequence

    dicom_sequence(Series(np.ones((3, *GRID.shape), np.float32), GRID), (0, 5, 10))
    node_from_image(GRID.image(np.ones(GRID.shape, np.uint8)), "labels", labels=True)
    widget = module("GlioRT").GlioRTWidget()
    assert widget.panel.parameters.reference is None
    image = node_from_image(GRID.image(np.ones(GRID.shape, np.float32)), "T1c")
    widget.enter()
    assert widget.panel.parameters.reference is image


def test_nothing_ticked_nothing_to_compute(panel):
    import qt

    table = panel.ui.schemeTable
    for row in range(table.rowCount):
        table.item(row, 0).setCheckState(qt.Qt.Unchecked)
    assert not panel.ui.computeButton.enabled


def test_a_derived_series_is_taken_where_it_is_ticked(panel):
    choose(panel, "cel")
    panel.ui.computeButton.click()
    panel.ui.allowDerivedCheckBox.checked = True
    panel.ui.exportButton.click()
    assert panel.logic.exported[0][-1] is True


def test_the_margin_follows_the_slider_and_stays_in_one_node(panel):
    panel.ui.marginSlider.value = 12
    assert panel.logic.drawn == [], "no preview is wanted yet"
    panel.ui.previewCheckBox.checked = True
    assert panel.ui.previewLabel.text == "a reference and a lesion are needed"
    choose(panel, "lesion")
    lesion = panel.logic.drawn[-1][0]
    assert lesion[0] is panel.lesions
    assert panel.ui.previewLabel.text == "12 mm: 120.0 cc, straight, not limited to a brain"
    choose(panel, "brain", 1)
    panel.ui.marginSlider.value = 20
    (_, brain, margin, node) = panel.logic.drawn[-1]
    assert (brain[0], margin, node.GetName()) == (panel.lesions, 20, "Margin preview")
    assert panel.ui.previewLabel.text == "20 mm: 200.0 cc, straight, inside the brain"
    assert (panel.parameters.marginMm, panel.parameters.preview) == (20, True)
    panel.ui.previewCheckBox.checked = False
    count = len(panel.logic.drawn)
    panel.ui.marginSlider.value = 5
    assert len(panel.logic.drawn) == count


def test_barriers_show_what_they_need(panel):
    ui = panel.ui
    shown = lambda: {
        n for n in ("barriersFolderEdit", "barriersSelector", "throughBrainstemCheckBox", "cancelButton")
        if not getattr(ui, n).isHidden()
    }  # fmt: skip
    for choice, wanted in (
        ("none", set()),
        ("folder", {"barriersFolderEdit", "throughBrainstemCheckBox"}),
        ("segmentation", {"barriersSelector", "throughBrainstemCheckBox"}),
        ("by registration", {"cancelButton"}),
    ):
        panel.parameters.barriers = choice
        assert shown() == wanted, choice


def test_barriers_of_a_folder_or_segmentation_are_asked_for(panel):
    choose(panel, "cel")
    assert panel.request().barriers == "none"
    panel.parameters.barriers = "folder"
    panel.ui.barriersFolderEdit.currentPath = "walls"
    panel.ui.throughChiasmCheckBox.checked = True
    request = panel.request()
    assert (request.barriers, request.barriers_folder, request.through) == ("folder", "walls", ("chiasm",))
    panel.parameters.barriers = "segmentation"
    panel.ui.barriersSelector.setCurrentNode(panel.lesions)
    assert panel.request().barriers_node is panel.lesions


def test_barriers_by_registration_are_placed_first_and_become_a_segmentation(panel):
    choose(panel, "cel")
    panel.parameters.barriers = "by registration"
    panel.ui.computeButton.click()
    assert panel.ui.statusLabel.text == "no brain segment is chosen"
    assert panel.steps == []
    choose(panel, "brain", 1)
    panel.ui.computeButton.click()
    (step,) = panel.steps
    assert step.arguments[0] == "barriers"
    assert panel.logic.computed == []
    assert (panel.ui.computeButton.enabled, panel.ui.cancelButton.enabled) == (False, True)
    step.progress(0.4, "registering the template")
    assert panel.ui.progressBar.value == 40
    step.warnings.append("the template lies 3 mm off")
    step.done({"source": "template registered to the image"})
    (request,) = panel.logic.computed
    assert (request.barriers, request.barriers_node.GetName()) == ("segmentation", "Barriers")
    assert panel.ui.barriersComboBox.currentText == "segmentation"
    assert "note: the template lies 3 mm off" in panel.ui.statusLabel.text
    assert "no person drew the barriers: look at them" in panel.ui.statusLabel.text
    assert panel.ui.computeButton.enabled


def test_placing_barriers_can_be_cancelled(panel):
    from gliosuite.mrml.process import CancelledError

    choose(panel, "cel")
    choose(panel, "brain", 1)
    panel.parameters.barriers = "by registration"
    panel.ui.computeButton.click()
    panel.ui.cancelButton.click()
    (step,) = panel.steps
    assert step.cancelled
    step.failed(CancelledError("cancelled"))
    assert panel.ui.statusLabel.text == "cancelled"
    assert len(panel.logic.abandoned) == 1
    assert panel.ui.computeButton.enabled


def test_picture(panel, grab):
    panel.parameters.barriers = "folder"
    choose(panel, "cel")
    choose(panel, "t2l", 1)
    panel.ui.computeButton.click()
    assert grab(panel.widget.parent) > 10
    panel.widget.parent.hide()
