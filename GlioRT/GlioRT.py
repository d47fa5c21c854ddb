"""GlioRT: clinical target volumes by scheme, their comparison, and an RT structure set on the original DICOM series."""

from typing import Annotated

import slicer
from gliosuite.mrml.rt.choices import BARRIERS, CUTS, DESTINATIONS
from gliosuite.ui.module import ModuleWidget
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class GlioRT(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("GlioRT")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["GlioCore"]
        self.parent.contributors = ["GlioSuite contributors"]
        self.parent.helpText = _(
            "Clinical target volumes of a glioma by published margin schemes, compared with a later progression where there is one, "
            "and exported as an RT structure set that refers to the original DICOM series. For research use only."
        )
        self.parent.acknowledgementText = _("Schemes: RTOG, EORTC, ESTRO-ACROP 2016, ESTRO-EANO 2023, NRG.")


@parameterNodeWrapper
class GlioRTParameterNode:
    reference: vtkMRMLScalarVolumeNode
    flair: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    roles: str = "{}"
    postOperative: bool = False
    schemes: str = "rtog estro-eano"
    barriers: Annotated[str, Choice(BARRIERS)] = BARRIERS[0]
    barriersFolder: str = ""
    barriersSegmentation: vtkMRMLSegmentationNode
    throughBrainstem: bool = False
    throughChiasm: bool = False
    criticalSegmentation: vtkMRMLSegmentationNode
    ptvMm: Annotated[float, WithinRange(0, 20)] = 0.0
    marginMm: Annotated[float, WithinRange(0, 30)] = 15.0
    around: str = ""
    preview: bool = False
    previewSegmentation: vtkMRMLSegmentationNode
    probability: vtkMRMLScalarVolumeNode
    cut: Annotated[str, Choice(CUTS)] = CUTS[0]
    thresholdPercent: Annotated[float, WithinRange(0.5, 95)] = 5.0
    like: str = "estro-eano"
    volumeCc: Annotated[float, WithinRange(0, 2000)] = 100.0
    sensitivityPercent: Annotated[float, WithinRange(1, 99)] = 95.0
    validation: str = ""
    keepSatellites: bool = False
    predictedPreview: bool = False
    predictedSegmentation: vtkMRMLSegmentationNode
    targets: vtkMRMLSegmentationNode
    view3d: bool = False
    difference: vtkMRMLScalarVolumeNode
    seriesFolder: str = ""
    setLabel: str = "GlioSuite"
    allowDerived: bool = False
    acceptedBy: str = ""
    destination: Annotated[str, Choice(DESTINATIONS)] = DESTINATIONS[0]
    outputFolder: str = ""


class GlioRTWidget(ModuleWidget):
    def setup(self):
        from gliosuite.ui.rt import TargetsPanel

        self.logic = GlioRTLogic()
        self.host(TargetsPanel(self.page(), self.logic, self.logic.getParameterNode()))


class GlioRTLogic(ScriptedLoadableModuleLogic):
    """Batch use: ``GlioRTLogic().compute(TargetsRequest(reference=node, schemes=("rtog",), segments={...}))``."""

    def getParameterNode(self):
        return GlioRTParameterNode(super().getParameterNode())

    # targets

    def compute(self, request):
        from gliosuite.mrml.rt import targets

        return targets.compute(request)

    def recall(self, node):
        from gliosuite.mrml.rt import targets

        return targets.recall(node)

    def preview(self, request, roles, marginMm, node=None):
        from gliosuite.mrml.rt import targets

        return targets.preview(request, roles, marginMm, node)

    def predictor(self, request):
        from gliosuite.mrml.rt.prediction import Predictor

        return Predictor.ready(request)

    def startDrafts(self, request):
        from gliosuite.mrml import drafts

        return drafts.start(request)

    def finishDrafts(self, job, summary):
        from gliosuite.mrml import drafts

        return drafts.finish(job, summary)

    def startBarriers(self, request):
        from gliosuite.mrml.rt import barriers

        return barriers.start(request)

    def finishBarriers(self, job, summary):
        from gliosuite.mrml.rt import barriers

        return barriers.finish(job, summary)

    def abandon(self, job):
        from gliosuite.mrml import process

        process.abandon(job)

    # views

    def show(self, result, request, other, threeD=False):
        from gliosuite.mrml.rt import comparison

        comparison.show(result, request, other, threeD)

    def goTo(self, result, name, fill=True):
        from gliosuite.mrml.rt import comparison

        comparison.go_to(result, name, fill)

    def difference(self, result, first, second, reference, node=None):
        from gliosuite.mrml.rt import comparison

        return comparison.difference(result, first, second, reference, node)

    def overlay(self, node):
        from gliosuite.mrml.layout import overlay

        overlay(node)

    def hide(self, segmentation):
        if segmentation is not None:
            segmentation.SetDisplayVisibility(False)

    # structure set

    def dicomSource(self, node):
        from gliosuite.mrml.rt import structureset

        return structureset.dicom_source(node)

    def drafts(self, result, request):
        from gliosuite.mrml.rt import structureset

        return structureset.drafts_of(result, request)

    def check(self, result, request, wanted):
        from gliosuite.mrml.rt import structureset

        return structureset.check(result, request, wanted)

    def export(self, result, request, wanted):
        from gliosuite.mrml.rt import structureset

        return structureset.export(result, request, wanted)

    def slicerRtChanges(self):
        from gliosuite.mrml.rt import slicerrt

        return slicerrt.CHANGES if slicerrt.available() else ""

    def exportWithSlicerRt(self, result, request, folder):
        from gliosuite.mrml.rt import slicerrt

        return slicerrt.export(result.segmentation, request.reference, folder)


class GlioRTTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        self.test_what_is_missing_is_one_sentence()
        self.test_panel_on_a_digital_patient()
        self.delayDisplay("GlioRT: test passed")

    def test_what_is_missing_is_one_sentence(self):
        from gliosuite.errors import InputError
        from gliosuite.mrml.rt.request import TargetsRequest

        with self.assertRaises(InputError):
            GlioRTLogic().compute(TargetsRequest(reference=None, schemes=("rtog",)))

    def test_panel_on_a_digital_patient(self):
        from gliosuite.ui import selftest

        nodes = selftest.patient()
        panel = slicer.util.getModuleWidget("GlioRT").panel
        panel.bind(panel.logic.getParameterNode())
        ui = panel.ui
        self.assertIs(panel.parameters.reference, nodes["t1c"])
        self.assertLessEqual({"brain", "cel", "t2l"}, set(panel.structures.segments()))
        ui.previewCheckBox.checked = True
        selftest.settle()
        self.assertIn("15 mm round", ui.previewLabel.text)
        ui.computeButton.click()
        self.assertEqual(panel.results.result.names, ["CTV_RTOG", "CTV_EANO"], ui.resultStatus.text)
        volumes = [ui.resultTable.item(row, 1).text() for row in range(2)]
        selftest.save_and_load()
        self.assertEqual(panel.results.result.names, ["CTV_RTOG", "CTV_EANO"])
        self.assertEqual([ui.resultTable.item(row, 1).text() for row in range(2)], volumes)
