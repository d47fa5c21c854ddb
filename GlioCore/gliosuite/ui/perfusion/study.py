"""Section 1: which image is which, movement, and T1 from flip angles."""

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ... import resources
from ...mrml.perfusion import PerfusionRequest
from ...mrml.perfusion.preparing import MotionRequest, T1Request, flip_angles, parse_flip_angles
from ...mrml.perfusion.study import Entry
from ...mrml.sequences import acquisition
from ..packages import FASTER
from ..panel import Panel, slot
from ..section import Section
from ..table import ROWS, fill_table, fit

_ROLE_WIDTH = 110  # pixels; chosen, the longest role and the arrow of its box


class StudySection(Section):
    """The logic has ``study() -> entries``, ``chooseRole(node, role)``, ``showNode(node)``; for steps ``startMotion(request)``,
    ``finishMotion(job, summary) -> (series, chart)``, ``startT1(request)`` and ``finishT1(job, summary) -> map``.
    """

    def __init__(
        self, panel: Panel, request: Callable[[], PerfusionRequest], take_series: Callable[[Any], None]
    ) -> None:
        super().__init__(panel)
        self._request, self._take_series = request, take_series
        self._entries: list[Entry] = []
        self._boxes: list[Any] = []
        self._roles = resources.display()["choices"]["role"]
        self.changed: list[Callable[[], None]] = []  # what is called when roles are others
        ui = self.ui
        ui.studyTable.cellClicked.connect(self.onRow)
        ui.lookButton.clicked.connect(self.onLook)
        ui.motionButton.clicked.connect(self.onMotion)
        ui.t1Button.clicked.connect(self.onT1)

    def with_role(self, *roles: str) -> list[Any]:
        """The nodes that have one of these roles, in the order of the roles."""
        return [entry.node for role in roles for entry in self._entries if entry.role == role]

    def fill(self) -> None:
        """Read the scene."""
        self._entries = self.logic.study()

    def show(self) -> None:
        """The table of roles, and what is known of the flip angles."""
        self._list()
        self._read_flip_angles()

    def leave(self) -> None:
        """The scene closes."""
        self._entries, self._boxes = [], []
        fill_table(self.ui.studyTable, (), [])

    def allow(self) -> None:
        """What can be done."""
        free = self.parameters.series is not None and not self.running
        self.ui.motionButton.enabled = free
        self.ui.t1Button.enabled = bool(self.with_role("vfa")) and not self.running

    # --------------------------------------------------------------------------------------------------------------- roles

    @slot
    def onLook(self) -> None:
        """Images may have come meanwhile."""
        self._read()

    def _read(self) -> None:
        self.fill()
        self.show()
        for call in self.changed:
            call()
        self.panel.onChoice()

    def _list(self) -> None:
        table, roles = self.ui.studyTable, list(self._roles)
        fill_table(table, (_("Image"), _("Role")), [(entry.node.GetName(), "") for entry in self._entries])
        self._boxes = []
        for row, entry in enumerate(self._entries):
            box = qt.QComboBox()
            for text in self._roles.values():
                box.addItem(text)
            box.currentIndex = roles.index(entry.role)
            box.toolTip = entry.why
            table.item(row, 0).setToolTip(f"{entry.node.GetName()}: {entry.why}")
            box.currentIndexChanged.connect(lambda *_, row=row: self.onRole(row))
            table.setCellWidget(row, 1, box)
            self._boxes.append(box)
        table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.Fixed)
        table.setColumnWidth(1, _ROLE_WIDTH)
        fit(table, ROWS)  # boxes are higher than texts

    def onRole(self, row: int) -> None:
        """A person says it."""
        if self.bindings.paused:
            return
        role = list(self._roles)[self._boxes[row].currentIndex]
        self.logic.chooseRole(self._entries[row].node, role)
        qt.QTimer.singleShot(0, self._read)  # the box that sends this signal must live until it has done so

    @slot
    def onRow(self) -> None:
        """Show the image."""
        row = self.ui.studyTable.currentRow()
        if 0 <= row < len(self._entries):
            self.logic.showNode(self._entries[row].node)

    # ------------------------------------------------------------------------------------------------------------ movement

    @slot
    def onMotion(self) -> None:
        """A series in which the head keeps still."""

        def prepare() -> Any:
            request = self._request()
            return self.logic.startMotion(MotionRequest(request.series, request.times_s))

        self._launch(prepare, _("correcting the movement"), self.onMoved)

    def onMoved(self, summary: dict[str, Any]) -> None:
        """The corrected series is the one to work on."""
        job, notes = self._ended()
        made, more = self._attempt(lambda: self.logic.finishMotion(job, summary))
        if made is not None:
            self.ui.progressBar.value = 100
            self._read()
            self._take_series(made[0])
            text = _("{name}: the head moved by up to {mm:.1f} mm and {degrees:.1f}°; {frames} frames were moved back")
            self.say(
                text.format(
                    name=made[0].GetName(),
                    mm=summary["max_translation_mm"],
                    degrees=summary["max_rotation_deg"],
                    frames=summary["frames_corrected"],
                ),
                [*notes, *more],
            )
        self.panel.onChoice()

    # ------------------------------------------------------------------------------------------------------------------ T1

    def _read_flip_angles(self) -> None:
        """What the images of several flip angles say, where nothing was typed."""
        p, images = self.parameters, self.with_role("vfa")
        if not images:
            return
        if not p.vfaAngles:
            p.vfaAngles = ", ".join(f"{angle:g}" for angle in flip_angles(images))
        if not p.vfaTrMs:
            p.vfaTrMs = acquisition(images[0]).get("tr_ms", 0.0)

    @slot
    def onT1(self) -> None:
        """A T1 map where the series lies."""

        def prepare() -> Any:
            p = self.parameters
            b1 = self.with_role("b1")
            return self.logic.startT1(
                T1Request(
                    images=tuple(self.with_role("vfa")),
                    flip_angles_deg=parse_flip_angles(p.vfaAngles),
                    tr_ms=p.vfaTrMs,
                    onto=p.series if p.kind == "DCE" else None,
                    b1=b1[0] if b1 else None,
                )
            )

        self._launch(prepare, _("fitting T1"), self.onMapped, wants=FASTER)

    def onMapped(self, summary: dict[str, Any]) -> None:
        """The map is chosen for the kind of the series."""
        job, notes = self._ended()
        node, more = self._attempt(lambda: self.logic.finishT1(job, summary))
        if node is not None:
            self.ui.progressBar.value = 100
            setattr(self.parameters, "t1Map" if self.parameters.kind == "DCE" else "dscT1Map", node)
            median = summary["medians"]["t1"]
            self.say(
                _("{name}: median {t1:.2f} s").format(name=node.GetName(), t1=median),
                [*summary.get("notes", []), *notes, *more],
            )
        self.panel.onChoice()
