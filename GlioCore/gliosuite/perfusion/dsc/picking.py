"""The AIF of a DSC series as a person picks it: the series is prepared once, then curves of some voxels cost milliseconds."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...compute import CPU, Device
from ...images import Series
from ..aif import Aif
from ..prepared import Prepared, prepare
from ..settings import DscSettings
from .artery.choice import choose_aif, dr2star, relation_of_blood, search_arteries
from .artery.concentration import arterial_relation
from .artery.venous import before_a_vein, to_vof
from .settings import check_settings

_FEW = 5  # frames; chosen: the noise of a shorter baseline is seen in every ΔR2*


def prepared(series: Series, times_s: ArrayLike, settings: DscSettings, mask: sitk.Image | None) -> Prepared:
    """A series from steady state on, at even times."""
    check_settings(settings, series)
    p = prepare(series, times_s, settings, mask, even=True)
    p.notes.append(f"the bolus arrives at {p.times_s[p.n_baseline]:.1f} s; baseline of {p.n_baseline} frames")
    if p.n_baseline < _FEW:
        p.notes.append(f"the baseline has only {p.n_baseline} frames: ΔR2* is less certain")
    return p


def artery_of(
    p: Prepared, settings: DscSettings, aif: str | Aif | sitk.Image, curves: np.ndarray, device: Device
) -> tuple[Aif, str]:
    """The AIF, and how its ΔR2* follows concentration; `curves` (n, t) of ΔR2* are those of the voxels to be fitted."""
    chosen, first = choose_aif(p, settings, aif, curves), None
    if isinstance(aif, sitk.Image):
        chosen, first = before_a_vein(chosen, p, settings)
    relation = relation_of_blood(settings)
    if settings.aif_r2star == "auto" and not chosen.pure:
        dt = float(np.median(np.diff(p.times_s)))
        relation = arterial_relation(curves, dt, chosen.concentration, p.n_baseline, device)
        said = f"the AIF's R2* relation was chosen by the curves of normal tissue: {relation}"
        chosen = replace(chosen, notes=(*chosen.notes, said))
    if settings.vof and not isinstance(aif, Aif):
        chosen = to_vof(chosen, p, settings, relation, first)
    return chosen, relation


@dataclass(frozen=True)
class DscPicking:
    """A DSC series in which arteries are picked. It was prepared by the input and baseline of its settings; the rest may change."""

    prepared: Prepared
    settings: DscSettings

    @classmethod
    def of(
        cls, series: Series, times_s: ArrayLike, settings: DscSettings, mask: sitk.Image | None = None
    ) -> "DscPicking":
        """Prepare a series, at even times."""
        return cls(prepared(series, times_s, settings, mask), settings)

    def aif(self, source: str | Aif | sitk.Image = "auto") -> Aif:
        """The AIF (ΔR2*, 1/s); see `maps.dsc_maps` for `source`."""
        p, settings = self.prepared, self.settings
        return artery_of(p, settings, source, dr2star(p.fitted_curves(), settings, p.n_baseline), CPU)[0]

    def mean(self, mask: sitk.Image) -> Aif:
        """The mean over a mask, at once: the AIF without a vein's level, and without asking tissue how it follows concentration."""
        return choose_aif(self.prepared, self.settings, mask, self.prepared.raw[:0])

    def curves(self, voxels: np.ndarray) -> np.ndarray:
        """ΔR2* (n, t) in 1/s of single voxels, indices (n, 3) as (z, y, x); NaN where the signal gives none."""
        p = self.prepared
        return dr2star(p.series.frames[:, *np.asarray(voxels, int).T].T, self.settings, p.n_baseline)

    def candidates(self) -> np.ndarray:
        """Voxels (n, 3) as (z, y, x) that the automatic search takes for arterial, best first."""
        p, settings = self.prepared, self.settings
        index, _ = search_arteries(p, settings, dr2star(p.raw, settings, p.n_baseline))
        return np.argwhere(p.region)[index]
