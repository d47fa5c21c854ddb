"""Section 3: a target volume from a map of the probability of recurrence."""

from dataclasses import replace
from typing import Any

import ctk
from slicer.i18n import tr as _

from ...mrml.rt.choices import LIKE, SENSITIVITY, THRESHOLD, VOLUME
from ...mrml.rt.prediction import first_probability
from ...mrml.rt.request import Prediction
from ...mrml.rt.targets import schemes
from ..panel import show_only, slot
from ..section import Section
from .choices import Choices, Rest


class Predicted(Section):
    """Where the probability is cut, and the preview of what that gives."""

    place = "predictedLabel"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        self._predictor: Any = None
        self._like = Choices(ui.likeComboBox)
        self._like.fill((s.name, s.title) for s in schemes())
        self.bindings.path(ui.validationEdit, "validation")
        ui.validationEdit.filters = ctk.ctkPathLineEdit.Dirs
        self._rest = Rest(self.draw)
        for signal in (
            ui.probabilitySelector.currentNodeChanged,
            ui.cutComboBox.currentIndexChanged,
            ui.satellitesCheckBox.stateChanged,
        ):
            signal.connect(panel.onChoice)
        for signal in (
            ui.thresholdSlider.valueChanged,
            ui.volumeSlider.valueChanged,
            ui.sensitivitySlider.valueChanged,
            ui.likeComboBox.currentIndexChanged,
            ui.validationEdit.currentPathChanged,
            ui.predictedPreviewCheckBox.stateChanged,
        ):
            signal.connect(self.onCut)

    def fill(self) -> None:
        """A map of a probability that a model of ours made; a person chooses any other."""
        if self.parameters.probability is None:
            self.parameters.probability = first_probability()

    def show(self) -> None:
        """The scheme whose volume is wanted."""
        self._predictor = None
        self._like.value = self.parameters.like
        self._rest.stop()
        self.ui.predictedLabel.text = ""

    def prediction(self) -> Prediction | None:
        """What is asked for; None where no probability is chosen."""
        ui = self.ui
        node, cut = ui.probabilitySelector.currentNode(), ui.cutComboBox.currentText
        if node is None:
            return None
        value = {
            THRESHOLD: ui.thresholdSlider.value / 100,
            VOLUME: ui.volumeSlider.value,
            SENSITIVITY: ui.sensitivitySlider.value / 100,
        }.get(cut, 0.0)
        satellites = ui.satellitesCheckBox.checked
        return Prediction(node, cut, value, self._like.value, ui.validationEdit.currentPath, satellites)

    def allow(self) -> None:
        """The controls of the chosen cut; other choices above make another prediction."""
        ui, cut = self.ui, self.ui.cutComboBox.currentText
        there = ui.probabilitySelector.currentNode() is not None
        show_only(
            ((ui.cutLabel, ui.cutComboBox, ui.satellitesCheckBox, ui.predictedPreviewCheckBox), there),
            ((ui.thresholdLabel, ui.thresholdSlider), there and cut == THRESHOLD),
            ((ui.likeLabel, ui.likeComboBox), there and cut == LIKE),
            ((ui.volumeLabel, ui.volumeSlider), there and cut == VOLUME),
            (
                (ui.sensitivityLabel, ui.sensitivitySlider, ui.validationLabel, ui.validationEdit),
                there and cut == SENSITIVITY,
            ),
        )
        self._predictor = None
        if there and ui.predictedPreviewCheckBox.checked and not self.bindings.paused:
            self._rest.wait()

    @slot
    def onCut(self) -> None:
        """Something of the cut was moved: draw it once it rests."""
        ui, p = self.ui, self.parameters
        found, wanted, like = self.prediction(), ui.predictedPreviewCheckBox.checked, self._like.value
        values = ui.thresholdSlider.value, ui.volumeSlider.value, ui.sensitivitySlider.value
        # Stored before anything else is: each change of the node brings all its values back to the widgets.
        p.thresholdPercent, p.volumeCc, p.sensitivityPercent = values
        p.predictedPreview, p.like = wanted, like
        if wanted and found is not None:
            self._rest.wait()
        else:
            self._rest.stop()
            self.say("")
            self.logic.hide(p.predictedSegmentation)

    @slot
    def draw(self) -> None:
        """Draw what the cut gives."""
        p, found = self.parameters, self.prediction()
        if found is None:
            return
        if self._predictor is None:
            self._predictor = self.logic.predictor(replace(self.panel.request(), prediction=found))
            least, most = self._predictor.range_cc
            self.ui.volumeSlider.minimum, self.ui.volumeSlider.maximum = least, most
        node, level, volume = self._predictor.draw(found, p.predictedSegmentation)
        p.predictedSegmentation = node
        self.say(
            _("probability from {level:.1f} %: {volume:.1f} cc with the lesion").format(
                level=100 * level, volume=volume
            )
        )
