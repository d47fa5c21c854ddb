"""Files that travel with the library: template, colour tables, schemes, weights.

They are read through ``importlib.resources``, so that the source tree, a Slicer build and a wheel all find them.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple


def read_bytes(name: str) -> bytes:
    """The content of a resource, e.g. ``"anatomy.npz"``."""
    return resources.files(__name__).joinpath(name).read_bytes()


def read_text(name: str) -> str:
    """The content of a resource as UTF-8 text."""
    return read_bytes(name).decode("utf-8")


@contextlib.contextmanager
def path(name: str) -> Iterator[Path]:
    """A resource as a file on disk, for readers that want a path; a context manager, since a zipped package must unpack it."""
    with resources.as_file(resources.files(__name__).joinpath(name)) as file:
        yield file


class Look(NamedTuple):
    """How a map is called and shown: title, unit, colour map, and range; None where the range follows from the values.

    `calibrated` is false where only ratios between regions count; `name` is the title in full, for readers who do not know it.
    """

    title: str
    unit: str
    colormap: str
    range: list[float] | None
    calibrated: bool = True
    name: str = ""

    @property
    def head(self) -> str:
        """The unit as the head of a column or a picture says it."""
        return self.unit if self.calibrated else f"{self.unit}, not calibrated"


@cache
def display() -> dict[str, Any]:
    """Titles, units, colour maps and ranges of maps; titles and colours of regions, target volumes and other ROIs (``display.json``)."""
    return json.loads(read_text("display.json"))


def _own_color(name: str) -> str | None:
    """The colour that a structure has in the table; a target's GTV is paler than its CTV, its PTV darker."""
    table = display()
    region = table["regions"].get(table["rois"].get(name, name)) or table["regions"].get(name.partition("_")[0])
    if region is not None:
        return region["color"]
    kind, _, target = name.partition("_")
    color = table["targets"].get(target)
    if color is None or kind == "CTV":
        return color
    if kind not in _TOWARDS:
        return None
    return "#" + "".join(f"{round((a + b) / 2):02x}" for a, b in zip(rgb(color), rgb(_TOWARDS[kind])))


# Chosen: half way to white and to the background of pictures, which stays visible on both a black and a white page.
_TOWARDS = {"GTV": "#ffffff", "PTV": "#202830"}


def colors(names: Sequence[str]) -> dict[str, str]:
    """One colour per structure, the same in report, comparison, RT structure set and Slicer.

    Parameters
    ----------
    names
        Mask roles (``cel``, ``progression_t2l``) and ROI names (``CTV_RTOG``, ``Brain``), in the order in which they are listed.

    Returns
    -------
    dict
        ``#rrggbb`` by name. A name that the table (``display.json``) does not have takes the next colour of its palette that is free.

    Examples
    --------
    >>> colors(["CTV_EANO", "mine", "CTV_RTOG"])
    {'CTV_EANO': '#eba31a', 'mine': '#5781e4', 'CTV_RTOG': '#75f9a4'}
    """
    own = {name: _own_color(name) for name in names}
    palette = display()["palette"]
    free = [c for c in palette if c not in own.values()] or palette
    others = [name for name, color in own.items() if color is None]
    return {name: color or free[others.index(name) % len(free)] for name, color in own.items()}


def rgb(color: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three numbers, 0-255."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


# What a map's name may end in, and how that is called; ranges and colours are those of the map.
_ENDS = {"_sd": "SD of {}", "_lower": "lower end of {}", "_upper": "upper end of {}"}


def look(name: str) -> Look:
    """How a map (``ktrans``, ``cbv``, ...) looks; what ends in ``_sd``, ``_lower`` or ``_upper`` shares all but the title.

    What ends in ``_uncertainty`` is the SD in % of the value. Free maps have no unit and the colours of viridis.
    """
    ending = "" if name in display()["maps"] else next((e for e in _ENDS if name.endswith(e)), "")
    base = name.removesuffix(ending).removesuffix("_uncertainty")
    found = Look(**display()["maps"].get(base, {"title": base, "unit": "", "colormap": "viridis", "range": None}))
    if name.endswith("_uncertainty"):
        return Look(f"{found.title}, uncertainty", "SD in % of the value", "cividis", [0.0, 100.0])
    return found._replace(title=_ENDS[ending].format(found.title)) if ending else found


@cache
def _codes() -> dict[str, dict[str, list[str]]]:
    return json.loads(read_text("codes.json"))


def codes(name: str) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """What a map's voxels are and their unit, each as (scheme, value, meaning) or None (``codes.json``).

    Examples
    --------
    >>> codes("ktrans")
    (('DCM', '126312', 'Ktrans'), ('UCUM', '/min', '/min'))
    >>> codes("ktrans_sd")  # the unit alone: no code means a standard deviation of it
    (None, ('UCUM', '/min', '/min'))
    """
    quantity, unit = _codes()["quantities"].get(name), _codes()["units"].get(look(name).unit)
    return tuple(quantity) if quantity else None, tuple(unit) if unit else None
