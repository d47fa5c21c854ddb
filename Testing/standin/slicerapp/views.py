"""Slice and 3D views off screen: Slicer's own displayable managers; the application draws the image itself with a mapper like this one."""

import slicer
import slicer.util
import vtk
from vtk.util import numpy_support

MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceView:
    """An axial, sagittal or coronal view of the scene."""

    def __init__(self, orientation: str = "Axial", size: tuple[int, int] = (400, 400)) -> None:
        self.renderer, self.window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()  # the managers need one
        self.interactor.SetRenderWindow(self.window)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        application = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode({"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}[orientation])
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        for manager in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self.mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        self.logic.ResizeSliceNode(*size)

    def fit(self, offset_mm: float | None = None) -> None:
        """Show all of the background volume; the slice at `offset_mm` (RAS along the view's normal)."""
        self.logic.FitSliceToAll()
        if offset_mm is not None:
            self.logic.SetSliceOffset(offset_mm)
        self.mapper.SetInputConnection(self.logic.GetImageDataConnection())

    def picture(self):
        """The rendered view as an array (rows from the top, columns, RGB)."""
        for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
            legend.Modified()  # the application's event loop does this when another volume is shown
        return _picture(self.window)

    def pixel(self, ras: tuple[float, float, float]) -> tuple[int, int]:
        """Row (from the top) and column at which a RAS position is drawn."""
        matrix = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), matrix)
        x, y, *_ = matrix.MultiplyPoint((*ras, 1.0))
        return self.window.GetSize()[1] - 1 - round(y), round(x)


class ThreeDView:
    """A 3D view of the scene."""

    MANAGERS = (
        "vtkMRMLCameraDisplayableManager",
        "vtkMRMLViewDisplayableManager",
        "vtkMRMLModelDisplayableManager",
        "vtkMRMLSegmentationsDisplayableManager3D",
        "vtkMRMLMarkupsDisplayableManager",
    )

    def __init__(self, size: tuple[int, int] = (400, 400)) -> None:
        self.renderer, self.window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.renderer.SetUseDepthPeeling(True)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLViewNode", "View1")
        self.node.SetLayoutName("1")
        self.node.SetMappedInLayout(1)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        for manager in self.MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)
        self.managers.SetMRMLDisplayableNode(self.node)

    def picture(self, azimuth: float = 30.0, elevation: float = 15.0):
        """The rendered view (rows, columns, RGB), seen from the front and turned by these degrees."""
        camera = self.renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(0, 500, 0)
        camera.SetViewUp(0, 0, 1)
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        self.renderer.ResetCamera()
        camera.Zoom(1.3)
        self.renderer.ResetCameraClippingRange()
        return _picture(self.window)


def _picture(window):
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1]


def off_screen() -> bool:
    """Whether this machine can draw without a screen (EGL)."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    return bool(window.SupportsOpenGL())


class PlotView:
    """A chart of the scene, drawn by VTK as the application's plot view does."""

    def __init__(self, size: tuple[int, int] = (400, 400)) -> None:
        self.view = vtk.vtkContextView()
        self.view.GetRenderer().SetBackground(1, 1, 1)
        self.window = self.view.GetRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(4)
        self.window.SetSize(*size)

    def picture(self, chart):
        """The rendered chart (rows, columns, RGB)."""
        drawn = vtk.vtkChartXY()
        self.view.GetScene().ClearItems()
        self.view.GetScene().AddItem(drawn)
        for i in range(chart.GetNumberOfPlotSeriesNodes()):
            series = chart.GetNthPlotSeriesNode(i)
            line = drawn.AddPlot(vtk.vtkChart.LINE)
            line.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
            line.SetLabel(series.GetName())
            line.SetColorF(*series.GetColor())
            line.SetWidth(series.GetLineWidth())
            dashed = series.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
            line.GetPen().SetLineType(vtk.vtkPen.DASH_LINE if dashed else vtk.vtkPen.SOLID_LINE)
        drawn.SetShowLegend(chart.GetLegendVisibility())
        drawn.SetTitle(chart.GetTitle())
        drawn.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(chart.GetXAxisTitle())
        drawn.GetAxis(vtk.vtkAxis.LEFT).SetTitle(chart.GetYAxisTitle())
        return _picture(self.window)
