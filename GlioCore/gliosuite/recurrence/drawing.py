"""What pictures of tables share: a white figure, colours, bare axes, and bytes that hang on nothing but the input."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, require

# Told apart by colour-blind readers too, on white (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_DPI = 150


def blank(width: float, height: float) -> Any:
    """A white figure; inches."""
    return require("matplotlib.figure", "pictures", "matplotlib").Figure(figsize=(width, height), facecolor="white")


def save(figure: Any, path: Path) -> None:
    """Without the version of matplotlib in it, so that the same input gives the same bytes."""
    figure.savefig(path, dpi=_DPI, metadata={"Software": None}, format="png")


def bare(axes: Any) -> None:
    """Axes without a frame at the top and the right."""
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def drawn(picture: Callable[[Path], object], path: Path) -> None:
    """Draw a picture if matplotlib is there; a missing one is said and never fails the computation."""
    try:
        require("matplotlib.figure", f"the picture {path.name}")
    except InputError as error:
        warnings.warn(f"{path.name} was not drawn: {error}", stacklevel=2)
        return
    picture(path)
