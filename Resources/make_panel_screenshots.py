"""Redraw the pictures of the panels for the docs: each beside the views that it moves, on a digital patient.

``make panel-screenshots`` runs it. The panels are ours in Qt with the tests' stand-ins for Slicer's own widgets; views are drawn off screen
by Slicer's displayable managers (slicer-core). So the pictures show what Slicer shows, but not the frame of its window.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "GlioCore"), os.environ.get("PYTHONPATH", "")])
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing" / "standin")]

OUT = ROOT / "Resources" / "Screenshots"
PANEL_WIDTH, VIEW, GAP = 420, 450, 6
_MOST_BYTES = 300_000
PROBABILITY = "the simulated progression, blurred: no model made it"


def grabbed(widget) -> np.ndarray:
    """A page at the panel's width, without the empty room below it, as rows, columns, RGB."""
    import qt

    widget.show()
    widget.resize(PANEL_WIDTH, 3000)
    qt.QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(qt.QImage.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
    used = np.flatnonzero((pixels != pixels[-1, -1]).any(axis=(1, 2)))
    return pixels[: used[-1] + 12].copy()


def beside(panel: np.ndarray, views: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The panel left, rows of views right, on the grey of Slicer's view area."""
    stacked = []
    for row in views:
        gap = np.full((row[0].shape[0], GAP, 3), 40, np.uint8)
        stacked.append(np.concatenate([p for view in row for p in (gap, view)], axis=1))
    width = max(p.shape[1] for p in stacked)
    right = np.concatenate(
        [p for part in stacked for p in (np.pad(part, ((0, GAP), (0, width - part.shape[1]), (0, 0))),)], axis=0
    )
    height = max(panel.shape[0], right.shape[0])
    fill = lambda p, value: np.concatenate([p, np.full((height - p.shape[0], p.shape[1], 3), value, np.uint8)], axis=0)
    return np.concatenate([fill(panel, panel[-1, -1]), fill(right, 40)], axis=1)


def drawn_colors() -> list[int]:
    """The colours of the scene's contours and of colour maps that few pixels have: red, green, blue one after another."""
    import slicer
    from gliosuite import resources

    maps = json.loads(resources.read_text("colormaps.json"))
    probability = any("robability" in n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    names = ("inferno", "viridis") if probability else ("coolwarm",)
    found = [c for name in names for stop in maps[name] for c in bytes.fromhex(stop[1:])]
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        for identifier in node.GetSegmentation().GetSegmentIDs():
            found += [round(255 * c) for c in node.GetSegmentation().GetSegment(identifier).GetColor()]
    return found


def save(picture: np.ndarray, name: str) -> None:
    """Write a picture of at most 300 kB: 256 colours, among them all that is drawn, and as wide as that allows."""
    from PIL import Image

    own = drawn_colors()
    rest = 256 - len(own) // 3
    colors = Image.new("P", (1, 1))
    colors.putpalette(Image.fromarray(np.ascontiguousarray(picture)).quantize(rest).getpalette()[: 3 * rest] + own)
    whole, path = Image.fromarray(np.ascontiguousarray(picture)), OUT / name
    for width in (whole.width, 1200, 1100, 1000, 900, 800, 700):
        if width > whole.width:
            continue
        size = width, round(whole.height * width / whole.width)
        shown = whole if width == whole.width else whole.resize(size, Image.Resampling.LANCZOS)
        shown.quantize(palette=colors, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= _MOST_BYTES:
            break
    print(f"{name}: {width} pixels wide, {path.stat().st_size // 1000} kB")


def settle(seconds: float) -> None:
    """Let the panel's timers run."""
    import qt

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        qt.QApplication.processEvents()
        time.sleep(0.02)


def glio_rt(grid_mm: float) -> None:
    """Margins, targets, and the structure set of GlioRT; the sample's thumbnail."""
    import slicer
    from gliosuite.images import array
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.sample import digital_patient
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.volumes import grid_of, node_from_image
    from scipy import ndimage
    from slicerapp import application
    from slicerapp.database import Database
    from slicerapp.views import SliceView, ThreeDView

    slicer.dicomDatabase = Database(Path(tempfile.mkdtemp(prefix="gliosuite-")))
    nodes = digital_patient(grid_mm=grid_mm)
    layout = slicer.vtkMRMLLayoutNode()
    slicer.mrmlScene.AddNode(layout)
    red, yellow = SliceView("Axial", (VIEW, VIEW)), SliceView("Sagittal", (VIEW, VIEW))
    space = ThreeDView((2 * VIEW + GAP, VIEW))
    for node in (nodes["t1c"], nodes["flair"]):
        node.GetDisplayNode().SetInterpolate(1)
    grid = grid_of(nodes["t1c"])
    later = next(s for s in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")).GetSegmentation()
    names = {later.GetSegment(i).GetName(): i for i in later.GetSegmentIDs()}
    progression = mask_from_segment(nodes["masks"], names["lesion at progression (T2L)"], grid)
    soft = ndimage.gaussian_filter(array(progression, np.float32), 5 / np.asarray(grid.spacing)[::-1])
    probability = node_from_image(grid.image(np.clip(0.9 * soft, 0, 1).astype(np.float32)), "recurrence probability")
    probability.SetAttribute("GlioSuite.Source", PROBABILITY)
    show_map(probability, "probability")
    slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(probability).SetVisibility(False)
    lesions = match_segments(nodes["masks"])
    nodes["masks"].GetDisplayNode().SetSegmentVisibility2DOutline(lesions["brain"].identifier, False)

    application.load(ROOT / "GlioCore" / "GlioCore.py")
    widget = application.load(ROOT / "GlioRT" / "GlioRT.py").GlioRTWidget()
    page, panel = widget.parent, widget.panel
    ui = panel.ui
    boxes = {n: getattr(ui, f"{n}Box") for n in ("input", "scheme", "predicted", "result", "export")}

    def only(*opened: str) -> np.ndarray:
        for name, box in boxes.items():
            box.collapsed = name not in opened
        panel.onChoice()
        settle(0.1)
        return grabbed(page)

    def slices() -> list[np.ndarray]:
        for view in (red, yellow):
            view.mapper.SetInputConnection(view.logic.GetImageDataConnection())
        return [red.picture().copy(), yellow.picture().copy()]

    for view, node in ((red, nodes["t1c"]), (yellow, nodes["flair"])):
        view.node.SetOrientationToAxial()
        view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
    center = nodes["masks"].GetSegmentCenterRAS(lesions["cavity"].identifier)
    for view in (red, yellow):
        view.fit(center[2])
        view.node.SetFieldOfView(190, 190, 1)
    nodes["masks"].SetDisplayVisibility(False)
    ui.segmentationSelector.setCurrentNode(None)
    ui.postOperativeCheckBox.checked = True
    ui.draftButton.click()
    while panel._running is not None:
        panel._running.wait(600000)
    drafted = panel.parameters.segmentation
    save(beside(only("input"), [[p] for p in slices()]), "rt-drafts.png")
    ui.segmentationSelector.setCurrentNode(nodes["masks"])
    slicer.mrmlScene.RemoveNode(drafted)
    nodes["masks"].SetDisplayVisibility(True)

    ui.progressionComboBox.currentIndex = panel.structures.choices("progression").index(
        names["lesion at progression (T2L)"]
    )
    ui.previewCheckBox.checked = True
    ui.marginSlider.value = 20
    settle(6)
    save(beside(only("input", "scheme"), [[p] for p in slices()]), "rt-margins.png")

    ui.computeButton.click()
    ui.view3dCheckBox.click()
    for view in (red, yellow):
        view.logic.SetSliceOffset(center[2])
    save(beside(only("predicted", "result"), [slices(), [space.picture()]]), "rt-targets.png")

    ui.firstComboBox.currentIndex, ui.secondComboBox.currentIndex = 0, 2
    ui.differenceCheckBox.click()
    ui.outputFolderEdit.currentPath = "plans"
    ui.checkButton.click()
    save(beside(only("result", "export"), [[p] for p in slices()]), "rt-export.png")
    panel.logic.overlay(None)
    thumbnail(red)


def glio_perfusion(grid_mm: float) -> None:
    """Study, arterial input, and maps with their uncertainty of GlioPerfusion."""
    import slicer
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.layout import jump
    from gliosuite.mrml.perfusion.arterial import new_points
    from patients import m1_points, simulated
    from slicerapp import application
    from slicerapp.views import PlotView, SliceView

    folder = Path(tempfile.mkdtemp(prefix="gliosuite-"))
    case = simulated(folder, seed=3, scans="structural,vfa,dce,dsc", grid_mm=grid_mm)
    nodes = load_case(case)
    slicer.mrmlScene.AddNode(slicer.vtkMRMLLayoutNode())
    red, green = SliceView("Axial", (VIEW, VIEW)), SliceView("Coronal", (VIEW, VIEW))
    plot = PlotView((2 * VIEW + GAP, VIEW))
    application.load(ROOT / "GlioCore" / "GlioCore.py")
    widget = application.load(ROOT / "GlioPerfusion" / "GlioPerfusion.py").GlioPerfusionWidget()
    page, panel = widget.parent, widget.panel
    ui = panel.ui
    nodes["masks"].GetDisplayNode().SetVisibility(False)

    def only(*opened: str) -> np.ndarray:
        for name in ("series", "aif", "dce", "dsc", "overlay", "region"):
            getattr(ui, f"{name}Box").collapsed = name not in opened
        settle(0.1)
        return grabbed(page)

    def slices(*views: SliceView) -> list[np.ndarray]:
        for view in views:
            view.mapper.SetInputConnection(view.logic.GetImageDataConnection())
        return [view.picture().copy() for view in views]

    def finished() -> None:
        while panel._running is not None:
            panel._running.wait(600000)

    m1 = m1_points(case, 4)
    for box in (ui.registrationBox,):
        box.collapsed = False
    ui.acquisitionBox.collapsed = True
    ui.registerButton.click()
    finished()
    for row in range(ui.registrationTable.rowCount):
        ui.registrationTable.setCurrentCell(row, 0)
        ui.registrationTable.cellClicked.emit(row, 0)
        ui.acceptRegistrationButton.click()
    flair = [ui.registrationTable.item(r, 0).text() for r in range(ui.registrationTable.rowCount)].index(
        nodes["flair"].GetName()
    )
    ui.registrationTable.setCurrentCell(flair, 0)
    ui.registrationTable.cellClicked.emit(flair, 0)
    ui.checkerboardButton.click()
    jump((0.0, 0.0, 15.0))
    save(beside(only("series"), [[p] for p in slices(red, green)]), "perfusion-study.png")

    ui.aifComboBox.currentIndex = 1
    ui.bolusButton.click()
    for point in m1[:3]:
        panel.parameters.aifPoints.AddControlPoint(*point)
    other = new_points("Second reader")
    for point in m1[1:]:
        other.AddControlPoint(*point)
    other.GetDisplayNode().SetSelectedColor(0.0, 0.45, 0.7)
    for node in (panel.parameters.aifPoints, other):
        node.GetDisplayNode().SetPointLabelsVisibility(False)
    ui.secondPointsSelector.setCurrentNode(other)
    jump(m1[0])
    for view in (red, green):
        view.node.SetFieldOfView(110, 110, 1)
    save(beside(only("aif"), [slices(red, green), [plot.picture(panel.parameters.aifChart)]]), "perfusion-aif.png")
    for node in (panel.parameters.aifPoints, other):
        node.GetDisplayNode().SetVisibility(False)

    ui.aifComboBox.currentIndex = 0
    ui.t10SpinBox.value = 1.5  # as the simulation has it
    ui.refineCheckBox.checked = True
    ui.dceButton.click()
    finished()
    cel = nodes["masks"].GetSegmentation().GetSegmentIdBySegmentName("enhancing lesion (CEL)")
    lesion = tuple(nodes["masks"].GetSegmentCenterRAS(cel))
    made = {one.quantity: one.node for one in panel.overlay._maps}
    for view, quantity in ((red, "ktrans"), (green, "vp")):
        view.node.SetOrientationToAxial()
        composite = view.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(nodes["t1c"].GetID())
        composite.SetForegroundVolumeID(made[quantity].GetID())
        composite.SetForegroundOpacity(0.6)
    jump(lesion)
    for view in (red, green):
        view.node.SetFieldOfView(200, 200, 1)
    save(beside(only("dce"), [[p] for p in slices(red, green)]), "perfusion-maps.png")
    ui.regionSegmentationSelector.setCurrentNode(nodes["masks"])
    ui.hideCheckBox.checked = True
    ui.percentSlider.value = 40
    ui.sideBySideButton.click()
    ui.histogramButton.click()
    shown = red.logic.GetSliceCompositeNode().GetForegroundVolumeID()
    sd = panel.overlay.map.sd.GetID()
    for view, over in ((red, shown), (green, sd)):
        view.node.SetOrientationToAxial()
        view.logic.GetSliceCompositeNode().SetForegroundVolumeID(over)
    jump(lesion)
    for view in (red, green):
        view.node.SetFieldOfView(200, 200, 1)
    chart = plot.picture(panel.parameters.regionChart)
    save(beside(only("overlay", "region"), [slices(red, green), [chart]]), "perfusion-uncertainty.png")


def glio_recurrence(grid_mm: float) -> None:
    """Probability with what drove a voxel, and the later visit, of GlioRecurrence."""
    import slicer
    from gliosuite.case import Case
    from gliosuite.mrml.case import load_case
    from gliosuite.mrml.layout import jump
    from gliosuite.mrml.segments import segmentation_from_masks
    from gliosuite.mrml.volumes import node_from_image
    from gliosuite.ui import selftest
    from patients import brain_of, simulated
    from slicerapp import application
    from slicerapp.views import SliceView

    case = simulated(Path(tempfile.mkdtemp(prefix="gliosuite-")), seed=3, scans="structural,diffusion", grid_mm=grid_mm)
    nodes = load_case(case)
    segmentation_from_masks({"brain": brain_of(case)}, nodes["t1c"], "", nodes["masks"])
    later = Case.load(case).followup
    then = {
        role: node_from_image(later.image(role), f"{role} after {later.data['days']} days") for role in ("t1c", "flair")
    }
    slicer.mrmlScene.AddNode(slicer.vtkMRMLLayoutNode())
    red, yellow = SliceView("Axial", (VIEW, VIEW)), SliceView("Sagittal", (VIEW, VIEW))
    application.load(ROOT / "GlioCore" / "GlioCore.py")
    widget = application.load(ROOT / "GlioRecurrence" / "GlioRecurrence.py").GlioRecurrenceWidget()
    page, panel = widget.parent, widget.panel
    ui = panel.ui
    boxes = [w for name, w in vars(ui).items() if name.endswith("Box") and w.inherits("ctkCollapsibleButton")]

    def only(*opened: str) -> np.ndarray:
        for box in boxes:
            box.collapsed = box.objectName not in [f"{name}Box" for name in opened]
        panel.onChoice()
        settle(0.1)
        return grabbed(page)

    def slices(place: tuple[float, float, float]) -> list[list[np.ndarray]]:
        for view in (red, yellow):
            view.node.SetOrientationToAxial()
        jump(place)
        for view in (red, yellow):
            view.node.SetFieldOfView(200, 200, 1)
            view.mapper.SetInputConnection(view.logic.GetImageDataConnection())
        return [[view.picture().copy()] for view in (red, yellow)]

    segments = nodes["masks"].GetSegmentation()
    lesion = segments.GetSegmentIdBySegmentName("enhancing lesion (CEL)")
    middle = tuple(nodes["masks"].GetSegmentCenterRAS(lesion))
    nodes["masks"].GetDisplayNode().SetAllSegmentsVisibility2DOutline(False)
    nodes["masks"].GetDisplayNode().SetSegmentVisibility2DOutline(lesion, True)
    ui.predictButton.click()
    found = panel.logic.recall(panel.parameters.probability)
    values = slicer.util.arrayFromVolume(found.probability)
    ras = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(found.probability))
    asked = np.argwhere((values > 0.3) & (values < 1))
    places = (asked[:, ::-1] @ ras[:3, :3].T) + ras[:3, 3]
    nearest = asked[np.linalg.norm(places - middle, axis=1).argmin()]
    selftest.crosshair(found.probability, tuple(int(v) for v in nearest[::-1]))
    ui.whyButton.click()
    pictures = slices(middle)
    yellow.logic.GetSliceCompositeNode().SetForegroundVolumeID(found.sd.GetID())
    pictures[1] = slices(middle)[1]
    save(beside(only("predicted"), pictures), "recurrence-probability.png")

    ui.laterT1cSelector.setCurrentNode(then["t1c"])
    ui.laterFlairSelector.setCurrentNode(then["flair"])
    ui.visitsButton.click()
    while panel._running is not None:
        panel._running.wait(600000)
    ui.bothButton.click()
    both = slices(middle)
    save(beside(only("input", "followup"), both), "recurrence-followup.png")


def _ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def thumbnail(view) -> None:
    """The sample's picture in the Sample Data module."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(view.picture())).resize((128, 128), Image.Resampling.LANCZOS)
    small.quantize(128).save(ROOT / "GlioCore" / "Resources" / "Icons" / "GlioCoreDigitalPatient.png", optimize=True)


def main() -> None:
    """Draw all; the voxel size of the patient in mm may be given, and which panel: rt, perfusion or recurrence."""
    grid_mm = sys.argv[1] if len(sys.argv) > 1 else "1"
    if len(sys.argv) < 3:
        for panel in (
            "rt",
            "perfusion",
            "recurrence",
        ):  # each in a process of its own: views outlive the scene that they were made for
            subprocess.run([sys.executable, __file__, grid_mm, panel], check=True)
        return
    from slicerapp import application

    slicer = application.start(gui=True)
    slicer.util.errorDisplay = lambda text, detailedText="", **_: sys.exit(f"{text}\n{detailedText}")
    {"rt": glio_rt, "perfusion": glio_perfusion, "recurrence": glio_recurrence}[sys.argv[2]](float(grid_mm))


if __name__ == "__main__":
    main()
