"""The GlioPerfusion panel: which series, how it was taken, which AIF and model; Apply, progress, Cancel."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from slicer.i18n import tr as _

from ... import resources
from ...errors import InputError
from ...mrml.drafts import IMAGES, DraftRequest, given_of
from ...mrml.perfusion import PerfusionRequest, PerfusionResult, parse_number, parse_times
from ...mrml.perfusion.study import kind_of
from ...mrml.process import Job
from ...mrml.rt.targets import first_segmentation
from ...mrml.sequences import acquisition, n_frames, timing
from ..binding import chosen
from ..drafting import DraftSection
from ..packages import FASTER
from ..panel import Panel, Running, slot
from ..process import Step
from .arterial import ArterialSection
from .known import KnownSection
from .overlay import OverlaySection
from .regions import RegionsSection
from .registration import RegistrationSection
from .study import StudySection

_PICTURE = "qc.png was not drawn"  # of a command where matplotlib is missing; here the views show all of it


class PerfusionPanel(Panel):
    """Binds the widgets of GlioPerfusion.ui to a parameter node and a logic.

    The logic has ``start(request) -> job``, ``finish(job, result) -> PerfusionResult``, ``abandon(job)`` and ``show(result)``, and what
    the sections say.
    """

    failure = _("Something went wrong in GlioPerfusion; the details help those who mend it.")
    labels: ClassVar[Mapping[str, str]] = {
        "--times": "timesLabel",
        "--dt": "timesLabel",
        "--tr-ms": "trLabel",
        "--te-ms": "teLabel",
        "--flip-angle": "flipAngleLabel",
        "--baseline": "baselineLabel",
        "--arrival": "arrivalLabel",
        "--aif": "aifLabel",
        "--model": "modelLabel",
        "--t10": "t1Label",
        "--b1": "dscB1Label",
        "--hematocrit": "hematocritLabel",
        "--relaxivity": "relaxivityLabel",
        "--leakage": "leakageLabel",
        "--deconvolution": "deconvolutionLabel",
        "--nawm": "nawmSegmentLabel",
        "--mask": "maskSegmentLabel",
        "--sinus": "sinusCheckBox",
        "--no-sinus": "sinusCheckBox",
        "--vof": "vofCheckBox",
    }

    def __init__(self, ui: Any, logic: Any, parameters: Any, step: Callable[..., Running] = Step) -> None:
        super().__init__(ui, logic, step)
        bindings, choices = self.bindings, resources.display()["choices"]
        bindings.node(ui.seriesSelector, "series")
        for name in ("model", "leakage", "deconvolution"):
            bindings.choice(getattr(ui, f"{name}ComboBox"), name, choices[name])
        bindings.segment(ui.maskSegmentSelector, "maskSegmentation", "maskSegment")
        bindings.segment(ui.nawmSegmentSelector, "nawmSegmentation", "nawmSegment")
        ui.seriesSelector.currentNodeChanged.connect(self.onSeries)
        ui.timeUnitComboBox.currentIndexChanged.connect(self.onTimeUnit)
        ui.timesEdit.textChanged.connect(self.onTimes)
        ui.kindComboBox.currentIndexChanged.connect(self.onChoice)
        ui.modelComboBox.currentIndexChanged.connect(self.onChoice)
        ui.t1Selector.currentNodeChanged.connect(self.onChoice)
        ui.dceButton.clicked.connect(self.onApply)
        ui.dscButton.clicked.connect(self.onApply)
        self._dce: bool | None = None  # the kind whose section was opened last
        self.study = StudySection(self, self.request, self.take)
        self.known = KnownSection(self, self.study)
        self.overlay = OverlaySection(self, self.study)
        self.sections = (
            self.study,
            self.known,
            RegistrationSection(self, self.study),
            DraftSection(self, self._drafts_from, self._take_drafts, "statusLabel"),
            ArterialSection(self, self.request),
            self.overlay,
            RegionsSection(self, self.overlay),
        )
        self.bind(parameters)

    def fill(self) -> None:
        """A scene's first DCE or DSC series where none is chosen."""
        for section in self.sections:
            section.fill()
        if self.parameters.series is None:
            found = self.study.with_role("dce", "dsc")
            if found:
                self.parameters.series = found[0]
                self._read(found[0])

    def show(self) -> None:
        """What the times mean, and what the sections show."""
        self._show_times()
        for section in self.sections:
            section.show()

    def leave(self) -> None:
        """The scene closes."""
        super().leave()
        for section in self.sections:
            section.leave()

    # ------------------------------------------------------------------------------------------------------------- choices

    @slot
    def onSeries(self) -> None:
        """Another series: read what it says of its times and acquisition."""
        node = self.ui.seriesSelector.currentNode()
        self.parameters.series = node
        if node is not None:
            self._read(node)
        self._show_times()
        self.onChoice()

    def take(self, node: Any) -> None:
        """Work on a series."""
        self.ui.seriesSelector.setCurrentNode(node)

    @slot
    def onTimeUnit(self) -> None:
        """Another unit of the series' index: read its times anew."""
        # Stored before anything else is: each change of the node brings all its values back to the widgets.
        self.parameters.timeUnit = self.ui.timeUnitComboBox.currentText
        node = self.ui.seriesSelector.currentNode()
        if node is not None:
            self._read_times(node)

    def _read(self, node: Any) -> None:
        """What a series says of itself; what it does not say is not known, whatever the last one said."""
        p = self.parameters
        p.timeUnit = "as the series says"
        p.baseline = p.arrival = ""
        p.kind, self.ui.kindComboBox.toolTip = kind_of(node)
        self._read_times(node)
        known = acquisition(node)
        for key, name in (("tr_ms", "trMs"), ("te_ms", "teMs"), ("flip_angle_deg", "flipAngleDeg")):
            setattr(p, name, known.get(key, 0.0))
        self.known.read(node)

    def _read_times(self, node: Any) -> None:
        unit = self.parameters.timeUnit
        times = timing(node).seconds(unit if unit in ("s", "ms") else None)
        self.parameters.times = _listed(times)

    @slot
    def onTimes(self) -> None:
        """Say what the times mean."""
        self._show_times()

    def _show_times(self) -> None:
        if not self.ui.timesEdit.hasFocus():
            self.ui.timesEdit.setCursorPosition(0)  # the first times are seen, not the last
        node = self.ui.seriesSelector.currentNode()
        if node is None:
            self.ui.timesInfo.text = _("no series")
            return
        try:
            times = parse_times(self.ui.timesEdit.text, n_frames(node))
        except InputError as error:
            reason = "" if self.ui.timesEdit.text.strip() else timing(node).reason
            self.ui.timesInfo.text = f"{node.GetName()} {reason}: {error}" if reason else str(error)
            return
        said = _("{n} frames, {first:g} to {last:g} s, every {step:.3g} s on average").format(
            n=len(times), first=times[0], last=times[-1], step=(times[-1] - times[0]) / (len(times) - 1)
        )
        read = timing(node)
        note = (
            read.note if self.ui.timesEdit.text == _listed(read.seconds()) else ""
        )  # of times that a person typed there is none
        self.ui.timesInfo.text = f"{said}; {note}" if note else said

    @slot
    def onChoice(self) -> None:
        """Open the section of the kind, and allow what can be done."""
        ui, dce = self.ui, self.ui.kindComboBox.currentText != "DSC"
        ready = ui.seriesSelector.currentNode() is not None and self._running is None
        for box, button, mine in ((ui.dceBox, ui.dceButton, dce), (ui.dscBox, ui.dscButton, not dce)):
            box.enabled, button.enabled = mine, ready and mine
            if dce is not self._dce:
                box.collapsed = not mine
        self._dce = dce
        ui.refineCheckBox.enabled = ui.modelComboBox.currentIndex == 0  # extended Tofts, which the network knows
        ui.t10SpinBox.enabled = ui.t1Selector.currentNode() is None
        ui.cancelButton.enabled = self._running is not None
        for section in self.sections:
            section.allow()

    # ------------------------------------------------------------------------------------------------------------- running

    def request(self) -> PerfusionRequest:
        """What the panel asks for."""
        self.bindings.store()
        p = self.parameters
        if p.series is None:
            raise InputError("no series is chosen; load a sequence or a MultiVolume")
        return PerfusionRequest(
            series=p.series,
            kind=p.kind,
            times_s=parse_times(p.times, n_frames(p.series)),
            tr_ms=p.trMs,
            te_ms=p.teMs,
            flip_angle_deg=p.flipAngleDeg,
            motion=p.motion,
            baseline=parse_number(p.baseline, int, _("the baseline")),
            arrival_s=parse_number(p.arrival, float, _("the arrival")),
            t10_s=p.t10S,
            t1_map=p.t1Map if p.kind == "DCE" else p.dscT1Map,
            b1_map=p.dscB1Map if p.kind == "DSC" else None,
            hematocrit=p.hematocrit,
            relaxivity=p.relaxivity,
            model=p.model,
            refine=p.refine,
            leakage=p.leakage,
            deconvolution=p.deconvolution,
            aif=p.aif,
            sinus=p.sinus,
            vof=p.vof,
            points=p.aifPoints,
            segment=chosen(p.aifSegmentation, p.aifSegment),
            aif_file=p.aifFile,
            mask=chosen(p.maskSegmentation, p.maskSegment),
            nawm=chosen(p.nawmSegmentation, p.nawmSegment),
            name=p.outputName,
        )

    def _drafts_from(self, post_operative: bool) -> DraftRequest:
        images = {role: nodes[0] for role in IMAGES if (nodes := self.study.with_role(role))}
        drawn = first_segmentation()
        return DraftRequest(images, given_of(drawn), drawn, post_operative)

    def _take_drafts(self, node: Any) -> None:
        if self.parameters.regionSegmentation is None:
            self.ui.regionSegmentationSelector.setCurrentNode(node)

    @slot
    def onApply(self) -> None:
        """Start the step."""
        self._launch(lambda: self.logic.start(self.request()), _("computing"), self.onDone, wants=FASTER)

    def onDone(self, summary: dict[str, Any]) -> None:
        """The step has ended: load and show its maps."""
        job, notes = self._ended()
        notes = [n for n in notes if not n.startswith(_PICTURE)]
        result, more = self._attempt(lambda: self._shown(job, summary))
        self.onChoice()
        if result is None:
            return
        self.ui.progressBar.value = 100
        if result.maps:
            self.overlay.take(next(iter(result.maps.values())))
        names = ", ".join(node.GetName() for key, node in result.maps.items() if not key.endswith("_sd"))
        known = any(key.endswith("_sd") for key in result.maps)
        said = _("done: {names}, with their SDs") if known else _("done: {names}")
        self._say(said.format(names=names), [*notes, *more])

    def _shown(self, job: Job | None, summary: dict[str, Any]) -> PerfusionResult:
        result: PerfusionResult = self.logic.finish(job, summary)
        self.logic.show(result)
        return result


def _listed(times: tuple[float, ...] | None) -> str:
    return "" if times is None else ", ".join(f"{t:.9g}" for t in times)
