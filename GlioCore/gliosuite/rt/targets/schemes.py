"""The table of CTV schemes: which masks make the GTV, how far the margin goes, dose labels, source and year."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...resources import read_text

ROLES = ("cel", "t2l", "cavity")


@dataclass(frozen=True)
class TargetRule:
    """One GTV and the CTV made from it.

    Attributes
    ----------
    gtv, needs
        The masks that are joined, and those of them that must be there.
    margin_mm
        None where a probability takes its place.
    dose
        Label of the dose level.
    rest_of
        Name of an earlier CTV of the scheme: this one is what it leaves over, a dose level of its own.
    """

    ctv_name: str
    gtv_name: str
    gtv: tuple[str, ...]
    needs: tuple[str, ...]
    margin_mm: float | None
    dose: str | None
    rest_of: str | None = None

    @property
    def ptv_name(self) -> str:
        """The CTV's name with PTV in its place."""
        return "PTV" + self.ctv_name.removeprefix("CTV")


@dataclass(frozen=True)
class Scheme:
    """A row of the scheme table; `ptv_mm` is the usual range of the margin from CTV to PTV."""

    name: str
    title: str
    year: int
    source: str
    ptv_mm: tuple[float, float] | None
    targets: tuple[TargetRule, ...]


def schemes(path: str | Path | None = None) -> dict[str, Scheme]:
    """The scheme table by name: the library's (``resources/ctv_schemes.json``), or an edited copy of it.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    if path is None:
        return _own()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a scheme table: {error}") from None
    try:
        rows = json.loads(text)["schemes"]
        return _table(rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path} is no scheme table ({found}); a copy of ctv_schemes.json, edited, is needed"
        ) from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@cache
def _own() -> dict[str, Scheme]:
    return _table(json.loads(read_text("ctv_schemes.json"))["schemes"])


def _table(rows: list[dict[str, Any]]) -> dict[str, Scheme]:
    table: dict[str, Scheme] = {}
    names: set[str] = set()
    for row in rows:
        targets = tuple(TargetRule(**{**t, "gtv": tuple(t["gtv"]), "needs": tuple(t["needs"])}) for t in row["targets"])
        ptv = row["ptv_mm"]
        made = Scheme(**{**row, "ptv_mm": tuple(ptv) if ptv else None, "targets": targets})
        if made.name in table:
            raise InputError(f"scheme {made.name} is there twice; each needs a name of its own")
        if not targets:
            raise InputError(f"scheme {made.name} has no targets; at least one is needed")
        for rule in targets:
            _check(made.name, rule, names)
            names |= {rule.ctv_name, rule.gtv_name, rule.ptv_name}
        table[made.name] = made
    if not table:
        raise InputError("there is no scheme; at least one is needed")
    return table


def _check(name: str, rule: TargetRule, taken: set[str]) -> None:
    for roi in (rule.ctv_name, rule.gtv_name):
        if not 0 < len(roi) <= 16:
            raise InputError(f"scheme {name}: {roi!r} has {len(roi)} characters; 1 to 16 are needed (TG-263)")
        if roi in taken:
            raise InputError(f"scheme {name}: the name {roi} is taken by another target; each needs its own")
    if not rule.ctv_name.startswith("CTV"):
        raise InputError(f"scheme {name}: {rule.ctv_name} does not start with CTV, as the name of a CTV must")
    unknown = [r for r in (*rule.gtv, *rule.needs) if r not in ROLES]
    if unknown or not rule.gtv:
        raise InputError(f"scheme {name}: a GTV is made of {', '.join(ROLES)}; found {', '.join(unknown) or 'none'}")
    if rule.margin_mm is not None and not 0 <= rule.margin_mm <= 50:
        raise InputError(f"scheme {name}: margin {rule.margin_mm} mm is out of range; 0 to 50 mm is needed")


def scheme(name: str, path: str | Path | None = None) -> Scheme:
    """One row of a scheme table.

    Raises
    ------
    InputError
        If there is no such scheme, or the file is no such table.
    """
    table = schemes(path)
    if name not in table:
        raise InputError(f"CTV scheme {name!r} is not known; choose from {', '.join(table)}")
    return table[name]
