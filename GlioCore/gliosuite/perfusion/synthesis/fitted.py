"""The fit that a synthesis begins with: from maps in memory, or from the folder that ``gliosuite dce`` or a run wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import InputError, option
from ...files import plain, read_json
from ...images import array, boolean, read_image
from ..aif import POPULATIONS, Aif, read_aif
from ..result import PerfusionMaps
from ..settings import FORMATS, HEMATOCRIT, T10_TISSUE_S
from .features import Scan

_VALUES = ("ktrans", "ve", "vp", "kep", "delay")
# What is read of a folder of ``gliosuite dce``, beside T1 where that was a map.
FILES = (
    "aif.csv",
    "fit.json",
    *(f"{n}.nii.gz" for n in ("mask", "rmse", "misfit", *_VALUES, *(f"{v}_sd" for v in _VALUES))),
)


@dataclass(frozen=True)
class Fitted:
    """A DCE series fitted by extended Tofts with delay.

    Attributes
    ----------
    values, sd
        Maps and SDs by ``ktrans ve vp kep delay``; NaN where undefined, or where the data do not tell them.
    rmse, misfit, mask
        Residual in mM, 1 where the model does not fit, and the voxels that were fitted.
    scan
        What all voxels share.
    t10
        T1 before contrast agent in s; None where it was not measured.
    flip_factor
        The flip angle that the blood's signal asks for over the one that was given; None where no sinus told.
    assumed_t10_s
        The T1 that was taken for all voxels where none was measured; None with a map, or where the series holds concentrations.
    """

    values: dict[str, sitk.Image]
    sd: dict[str, sitk.Image]
    rmse: sitk.Image
    misfit: sitk.Image
    mask: sitk.Image
    scan: Scan
    t10: sitk.Image | None = None
    flip_factor: float | None = None
    assumed_t10_s: float | None = None

    def voxels(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Values, SDs, residual and misfit (n,) of the mask's voxels, as they would be with the T1 that the network takes for unmeasured.

        Concentrations, and with them ktrans, ve, vp and the residual, go with 1 / T1 (small flip angles).
        """
        mask = boolean(self.mask)
        factor = 1.0 if self.assumed_t10_s is None else self.assumed_t10_s / T10_TISSUE_S
        scale = lambda name: factor if name in ("ktrans", "ve", "vp") else 1.0
        values, sd = ({n: scale(n) * array(image)[mask] for n, image in of.items()} for of in (self.values, self.sd))
        return values, sd, factor * array(self.rmse)[mask], array(self.misfit)[mask] > 0

    @classmethod
    def of(cls, made: PerfusionMaps) -> "Fitted":
        """From `dce.dce_maps`.

        Raises
        ------
        InputError
            If the model was another, or no delay was fitted.
        """
        settings = plain(made.settings)
        _check(settings)
        scan = _scan(settings, plain(made.record), made.times_s, made.n_baseline, made.aif, made.aif.method)
        pick = lambda images: {name: images[name] for name in _VALUES}
        return cls(
            pick(made.maps),
            pick(made.sd),
            made.maps["rmse"],
            made.maps["misfit"],
            made.mask,
            scan,
            made.t10,
            _flip(made.aif.quality),
            _assumed(settings, made.record),
        )

    @classmethod
    def read(cls, folder: Path) -> "Fitted":
        """From a folder of ``gliosuite dce``.

        Raises
        ------
        InputError
            If files are missing, or the maps are of another model.
        """
        said = read_json(folder / "fit.json")
        _check(said["settings"])
        ending = next((f for f in FORMATS if (folder / f"mask.{f}").exists()), FORMATS[0])
        image = lambda name: read_image(folder / f"{name}.{ending}")
        aif = read_aif(folder / "aif.csv", said["times_s"])
        scan = _scan(said["settings"], said, said["times_s"], said["n_baseline"], aif, said["aif"]["method"])
        values, sd = ({name: image(f"{name}{end}") for name in _VALUES} for end in ("", "_sd"))
        t10 = image("t10") if (folder / f"t10.{ending}").exists() else None
        return cls(
            values,
            sd,
            image("rmse"),
            image("misfit"),
            image("mask"),
            scan,
            t10,
            _flip(said["aif"]["quality"]),
            _assumed(said["settings"], said),
        )


def _flip(quality: Mapping[str, Any]) -> float | None:
    return quality.get("sinus_flip_factor")


def _assumed(settings: Mapping[str, Any], said: Mapping[str, Any]) -> float | None:
    t10 = said.get("t10_s")
    return float(t10) if isinstance(t10, (int, float)) and settings["input"] == "signal" else None


def _check(settings: Mapping[str, Any]) -> None:
    if settings["model"] != "etm" or not settings["delay"]:
        raise InputError(
            f"synthesis refines maps of extended Tofts with delay; these are of {settings['model']} "
            f"{'with' if settings['delay'] else 'without'} delay ({option('--model')} etm {option('--delay')})"
        )


def _scan(
    settings: Mapping[str, Any], said: Mapping[str, Any], times_s: Any, n_baseline: int, aif: Aif, method: str
) -> Scan:
    return Scan(
        np.asarray(times_s, np.float64),
        n_baseline,
        aif.times_s,
        aif.concentration,
        float(settings["bounds"]["kep"][1]),
        said.get("t10_s") == "map",
        settings["hematocrit"] != HEMATOCRIT,
        method in POPULATIONS,
    )
