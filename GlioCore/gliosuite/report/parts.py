"""What the report's sections share: what a section is, and the outlines, backgrounds and slices that pictures are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..resources import colors, display
from .markup import figure
from .results import BACKGROUNDS, Results

Outlines = dict[str, tuple[np.ndarray, str]]
DRAFT = " (draft)"  # behind the name of an outline that no person has looked at
TAG = ' <span class="tag draft">draft</span>'
_SLICES = 3  # of each map, so that two stand side by side
LESION = ("t2l", "cel", "necrosis", "cavity")


@dataclass(frozen=True)
class Section:
    """A step's part of the report.

    Attributes
    ----------
    place
        Where it stands on the page: what is looked at first stands first, whatever order the steps run in.
    title
        Its heading, and what the step is called where it was skipped.
    content
        What stands below the heading as HTML, of the results and whether pictures are drawn.
    recorded
        Whether ``run.json`` says what came of the step; if not, the section stands where it has content.
    """

    place: int
    title: str
    content: Callable[[Results, bool], str]
    recorded: bool = True


def outlines(results: Results, names: Sequence[str]) -> Outlines:
    """Those of the masks that there are, with title (a draft is called one) and colour."""
    looks, entries = display()["regions"], results.step("lesions").get("summary", {})
    there = [n for n in names if n in results.masks and results.masks[n].any()]
    drafted = lambda n: DRAFT if entries.get(n, {}).get("source") == "draft" else ""
    return {looks[n]["title"] + drafted(n): (results.masks[n], looks[n]["color"]) for n in there}


def backgrounds(results: Results) -> dict[str, np.ndarray]:
    """What outlines are drawn on, by title: T1c and FLAIR, else whatever image there is."""
    wanted = {BACKGROUNDS[r]: results.images[r] for r in ("t1c", "flair") if r in results.images}
    return wanted or {"": next(iter(results.images.values()))}


def focus(results: Results) -> np.ndarray:
    """What slices are chosen by: the enhancing lesion, else the T2 lesion, else the brain."""
    for name in ("cel", "t2l", "brain"):
        if name in results.masks and results.masks[name].any():
            return results.masks[name]
    return results.masks["brain"]


def later_lesion(results: Results) -> np.ndarray | None:
    """The lesion at progression, CEL and T2L together; None where none is known."""
    found = [results.masks[n] for n in ("progression_cel", "progression_t2l") if n in results.masks]
    return np.any(found, axis=0) if found else None


def roi_colors(results: Results) -> dict[str, str]:
    """The colours of the structures of the run, as the RT structure set has them."""
    return colors([r["name"] for r in results.step("rt").get("summary", {}).get("rois", [])])


def voxel_cc(results: Results) -> float:
    """Volume of a voxel in cc."""
    return float(np.prod(results.spacing)) / 1000


def beside_their_spread(results: Results, maps: Mapping[str, np.ndarray], names: Sequence[str], caption: str) -> str:
    """Maps over T1c, each beside its uncertainty, with the outlines of some masks, as a figure."""
    from .pictures import maps_figure

    picture = maps_figure(
        results.images.get("t1c", next(iter(results.images.values()))),
        dict(maps),
        outlines(results, names),
        results.masks["brain"],
        focus(results),
        results.spacing,
        count=_SLICES,
    )
    return figure(picture, caption)
