"""Completes slicer-core with what the desktop application adds: a scene, logics, and the Python that Slicer puts beside them."""

import importlib.util
import sys
import tempfile
import types
import zipfile
from pathlib import Path

_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Models": "vtkSlicerModelsLogic",
    "Colors": "vtkSlicerColorLogic",
}
_kept = []  # logics must outlive their use: VTK does not hold them


class Application:
    """The few calls of ``slicer.app`` that modules make."""

    applicationName = "Stand-in"  # noqa: N815

    def __init__(self, logic: object) -> None:
        self._logic = logic
        self.started = []

    def applicationLogic(self):  # noqa: N802
        return self._logic

    def connect(self, signal: str, function) -> None:
        self.started.append((signal, function))

    def testingEnabled(self) -> bool:  # noqa: N802
        return True

    def setOverrideCursor(self, cursor) -> None:  # noqa: N802
        pass

    def restoreOverrideCursor(self) -> None:  # noqa: N802
        pass

    def processEvents(self) -> None:  # noqa: N802
        if "qt" in sys.modules:
            sys.modules["qt"].QApplication.processEvents()


def start(gui: bool = False):
    """A fresh scene with its logics; the ``slicer`` package, completed. With `gui` also qt, ctk and the qMRML widgets (PySide6)."""
    import slicer
    import slicer.util
    import vtk

    assert hasattr(slicer, "vtkMRMLScene"), "another package called slicer hides slicer-core"
    vtk.vtkObject.GlobalWarningDisplayOff()
    _kept.clear()
    slicer.mrmlScene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.GetColorLogic().SetMRMLScene(slicer.mrmlScene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    modules = types.SimpleNamespace()
    for name, class_name in _LOGICS.items():
        module_logic = getattr(slicer, class_name)()
        module_logic.SetMRMLScene(slicer.mrmlScene)
        module_logic.SetMRMLApplicationLogic(logic)
        logic.SetModuleLogic(name, module_logic)
        _kept.append(module_logic)
        setattr(modules, name.lower(), types.SimpleNamespace(name=name, logic=lambda kept=module_logic: kept))
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene, True)
    slicer.modules = modules
    slicer.app = Application(logic)
    _kept.append(logic)

    from slicerapp import parameters, real, scripted

    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text, *_: text
    i18n.translate = lambda context, text: text
    for name, module in {
        "ScriptedLoadableModule": scripted,
        "parameterNodeWrapper": parameters,
        "i18n": i18n,
    }.items():
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    slicer.util.settingsValue = lambda key, default, converter=None: default
    slicer.util.modulePath = lambda name: getattr(modules, name.lower()).path
    slicer.util.getModuleWidget = _module_widget
    slicer.util.mainWindow = lambda: None
    slicer.util.saveScene = lambda path: bool(slicer.mrmlScene.WriteToMRB(path))
    slicer.util.loadScene = lambda path: open_bundle(Path(path), Path(tempfile.mkdtemp(prefix="standin-")))
    if gui:
        from slicerapp import ctk, qt, widgets

        sys.modules["qt"], sys.modules["ctk"] = qt, ctk
        slicer.ctk, slicer.qt = ctk, qt
        widgets.complete(slicer)
    folder = real.base()
    if folder is not None:
        real.put(slicer, folder)
    return slicer


def load(path: Path):
    """Load a scripted module's file as Slicer does: its folder joins ``sys.path``, its metadata class is made; the Python module."""
    import slicer

    path = Path(path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    parent = types.SimpleNamespace(path=str(path), hidden=False, icon=None)
    entry = types.SimpleNamespace(name=path.stem, path=str(path), metadata=parent, widget=None)
    setattr(slicer.modules, path.stem.lower(), entry)
    entry.module = getattr(module, path.stem)(parent)
    return module


def _module_widget(name: str):
    """The widget of a module that was loaded; made when it is asked for first."""
    import slicer

    entry = getattr(slicer.modules, name.lower())
    if entry.widget is None:
        entry.widget = getattr(sys.modules[name], f"{name}Widget")()
    return entry.widget


def open_bundle(bundle: Path, folder: Path) -> None:
    """Close the scene and load a bundle (.mrb), unpacked into `folder`: `ReadFromMRB` needs the application's cache."""
    import slicer

    with zipfile.ZipFile(bundle) as packed:
        packed.extractall(folder)
    (file,) = folder.rglob("*.mrml")
    scene = slicer.mrmlScene
    scene.Clear(0)
    scene.SetURL(str(file))
    scene.SetRootDirectory(str(file.parent))
    assert scene.Import()
