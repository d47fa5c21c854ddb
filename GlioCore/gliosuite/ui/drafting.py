"""Brain and lesions drafted from within a panel, for a person to correct: the same button in GlioPerfusion and GlioRT."""

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..mrml.drafts import DraftRequest
from .panel import Panel, slot
from .section import Section


class DraftSection(Section):
    """The page has a draftButton and a postOperativeCheckBox.

    The logic has ``startDrafts(request) -> job`` and ``finishDrafts(job, summary) -> (segmentation, names)``.

    Parameters
    ----------
    request
        What drafts are made from, as the panel's choices stand.
    take
        What the panel does with the segmentation once it holds them.
    place
        The label that says what happened.
    """

    def __init__(
        self, panel: Panel, request: Callable[[bool], DraftRequest], take: Callable[[Any], None], place: str
    ) -> None:
        super().__init__(panel)
        self._request, self._take, self.place = request, take, place
        self.ui.draftButton.clicked.connect(self.onDraft)

    def allow(self) -> None:
        """One step at a time."""
        self.ui.draftButton.enabled = not self.running

    @slot
    def onDraft(self) -> None:
        """Start."""

        def prepare() -> Any:
            self.bindings.store()
            return self.logic.startDrafts(self._request(self.parameters.postOperative))

        self._launch(prepare, _("drafting brain and lesions"), self.onDrafted)

    def onDrafted(self, summary: dict[str, Any]) -> None:
        """They are there, to be looked at."""
        job, notes = self._ended()
        made, more = self._attempt(lambda: self.logic.finishDrafts(job, summary))
        if made is not None:
            node, names = made
            self.ui.progressBar.value = 100
            self._take(node)
            drafted = _("{node} holds {names}: look at each, and correct it in the Segment Editor")
            said = drafted if names else _("nothing was drafted: what could be is drawn already, or was not found")
            self.say(said.format(node=node.GetName(), names=", ".join(names)), [*notes, *more])
        self.panel.onChoice()
