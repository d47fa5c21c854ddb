"""What the widgets of the three modules share: the page of the .ui file, the panel on it, and what happens as scenes open and close.

Slicer looks for a class of a given name in each module's file; that class derives from this one. No qt here: a module's file is
imported when the application starts, also where it has no window.
"""

from typing import TYPE_CHECKING, Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from .panel import Panel


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The widget of a module, whose `setup` sets `logic`, takes the `page`, and lets it `host` a panel where there is one."""

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Panel | None = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def page(self) -> Any:
        """Put the page of the module's .ui file into its layout; its widgets by name."""
        ScriptedLoadableModuleWidget.setup(self)
        page = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(page)
        page.setMRMLScene(slicer.mrmlScene)
        return slicer.util.childWidgetVariables(page)

    def host(self, panel: "Panel") -> None:
        """Keep a panel, and show it the parameter node of the logic anew after each scene that closes or opens."""
        self.panel = panel
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneCloses)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneOpens)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.onScene)

    def onSceneCloses(self, *_args: Any) -> None:
        """What runs was meant for this scene, and nothing of it may reach the next."""
        if self.panel is not None:
            self.panel.leave()

    def onSceneOpens(self, *_args: Any) -> None:
        """The selectors move by themselves while nodes arrive."""
        if self.panel is not None:
            self.panel.pause()

    def onScene(self, *_args: Any) -> None:
        """The scene's own choices are in the parameter node."""
        if self.panel is not None:
            self.panel.bind(self.logic.getParameterNode())

    def enter(self) -> None:
        """The module is shown: nodes may have come meanwhile."""
        self.onScene()

    def cleanup(self) -> None:
        """The widget goes away."""
        if self.panel is not None:
            self.panel.close()
        self.removeObservers()
