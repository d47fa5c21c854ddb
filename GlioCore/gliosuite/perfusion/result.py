"""What a DCE or a DSC series comes to: maps, and how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..curves import Bolus
from ..resources import look
from .aif import Aif
from .settings import DceSettings, DscSettings


@dataclass(frozen=True)
class MeanCurve:
    """The mean of some curves beside what a model makes of it (t,), NaN where it makes nothing; for the picture."""

    data: np.ndarray
    model: np.ndarray
    title: str
    unit: str
    label: str


@dataclass(frozen=True)
class PerfusionMaps:
    """Maps on the native grid of the series, and how they came about.

    Attributes
    ----------
    step
        ``"dce"`` or ``"dsc"``.
    maps
        float32 images by name (``ktrans``, ``cbv``, ...); 0 outside the mask, NaN where undefined.
    sd
        Standard deviations by the name of the map.
    mask
        Voxels that were fitted; uint8.
    aif, aif_unit
        The arterial input function and its unit.
    bolus
        In frames of the whole series.
    n_baseline, times_s
        How many of the frames that were used come before the bolus, and their times.
    mean
        For the picture: fitted voxels in which much happens.
    medians
        Of maps in the fitted voxels.
    notes
        What a reader must know.
    masks
        Regions that played a part: ``leakage_reference`` and ``nawm``, where there are such.
    record
        What more fit.json says.
    made
        How maps were made that can be made in several ways, in a few words by name; for the heads of tables.
    t10
        The T1 map before contrast agent that was used, in s on the grid of the maps; None where T1 was a number.
    """

    step: str
    maps: dict[str, sitk.Image]
    sd: dict[str, sitk.Image]
    mask: sitk.Image
    aif: Aif
    aif_unit: str
    settings: DceSettings | DscSettings
    bolus: Bolus
    n_baseline: int
    times_s: np.ndarray
    mean: MeanCurve
    medians: dict[str, float | None]
    notes: list[str]
    masks: dict[str, sitk.Image] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    t10: sitk.Image | None = None

    @property
    def units(self) -> dict[str, str]:
        """The unit of each map."""
        return {name: look(name).unit for name in self.maps}

    @property
    def heads(self) -> dict[str, str]:
        """What the head of a column says of each map: its unit, whether it is calibrated, and how it was made."""
        return {name: ", ".join([look(name).head, *filter(None, [self.made.get(name)])]) for name in self.maps}
