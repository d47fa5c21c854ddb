"""GlioRecurrence: where a glioma is likely to recur, voxel by voxel."""

from typing import Annotated

import slicer
from gliosuite.ui.module import ModuleWidget
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class GlioRecurrence(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("GlioRecurrence")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["GlioCore"]
        self.parent.contributors = ["GlioSuite contributors"]
        self.parent.helpText = _(
            "The probability that a glioma recurs in a voxel, from T1c, FLAIR and, where there are any, diffusion and perfusion maps; "
            "GlioRT draws a target volume from it. The shipped model was trained on simulated patients alone: it shows the way and is "
            "no evidence of where a tumour will recur. For research use only."
        )
        self.parent.acknowledgementText = _("After Tran et al., npj Digital Medicine 2025, 10.1038/s41746-025-01861-2.")


@parameterNodeWrapper
class GlioRecurrenceParameterNode:
    reference: vtkMRMLScalarVolumeNode
    flair: vtkMRMLScalarVolumeNode
    t1: vtkMRMLScalarVolumeNode
    adc: vtkMRMLScalarVolumeNode
    fa: vtkMRMLScalarVolumeNode
    ktrans: vtkMRMLScalarVolumeNode
    ve: vtkMRMLScalarVolumeNode
    vp: vtkMRMLScalarVolumeNode
    cbv: vtkMRMLScalarVolumeNode
    tmax: vtkMRMLScalarVolumeNode
    leftOut: str = ""
    segmentation: vtkMRMLSegmentationNode
    roles: str = "{}"
    postOperative: bool = False
    laterT1c: vtkMRMLScalarVolumeNode
    laterFlair: vtkMRMLScalarVolumeNode
    later: vtkMRMLScalarVolumeNode
    progression: vtkMRMLSegmentationNode
    insideNel: bool = True
    probability: vtkMRMLScalarVolumeNode
    opacityPercent: Annotated[float, WithinRange(0, 100)] = 60.0
    thresholdPercent: Annotated[float, WithinRange(0.5, 95)] = 5.0
    showSd: bool = False
    model: str = "shipped"
    modelFolder: str = ""
    casesFolder: str = ""
    trainedFolder: str = ""
    trainKind: str = "voxelwise"
    habitatsFolder: str = ""
    patternsFolder: str = ""


class GlioRecurrenceWidget(ModuleWidget):
    def setup(self):
        from gliosuite.ui.recurrence import RecurrencePanel

        self.logic = GlioRecurrenceLogic()
        self.host(RecurrencePanel(self.page(), self.logic, self.logic.getParameterNode()))


class GlioRecurrenceLogic(ScriptedLoadableModuleLogic):
    """Batch use: ``GlioRecurrenceLogic().predict(RecurrenceRequest({"t1c": node, "flair": node}, {"brain": (node, id), ...}))``."""

    def getParameterNode(self):
        return GlioRecurrenceParameterNode(super().getParameterNode())

    def predict(self, request):
        from gliosuite.mrml import recurrence

        return recurrence.predict(request)

    def startDrafts(self, request):
        from gliosuite.mrml import drafts

        return drafts.start(request)

    def finishDrafts(self, job, summary):
        from gliosuite.mrml import drafts

        return drafts.finish(job, summary)

    def edit(self, segmentation, image):
        """Open the Segment Editor on a segmentation."""
        from gliosuite.mrml import segments

        segments.edit(segmentation, image)
        slicer.util.selectModule("SegmentEditor")

    def startFollowup(self, request):
        from gliosuite.mrml import followup

        return followup.start(request)

    def finishFollowup(self, job, summary):
        from gliosuite.mrml import followup

        return followup.finish(job, summary)

    def recallFollowup(self, node):
        from gliosuite.mrml import followup

        return followup.recall(node)

    def showVisits(self, found):
        from gliosuite.mrml import followup

        followup.show_both(found)

    def showCheckerboard(self, found):
        from gliosuite.mrml import followup

        followup.show_checkerboard(found)

    def startLaterDrafts(self, found):
        from gliosuite.mrml import followup

        return followup.start_drafts(found)

    def finishLaterDrafts(self, job, summary, found, into):
        from gliosuite.mrml import followup

        return followup.finish_drafts(job, summary, found, into)

    def drawProgression(self, found, into, segments):
        """Open the Segment Editor on a later visit, with the segment of what enhances then; returns its segmentation."""
        from gliosuite.mrml import followup

        segmentation = followup.edit(found, into, segments)
        slicer.util.selectModule("SegmentEditor")
        return segmentation

    def recall(self, node):
        from gliosuite.mrml import recurrence

        return recurrence.recall(node)

    def show(self, result, opacity, least):
        from gliosuite.mrml import recurrence

        recurrence.show(result, opacity, least)

    def showSd(self, result, opacity):
        from gliosuite.mrml import recurrence

        recurrence.show_sd(result, opacity)

    def why(self, node):
        """Where the crosshair is (RAS, mm), and what drove the probability there."""
        from gliosuite.mrml import recurrence

        place = recurrence.crosshair()
        return place, recurrence.why(node, place)

    def look(self, node, opacity, least):
        from gliosuite.mrml import recurrence

        recurrence.look(node, opacity, least)

    def card(self, folder):
        from gliosuite.mrml import recurrence

        return recurrence.card(folder)

    def startTraining(self, cases, out, kind):
        from gliosuite.mrml import recurrence

        return recurrence.train(cases, out, kind)

    def habitats(self, folder):
        """What a run left of habitats, in the scene and its curves in the layout."""
        from gliosuite.mrml import habitats

        found = habitats.load(folder)
        habitats.show(found)
        return found

    def patterns(self, folder):
        from gliosuite.recurrence.patterns.shown import read_shown

        return read_shown(folder)

    def abandon(self, job):
        from gliosuite.mrml import process

        process.abandon(job)

    def toRT(self, node, thresholdPercent):
        """Open GlioRT with a probability, cut at a threshold, as its prediction."""
        from gliosuite.mrml.rt.choices import THRESHOLD

        parameters = slicer.util.getModuleWidget("GlioRT").logic.getParameterNode()
        parameters.probability, parameters.cut, parameters.thresholdPercent = node, THRESHOLD, thresholdPercent
        slicer.util.selectModule("GlioRT")


class GlioRecurrenceTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        self.test_what_is_missing_is_one_sentence()
        self.test_panel_on_a_digital_patient()
        self.delayDisplay("GlioRecurrence: test passed")

    def test_what_is_missing_is_one_sentence(self):
        from gliosuite.errors import InputError
        from gliosuite.mrml.recurrence import RecurrenceRequest

        with self.assertRaises(InputError):
            GlioRecurrenceLogic().predict(RecurrenceRequest({}))

    def test_panel_on_a_digital_patient(self):
        from gliosuite.ui import selftest

        nodes = selftest.patient()
        panel = slicer.util.getModuleWidget("GlioRecurrence").panel
        panel.bind(panel.logic.getParameterNode())
        ui = panel.ui
        self.assertIs(panel.parameters.reference, nodes["t1c"])
        ui.predictButton.click()
        node = panel.parameters.probability
        self.assertIsNotNone(node, ui.statusLabel.text)
        self.assertIn("simulated patients alone", ui.notesLabel.text)
        values = slicer.util.arrayFromVolume(node)
        self.assertEqual(values.max(), 1)
        between = ((values > 0) & (values < 1)).sum()
        self.assertGreater(between, 1000)
        ui.sdCheckBox.click()
        self.assertFalse(ui.thresholdSlider.enabled)
        ui.sdCheckBox.click()
        inside = ((values > 0) & (values < 1)).nonzero()
        k, j, i = (int(axis[between // 2]) for axis in inside)
        selftest.crosshair(node, (i, j, k))
        ui.whyButton.click()
        self.assertGreater(ui.whyTable.rowCount, 3, ui.whyStatus.text)
        ui.thresholdSlider.value = 40
        selftest.save_and_load()
        self.assertEqual(panel.parameters.thresholdPercent, 40)
        self.assertIn("simulated patients alone", ui.notesLabel.text)
