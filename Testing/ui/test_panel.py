"""What the panels share: one step at a time, its progress and end, and what the user is told."""

import types
import warnings

import pytest
from gliosuite.errors import InputError

JOB = types.SimpleNamespace(arguments=["dce"])


@pytest.fixture
def panel(slicer, fake_steps):
    import qt
    from gliosuite.ui.panel import Panel

    class Plain(Panel):
        failure = "it could not be done"

        def onChoice(self, *_args):  # noqa: N802
            self.ui.cancelButton.enabled = self._running is not None

    ui = types.SimpleNamespace(
        cancelButton=qt.QPushButton(), progressBar=qt.QProgressBar(), statusLabel=qt.QLabel(), page=qt.QWidget()
    )
    gone = []
    panel = Plain(ui, types.SimpleNamespace(abandon=gone.append))
    panel.bindings.paused = False
    panel.gone, panel.steps, panel.done = gone, fake_steps(panel), []
    return panel


def launch(panel, prepare=lambda: JOB):
    panel._launch(prepare, "at work", lambda summary: panel.done.append((summary, panel._ended())))


def test_what_preparing_warned_of_is_said(panel):
    def prepare():
        warnings.warn("two points lie outside", stacklevel=1)
        return JOB

    launch(panel, prepare)
    assert panel.ui.statusLabel.text == "at work\nnote: two points lie outside"
    assert panel.ui.cancelButton.enabled


def test_what_cannot_be_prepared_starts_nothing(panel):
    def prepare():
        raise InputError("no series is chosen")

    launch(panel, prepare)
    assert panel.ui.statusLabel.text == "no series is chosen"
    assert panel.steps == []


def test_a_step_that_ends_at_once_leaves_nothing_running(panel):
    def start(arguments, progress, done, failed):
        failed(InputError("the disk is full"))
        return types.SimpleNamespace(warnings=[])

    panel._start = start
    launch(panel)
    assert (panel.ui.statusLabel.text, panel.gone) == ("the disk is full", [JOB])
    assert not panel.ui.cancelButton.enabled


def test_a_step_that_cannot_be_started_leaves_nothing_running(panel):
    def start(*_):
        raise OSError("no processes left")

    panel._start = start
    with pytest.raises(OSError, match="no processes left"):
        launch(panel)
    assert (panel.gone, panel._job) == ([JOB], None)


def test_the_end_gives_job_and_warnings_back(panel):
    launch(panel)
    (step,) = panel.steps
    step.warnings.append("few frames")
    step.done({"maps": 3})
    assert panel.done == [({"maps": 3}, (JOB, ["few frames"]))]
    assert panel.gone == []


def test_a_defect_is_shown_in_a_window(panel, slicer, monkeypatch):
    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, detailedText: shown.append((text, detailedText)))
    launch(panel)
    panel.steps[0].failed(RuntimeError("exit code 1"))
    assert shown == [("it could not be done", "exit code 1")]


def test_what_runs_in_a_scene_that_closes_says_nothing_to_the_next(panel):
    launch(panel)
    (first,) = panel.steps
    panel.leave()
    panel.bindings.paused = False
    assert first.cancelled
    assert panel.gone == [], "its process still writes there"
    launch(panel, lambda: types.SimpleNamespace(arguments=["dce"]))
    first.progress(0.9, "the last patient's")
    assert panel.ui.statusLabel.text == "at work"
    first.done({"maps": 3})  # it had ended already when it was cancelled
    assert (panel.done, panel.gone) == ([], [JOB])
    panel.steps[1].done({"maps": 1})
    assert len(panel.done) == 1


def test_a_defect_in_a_slot_reaches_the_user(panel, slicer, monkeypatch):
    from gliosuite.ui.panel import slot

    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, detailedText: shown.append((text, detailedText)))

    def fails(self):
        raise ZeroDivisionError("what happened")

    panel.ui.page.windowTitleChanged.connect(lambda *_: slot(fails)(panel))
    panel.ui.page.windowTitle = "changed"
    assert panel.ui.statusLabel.text == "it could not be done"
    assert "ZeroDivisionError: what happened" in shown[0][1]


def test_closing_ends_what_runs_and_removes_its_files(panel):
    launch(panel)
    waited = []
    panel.steps[0].wait = waited.append
    panel.close()
    assert panel.steps[0].cancelled
    assert waited == [5000]
    assert panel.gone == [JOB]


def test_a_widget_that_was_never_set_up_can_be_cleaned_up(slicer):
    import qt
    from gliosuite.ui.module import ModuleWidget

    parent = qt.QWidget()
    parent.setLayout(qt.QVBoxLayout())
    widget = ModuleWidget(parent)
    widget.onSceneCloses()
    widget.onSceneOpens()
    widget.enter()
    widget.cleanup()
    assert widget.panel is None


def test_the_stand_in_is_as_strict_as_pythonqt(slicer):
    """What PySide6 would let pass and Slicer would not."""
    import qt

    with pytest.raises(ValueError, match="QLabel takes no keyword"):
        qt.QLabel(text="x")
    label = qt.QLabel("x")
    with pytest.raises(TypeError, match="not callable"):
        label.text()
    with pytest.raises(AttributeError, match="txet"):
        label.txet = "y"
