"""What a panel or a script asks for in target volumes, and what it gets."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...images import Grid
from ..segments import is_drafted, mask_from_segment
from .choices import NONE, THRESHOLD

if TYPE_CHECKING:
    from ...rt.targets import Structures


@dataclass(frozen=True)
class Prediction:
    """A target volume from a probability, and how much of it is included.

    Parameters
    ----------
    probability
        Volume node, 0-1.
    cut
        One of `choices.CUTS`.
    value
        The least probability that is included (0-1), a volume in cc, or the wanted sensitivity (0-1).
    like
        Name of the scheme whose CTV volume it gets.
    validation
        Folder of validation cases that the sensitivity is reached on (`gliosuite.rt.targets.read_validation`).
    keep_satellites
        Keep predicted parts that do not touch the lesion.
    """

    probability: Any
    cut: str = THRESHOLD
    value: float = 0.05
    like: str = "estro-eano"
    validation: str = ""
    keep_satellites: bool = False


@dataclass
class TargetsRequest:
    """Which targets to compute, from which segments.

    Parameters
    ----------
    reference
        Volume node on whose grid the targets are drawn.
    schemes
        Names of schemes (``gliosuite.rt.targets``), those by margin.
    segments
        Role (`matching.ROLES`) to ``(segmentation node, segment id)``; with ``progression`` the targets are compared with it.
    barriers
        What margins go round (`choices.BARRIERS`).
    barriers_folder, barriers_node
        Where ``a folder`` or ``a segmentation`` is to be found.
    through
        Of brainstem and chiasm, those that stop no margin.
    critical
        Segmentation node all of whose segments are taken out of every CTV, or None.
    ptv_mm
        Margin from CTV to PTV in mm; 0 makes none.
    prediction
        None for margins alone.
    name
        Name of the segmentation node that is made.
    """

    reference: Any
    schemes: tuple[str, ...]
    segments: dict[str, tuple[Any, str]] = field(default_factory=dict)
    barriers: str = NONE
    barriers_folder: str = ""
    barriers_node: Any = None
    through: tuple[str, ...] = ()
    critical: Any = None
    ptv_mm: float = 0.0
    prediction: Prediction | None = None
    name: str = "Target volumes"


@dataclass
class TargetsResult:
    """Target volumes as segments of one node.

    Attributes
    ----------
    kinds
        Type (``CTV`` or ``PTV``) of each target by its segment's name.
    described
        How each was made.
    drafts
        Names of the targets that rest on a draft.
    keys, rows
        A table with one row a CTV (`comparison.TITLES` says what a key is): its volume, and how it meets the progression or the other CTVs.
    """

    segmentation: Any
    kinds: dict[str, str]
    described: dict[str, str]
    keys: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    drafts: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The targets."""
        return list(self.kinds)

    @property
    def ctvs(self) -> list[str]:
        """The CTVs."""
        return [name for name, kind in self.kinds.items() if kind == "CTV"]


def drafted_roles(request: TargetsRequest) -> list[str]:
    """Those of the roles whose segments are drafts that a program made."""
    return [role for role, segment in request.segments.items() if is_drafted(*segment)]


def structures_of(request: TargetsRequest, grid: Grid) -> "Structures":
    """The masks that targets are made of, on a grid; a request without a brain has been refused."""
    from ...rt.targets import Structures

    masks = {r: mask_from_segment(*s, grid) for r, s in request.segments.items() if r != "progression"}
    return Structures(
        masks["brain"],
        masks.get("cel"),
        masks.get("t2l"),
        masks.get("cavity"),
        masks.get("necrosis"),
        tuple(critical_of(request, grid)),
    )


def critical_of(request: TargetsRequest, grid: Grid) -> list[Any]:
    """The masks of the critical structures of a request, on a grid.

    Raises
    ------
    InputError
        If the chosen segmentation holds none, or one is empty or elsewhere.
    """
    if request.critical is None:
        return []
    segments = request.critical.GetSegmentation()
    found = [segments.GetNthSegmentID(i) for i in range(segments.GetNumberOfSegments())]
    if not found:
        raise InputError(f"{request.critical.GetName()} holds no segment; critical structures are its segments")
    return [mask_from_segment(request.critical, identifier, grid) for identifier in found]
