"""Section 1: the study's images put onto its T1c, looked at, accepted or done again."""

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from ... import resources
from ...errors import InputError
from ...mrml.perfusion.registration import RegistrationRequest, accepted, quality_of, registration_for
from ..panel import Panel, slot
from ..section import Section
from ..table import ROWS, fill_table
from .study import StudySection

_MOVING = ("t1", "t2", "flair", "dce", "dsc")  # roles that are put onto the T1c


class RegistrationSection(Section):
    """The logic has ``startRegistration(request) -> job``, ``finishRegistration(job, summary) -> transform``, ``accept(node)``,
    ``withdraw(node)`` and ``showCheckerboard(node)``.
    """

    def __init__(self, panel: Panel, study: StudySection) -> None:
        super().__init__(panel)
        self._study = study
        self._images: list[Any] = []
        self._queue: list[Any] = []
        self._refused: dict[str, str] = {}  # by identifier of the image: why
        ui = self.ui
        self.bindings.choice(ui.startComboBox, "registrationStart", resources.display()["choices"]["start"])
        ui.registrationTable.cellClicked.connect(self.onRow)
        for button, work in (
            (ui.registerButton, self.onRegister),
            (ui.redoButton, self.onRedo),
            (ui.checkerboardButton, self.onCheckerboard),
            (ui.acceptRegistrationButton, self.onAccept),
            (ui.withdrawButton, self.onWithdraw),
        ):
            button.clicked.connect(work)
        study.changed.append(self.show)

    def show(self) -> None:
        """The table of registrations, of a scene that has just been loaded too."""
        chosen = self._chosen()
        self._images = self._study.with_role(*_MOVING)
        rows = [(node.GetName(), *self._state(node)) for node in self._images]
        fill_table(self.ui.registrationTable, (_("Image"), _("Moved by"), _("State")), rows, most=ROWS)
        if chosen in self._images:
            self.ui.registrationTable.setCurrentCell(self._images.index(chosen), 0)
        self._tell()

    def leave(self) -> None:
        """The scene closes."""
        self._images, self._queue, self._refused = [], [], {}
        fill_table(self.ui.registrationTable, (), [])
        self.ui.registrationInfo.text = ""

    def allow(self) -> None:
        """What can be done."""
        ui, chosen = self.ui, self._chosen()
        ready = bool(self._study.with_role("t1c")) and bool(self._images) and not self.running
        found = chosen is not None and registration_for(chosen) is not None
        ui.registerButton.enabled = ready
        ui.redoButton.enabled = ready and chosen is not None
        ui.checkerboardButton.enabled = found
        ui.acceptRegistrationButton.enabled = found and not accepted(chosen) and not self.running
        ui.withdrawButton.enabled = found and accepted(chosen) and not self.running

    def _chosen(self) -> Any:
        row = self.ui.registrationTable.currentRow()
        return self._images[row] if 0 <= row < len(self._images) else None

    def _state(self, node: Any) -> tuple[str, str]:
        transform = registration_for(node)
        if transform is None:
            return "", _("refused") if node.GetID() in self._refused else _("not yet registered")
        quality = quality_of(transform)
        moved = _("{mm:.1f} mm, {degrees:.1f}°").format(mm=quality["translation_mm"], degrees=quality["rotation_deg"])
        return moved, _("accepted") if accepted(node) else _("look at it")

    def _tell(self) -> None:
        """The numbers of the chosen image."""
        chosen = self._chosen()
        transform = None if chosen is None else registration_for(chosen)
        if transform is None:
            self.ui.registrationInfo.text = "" if chosen is None else self._refused.get(chosen.GetID(), "")
            return
        text = _(
            "mutual information {before:.2f} before, {after:.2f} after (nats); overlap of the heads {overlap:.2f}; by {engine}"
        )
        quality = quality_of(transform)
        self.ui.registrationInfo.text = text.format(
            before=quality["mutual_information_before"],
            after=quality["mutual_information_after"],
            overlap=quality["overlap"],
            engine={"brainsfit": "BRAINSFit", "simpleitk": "SimpleITK"}.get(quality["engine"], quality["engine"]),
        )

    # ---------------------------------------------------------------------------------------------------------- registering

    @slot
    def onRegister(self) -> None:
        """All images whose registration was not accepted yet, one after the other."""
        self._queue = [node for node in self._images if not accepted(node)]
        if not self._queue:
            raise InputError(_("all images are registered and accepted; take one back or redo it"))
        self._next()

    @slot
    def onRedo(self) -> None:
        """The chosen image alone, from another start."""
        self._queue = [self._chosen()]
        self._next()

    def _next(self) -> None:
        while self._queue:
            moving, fixed = self._queue.pop(0), self._study.with_role("t1c")[0]
            self._refused.pop(moving.GetID(), None)
            request = RegistrationRequest(fixed, moving, self.parameters.registrationStart)
            text = _("{moving} onto {fixed}").format(moving=moving.GetName(), fixed=fixed.GetName())
            done, failed = partial(self.onRegistered, moving), partial(self.onNotRegistered, moving)
            if self._launch(partial(self.logic.startRegistration, request), text, done, failed):
                return
            self._refused[moving.GetID()] = self.ui.statusLabel.text
            self.show()

    def onRegistered(self, moving: Any, summary: dict[str, Any]) -> None:
        """One is there."""
        job, notes = self._ended()
        transform, more = self._attempt(lambda: self.logic.finishRegistration(job, summary))
        if transform is not None:
            self.show()
            self._choose_row(moving)
            self._attempt(lambda: self.logic.showCheckerboard(moving))
            self.ui.progressBar.value = 100
            text = _("{name}: look at the checkerboard, and accept it or redo it").format(name=moving.GetName())
            self.say(text, [*notes, *more])
        self._next()
        self.panel.onChoice()

    def onNotRegistered(self, moving: Any, error: Exception) -> None:
        """One was refused, which costs the others nothing; what was cancelled, or broke, ends all."""
        if not isinstance(error, InputError):
            self._queue = []
            return
        self._refused[moving.GetID()] = str(error)
        self.show()
        self._next()
        self.panel.onChoice()

    # -------------------------------------------------------------------------------------------------------------- judging

    def _choose_row(self, node: Any) -> None:
        if node in self._images:
            self.ui.registrationTable.setCurrentCell(self._images.index(node), 0)
            self._tell()

    @slot
    def onRow(self) -> None:
        """Another row."""
        self._tell()
        self.allow()

    @slot
    def onCheckerboard(self) -> None:
        """Squares of either image."""
        self._attempt(lambda: self.logic.showCheckerboard(self._chosen()))

    @slot
    def onAccept(self) -> None:
        """From now on the image is seen, and used, where the T1c shows it."""
        self.logic.accept(self._chosen())
        self._judged()

    @slot
    def onWithdraw(self) -> None:
        """As it was taken."""
        self.logic.withdraw(self._chosen())
        self._judged()

    def _judged(self) -> None:
        chosen = self._chosen()
        self.show()
        self.logic.showNode(chosen)
        self.panel.onChoice()
