"""Section 2: a later visit, put onto the earlier one and looked at; what progressed is drafted or drawn."""

from typing import Any

from slicer.i18n import tr as _

from ...errors import InputError
from ...mrml.followup import FollowupRequest
from ..panel import slot
from ..section import Section


class FollowupSection(Section):
    """The logic has ``startFollowup(request) -> job``, ``finishFollowup(job, summary) -> Followup``, ``recallFollowup(node)``,
    ``showVisits(found)``, ``showCheckerboard(found)``, ``startLaterDrafts(found) -> job``, ``finishLaterDrafts(job, summary, found,
    into) -> (segmentation, names)`` and ``drawProgression(found, into, segments) -> segmentation``.
    """

    place = "followupStatus"

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        ui = self.ui
        for selector in (ui.laterT1cSelector, ui.laterFlairSelector):
            selector.currentNodeChanged.connect(panel.onChoice)
        for button, work in (
            (ui.visitsButton, self.onRegister),
            (ui.bothButton, self.onBoth),
            (ui.boardButton, self.onCheckerboard),
            (ui.draftLaterButton, self.onDraft),
            (ui.drawButton, self.onDraw),
        ):
            button.clicked.connect(work)

    def _found(self) -> Any:
        return self.logic.recallFollowup(self.parameters.later)

    def show(self) -> None:
        """What is known of the scene's registration."""
        self._tell(self._found())

    def allow(self) -> None:
        """What there is can be looked at and drawn on."""
        ui, found = self.ui, self._found()
        ui.visitsButton.enabled = ui.laterT1cSelector.currentNode() is not None and not self.running
        for button in (ui.bothButton, ui.boardButton, ui.drawButton, ui.insideNelCheckBox):
            button.enabled = found is not None
        ui.draftLaterButton.enabled = found is not None and not self.running

    def _tell(self, found: Any, notes: list[str] | None = None) -> None:
        if found is None:
            self.say("")
            return
        q = found.quality
        text = _(
            "{name}: moved by {mm:.1f} mm and {degrees:.1f}°; mutual information {before:.2f} before, {after:.2f} after (nats). Look at "
            "the checkerboard before you draw"
        )
        said = text.format(
            name=found.t1c.GetName(),
            mm=q["translation_mm"],
            degrees=q["rotation_deg"],
            before=q["mutual_information_before"],
            after=q["mutual_information_after"],
        )
        self.say(said, [*q.get("notes", ()), *(notes or [])])

    # ---------------------------------------------------------------------------------------------------------- registering

    def _request(self) -> FollowupRequest:
        self.bindings.store()
        p = self.parameters
        chosen = lambda **nodes: {role: node for role, node in nodes.items() if node is not None}
        earlier, later = chosen(t1c=p.reference, flair=p.flair), chosen(t1c=p.laterT1c, flair=p.laterFlair)
        return FollowupRequest(earlier, later, self.panel.structures.segments())

    @slot
    def onRegister(self) -> None:
        """Start the step."""
        self._launch(
            lambda: self.logic.startFollowup(self._request()), _("putting both visits together"), self.onRegistered
        )

    def onRegistered(self, summary: dict[str, Any]) -> None:
        """The visits lie together, to be looked at."""
        job, notes = self._ended()
        found, more = self._attempt(lambda: self.logic.finishFollowup(job, summary))
        if found is not None:
            self.parameters.later = found.t1c
            self.ui.progressBar.value = 100
            self._tell(found, [*notes, *more])
            self._attempt(lambda: self.logic.showCheckerboard(found))
        self.panel.onChoice()

    @slot
    def onBoth(self) -> None:
        """Beside each other."""
        self.logic.showVisits(self._found())

    @slot
    def onCheckerboard(self) -> None:
        """Squares of either."""
        self.logic.showCheckerboard(self._found())

    # -------------------------------------------------------------------------------------------------------------- drawing

    @slot
    def onDraft(self) -> None:
        """Start the step."""
        found = self._found()
        done = lambda summary: self.onDrafted(summary, found)
        self._launch(lambda: self.logic.startLaterDrafts(found), _("drafting the later visit's lesions"), done)

    def onDrafted(self, summary: dict[str, Any], found: Any) -> None:
        """They are there, to be looked at."""
        job, notes = self._ended()
        into = self.parameters.progression
        made, more = self._attempt(lambda: self.logic.finishLaterDrafts(job, summary, found, into))
        if made is not None:
            self.parameters.progression, names = made
            self.ui.progressBar.value = 100
            drafted = _("{node} holds {names}: look at each, and correct it in the Segment Editor")
            said = drafted if names else _("nothing that looks like a lesion was found at the later visit")
            self.say(said.format(node=made[0].GetName(), names=", ".join(names)), [*notes, *more])
        self.panel.onChoice()

    @slot
    def onDraw(self) -> None:
        """On to the Segment Editor."""
        p = self.parameters
        p.insideNel = self.ui.insideNelCheckBox.checked
        segments = self.panel.structures.segments() if p.insideNel else None
        if segments is not None and "t2l" not in segments:
            raise InputError(_("T2L of the earlier visit is not chosen in section 1; one draws inside it, or anywhere"))
        p.progression = self.logic.drawProgression(self._found(), p.progression, segments)
        self.panel.onChoice()
