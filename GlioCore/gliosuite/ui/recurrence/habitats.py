"""Section 5: the habitats of the lesion, from the folder of a run: segments, their mean curves and a table."""

from typing import Any

import ctk
from slicer.i18n import tr as _

from ...resources import rgb
from ..panel import slot
from ..section import Section
from ..table import fill_table


class Habitats(Section):
    """Shows what ``gliosuite run`` or ``gliosuite habitats predict`` left."""

    place = "habitatsStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self.bindings.path(self.ui.habitatsEdit, "habitatsFolder")
        self.ui.habitatsEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.habitatsButton.clicked.connect(self.onShow)

    def show(self) -> None:
        """Nothing was asked in a scene that has just come."""
        fill_table(self.ui.habitatsTable, (), ())

    @slot
    def onShow(self) -> None:
        """Load and show them."""
        self.bindings.store()
        fill_table(self.ui.habitatsTable, (), ())
        self.say("")
        found, notes = self._attempt(lambda: self.logic.habitats(self.parameters.habitatsFolder))
        if found is not None:
            heads = (_("Pattern"), _("cc"), _("%"), _("Drop"), _("ADC"), _("Doubt"))
            colors = [[part / 255 for part in rgb(p["color"])] for p in found.patterns]
            fill_table(self.ui.habitatsTable, heads, [_row(p) for p in found.patterns], colors)
            self.say("\n".join(found.notes), notes)
        self.panel.onChoice()


def _row(p: dict[str, Any]) -> tuple[Any, ...]:
    """What the table says of a pattern: the panel is narrow. ADC is in 10⁻³ mm2/s."""
    number = lambda value, scale=1.0: "" if value is None else f"{scale * value:.2f}"
    return (
        p["title"],
        number(p["cc"]),
        f"{p['percent']:.0f}",
        number(p.get("drop")),
        number(p.get("adc_mm2_s"), 1e3),
        _("yes") if p["doubts"] else "",
    )
