"""GlioPerfusion: DCE and DSC maps from a volume sequence."""

from typing import Annotated

import slicer
from gliosuite.ui.module import ModuleWidget
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLNode,
    vtkMRMLPlotChartNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class GlioPerfusion(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("GlioPerfusion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["GlioCore"]
        self.parent.contributors = ["GlioSuite contributors"]
        self.parent.helpText = _(
            "Perfusion maps of a glioma study from a volume sequence: ktrans, ve and vp from DCE, CBV, CBF, MTT and Tmax from DSC. "
            "For research use only."
        )
        self.parent.acknowledgementText = _(
            "DCE maps are fitted by variable projection; DSC maps use oSVD (Wu 2003) and the leakage correction of Boxerman, "
            "Schmainda and Weisskoff (2006)."
        )


@parameterNodeWrapper
class GlioPerfusionParameterNode:
    series: vtkMRMLNode
    kind: Annotated[str, Choice(["DCE", "DSC"])] = "DCE"
    timeUnit: Annotated[str, Choice(["as the series says", "s", "ms"])] = "as the series says"
    times: str = ""
    trMs: Annotated[float, WithinRange(0, 20000)] = 0.0
    teMs: Annotated[float, WithinRange(0, 1000)] = 0.0
    flipAngleDeg: Annotated[float, WithinRange(0, 180)] = 0.0
    motion: bool = True
    postOperative: bool = False
    registrationStart: Annotated[str, Choice(["search", "moments", "center-of-head", "geometry", "identity"])] = (
        "search"
    )
    vfaAngles: str = ""
    vfaTrMs: Annotated[float, WithinRange(0, 200)] = 0.0
    baseline: str = ""
    arrival: str = ""
    aif: Annotated[
        str,
        Choice(
            [
                "automatic",
                "control points",
                "segment",
                "population (Parker)",
                "population (Georgiou)",
                "CSV file",
            ]
        ),
    ] = "automatic"
    aifPoints: vtkMRMLMarkupsFiducialNode
    aifSegmentation: vtkMRMLSegmentationNode
    aifSegment: str = ""
    aifFile: str = ""
    aifOut: str = ""
    aifChart: vtkMRMLPlotChartNode
    sinus: bool = True
    vof: bool = False
    secondPoints: vtkMRMLMarkupsFiducialNode
    compareSegmentation: vtkMRMLSegmentationNode
    compareSegment: str = ""
    model: Annotated[str, Choice(["etm", "tofts", "patlak", "2cxm", "2cum", "auto"])] = "etm"
    t1Map: vtkMRMLScalarVolumeNode
    t10S: Annotated[float, WithinRange(0.05, 10)] = 1.0
    hematocrit: Annotated[float, WithinRange(0, 0.9)] = 0.42
    relaxivity: Annotated[float, WithinRange(0.1, 50)] = 4.5
    leakage: Annotated[str, Choice(["residue", "bsw", "bidirectional", "auto", "none"])] = "residue"
    deconvolution: Annotated[str, Choice(["auto", "vascular", "osvd", "csvd", "ssvd", "tikhonov"])] = "auto"
    dscT1Map: vtkMRMLScalarVolumeNode
    dscB1Map: vtkMRMLScalarVolumeNode
    nawmSegmentation: vtkMRMLSegmentationNode
    nawmSegment: str = ""
    maskSegmentation: vtkMRMLSegmentationNode
    maskSegment: str = ""
    outputName: str = ""
    shownMap: vtkMRMLScalarVolumeNode
    hideUncertain: bool = False
    uncertainPercent: Annotated[float, WithinRange(1, 200)] = 50.0
    regionSegmentation: vtkMRMLSegmentationNode
    regionChart: vtkMRMLPlotChartNode
    regionFile: str = ""


class GlioPerfusionWidget(ModuleWidget):
    def setup(self):
        from gliosuite.ui.perfusion import PerfusionPanel

        self.logic = GlioPerfusionLogic()
        self.host(PerfusionPanel(self.page(), self.logic, self.logic.getParameterNode()))


class GlioPerfusionLogic(ScriptedLoadableModuleLogic):
    """Batch use: ``GlioPerfusionLogic().compute(PerfusionRequest(series=node, ...))``."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from gliosuite.mrml.perfusion.arterial import ArterialInput

        self.arterial = ArterialInput()

    def getParameterNode(self):
        return GlioPerfusionParameterNode(super().getParameterNode())

    def study(self):
        from gliosuite.mrml.perfusion import study

        return study.entries()

    def chooseRole(self, node, role):
        from gliosuite.mrml.perfusion import study

        study.choose_role(node, role)

    def showNode(self, node):
        from gliosuite.mrml.layout import show_alone
        from gliosuite.mrml.sequences import shown

        show_alone(shown(node))

    def startRegistration(self, request):
        from gliosuite.mrml.perfusion import registration

        return registration.start(request)

    def finishRegistration(self, job, summary):
        from gliosuite.mrml.perfusion import registration

        return registration.finish(job, summary)

    def accept(self, node):
        from gliosuite.mrml.perfusion import registration

        registration.accept(node)

    def withdraw(self, node):
        from gliosuite.mrml.perfusion import registration

        registration.withdraw(node)

    def showCheckerboard(self, node):
        from gliosuite.mrml.perfusion import registration

        return registration.show_checkerboard(node)

    def startMotion(self, request):
        from gliosuite.mrml.perfusion import preparing

        return preparing.start_motion(request)

    def finishMotion(self, job, summary):
        from gliosuite.mrml.perfusion import preparing

        return preparing.finish_motion(job, summary)

    def startDrafts(self, request):
        from gliosuite.mrml import drafts

        return drafts.start(request)

    def finishDrafts(self, job, summary):
        from gliosuite.mrml import drafts

        return drafts.finish(job, summary)

    def startT1(self, request):
        from gliosuite.mrml.perfusion import preparing

        return preparing.start_t1(request)

    def finishT1(self, job, summary):
        from gliosuite.mrml.perfusion import preparing

        return preparing.finish_t1(job, summary)

    def start(self, request):
        from gliosuite.mrml import perfusion

        return perfusion.start(request)

    def finish(self, job, summary):
        from gliosuite.mrml import perfusion

        return perfusion.finish(job, summary)

    def abandon(self, job):
        from gliosuite.mrml import perfusion

        perfusion.abandon(job)

    def compute(self, request, progress=lambda fraction, message: None):
        from gliosuite.mrml import perfusion

        return perfusion.compute(request, progress)

    def show(self, result):
        from gliosuite.mrml import perfusion

        perfusion.show(result)

    def draw(self, request, chart=None, whole=False, second=None):
        return self.arterial.draw(request, chart, whole, second)

    def suggest(self, request, points):
        return self.arterial.suggest(request, points)

    def saveAif(self, request, path):
        return self.arterial.save(request, path)

    def forget(self):
        self.arterial.forget()

    def showBolus(self, series, frame):
        from gliosuite.mrml.layout import show_alone
        from gliosuite.mrml.sequences import show_frame

        show_alone(show_frame(series, frame))

    def showChart(self, chart):
        from gliosuite.mrml.display import show_chart

        show_chart(chart)

    def jump(self, ras):
        from gliosuite.mrml.layout import jump

        jump(ras)

    def reading(self, job):
        from gliosuite.mrml.perfusion import readers

        return readers.reading(job)

    def compareReaders(self, series, first, second):
        from gliosuite.mrml.perfusion import readers

        return readers.compare(series, first, second)

    def maps(self):
        from gliosuite.mrml.perfusion import uncertainty

        return uncertainty.maps()

    def hide(self, one, percent):
        from gliosuite.mrml.perfusion import uncertainty

        return uncertainty.hide(one, percent)

    def showSideBySide(self, shown, one, background):
        from gliosuite.mrml.perfusion import uncertainty

        uncertainty.show_side_by_side(shown, one, background)

    def replaceShown(self, old, new):
        from gliosuite.mrml.perfusion import uncertainty

        uncertainty.replace_shown(old, new)

    def summary(self, one, masks, percent):
        from gliosuite.mrml.perfusion import regions

        return regions.summary(one, masks, percent)

    def regions(self, segmentation, one):
        from gliosuite.mrml.perfusion import regions

        return regions.regions_of(segmentation, one)

    def statistics(self, one, masks, percent, alone):
        from gliosuite.mrml.perfusion import regions

        return regions.statistics(one, masks, percent, alone)

    def histogram(self, one, regions_, percent, chart):
        from gliosuite.mrml.perfusion import regions

        return regions.histogram(one, regions_, percent, chart)


class GlioPerfusionTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        self.test_missing_times_are_named()
        self.test_points_draw_their_mean()
        self.test_panel_on_a_digital_patient()
        self.delayDisplay("GlioPerfusion: test passed")

    def test_missing_times_are_named(self):
        from gliosuite.errors import InputError
        from gliosuite.mrml.perfusion import parse_times

        self.assertEqual(parse_times("4.5", 3), (0.0, 4.5, 9.0))
        with self.assertRaises(InputError):
            parse_times("", 3)

    def test_points_draw_their_mean(self):
        import numpy as np
        from gliosuite.images import Grid, Series
        from gliosuite.mrml.perfusion import PerfusionRequest
        from gliosuite.mrml.perfusion.arterial import new_points
        from gliosuite.mrml.sequences import node_from_series

        grid = Grid((12, 12, 6), (4.0, 4.0, 5.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
        times = tuple(2.0 * t for t in range(40))
        bolus = np.where(np.arange(40) < 10, 1.0, 1.0 + 2.0 * np.exp(-(np.arange(40) - 10) / 5.0))
        frames = np.full((40, *grid.shape), 100.0, np.float32)
        frames += np.random.default_rng(1).normal(0, 0.5, frames.shape).astype(np.float32)
        frames[:, 2:4, 4:8, 4:8] *= bolus[:, None, None, None].astype(np.float32)
        series = node_from_series(Series(frames, grid), times, "DCE")
        points = new_points("AIF points")
        for x in (20.0, 24.0):
            points.AddControlPoint(-x, -20.0, 10.0)
        request = PerfusionRequest(
            series, times_s=times, tr_ms=4.0, flip_angle_deg=15.0, aif="control points", points=points
        )
        drawn = GlioPerfusionLogic().draw(request)
        self.assertEqual(len(drawn.points), 2)
        own = np.mean([point.curve for point in drawn.points], axis=0)
        self.assertLess(np.abs(own - drawn.aif.concentration)[drawn.n_baseline :].max(), 1e-4 * own.max())

    def test_panel_on_a_digital_patient(self):
        from gliosuite.resources import display
        from gliosuite.ui import selftest

        nodes = selftest.patient()
        panel = slicer.util.getModuleWidget("GlioPerfusion").panel
        panel.bind(panel.logic.getParameterNode())
        self.assertIs(panel.parameters.series, nodes["dce"])
        panel.ui.aifComboBox.currentIndex = list(display()["choices"]["aif"]).index("population (Parker)")
        panel.ui.dceButton.click()
        selftest.finish(panel)
        made = panel.parameters.shownMap
        self.assertIsNotNone(made, panel.ui.statusLabel.text)
        name, values = made.GetName(), slicer.util.arrayFromVolume(made).copy()
        self.assertGreater((values > 0).sum(), 1000)
        panel.ui.regionSegmentationSelector.setCurrentNode(nodes["masks"])
        rows = panel.ui.regionTable.rowCount
        self.assertGreater(rows, 2)
        selftest.save_and_load()
        self.assertEqual(panel.parameters.shownMap.GetName(), name)
        self.assertTrue((slicer.util.arrayFromVolume(panel.parameters.shownMap) == values).all())
        self.assertEqual((panel.parameters.aif, panel.ui.regionTable.rowCount), ("population (Parker)", rows))
