"""GlioRecurrence: where a glioma is likely to recur. An empty room for now: nothing is predicted yet."""

from gliosuite.ui.module import ModuleWidget
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class GlioRecurrence(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("GlioRecurrence")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["GlioCore"]
        self.parent.contributors = ["GlioSuite contributors"]
        self.parent.helpText = _(
            "Will show where a glioma is likely to recur. Nothing is predicted yet. For research use only."
        )
        self.parent.acknowledgementText = _("No model ships with this version.")


class GlioRecurrenceWidget(ModuleWidget):
    def setup(self):
        self.logic = GlioRecurrenceLogic()
        self.page().statusLabel.text = self.logic.state()


class GlioRecurrenceLogic(ScriptedLoadableModuleLogic):
    def state(self):
        return _("No recurrence model is installed: nothing can be predicted.")

    def predict(self, *_args):
        from gliosuite.errors import InputError

        raise InputError(self.state())


class GlioRecurrenceTest(ScriptedLoadableModuleTest):
    def runTest(self):
        from gliosuite.errors import InputError

        with self.assertRaises(InputError):
            GlioRecurrenceLogic().predict()
        self.delayDisplay("GlioRecurrence: test passed")
