"""The command line: parses, hands over to `commands`, and turns errors into exit codes.

0 done, 2 bad input (one line ``error: ...``), 3 done with losses (a line each, from ``losses`` of a result), 1 a defect of ours,
130 cancelled.
"""

import argparse
import difflib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

from .errors import InputError, door
from .settings import DEVICES

# Each module of `commands` adds its own subcommands with `register(add)`; none imports numpy at the top, so --help is instant and
# --threads can still be set before the numeric libraries start.
COMMAND_MODULES = (
    "imports",
    "case",
    "registration",
    "lesions",
    "t1",
    "perfusion",
    "synthesis",
    "diffusion",
    "training",
    "recurrence",
    "followup",
    "radiomics",
    "pattern",
    "habitats",
    "survival",
    "barriers",
    "ctv",
    "compare",
    "rtstruct",
    "simulate",
    "doctor",
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence: no usage block."""

    def error(self, message: str) -> NoReturn:
        raise InputError(
            f"{message} (gliosuite {self.prog.removeprefix('gliosuite').strip()} --help lists the options)".replace(
                "gliosuite  ", "gliosuite "
            )
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = difflib.get_close_matches(str(value), [str(c) for c in action.choices], 1)
            hint = f"; did you mean {near[0]}?" if near else f"; choose from {', '.join(map(str, action.choices))}"
            raise argparse.ArgumentError(action, f"{value!r} is not known{hint}")


_INPUTS = (
    "series",
    "moving",
    "image",
    "t1c",
    "case",
    "table",
)  # of commands: what each works on, by argument; the first that it has. Not what is imported: its folder may bear a patient's name
_BAR = 20  # characters
_LEFT_FROM, _LEFT_AFTER_S = 0.05, 5.0  # chosen: before, what is left is a guess


class Reporter:
    """Progress on stderr: a bar on a terminal, plain lines elsewhere, JSON lines on request.

    Parameters
    ----------
    step
        The command, for JSON.
    quiet
        Show nothing.
    as_json
        One JSON object a line.
    subject
        What is worked on, said before each message; empty where the messages say it themselves.
    """

    def __init__(self, step: str, quiet: bool = False, as_json: bool = False, subject: str = "") -> None:
        self.step, self.quiet, self.as_json, self.subject = step, quiet, as_json, subject
        self.bar = sys.stderr.isatty() and not as_json
        self.last = ""
        self.start = time.monotonic()
        self._drawn = 0  # characters of the bar that stand on the terminal's last line

    def __call__(self, fraction: float, message: str) -> None:
        """Show how far the command is (0-1) and what it does."""
        if self.quiet:
            return
        fraction = min(max(float(fraction), 0.0), 1.0)
        seconds = time.monotonic() - self.start
        if self.as_json:
            said = {"step": self.step, "fraction": round(fraction, 4), "message": message, "seconds": round(seconds, 1)}
            print(json.dumps(said), file=sys.stderr, flush=True)
        elif self.bar:
            done = int(_BAR * fraction)
            self._draw(f"[{'#' * done}{'.' * (_BAR - done)}] {self._line(fraction, seconds, message)}")
        elif message != self.last:
            print(self._line(fraction, seconds, message), file=sys.stderr, flush=True)
        self.last = message

    def _line(self, fraction: float, seconds: float, message: str) -> str:
        times = _clock(seconds)
        if _LEFT_FROM <= fraction < 1 and seconds >= _LEFT_AFTER_S:
            times += f", about {_clock(seconds * (1 - fraction) / fraction)} left"
        subject = f"{self.subject}: " if self.subject else ""
        return f"{100 * fraction:3.0f} % {times}  {subject}{message}"

    def _draw(self, text: str) -> None:
        # A line that wraps cannot be drawn over.
        text = text[: shutil.get_terminal_size().columns - 1]
        print("\r" + text.ljust(self._drawn), end="", file=sys.stderr, flush=True)
        self._drawn = len(text)

    def say(self, sentence: str) -> None:
        """A line of its own; the bar goes on below it."""
        if self._drawn:
            print("\r" + " " * self._drawn + "\r", end="", file=sys.stderr)
            self._drawn = 0
        print(sentence, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the bar's line."""
        if self._drawn:
            print(file=sys.stderr, flush=True)
            self._drawn = 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _subject(args: argparse.Namespace) -> str:
    """The name of the file or folder that a command works on."""
    given = next((value for name in _INPUTS if isinstance(value := getattr(args, name, None), str)), "")
    return os.path.basename(os.path.normpath(given)) if given else ""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    common = _Parser(add_help=False)
    group = common.add_argument_group("common options")
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where to compute: auto takes a CUDA device where torch sees one and the step can use it (default auto)",
    )
    group.add_argument("--threads", type=_positive, metavar="N", help="number of CPU threads (default all)")
    group.add_argument("--quiet", action="store_true", help="no progress on stderr")
    group.add_argument(
        "--progress", choices=("bar", "json"), default="bar", help="json: one object per line on stderr (default bar)"
    )

    group.add_argument(
        "--json",
        action="store_true",
        help="the result as JSON on a terminal too (default short text there, JSON elsewhere)",
    )
    # For programs that show our sentences: what they call the options, as a JSON object.
    group.add_argument("--names", type=json.loads, help=argparse.SUPPRESS)

    parser = _Parser(
        prog="gliosuite",
        description="Glioma MRI: perfusion maps, target volumes and RT structure sets. Research use only.",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def add(name: str, help: str, **kwargs: Any) -> argparse.ArgumentParser:
        return subparsers.add_parser(
            name,
            help=help,
            description=kwargs.pop("description", help),
            parents=[common],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    for name in COMMAND_MODULES:
        importlib.import_module(f"{__package__}.commands.{name}").register(add)
    for one in subparsers.choices.values():  # what sentences call an argument that is no option
        one.set_defaults(words={a.dest: a.metavar or a.dest for a in one._actions if not a.option_strings})
    return parser


def _refuse(unknown: list[str], parser: argparse.ArgumentParser, command: str | None) -> NoReturn:
    """Refuse what no option of a command is, with the nearest one."""
    if command is not None:
        parser = next(a for a in parser._actions if a.dest == "command").choices[command]  # type: ignore[index]  # choices are None for other actions
    options = [o for a in parser._actions for o in a.option_strings if a.help is not argparse.SUPPRESS]
    near = [n for u in unknown if u.startswith("-") for n in difflib.get_close_matches(u.partition("=")[0], options, 1)]
    parser.error(f"not known: {' '.join(unknown)}" + (f"; did you mean {' and '.join(near)}?" if near else ""))


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


_MANY = 12  # values that still fit on a terminal's line


def _rounded(content: Any) -> Any:
    """What JSON holds with 9 digits to a number: the rest is that of sums in binary."""
    if isinstance(content, dict):
        return {k: _rounded(v) for k, v in content.items()}
    if isinstance(content, list):
        return [_rounded(v) for v in content]
    return float(f"{content:.9g}") if isinstance(content, float) else content


def _short(result: dict[str, Any], indent: str = "") -> Iterator[str]:
    """The lines of a result (as JSON would hold it) in short text."""
    for name, value in result.items():
        if isinstance(value, dict) and indent and len(value) > _MANY:
            yield f"{indent}{name}: {len(value)} values"
        elif isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _short(value, indent + "  ")
        elif isinstance(value, list) and _is_table(value):
            yield f"{indent}{name}:"
            yield from _table(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(v, (dict, list)) or len(_word(v)) > 40 for v in value):
            yield f"{indent}{name}:"
            for item in value:
                yield from _short(item, indent + "  ") if isinstance(item, dict) else [f"{indent}  {_word(item)}"]
        elif isinstance(value, list):
            many = len(value) > _MANY and not isinstance(value[0], str)
            yield f"{indent}{name}: {f'{len(value)} values' if many else ', '.join(map(_word, value))}"
        else:
            yield f"{indent}{name}: {_word(value)}"


def _is_table(value: list[Any]) -> bool:
    """Whether a list holds several rows with the same columns."""
    rows = len(value) > 1 and all(isinstance(v, dict) for v in value)
    return rows and all(
        v.keys() == value[0].keys() and not any(isinstance(x, (dict, list)) for x in v.values()) for v in value
    )


def _table(rows: list[dict[str, Any]], indent: str) -> Iterator[str]:
    """Rows below the names of their columns, words to the left and numbers to the right."""
    words = [list(rows[0]), *([_word(v) for v in row.values()] for row in rows)]
    wide = [max(map(len, column)) for column in zip(*words)]
    left = [any(isinstance(row[name], str) for row in rows) for name in rows[0]]
    for line in words:
        aligned = (w.ljust(n) if to_left else w.rjust(n) for w, n, to_left in zip(line, wide, left))
        yield (indent + " ".join(aligned)).rstrip()


def _wrapped(line: str) -> str:
    """A line folded to the terminal, what follows its first part set in."""
    inset = " " * (len(line) - len(line.lstrip()) + 4)
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(line, width, subsequent_indent=inset, break_long_words=False, break_on_hyphens=False)


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def joined(argv: list[str]) -> list[str]:
    """The words of a command line, the two that name one command together as one (``synthesize predict``).

    A place that begins with a minus goes with its option, of which it is no other (``--at -12,30,5``).
    """
    for i in range(len(argv) - 1, 0, -1):
        if argv[i - 1].startswith("--") and "=" not in argv[i - 1] and re.match(r"-[\d.]+,", argv[i]):
            argv = [*argv[: i - 1], f"{argv[i - 1]}={argv[i]}", *argv[i + 1 :]]
    two = (
        argv[:1] in (["synthesize"], ["recurrence"], ["habitats"], ["pattern"], ["survival"])
        and len(argv) > 1
        and not argv[1].startswith("-")
    )
    return [" ".join(argv[:2]), *argv[2:]] if two else argv


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    reporter = Reporter("gliosuite")
    try:
        parser = build_parser()
        args, unknown = parser.parse_known_args(joined(sys.argv[1:] if argv is None else argv))
        if unknown:
            _refuse(unknown, parser, args.command)
        if args.version:
            from .steps import version

            print(version())
            return 0
        if args.command is None:
            parser.print_help(sys.stderr)
            raise InputError("a command is needed, e.g. gliosuite demo --out demo")
        # BLAS adds up in another order with another number of threads, and its threads wait for ours: it gets one, we share out the work.
        # It is read when numpy is loaded; later, it would hold for worker processes alone.
        if "numpy" not in sys.modules:
            for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ.setdefault(name, "1")
        if args.threads:
            for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
                os.environ[name] = str(args.threads)
        if hasattr(signal, "SIGTERM"):
            signal.signal(signal.SIGTERM, _terminate)
        reporter = Reporter(args.command, args.quiet, args.progress == "json", _subject(args))
        warnings.showwarning = lambda message, *_, **__: reporter.say(f"warning: {message}")
        from .files import keeping

        places = importlib.import_module(f"{__package__}.commands.places")
        with (
            door(args.names or {}, f"gliosuite {args.command}" if args.names else ""),
            keeping(places.check_places(args)),
        ):
            result = args.run(args, reporter)
        reporter.end()
        if result is not None:
            from .files import plain

            result = plain(result)
            losses = result.pop("losses", ())
            if args.json or not sys.stdout.isatty():
                print(json.dumps(_rounded(result), indent=2, ensure_ascii=False))
            else:
                print("\n".join(_wrapped(line) for line in _short(result)))
            for sentence in losses:
                print(f"problem: {sentence}", file=sys.stderr)
            return 3 if losses else 0
        return 0
    except InputError as error:
        reporter.end()
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt as reason:
        reporter.end()
        print(str(reason) or "cancelled", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def entry() -> NoReturn:
    """The ``gliosuite`` executable."""
    sys.exit(main())
