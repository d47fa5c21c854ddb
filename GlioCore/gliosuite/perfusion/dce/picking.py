"""The AIF of a DCE series as a person picks it: the series is prepared once, then curves of some voxels cost milliseconds."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...images import Series
from ..aif import Aif
from ..prepared import Prepared, prepare
from ..settings import DceSettings
from ..signal import concentrations
from .aif import arterial_baseline, choose_aif, floor_noise, search
from .settings import acquisition, check_settings


@dataclass(frozen=True)
class DcePicking:
    """A DCE series in which arteries are picked. It was prepared by the input, baseline and noise floor of its settings; the rest may
    change. `sigma` is the SD of the noise whose floor counts (`aif.floor_noise`).
    """

    prepared: Prepared
    settings: DceSettings
    sigma: float

    @classmethod
    def of(
        cls, series: Series, times_s: ArrayLike, settings: DceSettings, mask: sitk.Image | None = None
    ) -> "DcePicking":
        """Prepare a series (`prepared.prepare`)."""
        check_settings(settings, series)
        prepared = prepare(series, times_s, settings, mask)
        return cls(prepared, settings, floor_noise(prepared, settings))

    def aif(self, source: str | Aif | sitk.Image = "auto") -> Aif:
        """The AIF (plasma, mM); see `maps.dce_maps` for `source`."""
        return choose_aif(self.prepared, self.settings, source, self.sigma)

    def mean(self, mask: sitk.Image) -> Aif:
        """The mean over a mask, at once: the AIF without a vein's level."""
        return replace(self, settings=replace(self.settings, sinus=False)).aif(mask)

    def curves(self, voxels: np.ndarray) -> np.ndarray:
        """Plasma concentration (n, t) in mM of single voxels, indices (n, 3) as (z, y, x); NaN where the signal gives none."""
        p, settings = self.prepared, self.settings
        signal = p.series.frames[:, *np.asarray(voxels, int).T].T
        n_baseline = arterial_baseline(p.n_baseline)
        blood = concentrations(signal, acquisition(settings), settings.t10_blood_s, n_baseline, sigma=self.sigma)
        return blood / (1.0 - settings.hematocrit)

    def candidates(self) -> np.ndarray:
        """Voxels (n, 3) as (z, y, x) that the automatic search takes for arterial, best first."""
        p = self.prepared
        index, _ = search(p.raw, p.times_s, arterial_baseline(p.n_baseline), self.settings)
        return np.argwhere(p.region)[index]
