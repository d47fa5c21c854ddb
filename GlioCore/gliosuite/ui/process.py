"""A step of the library in a QProcess: the panel stays alive, shows progress, and can cancel."""

from collections.abc import Callable, Sequence
from typing import Any

import qt

from ..mrml.process import FOLDER, command_line, outcome, read_line


class Step:
    """One running command.

    Parameters
    ----------
    arguments
        Command and options with absolute paths, e.g. ``["dce", ...]``.
    progress
        Called with (fraction, message).
    done
        Called with the JSON result.
    failed
        Called with the exception: InputError, CancelledError or RuntimeError.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        progress: Callable[[float, str], None],
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.warnings: list[str] = []
        self._progress, self._done, self._failed = progress, done, failed
        self._output, self._errors = b"", b""
        self._lines: list[str] = []
        self._cancelled = False
        program, *rest = command_line(arguments)
        self._process = qt.QProcess()
        self._process.setWorkingDirectory(str(FOLDER))
        self._process.readyReadStandardOutput.connect(self._on_output)
        self._process.readyReadStandardError.connect(self._on_error)
        self._process.finished.connect(self._on_finished)
        self._process.errorOccurred.connect(self._on_trouble)
        self._process.start(program, rest)

    def cancel(self) -> None:
        """Ask the step to end; it leaves nothing half-written."""
        self._cancelled = True
        self._process.terminate()
        # On Windows a console program does not hear terminate().
        qt.QTimer.singleShot(3000, self._kill)

    def wait(self, milliseconds: int = 600000) -> bool:
        """Wait for the end; for tests and for closing the panel."""
        return self._process.waitForFinished(milliseconds)

    def _kill(self) -> None:
        if self._process.state() != qt.QProcess.NotRunning:
            self._process.kill()

    def _on_output(self, *_: Any) -> None:
        self._output += _content(self._process.readAllStandardOutput())

    def _on_error(self, *_: Any) -> None:
        self._errors += _content(self._process.readAllStandardError())
        *lines, self._errors = self._errors.split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._lines.append(text)
        kind, content = read_line(text)
        if kind == "progress":
            self._progress(*content)
        elif kind in ("warning", "problem"):
            self.warnings.append(content)

    def _on_finished(self, *_: Any) -> None:
        # What is called here may let go of this step: it stays until the process that sends the signal has done so.
        qt.QTimer.singleShot(0, lambda: self)
        self._on_output()
        self._on_error()
        if self._errors:
            self._take(self._errors)
        code = 130 if self._cancelled else self._process.exitCode()
        try:
            result = outcome(code, self._output.decode("utf-8", "replace"), self._lines)
        except Exception as error:  # whatever went wrong belongs on the panel, not in the event loop
            self._failed(error)
        else:
            self._done(result)

    def _on_trouble(self, *_: Any) -> None:
        if self._process.error() == qt.QProcess.FailedToStart:
            self._failed(RuntimeError(f"the step could not be started: {self._process.errorString()}"))


def _content(array: Any) -> bytes:
    """The bytes of a QByteArray, in PythonQt and PySide6 alike."""
    data = array.data()
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)
