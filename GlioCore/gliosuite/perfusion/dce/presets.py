"""Presets: the kinetic analysis as a paper states it, from the table ``resources/dce_presets.json``."""

import json
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...resources import read_text
from ..settings import DceSettings


@dataclass(frozen=True)
class Preset:
    """A row of the table.

    Attributes
    ----------
    settings
        Fields of `DceSettings` that the paper fixes.
    t10_s
        T1 before contrast of all tissue, or None where the paper gives none.
    aif
        What `dce_maps` takes as AIF.
    not_stated
        What the paper leaves open.
    """

    name: str
    title: str
    source: str
    settings: dict[str, Any]
    t10_s: float | None
    aif: str
    not_stated: tuple[str, ...]


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    rows = json.loads(read_text("dce_presets.json"))["presets"]
    row = next((r for r in rows if r["name"] == name), None)
    if row is None:
        raise InputError(f"preset {name!r} is not known; choose from {', '.join(r['name'] for r in rows)}")
    return Preset(**row | {"not_stated": tuple(row["not_stated"])})


def preset_settings(name: str | None, **given: Any) -> DceSettings:
    """Settings of a preset (None: the defaults), in which what is given and not None takes precedence."""
    given = {k: v for k, v in given.items() if v is not None}
    return DceSettings(**{**(preset(name).settings if name else {}), **given, "preset": name})


def preset_record(settings: DceSettings, t10_s: float | None, aif: str) -> dict[str, Any]:
    """What fit.json says of the preset that settings came from: its source, what it fixes, what was overridden; empty without one.

    Parameters
    ----------
    t10_s
        The T1 that was used, or None for a map.
    aif
        Which AIF was asked for: ``"auto"``, ``"parker"``, ``"mask"``, ...
    """
    if not settings.preset:
        return {}
    row = preset(settings.preset)
    used = {name: getattr(settings, name) for name in row.settings} | {"aif": aif}
    fixed = row.settings | {"aif": row.aif}
    if row.t10_s is not None:
        fixed, used = fixed | {"t10_s": row.t10_s}, used | {"t10_s": "map" if t10_s is None else t10_s}
    return {
        "preset": {
            "name": row.name,
            "source": row.source,
            "fixed": fixed,
            "not_stated": row.not_stated,
            "overridden": {k: {"preset": v, "used": used[k]} for k, v in fixed.items() if used[k] != v},
        }
    }
