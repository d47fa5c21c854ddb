"""Section 1: the images, and which segment is which structure."""

import json
from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from ...mrml.rt.matching import ROLES, match_segments, segments_of
from ...mrml.rt.targets import first_segmentation
from ...mrml.volumes import first_image
from ..panel import slot
from ..section import Section
from .choices import Choices

_T1C = r"t1[^a-z0-9]*(c|ce|gd|km|post)|t1.*(contrast|gad)|(contrast|gad|post).*t1"
_FLAIR = "flair"


class Structures(Section):
    """Images, segmentation, and a segment for each of the roles; what a person chose is kept, also that there is none."""

    place = "inputStatus"

    def __init__(self, panel: Any, roles: Sequence[str] = ROLES) -> None:
        super().__init__(panel)
        self._boxes = {role: Choices(getattr(self.ui, f"{role}ComboBox")) for role in roles}
        self.ui.referenceSelector.currentNodeChanged.connect(panel.onChoice)
        self.ui.flairSelector.currentNodeChanged.connect(panel.onChoice)
        self.ui.segmentationSelector.currentNodeChanged.connect(self.onSegmentation)
        for choices in self._boxes.values():
            choices.box.currentIndexChanged.connect(self.onRole)

    def fill(self) -> None:
        """Images by their names, and the first segmentation that holds a structure."""
        p = self.parameters
        if p.reference is None:
            p.reference = first_image(_T1C) or first_image()
        if p.flair is None:
            found = first_image(_FLAIR)
            p.flair = None if found is p.reference else found
        if p.segmentation is None:
            p.segmentation = first_segmentation()

    def show(self) -> None:
        """The segments of the segmentation, and which of them was chosen."""
        self._list(self.parameters.segmentation)

    def segments(self) -> dict[str, tuple[Any, str]]:
        """Role to ``(segmentation node, segment id)``, of those that are chosen."""
        node = self.ui.segmentationSelector.currentNode()
        return {role: (node, box.value) for role, box in self._boxes.items() if node is not None and box.value}

    def choices(self, role: str) -> list[str]:
        """The segments that can be chosen for a role, none first."""
        return self._boxes[role].values

    def _list(self, node: Any) -> None:
        stored = json.loads(self.parameters.roles or "{}")
        names, matches = segments_of(node), match_segments(node)
        ambiguous = []
        for role, box in self._boxes.items():
            box.fill([("", _("none")), *names.items()])
            match = matches.get(role)
            kept = stored.get(role)
            box.value = kept if kept == "" or kept in names else match.identifier if match is not None else ""
            if match is not None and match.rivals and not box.value:
                rivals = _(" and ").join(match.rivals)
                ambiguous.append(
                    _("{role}: {rivals} fit alike; choose one").format(role=self._label(role), rivals=rivals)
                )
        self._say_how(matches)
        self.say("\n".join(ambiguous))

    def _label(self, role: str) -> str:
        return str(getattr(self.ui, f"{role}Label").text).rstrip(":")

    def _say_how(self, matches: dict[str, Any]) -> None:
        for role, box in self._boxes.items():
            match = matches.get(role)
            by = {"terminology": _("by code"), "name": _("by name")}
            how = by[match.by] if match is not None and match.identifier == box.value else _("chosen")
            getattr(self.ui, f"{role}Found").text = how if box.value else ""

    @slot
    def onSegmentation(self) -> None:
        """Another segmentation: its segments are matched anew."""
        node = self.ui.segmentationSelector.currentNode()
        self.parameters.segmentation = node
        self.parameters.roles = "{}"
        self._list(node)
        self.panel.onChoice()

    def take(self, node: Any) -> None:
        """A segmentation has new segments: match them too; what a person chose stays."""
        if node is self.parameters.segmentation:
            self._list(node)
        else:
            self.ui.segmentationSelector.setCurrentNode(node)

    @slot
    def onRole(self) -> None:
        """A person has chosen: what differs from what was found is stored."""
        node = self.ui.segmentationSelector.currentNode()
        matches = match_segments(node)
        found = {role: match.identifier for role, match in matches.items()}
        chosen = {role: box.value for role, box in self._boxes.items() if box.value != found.get(role, "")}
        self.parameters.roles = json.dumps(chosen)
        self._say_how(matches)
        self.say("")
        self.panel.onChoice()
