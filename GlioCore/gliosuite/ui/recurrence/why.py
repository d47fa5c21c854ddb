"""Section 3, below: what drove the probability where the crosshair is."""

from typing import Any

from slicer.i18n import tr as _

from ...recurrence.reasons import RELATIVE, Reason
from ..panel import slot
from ..section import Section
from ..table import fill_table


class Why(Section):
    """A table of what each input adds at a place."""

    place = "whyStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self.ui.whyButton.clicked.connect(self.onWhy)

    def show(self) -> None:
        """Nothing was asked in a scene that has just come."""
        self.clear()

    def allow(self) -> None:
        """Only a prediction of ours knows what it was made from."""
        self.ui.whyButton.enabled = self.logic.recall(self.parameters.probability) is not None

    def clear(self) -> None:
        """Another prediction was driven by something else."""
        fill_table(self.ui.whyTable, (), ())
        self.say("")

    @slot
    def onWhy(self) -> None:
        """The application waits some seconds, with a busy cursor."""
        self.clear()
        found, notes = self._attempt(lambda: self.logic.why(self.parameters.probability))
        if found is not None:
            place, said = found
            heads = (_("Input"), _("Value"), _("Normal"), _("Log odds"), _("SD"), _("Without"))
            fill_table(self.ui.whyTable, heads, [_row(reason) for reason in said.reasons])
            text = _("R {0:.1f}, A {1:.1f}, S {2:.1f} mm: probability {3:.1f} %, SD {4:.1f} %")
            outside = [
                r.input
                for r in said.reasons
                if r.value is not None and r.low is not None and not r.low <= r.value <= r.high
            ]
            unlike = _("{images}: outside what the model was trained on")
            notes = [*notes, *([unlike.format(images=", ".join(outside))] if outside else [])]
            self.say(text.format(*place, 100 * said.probability, 100 * said.sd), notes)
        self.panel.onChoice()


def _row(reason: Reason) -> tuple[Any, ...]:
    """What the table says of an input, in as few digits as count: the panel is narrow."""
    unit = "x" if reason.unit == RELATIVE else reason.unit
    digits = ".0f" if unit == "mm" else ".3g"  # the model's voxels are of some mm
    value = "" if reason.value is None else f"{reason.value:{digits}} {unit}".rstrip()
    percentile = "" if reason.percentile is None else f"{reason.percentile:.0f} %"
    without = f"{100 * reason.without:.2g} %"
    return reason.input, value, percentile, round(reason.log_odds, 2), round(reason.log_odds_sd, 2), without
