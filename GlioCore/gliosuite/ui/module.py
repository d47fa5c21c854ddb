"""What the widgets of the three modules share: the page of the .ui file, the panel on it, and what happens when a scene closes.

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
        """Keep a panel, and show it the parameter node of the logic anew after each scene."""
        self.panel = panel
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)

    def onSceneClosed(self, *_args: Any) -> None:
        """A new scene has a parameter node of its own."""
        if self.panel is not None:
            self.panel.bind(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """The widget goes away."""
        if self.panel is not None:
            self.panel.close()
        self.removeObservers()
