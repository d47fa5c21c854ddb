"""A panel that is made of sections, each of which says what happened in a place of its own."""

from .panel import Panel, slot
from .section import Section


class SectionedPanel(Panel):
    """Asks its `_sections` in turn.

    `remark` names a label of the panel as a whole that is no gap either while it is empty.
    """

    remark: str
    _sections: tuple[Section, ...]

    def fill(self) -> None:
        """Choose what a scene leaves open."""
        for section in self._sections:
            section.fill()

    @slot
    def onChoice(self) -> None:
        """Show what the choices need, and allow what can be done."""
        for section in self._sections:
            section.allow()
        for name in (*(section.place for section in self._sections), self.remark):
            label = getattr(self.ui, name)
            label.visible = bool(label.text)  # an empty line is no gap

    def _say(self, text: str, notes: list[str] | None = None) -> None:
        super()._say(text, notes)
        self._place.visible = bool(text)
