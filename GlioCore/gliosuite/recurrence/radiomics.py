"""Radiomic features of a CBV map in the enhancing and the non-enhancing lesion, by pyradiomics, after Shim et al. 2021.

Each lesion gives 851 features: 107 of the map (first order, shape, GLCM, GLRLM, GLSZM, GLDM, NGTDM) and 93 of each of its 8 wavelet
decompositions. They are named as the paper names them: ``CE_original_shape_LeastAxisLength``, ``NE_wavelet_LLL_firstorder_Kurtosis``.
"""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, option, require
from ..files import write_csv, write_json
from ..images import Grid, array, boolean, box_around, resample, resample_mask
from ..steps import Progress, silent
from .settings import RadiomicsSettings

FEW_BINS = 16  # grey levels of a lesion below which its textures say little; chosen
_LEAST_VOXELS = 27  # of a lesion; chosen: a cube of 3
_ZEROS = 0.02  # share of a lesion; chosen
_REACH = 8  # voxels round the lesions that wavelets (coif1, 6 long) see more than once


@dataclass(frozen=True)
class Radiomics:
    """Features of a patient.

    Attributes
    ----------
    features
        1702 by name.
    bins
        Grey levels of the map in each lesion.
    volumes_cc
        Of what was measured of each lesion.
    notes
        What a reader must know.
    """

    features: dict[str, float]
    bins: dict[str, int]
    volumes_cc: dict[str, float]
    notes: list[str] = field(default_factory=list)


def measure(
    cbv: sitk.Image,
    cel: sitk.Image,
    nel: sitk.Image,
    grid: Grid,
    settings: RadiomicsSettings | None = None,
    progress: Progress = silent,
) -> Radiomics:
    """Measure a map.

    Parameters
    ----------
    cbv
        Blood volume over that of normal white matter, NaN where it is not known.
    cel, nel
        Enhancing lesion (without necrosis) and the rest of the T2 lesion, masks in the position of the map.
    grid
        On which it is done, with cubic voxels: the map is carried there linearly, masks by their signed distance.

    Raises
    ------
    InputError
        If pyradiomics is missing, or a lesion has fewer than 27 voxels with a value.

    References
    ----------
    Shim KY et al., Sci Rep 2021;11:9974; van Griethuysen JJM et al., Cancer Res 2017;77:e104.
    """
    settings = settings or RadiomicsSettings()
    require("radiomics", "radiomic features", "pyradiomics")
    from radiomics import featureextractor, setVerbosity

    setVerbosity(logging.ERROR)
    values = settings.scale * array(_carried(cbv, grid), np.float64)
    enhancing = boolean(resample_mask(cel, grid))
    lesions = {"CE": enhancing, "NE": boolean(resample_mask(nel, grid)) & ~enhancing}
    notes = []
    for name, inside in lesions.items():
        unknown = inside & ~np.isfinite(values)
        if unknown.any():
            notes.append(
                f"{name}: {int(unknown.sum())} of {int(inside.sum())} voxels have no value in the map and are left out"
            )
            inside &= ~unknown
        zero = int((values[inside] == 0).sum())
        if zero > _ZEROS * inside.sum():
            notes.append(
                f"{name}: {zero} of {int(inside.sum())} voxels are 0 in the map, as voxels are that were not fitted; they count as 0"
            )
        if inside.sum() < _LEAST_VOXELS:
            raise InputError(
                f"{name}: {int(inside.sum())} voxels of {grid.spacing[0]:g} mm have a value; {_LEAST_VOXELS} at least are needed"
            )
    both = lesions["CE"] | lesions["NE"]
    values = np.where(np.isfinite(values), values, np.median(values[both]))
    near = _around(both)
    image = grid.box(near).image(values[near])
    extractor = featureextractor.RadiomicsFeatureExtractor(binWidth=settings.bin_width, additionalInfo=False)
    extractor.enableAllFeatures()
    extractor.enableImageTypes(Original={}, Wavelet={})
    features: dict[str, float] = {}
    bins = {}
    for i, (name, inside) in enumerate(lesions.items()):
        progress(i / len(lesions), f"features of {name}")
        bins[name] = _bins(values[inside], settings.bin_width)
        if bins[name] < FEW_BINS:
            notes.append(
                f"{name}: the map has {bins[name]} grey levels of width {settings.bin_width:g} there, too few for textures "
                f"({FEW_BINS} at least are needed); is it in another unit ({option('--scale')})?"
            )
        found = extractor.execute(image, grid.box(near).image(inside[near]), label=1)
        features |= {f"{name}_{k.replace('wavelet-', 'wavelet_')}": float(v) for k, v in found.items()}
    lost = [n for n, v in features.items() if not np.isfinite(v)]
    if lost:
        notes.append(f"{len(lost)} features have no value (e.g. {lost[0]})")
    progress(1.0, "measured")
    volumes = {n: float(inside.sum()) * grid.voxel_cc for n, inside in lesions.items()}
    return Radiomics(features, bins, volumes, notes)


def record_of(found: Radiomics, settings: RadiomicsSettings) -> dict[str, Any]:
    """What is said of the features beside their table."""
    return {
        "features": len(found.features),
        "grey_levels": found.bins,
        "volumes_cc": found.volumes_cc,
        "settings": asdict(settings),
        "notes": found.notes,
    }


def write(found: Radiomics, path: Path, record: dict[str, Any] | None = None) -> None:
    """Write a row of features, and `record` beside it as JSON."""
    write_csv(path, list(found.features), [[f"{v:.10g}" for v in found.features.values()]])
    if record:
        write_json(path.with_suffix(".json"), record)


def _carried(cbv: sitk.Image, grid: Grid) -> sitk.Image:
    """The map on a grid; a voxel is NaN where one that it is made of is, or outside the map."""
    return resample(cbv, grid, outside=float("nan"))


def _bins(values: np.ndarray, width: float) -> int:
    """Grey levels as pyradiomics counts them: edges are multiples of the width."""
    return int(np.floor(values.max() / width) - np.floor(values.min() / width)) + 1


def _around(inside: np.ndarray) -> tuple[slice, ...]:
    """The box that is as good as the whole image: an axis along which it would be cut off by the image's end is taken whole."""
    near = box_around(inside, (_REACH,) * 3)
    cut = [s.start == 0 or s.stop >= n for s, n in zip(near, inside.shape)]
    return tuple(slice(0, n) if c else s for s, c, n in zip(near, cut, inside.shape))
