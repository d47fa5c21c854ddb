"""Section 3: the prediction, how it is shown, and on to the target volumes."""

from typing import Any

from slicer.i18n import tr as _

from ...recurrence import CHANNELS
from ..panel import slot
from ..section import Section

_LEAST, _MOST = 0.5, 95.0  # %, of the slider and of the one in GlioRT


class Probability(Section):
    """The probability that was predicted, also before the scene was loaded."""

    place = "statusLabel"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        ui.predictButton.clicked.connect(self.onPredict)
        ui.rtButton.clicked.connect(self.onRt)
        for slider in (ui.opacitySlider, ui.thresholdSlider):
            slider.valueChanged.connect(self.onLook)
        ui.sdCheckBox.toggled.connect(self.onSd)

    def show(self) -> None:
        """The prediction of the scene."""
        self._tell(self.logic.recall(self.parameters.probability))

    def allow(self) -> None:
        """Only what there is can be shown or handed on."""
        p, ui = self.parameters, self.ui
        there = p.probability is not None
        result = self.logic.recall(p.probability)
        ui.opacitySlider.enabled = ui.rtButton.enabled = there
        ui.thresholdSlider.enabled = there and not p.showSd
        ui.sdCheckBox.enabled = result is not None and result.sd is not None

    def _tell(self, result: Any, notes: list[str] | None = None) -> None:
        """What was looked at and the model's threshold, and what a reader must know."""
        self.ui.notesLabel.text = "" if result is None else "\n".join(result.notes)
        if result is None:
            self.say("")
            return
        titles = ", ".join(CHANNELS[name].title for name in result.channels)
        said = _("{name}: {images} looked at; the model's threshold is {percent:.1f} %")
        percent = 100 * result.threshold
        self.say(said.format(name=result.probability.GetName(), images=titles, percent=percent), notes or [])

    @slot
    def onPredict(self) -> None:
        """The application waits some seconds, with a busy cursor."""
        self.say("")
        request = self.panel.request()
        result, notes = self._attempt(lambda: self.logic.predict(request))
        if result is None:
            return
        p = self.parameters
        p.probability = result.probability
        p.thresholdPercent = min(max(round(100 * result.threshold, 1), _LEAST), _MOST)
        with self.bindings.held():
            p.showSd = False
        self.panel.why.clear()
        self._tell(result, notes)
        self._show(result)
        self.panel.onChoice()

    def _show(self, result: Any) -> None:
        p = self.parameters
        if p.showSd:
            self.logic.showSd(result, p.opacityPercent / 100)
        else:
            self.logic.show(result, p.opacityPercent / 100, p.thresholdPercent / 100)

    @slot
    def onSd(self) -> None:
        """The other of the two maps."""
        p = self.parameters
        p.showSd = self.ui.sdCheckBox.checked
        result = self.logic.recall(p.probability)
        if result is not None:
            self._show(result)
        self.panel.onChoice()

    @slot
    def onLook(self) -> None:
        """A slider was moved."""
        p = self.parameters
        # Both are read before either is stored: each change of the node brings all its values back to the widgets.
        opacity, threshold = self.ui.opacitySlider.value, self.ui.thresholdSlider.value
        p.opacityPercent, p.thresholdPercent = opacity, threshold
        if p.probability is not None:
            self.logic.look(p.probability, opacity / 100, threshold / 100)

    @slot
    def onRt(self) -> None:
        """On to GlioRT."""
        p = self.parameters
        self.logic.toRT(p.probability, p.thresholdPercent)
