"""The GlioPerfusion panel: which series, how it was taken, which AIF and model; Apply, progress, Cancel."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import InputError
from ..mrml.perfusion import PerfusionRequest, parse_times
from ..mrml.process import CancelledError
from ..mrml.sequences import acquisition, is_multivolume, timing
from .binding import Bindings, chosen
from .process import Step


class PerfusionPanel:
    """Binds the widgets of GlioPerfusion.ui to a parameter node and a logic.

    Parameters
    ----------
    ui
        The widgets by name (``slicer.util.childWidgetVariables``).
    logic
        Has ``start(request) -> job``, ``finish(job, result) -> PerfusionResult``, ``abandon(job)`` and ``show(result)``.
    step
        Starts a command; `gliosuite.ui.process.Step` unless a test injects another.
    """

    def __init__(self, ui: Any, logic: Any, step: Callable[..., Any] = Step) -> None:
        self.ui, self.logic, self._start = ui, logic, step
        self.parameters = self._bindings = self._running = self._job = None
        ui.seriesSelector.currentNodeChanged.connect(self.onSeries)
        ui.timeUnitComboBox.currentIndexChanged.connect(self.onTimeUnit)
        ui.timesEdit.textChanged.connect(self.onTimes)
        ui.kindComboBox.currentIndexChanged.connect(self.onChoice)
        ui.aifComboBox.currentIndexChanged.connect(self.onChoice)
        ui.t1Selector.currentNodeChanged.connect(self.onChoice)
        ui.applyButton.clicked.connect(self.onApply)
        ui.cancelButton.clicked.connect(self.onCancel)

    def bind(self, parameters: Any) -> None:
        """Show a parameter node in the widgets, and store what is chosen in it."""
        ui = self.ui
        self.parameters = parameters
        parameters.connectGui(ui)
        self._bindings = Bindings(parameters)
        self._bindings.node(ui.seriesSelector, "series")
        self._bindings.segment(ui.aifSegmentSelector, "aifSegmentation", "aifSegment")
        self._bindings.segment(ui.maskSegmentSelector, "maskSegmentation", "maskSegment")
        self._bindings.segment(ui.nawmSegmentSelector, "nawmSegmentation", "nawmSegment")
        self._bindings.path(ui.aifFileEdit, "aifFile")
        if parameters.series is None:
            parameters.series = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceNode")
            self._read(parameters.series)
        self._bindings.show()
        self.onTimes()
        self.onChoice()

    # ------------------------------------------------------------------------------------------------------------- choices

    def onSeries(self, *_args: Any) -> None:
        """Another series: read what it says of its times and acquisition."""
        if self.parameters is not None:
            self.parameters.series = self.ui.seriesSelector.currentNode()
            self._read(self.parameters.series)
        self.onChoice()

    def onTimeUnit(self, *_args: Any) -> None:
        """Another unit of the series' index: read its times anew."""
        if self.parameters is not None:
            # Stored before anything else is: each change of the node brings all its values back to the widgets.
            self.parameters.timeUnit = self.ui.timeUnitComboBox.currentText
            self._read_times(self.ui.seriesSelector.currentNode())

    def _read(self, node: Any) -> None:
        if node is None:
            return
        self._read_times(node)
        known = acquisition(node)
        for key, name in (("tr_ms", "trMs"), ("te_ms", "teMs"), ("flip_angle_deg", "flipAngleDeg")):
            if key in known:
                setattr(self.parameters, name, known[key])

    def _read_times(self, node: Any) -> None:
        if node is None:
            return
        unit = self.ui.timeUnitComboBox.currentText
        times = timing(node).seconds(unit if unit in ("s", "ms") else None)
        self.parameters.times = "" if times is None else ", ".join(f"{t:g}" for t in times)

    def onTimes(self, *_args: Any) -> None:
        """Say what the times mean."""
        node = self.ui.seriesSelector.currentNode()
        if node is None:
            self.ui.timesInfo.text = _("no series")
            return
        try:
            times = parse_times(self.ui.timesEdit.text, frames(node))
        except InputError as error:
            self.ui.timesInfo.text = str(error)
            return
        self.ui.timesInfo.text = _("{n} frames, {first:g} to {last:g} s, every {step:.3g} s on average").format(
            n=len(times), first=times[0], last=times[-1], step=(times[-1] - times[0]) / (len(times) - 1)
        )

    def onChoice(self, *_args: Any) -> None:
        """Show only what the kind and the AIF need."""
        ui = self.ui
        dce = ui.kindComboBox.currentText != "DSC"
        ui.dceBox.visible = dce
        ui.dscBox.visible = not dce
        aif = ui.aifComboBox.currentText
        for widgets, wanted in (
            ((ui.aifPointsLabel, ui.aifPointsSelector), aif == "control points"),
            ((ui.aifSegmentLabel, ui.aifSegmentSelector), aif == "segment"),
            ((ui.aifFileLabel, ui.aifFileEdit), aif == "CSV file"),
            ((ui.teLabel, ui.teSpinBox), not dce),
            ((ui.trLabel, ui.trSpinBox), dce),
            ((ui.flipAngleLabel, ui.flipAngleSpinBox), dce),
        ):
            for widget in widgets:
                widget.visible = wanted
        ui.t10SpinBox.enabled = ui.t1Selector.currentNode() is None
        ui.applyButton.enabled = ui.seriesSelector.currentNode() is not None and self._running is None

    # ------------------------------------------------------------------------------------------------------------- running

    def request(self) -> PerfusionRequest:
        """What the panel asks for."""
        p = self.parameters
        if p.series is None:
            raise InputError("no series is chosen; load a sequence or a MultiVolume")
        return PerfusionRequest(
            series=p.series,
            kind=p.kind,
            times_s=parse_times(p.times, frames(p.series)),
            tr_ms=p.trMs,
            te_ms=p.teMs,
            flip_angle_deg=p.flipAngleDeg,
            t10_s=p.t10S,
            t1_map=p.t1Map,
            hematocrit=p.hematocrit,
            relaxivity=p.relaxivity,
            model=p.model,
            leakage=p.leakage,
            deconvolution=p.deconvolution,
            aif=p.aif,
            points=p.aifPoints,
            segment=chosen(p.aifSegmentation, p.aifSegment),
            aif_file=p.aifFile,
            mask=chosen(p.maskSegmentation, p.maskSegment),
            nawm=chosen(p.nawmSegmentation, p.nawmSegment),
            name=p.outputName,
        )

    def onApply(self, *_args: Any) -> None:
        """Start the step."""
        try:
            self._job = self.logic.start(self.request())
        except InputError as error:
            self._say(str(error))
            return
        self._say(_("computing"))
        self.ui.progressBar.value = 0
        running = self._start(self._job.arguments, self.onProgress, self.onDone, self.onFailed)
        if self._job is not None:  # it may have ended already
            self._running = running
        self._busy()

    def onCancel(self, *_args: Any) -> None:
        """End the step."""
        if self._running is not None:
            self._say(_("cancelling"))
            self._running.cancel()

    def onProgress(self, fraction: float, message: str) -> None:
        """Progress of the step."""
        self.ui.progressBar.value = round(100 * fraction)
        self._say(message)

    def onDone(self, summary: dict[str, Any]) -> None:
        """The step has ended: load and show its maps."""
        job, self._job = self._job, None
        warnings = getattr(self._running, "warnings", [])
        self._running = None
        try:
            result = self.logic.finish(job, summary)
            self.logic.show(result)
        finally:
            self._busy()
        self.ui.progressBar.value = 100
        names = ", ".join(node.GetName() for node in result.maps.values())
        self._say(
            "\n".join([_("done: {names}").format(names=names), *(_("note: {text}").format(text=w) for w in warnings)])
        )

    def onFailed(self, error: Exception) -> None:
        """The step has ended without a result."""
        job, self._job, self._running = self._job, None, None
        if job is not None:
            self.logic.abandon(job)
        self._busy()
        self.ui.progressBar.value = 0
        self._say(str(error))
        if not isinstance(error, (InputError, CancelledError)):
            slicer.util.errorDisplay(_("GlioPerfusion could not compute the maps."), detailedText=str(error))

    def close(self) -> None:
        """The panel goes away: end what runs, and remove its files."""
        running, job = self._running, self._job
        self.onCancel()
        if running is not None:
            running.wait(5000)
        if job is not None:
            self.logic.abandon(job)

    def _busy(self) -> None:
        running = self._running is not None
        self.ui.cancelButton.enabled = running
        self.ui.applyButton.enabled = not running and self.ui.seriesSelector.currentNode() is not None

    def _say(self, text: str) -> None:
        self.ui.statusLabel.text = text


def frames(node: Any) -> int:
    """Number of frames of a sequence or MultiVolume node."""
    if is_multivolume(node):
        return node.GetImageData().GetNumberOfScalarComponents()
    return node.GetNumberOfDataNodes()
