"""A setting, said once: name, default, unit, range, choices and help are metadata of a dataclass's field.

The command line makes its options from them, panels their choices and ranges, and values are checked against them. Nothing here and in the
dataclasses that commands show loads a numeric library: the command line is built before these are.
"""

import argparse
import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

from .errors import InputError, option

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes
    ----------
    name, default, kind
        Of the field; `kind` is bool, int, float or str, or None where no option can be made of it.
    help
        For the command line, without unit and default where `unit` and `default` say them.
    title
        What a sentence calls it, e.g. ``"the echo time"``; the name where empty.
    option, metavar
        On the command line; the name with dashes where empty.
    unit
        As help shows it.
    choices
        All values of a word.
    low, high
        Of a number; `low_open` and `high_open` leave the end itself out.
    needed
        What a sentence says after a value that lies outside, ``{default}`` standing for the default; the option's name follows.
    """

    name: str
    default: Any
    kind: type | None
    help: str = ""
    title: str = ""
    option: str = ""
    metavar: str | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    needed: str = ""

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return self.option or "--" + self.name.replace("_", "-")

    def check(self, value: Any, of: str = "") -> None:
        """Refuse a value that is none of the choices or outside the range; `of` begins the sentence, e.g. ``"dce.nii.gz: "``.

        Raises
        ------
        InputError
            One sentence with what was found and what is needed.
        """
        title = self.title or self.name
        if self.choices and value not in self.choices:
            raise InputError(f"{of}{title} {value!r} is not known; choose from {', '.join(self.choices)}")
        low, high = self.low, self.high
        too_low = low is not None and not (value > low or (value == low and not self.low_open))
        too_high = high is not None and not (value < high or (value == high and not self.high_open))
        if too_low or too_high:
            needed = self.needed.format(default=self.default)
            raise InputError(f"{of}{title} is {value:g}; {needed} ({option(self.flag)})")

    def shown_default(self) -> str:
        """The default as help shows it; empty where there is none to show."""
        if self.default is None or self.default is False:
            return ""
        if self.default is True:
            return "yes"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def setting(default: Any, help: str = "", **more: Any) -> Any:
    """A dataclass field with a `Setting`'s attributes as metadata."""
    return dataclasses.field(default=default, metadata={"help": help, **more})


def same(cls: type, name: str, **more: Any) -> Any:
    """A field with the default and the metadata of another dataclass's, but for what `more` says."""
    found = next(f for f in dataclasses.fields(cls) if f.name == name)
    return dataclasses.field(default=found.default, metadata={**found.metadata, **more})


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a dataclass by name."""
    hints = typing.get_type_hints(cls)
    return {
        f.name: Setting(f.name, f.default, _kind(hints[f.name]), **f.metadata)
        for f in dataclasses.fields(cls)
        if f.metadata
    }


def _kind(hint: Any) -> type | None:
    """``float`` of ``float`` and of ``float | None``; None of what is no plain number, word or yes and no."""
    found = [t for t in typing.get_args(hint) or (hint,) if t is not type(None)]
    return found[0] if len(found) == 1 and found[0] in (bool, int, float, str) else None


def check(settings: Any, *names: str, of: str = "") -> None:
    """Refuse values of a settings dataclass that lie outside their range or choices; see `Setting.check`.

    None is taken where it is the default.
    """
    known = settings_of(type(settings))
    for name in names:
        value = getattr(settings, name)
        if value is not None or known[name].default is not None:
            known[name].check(value, of)


def add_options(
    parser: argparse.ArgumentParser, cls: type, *names: str, unset: bool = False, more: str = "", help: str = ""
) -> None:
    """Add options for settings of a dataclass to a parser.

    Parameters
    ----------
    unset
        Leave the option at None where it is not given, so that something else (a preset, a file) may decide.
    more
        What help says after the default, e.g. ``", or the preset's"``.
    help
        In place of the setting's own.
    """
    known = settings_of(cls)
    for name in names:
        one = known[name]
        text = help or one.help
        default = one.shown_default() + more
        text += (
            f" (default {default.removeprefix(', ')})" if default and not (one.default is False and not more) else ""
        )
        if one.kind is bool and one.default is False and not unset:
            parser.add_argument(one.flag, action="store_true", help=text)
        elif one.kind is bool:
            parser.add_argument(one.flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(
                one.flag,
                type=one.kind if one.kind in (int, float) else str,
                choices=one.choices or None,
                default=None if unset else one.default,
                metavar=one.metavar,
                help=text,
            )
