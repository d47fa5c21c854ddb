"""GlioCore: hidden; hosts the library ``gliosuite`` that the other modules import, and puts its colour tables into the scene."""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class GlioCore(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("GlioCore")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = []
        self.parent.contributors = ["GlioSuite contributors"]
        self.parent.helpText = _(
            "The library that GlioPerfusion, GlioRecurrence and GlioRT share. For research use only."
        )
        self.parent.acknowledgementText = _("Template: MNI152 (McConnell Brain Imaging Centre, McGill University).")
        self.parent.hidden = True


class GlioCoreLogic(ScriptedLoadableModuleLogic):
    def colorTables(self):
        """Our colour tables in the scene, by the name of the colour map."""
        import json

        from gliosuite import resources
        from gliosuite.mrml.display import color_table

        return {name: color_table(name) for name in json.loads(resources.read_text("colormaps.json"))}


class GlioCoreTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        tables = GlioCoreLogic().colorTables()
        self.assertEqual(tables["turbo"].GetNumberOfColors(), 256)  # noqa: PT009
        self.delayDisplay("GlioCore: test passed")
