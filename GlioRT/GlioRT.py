"""GlioRT: clinical target volumes by scheme, their comparison, and an RT structure set on the original DICOM series."""

from typing import Annotated

import slicer
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
    brainSegmentation: vtkMRMLSegmentationNode
    brainSegment: str = ""
    celSegmentation: vtkMRMLSegmentationNode
    celSegment: str = ""
    t2lSegmentation: vtkMRMLSegmentationNode
    t2lSegment: str = ""
    cavitySegmentation: vtkMRMLSegmentationNode
    cavitySegment: str = ""
    progressionSegmentation: vtkMRMLSegmentationNode
    progressionSegment: str = ""
    schemes: str = "rtog estro-eano"
    barriers: Annotated[str, Choice(["none", "folder", "segmentation", "by registration"])] = "none"
    barriersFolder: str = ""
    barriersSegmentation: vtkMRMLSegmentationNode
    throughBrainstem: bool = False
    throughChiasm: bool = False
    lesionSegmentation: vtkMRMLSegmentationNode
    lesionSegment: str = ""
    marginMm: Annotated[float, WithinRange(0, 30)] = 15.0
    preview: bool = False
    previewSegmentation: vtkMRMLSegmentationNode
    targets: vtkMRMLSegmentationNode
    seriesFolder: str = ""
    structureFile: str = ""
    allowDerived: bool = False


class GlioRTWidget(ModuleWidget):
    def setup(self):
        from gliosuite.ui.rt import TargetsPanel

        self.logic = GlioRTLogic()
        self.host(TargetsPanel(self.page(), self.logic, self.logic.getParameterNode()))


class GlioRTLogic(ScriptedLoadableModuleLogic):
    """Batch use: ``GlioRTLogic().compute(TargetsRequest(reference=node, schemes=("rtog",), segments={...}))``."""

    def getParameterNode(self):
        return GlioRTParameterNode(super().getParameterNode())

    def schemes(self):
        from gliosuite.mrml import targets

        return targets.schemes()

    def compute(self, request):
        from gliosuite.mrml import targets

        return targets.compute(request)

    def recall(self, node):
        from gliosuite.mrml import targets

        return targets.recall(node)

    def preview(self, reference, lesion, brain, marginMm, node=None):
        from gliosuite.mrml import targets

        return targets.preview(reference, lesion, brain, marginMm, node)

    def startBarriers(self, request):
        from gliosuite.mrml import barriers

        return barriers.start(request)

    def finishBarriers(self, job, summary):
        from gliosuite.mrml import barriers

        return barriers.finish(job, summary)

    def abandon(self, job):
        from gliosuite.mrml import process

        process.abandon(job)

    def export(self, result, request, series_dir, path, allow_derived=False):
        from gliosuite.mrml import targets

        return targets.export(result, request, series_dir, path, allow_derived)

    def slicerRtChanges(self):
        from gliosuite.mrml import slicerrt

        return slicerrt.CHANGES if slicerrt.available() else ""

    def exportWithSlicerRt(self, result, request, folder):
        from gliosuite.mrml import slicerrt

        return slicerrt.export(result.segmentation, request.reference, folder)


class GlioRTTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        from gliosuite.errors import InputError
        from gliosuite.mrml.targets import TargetsRequest

        assert "rtog" in [row[0] for row in GlioRTLogic().schemes()]
        with self.assertRaises(InputError):
            GlioRTLogic().compute(TargetsRequest(reference=None, schemes=("rtog",)))
        self.delayDisplay("GlioRT: test passed")
