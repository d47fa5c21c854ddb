"""GlioCore: hidden; hosts the library ``gliosuite`` that the other modules import, and puts its colour tables into the scene."""

import slicer
import slicer.util
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
        slicer.app.connect("startupCompleted()", onStartupCompleted)


def onStartupCompleted():
    """What other modules and saved scenes rely on, once the application is there."""
    from gliosuite.mrml import layout

    layout.register()
    registerSampleData()


def registerSampleData():
    """A digital patient among the application's sample data; it is made on this machine, nothing is downloaded."""
    import os

    import SampleData

    icons = os.path.join(os.path.dirname(__file__), "Resources", "Icons")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="GlioSuite",
        sampleName="GlioSuite digital patient",
        thumbnailFileName=os.path.join(icons, "GlioCoreDigitalPatient.png"),
        uris=[],
        fileNames=[],
        nodeNames=[],
        customDownloader=loadDigitalPatient,
    )


def loadDigitalPatient(*_args):
    """What a click on the sample does: the patient is made under a busy cursor, and what goes wrong is said."""
    with slicer.util.tryWithErrorDisplay(_("The digital patient could not be made."), waitCursor=True):
        return list(GlioCoreLogic().digitalPatient().values())


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

    def digitalPatient(self, **options):
        """Make a simulated patient in a process of its own and load it; the application waits."""
        from gliosuite.mrml.sample import digital_patient

        return digital_patient(**options)


class GlioCoreTest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.mrmlScene.Clear()
        tables = GlioCoreLogic().colorTables()
        self.assertEqual(tables["inferno"].GetNumberOfColors(), 256)
        nodes = GlioCoreLogic().digitalPatient(grid_mm=4.0)
        self.assertLessEqual({"t1c", "flair", "dce", "dsc", "masks"}, set(nodes))
        self.delayDisplay("GlioCore: test passed")
