"""Section 2: schemes, barriers, PTV margin, and a margin to be tried out."""

from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from ...mrml.rt.choices import FOLDER, PLACED, SEGMENTS
from ...mrml.rt.targets import gtvs, schemes, spoken
from ..panel import show_only, slot
from ..section import Section
from ..table import fill_table
from .choices import Choices, Rest


class Margins(Section):
    """The schemes that are ticked, what their margins go round, and the preview."""

    place = "previewLabel"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        self._schemes = schemes()
        self._gtvs = {" ".join(roles): roles for roles in gtvs()}
        rows = [("\n".join((s.title, *s.gtvs)), _lines(s.margins), _lines(s.doses)) for s in self._schemes]
        fill_table(ui.schemeTable, (_("scheme, GTV"), _("margin"), _("dose")), rows)
        for row, scheme in enumerate(self._schemes):
            item = ui.schemeTable.item(row, 0)
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
            item.setCheckState(qt.Qt.Unchecked)
            for column in range(3):
                ui.schemeTable.item(row, column).setToolTip(
                    _("{targets}. Source: {source}").format(targets=", ".join(scheme.targets), source=scheme.source)
                )
        self._around = Choices(ui.aroundComboBox)
        self._around.fill((value, spoken(roles)) for value, roles in self._gtvs.items())
        self.bindings.path(ui.barriersFolderEdit, "barriersFolder")
        ui.barriersFolderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.schemeTable.itemChanged.connect(self.onScheme)
        self._rest = Rest(self.draw)
        for signal in (
            ui.previewCheckBox.stateChanged,
            ui.marginSlider.valueChanged,
            ui.aroundComboBox.currentIndexChanged,
        ):
            signal.connect(self.onMargin)
        for signal in (
            ui.barriersComboBox.currentIndexChanged,
            ui.barriersSelector.currentNodeChanged,
            ui.criticalSelector.currentNodeChanged,
            ui.throughBrainstemCheckBox.stateChanged,
            ui.throughChiasmCheckBox.stateChanged,
        ):
            signal.connect(panel.onChoice)

    def ticked(self) -> tuple[str, ...]:
        """Names of the ticked schemes."""
        items = [self.ui.schemeTable.item(row, 0) for row in range(len(self._schemes))]
        return tuple(s.name for s, i in zip(self._schemes, items) if i.checkState() == qt.Qt.Checked)

    def show(self) -> None:
        """The schemes that are ticked; no margin is drawn unless a person moves something."""
        wanted = self.parameters.schemes.split()
        for row, scheme in enumerate(self._schemes):
            state = qt.Qt.Checked if scheme.name in wanted else qt.Qt.Unchecked
            self.ui.schemeTable.item(row, 0).setCheckState(state)
        self._around.value = self.parameters.around
        self._rest.stop()
        self.ui.previewLabel.text = ""

    def allow(self) -> None:
        """What the choice of barriers needs."""
        ui, barriers = self.ui, self.ui.barriersComboBox.currentText
        show_only(
            ((ui.barriersFolderLabel, ui.barriersFolderEdit), barriers == FOLDER),
            ((ui.barriersSegmentationLabel, ui.barriersSelector), barriers == SEGMENTS),
            ((ui.throughLabel, ui.throughBrainstemCheckBox, ui.throughChiasmCheckBox), barriers in (FOLDER, SEGMENTS)),
        )
        if ui.previewCheckBox.checked and not self.bindings.paused:
            self._rest.wait()

    @slot
    def onScheme(self) -> None:
        """A scheme was ticked or not."""
        self.parameters.schemes = " ".join(self.ticked())
        self.panel.onChoice()

    @slot
    def onMargin(self) -> None:
        """Something of the preview was moved: draw it once it rests."""
        # Stored before anything else is: each change of the node brings all its values back to the widgets.
        wanted, margin = self.ui.previewCheckBox.checked, self.ui.marginSlider.value
        p = self.parameters
        p.marginMm, p.preview, p.around = margin, wanted, self._around.value
        if wanted:
            self._rest.wait()
        else:
            self._rest.stop()
            self.say("")
            self.logic.hide(p.previewSegmentation)

    @slot
    def draw(self) -> None:
        """Draw the margin that the slider shows."""
        p = self.parameters
        made = self.logic.preview(
            self.panel.request(), self._gtvs[self._around.value], p.marginMm, p.previewSegmentation
        )
        p.previewSegmentation = made.segmentation
        way = _("round {names}").format(names=", ".join(made.barriers)) if made.barriers else _("straight")
        if p.barriers == PLACED:
            way = _("straight: the barriers are not placed yet")
        self.say(
            _("{margin:g} mm round {roles}: {volume:.1f} cc inside the brain, {way}").format(
                margin=p.marginMm, roles=spoken(made.roles), volume=made.volume_cc, way=way
            )
        )


def _lines(entries: tuple[str, ...]) -> str:
    """Entries that stand beside the GTVs below the scheme's name."""
    return "\n".join(("", *entries))
