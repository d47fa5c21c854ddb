"""Section 5: a map beside its uncertainty, and without the voxels that are not known well enough."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ...mrml.perfusion.uncertainty import Map
from ...resources import look
from ..panel import Panel, slot
from ..section import Section
from ..table import ROWS, fill_table
from .study import StudySection


class OverlaySection(Section):
    """The logic has ``maps() -> maps``, ``hide(map, percent) -> node``, ``showSideBySide(node, map, background)``,
    ``replaceShown(old, new)`` and ``summary(map, masks, percent) -> rows``.
    """

    def __init__(self, panel: Panel, study: StudySection) -> None:
        super().__init__(panel)
        self._study = study
        self._maps: list[Map] = []
        self._shown: Any = None  # the node that stands for the map in the views
        self.masks: Callable[[], Any] = dict  # regions by name on the map's grid; the next section's
        self.changed: list[Callable[[], None]] = []
        ui = self.ui
        ui.mapComboBox.currentIndexChanged.connect(self.onMap)
        ui.hideCheckBox.stateChanged.connect(self.onLimit)
        ui.percentSlider.valueChanged.connect(self.onLimit)
        ui.sideBySideButton.clicked.connect(self.onSideBySide)

    @property
    def map(self) -> Map | None:
        """The chosen map."""
        index = self.ui.mapComboBox.currentIndex
        return self._maps[index] if 0 <= index < len(self._maps) else None

    @property
    def percent(self) -> float | None:
        """The largest SD that is shown, in percent of the value; None: all are."""
        return self.parameters.uncertainPercent if self.parameters.hideUncertain else None

    def show(self) -> None:
        """The scene's maps."""
        chosen = self.parameters.shownMap
        self._maps = self.logic.maps()
        box = self.ui.mapComboBox
        with self.bindings.held():
            box.clear()
            for one in self._maps:
                box.addItem(one.node.GetName())
            nodes = [one.node for one in self._maps]
            box.currentIndex = nodes.index(chosen) if chosen in nodes else min(0, len(nodes) - 1)
        self._update()

    def take(self, node: Any) -> None:
        """Maps have been made: choose one of them."""
        self.parameters.shownMap = node
        self.show()
        self.panel.onChoice()

    def leave(self) -> None:
        """The scene closes."""
        self._maps, self._shown = [], None
        self.ui.mapComboBox.clear()
        fill_table(self.ui.uncertaintyTable, (), [])

    def allow(self) -> None:
        """Only where there is an SD."""
        one = self.map
        known = one is not None and one.sd is not None
        ui = self.ui
        ui.sideBySideButton.enabled = ui.hideCheckBox.enabled = known
        ui.percentSlider.enabled = known and ui.hideCheckBox.checked

    @slot
    def onMap(self) -> None:
        """Another map."""
        self._shown = None
        self.parameters.shownMap = None if self.map is None else self.map.node
        self._update()
        self.panel.onChoice()

    @slot
    def onLimit(self) -> None:
        """Other voxels are hidden."""
        ui, p = self.ui, self.parameters
        # Both are read before either is stored: each change of the node brings all its values back to the widgets.
        hidden, percent = ui.hideCheckBox.checked, ui.percentSlider.value
        p.hideUncertain, p.uncertainPercent = hidden, percent
        self._hide()
        self._update()
        self.allow()

    def _hide(self) -> None:
        one = self.map
        if one is None or one.sd is None:
            return
        before = self._shown or one.node
        shown, _notes = self._attempt(lambda: self.logic.hide(one, self.percent))
        if shown is not None:
            self._shown = shown
            if shown is not before:
                self.logic.replaceShown(before, shown)

    def _update(self) -> None:
        """The table, and whatever else depends on the map and the limit."""
        self.refresh()
        for call in self.changed:
            call()

    def refresh(self) -> None:
        """The table."""
        one = self.map
        if one is None:
            fill_table(self.ui.uncertaintyTable, (), [])
            return
        rows, _notes = self._attempt(lambda: self.logic.summary(one, self.masks(), self.percent))
        head = look(one.quantity).head
        number = lambda value: "" if value != value else f"{value:.3g}"
        shown = [
            (name, f"{share:.0f} %" if share == share else "", number(m), number(s)) for name, share, m, s in rows or []
        ]
        columns = (
            _("Region"),
            _("Shown"),
            _("Median [{unit}]").format(unit=head) if head else _("Median"),
            _("Its SD"),
        )
        fill_table(self.ui.uncertaintyTable, columns, shown, most=ROWS)

    @slot
    def onSideBySide(self) -> None:
        """Four views."""
        one = self.map
        if one is None:
            return
        self._hide()
        background = self._study.with_role("t1c")
        self.logic.showSideBySide(self._shown or one.node, one, background[0] if background else None)
