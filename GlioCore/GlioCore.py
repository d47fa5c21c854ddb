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
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """A simulated patient among the application's sample data; it is made on this machine, nothing is downloaded."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="GlioSuite",
        sampleName="GlioSuite simulated patient",
        uris=[],
        fileNames=[],
        nodeNames=[],
        customDownloader=lambda *_args: list(GlioCoreLogic().simulatePatient().values()),
    )


class GlioCoreLogic(ScriptedLoadableModuleLogic):
    def colorTables(self):
        """Our colour tables in the scene, by the name of the colour map."""
        import json

        from gliosuite import resources
        from gliosuite.mrml.display import color_table

        return {name: color_table(name) for name in json.loads(resources.read_text("colormaps.json"))}

    def loadCase(self, folder):
        """A case folder's nodes by role."""
        from gliosuite.mrml.case import load_case

        return load_case(folder)

    def simulatePatient(self, seed=0, grid_mm=2.0):
        """Make a simulated patient in a process of its own and load it; the application waits."""
        import tempfile

        from gliosuite.mrml import process

        with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as folder:
            options = ["--n", "1", "--seed", str(seed), "--grid-mm", f"{grid_mm:g}", "--out", folder]
            made = process.run(["simulate", *options])
            return self.loadCase(f"{folder}/{made['cases'][0]}")


class GlioCoreTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        tables = GlioCoreLogic().colorTables()
        self.assertEqual(tables["inferno"].GetNumberOfColors(), 256)
        self.delayDisplay("GlioCore: test passed")
