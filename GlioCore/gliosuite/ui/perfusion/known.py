"""What is known of T1 and blood before anybody types it: what a case says of its series, and a T1 map in the scene."""

from typing import Any

from slicer.i18n import tr as _

from ...errors import InputError
from ...mrml.perfusion import PerfusionRequest
from ...mrml.perfusion.study import unfit_t1
from ...mrml.sequences import acquisition
from ...perfusion.settings import DceSettings, DscSettings
from ...settings import settings_of
from ..panel import Panel
from ..section import Section
from .study import StudySection

# By key of a case: the parameter, and how it is told.
_SAID = {
    "t10_s": ("t10S", "T1 {:g} s"),
    "hematocrit": ("hematocrit", "hematocrit {:g}"),
    "relaxivity": ("relaxivity", "relaxivity {:g} /mM/s"),
}


class KnownSection(Section):
    """Takes what is known, and says so below it; what a person types or chooses after it stands."""

    def __init__(self, panel: Panel, study: StudySection) -> None:
        super().__init__(panel)
        self._study = study
        self._taken: dict[str, float] = {}
        self._why = ""  # of a map, the sentence on it
        study.changed.append(self.look)

    def fill(self) -> None:
        """A scene's T1 map where none is chosen."""
        self._find_map()

    def look(self) -> None:
        """Roles are others."""
        self._find_map()
        self.show()

    def read(self, series: Any) -> None:
        """What a case says of a series; what the last one said goes, unless a person has changed it since."""
        p, known = self.parameters, acquisition(series)
        rules = settings_of(DscSettings) | settings_of(DceSettings)
        for key, (name, _form) in _SAID.items():
            if getattr(p, name) == self._taken.pop(name, None):
                setattr(p, name, getattr(PerfusionRequest, key))
            try:
                if key in known:
                    rules[key].check(known[key])
                    setattr(p, name, known[key])
                    self._taken[name] = getattr(p, name)
            except InputError:
                continue  # a number in another unit: what stands there is shown, and taken
        self._find_map()
        self.show()

    def show(self) -> None:
        """What was taken, and from where."""
        p = self.parameters
        said = [
            form.format(getattr(p, name))
            for name, form in _SAID.values()
            if name in self._taken and self._taken[name] == getattr(p, name)
        ]
        told = [_("As the case says: {values}.").format(values=", ".join(said))] if said else []
        self.ui.knownInfo.text = " ".join([*told, *([self._why] if self._why else [])])
        self.ui.knownInfo.visible = bool(self.ui.knownInfo.text)

    def leave(self) -> None:
        """The scene closes."""
        self._taken, self._why = {}, ""

    def allow(self) -> None:
        """A map that a person has taken away, or another one, is not told of."""
        p, maps = self.parameters, self._study.with_role("t1_map")
        if maps and maps[0] not in (p.t1Map, p.dscT1Map) and not unfit_t1(maps[0]):
            self._why = ""
        self.show()

    def _find_map(self) -> None:
        p, maps = self.parameters, self._study.with_role("t1_map")
        if not maps or (p.t1Map is not None and p.dscT1Map is not None):
            return
        node = maps[0]
        if unfit := unfit_t1(node):
            self._why = _("The T1 map was not taken: {reason}.").format(reason=unfit)
            return
        p.t1Map, p.dscT1Map = p.t1Map or node, p.dscT1Map or node
        self._why = _("{name} was taken as T1 map.").format(name=node.GetName())
